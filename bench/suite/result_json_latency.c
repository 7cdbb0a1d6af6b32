/* bench/suite/result_json_latency.c: what a result file says over time and over percentiles.
 *
 *     publishRate: [...]                          an element a sample
 *     publishLatency99pct: [...]
 *     aggregatedPublishLatency99pct: ...          of the whole time
 *     aggregatedPublishLatencyQuantiles: {"99.0": ...}
 *
 * Latencies are in milliseconds, but for how late records were sent: whole microseconds. */
#include "bench/suite/result_json_internal.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 96 };

/* ---- the three latencies ---- */

static const struct latency {
	const char *name; /* of samples' arrays, begun */
	const char *aggregated;
	const char *count; /* ours */
	double unit_ns;
	bool whole;
	size_t in_sample;
	size_t in_result;
} latencies[] = {
	{"publishLatency", "aggregatedPublishLatency", "publishLatencyCount", 1e6, false,
	 offsetof(struct sample, publish), offsetof(struct result, publish)},
	{"publishDelayLatency", "aggregatedPublishDelayLatency", "publishDelayLatencyCount", 1e3,
	 true, offsetof(struct sample, delay), offsetof(struct result, delay)},
	{"endToEndLatency", "aggregatedEndToEndLatency", "endToEndLatencyCount", 1e6, false,
	 offsetof(struct sample, end_to_end), offsetof(struct result, end_to_end)},
};
static const size_t latency_count = sizeof(latencies) / sizeof(latencies[0]);

static const struct quantile {
	const char *name; /* its end */
	size_t at;        /* in the figures */
} quantiles[] = {
	{"Avg", offsetof(struct histogram_figures, mean)},
	{"50pct", offsetof(struct histogram_figures, p50)},
	{"75pct", offsetof(struct histogram_figures, p75)},
	{"95pct", offsetof(struct histogram_figures, p95)},
	{"99pct", offsetof(struct histogram_figures, p99)},
	{"999pct", offsetof(struct histogram_figures, p999)},
	{"9999pct", offsetof(struct histogram_figures, p9999)},
	{"99999pct", offsetof(struct histogram_figures, p99999)},
	{"Max", offsetof(struct histogram_figures, max)},
};
static const size_t quantile_count = sizeof(quantiles) / sizeof(quantiles[0]);

static bool is_mean(const struct quantile *quantile)
{
	return quantile->at == offsetof(struct histogram_figures, mean);
}

static double figure_ns(const struct histogram_figures *figures, const struct quantile *quantile)
{
	const char *at = (const char *)figures + quantile->at;

	return is_mean(quantile) ? *(const double *)(const void *)at
				 : (double)*(const uint64_t *)(const void *)at;
}

static void figure_put_ns(struct histogram_figures *figures, const struct quantile *quantile,
			  double ns)
{
	char *at = (char *)figures + quantile->at;

	ns = ns < NUMBER_MAX ? ns : NUMBER_MAX;
	if (is_mean(quantile))
		*(double *)(void *)at = ns;
	else
		*(uint64_t *)(void *)at = (uint64_t)llround(ns);
}

/* In the file's unit; a mean is never whole. */
static json_t *duration_json(const struct latency *latency, double ns, bool mean)
{
	double value = isfinite(ns) ? ns / latency->unit_ns : 0;

	return latency->whole && !mean ? json_integer(llround(value)) : json_real(value);
}

/* ---- samples ---- */

