#include "bench/suite/report_figures.h"

#include "base/bytes.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static const double unknown = (double)NAN;

static double records_of(const struct result *r)
{
	return (double)(r->published > r->consumed ? r->published : r->consumed);
}

static double published_mb(const struct result *r)
{
	return r->bytes ? (double)r->bytes / 1e6
			: (double)r->published * r->workload.message_bytes / 1e6;
}

static double consumed_mb(const struct result *r)
{
	return (double)r->consumed * r->workload.message_bytes / 1e6;
}

static double per_second(const struct result *r, double value)
{
	return r->seconds > 0 ? value / r->seconds : unknown;
}

static double per_million(const struct result *r, double value)
{
	return records_of(r) > 0 ? value / records_of(r) * 1e6 : unknown;
}

static double per_gb(const struct result *r, double value)
{
	double bytes = records_of(r) * r->workload.message_bytes;

	return bytes > 0 ? value / bytes * 1e9 : unknown;
}

static double of_broker(const struct result *r, double value)
{
	return r->broker_known ? value : unknown;
}

static double broker_cpu_s(const struct result *r)
{
	return of_broker(r, r->broker.user_s + r->broker.system_s);
}

static double mean_ms(const struct histogram *histogram)
{
	return histogram && histogram->total ? histogram_figures_of(histogram).mean / 1e6 : unknown;
}

#define quantile_ms(histogram, quantile)                                                           \
	((histogram) && (histogram)->total                                                         \
		 ? (double)histogram_figures_of(histogram).quantile / 1e6                          \
		 : unknown)

#define FIGURE(group, name, where, title, unit, better, value)                                     \
	static double take_##name(const struct result *r)                                          \
	{                                                                                          \
		return value;                                                                      \
	}
#include "bench/suite/report_figures.def"
#undef FIGURE

enum { SMALLER, LARGER, LONG, BRIEF };

static const struct figure figures[FIGURE_COUNT] = {
#define FIGURE(group, name, where, title, unit, better, value)                                     \
	{#name, title, unit, FIGURE_##group, where == BRIEF, better == LARGER, take_##name},
#include "bench/suite/report_figures.def"
#undef FIGURE
};

const struct figure *figure_at(size_t index)
{
	return index < FIGURE_COUNT ? &figures[index] : NULL;
}

const struct figure *figure_find(const char *name)
{
	for (size_t i = 0; i < FIGURE_COUNT; i++) {
		if (strcmp(figures[i].name, name) == 0)
			return &figures[i];
	}
	return NULL;
}

const char *figure_group_title(enum figure_group group)
{
	static const char *const titles[FIGURE_GROUPS] = {
		[FIGURE_RATES] = "throughput",
		[FIGURE_PUBLISH] = "publish latency",
		[FIGURE_DELAY] = "sent later than due",
		[FIGURE_END_TO_END] = "end to end latency",
		[FIGURE_COST] = "cost",
	};

	return titles[group];
}

/* ---- text ---- */

const char *figure_text(double value, char *text, size_t bytes)
{
	static const char *const scales[] = {"", " k", " M", " G", " T"};
	unsigned scale = 0;

	if (isnan(value)) {
		snprintf(text, bytes, "-");
		return text;
	}
	if (fabs(value) >= 99950) {
		while (fabs(value) >= 999.5 && scale < array_count(scales) - 1) {
			value /= 1000;
			scale++;
		}
	}
	double size = fabs(value);
	if (size < 99950 && size == floor(size))
		size = 1000; /* a whole number */
	int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
	if (size < 0.0995)
		decimals = size >= 0.00995 ? 4 : 5;
	snprintf(text, bytes, "%.*f%s", decimals, value, scales[scale]);
	return text;
}

/* ---- spreads ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread spread_of(double *values, size_t count)
{
	size_t known = 0;

	for (size_t i = 0; i < count; i++) {
		if (!isnan(values[i]))
			values[known++] = values[i];
	}
	if (!known)
		return (struct spread){unknown, unknown, unknown, 0};
	qsort(values, known, sizeof(values[0]), compare_doubles);
	return (struct spread){
		.median = (values[(known - 1) / 2] + values[known / 2]) / 2,
		.smallest = values[0],
		.largest = values[known - 1],
		.count = known,
	};
}

const char *spread_text(const struct spread *spread, char *text, size_t bytes)
{
	char median[FIGURE_TEXT_BYTES], smallest[FIGURE_TEXT_BYTES], largest[FIGURE_TEXT_BYTES];

	figure_text(spread->median, median, sizeof(median));
	figure_text(spread->smallest, smallest, sizeof(smallest));
	figure_text(spread->largest, largest, sizeof(largest));
	if (strcmp(smallest, largest) == 0)
		snprintf(text, bytes, "%s", median);
	else
		snprintf(text, bytes, "%s (%s .. %s)", median, smallest, largest);
	return text;
}

/* ---- series ---- */

static bool is_of(const struct result *result, const char *workload, const char *label)
{
	return strcmp(result->workload.name, workload) == 0 && strcmp(result->label, label) == 0;
}

/* Is there one like it among the first `count`? */
static bool is_known(const struct result *results, size_t count, const char *workload,
		     const char *label)
{
	for (size_t i = 0; i < count; i++) {
		if (label ? is_of(&results[i], workload, label)
			  : strcmp(results[i].workload.name, workload) == 0)
			return true;
	}
	return false;
}

static int series_fill(struct series *series, const struct result *first,
		       const struct result *results, size_t count)
{
	*series = (struct series){
		.workload = first->workload.name,
		.label = first->label,
		.runs = calloc(count, sizeof(void *)),
	};
	if (!series->runs)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (is_of(&results[i], series->workload, series->label))
			series->runs[series->count++] = &results[i];
	}
	return 0;
}

