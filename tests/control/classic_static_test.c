/* Static members (KIP-345, KIP-814): who comes back under its instance id. */
#include "tests/control/classic_clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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

static struct client static_of(struct world *world, const char *instance)
{
	struct client client = client_of(world, "g");

	client.instance = instance;
	return client;
}

/* The process was started anew: it knows its instance id, and nothing else. */
static struct client restarted(const struct client *client)
{
	struct client fresh = *client;

	fresh.id[0] = 0;
	fresh.generation = -1;
	return fresh;
}

static void a_static_member_needs_no_second_join(void **state)
{
	struct client a = static_of(*state, "i");

	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(strncmp(a.id, "i-", 2), 0);
	assert_true(client_leads(&a));
}

static void a_long_instance_id_makes_an_id_that_can_be_sent_back(void **state)
{
	static char longest[32001];

	memset(longest, 'i', sizeof(longest) - 1);
	struct client a = static_of(*state, longest);
	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	world_check_restart(*state);
}

static void a_follower_that_comes_back_keeps_its_assignment_without_a_rebalance(void **state)
{
	for (int16_t version = 5; version <= 9; version++) {
		struct world *world = world_new(1);
		struct client a = static_of(world, "a"), b = static_of(world, "b");
		char assignment[CLIENT_TEXT_BYTES];

		a.version = b.version = version;
		clients_settle((struct client *[]){&a, &b}, 2);
		struct client again = restarted(&b);
		client_send_join(&again);
		assert_int_equal(client_joined(&again), KAFKA_NONE);
		assert_string_equal(group_state(world, "g"), "Stable");
		assert_string_not_equal(again.id, b.id);
		assert_int_equal(again.generation, 2);
		assert_string_equal(again.leader, a.id);
		assert_false(again.skip_assignment);
		client_send_sync(&again, NULL, 0, NULL);
		assert_int_equal(client_synced(&again, assignment), KAFKA_NONE);
		assert_string_equal(assignment, "a:1");
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
		assert_int_equal(client_heartbeat(&again), KAFKA_NONE);
		world_free(world);
	}
	(void)state;
}

/* It must not compute an assignment that nobody would get. */
static void a_leader_that_comes_back_is_told_not_to_assign(void **state)
{
	for (int16_t version = 5; version <= 9; version++) {
		struct world *world = world_new(1);
		struct client a = static_of(world, "a"), b = static_of(world, "b");
		char assignment[CLIENT_TEXT_BYTES];

		a.version = b.version = version;
		clients_settle((struct client *[]){&a, &b}, 2);
		assert_true(client_leads(&a));
		struct client again = restarted(&a);
		client_send_join(&again);
		assert_int_equal(client_joined(&again), KAFKA_NONE);
		if (version < 9) {
			assert_string_equal(again.leader, a.id);
			assert_false(again.skip_assignment);
			assert_int_equal(again.members_count, 0);
		} else {
			assert_true(client_leads(&again));
			assert_true(again.skip_assignment);
			assert_int_equal(again.members_count, 2);
		}
		client_send_sync(&again, NULL, 0, NULL);
		assert_int_equal(client_synced(&again, assignment), KAFKA_NONE);
		assert_string_equal(assignment, "a:0");
		/* It leads all the same: its next JoinGroup begins a rebalance. */
		client_send_join(&again);
		assert_string_equal(group_state(world, "g"), "PreparingRebalance");
		world_free(world);
	}
	(void)state;
}

static void who_used_the_id_before_is_fenced(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_int_equal(client_heartbeat(&b), KAFKA_FENCED_INSTANCE_ID);
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&b, assignment), KAFKA_FENCED_INSTANCE_ID);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_FENCED_INSTANCE_ID);
	assert_int_equal(client_leave(&b), KAFKA_FENCED_INSTANCE_ID);
	b.instance = NULL;
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_heartbeat(&again), KAFKA_NONE);
}

