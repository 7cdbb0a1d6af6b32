/* bench/suite/report_summary.c: results as plain text.
 *
 *     produce-1k: what it is about
 *     what was asked of every driver
 *
 *       throughput        published  published  ...
 *                         records/s       MB/s
 *       sluice, 5 runs    ...                          a line a label
 *       kafka, 5 runs     ...
 *
 *       publish latency   ...                          a block a group of figures
 *
 *     host, caveats */
#include "bench/suite/report.h"

#include "bench/suite/report_text.h"

/* ---- blocks of figures ---- */

/* Is there anything to be seen in it, besides zeros? */
static bool figure_is_known(const struct figure *figure, const struct series *series, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct spread spread = series_figure(&series[i], figure);

		if (spread.count && spread.largest > 0)
			return true;
	}
	return false;
}

/* Returns how many. */
static size_t figures_known(enum figure_group group, const struct series *series, size_t count,
			    const struct figure **ret)
{
	const struct figure *figure;
	size_t known = 0;

	for (size_t i = 0; (figure = figure_at(i)); i++) {
		if (figure->group == group && figure->brief &&
		    figure_is_known(figure, series, count))
			ret[known++] = figure;
	}
	return known;
}

static void block_print(FILE *out, enum figure_group group, const struct series *series,
			size_t count)
{
	const struct figure *figures[FIGURE_COUNT];
	size_t known = figures_known(group, series, count, figures);
	struct table table = {.columns = known + 1};
	char text[SPREAD_TEXT_BYTES];

	if (!known)
		return;
	table_add(&table, "%s", figure_group_title(group));
	for (size_t i = 0; i < known; i++)
		table_add(&table, "%s", figures[i]->title);
	table_add(&table, "%s", "");
	for (size_t i = 0; i < known; i++)
		table_add(&table, "%s", figures[i]->unit);
	for (size_t i = 0; i < count; i++) {
		table_add(&table, "%s", series[i].label);
		for (size_t j = 0; j < known; j++) {
			struct spread spread = series_figure(&series[i], figures[j]);
			table_add(&table, "%s", spread_text(&spread, text, sizeof(text)));
		}
	}
	table_print(&table, out);
	fputc('\n', out);
}

/* ---- what else there is to be said ---- */

static void origin_print(FILE *out, const struct series *series)
{
	const struct result *run = series->runs[0];

	fprintf(out, "  %s: %zu run%s of %.4g s", series->label, series->count,
		series->count == 1 ? "" : "s", run->seconds);
	if (run->client_version[0])
		fprintf(out, ", %s", run->client_version);
	if (run->url[0])
		fprintf(out, ", %s", run->url);
	if (run->commit[0])
		fprintf(out, ", commit %s", run->commit);
	fputc('\n', out);
}

/* `series` are a workload's. */
static void differences_print(FILE *out, const struct series *series, size_t count)
{
	char text[WORKLOAD_TEXT_BYTES];

	for (size_t i = 1; i < count; i++) {
		workload_difference(&series[i].runs[0]->workload, &series[0].runs[0]->workload,
				    text, sizeof(text));
		if (text[0])
			fprintf(out, "  With %s %s.\n", series[i].label, text);
	}
}

static void workload_print(FILE *out, const struct series *series, size_t count)
{
	const struct workload *workload = &series->runs[0]->workload;
	char text[WORKLOAD_TEXT_BYTES];

	fprintf(out, "%s%s%s\n%s\n\n", workload->name, workload->help[0] ? ": " : "",
		workload->help, workload_text(workload, text, sizeof(text)));
	for (enum figure_group group = 0; group < FIGURE_GROUPS; group++)
		block_print(out, group, series, count);
	for (size_t i = 0; i < count; i++)
		origin_print(out, &series[i]);
	differences_print(out, series, count);
	if (!series->runs[0]->open_loop && series->runs[0]->publish)
		fprintf(out, "  At full speed: latencies are those of full windows.\n");
	fputc('\n', out);
}

static void host_print(FILE *out, const struct host *host)
{
	char text[HOST_FACT_BYTES];
	const char *name;

	for (size_t i = 0; (name = host_fact(host, i, text, sizeof(text))); i++) {
		if (text[0])
			fprintf(out, "  %-12s %s\n", name, text);
	}
}

static size_t labels_of(const struct series *series, size_t count)
{
	size_t labels = 1;

	while (labels < count && !series[labels].begins_workload)
		labels++;
	return labels;
}

void report_summary(FILE *out, const struct result *results, size_t count)
{
	struct series *series;
	size_t series_count;
	size_t labels;

	if (series_of(results, count, &series, &series_count) < 0) {
		fprintf(out, "no memory for a summary\n");
		return;
	}
	for (size_t i = 0; i < series_count; i += labels) {
		labels = labels_of(&series[i], series_count - i);
		workload_print(out, &series[i], labels);
	}
	if (count) {
		fprintf(out, "medians of the runs (smallest .. largest)\n");
		host_print(out, &results[0].host);
		caveats_print(out, "", series, series_count);
	}
	series_free(series, series_count);
}
