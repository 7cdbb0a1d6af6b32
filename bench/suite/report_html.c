/* bench/suite/report_html.c: results as one page that needs nothing else: no script, no other file.
 *
 *     head: when, where
 *     a section a workload: what was asked; legend; bars; charts; all figures
 *     runs, host, caveats */
#include "bench/suite/report.h"

#include "bench/suite/replace_file.h"
#include "bench/suite/report_chart.h"
#include "bench/suite/report_html_internal.h"
#include "bench/suite/report_text.h"

#include <errno.h>
#include <string.h>

static bool label_is_first(const struct page *page, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(page->series[i].label, page->series[index].label) == 0)
			return false;
	}
	return true;
}

unsigned page_color(const struct page *page, const char *label)
{
	unsigned color = 0;

	for (size_t i = 0; i < page->series_count; i++) {
		if (strcmp(page->series[i].label, label) == 0)
			break;
		color += label_is_first(page, i);
	}
	return color % CHART_COLORS;
}

/* ---- sections ---- */

static void legend(const struct page *page, const struct series *series, size_t count)
{
	fputs("<p class=\"legend\">", page->out);
	for (size_t i = 0; i < count; i++) {
		fprintf(page->out, "<span><i class=\"c%u\"></i>",
			page_color(page, series[i].label));
		html_text(page->out, series[i].label);
		fputs("</span>\n", page->out);
	}
	fputs("</p>\n", page->out);
}

static void differences(const struct page *page, const struct series *series, size_t count)
{
	char text[WORKLOAD_TEXT_BYTES];

	for (size_t i = 1; i < count; i++) {
		workload_difference(&series[i].runs[0]->workload, &series[0].runs[0]->workload,
				    text, sizeof(text));
		if (!text[0])
			continue;
		fputs("<p>With ", page->out);
		html_text(page->out, series[i].label);
		fputs(" ", page->out);
		html_text(page->out, text);
		fputs(".</p>\n", page->out);
	}
}

static void section(const struct page *page, const struct series *series, size_t count)
{
	const struct result *run = series->runs[0];
	char text[WORKLOAD_TEXT_BYTES];

	fputs("<section>\n<h2>", page->out);
	html_text(page->out, run->workload.name);
	fputs("</h2>\n<p>", page->out);
	html_text(page->out, run->workload.help);
	fputs(run->workload.help[0] ? ". " : "", page->out);
	html_text(page->out, workload_text(&run->workload, text, sizeof(text)));
	fputs(".", page->out);
	if (!run->open_loop && run->publish)
		fputs(" At full speed: latencies are those of full windows.", page->out);
	fputs("</p>\n", page->out);
	differences(page, series, count);
	legend(page, series, count);
	page_bars(page, series, count);
	page_charts(page, series, count);
	page_figures(page, series, count);
	fputs("</section>\n", page->out);
}

static void sections(const struct page *page)
{
	size_t labels;

	for (size_t i = 0; i < page->series_count; i += labels) {
		labels = 1;
		while (i + labels < page->series_count && !page->series[i + labels].begins_workload)
			labels++;
		section(page, &page->series[i], labels);
	}
}

/* ---- the page ---- */

static void head(const struct page *page)
{
	fprintf(page->out,
		"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" "
		"content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
		"<title>sluice-bench report</title>\n<style>\n%s</style>\n</head>\n<body>\n"
		"<header><h1>sluice-bench</h1>",
		page_style);
	if (page->series_count) {
		const struct result *run = page->series[0].runs[0];

		fputs("<p>", page->out);
		html_text(page->out, run->started);
		fputs(run->started[0] ? ", " : "", page->out);
		html_text(page->out, run->host.cpu);
		fprintf(page->out, ", %u cores. <a href=\"#caveats\">Caveats</a></p>",
			run->host.cores);
	}
	fputs("</header>\n<main>\n", page->out);
}

void report_html_print(FILE *out, const struct series *series, size_t count)
{
	const struct page page = {out, series, count};

	head(&page);
	if (count) {
		sections(&page);
		page_runs(&page);
		page_host(&page);
		page_caveats(&page);
	} else {
		fputs("<p>There are no results.</p>\n", out);
	}
	fputs("</main>\n</body>\n</html>\n", out);
}

int report_html(const char *path, const struct result *results, size_t count)
{
	struct series *series;
	size_t series_count;
	struct replace_file file;
	int rc = series_of(results, count, &series, &series_count);

	if (rc < 0)
		return rc;
	rc = replace_file_open(&file, path);
	if (rc == 0) {
		report_html_print(file.out, series, series_count);
		rc = replace_file_close(&file, true);
	}
	series_free(series, series_count);
	return rc;
}
