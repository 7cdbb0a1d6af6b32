/* bench/suite/report.h: results for people. */
#pragma once
#include "bench/suite/result.h"

#include <stdio.h>

/* One block a workload: a line a label, medians of its runs with smallest and largest. */
void report_summary(FILE *out, const struct result *results, size_t count);
/* One page that needs nothing else: SVG charts of latency by percentile, throughput, latency and
 * CPU over time, CPU a million records, and the runs side by side; light and dark.  -errno. */
int report_html(const char *path, const struct result *results, size_t count);

/* As HdrHistogram's tools print and read it, in milliseconds. */
void report_percentiles_print(FILE *out, const struct histogram *histogram);
/* Makes the folder, if it is not there, and looks whether it may be written to.  -errno. */
int report_percentiles_begin(const char *folder);
/* A file WORKLOAD.LABEL.publish.hgrm and .end-to-end.hgrm each, of all runs together; makes the
 * folder.  -errno. */
int report_percentiles(const char *folder, const struct result *results, size_t count);

/* "published_per_s>=0.95": of the medians B / A. */
struct report_gate {
	const char *figure;
	double least; /* NAN: no bound; so too below */
	double most;
};

/* -EINVAL: no such figure, `why` names them all. */
int report_gate_parse(const char *text, struct report_gate *ret, char *why, size_t why_bytes);
/* Ratios B / A of each figure: median of all pairs of runs, smallest, largest.  Returns how many
 * gates are not kept; a workload that only one of them has is an error, -EINVAL. */
int report_compare(FILE *out, const struct result *a, size_t a_count, const struct result *b,
		   size_t b_count, const struct report_gate *gates, size_t gate_count);

/* ---- host.c ---- */
/* `data` is a path on the disk that matters, `url` where the broker is. */
void host_describe(struct host *ret, const char *data, const char *url);
