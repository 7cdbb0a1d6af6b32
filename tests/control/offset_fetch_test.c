/* OffsetFetch in every version. */
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int16_t lowest = 1, highest = 10;

static int set_up(void **state)
{
	struct world *world = world_new(4);

	world_topic(world, "orders", 3);
	world_topic(world, "bills", 3);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static void a_partition_without_a_commit_has_a_row_without_an_error(void **state)
{
	struct world *world = *state;

	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
	for (int16_t version = lowest; version <= highest; version++) {
		for (int known = 0; known < 2; known++) {
			struct world_request *ask = fetch_ask(world, version,
							      known ? "g" : "none such");
			fetch_add(ask, "orders", 1);
			fetch_add(ask, "orders", 77);
			fetch_add(ask, "bills", 0);
			world_send(ask);
			assert_int_equal(fetch_error(ask), KAFKA_NONE);
			assert_int_equal(fetch_row_count(ask), 3);
			struct fetched row = fetch_row(ask, "bills", 0);
			assert_int_equal(row.error, KAFKA_NONE);
			assert_int_equal(row.offset, -1);
			assert_int_equal(row.leader_epoch, -1);
			assert_string_equal(row.metadata, "");
			assert_int_equal(fetch_row(ask, "orders", 77).offset, -1);
		}
	}
	assert_int_equal(world->groups->count, 1);
}

static void no_topics_means_all_that_are_committed(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 2, 12);
	commit_one(world, 8, "g", "bills", 1, 21);
	commit_one(world, 8, "g", "orders", 0, 10);
	for (int16_t version = 2; version <= highest; version++) {
		struct world_request *ask = fetch_ask(world, version, "g");
		world_send(ask);
		assert_int_equal(fetch_error(ask), KAFKA_NONE);
		assert_int_equal(fetch_row_count(ask), 3);
		assert_int_equal(fetch_row(ask, "orders", 0).offset, 10);
		assert_int_equal(fetch_row(ask, "orders", 2).offset, 12);
		assert_int_equal(fetch_row(ask, "bills", 1).offset, 21);
		ask = fetch_ask(world, version, "none such");
		world_send(ask);
		assert_int_equal(fetch_error(ask), KAFKA_NONE);
		assert_int_equal(fetch_row_count(ask), 0);
	}
}

static void version_1_asks_for_nothing_with_no_topics(void **state)
{
	struct world *world = *state;
	struct world_request *ask = fetch_ask(world, 1, "g");

	commit_one(world, 8, "g", "orders", 2, 12);
	world_send(ask);
	assert_int_equal(fetch_row_count(ask), 0);
}

static void an_unknown_topic_id_is_an_error_and_an_unknown_name_is_not(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct fetched row = fetch_one(world, version, "g", "nothing", 0);
		assert_int_equal(row.error, version >= 10 ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_NONE);
		assert_int_equal(row.offset, -1);
	}
}

static void many_groups_are_answered_each_for_itself(void **state)
{
	struct world *world = *state;
	struct world_request *ask = fetch_ask(world, 8, "unused");
	struct kafka_offset_fetch_request *message = ask->message;
	static const char *const ids[] = {"a", "b", "c", "d", "e", "nobody"};

	for (int32_t i = 0; i < 5; i++)
		assert_int_equal(commit_one(world, 8, ids[i], "orders", i % 3, 100 + i),
				 KAFKA_NONE);
	message->groups = world_alloc(ask, 6, sizeof(*message->groups));
	message->groups_count = 6;
	for (int i = 0; i < 6; i++) {
		message->groups[i].group_id = kafka_string_of(ids[i]);
		message->groups[i].topics_count = -1;
	}
	world_send(ask);
	const struct kafka_offset_fetch_response *answer = world_answer(ask);
	assert_int_equal(answer->groups_count, 6);
	for (int i = 0; i < 5; i++) {
		struct kafka_string id = kafka_string_of(ids[i]);
		assert_true(kafka_string_equal(&answer->groups[i].group_id, &id));
		assert_int_equal(answer->groups[i].error_code, KAFKA_NONE);
		assert_int_equal(answer->groups[i].topics_count, 1);
		assert_int_equal(answer->groups[i].topics[0].partitions[0].committed_offset,
				 100 + i);
	}
	assert_int_equal(answer->groups[5].topics_count, 0);
}

