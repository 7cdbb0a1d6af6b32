/* Where a group shall go on: what targets mean in logs, and what of a plan is committed.
 *
 * Partition p of every topic has the offsets 10 to 20 + 10 p, each with a timestamp like itself;
 * that of BROKEN does not say.  The group has committed 12 for 0 of "t" and 15 for 2 of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"

enum {
	PARTITIONS = 4,
	BROKEN = 1,
	FIRST = 10,
	STORAGE_ERROR = 56,
	UNKNOWN_MEMBER_ID = 25,
};

struct bench {
	struct fake_broker fake;
	struct sluice_client *client;
	int16_t commit_code;
	int64_t committed[PARTITIONS]; /* since; -1: nothing */
};

static int64_t end_of(int32_t partition)
{
	return 20 + 10 * (int64_t)partition;
}

static int64_t offset_at(int32_t partition, int64_t timestamp_ms)
{
	if (timestamp_ms == SLUICE_EARLIEST)
		return FIRST;
	if (timestamp_ms == SLUICE_LATEST)
		return end_of(partition);
	if (timestamp_ms >= end_of(partition))
		return -1;
	return timestamp_ms > FIRST ? timestamp_ms : FIRST;
}

static void list_offsets(const struct kafka_list_offsets_request *request,
			 struct kafka_list_offsets_response *response, struct arena *arena)
{
	const struct kafka_list_offsets_request_list_offsets_topic *topic = request->topics;
	size_t count = (size_t)topic->partitions_count;
	struct kafka_list_offsets_response_list_offsets_partition_response *rows =
		arena_calloc(arena, count, sizeof(*rows));

	response->topics = arena_calloc(arena, 1, sizeof(*response->topics));
	response->topics_count = 1;
	response->topics->name = topic->name;
	response->topics->partitions = rows;
	response->topics->partitions_count = topic->partitions_count;
	for (size_t i = 0; i < count; i++) {
		int32_t index = topic->partitions[i].partition_index;
		rows[i].partition_index = index;
		rows[i].error_code = index == BROKEN ? STORAGE_ERROR : 0;
		rows[i].offset = offset_at(index, topic->partitions[i].timestamp);
	}
}

static void offset_fetch(struct kafka_offset_fetch_response *response, struct arena *arena)
{
	struct kafka_offset_fetch_response_offset_fetch_response_partition *rows =
		arena_calloc(arena, 2, sizeof(*rows));

	response->topics = arena_calloc(arena, 1, sizeof(*response->topics));
	response->topics_count = 1;
	response->topics->name = kafka_string_of("t");
	response->topics->partitions = rows;
	response->topics->partitions_count = 2;
	rows[0].partition_index = 2;
	rows[0].committed_offset = 15;
	rows[1].partition_index = 0;
	rows[1].committed_offset = 12;
}

static void offset_commit(struct bench *bench, const struct kafka_offset_commit_request *request,
			  struct kafka_offset_commit_response *response, struct arena *arena)
{
	const struct kafka_offset_commit_request_offset_commit_request_topic *topic =
		request->topics;
	size_t count = (size_t)topic->partitions_count;

	response->topics = arena_calloc(arena, 1, sizeof(*response->topics));
	response->topics_count = 1;
	response->topics->name = topic->name;
	response->topics->partitions = arena_calloc(arena, count,
						    sizeof(*response->topics->partitions));
	response->topics->partitions_count = topic->partitions_count;
	for (size_t i = 0; i < count; i++) {
		int32_t index = topic->partitions[i].partition_index;
		response->topics->partitions[i].partition_index = index;
		response->topics->partitions[i].error_code = bench->commit_code;
		bench->committed[index] = topic->partitions[i].committed_offset;
	}
}

