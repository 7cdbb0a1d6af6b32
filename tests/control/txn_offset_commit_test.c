/* Offsets committed in transactions: who may, what is seen of them before the end, what they
 * become, and that a restart at any moment changes none of that. */
#include "base/errors.h"
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int16_t lowest = 0, highest = 5;

static int set_up(void **state)
{
	struct world *world = world_new(2);

	world_topic(world, "orders", 3);
	world_topic(world, "bills", 3);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_check_restart(*state);
	world_free(*state);
	return 0;
}

static int32_t home_of(const char *group)
{
	struct kafka_string id = kafka_string_of(group);

	return group_partition_of(&id, 2);
}

static int16_t stable_error(struct world *world, const char *topic, int32_t partition)
{
	return stable_one(world, 8, "g", topic, partition).error;
}

static int64_t offset_of(struct world *world, const char *topic, int32_t partition)
{
	return fetch_one(world, 8, "g", topic, partition).offset;
}

/* ---- the request ---- */

static void any_version_is_pending_until_the_end_and_committed_then(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = txn_ask(world, version, "g", 7);
		int64_t former = offset_of(world, "orders", 0);
		txn_add(ask, "orders", 0, 100 + version, "where it was");
		txn_add(ask, "bills", 2, 200 + version, NULL);
		world_send(ask);
		assert_int_equal(txn_error(ask, "orders", 0), KAFKA_NONE);
		assert_int_equal(txn_error(ask, "bills", 2), KAFKA_NONE);
		assert_int_equal(offset_of(world, "orders", 0), former);
		world_check_restart(world);
		assert_int_equal(txn_end(world, "g", 7, true), 0);
		struct fetched row = stable_one(world, 8, "g", "orders", 0);
		assert_int_equal(row.error, KAFKA_NONE);
		assert_int_equal(row.offset, 100 + version);
		assert_int_equal(row.leader_epoch, version >= 2 ? 5 : -1);
		assert_string_equal(row.metadata, "where it was");
		assert_int_equal(offset_of(world, "bills", 2), 200 + version);
		world_check_restart(world);
	}
	assert_int_equal(world->groups->pending_count, 0);
}

static void what_is_aborted_is_gone_and_what_was_committed_stands(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 5);
	txn_one(world, "g", 7, "orders", 0, 6);
	txn_one(world, "g", 7, "orders", 1, 6);
	assert_int_equal(txn_end(world, "g", 7, false), 0);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
	assert_int_equal(offset_of(world, "orders", 0), 5);
	assert_int_equal(offset_of(world, "orders", 1), -1);
}

static void a_group_that_only_had_aborted_offsets_is_gone(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 6);
	assert_int_equal(world->groups->count, 1);
	assert_int_equal(txn_end(world, "g", 7, false), 0);
	assert_int_equal(world->groups->count, 0);
}