static void an_answer_waits_for_the_partitions_of_all_its_groups(void **state)
{
	struct world *world = *state;
	struct world_request *ask = fetch_ask(world, 8, "a");
	struct kafka_offset_fetch_request *message = ask->message;
	struct kafka_string ids[] = {kafka_string_of("a"), kafka_string_of("b")};

	message->groups = world_alloc(ask, 2, sizeof(*message->groups));
	message->groups_count = 2;
	for (int i = 0; i < 2; i++) {
		message->groups[i].group_id = ids[i];
		message->groups[i].topics_count = -1;
	}
	int32_t first = group_partition_of(&ids[0], 4), second = group_partition_of(&ids[1], 4);
	assert_int_not_equal(first, second);
	world->log.hold = true;
	for (int i = 0; i < 2; i++) {
		struct world_request *commit = commit_ask(world, 8, i ? "b" : "a");
		commit_add(commit, "orders", 0, 1, NULL);
		world_send(commit);
	}
	world_send(ask);
	world_flush(world, first);
	assert_false(ask->answered);
	world_fail(world, second);
	const struct kafka_offset_fetch_response *answer = world_answer(ask);
	assert_int_equal(answer->groups[0].error_code, KAFKA_NOT_COORDINATOR);
	assert_int_equal(answer->groups[1].error_code, KAFKA_NOT_COORDINATOR);
	assert_int_equal(answer->groups[0].topics_count, 0);
}

static void the_kind_says_who_may_fetch(void **state)
{
	struct world *world = *state;
	struct fake_group *group = fake_classic(world->groups, "g", "consumer", 1);

	commit_one(world, 9, "g", "orders", 0, 1);
	group->may_fetch = KAFKA_STALE_MEMBER_EPOCH;
	struct world_request *ask = fetch_ask(world, 9, "g");
	fetch_as(ask, "member", 3);
	world_send(ask);
	assert_int_equal(fetch_error(ask), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(fetch_row_count(ask), 0);
}

static void a_partition_that_is_being_loaded_is_never_an_empty_success(void **state)
{
	struct world *world = *state;
	struct kafka_string id = kafka_string_of("g");

	commit_one(world, 8, "g", "orders", 0, 1);
	groups_begin_load(world->groups, group_partition_of(&id, 4));
	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = fetch_ask(world, version, "g");
		fetch_add(ask, "orders", 0);
		world_send(ask);
		assert_int_equal(fetch_error(ask),
				 version > 1 ? KAFKA_COORDINATOR_LOAD_IN_PROGRESS : KAFKA_NONE);
		if (version < 8)
			assert_int_equal(fetch_row(ask, "orders", 0).error,
					 KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	}
	for (int16_t version = 2; version <= highest; version++) {
		struct world_request *ask = fetch_ask(world, version, "g");
		world_send(ask);
		assert_int_equal(fetch_error(ask), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
		assert_int_equal(fetch_row_count(ask), 0);
	}
}

static void an_answer_does_not_change_with_what_comes_after_it(void **state)
{
	struct world *world = *state;
	struct world_request *commit = commit_ask(world, 8, "g");
	struct world_request *ask = fetch_ask(world, 8, "g");

	commit_add(commit, "orders", 0, 1, "first");
	world_send(commit);
	world_send(ask);
	commit_one(world, 8, "g", "orders", 0, 2);
	world_delete_topic(world, "orders");
	assert_int_equal(world->groups->count, 0);
	world_topic(world, "orders", 1); /* for the row's name alone */
	struct fetched row = fetch_row(ask, "orders", 0);
	assert_int_equal(row.offset, 1);
	assert_string_equal(row.metadata, "first");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_partition_without_a_commit_has_a_row_without_an_error),
		TEST(no_topics_means_all_that_are_committed),
		TEST(version_1_asks_for_nothing_with_no_topics),
		TEST(an_unknown_topic_id_is_an_error_and_an_unknown_name_is_not),
		TEST(many_groups_are_answered_each_for_itself),
		TEST(an_answer_waits_for_the_partitions_of_all_its_groups),
		TEST(the_kind_says_who_may_fetch),
		TEST(a_partition_that_is_being_loaded_is_never_an_empty_success),
		TEST(an_answer_does_not_change_with_what_comes_after_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
