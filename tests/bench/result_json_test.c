#include "bench/suite/result.h"

#include "tests/bench/results.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/result_json_test.XXXXXX";
static char path[128];

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/result.json", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static void read_back(struct result **results, size_t *count)
{
	char why[256] = "";
	int rc = result_read(path, results, count, why, sizeof(why));

	if (rc < 0)
		print_error("%s\n", why);
	assert_int_equal(rc, 0);
}

/* All but the mean are the same, to the digit. */
static void assert_same_figures(const struct histogram *a, const struct histogram *b)
{
	struct histogram_figures x = histogram_figures_of(a), y = histogram_figures_of(b);

	assert_true(x.mean > y.mean * 0.9999 && x.mean < y.mean * 1.0001);
	x.mean = y.mean;
	assert_memory_equal(&x, &y, sizeof(x));
}

static void what_is_written_is_read_the_same(void **state)
{
	struct result result, *back;
	size_t count;

	results_make(&result, "sluice-flush", 1.5);
	assert_int_equal(result_write(path, &result, 1), 0);
	read_back(&back, &count);
	assert_int_equal(count, 1);
	assert_string_equal(back->label, "sluice-flush");
	assert_string_equal(back->driver, result.driver);
	assert_string_equal(back->command, result.command);
	assert_string_equal(back->caveats, result.caveats);
	assert_true(back->open_loop && back->broker_known);
	assert_true(fabs(back->published_per_s - result.published_per_s) < 1e-6);
	assert_int_equal(back->published, result.published);
	assert_int_equal(back->bytes, result.bytes);
	assert_memory_equal(&back->broker, &result.broker, sizeof(result.broker));
	assert_memory_equal(&back->client, &result.client, sizeof(result.client));
	assert_string_equal(back->host.cpu, result.host.cpu);
	assert_int_equal(back->host.memory_bytes, result.host.memory_bytes);
	assert_true(back->host.load_average == result.host.load_average);
	assert_same_figures(back->publish, result.publish);
	assert_same_figures(back->end_to_end, result.end_to_end);
	result_fini(&result);
	result_free(back, count);
}

static void the_workload_comes_back_whole(void **state)
{
	struct result result, *back;
	size_t count;
	char why[256];

	results_make(&result, "sluice", 1);
	assert_int_equal(workload_set(&result.workload, "compression", "zstd", why, sizeof(why)),
			 0);
	assert_int_equal(workload_set(&result.workload, "topicConfig", "a=1", why, sizeof(why)), 0);
	assert_int_equal(workload_set(&result.workload, "topicConfig", "b=2", why, sizeof(why)), 0);
	assert_int_equal(workload_set(&result.workload, "clientSetting", "c=3", why, sizeof(why)),
			 0);
	assert_int_equal(workload_set(&result.workload, "duration", "90s", why, sizeof(why)), 0);
	assert_int_equal(
		workload_set(&result.workload, "randomBytesRatio", "0.5", why, sizeof(why)), 0);
	assert_int_equal(workload_set(&result.workload, "acks", "1", why, sizeof(why)), 0);
	assert_int_equal(result_write(path, &result, 1), 0);
	read_back(&back, &count);
	assert_string_equal(back->workload.topic_configs[0], "a=1");
	assert_string_equal(back->workload.topic_configs[1], "b=2");
	assert_null(back->workload.topic_configs[2]);
	assert_string_equal(back->workload.client_settings[0], "c=3");
	assert_int_equal(back->workload.duration_ms, 90000);
	assert_int_equal(back->workload.acks, DRIVER_ACKS_ONE);
	/* The rest, but for the pointers, byte by byte. */
	assert_memory_equal(&back->workload, &result.workload,
			    offsetof(struct workload, topic_configs));
	result_fini(&result);
	result_free(back, count);
}

static void samples_come_back(void **state)
{
	struct result result, *back;
	size_t count;

	results_make(&result, "sluice", 1);
	assert_int_equal(result_write(path, &result, 1), 0);
	read_back(&back, &count);
	assert_int_equal(back->sample_count, result.sample_count);
	for (size_t i = 0; i < result.sample_count; i++) {
		const struct sample *a = &back->samples[i], *b = &result.samples[i];

		assert_int_equal(a->at_ms, b->at_ms);
		assert_true(fabs(a->published_per_s - b->published_per_s) < 1e-6);
		assert_true(a->backlog == b->backlog);
		assert_true(a->broker_cpu == b->broker_cpu);
		assert_int_equal(a->broker_resident_bytes, b->broker_resident_bytes);
		assert_int_equal(a->publish.count, b->publish.count);
		assert_int_equal(a->publish.p99, b->publish.p99);
		assert_int_equal(a->end_to_end.max, b->end_to_end.max);
		assert_int_equal(a->delay.p99, (b->delay.p99 + 500) / 1000 * 1000);
	}
	result_fini(&result);
	result_free(back, count);
}

