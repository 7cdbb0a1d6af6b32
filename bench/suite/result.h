/* bench/suite/result.h: what a run has measured. */
#pragma once
#include "bench/histogram.h"
#include "bench/suite/workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a histogram, in nanoseconds. */
struct histogram_figures {
	uint64_t count;
	double mean;
	uint64_t p50, p75, p95, p99, p999, p9999, p99999, max;
};

/* One rung of the ladder that HdrHistogram's tools print: `ns` or less took the part `share`. */
struct histogram_rung {
	double share; /* 0 .. 1 */
	uint64_t ns;
	uint64_t seen; /* so many of all */
};

enum { HISTOGRAM_RUNGS_MAX = 1024 };

/* One a second of the measured time; rates are of that second. */
struct sample {
	uint64_t at_ms; /* since measuring began */
	double published_per_s;
	double publish_errors_per_s;
	double consumed_per_s;
	double backlog; /* records published and not yet consumed, by the slowest subscription */
	struct histogram_figures publish;
	struct histogram_figures delay; /* from when it was due until it was sent */
	struct histogram_figures end_to_end;
	double broker_cpu; /* cores */
	uint64_t broker_resident_bytes;
	double client_cpu;
};

/* What was used while it was measured; of the broker's processes, of this one, of the machine. */
struct usage_total {
	double user_s;
	double system_s;
	uint64_t resident_bytes_max;
	uint64_t read_bytes; /* from and to block devices */
	uint64_t written_bytes;
	uint64_t context_switches;
};

struct host {
	char cpu[96];
	unsigned cores;
	char kernel[96];
	char distribution[96];
	uint64_t memory_bytes;
	char governor[32]; /* "" where there is none to be seen; so too below */
	char disk[96];     /* device, model, file system of the broker's data folder or of "." */
	char nic[160];     /* the URL's interface: driver, speed, offloads */
	double load_average;
};

struct result {
	struct workload workload;
	char driver[32];
	char client_version[64];
	char url[256];
	char label[64];   /* "sluice-flush": what is compared; driver's name by default */
	char started[32]; /* RFC 3339 */
	char commit[48];
	char command[512]; /* that measured it; "" when unknown */
	double seconds;    /* measured */
	bool open_loop;
	double asked_per_s;
	double published_per_s;
	double consumed_per_s;
	uint64_t published;
	uint64_t publish_errors;
	uint64_t consumed;
	uint64_t bytes;            /* of payload published */
	struct histogram *publish; /* owned; null: nothing was */
	struct histogram *delay;
	struct histogram *end_to_end;
	struct sample *samples;
	size_t sample_count;
	bool broker_known;
	struct usage_total broker;
	struct usage_total client;
	struct host host;
	char caveats[512]; /* sentences: rate not reached, machine busy, errors, ... */
};

void result_fini(struct result *result);

/* ---- figures.c ---- */

/* All 0 of null, and of an empty one. */
struct histogram_figures histogram_figures_of(const struct histogram *histogram);
/* Some rungs to each halving of what is left to the longest, the figures above among them, the last
 * one at share 1; `rungs` has room for HISTOGRAM_RUNGS_MAX.  Returns how many; 0: it is empty. */
size_t histogram_ladder(const struct histogram *histogram, struct histogram_rung *rungs);
/* `total` durations as a ladder has them, by share and ns; with the same figures.  *ret has to be
 * all 0. */
void histogram_from_ladder(struct histogram *ret, const struct histogram_rung *rungs, size_t count,
			   uint64_t total, double mean_ns);

/* ---- result_json.c ---- */

/* As OpenMessaging's, with ours beside.  Several runs of one thing are several files' worth in one
 * array.  -errno. */
int result_write(const char *path, const struct result *results, size_t count);
/* Also what OpenMessaging Benchmark wrote itself: what it does not say is 0.  -EINVAL with `why`.
 * The histograms come back from their quantiles. */
int result_read(const char *path, struct result **ret, size_t *ret_count, char *why,
		size_t why_bytes);
/* The same of a file's text. */
int result_parse(const char *text, size_t bytes, struct result **ret, size_t *ret_count, char *why,
		 size_t why_bytes);
/* What both return. */
void result_free(struct result *results, size_t count);