static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	struct kafka_find_coordinator_response *coordinator = response;

	switch (api->key) {
	case KAFKA_LIST_OFFSETS:
		list_offsets(request, response, arena);
		return FAKE_ANSWER;
	case KAFKA_FIND_COORDINATOR:
		coordinator->node_id = 7;
		coordinator->host = kafka_string_of("127.0.0.1");
		coordinator->port = fake->port;
		return FAKE_ANSWER;
	case KAFKA_OFFSET_FETCH:
		offset_fetch(response, arena);
		return FAKE_ANSWER;
	case KAFKA_OFFSET_COMMIT:
		offset_commit(fake->user, request, response, arena);
		return FAKE_ANSWER;
	default:
		return FAKE_DEFAULT;
	}
}

static int start(void **state)
{
	static struct bench bench;
	char url[64];

	bench = (struct bench){.committed = {-1, -1, -1, -1}};
	bench.fake =
		(struct fake_broker){.partitions = PARTITIONS, .handle = handle, .user = &bench};
	fake_broker_start(&bench.fake);
	snprintf(url, sizeof(url), "127.0.0.1:%d", bench.fake.port);
	*state = &bench;
	return sluice_open(&bench.client, url, NULL);
}

static int stop(void **state)
{
	struct bench *bench = *state;

	sluice_close(bench->client);
	fake_broker_stop(&bench->fake);
	return 0;
}

static void a_target_is_found_in_each_log(void **state)
{
	static const struct {
		struct sluice_target target;
		int64_t at[2]; /* of the partitions 0 and 2, which end at 20 and 40 */
	} rows[] = {
		{{SLUICE_AT_OFFSET, SLUICE_EARLIEST}, {10, 10}},
		{{SLUICE_AT_OFFSET, SLUICE_LATEST}, {20, 40}},
		{{SLUICE_AT_OFFSET, 30}, {30, 30}},
		{{SLUICE_BEFORE_END, 0}, {20, 40}},
		{{SLUICE_BEFORE_END, 11}, {10, 29}},
		{{SLUICE_BEFORE_END, INT64_MAX}, {10, 10}},
		{{SLUICE_AT_TIME, 0}, {10, 10}},
		{{SLUICE_AT_TIME, 20}, {20, 20}},
		{{SLUICE_AT_TIME, 25}, {20, 25}},
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < array_count(rows); i++) {
		struct sluice_spot spots[] = {{.topic = "t", .partition = 2},
					      {.topic = "t", .partition = 0, .error = -EIO}};
		assert_int_equal(sluice_spots_find(bench->client, &rows[i].target, spots, 2), 0);
		assert_int_equal(spots[0].error, 0);
		assert_int_equal(spots[0].at, rows[i].at[1]);
		assert_int_equal(spots[1].error, 0);
		assert_int_equal(spots[1].at, rows[i].at[0]);
		assert_int_equal(spots[1].first, FIRST);
		assert_int_equal(spots[1].end, 20);
	}
}

static void without_a_choice_all_that_is_committed_is_planned(void **state)
{
	static const struct sluice_target end = {SLUICE_AT_OFFSET, SLUICE_LATEST};
	struct bench *bench = *state;
	struct sluice_group_plan *plan;

	assert_int_equal(sluice_group_plan(bench->client, "g", NULL, 0, &end, &plan), 0);
	assert_string_equal(plan->group, "g");
	assert_int_equal(plan->count, 2);
	assert_int_equal(plan->spots[0].partition, 0);
	assert_int_equal(plan->spots[0].committed, 12);
	assert_int_equal(plan->spots[0].at, 20);
	assert_int_equal(plan->spots[1].partition, 2);
	assert_int_equal(plan->spots[1].committed, 15);
	assert_int_equal(plan->spots[1].at, 40);
	sluice_group_plan_free(plan);
	assert_int_equal(bench->fake.requests[KAFKA_OFFSET_COMMIT], 0);
}

