/* bench/suite/result_json.c: result files, in the OpenMessaging Benchmark's shape.
 *
 *     { "workload": ..., "driver": ..., "messageSize": ...,        its TestResult's members: each
 *       "publishRate": [...], "publishLatency99pct": [...], ...    array has an element a sample
 *       "aggregatedPublishLatencyQuantiles": {"50": ..., ...},
 *       "sluice": { "label": ..., "seconds": ...,                  ours, in one object
 *                   "workload": {...}, "broker": {...}, "client": {...}, "host": {...},
 *                   "samples": {"atMs": [...], "brokerCpu": [...], ...} } }
 *
 * One run is one object; several are an array of them.  Its chart generators read ours, but take
 * every sample for 10 seconds, which is its own interval, while ours is one. */
#include "bench/suite/replace_file.h"
#include "bench/suite/result_json_internal.h"

#include "control/param.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_BYTES_MAX = 64 << 20,
	RESULTS_MAX = 1000,
	OPENMESSAGING_SAMPLE_S = 10, /* what it writes has no times */
};

static const char ours_name[] = "sluice";

static const struct member openmessaging_members[] = {
	MEMBER(struct result, workload.name, "workload", TEXT),
	MEMBER(struct result, driver, "driver", TEXT),
	MEMBER(struct result, workload.message_bytes, "messageSize", UNSIGNED),
	MEMBER(struct result, workload.topics, "topics", UNSIGNED),
	MEMBER(struct result, workload.partitions_per_topic, "partitions", UNSIGNED),
	MEMBER(struct result, workload.producers_per_topic, "producersPerTopic", UNSIGNED),
	MEMBER(struct result, workload.consumers_per_subscription, "consumersPerTopic", UNSIGNED),
	{0},
};

/* ---- the workload, by its keys ---- */

static json_t *value_json(const struct param *param, const char *text)
{
	switch (param->kind) {
	case PARAM_COUNT:
	case PARAM_BYTES:
	case PARAM_MS:
		return json_integer(strtoll(text, NULL, 10));
	case PARAM_RATIO:
		return json_real(strtod(text, NULL));
	case PARAM_BOOL:
		return json_boolean(strcmp(text, "true") == 0);
	case PARAM_TEXT:
	case PARAM_NAME:
	case PARAM_CHOICE:
	case PARAM_LIST:
	case PARAM_LEVELS:
	case PARAM_ADDRESS:
		break;
	}
	return json_string(text);
}

static int key_write(json_t *object, const struct workload *workload, size_t key)
{
	const struct param *param = workload_key_at(key);
	char text[WORKLOAD_SETTING_BYTES_MAX + 1];

	if (!workload_get(workload, key, 0, text, sizeof(text)) || !text[0])
		return 0;
	if (!workload_key_repeats(key))
		return json_object_set_new(object, param->key, value_json(param, text));
	json_t *array = json_array();
	int failed = json_object_set_new(object, param->key, array);
	for (size_t i = 0; failed == 0 && workload_get(workload, key, i, text, sizeof(text)); i++)
		failed = json_array_append_new(array, json_string(text));
	return failed;
}

static int workload_write(json_t *ours, const struct workload *workload)
{
	json_t *object = json_object();
	int failed = json_object_set_new(ours, "workload", object);

	for (size_t i = 0; failed == 0 && workload_key_at(i); i++)
		failed = key_write(object, workload, i);
	return failed ? -ENOMEM : 0;
}

static int value_read(struct workload *workload, const char *key, const json_t *json,
		      const struct complaint *complaint)
{
	char number[64];
	const char *text = json_string_value(json);

	if (json_is_integer(json))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	else if (json_is_real(json))
		snprintf(number, sizeof(number), "%.6f", json_real_value(json));
	else if (json_is_boolean(json))
		snprintf(number, sizeof(number), "%s", json_is_true(json) ? "true" : "false");
	else if (!text)
		return refuse(complaint, "workload: %s: a value is expected", key);
	for (const char *c = text; c && *c; c++) {
		if (iscntrl((unsigned char)*c))
			return refuse(complaint, "workload: %s has a control character", key);
	}
	int rc = workload_set(workload, key, text ? text : number, complaint->why,
			      complaint->why_bytes);
	return rc < 0 ? -EINVAL : 0;
}

static int key_read(struct workload *workload, const char *key, const json_t *json,
		    const struct complaint *complaint)
{
	int rc = 0;

	if (!json || !json_is_array(json))
		return json ? value_read(workload, key, json, complaint) : 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(json); i++)
		rc = value_read(workload, key, json_array_get(json, i), complaint);
	return rc;
}

