#include "bench/suite/report_chart.h"
#include "bench/suite/report_html_internal.h"
#include "bench/suite/report_text.h"

#include <string.h>

/* ---- figures ---- */

/* All runs of `a` are better than all of `b`. */
static bool is_better(const struct figure *figure, const struct spread *a, const struct spread *b)
{
	if (!a->count || !b->count)
		return a->count > 0;
	return figure->larger_is_better ? a->smallest > b->largest : a->largest < b->smallest;
}

static bool is_best(const struct figure *figure, const struct series *series, size_t count,
		    size_t index)
{
	struct spread spread = series_figure(&series[index], figure);

	for (size_t i = 0; i < count; i++) {
		struct spread other = series_figure(&series[i], figure);

		if (i != index && !is_better(figure, &spread, &other))
			return false;
	}
	return count > 1;
}

static bool is_known(const struct figure *figure, const struct series *series, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct spread spread = series_figure(&series[i], figure);

		if (spread.count && spread.largest > 0)
			return true;
	}
	return false;
}

static void figure_cell(FILE *out, const struct spread *spread, bool best)
{
	char median[FIGURE_TEXT_BYTES], text[SPREAD_TEXT_BYTES];

	figure_text(spread->median, median, sizeof(median));
	spread_text(spread, text, sizeof(text));
	fprintf(out, "<td%s>%s", best ? " class=\"best\"" : "", median);
	if (strlen(text) > strlen(median)) /* there is a spread behind it */
		fprintf(out, "<small>%s</small>", text + strlen(median));
	fputs("</td>", out);
}

static void figure_row(FILE *out, const struct figure *figure, const struct series *series,
		       size_t count)
{
	fprintf(out, "<tr><th scope=\"row\" title=\"%s\">", figure->name);
	html_text(out, figure->title);
	fprintf(out, " <small>%s</small></th>", figure->unit);
	for (size_t i = 0; i < count; i++) {
		struct spread spread = series_figure(&series[i], figure);
		figure_cell(out, &spread, is_best(figure, series, count, i));
	}
	fputs("</tr>\n", out);
}

static void figures_of_group(FILE *out, enum figure_group group, const struct series *series,
			     size_t count)
{
	const struct figure *figure;
	bool begun = false;

	for (size_t i = 0; (figure = figure_at(i)); i++) {
		if (figure->group != group || !is_known(figure, series, count))
			continue;
		if (!begun)
			fprintf(out,
				"<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"%zu\">%s"
				"</th></tr>\n",
				count + 1, figure_group_title(group));
		begun = true;
		figure_row(out, figure, series, count);
	}
}

void page_figures(const struct page *page, const struct series *series, size_t count)
{
	FILE *out = page->out;

	fputs("<div class=\"wide\"><table class=\"figures\">\n<thead><tr><th>median of the runs "
	      "<small>(smallest .. largest)</small></th>",
	      out);
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "<th scope=\"col\"><i class=\"c%u\"></i>",
			page_color(page, series[i].label));
		html_text(out, series[i].label);
		fputs("</th>", out);
	}
	fputs("</tr></thead>\n<tbody>\n", out);
	for (enum figure_group group = 0; group < FIGURE_GROUPS; group++)
		figures_of_group(out, group, series, count);
	fputs("</tbody></table></div>\n", out);
}

/* ---- where figures come from ---- */

static void cell(FILE *out, const char *text)
{
	fputs("<td>", out);
	html_text(out, text);
	fputs("</td>", out);
}

static void run_row(const struct page *page, const struct series *series)
{
	const struct result *run = series->runs[0];
	FILE *out = page->out;

	fprintf(out, "<tr><td><i class=\"c%u\"></i>", page_color(page, series->label));
	html_text(out, series->label);
	fputs("</td>", out);
	cell(out, series->workload);
	fprintf(out, "<td>%zu of %.4g s</td>", series->count, run->seconds);
	cell(out, run->driver);
	cell(out, run->client_version);
	cell(out, run->url);
	cell(out, run->started);
	cell(out, run->commit);
	fputs("</tr>\n", out);
}

static bool command_is_new(const struct page *page, size_t index)
{
	const char *command = page->series[index].runs[0]->command;

	for (size_t i = 0; i < index; i++) {
		if (strcmp(page->series[i].runs[0]->command, command) == 0)
			return false;
	}
	return command[0];
}

void page_runs(const struct page *page)
{
	FILE *out = page->out;

	fputs("<h2>Runs</h2>\n<div class=\"wide\"><table class=\"runs\"><thead><tr><th>label</th>"
	      "<th>workload</th><th>runs</th><th>driver</th><th>client and broker</th><th>URL</th>"
	      "<th>started</th><th>commit</th></tr></thead><tbody>\n",
	      out);
	for (size_t i = 0; i < page->series_count; i++)
		run_row(page, &page->series[i]);
	fputs("</tbody></table></div>\n", out);
	for (size_t i = 0; i < page->series_count; i++) {
		if (!command_is_new(page, i))
			continue;
		fputs("<pre>", out);
		html_text(out, page->series[i].runs[0]->command);
		fputs("</pre>\n", out);
	}
}

void page_host(const struct page *page)
{
	const struct host *host = &page->series[0].runs[0]->host;
	char text[HOST_FACT_BYTES];
	const char *name;

	fputs("<h2>Host</h2>\n<dl>\n", page->out);
	for (size_t i = 0; (name = host_fact(host, i, text, sizeof(text))); i++) {
		if (!text[0])
			continue;
		fprintf(page->out, "<dt>%s</dt><dd>", name);
		html_text(page->out, text);
		fputs("</dd>\n", page->out);
	}
	fputs("</dl>\n", page->out);
}

/* ---- caveats ---- */

static bool one_host(const struct page *page)
{
	const struct host *first = &page->series[0].runs[0]->host;

	for (size_t i = 0; i < page->series_count; i++) {
		for (size_t j = 0; j < page->series[i].count; j++) {
			const struct host *host = &page->series[i].runs[j]->host;

			if (strcmp(host->cpu, first->cpu) != 0 || host->cores != first->cores ||
			    strcmp(host->kernel, first->kernel) != 0 ||
			    strcmp(host->disk, first->disk) != 0)
				return false;
		}
	}
	return true;
}

static void series_caveats(const struct page *page, const struct series *series)
{
	char text[CAVEAT_TEXT_BYTES];
	size_t runs;

	for (size_t i = 0; series_caveat(series, i, text, sizeof(text), &runs); i++) {
		fprintf(page->out, "<li><i class=\"c%u\"></i><b>", page_color(page, series->label));
		html_text(page->out, series->label);
		fputs("</b>, ", page->out);
		html_text(page->out, series->workload);
		fprintf(page->out, ", %zu of %zu run%s: ", runs, series->count,
			series->count == 1 ? "" : "s");
		html_text(page->out, text);
		fputs("</li>\n", page->out);
	}
}

void page_caveats(const struct page *page)
{
	fputs("<h2 id=\"caveats\">Caveats</h2>\n<ul class=\"caveats\">\n", page->out);
	for (size_t i = 0; i < page->series_count; i++)
		series_caveats(page, &page->series[i]);
	if (!one_host(page))
		fputs("<li>The runs are not all of one host; what is described is the first "
		      "one&#39;s.</li>\n",
		      page->out);
	fputs("<li>Charts over time show each label&#39;s typical run, the one whose rate is the "
	      "median; over percentiles the other runs are there faintly. Of the last few records "
	      "in a tail no percentile is certain. What is marked in a table is better in all its "
	      "runs than all others in all of theirs.</li>\n</ul>\n",
	      page->out);
}
