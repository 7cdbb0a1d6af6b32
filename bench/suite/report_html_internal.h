/* bench/suite/report_html_internal.h: parts of the page. */
#pragma once
#include "bench/suite/report_figures.h"

#include <stdio.h>

/* All labels of a report have colours by the order in which they come. */
struct page {
	FILE *out;
	const struct series *series;
	size_t series_count;
};

/* The whole page. */
void report_html_print(FILE *out, const struct series *series, size_t count);

unsigned page_color(const struct page *page, const char *label);

/* ---- report_html_charts.c ---- */

/* Of one workload: a series a label. */
void page_bars(const struct page *page, const struct series *series, size_t count);
void page_charts(const struct page *page, const struct series *series, size_t count);

/* ---- report_html_tables.c ---- */

void page_figures(const struct page *page, const struct series *series, size_t count);
void page_runs(const struct page *page);
void page_host(const struct page *page);
void page_caveats(const struct page *page);

/* ---- report_html_style.c ---- */
extern const char page_style[];
