/* OffsetCommit in every version, and who may. */
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const int16_t lowest = 2, highest = 10;

static int set_up(void **state)
{
	struct world *world = world_new(1);

	world_topic(world, "orders", 3);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static void any_version_commits_what_every_version_then_fetches(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = commit_ask(world, version, "g");
		commit_add(ask, "orders", 0, 100 + version, "where it was");
		commit_add(ask, "orders", 2, 200 + version, NULL);
		world_send(ask);
		assert_int_equal(commit_error(ask, "orders", 0), KAFKA_NONE);
		assert_int_equal(commit_error(ask, "orders", 2), KAFKA_NONE);
		for (int16_t fetch = 1; fetch <= 10; fetch++) {
			struct fetched row = fetch_one(world, fetch, "g", "orders", 0);
			assert_int_equal(row.error, KAFKA_NONE);
			assert_int_equal(row.offset, 100 + version);
			assert_string_equal(row.metadata, "where it was");
			assert_int_equal(row.leader_epoch, fetch >= 5 && version >= 6 ? 5 : -1);
			row = fetch_one(world, fetch, "g", "orders", 2);
			assert_int_equal(row.offset, 200 + version);
			assert_string_equal(row.metadata, "");
		}
	}
	world_check_restart(world);
}

static void topics_and_partitions_that_do_not_exist_are_refused_alone(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = commit_ask(world, version, "g");
		commit_add(ask, "orders", 0, 1, NULL);
		commit_add(ask, "orders", 3, 1, NULL);
		commit_add(ask, "orders", -1, 1, NULL);
		commit_add(ask, "nothing", 0, 1, NULL);
		world_send(ask);
		assert_int_equal(commit_error(ask, "orders", 0), KAFKA_NONE);
		assert_int_equal(commit_error(ask, "orders", 3), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		assert_int_equal(commit_error(ask, "orders", -1), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		assert_int_equal(commit_error(ask, "nothing", 0),
				 version >= 10 ? KAFKA_UNKNOWN_TOPIC_ID
					       : KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	}
	assert_int_equal(world_appended(world), highest - lowest + 1);
}

static void a_commit_of_unknown_topics_alone_makes_no_group(void **state)
{
	struct world *world = *state;

	assert_int_equal(commit_one(world, 8, "g", "nothing", 0, 1),
			 KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	assert_int_equal(world->groups->count, 0);
	assert_int_equal(world_appended(world), 0);
}

static void a_long_metadata_is_refused_and_the_others_are_kept(void **state)
{
	struct world *world = *state;
	struct world_request *ask = commit_ask(world, 8, "g");

	world->config.offset_metadata_max_bytes = 4;
	commit_add(ask, "orders", 0, 1, "12345");
	commit_add(ask, "orders", 1, 1, "1234");
	world_send(ask);
	assert_int_equal(commit_error(ask, "orders", 0), KAFKA_OFFSET_METADATA_TOO_LARGE);
	assert_int_equal(commit_error(ask, "orders", 1), KAFKA_NONE);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 0).offset, -1);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 1).offset, 1);
}

static void a_group_that_kept_nothing_of_a_commit_is_gone(void **state)
{
	struct world *world = *state;
	struct world_request *ask = commit_ask(world, 8, "g");

	world->config.offset_metadata_max_bytes = 0;
	commit_add(ask, "orders", 0, 1, "1");
	world_send(ask);
	assert_int_equal(commit_error(ask, "orders", 0), KAFKA_OFFSET_METADATA_TOO_LARGE);
	assert_int_equal(world->groups->count, 0);
}

static void a_member_of_a_group_that_is_not_there_is_refused(void **state)
{
	struct world *world = *state;

	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = commit_ask(world, version, "g");
		commit_as(ask, "member", 3);
		commit_add(ask, "orders", 0, 1, NULL);
		commit_add(ask, "orders", 9, 1, NULL);
		world_send(ask);
		assert_int_equal(commit_error(ask, "orders", 0),
				 version >= 9 ? KAFKA_GROUP_ID_NOT_FOUND
					      : KAFKA_ILLEGAL_GENERATION);
		assert_int_equal(commit_error(ask, "orders", 9), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	}
	assert_int_equal(world->groups->count, 0);
}

static void a_member_of_a_group_that_has_only_offsets_is_unknown(void **state)
{
	struct world *world = *state;
	struct world_request *ask = commit_ask(world, 8, "g");

	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
	commit_as(ask, "member", 3);
	commit_add(ask, "orders", 0, 2, NULL);
	world_send(ask);
	assert_int_equal(commit_error(ask, "orders", 0), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 0).offset, 1);
}

static void the_kind_says_who_may_commit(void **state)
{
	static const enum kafka_error refusals[] = {
		KAFKA_UNKNOWN_MEMBER_ID, KAFKA_ILLEGAL_GENERATION, KAFKA_REBALANCE_IN_PROGRESS,
		KAFKA_FENCED_INSTANCE_ID, KAFKA_STALE_MEMBER_EPOCH};
	struct world *world = *state;
	struct fake_group *group = fake_classic(world->groups, "g", "consumer", 1);

	for (size_t i = 0; i < array_count(refusals); i++) {
		group->may_commit = refusals[i];
		assert_int_equal(commit_one(world, 9, "g", "orders", 0, 1), refusals[i]);
	}
	assert_int_equal(group->seen, 0);
	group->may_commit = KAFKA_NONE;
	assert_int_equal(commit_one(world, 9, "g", "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(group->seen, 1);
}

static void an_offset_below_none_is_none(void **state)
{
	struct world *world = *state;

	assert_int_equal(commit_one(world, 8, "g", "orders", 0, INT64_MIN), KAFKA_NONE);
	assert_int_equal(commit_one(world, 8, "g", "orders", 1, -1), KAFKA_NONE);
	assert_int_equal(commit_one(world, 8, "g", "orders", 2, INT64_MAX), KAFKA_NONE);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 0).offset, -1);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 1).offset, -1);
	assert_true(fetch_one(world, 8, "g", "orders", 2).offset == INT64_MAX);
	world_check_restart(world);
}

