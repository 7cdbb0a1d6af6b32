/* What a consumer group is to the rest: whose offsets are taken, how it is described and listed,
 * and how a group without members goes from one protocol to the other and back. */
#include "tests/control/consumer_world.h"
#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int set_up(void **state)
{
	struct world *w = world_new(1);

	world_topic(w, "t", 4);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	world_check_restart(w);
	world_free(w);
	return 0;
}

/* ---- offsets ---- */

static int16_t commit(struct world *w, int16_t version, const char *member, int32_t epoch)
{
	struct world_request *ask = commit_ask(w, version, "g");

	if (member)
		commit_as(ask, member, epoch);
	commit_add(ask, "t", 0, 7, "");
	world_send(ask);
	return commit_error(ask, "t", 0);
}

static int16_t fetch(struct world *w, const char *member, int32_t epoch)
{
	struct world_request *ask = fetch_ask(w, 9, "g");

	if (member)
		fetch_as(ask, member, epoch);
	fetch_add(ask, "t", 0);
	world_send(ask);
	return fetch_error(ask);
}

static void members_commit_with_their_epoch(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	assert_int_equal(commit(w, 9, "a", 1), KAFKA_NONE);
	assert_int_equal(commit(w, 9, "a", 0), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(commit(w, 9, "a", 2), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(commit(w, 9, "b", 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void members_do_not_commit_with_old_versions(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	assert_int_equal(commit(w, 8, "a", 1), KAFKA_UNSUPPORTED_VERSION);
}

static void who_is_no_member_commits_to_empty_groups_only(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	assert_int_equal(commit(w, 9, NULL, -1), KAFKA_UNKNOWN_MEMBER_ID);
	leave(w, "a");
	assert_int_equal(commit(w, 9, NULL, -1), KAFKA_NONE);
}

static int16_t commit_in_transaction(struct world *w, int16_t version, const char *member,
				     int32_t epoch)
{
	struct world_request *ask = txn_ask(w, version, "g", 1000);

	if (version >= 3)
		txn_as(ask, member, NULL, epoch);
	txn_add(ask, "t", 0, 7, "");
	world_send(ask);
	return txn_error(ask, "t", 0);
}

/* Producers know of generations alone. */
static void in_a_transaction_members_commit_with_their_epoch_and_others_without(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	for (int16_t version = 0; version <= 5; version++)
		assert_int_equal(commit_in_transaction(w, version, "", -1), KAFKA_NONE);
	for (int16_t version = 3; version <= 5; version++) {
		assert_int_equal(commit_in_transaction(w, version, "a", 1), KAFKA_NONE);
		assert_int_equal(commit_in_transaction(w, version, "a", 0),
				 KAFKA_ILLEGAL_GENERATION);
		assert_int_equal(commit_in_transaction(w, version, "a", 2),
				 KAFKA_ILLEGAL_GENERATION);
		assert_int_equal(commit_in_transaction(w, version, "b", 1),
				 KAFKA_UNKNOWN_MEMBER_ID);
	}
	leave(w, "a");
	assert_int_equal(commit_in_transaction(w, 5, "", -1), KAFKA_NONE);
}

static void members_fetch_with_their_epoch_and_others_without(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	assert_int_equal(fetch(w, "a", 1), KAFKA_NONE);
	assert_int_equal(fetch(w, "a", 3), KAFKA_STALE_MEMBER_EPOCH);
	assert_int_equal(fetch(w, "b", 1), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(fetch(w, NULL, -1), KAFKA_NONE);
}

static void offsets_of_subscribed_topics_are_not_deleted(void **state)
{
	struct world *w = *state;
	struct world_request *ask;

	world_topic(w, "u", 1);
	join(w, "a", "t");
	commit(w, 9, "a", 1);
	ask = delete_ask(w, "g");
	delete_add(ask, "t", 0);
	delete_add(ask, "u", 0);
	world_send(ask);
	assert_int_equal(delete_error(ask, "t", 0), KAFKA_GROUP_SUBSCRIBED_TO_TOPIC);
	assert_int_equal(delete_error(ask, "u", 0), KAFKA_NONE);
}

/* ---- descriptions ---- */

static void a_group_is_described_with_its_members(void **state)
{
	struct world *w = *state;
	const described_group *group;

	beat(w, (struct beat){.member = "a",
			      .instance = "i",
			      .rack = "r",
			      .topics = "t,no",
			      .regex = "x.*",
			      .owned = "",
			      .rebalance_ms = 1000});
	join(w, "b", "t");
	group = describe(w, "g");
	assert_int_equal(group->error_code, 0);
	assert_int_equal(group->group_epoch, 2);
	assert_int_equal(group->assignment_epoch, 2);
	assert_int_equal(group->members_count, 2);
	assert_int_equal(group->members[0].member_epoch, 1);
	assert_int_equal(group->members[0].member_type, 1);
	assert_int_equal(group->members[0].instance_id.length, 1);
	assert_int_equal(group->members[0].subscribed_topic_names_count, 2);
	assert_int_equal(group->members[0].subscribed_topic_regex.length, 3);
	assert_int_equal(group->members[0].assignment.topic_partitions[0].partitions_count, 4);
	assert_memory_equal(group->members[0].assignment.topic_partitions[0].topic_name.data, "t",
			    1);
	assert_int_equal(group->members[0].target_assignment.topic_partitions[0].partitions_count,
			 2);
	assert_int_equal(group->members[1].member_epoch, 2);
	assert_int_equal(group->members[1].assignment.topic_partitions_count, 0);
	assert_int_equal(group->members[1].client_id.length, 6);
}

static void what_is_no_consumer_group_is_not_found(void **state)
{
	struct world *w = *state;

	assert_int_equal(describe(w, "g")->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	commit(w, 8, NULL, -1);
	assert_int_equal(describe(w, "g")->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(describe(w, "")->error_code, KAFKA_INVALID_GROUP_ID);
}

static int16_t delete_group(struct world *w)
{
	struct world_request *ask = world_ask(w, KAFKA_DELETE_GROUPS, 2);
	struct kafka_delete_groups_request *message = ask->message;

	message->groups_names = world_alloc(ask, 1, sizeof(*message->groups_names));
	message->groups_names[0] = kafka_string_of("g");
	message->groups_names_count = 1;
	world_send(ask);
	return ((struct kafka_delete_groups_response *)world_answer(ask))->results[0].error_code;
}

static void a_group_is_deleted_when_it_is_empty(void **state)
{
	struct world *w = *state;

	beat(w, (struct beat){.member = "a", .regex = "t.*", .owned = "", .rebalance_ms = 1000});
	commit(w, 9, "a", 1);
	assert_int_equal(delete_group(w), KAFKA_NON_EMPTY_GROUP);
	leave(w, "a");
	assert_int_equal(delete_group(w), KAFKA_NONE);
	assert_int_equal(w->groups->count, 0);
	world_restart(w);
	assert_int_equal(w->groups->count, 0);
}

/* ---- from one protocol to the other ---- */

static struct kafka_join_group_response *join_classic(struct world *w)
{
	struct world_request *ask = world_ask(w, KAFKA_JOIN_GROUP, 3);
	struct kafka_join_group_request *message = ask->message;
	struct kafka_join_group_request_join_group_request_protocol *protocol =
		world_alloc(ask, 1, sizeof(*message->protocols));

	message->group_id = kafka_string_of("g");
	message->protocol_type = kafka_string_of("consumer");
	message->session_timeout_ms = 10000;
	message->rebalance_timeout_ms = 10000;
	message->protocols = protocol;
	message->protocols_count = 1;
	protocol->name = kafka_string_of("range");
	protocol->metadata = (struct kafka_bytes){(const uint8_t *)"\0\0\0\0\0\0\xff\xff\xff\xff",
						  10};
	world_send(ask);
	return world_answer(ask);
}

static void leave_classic(struct world *w, const struct kafka_string *member)
{
	struct world_request *ask = world_ask(w, KAFKA_LEAVE_GROUP, 2);
	struct kafka_leave_group_request *message = ask->message;

	message->group_id = kafka_string_of("g");
	message->member_id = *member;
	world_send(ask);
	assert_int_equal(((struct kafka_leave_group_response *)world_answer(ask))->error_code, 0);
}

static void an_empty_classic_group_becomes_a_consumer_group_and_keeps_its_offsets(void **state)
{
	struct world *w = *state;
	const struct kafka_join_group_response *joined = join_classic(w);

	assert_int_equal(joined->error_code, 0);
	leave_classic(w, &joined->member_id);
	assert_int_equal(commit(w, 8, NULL, -1), KAFKA_NONE);
	expect(w, join(w, "a", "t"), 1, "t:0,1,2,3");
	assert_int_equal(fetch_one(w, 9, "g", "t", 0).offset, 7);
	world_restart(w);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	assert_int_equal(fetch_one(w, 9, "g", "t", 0).offset, 7);
}

static void an_empty_consumer_group_becomes_a_classic_group_and_keeps_its_offsets(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	commit(w, 9, "a", 1);
	leave(w, "a");
	assert_int_equal(join_classic(w)->error_code, 0);
	assert_int_equal(describe(w, "g")->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(fetch_one(w, 9, "g", "t", 0).offset, 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(members_commit_with_their_epoch),
		TEST(members_do_not_commit_with_old_versions),
		TEST(who_is_no_member_commits_to_empty_groups_only),
		TEST(in_a_transaction_members_commit_with_their_epoch_and_others_without),
		TEST(members_fetch_with_their_epoch_and_others_without),
		TEST(offsets_of_subscribed_topics_are_not_deleted),
		TEST(a_group_is_described_with_its_members),
		TEST(what_is_no_consumer_group_is_not_found),
		TEST(a_group_is_deleted_when_it_is_empty),
		TEST(an_empty_classic_group_becomes_a_consumer_group_and_keeps_its_offsets),
		TEST(an_empty_consumer_group_becomes_a_classic_group_and_keeps_its_offsets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
