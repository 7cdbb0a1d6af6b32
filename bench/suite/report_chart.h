/* bench/suite/report_chart.h: charts as SVG, drawn by us.
 *
 * Colours are the page's: a curve of colour 3 has the class "c3", and the page says what that is,
 * in the light and in the dark. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CHART_COLORS = 8 };

enum chart_scale {
	SCALE_LINEAR, /* from 0 */
	SCALE_LOG,
	SCALE_NINES, /* a share, by nines: 0.9 is as far from 0 as 0.99 from 0.9; 1 is at the end */
};

enum curve_style { CURVE_PLAIN, CURVE_DASHED, CURVE_FAINT };

struct chart_point {
	double x;
	double y;
};

struct curve {
	const char *label; /* for who points at it */
	unsigned color;
	enum curve_style style;
	struct chart_point *points; /* owned; those that no scale has are left out */
	size_t count;
	size_t room;
};

struct chart {
	const char *title;
	const char *x_unit;
	const char *y_unit;
	enum chart_scale x_scale; /* linear or nines */
	enum chart_scale y_scale; /* linear or log */
	struct curve *curves;     /* owned */
	size_t count;
	size_t room;
};

/* Null: no memory.  Valid until the next one is added. */
struct curve *chart_add(struct chart *chart, const char *label, unsigned color,
			enum curve_style style);
/* Null is fine, and so is what is not finite: there is no such point then. */
void curve_add(struct curve *curve, double x, double y);
/* Nothing when it has no points. */
void chart_draw(const struct chart *chart, FILE *out);
void chart_fini(struct chart *chart);

/* One bar: a median, and the runs it is of. */
struct bar {
	const char *label;
	unsigned color;
	double median;
	const double *values; /* those that are NAN are left out */
	size_t count;
};

/* Of lengths from 0 to the largest value; bars that are NAN are left out. */
void bars_draw(const char *title, const char *unit, const struct bar *bars, size_t count,
	       FILE *out);

/* With what HTML gives a meaning to written as entities. */
void html_text(FILE *out, const char *text);