static void several_runs_are_an_array(void **state)
{
	struct result results[3], *back;
	size_t count;

	results_make(&results[0], "a", 1);
	results_make(&results[1], "b", 2);
	results_make(&results[2], "a", 1);
	assert_int_equal(result_write(path, results, 3), 0);
	read_back(&back, &count);
	assert_int_equal(count, 3);
	assert_string_equal(back[1].label, "b");
	result_free(back, count);
	for (size_t i = 0; i < 3; i++)
		result_fini(&results[i]);
}

/* By create_charts.py of the OpenMessaging Benchmark: what it takes from a file. */
static void its_chart_generator_finds_all_that_it_draws(void **state)
{
	static const char *const arrays[] = {
		"publishLatency99pct", "publishDelayLatency99pct",
		"publishRate",         "endToEndLatency95pct",
		"consumeRate",         "endToEndLatencyAvg",
	};
	static const char *const ladders[] = {
		"aggregatedPublishLatencyQuantiles",
		"aggregatedPublishDelayLatencyQuantiles",
		"aggregatedEndToEndLatencyQuantiles",
	};
	struct result result;

	results_make(&result, "sluice", 1);
	assert_int_equal(result_write(path, &result, 1), 0);
	json_t *json = json_load_file(path, 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "workload")), "latency");
	assert_string_equal(json_string_value(json_object_get(json, "driver")), "sluice");
	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
		const json_t *array = json_object_get(json, arrays[i]);
		assert_int_equal(json_array_size(array), result.sample_count);
		assert_true(json_is_number(json_array_get(array, 0)));
	}
	for (size_t i = 0; i < sizeof(ladders) / sizeof(ladders[0]); i++)
		assert_true(json_object_size(json_object_get(json, ladders[i])) > 20);
	double p99_ms = json_number_value(json_object_get(json, "aggregatedPublishLatency99pct"));
	assert_true(p99_ms > 1.3 && p99_ms < 1.5); /* 0.2 ms times the root of 50 */
	json_decref(json);
	result_fini(&result);
}

static void a_result_of_openmessagings_own_is_read(void **state)
{
	char golden[512], why[256];
	struct result *result;
	size_t count;

	snprintf(golden, sizeof(golden), "%s/bench/golden/openmessaging.json",
		 getenv("SLUICE_TESTS"));
	assert_int_equal(result_read(golden, &result, &count, why, sizeof(why)), 0);
	assert_int_equal(count, 1);
	assert_string_equal(result->workload.name, "1 topic / 16 partitions / 1Kb");
	assert_string_equal(result->label, "Kafka");
	assert_int_equal(result->workload.partitions_per_topic, 16);
	assert_true(result->seconds == 30);
	assert_true(result->published_per_s > 50000 && result->published_per_s < 50001);
	assert_int_equal(result->samples[2].at_ms, 30000);
	assert_int_equal(result->samples[1].end_to_end.p999, 24000000);
	struct histogram_figures figures = histogram_figures_of(result->publish);
	assert_true(figures.p99 >= 7500000 && figures.p99 <= 7500000 * 129 / 128);
	assert_int_equal(figures.max, 41000000);
	assert_true(figures.mean > 2.249e6 && figures.mean < 2.251e6);
	assert_false(result->broker_known);
	result_free(result, count);
}

static void what_was_not_measured_comes_back_as_nothing(void **state)
{
	struct result result, *back;
	size_t count;

	results_make(&result, "sluice", 1);
	free(result.end_to_end);
	result.end_to_end = NULL;
	result.sample_count = 0;
	result.broker_known = false;
	assert_int_equal(result_write(path, &result, 1), 0);
	read_back(&back, &count);
	assert_null(back->end_to_end);
	assert_non_null(back->publish);
	assert_int_equal(back->sample_count, 0);
	assert_false(back->broker_known);
	result_fini(&result);
	result_free(back, count);
}

static void a_file_that_cannot_be_written_leaves_the_old_one(void **state)
{
	struct result result;
	char missing[160];

	results_make(&result, "sluice", 1);
	assert_int_equal(result_write(path, &result, 1), 0);
	snprintf(missing, sizeof(missing), "%s/none/result.json", folder);
	assert_int_equal(result_write(missing, &result, 1), -ENOENT);
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(result_write("/dev/full", &result, 1), -EIO);
	result_fini(&result);
}

static void a_missing_file_says_which(void **state)
{
	struct result *results;
	size_t count;
	char why[256];

	assert_int_equal(result_read("/none.json", &results, &count, why, sizeof(why)), -ENOENT);
	assert_string_equal(why, "/none.json: No such file or directory");
}

