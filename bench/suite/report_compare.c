/* bench/suite/report_compare.c: two sets of runs, B against A, figure by figure.
 *
 * Each run of B is divided by each run of A: the median of all these ratios, the smallest and the
 * largest are what holds where single runs scatter. */
#include "bench/suite/report.h"

#include "base/bytes.h"
#include "bench/suite/report_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- gates ---- */

static void name_all(char *why, size_t why_bytes)
{
	const struct figure *figure;
	size_t at = strlen(why);

	for (size_t i = 0; (figure = figure_at(i)) && at < why_bytes; i++)
		at += (size_t)snprintf(why + at, why_bytes - at, "%s %s", i ? "," : "",
				       figure->name);
}

int report_gate_parse(const char *text, struct report_gate *ret, char *why, size_t why_bytes)
{
	size_t length = strcspn(text, "<>=");
	const char *bound = text + length;
	char name[64], *end;

	snprintf(name, sizeof(name), "%.*s", (int)length, text);
	const struct figure *figure = figure_find(name);
	if (!figure) {
		snprintf(why, why_bytes, "no figure is called \"%.60s\"; there are:", name);
		name_all(why, why_bytes);
		return -EINVAL;
	}
	if (strncmp(bound, ">=", 2) != 0 && strncmp(bound, "<=", 2) != 0) {
		snprintf(why, why_bytes, "\"%.80s\" is no gate: FIGURE>=RATIO or FIGURE<=RATIO",
			 text);
		return -EINVAL;
	}
	double ratio = strtod(bound + 2, &end);
	if (end == bound + 2 || *end || !(ratio > 0) || isinf(ratio)) {
		snprintf(why, why_bytes, "\"%.80s\": a ratio above 0 is expected", text);
		return -EINVAL;
	}
	*ret = (struct report_gate){figure->name, (double)NAN, (double)NAN};
	*(*bound == '>' ? &ret->least : &ret->most) = ratio;
	return 0;
}

/* What was not measured keeps no gate. */
static bool gate_is_kept(const struct report_gate *gate, const struct spread *ratios)
{
	return ratios->count && !(ratios->median < gate->least) && !(ratios->median > gate->most);
}

/* ---- ratios ---- */

/* Nothing on both sides is the same. */
static double ratio_of(double a, double b)
{
	return a == 0 && b == 0 ? 1 : b / a;
}

static struct spread ratios_of(const struct series *a, const struct series *b,
			       const struct figure *figure)
{
	double *ratios = calloc(a->count * b->count, sizeof(*ratios));
	size_t count = 0;

	if (!ratios)
		return spread_of(NULL, 0);
	for (size_t i = 0; i < a->count; i++) {
		for (size_t j = 0; j < b->count; j++)
			ratios[count++] = ratio_of(figure->of(a->runs[i]), figure->of(b->runs[j]));
	}
	struct spread spread = spread_of(ratios, count);
	free(ratios);
	return spread;
}

/* Only where all of A lies on one side of all of B; a run of each has no spread to tell by. */
static const char *verdict(const struct spread *ratios, const struct figure *figure)
{
	if (ratios->count == 1 && ratios->median != 1)
		return "one run";
	if (ratios->smallest > 1)
		return figure->larger_is_better ? "better" : "worse";
	if (ratios->largest < 1)
		return figure->larger_is_better ? "worse" : "better";
	return ratios->smallest == ratios->largest ? "the same" : "unclear";
}

static void row_add(struct table *table, const struct series *a, const struct series *b,
		    const struct figure *figure)
{
	struct spread of_a = series_figure(a, figure);
	struct spread of_b = series_figure(b, figure);
	struct spread ratios = ratios_of(a, b, figure);
	char text[SPREAD_TEXT_BYTES];

	if (!ratios.count || (of_a.largest == 0 && of_b.largest == 0))
		return;
	table_add(table, "%s", figure->name);
	table_add(table, "%s", spread_text(&of_a, text, sizeof(text)));
	table_add(table, "%s", spread_text(&of_b, text, sizeof(text)));
	table_add(table, "%s", spread_text(&ratios, text, sizeof(text)));
	table_add(table, "%s", verdict(&ratios, figure));
}

