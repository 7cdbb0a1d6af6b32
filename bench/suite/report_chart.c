/* bench/suite/report_chart.c: curves over axes, and bars.
 *
 *     0                 LEFT                            WIDTH - RIGHT   WIDTH
 *   0
 *     TOP               y_unit
 *                       |
 *                  10 --+--------- grid
 *                   1 --+---------
 *     HEIGHT - BOTTOM   +------------------------ x ticks, x_unit
 *     HEIGHT
 */
#include "bench/suite/report_chart.h"

#include "bench/suite/report_figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 560,
	HEIGHT = 280,
	LEFT = 58,
	RIGHT = 14,
	TOP = 26,
	BOTTOM = 40,
	TICKS_MAX = 32,
	POINTS_MAX = 1500, /* drawn of a curve; of more, every n-th */
	HINTS_MAX = 240,   /* places of a curve that say what they are */
};

/* ---- text ---- */

void html_text(FILE *out, const char *text)
{
	for (const char *c = text; *c; c++) {
		switch (*c) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc(*c, out);
		}
	}
}

/* ---- curves ---- */

struct curve *chart_add(struct chart *chart, const char *label, unsigned color,
			enum curve_style style)
{
	if (chart->count == chart->room) {
		size_t room = chart->room ? 2 * chart->room : 8;
		struct curve *curves = realloc(chart->curves, room * sizeof(*curves));

		if (!curves)
			return NULL;
		chart->curves = curves;
		chart->room = room;
	}
	struct curve *curve = &chart->curves[chart->count++];
	*curve = (struct curve){.label = label, .color = color % CHART_COLORS, .style = style};
	return curve;
}

void curve_add(struct curve *curve, double x, double y)
{
	if (!curve || !isfinite(x) || !isfinite(y))
		return;
	if (curve->count == curve->room) {
		size_t room = curve->room ? 2 * curve->room : 64;
		struct chart_point *points = realloc(curve->points, room * sizeof(*points));

		if (!points)
			return;
		curve->points = points;
		curve->room = room;
	}
	curve->points[curve->count++] = (struct chart_point){x, y};
}

void chart_fini(struct chart *chart)
{
	for (size_t i = 0; i < chart->count; i++)
		free(chart->curves[i].points);
	free(chart->curves);
	*chart = (struct chart){0};
}

/* ---- axes ---- */

/* From values to places between 0 and 1. */
struct axis {
	enum chart_scale scale;
	double from;
	double to; /* of SCALE_LOG and SCALE_NINES in powers of ten */
};

static double nines(double share)
{
	return share < 1 ? -log10(1 - share) : HUGE_VAL;
}

static double axis_value(enum chart_scale scale, double value)
{
	if (scale == SCALE_LOG)
		return value > 0 ? log10(value) : (double)NAN;
	return scale == SCALE_NINES ? nines(value) : value;
}

