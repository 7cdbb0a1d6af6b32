/* What ConsumerGroupHeartbeat does, rule by rule, for members that are not static. */
#include "tests/control/consumer_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SESSION_MS = 45000 };

static int set_up(void **state)
{
	struct world *w = world_new(1);

	world_topic(w, "t", 4);
	world_topic(w, "u", 2);
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

/* ---- requests that make no sense ---- */

static void bad_requests_are_refused(void **state)
{
	static const struct beat bad[] = {
		{.member = "", .topics = "t", .owned = "", .rebalance_ms = 1},
		{.member = "a", .instance = "", .topics = "t", .owned = "", .rebalance_ms = 1},
		{.member = "a", .rack = "", .topics = "t", .owned = "", .rebalance_ms = 1},
		{.member = "a", .topics = "t", .owned = ""},
		{.member = "a", .topics = "t", .rebalance_ms = 1},
		{.member = "a", .topics = "t", .owned = "t:0", .rebalance_ms = 1},
		{.member = "a", .owned = "", .rebalance_ms = 1},
		{.member = "a", .topics = "t", .owned = "", .rebalance_ms = -7},
		{.member = "", .epoch = 1, .v0 = true},
		{.member = "", .epoch = -1, .v0 = true},
		{.member = "a", .epoch = -2},
		{.member = "a", .epoch = -3},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_refused(beat(w, bad[i]), KAFKA_INVALID_REQUEST);
	assert_int_equal(world_appended(w), 0);
	assert_int_equal(w->groups->count, 0);
}

static void an_unknown_assignor_is_refused_with_the_known_ones(void **state)
{
	struct world *w = *state;
	const heartbeat_answer *answer = beat(w, (struct beat){.member = "a",
							       .topics = "t",
							       .owned = "",
							       .rebalance_ms = 1,
							       .assignor = "sticky"});

	expect_refused(answer, KAFKA_UNSUPPORTED_ASSIGNOR);
	assert_non_null(memmem(answer->error_message.data, (size_t)answer->error_message.length,
			       "uniform, range", 14));
}

static void a_member_of_no_group_is_told_so(void **state)
{
	struct world *w = *state;

	expect_refused(alive(w, "a", 1), KAFKA_GROUP_ID_NOT_FOUND);
	expect_refused(leave(w, "a"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(w->groups->count, 0);
}

/* ---- joining ---- */

static void the_first_member_has_all_partitions_at_once(void **state)
{
	struct world *w = *state;
	const heartbeat_answer *answer = join(w, "a", "t,u");

	expect(w, answer, 1, "t:0,1,2,3 u:0,1");
	assert_int_equal(answer->heartbeat_interval_ms, 5000);
	assert_int_equal(answer->member_id.length, 1);
	assert_string_equal(appended_types(w, 0), "3 5 7 6 8");
	expect_state(w, "Stable");
}

static void a_member_id_is_made_by_the_broker_for_old_clients(void **state)
{
	struct world *w = *state;
	const heartbeat_answer *answer =
		beat(w, (struct beat){.topics = "t", .owned = "", .rebalance_ms = 1, .v0 = true});
	char id[64];

	expect(w, answer, 1, "t:0,1,2,3");
	assert_int_equal(answer->member_id.length, 22);
	snprintf(id, sizeof(id), "%.*s", answer->member_id.length, answer->member_id.data);
	expect(w, beat(w, (struct beat){.member = id, .epoch = 1, .v0 = true}), 1, "unchanged");
}

static void who_joins_again_is_told_what_it_has(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	size_t appended = world_appended(w);
	expect(w, join(w, "a", "t"), 1, "t:0,1,2,3");
	assert_int_equal(world_appended(w), appended);
}

static void a_full_group_takes_nobody_new(void **state)
{
	struct world *w = *state;

	w->config.group_consumer_max_size = 1;
	join(w, "a", "t");
	expect_refused(join(w, "b", "t"), KAFKA_GROUP_MAX_SIZE_REACHED);
	expect(w, join(w, "a", "t"), 1, "t:0,1,2,3");
}

/* ---- being alive ---- */

static void a_heartbeat_without_news_appends_nothing_and_is_told_nothing(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	size_t appended = world_appended(w);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	expect(w, alive_owning(w, "a", 1, "t:0,1,2,3"), 1, "unchanged");
	assert_int_equal(world_appended(w), appended);
}

static void a_full_request_is_told_the_assignment(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	expect(w,
	       beat(w, (struct beat){.member = "a",
				     .epoch = 1,
				     .topics = "t",
				     .owned = "t:0",
				     .rebalance_ms = 60000}),
	       1, "t:0,1,2,3");
}

static void what_is_not_said_stays_as_it_was(void **state)
{
	struct world *w = *state;
	const described_group *group;

	beat(w, (struct beat){.member = "a",
			      .topics = "t",
			      .owned = "",
			      .rebalance_ms = 1,
			      .rack = "r",
			      .assignor = "range"});
	alive(w, "a", 1);
	group = describe(w, "g");
	assert_int_equal(group->members[0].rack_id.length, 1);
	assert_int_equal(group->members[0].subscribed_topic_names_count, 1);
	assert_memory_equal(group->assignor_name.data, "range", 5);
}

static void news_that_concern_nobody_else_do_not_raise_the_group_epoch(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	size_t appended = world_appended(w);
	expect(w, beat(w, (struct beat){.member = "a", .epoch = 1, .rack = "r"}), 1, "unchanged");
	assert_string_equal(appended_types(w, appended), "5");
}

static void another_subscription_is_another_epoch(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	expect(w, beat(w, (struct beat){.member = "a", .epoch = 1, .topics = "u,t"}), 2,
	       "t:0,1,2,3 u:0,1");
	expect(w, beat(w, (struct beat){.member = "a", .epoch = 2, .topics = "t,u"}), 2,
	       "unchanged");
}

static void a_member_with_another_epoch_is_fenced(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	expect_refused(alive(w, "a", 2), KAFKA_FENCED_MEMBER_EPOCH);
	beat(w, (struct beat){.member = "a", .epoch = 1, .topics = "u"});
	expect_refused(alive(w, "b", 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_member_whose_answer_was_lost_goes_on_while_it_owns_no_more_than_it_has(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	beat(w, (struct beat){.member = "a", .epoch = 1, .topics = "t,u"});
	expect(w, alive_owning(w, "a", 1, "t:0,1,2,3"), 2, "unchanged");
	expect_refused(alive(w, "a", 1), KAFKA_FENCED_MEMBER_EPOCH);
	world_topic(w, "x", 1);
	expect_refused(alive_owning(w, "a", 1, "x:0"), KAFKA_FENCED_MEMBER_EPOCH);
}

/* ---- reconciliation ---- */

static void a_partition_is_given_when_its_owner_has_let_go(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	expect(w, join(w, "b", "t"), 2, "");
	expect_state(w, "Reconciling");
	expect(w, alive(w, "a", 1), 1, "t:0,1");
	expect(w, alive(w, "b", 2), 2, "unchanged");
	expect(w, alive_owning(w, "a", 1, "t:0,1,2,3"), 1, "unchanged");
	expect(w, alive(w, "b", 2), 2, "unchanged");
	expect(w, alive_owning(w, "a", 1, "t:0,1"), 2, "unchanged");
	expect(w, alive(w, "b", 2), 2, "t:2,3");
	expect_state(w, "Stable");
}

static void who_does_not_say_what_it_owns_has_not_let_go(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	join(w, "b", "t");
	expect(w, alive(w, "a", 1), 1, "t:0,1");
	expect(w, alive(w, "a", 1), 1, "unchanged");
	expect(w, alive(w, "b", 2), 2, "unchanged");
}

static void what_was_to_go_and_is_to_stay_again_comes_back_when_confirmed(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	join(w, "b", "t");
	expect(w, alive(w, "a", 1), 1, "t:0,1");
	leave(w, "b");
	expect(w, alive_owning(w, "a", 1, "t:0,1"), 3, "t:0,1,2,3");
}

static void a_member_that_leaves_frees_its_partitions(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	join(w, "b", "t");
	size_t appended = world_appended(w);
	const heartbeat_answer *answer = leave(w, "a");
	expect(w, answer, -1, "unchanged");
	assert_string_equal(appended_types(w, appended), "3 8- 7- 5-");
	expect(w, alive(w, "b", 2), 3, "t:0,1,2,3");
	expect_refused(alive(w, "a", 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void the_last_to_leave_leaves_an_empty_group(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	leave(w, "a");
	expect_state(w, "Empty");
	expect(w, join(w, "b", "t"), 3, "t:0,1,2,3");
}

/* ---- time ---- */

static void a_silent_member_is_fenced(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	join(w, "b", "t");
	world_advance(w, SESSION_MS - 1000);
	alive(w, "b", 2);
	world_advance(w, 2000);
	expect_refused(alive(w, "a", 1), KAFKA_UNKNOWN_MEMBER_ID);
	expect(w, alive(w, "b", 2), 3, "t:0,1,2,3");
}

static void a_heartbeat_is_a_sign_of_life(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	for (int i = 0; i < 5; i++) {
		world_advance(w, SESSION_MS - 1000);
		expect(w, alive(w, "a", 1), 1, "unchanged");
	}
}

static void a_refused_heartbeat_is_none(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	world_advance(w, SESSION_MS - 1000);
	expect_refused(alive(w, "a", 7), KAFKA_FENCED_MEMBER_EPOCH);
	world_advance(w, 2000);
	expect_refused(alive(w, "a", 1), KAFKA_UNKNOWN_MEMBER_ID);
}

static void who_does_not_let_go_in_its_rebalance_timeout_is_fenced(void **state)
{
	struct world *w = *state;

	beat(w, (struct beat){.member = "a", .topics = "t", .owned = "", .rebalance_ms = 10000});
	join(w, "b", "t");
	alive(w, "a", 1);
	world_advance(w, 9000);
	expect(w, alive_owning(w, "a", 1, "t:0,1,2,3"), 1, "unchanged");
	world_advance(w, 2000);
	expect_refused(alive(w, "a", 1), KAFKA_UNKNOWN_MEMBER_ID);
	expect(w, alive(w, "b", 2), 3, "t:0,1,2,3");
}

static void who_lets_go_in_time_is_not(void **state)
{
	struct world *w = *state;

	beat(w, (struct beat){.member = "a", .topics = "t", .owned = "", .rebalance_ms = 10000});
	join(w, "b", "t");
	alive(w, "a", 1);
	alive_owning(w, "a", 1, "t:0,1");
	world_advance(w, 20000);
	expect(w, alive(w, "a", 2), 2, "unchanged");
}

/* ---- topics ---- */

static void a_topic_that_is_made_later_is_assigned_then(void **state)
{
	struct world *w = *state;

	expect(w, join(w, "a", "new"), 1, "");
	world_topic(w, "other", 1);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	world_topic(w, "new", 2);
	expect(w, alive(w, "a", 1), 2, "new:0,1");
}

static void a_topic_that_grows_is_assigned_anew(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	world_grow_topic(w, "t", 6);
	expect(w, alive(w, "a", 1), 2, "t:0,1,2,3,4,5");
}

static void a_topic_that_is_deleted_has_to_be_let_go(void **state)
{
	struct world *w = *state;

	join(w, "a", "t,u");
	world_delete_topic(w, "u");
	expect(w, alive(w, "a", 1), 1, "t:0,1,2,3");
	expect(w, alive_owning(w, "a", 1, "t:0,1,2,3"), 2, "unchanged");
}

static void topics_that_nobody_reads_change_nothing(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	size_t appended = world_appended(w);
	world_topic(w, "other", 3);
	world_grow_topic(w, "u", 9);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	assert_int_equal(world_appended(w), appended);
}

/* ---- assignors ---- */

static void the_assignor_that_most_members_ask_for_is_used(void **state)
{
	struct world *w = *state;

	beat(w, (struct beat){.member = "a",
			      .topics = "t",
			      .owned = "",
			      .rebalance_ms = 1000,
			      .assignor = "range"});
	assert_memory_equal(describe(w, "g")->assignor_name.data, "range", 5);
	for (int i = 0; i < 2; i++)
		beat(w, (struct beat){.member = i ? "b" : "c",
				      .topics = "t",
				      .owned = "",
				      .rebalance_ms = 1000,
				      .assignor = "uniform"});
	assert_memory_equal(describe(w, "g")->assignor_name.data, "uniform", 7);
}

/* ---- the log ---- */

static void an_answer_leaves_when_what_it_rests_on_is_durable(void **state)
{
	struct world *w = *state;
	struct world_request *ask;

	w->log.hold = true;
	ask = beat_send(
		w, (struct beat){.member = "a", .topics = "t", .owned = "", .rebalance_ms = 1000});
	assert_false(ask->answered);
	world_flush(w, 0);
	expect(w, world_answer(ask), 1, "t:0,1,2,3");
	w->log.hold = false;
}

static void what_was_not_stored_did_not_happen(void **state)
{
	struct world *w = *state;
	struct world_request *ask;

	join(w, "a", "t");
	w->log.hold = true;
	ask = beat_send(
		w, (struct beat){.member = "b", .topics = "t", .owned = "", .rebalance_ms = 1000});
	world_fail(w, 0);
	w->log.hold = false;
	assert_int_equal(((heartbeat_answer *)world_answer(ask))->error_code,
			 KAFKA_NOT_COORDINATOR);
	expect_refused(alive(w, "b", 2), KAFKA_UNKNOWN_MEMBER_ID);
	expect(w, alive(w, "a", 1), 1, "unchanged");
}

static void memory_that_runs_out_anywhere_is_made_up_for_later(void **state)
{
	struct world *w = *state;

	join(w, "a", "t");
	for (unsigned appends = 0; appends < 8; appends++) {
		struct world_request *ask;
		char member[8];
		snprintf(member, sizeof(member), "m%u", appends);
		w->log.refuse_after = appends;
		ask = beat_send(w, (struct beat){.member = member,
						 .topics = "t,u",
						 .owned = "",
						 .rebalance_ms = 60000});
		assert_true(ask->answered);
		w->log.refuse_after = UINT32_MAX;
		assert_int_equal(join(w, member, "t,u")->error_code, 0);
		world_check_restart(w);
		assert_int_equal(leave(w, member)->error_code, 0);
	}
	const described_group *group = describe(w, "g");
	assert_int_equal(group->members_count, 1);
}

/* Records hold text alone, or they are not read again. */
static void a_client_id_that_is_no_text_is_stored_as_text(void **state)
{
	struct world *w = *state;

	beat(w, (struct beat){.member = "a",
			      .topics = "t",
			      .owned = "",
			      .rebalance_ms = 1000,
			      .client = "x\xff\n"});
	world_restart(w);
	const described_group *group = describe(w, "g");
	assert_int_equal(group->members_count, 1);
	assert_memory_equal(group->members[0].client_id.data, "x??", 3);
	expect(w, alive(w, "a", 1), 1, "unchanged");
}

/* All topics are read by somebody as before: the subscription alone is news. */
static void a_subscription_that_could_not_be_stored_is_news_again(void **state)
{
	struct world *w = *state;
	const struct beat news = {.member = "a", .epoch = 2, .topics = "t"};

	join(w, "a", "t,u");
	join(w, "b", "t,u");
	alive_owning(w, "a", 1, "");
	w->log.refuse_after = 0;
	assert_true(beat_send(w, news)->answered);
	w->log.refuse_after = UINT32_MAX;
	assert_int_equal(beat(w, news)->member_epoch, 3);
	world_check_restart(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(bad_requests_are_refused),
		TEST(an_unknown_assignor_is_refused_with_the_known_ones),
		TEST(a_member_of_no_group_is_told_so),
		TEST(the_first_member_has_all_partitions_at_once),
		TEST(a_member_id_is_made_by_the_broker_for_old_clients),
		TEST(who_joins_again_is_told_what_it_has),
		TEST(a_full_group_takes_nobody_new),
		TEST(a_heartbeat_without_news_appends_nothing_and_is_told_nothing),
		TEST(a_full_request_is_told_the_assignment),
		TEST(what_is_not_said_stays_as_it_was),
		TEST(news_that_concern_nobody_else_do_not_raise_the_group_epoch),
		TEST(another_subscription_is_another_epoch),
		TEST(a_member_with_another_epoch_is_fenced),
		TEST(a_member_whose_answer_was_lost_goes_on_while_it_owns_no_more_than_it_has),
		TEST(a_partition_is_given_when_its_owner_has_let_go),
		TEST(who_does_not_say_what_it_owns_has_not_let_go),
		TEST(what_was_to_go_and_is_to_stay_again_comes_back_when_confirmed),
		TEST(a_member_that_leaves_frees_its_partitions),
		TEST(the_last_to_leave_leaves_an_empty_group),
		TEST(a_silent_member_is_fenced),
		TEST(a_heartbeat_is_a_sign_of_life),
		TEST(a_refused_heartbeat_is_none),
		TEST(who_does_not_let_go_in_its_rebalance_timeout_is_fenced),
		TEST(who_lets_go_in_time_is_not),
		TEST(a_topic_that_is_made_later_is_assigned_then),
		TEST(a_topic_that_grows_is_assigned_anew),
		TEST(a_topic_that_is_deleted_has_to_be_let_go),
		TEST(topics_that_nobody_reads_change_nothing),
		TEST(the_assignor_that_most_members_ask_for_is_used),
		TEST(an_answer_leaves_when_what_it_rests_on_is_durable),
		TEST(what_was_not_stored_did_not_happen),
		TEST(memory_that_runs_out_anywhere_is_made_up_for_later),
		TEST(a_client_id_that_is_no_text_is_stored_as_text),
		TEST(a_subscription_that_could_not_be_stored_is_news_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
