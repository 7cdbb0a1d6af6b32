/* Offsets that go: deleted, of topics that are gone, expired. */
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MINUTE_MS = 60000, RETENTION_MS = 10 * MINUTE_MS, CHECK_MS = MINUTE_MS };

static int set_up(void **state)
{
	struct world *world = world_new(2);

	world_topic(world, "orders", 3);
	world_topic(world, "bills", 3);
	world->config.offsets_retention_minutes = RETENTION_MS / MINUTE_MS;
	world->config.offsets_retention_check_interval_ms = CHECK_MS;
	world_restart(world); /* the interval is read when it begins */
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static int64_t offset_of(struct world *world, const char *group, const char *topic, int32_t index)
{
	return fetch_one(world, 8, group, topic, index).offset;
}

/* ---- OffsetDelete ---- */

static void deleted_offsets_are_gone_and_the_others_stay(void **state)
{
	struct world *world = *state;
	struct world_request *ask = delete_ask(world, "g");

	commit_one(world, 8, "g", "orders", 0, 1);
	commit_one(world, 8, "g", "orders", 1, 2);
	commit_one(world, 8, "g", "bills", 0, 3);
	delete_add(ask, "orders", 0);
	delete_add(ask, "orders", 2);
	delete_add(ask, "bills", 0);
	delete_add(ask, "bills", 3);
	delete_add(ask, "nothing", 0);
	world_send(ask);
	assert_int_equal(delete_error(ask, "orders", 0), KAFKA_NONE);
	assert_int_equal(delete_error(ask, "orders", 2), KAFKA_NONE);
	assert_int_equal(delete_error(ask, "bills", 0), KAFKA_NONE);
	assert_int_equal(delete_error(ask, "bills", 3), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(delete_error(ask, "nothing", 0), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(offset_of(world, "g", "orders", 1), 2);
	assert_int_equal(offset_of(world, "g", "bills", 0), -1);
	world_check_restart(world);
}

static int16_t delete_whole_error(struct world *world, const char *group)
{
	struct world_request *ask = delete_ask(world, group);

	delete_add(ask, "orders", 0);
	world_send(ask);
	const struct kafka_offset_delete_response *answer = world_answer(ask);
	assert_int_equal(answer->topics_count, answer->error_code ? 0 : 1);
	return answer->error_code;
}

static void groups_whose_offsets_cannot_be_deleted_say_why(void **state)
{
	struct world *world = *state;

	assert_int_equal(delete_whole_error(world, "none such"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(delete_whole_error(world, ""), KAFKA_INVALID_GROUP_ID);
	fake_classic(world->groups, "workers", "connect", 1);
	assert_int_equal(delete_whole_error(world, "workers"), KAFKA_NON_EMPTY_GROUP);
	fake_classic(world->groups, "workers", "connect", 0);
	assert_int_equal(delete_whole_error(world, "workers"), KAFKA_NONE);
}

static void offsets_of_a_topic_that_members_read_are_not_deleted(void **state)
{
	struct world *world = *state;
	struct world_request *ask = delete_ask(world, "g");

	fake_classic(world->groups, "g", "consumer", 1)->subscribed = "orders";
	commit_one(world, 8, "g", "orders", 0, 1);
	commit_one(world, 8, "g", "bills", 0, 2);
	delete_add(ask, "orders", 0);
	delete_add(ask, "bills", 0);
	world_send(ask);
	assert_int_equal(delete_error(ask, "orders", 0), KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
	assert_int_equal(delete_error(ask, "bills", 0), KAFKA_NONE);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	assert_int_equal(offset_of(world, "g", "bills", 0), -1);
}

static void a_group_whose_last_offset_was_deleted_is_gone(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 1);
	assert_int_equal(delete_whole_error(world, "g"), KAFKA_NONE);
	assert_int_equal(world->groups->count, 0);
	world_check_restart(world);
}

static void a_delete_that_was_not_appended_deletes_nothing(void **state)
{
	struct world *world = *state;
	struct world_request *ask = delete_ask(world, "g");

	commit_one(world, 8, "g", "orders", 0, 1);
	delete_add(ask, "orders", 0);
	world->log.refuse_after = 0;
	world_send(ask);
	world->log.refuse_after = UINT_MAX;
	assert_int_equal(delete_error(ask, "orders", 0), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	world_check_restart(world);
}

static void a_lost_delete_is_answered_so(void **state)
{
	struct world *world = *state;
	struct world_request *ask = delete_ask(world, "g");
	struct kafka_string id = kafka_string_of("g");

	commit_one(world, 8, "g", "orders", 0, 1);
	world->log.hold = true;
	delete_add(ask, "orders", 0);
	world_send(ask);
	assert_false(ask->answered);
	world_fail(world, group_partition_of(&id, 2));
	const struct kafka_offset_delete_response *answer = world_answer(ask);
	assert_int_equal(answer->error_code, KAFKA_NOT_COORDINATOR);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
}

/* ---- topics that go ---- */

static void offsets_go_with_their_topic_and_do_not_come_back(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 1);
	commit_one(world, 8, "g", "bills", 0, 2);
	world_delete_topic(world, "orders");
	world_check_restart(world);
	world_topic(world, "orders", 3);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(offset_of(world, "g", "bills", 0), 2);
	world_restart(world);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(offset_of(world, "g", "bills", 0), 2);
}

static void offsets_of_a_topic_made_anew_while_nobody_looked_are_dropped(void **state)
{
	struct world *world = *state;
	struct kafka_string id = kafka_string_of("g");
	int32_t partition = group_partition_of(&id, 2);

	commit_one(world, 8, "g", "orders", 0, 1);
	groups_begin_load(world->groups, partition);
	world_delete_topic(world, "orders");
	world_topic(world, "orders", 3);
	world_restart(world);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(world->groups->count, 0);
	world_check_restart(world);
}

static void a_group_that_only_had_offsets_of_the_topic_is_gone_with_it(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "simple", "orders", 0, 1);
	commit_one(world, 8, "kept", "bills", 0, 1);
	world_delete_topic(world, "orders");
	assert_int_equal(world->groups->count, 1);
}

static void tombstones_that_found_no_memory_are_written_later(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 1);
	world->log.refuse_after = 0;
	world_delete_topic(world, "orders");
	assert_int_equal(world->groups->count, 1);
	world->log.refuse_after = UINT_MAX;
	world_advance(world, 1000); /* soon: a new topic must not find them */
	assert_int_equal(world->groups->count, 0);
	world_check_restart(world);
}

/* ---- expiry ---- */

static void what_could_not_be_forgotten_is_not_taken_for_a_new_topics(void **state)
{
	struct world *world = *state;
	struct world_request *all = fetch_ask(world, 8, "g");

	commit_one(world, 8, "g", "orders", 0, 41);
	commit_one(world, 8, "g", "bills", 0, 1);
	world->log.refuse_after = 0;
	world_delete_topic(world, "orders");
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	world_topic(world, "orders", 3);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(offset_of(world, "g", "bills", 0), 1);
	world_send(all);
	assert_int_equal(fetch_row_count(all), 1);
	world->log.refuse_after = UINT_MAX;
	world_advance(world, 1000);
	world_check_restart(world);
}

static void a_simple_groups_offset_expires_after_its_commit(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 1);
	world_advance(world, RETENTION_MS / 2);
	commit_one(world, 8, "g", "orders", 1, 2);
	world_advance(world, RETENTION_MS / 2 - 1);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	world_advance(world, CHECK_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), -1);
	assert_int_equal(offset_of(world, "g", "orders", 1), 2);
	world_check_restart(world);
	world_advance(world, RETENTION_MS / 2);
	assert_int_equal(world->groups->count, 0);
	world_check_restart(world);
}

static void a_groups_offsets_expire_after_its_last_member_has_left(void **state)
{
	struct world *world = *state;

	fake_classic(world->groups, "g", "consumer", 1)->subscribed = "orders";
	commit_one(world, 8, "g", "orders", 0, 1);
	world_advance(world, 3 * RETENTION_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	fake_classic_store(world->groups, "g", 0);
	world_advance(world, RETENTION_MS - CHECK_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	/* When it became empty is stored: a restart does not begin again. */
	world_restart(world);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	world_advance(world, 2 * CHECK_MS);
	assert_int_equal(world->groups->count, 0);
	world_check_restart(world);
}

static void a_topic_that_members_do_not_read_any_more_expires_by_its_commit(void **state)
{
	struct world *world = *state;

	fake_classic(world->groups, "g", "consumer", 1)->subscribed = "orders";
	commit_one(world, 8, "g", "orders", 0, 1);
	commit_one(world, 8, "g", "bills", 0, 1);
	world_advance(world, RETENTION_MS + CHECK_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	assert_int_equal(offset_of(world, "g", "bills", 0), -1);
}

static void a_commit_to_a_group_that_has_long_been_empty_is_kept_as_long_as_any(void **state)
{
	struct world *world = *state;

	fake_classic(world->groups, "g", "consumer", 0);
	commit_one(world, 8, "g", "bills", 0, 1);
	world_advance(world, RETENTION_MS - CHECK_MS);
	commit_one(world, 8, "g", "orders", 0, 1);
	world_advance(world, RETENTION_MS - CHECK_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
	assert_int_equal(offset_of(world, "g", "bills", 0), -1);
}

static void an_old_clients_retention_is_its_own(void **state)
{
	struct world *world = *state;

	for (int16_t version = 2; version <= 5; version++) {
		struct world_request *ask = commit_ask(world, version, "g");
		struct kafka_offset_commit_request *message = ask->message;
		message->retention_time_ms = 3 * CHECK_MS;
		commit_add(ask, "orders", 0, version, NULL);
		world_send(ask);
		assert_int_equal(commit_error(ask, "orders", 0), KAFKA_NONE);
		world_check_restart(world);
		world_restart(world);
		world_advance(world, 2 * CHECK_MS);
		assert_int_equal(offset_of(world, "g", "orders", 0), version);
		world_advance(world, 2 * CHECK_MS);
		assert_int_equal(offset_of(world, "g", "orders", 0), version < 5 ? -1 : version);
	}
}

static void a_retention_beyond_the_end_of_time_never_ends(void **state)
{
	struct world *world = *state;
	struct world_request *ask = commit_ask(world, 2, "g");
	struct kafka_offset_commit_request *message = ask->message;

	message->retention_time_ms = INT64_MAX;
	commit_add(ask, "orders", 0, 1, NULL);
	world_send(ask);
	world_advance(world, 3 * RETENTION_MS);
	assert_int_equal(offset_of(world, "g", "orders", 0), 1);
}

static void an_empty_group_without_offsets_disappears(void **state)
{
	struct world *world = *state;

	fake_classic(world->groups, "empty", "consumer", 0);
	fake_classic(world->groups, "busy", "consumer", 2);
	world_advance(world, CHECK_MS);
	assert_int_equal(world->groups->count, 1);
	assert_non_null(fake_find(world->groups, "busy"));
	world_check_restart(world);
}

static void more_than_a_turn_takes_is_expired_in_several(void **state)
{
	enum { TOPIC_PARTITIONS = 15000, IN_ONE = 1500 };
	struct world *world = *state;

	world_grow_topic(world, "orders", TOPIC_PARTITIONS);
	for (int32_t first = 0; first < TOPIC_PARTITIONS; first += IN_ONE) {
		struct world_request *ask = commit_ask(world, 8, "g");
		struct kafka_offset_commit_request *message = ask->message;
		commit_add(ask, "orders", first, 1, NULL);
		message->topics[0].partitions_count = IN_ONE;
		message->topics[0].partitions = world_alloc(ask, IN_ONE,
							    sizeof(*message->topics[0].partitions));
		for (int32_t i = 0; i < IN_ONE; i++)
			message->topics[0].partitions[i].partition_index = first + i;
		world_send(ask);
	}
	size_t appended = world_appended(world);
	assert_int_equal(appended, TOPIC_PARTITIONS);
	world->now_ns += (uint64_t)2 * RETENTION_MS * NS_PER_MS;
	world->wall_ms += 2 * RETENTION_MS;
	groups_turn(world->groups);
	assert_int_equal(world_appended(world) - appended, 10000);
	world_advance(world, 1000);
	assert_int_equal(world_appended(world) - appended, TOPIC_PARTITIONS);
	assert_int_equal(world->groups->count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(deleted_offsets_are_gone_and_the_others_stay),
		TEST(groups_whose_offsets_cannot_be_deleted_say_why),
		TEST(offsets_of_a_topic_that_members_read_are_not_deleted),
		TEST(a_group_whose_last_offset_was_deleted_is_gone),
		TEST(a_delete_that_was_not_appended_deletes_nothing),
		TEST(a_lost_delete_is_answered_so),
		TEST(offsets_go_with_their_topic_and_do_not_come_back),
		TEST(offsets_of_a_topic_made_anew_while_nobody_looked_are_dropped),
		TEST(a_group_that_only_had_offsets_of_the_topic_is_gone_with_it),
		TEST(tombstones_that_found_no_memory_are_written_later),
		TEST(what_could_not_be_forgotten_is_not_taken_for_a_new_topics),
		TEST(a_simple_groups_offset_expires_after_its_commit),
		TEST(a_groups_offsets_expire_after_its_last_member_has_left),
		TEST(a_topic_that_members_do_not_read_any_more_expires_by_its_commit),
		TEST(a_commit_to_a_group_that_has_long_been_empty_is_kept_as_long_as_any),
		TEST(an_old_clients_retention_is_its_own),
		TEST(a_retention_beyond_the_end_of_time_never_ends),
		TEST(an_empty_group_without_offsets_disappears),
		TEST(more_than_a_turn_takes_is_expired_in_several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