static double axis_place(const struct axis *axis, double value)
{
	double at = axis_value(axis->scale, value);

	if (axis->scale == SCALE_NINES && at > axis->to)
		at = axis->to;
	return (at - axis->from) / (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, not below `value`. */
static double nice_above(double value)
{
	double power = pow(10, floor(log10(value)));

	for (int i = 0; i < 3; i++) {
		static const double steps[] = {1, 2, 5};
		if (steps[i] * power >= value * (1 - 1e-9))
			return steps[i] * power;
	}
	return 10 * power;
}

static double nice_below(double value)
{
	double up = nice_above(value);

	if (up <= value * (1 + 1e-9))
		return up;
	return nice_above(up / 2.6); /* the one before in 1, 2, 5, 10 */
}

struct range {
	double from;
	double to;
};

static void range_add(struct range *range, double value)
{
	range->from = value < range->from ? value : range->from;
	range->to = value > range->to ? value : range->to;
}

/* Of the values that the scale has; those of the nines stay below 1. */
static struct range range_of(const struct chart *chart, bool of_x)
{
	enum chart_scale scale = of_x ? chart->x_scale : chart->y_scale;
	struct range range = {HUGE_VAL, -HUGE_VAL};

	for (size_t i = 0; i < chart->count; i++) {
		const struct curve *curve = &chart->curves[i];
		for (size_t j = 0; j < curve->count; j++) {
			double value = of_x ? curve->points[j].x : curve->points[j].y;
			if (isfinite(axis_value(scale, value)))
				range_add(&range, value);
		}
	}
	return range;
}

static struct axis axis_over(enum chart_scale scale, struct range range)
{
	if (scale == SCALE_LOG) {
		double from = nice_below(range.from), to = nice_above(range.to);
		return (struct axis){scale, log10(from), log10(to > from ? to : 10 * from)};
	}
	if (scale == SCALE_NINES)
		return (struct axis){scale, 0, nines(range.to) > 1 ? nines(range.to) : 1};
	return (struct axis){scale, 0, range.to > 0 ? range.to : 1};
}

/* Returns how many. */
static size_t linear_ticks(const struct axis *axis, double ticks[TICKS_MAX])
{
	double step = nice_above(axis->to / 6);
	size_t count = 0;

	for (double at = 0; at <= axis->to * (1 + 1e-9) && count < TICKS_MAX; at += step)
		ticks[count++] = at;
	return count;
}

/* Powers of ten; where there are few also what is between. */
static size_t log_ticks(const struct axis *axis, double ticks[TICKS_MAX])
{
	bool fine = axis->to - axis->from < 2.5;
	size_t count = 0;

	for (int power = (int)floor(axis->from); power <= (int)ceil(axis->to); power++) {
		for (int i = 0; i < (fine ? 3 : 1); i++) {
			double tick = (double[]){1, 2, 5}[i] * pow(10, power);
			double at = log10(tick);
			if (at >= axis->from - 1e-9 && at <= axis->to + 1e-9 && count < TICKS_MAX)
				ticks[count++] = tick;
		}
	}
	return count;
}

static size_t nines_ticks(const struct axis *axis, double ticks[TICKS_MAX])
{
	size_t count = 0;

	ticks[count++] = 0;
	ticks[count++] = 0.5;
	for (int power = 1; power <= axis->to + 1e-9 && count < TICKS_MAX; power++)
		ticks[count++] = 1 - pow(10, -power);
	return count;
}

static size_t axis_ticks(const struct axis *axis, double ticks[TICKS_MAX])
{
	if (axis->scale == SCALE_LINEAR)
		return linear_ticks(axis, ticks);
	return axis->scale == SCALE_LOG ? log_ticks(axis, ticks) : nines_ticks(axis, ticks);
}

/* ---- drawing ---- */

struct frame {
	struct axis x;
	struct axis y;
	FILE *out;
};

static double x_of(const struct frame *frame, double value)
{
	return LEFT + axis_place(&frame->x, value) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct frame *frame, double value)
{
	return HEIGHT - BOTTOM - axis_place(&frame->y, value) * (HEIGHT - TOP - BOTTOM);
}

static const char *tick_text(const struct axis *axis, double tick, char *text, size_t bytes)
{
	if (axis->scale == SCALE_NINES)
		snprintf(text, bytes, "%.10g%%", 100 * tick);
	else
		snprintf(text, bytes, "%.4g%s",
			 tick >= 1e6   ? tick / 1e6
			 : tick >= 1e4 ? tick / 1e3
				       : tick,
			 tick >= 1e6   ? "M"
			 : tick >= 1e4 ? "k"
				       : "");
	return text;
}

static void draw_axes(const struct frame *frame, const struct chart *chart)
{
	double ticks[TICKS_MAX];
	char text[FIGURE_TEXT_BYTES];
	size_t count = axis_ticks(&frame->y, ticks);

	for (size_t i = 0; i < count; i++) {
		double y = y_of(frame, ticks[i]);
		fprintf(frame->out,
			"<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
			"<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
			LEFT, WIDTH - RIGHT, y, y, LEFT - 7, y + 3.5,
			tick_text(&frame->y, ticks[i], text, sizeof(text)));
	}
	count = axis_ticks(&frame->x, ticks);
	for (size_t i = 0; i < count; i++) {
		double x = x_of(frame, ticks[i]);
		fprintf(frame->out,
			"<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n",
			x, HEIGHT - BOTTOM + 16, x > WIDTH - 2 * RIGHT ? "end" : "middle",
			tick_text(&frame->x, ticks[i], text, sizeof(text)));
	}
	fprintf(frame->out,
		"<line class=\"base\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>"
		"<text class=\"unit\" x=\"%d\" y=\"12\">%s</text>"
		"<text class=\"unit\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
		LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM, 4, chart->y_unit,
		WIDTH - RIGHT, HEIGHT - 6, chart->x_unit);
}

static bool is_drawn(const struct chart *chart, const struct chart_point *point)
{
	double x = axis_value(chart->x_scale, point->x);

	return !isnan(x) && isfinite(axis_value(chart->y_scale, point->y));
}

static void draw_line(const struct frame *frame, const struct chart *chart,
		      const struct curve *curve)
{
	static const char *const styles[] = {"", " dashed", " faint"};
	size_t stride = curve->count / POINTS_MAX + 1;

	fprintf(frame->out, "<polyline class=\"c%u%s\" points=\"", curve->color,
		styles[curve->style]);
	for (size_t i = 0; i < curve->count; i += stride) {
		const struct chart_point *point = &curve->points[i];
		if (is_drawn(chart, point))
			fprintf(frame->out, "%.1f,%.1f ", x_of(frame, point->x),
				y_of(frame, point->y));
	}
	fputs("\"/>\n", frame->out);
}

/* Circles that are not to be seen, but say what is there to who points at them. */
static void draw_hints(const struct frame *frame, const struct chart *chart,
		       const struct curve *curve)
{
	size_t stride = curve->count / HINTS_MAX + 1;
	char x[FIGURE_TEXT_BYTES], y[FIGURE_TEXT_BYTES];

	for (size_t i = 0; i < curve->count; i += stride) {
		const struct chart_point *point = &curve->points[i];
		if (!is_drawn(chart, point))
			continue;
		fprintf(frame->out,
			"<circle class=\"hint c%u\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>",
			curve->color, x_of(frame, point->x), y_of(frame, point->y));
		html_text(frame->out, curve->label);
		if (chart->x_scale == SCALE_NINES)
			snprintf(x, sizeof(x), "%.8g%%", 100 * point->x);
		else
			figure_text(point->x, x, sizeof(x));
		fprintf(frame->out, ", %s%s%s: %s %s</title></circle>\n", x,
			chart->x_scale == SCALE_NINES ? "" : " ",
			chart->x_scale == SCALE_NINES ? "" : chart->x_unit,
			figure_text(point->y, y, sizeof(y)), chart->y_unit);
	}
}

void chart_draw(const struct chart *chart, FILE *out)
{
	struct range x = range_of(chart, true), y = range_of(chart, false);

	if (x.from > x.to || y.from > y.to)
		return;
	struct frame frame = {axis_over(chart->x_scale, x), axis_over(chart->y_scale, y), out};
	fprintf(out,
		"<figure><figcaption>%s</figcaption>\n"
		"<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
		chart->title, WIDTH, HEIGHT, chart->title);
	draw_axes(&frame, chart);
	for (size_t i = 0; i < chart->count; i++)
		draw_line(&frame, chart, &chart->curves[i]);
	for (size_t i = 0; i < chart->count; i++) {
		if (chart->curves[i].style != CURVE_FAINT)
			draw_hints(&frame, chart, &chart->curves[i]);
	}
	fputs("</svg></figure>\n", out);
}