static const struct sample_member {
	struct member member;
	bool ours;
} sample_members[] = {
	{MEMBER(struct sample, published_per_s, "publishRate", REAL), false},
	{MEMBER(struct sample, publish_errors_per_s, "publishErrorRate", REAL), false},
	{MEMBER(struct sample, consumed_per_s, "consumeRate", REAL), false},
	{MEMBER(struct sample, backlog, "backlog", REAL), false}, /* whole numbers */
	{MEMBER(struct sample, at_ms, "atMs", COUNT), true},
	{MEMBER(struct sample, broker_cpu, "brokerCpu", REAL), true},
	{MEMBER(struct sample, broker_resident_bytes, "brokerResidentBytes", COUNT), true},
	{MEMBER(struct sample, client_cpu, "clientCpu", REAL), true},
	{MEMBER(struct sample, publish.count, "publishLatencyCount", COUNT), true},
	{MEMBER(struct sample, delay.count, "publishDelayLatencyCount", COUNT), true},
	{MEMBER(struct sample, end_to_end.count, "endToEndLatencyCount", COUNT), true},
};
enum { SAMPLE_MEMBERS = sizeof(sample_members) / sizeof(sample_members[0]) };

/* Returns null: no memory. */
static json_t *add_array(json_t *object, const char *name)
{
	json_t *array = json_array();

	return json_object_set_new(object, name, array) < 0 ? NULL : array;
}

static json_t *sample_json(const struct member *member, const struct sample *sample)
{
	const char *at = (const char *)sample + member->at;

	if (member->kind == MEMBER_COUNT)
		return json_integer((json_int_t)(*(const uint64_t *)(const void *)at & INT64_MAX));
	double value = *(const double *)(const void *)at;
	value = isfinite(value) && value > 0 ? value : 0;
	if (member->at == offsetof(struct sample, backlog))
		return json_integer(value < NUMBER_MAX ? llround(value) : (json_int_t)NUMBER_MAX);
	return json_real(value);
}

static int sample_member_write(json_t *object, const struct member *member,
			       const struct result *result)
{
	json_t *array = add_array(object, member->name);
	int failed = array ? 0 : -1;

	for (size_t i = 0; failed == 0 && i < result->sample_count; i++)
		failed = json_array_append_new(array, sample_json(member, &result->samples[i]));
	return failed ? -ENOMEM : 0;
}

static const struct histogram_figures *figures_in(const struct latency *latency,
						  const struct sample *sample)
{
	return (const void *)((const char *)sample + latency->in_sample);
}

static int sample_quantile_write(json_t *object, const struct latency *latency,
				 const struct quantile *quantile, const struct result *result)
{
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%s%s", latency->name, quantile->name);
	json_t *array = add_array(object, name);
	int failed = array ? 0 : -1;
	for (size_t i = 0; failed == 0 && i < result->sample_count; i++) {
		double ns = figure_ns(figures_in(latency, &result->samples[i]), quantile);
		failed = json_array_append_new(array,
					       duration_json(latency, ns, is_mean(quantile)));
	}
	return failed ? -ENOMEM : 0;
}

int samples_write(json_t *object, json_t *ours, const struct result *result)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < SAMPLE_MEMBERS; i++)
		rc = sample_member_write(sample_members[i].ours ? ours : object,
					 &sample_members[i].member, result);
	for (size_t i = 0; rc == 0 && i < latency_count * quantile_count; i++)
		rc = sample_quantile_write(object, &latencies[i / quantile_count],
					   &quantiles[i % quantile_count], result);
	return rc;
}

/* Makes *longest the array's length where that is more. */
static int measure_array(const json_t *object, const char *name, size_t *longest,
			 const struct complaint *complaint)
{
	json_t *array;
	int rc = array_at(object, name, &array, complaint);

	if (rc == 0 && json_array_size(array) > RESULT_SAMPLES_MAX)
		return refuse(complaint, "%s: more than %d samples", name, RESULT_SAMPLES_MAX);
	if (rc == 0 && json_array_size(array) > *longest)
		*longest = json_array_size(array);
	return rc;
}

static int sample_member_read(const json_t *object, const struct member *member,
			      struct result *result, const struct complaint *complaint)
{
	json_t *array;
	double number;
	int rc = array_at(object, member->name, &array, complaint);