static void the_new_id_holds_after_a_restart(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	clients_settle((struct client *[]){&a, &b}, 2);
	struct client again = restarted(&a);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	world_check_restart(*state);
	world_restart(*state);
	assert_int_equal(client_heartbeat(&again), KAFKA_NONE);
	assert_int_equal(client_heartbeat(&a), KAFKA_FENCED_INSTANCE_ID);
	assert_string_equal(group_state(*state, "g"), "Stable");
}

static void the_new_id_is_told_when_it_is_durable(void **state)
{
	struct world *world = *state;
	struct client a = static_of(world, "a");

	clients_settle((struct client *[]){&a}, 1);
	world->log.hold = true;
	struct client again = restarted(&a);
	client_send_join(&again);
	assert_false(again.join->answered);
	world_flush(world, 0);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
}

static void what_cannot_be_stored_is_told_to_nobody(void **state)
{
	struct world *world = *state;
	struct client a = static_of(world, "a");

	clients_settle((struct client *[]){&a}, 1);
	world->log.refuse_after = 0;
	struct client again = restarted(&a);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_COORDINATOR_NOT_AVAILABLE);
	world->log.refuse_after = UINT32_MAX;
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	world_check_restart(world);
}

static void one_that_comes_back_with_another_protocol_begins_a_rebalance(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	a.protocols[0] = b.protocols[0] = "range";
	a.protocols[1] = b.protocols[1] = "sticky";
	clients_settle((struct client *[]){&a, &b}, 2);
	assert_string_equal(a.protocol, "range");
	struct client again = restarted(&b);
	again.protocols[0] = "sticky";
	again.protocols[1] = NULL;
	client_send_join(&again);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	client_send_join(&a);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_string_equal(a.protocol, "sticky");
}

/* Cooperative members own nothing after a restart and say so: their metadata differs. */
static void other_metadata_for_the_same_protocol_is_no_reason_to_rebalance(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	clients_settle((struct client *[]){&a, &b}, 2);
	struct client again = restarted(&b);
	again.metadata = "owns nothing";
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_string_equal(group_state(*state, "g"), "Stable");
	const struct kafka_describe_groups_response_described_group *row = group_described(*state,
											   "g");
	assert_text(row->members[1].member_id, again.id);
	assert_int_equal(row->members[1].member_metadata.length, (int)strlen(again.metadata));
}