static void what_is_left_in_a_plan_and_known_is_committed(void **state)
{
	static const struct sluice_target before = {SLUICE_BEFORE_END, 1};
	static const struct sluice_assigned chosen[] = {
		{"t", 3}, {"t", BROKEN}, {"t", 0}, {"t", 2}};
	struct bench *bench = *state;
	struct sluice_group_plan *plan;

	assert_int_equal(sluice_group_plan(bench->client, "g", chosen, 4, &before, &plan), 0);
	assert_int_equal(plan->count, 4);
	assert_int_equal(plan->spots[0].committed, -1);
	assert_int_equal(plan->spots[1].error, -SLUICE_KAFKA(STORAGE_ERROR));
	plan->count--;
	assert_int_equal(sluice_group_plan_commit(bench->client, plan), 0);
	assert_int_equal(plan->spots[0].error, 0);
	assert_int_equal(plan->spots[1].error, -SLUICE_KAFKA(STORAGE_ERROR));
	assert_int_equal(plan->spots[2].error, 0);
	sluice_group_plan_free(plan);
	assert_int_equal(bench->committed[0], 19);
	assert_int_equal(bench->committed[BROKEN], -1);
	assert_int_equal(bench->committed[2], -1);
	assert_int_equal(bench->committed[3], 49);
}

static void what_the_coordinator_refuses_is_told_of_its_spots(void **state)
{
	static const struct sluice_target begin = {SLUICE_AT_OFFSET, SLUICE_EARLIEST};
	static const struct sluice_assigned chosen[] = {{"t", BROKEN}, {"t", 0}};
	struct bench *bench = *state;
	struct sluice_group_plan *plan;

	bench->commit_code = UNKNOWN_MEMBER_ID;
	assert_int_equal(sluice_group_plan(bench->client, "g", chosen, 2, &begin, &plan), 0);
	assert_int_equal(sluice_group_plan_commit(bench->client, plan), 0);
	assert_int_equal(plan->spots[0].error, -SLUICE_KAFKA(STORAGE_ERROR));
	assert_int_equal(plan->spots[1].error, -SLUICE_KAFKA(UNKNOWN_MEMBER_ID));
	sluice_group_plan_free(plan);
}

static void a_plan_of_nothing_commits_nothing(void **state)
{
	static const struct sluice_target begin = {SLUICE_AT_OFFSET, SLUICE_EARLIEST};
	static const struct sluice_assigned none[] = {{"t", BROKEN}};
	struct bench *bench = *state;
	struct sluice_group_plan *plan;

	for (size_t count = 0; count < 2; count++) {
		assert_int_equal(sluice_group_plan(bench->client, "g", none, count, &begin, &plan),
				 0);
		assert_int_equal(plan->count, count);
		assert_int_equal(sluice_group_plan_commit(bench->client, plan), 0);
		sluice_group_plan_free(plan);
	}
	sluice_group_plan_free(NULL);
	assert_int_equal(bench->fake.requests[KAFKA_OFFSET_COMMIT], 0);
}

static void a_choice_that_makes_no_sense_is_refused(void **state)
{
	static const struct sluice_target begin = {SLUICE_AT_OFFSET, SLUICE_EARLIEST};
	static const struct sluice_assigned twice[] = {{"t", 2}, {"u", 2}, {"t", 2}};
	static const struct sluice_assigned nameless[] = {{"", 2}, {NULL, 2}};
	struct bench *bench = *state;
	struct sluice_group_plan *plan;

	assert_int_equal(sluice_group_plan(bench->client, "g", twice, 3, &begin, &plan), -EINVAL);
	assert_int_equal(sluice_group_plan(bench->client, "g", nameless, 1, &begin, &plan),
			 -EINVAL);
	assert_int_equal(sluice_group_plan(bench->client, "g", &nameless[1], 1, &begin, &plan),
			 -EINVAL);
}

int main(void)
{
#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		WITH_BROKER(a_target_is_found_in_each_log),
		WITH_BROKER(without_a_choice_all_that_is_committed_is_planned),
		WITH_BROKER(what_is_left_in_a_plan_and_known_is_committed),
		WITH_BROKER(what_the_coordinator_refuses_is_told_of_its_spots),
		WITH_BROKER(a_plan_of_nothing_commits_nothing),
		WITH_BROKER(a_choice_that_makes_no_sense_is_refused),
	};
#undef WITH_BROKER

	return cmocka_run_group_tests(tests, NULL, NULL);
}
