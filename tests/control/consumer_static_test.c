/* Static members (an instance id of their own): leaving for a while, coming back, fencing. */
#include "tests/control/consumer_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SESSION_MS = 45000 };

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

static heartbeat_answer *join_as(struct world *w, const char *member, const char *instance)
{
	return beat(w, (struct beat){.member = member,
				     .instance = instance,
				     .topics = "t",
				     .owned = "",
				     .rebalance_ms = 60000});
}

static heartbeat_answer *go_away(struct world *w, const char *member, const char *instance)
{
	return beat(w, (struct beat){.member = member, .instance = instance, .epoch = -2});
}

static heartbeat_answer *alive_as(struct world *w, const char *member, const char *instance,
				  int32_t epoch)
{
	return beat(w, (struct beat){.member = member, .instance = instance, .epoch = epoch});
}

static void two_with_all_of_t(struct world *w)
{
	join_as(w, "a", "i");
	join(w, "b", "t");
	alive(w, "a", 1);
	alive_owning(w, "a", 1, "t:0,1");
	expect(w, alive(w, "b", 2), 2, "t:2,3");
}

static void who_comes_back_has_what_it_had_and_nobody_else_notices(void **state)
{
	struct world *w = *state;

	two_with_all_of_t(w);
	expect(w, go_away(w, "a", "i"), -2, "unchanged");
	expect(w, alive(w, "b", 2), 2, "unchanged");
	size_t appended = world_appended(w);
	expect(w, join_as(w, "a2", "i"), 2, "t:0,1");
	assert_string_equal(appended_types(w, appended), "8- 7- 5- 7 5 8");
	expect(w, alive(w, "b", 2), 2, "unchanged");
	expect_state(w, "Stable");
}

static void who_comes_back_under_the_same_id_has_what_it_had(void **state)
{
	struct world *w = *state;

	two_with_all_of_t(w);
	go_away(w, "a", "i");
	expect(w, join_as(w, "a", "i"), 2, "t:0,1");
	expect(w, alive(w, "b", 2), 2, "unchanged");
}

static void who_comes_back_with_another_subscription_changes_the_group(void **state)
{
	struct world *w = *state;

	world_topic(w, "u", 1);
	join_as(w, "a", "i");
	go_away(w, "a", "i");
	expect(w,
	       beat(w, (struct beat){.member = "a2",
				     .instance = "i",
				     .topics = "u",
				     .owned = "",
				     .rebalance_ms = 1000}),
	       2, "u:0");
}

static void an_instance_id_is_held_until_it_is_given_up(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	expect_refused(join_as(w, "a2", "i"), KAFKA_UNRELEASED_INSTANCE_ID);
	expect(w, alive(w, "a", 1), 1, "unchanged");
}

static void partitions_of_who_is_away_stay_until_its_session_ends(void **state)
{
	struct world *w = *state;

	two_with_all_of_t(w);
	world_advance(w, 30000);
	alive(w, "b", 2);
	go_away(w, "a", "i");
	world_advance(w, SESSION_MS - 30000 - 1000);
	expect(w, alive(w, "b", 2), 2, "unchanged");
	world_advance(w, 2000);
	expect(w, alive(w, "b", 2), 3, "t:0,1,2,3");
	expect(w, join_as(w, "a2", "i"), 4, "");
}

static void who_is_away_keeps_its_partitions_over_a_rebalance(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	go_away(w, "a", "i");
	expect(w, join(w, "b", "t"), 2, "");
	expect(w, join_as(w, "a2", "i"), 2, "t:0,1");
	expect(w, alive(w, "b", 2), 2, "t:2,3");
}

static void what_was_to_be_revoked_is_free_when_its_owner_goes_away(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	join(w, "b", "t");
	expect(w, alive(w, "a", 1), 1, "t:0,1");
	go_away(w, "a", "i");
	expect(w, alive(w, "b", 2), 2, "t:2,3");
	expect(w, join_as(w, "a2", "i"), 2, "t:0,1");
}

static void who_left_for_good_left_its_partitions(void **state)
{
	struct world *w = *state;

	two_with_all_of_t(w);
	expect(w, beat(w, (struct beat){.member = "a", .instance = "i", .epoch = -1}), -1,
	       "unchanged");
	expect(w, alive(w, "b", 2), 3, "t:0,1,2,3");
}

static void the_former_member_is_fenced(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	go_away(w, "a", "i");
	join_as(w, "a2", "i");
	expect_refused(alive_as(w, "a", "i", 1), KAFKA_FENCED_INSTANCE_ID);
	expect_refused(alive(w, "a", 1), KAFKA_UNKNOWN_MEMBER_ID);
	expect_refused(go_away(w, "a", "i"), KAFKA_FENCED_INSTANCE_ID);
}

static void an_unknown_instance_is_no_member(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	expect_refused(alive_as(w, "a", "j", 1), KAFKA_UNKNOWN_MEMBER_ID);
	expect_refused(go_away(w, "a", "j"), KAFKA_UNKNOWN_MEMBER_ID);
}

static void who_is_away_is_not_alive(void **state)
{
	struct world *w = *state;

	join_as(w, "a", "i");
	go_away(w, "a", "i");
	expect_refused(alive(w, "a", 1), KAFKA_FENCED_MEMBER_EPOCH);
}

static void a_full_group_takes_back_who_was_away(void **state)
{
	struct world *w = *state;

	w->config.group_consumer_max_size = 1;
	join_as(w, "a", "i");
	go_away(w, "a", "i");
	expect_refused(join(w, "b", "t"), KAFKA_GROUP_MAX_SIZE_REACHED);
	expect(w, join_as(w, "a2", "i"), 1, "t:0,1,2,3");
}

static void who_is_away_is_awaited_after_a_restart(void **state)
{
	struct world *w = *state;

	two_with_all_of_t(w);
	go_away(w, "a", "i");
	world_restart(w);
	expect(w, alive(w, "b", 2), 2, "unchanged");
	expect(w, join_as(w, "a2", "i"), 2, "t:0,1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_comes_back_has_what_it_had_and_nobody_else_notices),
		TEST(who_comes_back_under_the_same_id_has_what_it_had),
		TEST(who_comes_back_with_another_subscription_changes_the_group),
		TEST(an_instance_id_is_held_until_it_is_given_up),
		TEST(partitions_of_who_is_away_stay_until_its_session_ends),
		TEST(who_is_away_keeps_its_partitions_over_a_rebalance),
		TEST(what_was_to_be_revoked_is_free_when_its_owner_goes_away),
		TEST(who_left_for_good_left_its_partitions),
		TEST(the_former_member_is_fenced),
		TEST(an_unknown_instance_is_no_member),
		TEST(who_is_away_is_not_alive),
		TEST(a_full_group_takes_back_who_was_away),
		TEST(who_is_away_is_awaited_after_a_restart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