static void the_empty_group_id_is_a_group(void **state)
{
	struct world *world = *state;

	assert_int_equal(commit_one(world, 8, "", "orders", 0, 5), KAFKA_NONE);
	assert_int_equal(fetch_one(world, 8, "", "orders", 0).offset, 5);
	world_check_restart(world);
}

static void more_groups_than_the_limit_are_refused(void **state)
{
	struct world *world = *state;

	world->config.group_max_groups = 2;
	assert_int_equal(commit_one(world, 8, "a", "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(commit_one(world, 8, "b", "orders", 0, 1), KAFKA_NONE);
	assert_int_equal(commit_one(world, 8, "c", "orders", 0, 1), KAFKA_GROUP_MAX_SIZE_REACHED);
	assert_int_equal(commit_one(world, 8, "b", "orders", 0, 2), KAFKA_NONE);
	/* What is stored is loaded, whatever the limit is by then. */
	world->config.group_max_groups = 1;
	world_restart(world);
	assert_int_equal(fetch_one(world, 8, "b", "orders", 0).offset, 2);
	assert_int_equal(commit_one(world, 8, "c", "orders", 0, 1), KAFKA_GROUP_MAX_SIZE_REACHED);
}

static void a_commit_that_was_not_appended_changes_nothing(void **state)
{
	struct world *world = *state;
	struct world_request *ask;

	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
	ask = commit_ask(world, 8, "g");
	commit_add(ask, "orders", 1, 2, NULL);
	commit_add(ask, "orders", 0, 2, "new");
	commit_add(ask, "orders", 2, 2, NULL);
	world->log.refuse_after = 1;
	world_send(ask);
	world->log.refuse_after = UINT_MAX;
	assert_int_equal(commit_error(ask, "orders", 1), KAFKA_NONE);
	assert_int_equal(commit_error(ask, "orders", 0), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(commit_error(ask, "orders", 2), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 0).offset, 1);
	assert_string_equal(fetch_one(world, 8, "g", "orders", 0).metadata, "");
	assert_int_equal(fetch_one(world, 8, "g", "orders", 1).offset, 2);
	assert_int_equal(fetch_one(world, 8, "g", "orders", 2).offset, -1);
	world_check_restart(world);
}

static void a_commit_is_answered_when_it_is_durable(void **state)
{
	struct world *world = *state;
	struct world_request *ask = commit_ask(world, 8, "g");

	world->log.hold = true;
	commit_add(ask, "orders", 0, 1, NULL);
	world_send(ask);
	assert_false(ask->answered);
	world_flush(world, 0);
	assert_int_equal(commit_error(ask, "orders", 0), KAFKA_NONE);
}

static void a_lost_commit_is_answered_so_and_not_seen_again(void **state)
{
	struct world *world = *state;

	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
	for (int16_t version = lowest; version <= highest; version++) {
		struct world_request *ask = commit_ask(world, version, "g");
		struct world_request *fetch = fetch_ask(world, 8, "g");
		world->log.hold = true;
		commit_add(ask, "orders", 0, 2, NULL);
		commit_add(ask, "nothing", 0, 2, NULL);
		world_send(ask);
		/* Drawn from what is lost: it must not leave either. */
		world_send(fetch);
		assert_false(ask->answered);
		assert_false(fetch->answered);
		world_fail(world, 0);
		assert_int_equal(commit_error(ask, "orders", 0), KAFKA_NOT_COORDINATOR);
		assert_int_equal(commit_error(ask, "nothing", 0), KAFKA_NOT_COORDINATOR);
		assert_int_equal(fetch_error(fetch), KAFKA_NOT_COORDINATOR);
		world->log.hold = false;
		assert_int_equal(fetch_one(world, 8, "g", "orders", 0).offset, 1);
	}
	world_check_restart(world);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_version_commits_what_every_version_then_fetches),
		TEST(topics_and_partitions_that_do_not_exist_are_refused_alone),
		TEST(a_commit_of_unknown_topics_alone_makes_no_group),
		TEST(a_long_metadata_is_refused_and_the_others_are_kept),
		TEST(a_group_that_kept_nothing_of_a_commit_is_gone),
		TEST(a_member_of_a_group_that_is_not_there_is_refused),
		TEST(a_member_of_a_group_that_has_only_offsets_is_unknown),
		TEST(the_kind_says_who_may_commit),
		TEST(an_offset_below_none_is_none),
		TEST(the_empty_group_id_is_a_group),
		TEST(more_groups_than_the_limit_are_refused),
		TEST(a_commit_that_was_not_appended_changes_nothing),
		TEST(a_commit_is_answered_when_it_is_durable),
		TEST(a_lost_commit_is_answered_so_and_not_seen_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