static void assert_refused(const char *text, const char *expected)
{
	struct result *results;
	size_t count;
	char why[256] = "";

	assert_int_equal(result_parse(text, strlen(text), &results, &count, why, sizeof(why)),
			 -EINVAL);
	if (!strstr(why, expected))
		fail_msg("\"%s\" was refused as \"%s\"", text, why);
}

#define BEGIN "{\"workload\":\"w\",\"driver\":\"d\","

static void what_is_no_result_is_refused_with_the_reason(void **state)
{
	assert_refused("", "line 1");
	assert_refused("{\"workload\":", "line 1");
	assert_refused("[]", "0 results");
	assert_refused("7", "'[' or '{' expected");
	assert_refused("{}", "not a result");
	assert_refused("{\"workload\":7,\"driver\":\"d\"}", "not a result");
	assert_refused(BEGIN "\"publishRate\":7}", "publishRate: an array");
	assert_refused(BEGIN "\"publishRate\":[\"x\"]}", "publishRate: a number");
	assert_refused(BEGIN "\"publishRate\":[-1]}", "out of range");
	assert_refused(BEGIN "\"publishRate\":[1e300]}", "out of range");
	assert_refused(BEGIN "\"publishRate\":[1],\"publishLatencyAvg\":2}",
		       "publishLatencyAvg: an array");
	assert_refused(BEGIN "\"topics\":true}", "topics: a number");
	assert_refused(BEGIN "\"sluice\":[]}", "sluice: an object");
	assert_refused(BEGIN "\"sluice\":{\"host\":7}}", "host: an object");
	assert_refused(BEGIN "\"sluice\":{\"openLoop\":7}}", "openLoop: true or false");
	assert_refused(BEGIN "\"sluice\":{\"label\":7}}", "label: a text");
	assert_refused(BEGIN "\"sluice\":{\"workload\":{\"topics\":-7}}}", "topics");
	assert_refused(BEGIN "\"sluice\":{\"workload\":{\"topics\":{}}}}", "topics: a value");
	assert_refused(BEGIN "\"sluice\":{\"workload\":{\"topicConfig\":[\"a=\\u001b\"]}}}",
		       "topicConfig has a control character");
	assert_refused(BEGIN "\"aggregatedPublishLatencyQuantiles\":{\"x\":1}}", "no percentage");
	assert_refused(BEGIN "\"aggregatedPublishLatencyQuantiles\":{\"101\":1}}", "no percentage");
	assert_refused(BEGIN "\"aggregatedPublishLatencyQuantiles\":{\"nan\":1}}", "no percentage");
}

static void more_runs_or_samples_than_the_limits_are_refused(void **state)
{
	size_t bytes = 4 << 20;
	char *text = malloc(bytes);
	size_t at = 0;

	assert_non_null(text);
	at += (size_t)snprintf(text, bytes, "[");
	for (int i = 0; i < 1001; i++)
		at += (size_t)snprintf(text + at, bytes - at, "%s{}", i ? "," : "");
	snprintf(text + at, bytes - at, "]");
	assert_refused(text, "1001 results");
	at = (size_t)snprintf(text, bytes, BEGIN "\"publishRate\":[0");
	for (int i = 0; i < 100000; i++)
		at += (size_t)snprintf(text + at, bytes - at, ",0");
	snprintf(text + at, bytes - at, "]}");
	assert_refused(text, "more than 100000");
	free(text);
}

static void texts_are_cut_and_lose_control_characters(void **state)
{
	const char text[] = BEGIN "\"sluice\":{\"label\":\"\\u001b[31mred"
				  "                                                    ääää\"}}";
	struct result *results;
	size_t count;
	char why[256];

	assert_int_equal(result_parse(text, strlen(text), &results, &count, why, sizeof(why)), 0);
	assert_int_equal(results->label[0], ' ');
	assert_memory_equal(results->label + 1, "[31mred", 7);
	assert_int_equal(strlen(results->label), 62); /* no half of a letter */
	result_free(results, count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_the_same),
		cmocka_unit_test(the_workload_comes_back_whole),
		cmocka_unit_test(samples_come_back),
		cmocka_unit_test(several_runs_are_an_array),
		cmocka_unit_test(its_chart_generator_finds_all_that_it_draws),
		cmocka_unit_test(a_result_of_openmessagings_own_is_read),
		cmocka_unit_test(what_was_not_measured_comes_back_as_nothing),
		cmocka_unit_test(a_file_that_cannot_be_written_leaves_the_old_one),
		cmocka_unit_test(a_missing_file_says_which),
		cmocka_unit_test(what_is_no_result_is_refused_with_the_reason),
		cmocka_unit_test(more_runs_or_samples_than_the_limits_are_refused),
		cmocka_unit_test(texts_are_cut_and_lose_control_characters),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