static void topics_and_partitions_that_do_not_exist_are_refused_alone(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = txn_ask(world, version, "g", 7);
		txn_add(ask, "orders", 0, 1, NULL);
		txn_add(ask, "orders", 3, 1, NULL);
		txn_add(ask, "orders", -1, 1, NULL);
		txn_add(ask, "nothing", 0, 1, NULL);
		world_send(ask);
		assert_int_equal(txn_error(ask, "orders", 0), KAFKA_NONE);
		assert_int_equal(txn_error(ask, "orders", 3), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		assert_int_equal(txn_error(ask, "orders", -1), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		assert_int_equal(txn_error(ask, "nothing", 0), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	}
	assert_int_equal(world_appended(world), highest - lowest + 1);
}

static void a_long_metadata_is_refused_alone(void **state)
{
	struct world *world = *state;
	struct world_request *ask = txn_ask(world, 5, "g", 7);

	world->config.offset_metadata_max_bytes = 4;
	txn_add(ask, "orders", 0, 1, "12345");
	txn_add(ask, "orders", 1, 1, "1234");
	world_send(ask);
	assert_int_equal(txn_error(ask, "orders", 0), KAFKA_OFFSET_METADATA_TOO_LARGE);
	assert_int_equal(txn_error(ask, "orders", 1), KAFKA_NONE);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
}

static void who_has_kept_nothing_has_made_no_group(void **state)
{
	struct world *world = *state;
	struct world_request *ask = txn_ask(world, 5, "g", 7);

	world->config.offset_metadata_max_bytes = 0;
	txn_add(ask, "orders", 0, 1, "1");
	world_send(ask);
	assert_int_equal(txn_error(ask, "orders", 0), KAFKA_OFFSET_METADATA_TOO_LARGE);
	assert_int_equal(txn_one(world, "g", 7, "nothing", 0, 1), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(world->groups->count, 0);
	assert_int_equal(world_appended(world), 0);
}

static void a_group_without_a_name_and_a_producer_without_an_id_are_refused(void **state)
{
	struct world *world = *state;

	assert_int_equal(txn_one(world, "", 7, "orders", 0, 1), KAFKA_INVALID_GROUP_ID);
	assert_int_equal(txn_one(world, "g", -1, "orders", 0, 1),
			 KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(txn_one(world, "g", INT64_MIN, "orders", 0, 1),
			 KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(world_appended(world), 0);
}

static void a_member_of_a_group_that_is_not_there_is_refused(void **state)
{
	struct world *world = *state;

	for (int16_t version = 3; version <= highest; version++) {
		struct world_request *ask = txn_ask(world, version, "g", 7);
		txn_as(ask, "member", NULL, 3);
		txn_add(ask, "orders", 0, 1, NULL);
		txn_add(ask, "orders", 9, 1, NULL);
		world_send(ask);
		assert_int_equal(txn_error(ask, "orders", 0), KAFKA_ILLEGAL_GENERATION);
		assert_int_equal(txn_error(ask, "orders", 9), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	}
	assert_int_equal(world->groups->count, 0);
}

static void a_member_of_a_group_that_only_has_offsets_is_refused(void **state)
{
	struct world *world = *state;
	struct world_request *ask = txn_ask(world, 5, "g", 7);

	commit_one(world, 8, "g", "orders", 0, 1);
	txn_as(ask, "member", NULL, 3);
	txn_add(ask, "orders", 0, 2, NULL);
	world_send(ask);
	assert_int_equal(txn_error(ask, "orders", 0), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
}

static void a_kind_that_says_no_is_heard_and_its_member_is_not_taken_for_alive(void **state)
{
	struct world *world = *state;
	struct fake_group *group = fake_classic(world->groups, "g", "consumer", 1);

	group->may_commit = KAFKA_FENCED_INSTANCE_ID;
	assert_int_equal(txn_one(world, "g", 7, "orders", 0, 1), KAFKA_FENCED_INSTANCE_ID);
	group->may_commit = KAFKA_NONE;
	assert_int_equal(txn_one(world, "g", 7, "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(group->seen, 0);
}

/* Before version 2 producers end at "load in progress". */
static void while_loading_a_producer_asks_again(void **state)
{
	struct world *world = *state;

	groups_begin_load(world->groups, home_of("g"));
	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = txn_ask(world, version, "g", 7);
		txn_add(ask, "orders", 0, 1, NULL);
		world_send(ask);
		assert_int_equal(txn_error(ask, "orders", 0),
				 version < 2 ? KAFKA_COORDINATOR_NOT_AVAILABLE
					     : KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	}
	groups_end_load(world->groups, home_of("g"));
}

static void what_was_lost_is_answered_so(void **state)
{
	struct world *world = *state;
	struct world_request *ask = txn_ask(world, 5, "g", 7);

	world->log.hold = true;
	txn_add(ask, "orders", 0, 1, NULL);
	world_send(ask);
	assert_false(ask->answered);
	world_fail(world, home_of("g"));
	world->log.hold = false;
	assert_int_equal(txn_error(ask, "orders", 0), KAFKA_NOT_COORDINATOR);
	assert_int_equal(world->groups->count, 0);
	assert_int_equal(world->groups->pending_count, 0);
}

static void what_was_not_appended_is_not_pending(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 1);
	world->log.refuse_after = 0;
	assert_int_equal(txn_one(world, "g", 7, "orders", 0, 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(txn_one(world, "g", 7, "orders", 1, 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(txn_one(world, "g", 8, "orders", 0, 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
	world->log.refuse_after = UINT_MAX;
	assert_int_equal(world->groups->pending_count, 1);
	assert_int_equal(stable_error(world, "orders", 1), KAFKA_NONE);
	assert_int_equal(txn_end(world, "g", 8, true), 0);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), 1);
}

static void pending_offsets_are_limited_and_room_comes_with_ends(void **state)
{
	struct world *world = *state;

	world->config.group_max_pending_offsets = 2;
	assert_int_equal(txn_one(world, "g", 7, "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(txn_one(world, "h", 7, "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(txn_one(world, "g", 8, "orders", 0, 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(txn_one(world, "k", 7, "orders", 0, 1), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(world->groups->count, 2);
	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(txn_one(world, "g", 8, "orders", 0, 1), KAFKA_NONE);
	world_restart(world);
	assert_int_equal(world->groups->pending_count, 2);
}

/* ---- what is seen before the end ---- */

static void who_wants_stable_offsets_is_told_of_pending_ones_in_every_version(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 5);
	commit_one(world, 8, "g", "orders", 1, 5);
	txn_one(world, "g", 7, "orders", 0, 6);
	txn_one(world, "g", 7, "orders", 2, 6);
	for (int16_t version = 1; version <= 10; version++) {
		for (int32_t partition = 0; partition <= 2; partition++) {
			struct fetched row = stable_one(world, version, "g", "orders", partition);
			bool told = version >= 7 && partition != 1;
			assert_int_equal(row.error,
					 told ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE);
			assert_int_equal(row.offset, told || partition == 2 ? -1 : 5);
			assert_string_equal(row.metadata, "");
		}
		assert_int_equal(fetch_one(world, version, "g", "orders", 0).offset, 5);
		assert_int_equal(fetch_one(world, version, "g", "orders", 2).offset, -1);
	}
}

static void all_offsets_are_the_committed_ones_some_of_them_unstable(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 5);
	commit_one(world, 8, "g", "orders", 1, 5);
	txn_one(world, "g", 7, "orders", 0, 6);
	txn_one(world, "g", 7, "bills", 0, 6);
	for (int16_t version = 2; version <= 10; version++) {
		struct world_request *ask = fetch_ask(world, version, "g");
		fetch_stable(ask);
		world_send(ask);
		assert_int_equal(fetch_row_count(ask), 2);
		assert_int_equal(fetch_row(ask, "orders", 0).error,
				 version >= 7 ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE);
		assert_int_equal(fetch_row(ask, "orders", 1).offset, 5);
	}
}

static void groups_do_not_see_what_others_have_pending(void **state)
{
	struct world *world = *state;

	txn_one(world, "h", 7, "orders", 0, 6);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
	assert_int_equal(stable_one(world, 8, "h", "orders", 0).error,
			 KAFKA_UNSTABLE_OFFSET_COMMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_version_is_pending_until_the_end_and_committed_then),
		TEST(what_is_aborted_is_gone_and_what_was_committed_stands),
		TEST(a_group_that_only_had_aborted_offsets_is_gone),
		TEST(topics_and_partitions_that_do_not_exist_are_refused_alone),
		TEST(a_long_metadata_is_refused_alone),
		TEST(who_has_kept_nothing_has_made_no_group),
		TEST(a_group_without_a_name_and_a_producer_without_an_id_are_refused),
		TEST(a_member_of_a_group_that_is_not_there_is_refused),
		TEST(a_member_of_a_group_that_only_has_offsets_is_refused),
		TEST(a_kind_that_says_no_is_heard_and_its_member_is_not_taken_for_alive),
		TEST(while_loading_a_producer_asks_again),
		TEST(what_was_lost_is_answered_so),
		TEST(what_was_not_appended_is_not_pending),
		TEST(pending_offsets_are_limited_and_room_comes_with_ends),
		TEST(who_wants_stable_offsets_is_told_of_pending_ones_in_every_version),
		TEST(all_offsets_are_the_committed_ones_some_of_them_unstable),
		TEST(groups_do_not_see_what_others_have_pending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
