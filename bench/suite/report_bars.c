/* bench/suite/report_bars.c: bars to compare by: label and median above each, every run on it.
 *
 *     sluice                                 1.02 M
 *     [#########################o##o#]
 *     kafka                                   310 k
 *     [#######o#o]
 */
#include "bench/suite/report_chart.h"

#include "bench/suite/report_figures.h"

#include <math.h>

enum {
	WIDTH = 230,
	ROW = 40,
	BAR_TOP = 20, /* below the row's */
	BAR_HEIGHT = 11,
	INSET = 5, /* that a run at the end is seen whole */
};

static double largest_of(const struct bar *bars, size_t count)
{
	double largest = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < bars[i].count; j++) {
			if (bars[i].values[j] > largest)
				largest = bars[i].values[j];
		}
	}
	return largest;
}

static void bar_draw(const struct bar *bar, unsigned row, double largest, const char *unit,
		     FILE *out)
{
	double scale = (WIDTH - 2 * INSET) / largest;
	unsigned top = row * ROW + BAR_TOP;
	char text[FIGURE_TEXT_BYTES];

	fprintf(out, "<text class=\"name\" x=\"0\" y=\"%u\">", top - 6);
	html_text(out, bar->label);
	fprintf(out,
		"</text><text class=\"value\" x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>\n",
		WIDTH, top - 6, figure_text(bar->median, text, sizeof(text)));
	fprintf(out,
		"<rect class=\"track\" x=\"0\" y=\"%u\" width=\"%d\" height=\"%d\" rx=\"2\"/>"
		"<rect class=\"bar c%u\" x=\"0\" y=\"%u\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n",
		top, WIDTH, BAR_HEIGHT, bar->color, top, INSET + bar->median * scale, BAR_HEIGHT);
	for (size_t i = 0; bar->count > 1 && i < bar->count; i++) {
		if (isnan(bar->values[i]))
			continue;
		fprintf(out, "<circle class=\"run c%u\" cx=\"%.1f\" cy=\"%u\" r=\"3.5\"><title>",
			bar->color, INSET + bar->values[i] * scale, top + BAR_HEIGHT / 2);
		html_text(out, bar->label);
		fprintf(out, ", run %zu: %s %s</title></circle>\n", i + 1,
			figure_text(bar->values[i], text, sizeof(text)), unit);
	}
}

void bars_draw(const char *title, const char *unit, const struct bar *bars, size_t count, FILE *out)
{
	double largest = largest_of(bars, count);
	unsigned rows = 0;

	for (size_t i = 0; i < count; i++)
		rows += !isnan(bars[i].median);
	if (!rows || !(largest > 0))
		return;
	fprintf(out,
		"<figure><figcaption>%s <small>%s</small></figcaption>\n"
		"<svg viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"%s\">\n",
		title, unit, WIDTH, rows * ROW, title);
	rows = 0;
	for (size_t i = 0; i < count; i++) {
		if (!isnan(bars[i].median))
			bar_draw(&bars[i], rows++, largest, unit, out);
	}
	fputs("</svg></figure>\n", out);
}