static int workload_read(const json_t *ours, struct workload *workload,
			 const struct complaint *complaint)
{
	const struct param *param;
	json_t *object;
	int rc = object_at(ours, "workload", &object, complaint);

	for (size_t i = 0; rc == 0 && (param = workload_key_at(i)); i++)
		rc = key_read(workload, param->key, json_object_get(object, param->key), complaint);
	return rc;
}

/* ---- one result ---- */

static int part_write(json_t *ours, const char *name, const struct member *members,
		      const void *from)
{
	json_t *object = json_object();

	if (json_object_set_new(ours, name, object) < 0)
		return -ENOMEM;
	return members_write(object, members, from);
}

static int part_read(const json_t *ours, const char *name, const struct member *members, void *to,
		     const struct complaint *complaint)
{
	json_t *object;
	int rc = object_at(ours, name, &object, complaint);

	return rc < 0 ? rc : members_read(object, members, to, complaint);
}

/* Ours have an object of their own. */
static int samples_add(json_t *object, json_t *ours, const struct result *result)
{
	json_t *samples = json_object();

	if (json_object_set_new(ours, "samples", samples) < 0)
		return -ENOMEM;
	return samples_write(object, samples, result);
}

static int samples_take(const json_t *object, const json_t *ours, struct result *result,
			const struct complaint *complaint)
{
	json_t *samples;
	int rc = object_at(ours, "samples", &samples, complaint);

	return rc < 0 ? rc : samples_read(object, samples, result, complaint);
}

static int result_fill_json(json_t *object, json_t *ours, const struct result *result)
{
	int rc = members_write(object, openmessaging_members, result);

	if (rc == 0)
		rc = members_write(ours, result_members, result);
	if (rc == 0)
		rc = workload_write(ours, &result->workload);
	if (rc == 0)
		rc = part_write(ours, "broker", usage_members, &result->broker);
	if (rc == 0)
		rc = part_write(ours, "client", usage_members, &result->client);
	if (rc == 0)
		rc = part_write(ours, "host", host_members, &result->host);
	if (rc == 0)
		rc = samples_add(object, ours, result);
	if (rc == 0)
		rc = latencies_write(object, ours, result);
	return rc;
}

/* Null: no memory. */
static json_t *result_json(const struct result *result)
{
	json_t *object = json_object();
	json_t *ours = json_object();

	if (result_fill_json(object, ours, result) < 0 ||
	    json_object_set(object, ours_name, ours) < 0) {
		json_decref(object);
		object = NULL;
	}
	json_decref(ours);
	return object;
}

static double mean_of(const struct result *result, size_t at)
{
	double sum = 0;

	for (size_t i = 0; i < result->sample_count; i++)
		sum += *(const double *)(const void *)((const char *)&result->samples[i] + at);
	return result->sample_count ? sum / (double)result->sample_count : 0;
}

static uint64_t count_in(double per_s, double seconds)
{
	return per_s * seconds < NUMBER_MAX ? (uint64_t)(per_s * seconds) : (uint64_t)NUMBER_MAX;
}

/* What OpenMessaging's own results say of the whole is to be had from its samples. */
static void result_sum_up(struct result *result)
{
	result->seconds = OPENMESSAGING_SAMPLE_S * (double)result->sample_count;
	result->published_per_s = mean_of(result, offsetof(struct sample, published_per_s));
	result->consumed_per_s = mean_of(result, offsetof(struct sample, consumed_per_s));
	result->published = count_in(result->published_per_s, result->seconds);
	result->consumed = count_in(result->consumed_per_s, result->seconds);
	result->publish_errors = count_in(
		mean_of(result, offsetof(struct sample, publish_errors_per_s)), result->seconds);
	for (size_t i = 0; i < result->sample_count; i++)
		result->samples[i].at_ms = (i + 1) * OPENMESSAGING_SAMPLE_S * 1000;
	snprintf(result->label, sizeof(result->label), "%s", result->driver);
}

static int ours_read(const json_t *ours, struct result *result, const struct complaint *complaint)
{
	int rc = members_read(ours, result_members, result, complaint);

	if (rc == 0)
		rc = workload_read(ours, &result->workload, complaint);
	if (rc == 0)
		rc = part_read(ours, "broker", usage_members, &result->broker, complaint);
	if (rc == 0)
		rc = part_read(ours, "client", usage_members, &result->client, complaint);
	if (rc == 0)
		rc = part_read(ours, "host", host_members, &result->host, complaint);
	return rc;
}