static void while_completing_one_that_comes_back_begins_a_rebalance(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_int_equal(client_synced(&b, assignment), KAFKA_FENCED_INSTANCE_ID);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "late");
	assert_int_equal(client_synced(&a, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_int_equal(a.members_count, 2);
}

static void a_parked_join_is_fenced_when_another_process_takes_its_place(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	struct client again = restarted(&a);
	client_send_join(&again);
	const struct kafka_join_group_response *answer = world_answer(a.join);
	assert_int_equal(answer->error_code, KAFKA_FENCED_INSTANCE_ID);
	assert_text(answer->member_id, a.id);
	client_send_join(&b);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_true(client_leads(&again));
}

static void one_that_is_away_during_a_rebalance_keeps_its_place(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	b.session_ms = 600 * 1000;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	world_advance(*state, 60 * 1000 + 1);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 2);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	char assignment[CLIENT_TEXT_BYTES];
	client_send_sync(&again, NULL, 0, NULL);
	assert_int_equal(client_synced(&again, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:1");
}

/* The first to join is away while another one is elected: that one leads on, also under a new id.
 */
static void who_was_elected_meanwhile_leads_on(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");
	char assignment[CLIENT_TEXT_BYTES];

	a.session_ms = 600 * 1000;
	clients_settle((struct client *[]){&a, &b}, 2);
	assert_true(client_leads(&a));
	b.metadata = "other";
	client_send_join(&b);
	world_advance(*state, 60 * 1000 + 1);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_true(client_leads(&b));
	client_send_sync(&b, (const struct client *[]){&a, &b}, 2, "n");
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_true(client_leads(&again));
	world_restart(*state);
	client_send_join(&again);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_true(client_leads(&again));
	assert_string_equal(a.leader, again.id);
}

static void a_group_whose_members_are_all_away_waits_for_them(void **state)
{
	struct client a = static_of(*state, "a"), b = client_of(*state, "g");

	a.session_ms = 100 * 1000;
	a.rebalance_ms = b.rebalance_ms = 30 * 1000;
	clients_settle((struct client *[]){&a, &b}, 2);
	assert_int_equal(client_leave(&b), KAFKA_NONE);
	world_advance(*state, 70 * 1000);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	struct client again = restarted(&a);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	assert_int_equal(again.generation, 3);
}

static void one_that_does_not_come_back_is_removed_after_its_session(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	clients_settle((struct client *[]){&a, &b}, 2);
	for (int i = 0; i < 2; i++) {
		world_advance(*state, 5000);
		const int16_t error = client_heartbeat(&a);
		assert_int_equal(error, i == 0 ? KAFKA_NONE : KAFKA_REBALANCE_IN_PROGRESS);
	}
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_false(again.join->answered);
	assert_int_equal(client_heartbeat(&b), KAFKA_FENCED_INSTANCE_ID);
}

static void one_that_came_back_has_a_session_of_its_own(void **state)
{
	struct client a = static_of(*state, "a");

	clients_settle((struct client *[]){&a}, 1);
	world_advance(*state, 9000);
	struct client again = restarted(&a);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	world_advance(*state, 9000);
	assert_string_equal(group_state(*state, "g"), "Stable");
	world_advance(*state, 1001);
	assert_string_equal(group_state(*state, "g"), "Empty");
}

static void an_administrator_removes_one_by_its_instance_id(void **state)
{
	struct client a = static_of(*state, "a"), b = static_of(*state, "b");

	clients_settle((struct client *[]){&a, &b}, 2);
	assert_int_equal(client_expel(*state, "g", "nobody"), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_expel(*state, "g", "b"), KAFKA_NONE);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
}

static void one_comes_back_to_a_full_group(void **state)
{
	struct world *world = *state;
	struct client a = static_of(world, "a"), b = static_of(world, "b"),
		      c = static_of(world, "c");

	world->config.group_max_size = 2;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&c);
	assert_int_equal(client_joined(&c), KAFKA_GROUP_MAX_SIZE_REACHED);
	struct client again = restarted(&b);
	client_send_join(&again);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
	client_send_join(&a);
	client_send_join(&again);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&again), KAFKA_NONE);
}

int main(void)
{
#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		each(a_static_member_needs_no_second_join),
		each(a_long_instance_id_makes_an_id_that_can_be_sent_back),
		each(a_follower_that_comes_back_keeps_its_assignment_without_a_rebalance),
		each(a_leader_that_comes_back_is_told_not_to_assign),
		each(who_used_the_id_before_is_fenced),
		each(the_new_id_holds_after_a_restart),
		each(the_new_id_is_told_when_it_is_durable),
		each(what_cannot_be_stored_is_told_to_nobody),
		each(one_that_comes_back_with_another_protocol_begins_a_rebalance),
		each(other_metadata_for_the_same_protocol_is_no_reason_to_rebalance),
		each(while_completing_one_that_comes_back_begins_a_rebalance),
		each(a_parked_join_is_fenced_when_another_process_takes_its_place),
		each(one_that_is_away_during_a_rebalance_keeps_its_place),
		each(who_was_elected_meanwhile_leads_on),
		each(a_group_whose_members_are_all_away_waits_for_them),
		each(one_that_does_not_come_back_is_removed_after_its_session),
		each(one_that_came_back_has_a_session_of_its_own),
		each(an_administrator_removes_one_by_its_instance_id),
		each(one_comes_back_to_a_full_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
