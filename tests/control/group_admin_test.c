/* ListGroups, DescribeGroups, DeleteGroups in every version. */
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int set_up(void **state)
{
	struct world *world = world_new(3);

	world_topic(world, "orders", 3);
	fake_classic(world->groups, "busy", "consumer", 2);
	fake_classic(world->groups, "idle", "connect", 0);
	assert_int_equal(commit_one(world, 8, "simple", "orders", 0, 1), KAFKA_NONE);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

static void assert_text(const struct kafka_string *text, const char *expected)
{
	struct kafka_string wanted = kafka_string_of(expected);

	if (!kafka_string_equal(text, &wanted))
		fail_msg("\"%.*s\" is not \"%s\"", text->length, text->data, expected);
}

/* ---- ListGroups ---- */

static const struct kafka_list_groups_response *list(struct world *world, int16_t version,
						     const char *state, const char *type)
{
	struct world_request *ask = world_ask(world, KAFKA_LIST_GROUPS, version);
	struct kafka_list_groups_request *message = ask->message;
	struct kafka_string names[] = {kafka_string_of(state), kafka_string_of(type)};

	message->states_filter = &names[0];
	message->states_filter_count = state ? 1 : 0;
	message->types_filter = &names[1];
	message->types_filter_count = type ? 1 : 0;
	world_send(ask);
	const struct kafka_list_groups_response *answer = world_answer(ask);
	assert_int_equal(answer->error_code, KAFKA_NONE);
	return answer;
}

static const struct kafka_list_groups_response_listed_group *listed(
	const struct kafka_list_groups_response *answer, const char *id)
{
	struct kafka_string wanted = kafka_string_of(id);

	for (int32_t i = 0; i < answer->groups_count; i++) {
		if (kafka_string_equal(&answer->groups[i].group_id, &wanted))
			return &answer->groups[i];
	}
	return NULL;
}

static void all_groups_are_listed(void **state)
{
	struct world *world = *state;

	for (int16_t version = 0; version <= 5; version++) {
		const struct kafka_list_groups_response *answer = list(world, version, NULL, NULL);
		assert_int_equal(answer->groups_count, 3);
		assert_text(&listed(answer, "busy")->protocol_type, "consumer");
		assert_text(&listed(answer, "idle")->protocol_type, "connect");
		assert_text(&listed(answer, "simple")->protocol_type, "");
		if (version >= 4) {
			assert_text(&listed(answer, "busy")->group_state, "Stable");
			assert_text(&listed(answer, "idle")->group_state, "Empty");
			assert_text(&listed(answer, "simple")->group_state, "Empty");
		}
		if (version >= 5)
			assert_text(&listed(answer, "simple")->group_type, "classic");
	}
}

static void states_and_types_are_filtered_whatever_their_case(void **state)
{
	struct world *world = *state;

	assert_int_equal(list(world, 4, "sTABLE", NULL)->groups_count, 1);
	assert_int_equal(list(world, 4, "Empty", NULL)->groups_count, 2);
	assert_int_equal(list(world, 4, "Sta", NULL)->groups_count, 0);
	assert_int_equal(list(world, 4, "", NULL)->groups_count, 0);
	assert_int_equal(list(world, 5, NULL, "Classic")->groups_count, 3);
	assert_int_equal(list(world, 5, NULL, "consumer")->groups_count, 0);
	assert_int_equal(list(world, 5, "Empty", "classic")->groups_count, 2);
	assert_int_equal(list(world, 5, "Empty", "share")->groups_count, 0);
	/* Earlier versions cannot ask for it. */
	assert_int_equal(list(world, 3, "Stable", NULL)->groups_count, 3);
	assert_int_equal(list(world, 4, NULL, "consumer")->groups_count, 3);
}

/* ---- DescribeGroups ---- */

static const struct kafka_describe_groups_response_described_group *describe(struct world *world,
									     int16_t version,
									     const char *id)
{
	struct world_request *ask = world_ask(world, KAFKA_DESCRIBE_GROUPS, version);
	struct kafka_describe_groups_request *message = ask->message;

	message->groups = world_alloc(ask, 2, sizeof(*message->groups));
	message->groups_count = 2;
	message->groups[0] = kafka_string_of("idle");
	message->groups[1] = kafka_string_of(id);
	world_send(ask);
	const struct kafka_describe_groups_response *answer = world_answer(ask);
	assert_int_equal(answer->groups_count, 2);
	assert_text(&answer->groups[0].group_id, "idle");
	assert_text(&answer->groups[0].group_state, "Empty");
	assert_text(&answer->groups[1].group_id, id);
	return &answer->groups[1];
}

static void groups_are_described_in_the_order_asked(void **state)
{
	struct world *world = *state;

	for (int16_t version = 0; version <= 6; version++) {
		const struct kafka_describe_groups_response_described_group *group =
			describe(world, version, "busy");
		assert_int_equal(group->error_code, KAFKA_NONE);
		assert_text(&group->group_state, "Stable");
		assert_text(&group->protocol_type, "consumer");
		assert_text(&group->protocol_data, "fake"); /* the kind's */
		group = describe(world, version, "simple");
		assert_int_equal(group->error_code, KAFKA_NONE);
		assert_text(&group->group_state, "Empty");
		assert_text(&group->protocol_type, "");
		assert_text(&group->protocol_data, "");
		assert_int_equal(group->members_count, 0);
		assert_int_equal(group->authorized_operations, INT32_MIN);
	}
}

static void an_unknown_group_is_dead_or_from_version_6_not_found(void **state)
{
	struct world *world = *state;

	for (int16_t version = 0; version <= 6; version++) {
		const struct kafka_describe_groups_response_described_group *group =
			describe(world, version, "none such");
		assert_text(&group->group_state, "Dead");
		assert_int_equal(group->error_code,
				 version >= 6 ? KAFKA_GROUP_ID_NOT_FOUND : KAFKA_NONE);
		assert_int_equal(group->error_message.length > 0, version >= 6);
	}
}

/* ---- DeleteGroups ---- */

static struct world_request *ask_to_delete(struct world *world, int16_t version,
					   const char *const *ids, int32_t count)
{
	struct world_request *ask = world_ask(world, KAFKA_DELETE_GROUPS, version);
	struct kafka_delete_groups_request *message = ask->message;

	message->groups_names = world_alloc(ask, (size_t)count, sizeof(*message->groups_names));
	message->groups_names_count = count;
	for (int32_t i = 0; i < count; i++)
		message->groups_names[i] = kafka_string_of(ids[i]);
	return ask;
}

static void empty_groups_are_deleted_and_others_say_why_not(void **state)
{
	static const char *const ids[] = {"busy", "idle", "simple", "none such", "idle"};
	static const enum kafka_error expected[] = {KAFKA_NON_EMPTY_GROUP, KAFKA_NONE, KAFKA_NONE,
						    KAFKA_GROUP_ID_NOT_FOUND,
						    KAFKA_GROUP_ID_NOT_FOUND};
	struct world *world = *state;

	for (int16_t version = 0; version <= 2; version++) {
		struct world_request *ask = ask_to_delete(world, version, ids, 5);
		commit_one(world, 8, "idle", "orders", 1, 1);
		commit_one(world, 8, "simple", "orders", 1, 1);
		world_send(ask);
		const struct kafka_delete_groups_response *answer = world_answer(ask);
		assert_int_equal(answer->results_count, 5);
		for (int i = 0; i < 5; i++) {
			assert_text(&answer->results[i].group_id, ids[i]);
			assert_int_equal(answer->results[i].error_code, expected[i]);
		}
		assert_int_equal(world->groups->count, 1);
		world_check_restart(world);
	}
}

static void a_deletion_that_found_no_memory_can_be_tried_again(void **state)
{
	static const char *const ids[] = {"idle"};
	struct world *world = *state;

	commit_one(world, 8, "idle", "orders", 0, 1);
	commit_one(world, 8, "idle", "orders", 1, 1);
	for (unsigned room = 0; room < 3; room++) {
		struct world_request *ask = ask_to_delete(world, 2, ids, 1);
		world->log.refuse_after = room ? 1 : 0;
		world_send(ask);
		world->log.refuse_after = UINT_MAX;
		const struct kafka_delete_groups_response *answer = world_answer(ask);
		assert_int_equal(answer->results[0].error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
		assert_non_null(fake_find(world->groups, "idle"));
		world_check_restart(world);
	}
	struct world_request *ask = ask_to_delete(world, 2, ids, 1);
	world_send(ask);
	const struct kafka_delete_groups_response *answer = world_answer(ask);
	assert_int_equal(answer->results[0].error_code, KAFKA_NONE);
	assert_null(fake_find(world->groups, "idle"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_groups_are_listed),
		TEST(states_and_types_are_filtered_whatever_their_case),
		TEST(groups_are_described_in_the_order_asked),
		TEST(an_unknown_group_is_dead_or_from_version_6_not_found),
		TEST(empty_groups_are_deleted_and_others_say_why_not),
		TEST(a_deletion_that_found_no_memory_can_be_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