static int result_from_json(const json_t *object, struct result *ret,
			    const struct complaint *complaint)
{
	json_t *ours;

	if (!json_is_object(object) || !json_is_string(json_object_get(object, "workload")) ||
	    !json_is_string(json_object_get(object, "driver")))
		return refuse(complaint, "not a result: an object with workload and driver is");
	int rc = object_at(object, ours_name, &ours, complaint);
	if (rc == 0)
		rc = members_read(object, openmessaging_members, ret, complaint);
	if (rc == 0)
		rc = samples_take(object, ours, ret, complaint);
	if (rc == 0 && ours)
		rc = ours_read(ours, ret, complaint);
	else if (rc == 0)
		result_sum_up(ret);
	return rc < 0 ? rc : latencies_read(object, ours, ret, complaint);
}

/* ---- files ---- */

static json_t *results_json(const struct result *results, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++) {
		if (json_array_append_new(array, result_json(&results[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int result_write(const char *path, const struct result *results, size_t count)
{
	json_t *json = count == 1 ? result_json(results) : results_json(results, count);
	struct replace_file file;

	if (!json)
		return -ENOMEM;
	int rc = replace_file_open(&file, path);
	if (rc == 0) {
		bool whole = json_dumpf(json, file.out, JSON_INDENT(1) | JSON_REAL_PRECISION(15)) ==
			     0;

		fputc('\n', file.out);
		rc = replace_file_close(&file, whole);
		if (rc == 0 && !whole)
			rc = -EIO;
	}
	json_decref(json);
	return rc;
}

static int results_from_json(const json_t *json, struct result **ret, size_t *ret_count,
			     const struct complaint *complaint)
{
	size_t count = json_is_array(json) ? json_array_size(json) : 1;
	int rc = 0;

	if (!count || count > RESULTS_MAX)
		return refuse(complaint, "%zu results: 1 to %d are expected", count, RESULTS_MAX);
	struct result *results = calloc(count, sizeof(*results));
	if (!results)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = result_from_json(json_is_array(json) ? json_array_get(json, i) : json,
				      &results[i], complaint);
	if (rc < 0) {
		result_free(results, count);
		return rc;
	}
	*ret = results;
	*ret_count = count;
	return 0;
}

int result_parse(const char *text, size_t bytes, struct result **ret, size_t *ret_count, char *why,
		 size_t why_bytes)
{
	const struct complaint complaint = {why, why_bytes};
	json_error_t error;
	json_t *json = json_loadb(text, bytes, 0, &error);

	if (!json)
		return refuse(&complaint, "line %d: %s", error.line, error.text);
	int rc = results_from_json(json, ret, ret_count, &complaint);
	json_decref(json);
	if (rc == -ENOMEM)
		snprintf(why, why_bytes, "no memory for the results");
	return rc;
}

/* -EFBIG: more than a result file may have. */
static int file_load(const char *path, char **ret, size_t *ret_bytes)
{
	FILE *in = fopen(path, "re");
	char *text = NULL;
	size_t bytes = 0, room = 0;
	int rc = in ? 0 : -errno;

	while (rc == 0 && !feof(in)) {
		if (bytes == room) {
			room = room ? 2 * room : 65536;
			char *grown = room <= FILE_BYTES_MAX ? realloc(text, room) : NULL;
			rc = grown ? 0 : room <= FILE_BYTES_MAX ? -ENOMEM : -EFBIG;
			text = grown ? grown : text;
		}
		if (rc == 0)
			bytes += fread(text + bytes, 1, room - bytes, in);
		if (rc == 0 && ferror(in))
			rc = -errno;
	}
	if (in)
		fclose(in);
	if (rc < 0) {
		free(text);
		return rc;
	}
	*ret = text;
	*ret_bytes = bytes;
	return 0;
}

int result_read(const char *path, struct result **ret, size_t *ret_count, char *why,
		size_t why_bytes)
{
	char reason[256];
	char *text;
	size_t bytes;
	int rc = file_load(path, &text, &bytes);

	if (rc < 0) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(-rc));
		return rc;
	}
	rc = result_parse(text, bytes, ret, ret_count, reason, sizeof(reason));
	if (rc < 0)
		snprintf(why, why_bytes, "%s: %s", path, reason);
	free(text);
	return rc;
}