	for (size_t i = 0; rc == 0 && i < json_array_size(array); i++) {
		char *at = (char *)&result->samples[i] + member->at;

		rc = number_read(json_array_get(array, i), member->name, &number, complaint);
		if (rc == 0 && member->kind == MEMBER_COUNT)
			*(uint64_t *)(void *)at = (uint64_t)number;
		else if (rc == 0)
			*(double *)(void *)at = number;
	}
	return rc;
}

static int sample_quantile_read(const json_t *object, const struct latency *latency,
				const struct quantile *quantile, struct result *result,
				const struct complaint *complaint)
{
	json_t *array;
	char name[NAME_BYTES];
	double number;

	snprintf(name, sizeof(name), "%s%s", latency->name, quantile->name);
	int rc = array_at(object, name, &array, complaint);
	size_t count = rc == 0 ? json_array_size(array) : 0;
	for (size_t i = 0; rc == 0 && i < count && i < result->sample_count; i++) {
		char *figures = (char *)&result->samples[i] + latency->in_sample;

		rc = number_read(json_array_get(array, i), name, &number, complaint);
		if (rc == 0)
			figure_put_ns((void *)figures, quantile, number * latency->unit_ns);
	}
	return rc;
}

int samples_read(const json_t *object, const json_t *ours, struct result *result,
		 const struct complaint *complaint)
{
	size_t count = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < SAMPLE_MEMBERS; i++)
		rc = measure_array(sample_members[i].ours ? ours : object,
				   sample_members[i].member.name, &count, complaint);
	if (rc < 0 || !count)
		return rc;
	result->samples = calloc(count, sizeof(*result->samples));
	if (!result->samples)
		return -ENOMEM;
	result->sample_count = count;
	for (size_t i = 0; rc == 0 && i < SAMPLE_MEMBERS; i++)
		rc = sample_member_read(sample_members[i].ours ? ours : object,
					&sample_members[i].member, result, complaint);
	for (size_t i = 0; rc == 0 && i < latency_count * quantile_count; i++)
		rc = sample_quantile_read(object, &latencies[i / quantile_count],
					  &quantiles[i % quantile_count], result, complaint);
	return rc;
}

/* ---- the whole time ---- */

static struct histogram *const *histogram_in(const struct latency *latency,
					     const struct result *result)
{
	return (const void *)((const char *)result + latency->in_result);
}

static int ladder_write(json_t *object, const struct latency *latency,
			const struct histogram *histogram)
{
	struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];
	size_t count = histogram_ladder(histogram, rungs);
	char name[NAME_BYTES];
	json_t *ladder = json_object();

	snprintf(name, sizeof(name), "%sQuantiles", latency->aggregated);
	int failed = json_object_set_new(object, name, ladder);
	for (size_t i = 0; failed == 0 && i < count; i++) {
		snprintf(name, sizeof(name), "%.14g", 100 * rungs[i].share);
		failed = json_object_set_new(ladder, name,
					     duration_json(latency, (double)rungs[i].ns, false));
	}
	return failed ? -ENOMEM : 0;
}

int latencies_write(json_t *object, json_t *ours, const struct result *result)
{
	char name[NAME_BYTES];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < latency_count; i++) {
		const struct histogram *histogram = *histogram_in(&latencies[i], result);
		struct histogram_figures figures = histogram_figures_of(histogram);

		for (size_t j = 0; rc == 0 && j < quantile_count; j++) {
			double ns = figure_ns(&figures, &quantiles[j]);

			snprintf(name, sizeof(name), "%s%s", latencies[i].aggregated,
				 quantiles[j].name);
			json_t *json = duration_json(&latencies[i], ns, is_mean(&quantiles[j]));
			rc = json_object_set_new(object, name, json) < 0 ? -ENOMEM : 0;
		}
		if (rc == 0)
			rc = ladder_write(object, &latencies[i], histogram);
		if (rc == 0 && json_object_set_new(ours, latencies[i].count,
						   json_integer((json_int_t)figures.count)) < 0)
			rc = -ENOMEM;
	}
	return rc;
}

