/* bench/suite/report_figures.h: results as figures, and runs of the same thing side by side.
 *
 * Records that a cost is told by are those published or those consumed, whichever are more: a
 * workload may do one of both, and a subscription more makes a broker do more. */
#pragma once
#include "bench/suite/result.h"

enum figure_group {
	FIGURE_RATES,
	FIGURE_PUBLISH,
	FIGURE_DELAY,
	FIGURE_END_TO_END,
	FIGURE_COST,
	FIGURE_GROUPS,
};

struct figure {
	const char *name;  /* as in a gate: "end_to_end_p99_ms" */
	const char *title; /* within its group */
	const char *unit;
	enum figure_group group;
	bool brief; /* in the summary too */
	bool larger_is_better;
	double (*of)(const struct result *result); /* NAN: was not measured */
};

enum {
#define FIGURE(group, name, ...) FIGURE_INDEX_##name,
#include "bench/suite/report_figures.def"
#undef FIGURE
	FIGURE_COUNT,
};

/* Null past the last one. */
const struct figure *figure_at(size_t index);
/* Null: there is none. */
const struct figure *figure_find(const char *name);
/* What a group is about: "end to end latency". */
const char *figure_group_title(enum figure_group group);

/* Three significant digits, whole numbers as such; k, M, G from a hundred thousand on; "-" for NAN.
 * Returns `text`. */
const char *figure_text(double value, char *text, size_t bytes);
enum { FIGURE_TEXT_BYTES = 32 };

/* ---- several of one kind ---- */

struct spread {
	double median;
	double smallest;
	double largest;
	size_t count; /* 0: all are NAN */
};

/* Those that are NAN do not count.  Sorts `values`. */
struct spread spread_of(double *values, size_t count);
/* "12.3 (11.8 .. 14.0)"; the median alone where all look the same.  Returns `text`. */
const char *spread_text(const struct spread *spread, char *text, size_t bytes);
enum { SPREAD_TEXT_BYTES = 3 * FIGURE_TEXT_BYTES };

/* The runs of one workload under one label. */
struct series {
	const char *workload;
	const char *label;
	const struct result **runs;
	size_t count;
	bool begins_workload; /* the first one of its workload */
};

/* By workload, then by label, each in the order of its first run.  The results have to outlive it.
 * -ENOMEM. */
int series_of(const struct result *results, size_t count, struct series **ret, size_t *ret_count);
/* Null is fine. */
void series_free(struct series *series, size_t count);
struct spread series_figure(const struct series *series, const struct figure *figure);
/* The run whose rate is the median: the one to draw. */
const struct result *series_typical(const struct series *series);
