/* From one generation to the next: the initial delay, the barrier, elections, and what happens to
 * those who do not come. */
#include "tests/control/classic_clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static int begin(void **state)
{
	*state = world_new(1);
	return 0;
}

static int end(void **state)
{
	world_free(*state);
	return 0;
}

/* ---- the initial delay ---- */

static void without_a_delay_the_first_member_is_answered_at_once(void **state)
{
	struct client a = client_of(*state, "g");

	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.generation, 1);
}

static void an_empty_group_waits_for_more_members(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");

	world->config.group_initial_rebalance_delay_ms = 3000;
	client_enter(&a);
	assert_string_equal(group_state(world, "g"), "PreparingRebalance");
	client_enter(&b);
	world_advance(world, 2999);
	assert_false(a.join->answered);
	/* The second one came meanwhile: once more. */
	world_advance(world, 2999);
	assert_false(a.join->answered);
	world_advance(world, 4);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(a.generation, 1);
	assert_int_equal(a.members_count, 2);
}

static void alone_it_waits_once(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	world->config.group_initial_rebalance_delay_ms = 3000;
	client_enter(&a);
	world_advance(world, 3001);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
}

static void newcomers_do_not_delay_beyond_the_rebalance_timeout(void **state)
{
	struct world *world = *state;
	struct client clients[12];

	world->config.group_initial_rebalance_delay_ms = 3000;
	for (int i = 0; i < 12; i++) {
		clients[i] = client_of(world, "g");
		clients[i].rebalance_ms = 10 * 1000;
		client_enter(&clients[i]);
		if (i < 10)
			assert_false(clients[0].join->answered);
		world_advance(world, 1000);
	}
	assert_int_equal(client_joined(&clients[0]), KAFKA_NONE);
	assert_in_range(clients[0].members_count, 10, 11);
}

static void a_group_that_was_left_during_the_delay_becomes_empty(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");

	world->config.group_initial_rebalance_delay_ms = 3000;
	client_enter(&a);
	struct client leaving = a;
	assert_int_equal(client_leave(&leaving), KAFKA_NONE);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
	assert_string_equal(group_state(world, "g"), "PreparingRebalance");
	b.type = "connect";
	client_enter(&b);
	world_advance(world, 6001);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	b.join = NULL;
	assert_int_equal(client_leave(&b), KAFKA_NONE);
	assert_string_equal(group_state(world, "g"), "Empty");
	world_check_restart(world);
}

/* ---- the barrier ---- */

static void the_last_to_rejoin_ends_the_gathering(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_enter(&c);
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&b);
	assert_false(b.join->answered);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(client_joined(&c), KAFKA_NONE);
	assert_int_equal(a.generation, 3);
	assert_int_equal(b.generation, 3);
	assert_int_equal(c.generation, 3);
	assert_true(client_leads(&a));
	assert_int_equal(a.members_count, 3);
	assert_int_equal(b.members_count, 0);
	assert_string_equal(group_state(*state, "g"), "CompletingRebalance");
}

static void who_does_not_rejoin_in_time_is_dropped(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	a.rebalance_ms = 5000;
	b.rebalance_ms = 20 * 1000;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	/* The longest timeout counts, and being alive does not help. */
	for (int i = 0; i < 4; i++) {
		world_advance(*state, 4999);
		assert_false(a.join->answered);
		assert_int_equal(client_heartbeat(&b), KAFKA_REBALANCE_IN_PROGRESS);
	}
	world_advance(*state, 6);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_UNKNOWN_MEMBER_ID);
}

static void when_the_leader_does_not_rejoin_another_one_leads(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b, &c}, 3);
	b.metadata = "other";
	client_send_join(&b);
	client_send_join(&c);
	world_advance(*state, 60 * 1000 + 1);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(client_joined(&c), KAFKA_NONE);
	assert_true(client_leads(&b));
	assert_int_equal(b.members_count, 2);
	assert_string_equal(c.leader, b.id);
	assert_int_equal(c.members_count, 0);
}

static void when_the_leader_leaves_another_one_leads(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b, &c}, 3);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	client_send_join(&c);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(client_joined(&c), KAFKA_NONE);
	assert_true(client_leads(&b));
}

static void the_leader_still_leads_in_the_next_generation(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	b.metadata = "other";
	client_send_join(&b);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_true(client_leads(&a));
}

/* ---- completing ---- */

static void followers_wait_for_the_leader(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	assert_false(b.sync->answered);
	assert_int_equal(client_heartbeat(&b), KAFKA_NONE);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:0");
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:1");
	assert_string_equal(group_state(*state, "g"), "Stable");
}

static void a_leader_that_gives_no_assignment_in_time_is_dropped(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
		assert_false(b.sync->answered);
		world_advance(*state, 5000);
	}
	world_advance(*state, 2);
	assert_int_equal(client_synced(&b, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(client_heartbeat(&a), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_true(client_leads(&b));
}

static void a_follower_that_does_not_fetch_its_assignment_is_dropped(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	for (int i = 0; i < 12; i++) {
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
		assert_int_equal(client_heartbeat(&b), KAFKA_NONE);
		world_advance(*state, 5000);
	}
	world_advance(*state, 2);
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_member_that_leaves_while_completing_ends_the_generation(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b, &c}, 3);
	client_send_join(&a);
	client_send_join(&b);
	client_send_join(&c);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(client_joined(&c), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	client_send_sync(&c, NULL, 0, NULL);
	struct client leaving = c;
	assert_int_equal(client_leave(&leaving), KAFKA_NONE);
	assert_int_equal(client_synced(&c, assignment), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_synced(&b, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "late");
	assert_int_equal(client_synced(&a, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:1");
}

static void a_newcomer_while_completing_begins_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	client_enter(&b);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	client_send_sync(&a, (const struct client *[]){&a}, 1, "late");
	assert_int_equal(client_synced(&a, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(a.generation, 2);
}

/* Many members at once: the group ends stable with all of them. */
static void a_hundred_members_settle(void **state)
{
	enum { COUNT = 100 };
	struct client clients[COUNT], *all[COUNT];

	for (int i = 0; i < COUNT; i++) {
		clients[i] = client_of(*state, "g");
		all[i] = &clients[i];
	}
	clients_settle(all, COUNT);
	assert_int_equal(clients[0].members_count, COUNT);
	assert_int_equal(clients[0].generation, 2);
	world_check_restart(*state);
}

int main(void)
{
#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		each(without_a_delay_the_first_member_is_answered_at_once),
		each(an_empty_group_waits_for_more_members),
		each(alone_it_waits_once),
		each(newcomers_do_not_delay_beyond_the_rebalance_timeout),
		each(a_group_that_was_left_during_the_delay_becomes_empty),
		each(the_last_to_rejoin_ends_the_gathering),
		each(who_does_not_rejoin_in_time_is_dropped),
		each(when_the_leader_does_not_rejoin_another_one_leads),
		each(when_the_leader_leaves_another_one_leads),
		each(the_leader_still_leads_in_the_next_generation),
		each(followers_wait_for_the_leader),
		each(a_leader_that_gives_no_assignment_in_time_is_dropped),
		each(a_follower_that_does_not_fetch_its_assignment_is_dropped),
		each(a_member_that_leaves_while_completing_ends_the_generation),
		each(a_newcomer_while_completing_begins_a_rebalance),
		each(a_hundred_members_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