static int compare_rungs(const void *a, const void *b)
{
	double x = ((const struct histogram_rung *)a)->share;
	double y = ((const struct histogram_rung *)b)->share;

	return (x > y) - (x < y);
}

/* A key is a percentage. */
static int rung_read(const struct latency *latency, const char *key, const json_t *json,
		     struct histogram_rung *ret, const struct complaint *complaint)
{
	char *end;
	double percent = strtod(key, &end);
	double number;

	if (end == key || *end || !(percent >= 0 && percent <= 100))
		return refuse(complaint, "%sQuantiles: \"%.40s\" is no percentage",
			      latency->aggregated, key);
	int rc = number_read(json, latency->aggregated, &number, complaint);
	if (rc < 0)
		return rc;
	number *= latency->unit_ns;
	*ret = (struct histogram_rung){
		.share = percent / 100,
		.ns = (uint64_t)llround(number < NUMBER_MAX ? number : NUMBER_MAX),
	};
	return 0;
}

/* Null at *ret when there is no ladder.  In the order of its shares. */
static int ladder_read(const json_t *object, const struct latency *latency,
		       struct histogram_rung **ret, size_t *ret_count,
		       const struct complaint *complaint)
{
	char name[NAME_BYTES];
	json_t *ladder;
	const char *key;
	json_t *value;
	size_t count = 0;

	snprintf(name, sizeof(name), "%sQuantiles", latency->aggregated);
	int rc = object_at(object, name, &ladder, complaint);
	if (rc < 0 || !json_object_size(ladder))
		return rc;
	struct histogram_rung *rungs = calloc(json_object_size(ladder), sizeof(*rungs));
	if (!rungs)
		return -ENOMEM;
	json_object_foreach(ladder, key, value)
	{
		rc = rung_read(latency, key, value, &rungs[count++], complaint);
		if (rc < 0) {
			free(rungs);
			return rc;
		}
	}
	qsort(rungs, count, sizeof(*rungs), compare_rungs);
	*ret = rungs;
	*ret_count = count;
	return 0;
}

static int number_of(const json_t *object, const char *name, double *ret,
		     const struct complaint *complaint)
{
	return number_read(json_object_get(object, name), name, ret, complaint);
}

static int latency_read(const json_t *object, const json_t *ours, const struct latency *latency,
			double records, struct histogram **ret, const struct complaint *complaint)
{
	struct histogram_rung *rungs = NULL;
	size_t count = 0;
	double total, mean;
	char name[NAME_BYTES];

	snprintf(name, sizeof(name), "%sAvg", latency->aggregated);
	int rc = number_of(object, name, &mean, complaint);
	if (rc == 0)
		rc = number_of(ours, latency->count, &total, complaint);
	if (rc == 0)
		rc = ladder_read(object, latency, &rungs, &count, complaint);
	if (rc < 0 || !rungs)
		return rc;
	if (!json_object_get(ours, latency->count))
		total = records >= 1 ? records : 1;
	if (total >= 1) {
		*ret = calloc(1, sizeof(**ret));
		if (*ret)
			histogram_from_ladder(*ret, rungs, count, (uint64_t)total,
					      mean * latency->unit_ns);
		else
			rc = -ENOMEM;
	}
	free(rungs);
	return rc;
}

int latencies_read(const json_t *object, const json_t *ours, struct result *result,
		   const struct complaint *complaint)
{
	double published = (double)result->published, consumed = (double)result->consumed;
	int rc = latency_read(object, ours, &latencies[0], published, &result->publish, complaint);

	if (rc == 0)
		rc = latency_read(object, ours, &latencies[1], published, &result->delay,
				  complaint);
	if (rc == 0)
		rc = latency_read(object, ours, &latencies[2], consumed, &result->end_to_end,
				  complaint);
	return rc;
}
