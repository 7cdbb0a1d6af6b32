/* Of pictures that are known, what /metrics says. */
#include "control/broker_picture.h"
#include "control/groups/lag.h"
#include "tests/control/metrics_pictures.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char *text_of(const struct metrics_sources *sources)
{
	char *text;
	size_t bytes;

	assert_int_equal(metrics_write(sources, &text, &bytes), 0);
	assert_int_equal(strlen(text), bytes);
	return text;
}

static char *detail_of(const struct metrics_sources *sources, const char *topic, const char *group)
{
	const struct metrics_filter filter = {topic, group};
	char why[256] = "";
	char *text;
	size_t bytes;

	assert_int_equal(metrics_write_detailed(sources, &filter, &text, &bytes, why, sizeof(why)),
			 0);
	return text;
}

static size_t count_of(const char *text, const char *part)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		count++;
	return count;
}

static void assert_says(const char *text, const char *line)
{
	if (count_of(text, line) != 1)
		fail_msg("%zu times: %s", count_of(text, line), line);
}

static void every_metric_is_exported_once(void **state)
{
	struct metrics_sources sources = pictures_new(3);
	char *text = text_of(&sources);
	char *detail = detail_of(&sources, NULL, NULL);
	size_t count;
	const struct metric_family *families = metrics_families(&count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		char line[256];
		snprintf(line, sizeof(line), "# TYPE %s %s\n", families[i].name,
			 metric_kind_name(families[i].kind));
		assert_int_equal(count_of(text, line) + count_of(detail, line), 1);
	}
	assert_int_equal(count_of(text, "# TYPE ") + count_of(detail, "# TYPE "), count);
	free(detail);
	free(text);
	pictures_free(&sources);
}

static void a_counter_has_its_own_value(void **state)
{
	struct metrics_sources sources = pictures_new(3);
	char *text = text_of(&sources);
	char line[128];

	(void)state;
	snprintf(line, sizeof(line), "\nsluice_requests_total{shard=\"1\"} %llu\n",
		 (unsigned long long)sources.broker->shards[1].counters.requests);
	assert_says(text, line);
	snprintf(line, sizeof(line), "\nsluice_fetch_bytes_total %llu\n",
		 (unsigned long long)sources.broker->sums.fetch_bytes);
	assert_says(text, line);
	snprintf(line, sizeof(line), "\nsluice_shard_busy_seconds_total{shard=\"1\"} 0.%09llu\n",
		 (unsigned long long)sources.broker->shards[1].counters.busy_ns);
	assert_says(text, line);
	assert_says(text, "\nsluice_mesh_fullest_ring_ratio{thread=\"shard1\"} 1\n");
	assert_says(text, "\nsluice_mesh_fullest_ring_ratio{thread=\"coordinator\"} 0\n");
	free(text);
	pictures_free(&sources);
}

static void a_histogram_adds_up_from_bucket_to_bucket(void **state)
{
	struct metrics_sources sources = pictures_new(0);
	char *text = text_of(&sources);

	(void)state;
#define NAME "\nsluice_commit_duration_seconds"
	assert_says(text, NAME "_bucket{le=\"0.000524288\"} 0\n");
	assert_says(text, NAME "_bucket{le=\"0.001048576\"} 5\n");
	assert_says(text, NAME "_bucket{le=\"17.179869184\"} 5\n");
	assert_says(text, NAME "_bucket{le=\"+Inf\"} 5" NAME "_sum 0.005000000" NAME "_count 5\n");
#undef NAME
	free(text);
	pictures_free(&sources);
}

static void an_api_that_nobody_called_is_left_out(void **state)
{
	struct metrics_sources sources = pictures_new(0);
	char *text = text_of(&sources);

	(void)state;
	assert_says(text, "\nsluice_request_errors_total{api=\"Produce\"} 2\n");
	assert_int_equal(count_of(text, "api=\"Fetch\""), 0);
	free(text);
	pictures_free(&sources);
}

static void the_groups_most_behind_are_told(void **state)
{
	struct metrics_sources sources = pictures_new(200);
	char *text = text_of(&sources);

	(void)state;
	assert_int_equal(count_of(text, "\nsluice_group_lag_records{"), METRICS_GROUPS_MAX);
	/* Two partitions of one topic; of the other's the end is not known. */
	assert_says(text, "\nsluice_group_lag_records{group=\"group 00199\",topic=\"b\"} 398\n");
	assert_says(text, "\nsluice_group_lag_records{group=\"group 00100\",topic=\"b\"} 200\n");
	assert_int_equal(count_of(text, "\"group 00099\""), 0);
	assert_says(text, "\nsluice_group_lag_left_out 300\n");
	assert_says(text, "\nsluice_group_lag_all_records 39800\n");
	free(text);
	pictures_free(&sources);
}

