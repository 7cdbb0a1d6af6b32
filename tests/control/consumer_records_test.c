/* Records of consumer groups that are not as we write them. */
#include "base/errors.h"
#include "control/groups/group_records.h"
#include "tests/control/consumer_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct kafka_string group_g = {"g", 1};
static const struct kafka_string member_a = {"a", 1};

/* The records are replayed while partition 0 is loading. */
static int set_up(void **state)
{
	struct world *w = world_new(1);

	world_topic(w, "t", 2);
	groups_begin_load(w->groups, 0);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static int replay(struct world *w, enum kafka_record_type type, const void *key, const void *value)
{
	struct group_record record = {type, w->wall_ms, key, value};

	return consumer_replay(w->groups, &record);
}

static int replay_group(struct world *w, int32_t epoch)
{
	struct record_consumer_group_metadata_key key = {group_g};
	struct record_consumer_group_metadata_value value = {.epoch = epoch};

	return replay(w, RECORD_CONSUMER_GROUP_METADATA, &key, &value);
}

static int replay_details(struct world *w, const struct kafka_string *member, int32_t rebalance_ms)
{
	struct record_consumer_group_member_metadata_key key = {group_g, *member};
	struct kafka_string topic = kafka_string_of("t");
	struct record_consumer_group_member_metadata_value value;

	record_consumer_group_member_metadata_value_init(&value);
	value.subscribed_topic_names = &topic;
	value.subscribed_topic_names_count = 1;
	value.rebalance_timeout_ms = rebalance_ms;
	return replay(w, RECORD_CONSUMER_GROUP_MEMBER_METADATA, &key, &value);
}

static int replay_current(struct world *w, int32_t epoch, int8_t state, int32_t partition)
{
	struct record_consumer_group_current_member_assignment_key key = {group_g, member_a};
	struct record_consumer_group_current_member_assignment_value_assigned_partition row = {
		.topic_id = w->rows[0]->id,
		.partitions = &partition,
		.partitions_count = 1,
	};
	struct record_consumer_group_current_member_assignment_value value;

	record_consumer_group_current_member_assignment_value_init(&value);
	value.member_epoch = epoch;
	value.state = state;
	value.assigned_partitions = &row;
	value.assigned_partitions_count = 1;
	return replay(w, RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, &key, &value);
}

static void what_cannot_be_is_corrupt(void **state)
{
	struct kafka_string nobody = kafka_string_of("");
	struct world *w = *state;

	assert_int_equal(replay_group(w, -1), -ERR_CORRUPT);
	assert_int_equal(replay_group(w, INT32_MAX), -ERR_CORRUPT);
	assert_int_equal(replay_details(w, &nobody, 1), -ERR_CORRUPT);
	assert_int_equal(replay_details(w, &member_a, -1), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, -3, 0, 0), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, INT32_MAX, 0, 0), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, 1, 3, 0), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, 1, -1, 0), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, 1, 0, -1), -ERR_CORRUPT);
	assert_int_equal(replay_current(w, 1, 0, 2000000), -ERR_CORRUPT);
	groups_end_load(w->groups, 0);
}

static void tombstones_of_what_is_not_there_make_nothing(void **state)
{
	struct record_consumer_group_member_metadata_key key = {group_g, member_a};
	struct world *w = *state;

	for (int type = RECORD_CONSUMER_GROUP_METADATA;
	     type <= RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT; type++) {
		if (type != RECORD_CONSUMER_GROUP_METADATA + 1)
			assert_int_equal(replay(w, (enum kafka_record_type)type, &key, NULL), 0);
	}
	groups_end_load(w->groups, 0);
	assert_int_equal(w->groups->count, 0);
}

static void the_records_of_a_member_come_in_any_order(void **state)
{
	struct world *w = *state;

	assert_int_equal(replay_current(w, 1, 0, 1), 0);
	assert_int_equal(replay_details(w, &member_a, 1000), 0);
	assert_int_equal(replay_group(w, 1), 0);
	groups_end_load(w->groups, 0);
	assert_int_equal(describe(w, "g")->members_count, 1);
	assert_int_equal(describe(w, "g")->members[0].assignment.topic_partitions[0].partitions[0],
			 1);
}

static void a_member_without_details_is_none(void **state)
{
	struct world *w = *state;

	assert_int_equal(replay_group(w, 1), 0);
	assert_int_equal(replay_current(w, 1, 0, 1), 0);
	groups_end_load(w->groups, 0);
	assert_int_equal(describe(w, "g")->members_count, 0);
}

/* Its target is nobody's until the group epoch rises. */
static void what_a_member_without_details_had_is_given_to_others(void **state)
{
	struct record_consumer_group_target_assignment_metadata_key key = {group_g};
	struct record_consumer_group_target_assignment_metadata_value value = {
		.assignment_epoch = 1,
	};
	struct kafka_string member_b = kafka_string_of("b");
	struct world *w = *state;

	assert_int_equal(replay_group(w, 1), 0);
	assert_int_equal(replay_details(w, &member_b, 60000), 0);
	assert_int_equal(replay_current(w, 1, 0, 1), 0);
	assert_int_equal(replay(w, RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, &key, &value),
			 0);
	groups_end_load(w->groups, 0);
	expect_state(w, "Assigning");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_cannot_be_is_corrupt),
		TEST(tombstones_of_what_is_not_there_make_nothing),
		TEST(the_records_of_a_member_come_in_any_order),
		TEST(a_member_without_details_is_none),
		TEST(what_a_member_without_details_had_is_given_to_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
