/* bench/suite/report_text.h: what summary, comparison and page say alike. */
#pragma once
#include "bench/suite/report_figures.h"

#include <stdio.h>

/* "1 topic of 16 partitions, records of 1000 bytes, ...": what was asked of every driver.  Returns
 * `text`, cut. */
const char *workload_text(const struct workload *workload, char *text, size_t bytes);
enum { WORKLOAD_TEXT_BYTES = 512 };

/* Where two workloads of one name differ: "partitionsPerTopic is 16, not 1000, ..."; "" if nowhere.
 * Returns `text`, cut. */
const char *workload_difference(const struct workload *workload, const struct workload *from,
				char *text, size_t bytes);

/* One fact a call, by index: its name and "" when unknown; null past the last one. */
const char *host_fact(const struct host *host, size_t index, char *text, size_t bytes);
enum { HOST_FACT_BYTES = 192 };

/* ---- report_caveats.c ---- */

/* A caveat of a series' runs; those that differ by numbers alone are one, with the smallest and the
 * largest of each.  `ret_runs` is how many of the runs have it.  Returns `text`, cut; null past the
 * last one. */
const char *series_caveat(const struct series *series, size_t index, char *text, size_t bytes,
			  size_t *ret_runs);
enum { CAVEAT_TEXT_BYTES = 1024 };
/* Those of all series, a line each; `before` stands at its beginning. */
void caveats_print(FILE *out, const char *before, const struct series *series, size_t count);

/* ---- tables ---- */

/* Columns of text, as wide as what is in them; the first is flush left, the others right. */
struct table {
	size_t columns;
	size_t count; /* of cells */
	size_t room;
	char **cells; /* owned; row by row */
	bool failed;  /* no memory for one */
};

void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Empties it.  -ENOMEM: a cell was lost, nothing is printed. */
int table_print(struct table *table, FILE *out);