static void the_largest_dedup_windows_are_told(void **state)
{
	struct metrics_sources sources = pictures_new(200);
	char *text = text_of(&sources);

	(void)state;
	assert_int_equal(count_of(text, "\nsluice_topic_dedup_entries{"), METRICS_TOPICS_MAX);
	assert_says(text, "\nsluice_topic_dedup_entries{topic=\"topic00199\"} 199\n");
	assert_says(text, "\nsluice_topic_dedup_covered_seconds{topic=\"topic00199\"} 1.5\n");
	assert_int_equal(count_of(text, "topic00099"), 0);
	free(text);
	pictures_free(&sources);
}

static void a_label_may_be_any_text(void **state)
{
	struct metrics_sources sources = pictures_new(1);
	char *text;

	(void)state;
	sources.lag->groups[0].id = "a\"b\\c\nd";
	text = text_of(&sources);
	assert_says(text, "{group=\"a\\\"b\\\\c\\nd\",topic=\"b\"}");
	free(text);
	pictures_free(&sources);
}

static void without_pictures_the_process_is_told_of(void **state)
{
	const struct metrics_sources sources = {.version = "1.2.3"};
	char *text = text_of(&sources);

	(void)state;
	assert_says(text, "\nsluice_build_info{version=\"1.2.3\",io=\"none\"} 1\n");
	assert_says(text, "\nprocess_open_fds ");
	assert_int_equal(count_of(text, "sluice_requests_total"), 0);
	free(text);
}

static void the_detail_is_of_what_matches(void **state)
{
	struct metrics_sources sources = pictures_new(20);
	char *text = detail_of(&sources, "topic0001[23]", ".*7");

	(void)state;
	assert_int_equal(count_of(text, "\nsluice_partition_log_bytes{"), 2);
	assert_says(text,
		    "\nsluice_partition_log_bytes{topic=\"topic00012\",partition=\"0\"} 12\n");
	assert_says(text, "\nsluice_topic_log_bytes{topic=\"topic00013\"} 13\n");
	assert_says(text, "\nsluice_topic_appended_bytes_total{topic=\"topic00013\"} 4\n");
	assert_says(text, "\nsluice_topic_fetched_bytes_total{topic=\"topic00013\"} 5\n");
	assert_says(text, "\nsluice_topic_fetched_records_total{topic=\"topic00013\"} 6\n");
	assert_says(text, "\nsluice_partitions_left_out 0\n");
	/* Of groups the topics a and b, which do not match. */
	assert_int_equal(count_of(text, "\nsluice_group_partition_lag_records{"), 0);
	free(text);
	text = detail_of(&sources, "b", ".*7");
	assert_int_equal(count_of(text, "\nsluice_group_partition_lag_records{"), 4);
	free(text);
	pictures_free(&sources);
}

static void the_detail_has_an_end(void **state)
{
	struct metrics_sources sources = pictures_new(METRICS_PARTITIONS_MAX / 2 + 3);
	char *text = detail_of(&sources, NULL, NULL);

	(void)state;
	assert_int_equal(count_of(text, "\nsluice_partition_log_bytes{"),
			 METRICS_PARTITIONS_MAX / 2);
	assert_says(text, "\nsluice_partitions_left_out 6\n");
	assert_int_equal(count_of(text, "\nsluice_group_partition_committed_offset{"),
			 METRICS_PARTITIONS_MAX);
	free(text);
	pictures_free(&sources);
}

static void an_expression_that_is_none_is_refused(void **state)
{
	const struct metrics_sources nothing = {0};
	const struct metrics_filter filter = {.group = "(a"};
	char why[256] = "";
	char *text;
	size_t bytes;

	(void)state;
	assert_int_equal(metrics_write_detailed(&nothing, &filter, &text, &bytes, why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "at character 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_metric_is_exported_once),
		cmocka_unit_test(a_counter_has_its_own_value),
		cmocka_unit_test(a_histogram_adds_up_from_bucket_to_bucket),
		cmocka_unit_test(an_api_that_nobody_called_is_left_out),
		cmocka_unit_test(the_groups_most_behind_are_told),
		cmocka_unit_test(the_largest_dedup_windows_are_told),
		cmocka_unit_test(a_label_may_be_any_text),
		cmocka_unit_test(the_detail_is_of_what_matches),
		cmocka_unit_test(the_detail_has_an_end),
		cmocka_unit_test(an_expression_that_is_none_is_refused),
		cmocka_unit_test(without_pictures_the_process_is_told_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