/* The labels of the workload that result `first` is the first one of. */
static int series_of_workload(const struct result *results, size_t count, size_t first,
			      struct series *series, size_t *series_count)
{
	const char *workload = results[first].workload.name;
	int rc = 0;

	for (size_t i = first; rc == 0 && i < count; i++) {
		if (strcmp(results[i].workload.name, workload) != 0 ||
		    is_known(results, i, workload, results[i].label))
			continue;
		struct series *next = &series[(*series_count)++];
		rc = series_fill(next, &results[i], results, count);
		next->begins_workload = i == first;
	}
	return rc;
}

int series_of(const struct result *results, size_t count, struct series **ret, size_t *ret_count)
{
	struct series *series = calloc(count ? count : 1, sizeof(*series));
	size_t series_count = 0;
	int rc = series ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (!is_known(results, i, results[i].workload.name, NULL))
			rc = series_of_workload(results, count, i, series, &series_count);
	}
	if (rc < 0) {
		series_free(series, series_count);
		return rc;
	}
	*ret = series;
	*ret_count = series_count;
	return 0;
}

void series_free(struct series *series, size_t count)
{
	for (size_t i = 0; series && i < count; i++)
		free(series[i].runs);
	free(series);
}

struct spread series_figure(const struct series *series, const struct figure *figure)
{
	double *values = calloc(series->count ? series->count : 1, sizeof(*values));
	struct spread spread = {unknown, unknown, unknown, 0};

	if (!values)
		return spread;
	for (size_t i = 0; i < series->count; i++)
		values[i] = figure->of(series->runs[i]);
	spread = spread_of(values, series->count);
	free(values);
	return spread;
}

const struct result *series_typical(const struct series *series)
{
	const struct figure *figure = figure_find(
		series->runs[0]->published_per_s > 0 ? "published_per_s" : "consumed_per_s");
	double median = series_figure(series, figure).median;
	const struct result *typical = series->runs[0];

	for (size_t i = 1; i < series->count; i++) {
		if (fabs(figure->of(series->runs[i]) - median) < fabs(figure->of(typical) - median))
			typical = series->runs[i];
	}
	return typical;
}