static void workload_compare(FILE *out, const struct series *a, const struct series *b)
{
	struct table table = {.columns = 5};
	const struct figure *figure;
	char text[WORKLOAD_TEXT_BYTES];

	fprintf(out, "%s: A is %s (%zu run%s), B is %s (%zu run%s)\n", a->workload, a->label,
		a->count, a->count == 1 ? "" : "s", b->label, b->count, b->count == 1 ? "" : "s");
	if (workload_difference(&b->runs[0]->workload, &a->runs[0]->workload, text,
				sizeof(text))[0])
		fprintf(out, "  in B %s\n", text);
	table_add(&table, "figure");
	table_add(&table, "A");
	table_add(&table, "B");
	table_add(&table, "B / A");
	table_add(&table, "B is");
	for (size_t i = 0; (figure = figure_at(i)); i++)
		row_add(&table, a, b, figure);
	table_print(&table, out);
	fputc('\n', out);
}

static int gates_check(FILE *out, const struct series *a, const struct series *b,
		       const struct report_gate *gates, size_t count)
{
	char text[SPREAD_TEXT_BYTES];
	int not_kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct spread ratios = ratios_of(a, b, figure_find(gates[i].figure));
		bool kept = gate_is_kept(&gates[i], &ratios);
		bool at_least = !isnan(gates[i].least);

		not_kept += !kept;
		fprintf(out, "%s: %s, %s %s %g: %s\n", kept ? "kept" : "NOT KEPT", a->workload,
			gates[i].figure,
			at_least ? ">=" : "<=", at_least ? gates[i].least : gates[i].most,
			ratios.count ? spread_text(&ratios, text, sizeof(text)) : "not measured");
	}
	return not_kept;
}

/* ---- what belongs together ---- */

/* Its place among the series; `count` when there is none. */
static size_t find_workload(const struct series *series, size_t count, const char *workload)
{
	size_t i = 0;

	while (i < count && strcmp(series[i].workload, workload) != 0)
		i++;
	return i;
}

/* Each workload of `series` has one label, and is one of `others` too. */
static int sides_check(FILE *out, const char *side, const struct series *series, size_t count,
		       const struct series *others, size_t other_count)
{
	for (size_t i = 0; i < count; i++) {
		if (!series[i].begins_workload) {
			fprintf(out, "%s has %s under more than one label: %s, %s\n", side,
				series[i].workload, series[i - 1].label, series[i].label);
			return -EINVAL;
		}
		if (find_workload(others, other_count, series[i].workload) == other_count) {
			fprintf(out, "only %s has %s\n", side, series[i].workload);
			return -EINVAL;
		}
	}
	return 0;
}

static int series_compare(FILE *out, const struct series *a, size_t a_count, const struct series *b,
			  size_t b_count, const struct report_gate *gates, size_t gate_count)
{
	int not_kept = 0;
	int rc = sides_check(out, "A", a, a_count, b, b_count);

	if (rc == 0)
		rc = sides_check(out, "B", b, b_count, a, a_count);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < a_count; i++)
		workload_compare(out, &a[i], &b[find_workload(b, b_count, a[i].workload)]);
	caveats_print(out, "A: ", a, a_count);
	caveats_print(out, "B: ", b, b_count);
	for (size_t i = 0; i < a_count; i++)
		not_kept += gates_check(out, &a[i], &b[find_workload(b, b_count, a[i].workload)],
					gates, gate_count);
	return not_kept;
}

int report_compare(FILE *out, const struct result *a, size_t a_count, const struct result *b,
		   size_t b_count, const struct report_gate *gates, size_t gate_count)
{
	struct series *a_series = NULL, *b_series = NULL;
	size_t a_series_count = 0, b_series_count = 0;
	int rc = series_of(a, a_count, &a_series, &a_series_count);

	if (rc == 0)
		rc = series_of(b, b_count, &b_series, &b_series_count);
	if (rc == 0)
		rc = series_compare(out, a_series, a_series_count, b_series, b_series_count, gates,
				    gate_count);
	series_free(a_series, a_series_count);
	series_free(b_series, b_series_count);
	return rc;
}
