/* Sessions, Heartbeat and LeaveGroup: how members show that they are alive, and how they go. */
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

static struct group_claim claim_of(const struct client *client)
{
	return (struct group_claim){
		.member_id = kafka_string_of(client->id),
		.instance_id = kafka_string_of(client->instance),
		.epoch = client->generation,
	};
}

/* ---- sessions ---- */

static void a_silent_member_is_removed_after_its_session(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	world_advance(*state, 9999);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	world_advance(*state, 2);
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
}

static void the_last_silent_member_leaves_an_empty_group(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(group_of(world, "g")->empty_since_ms, 0);
	world_advance(world, 10 * 1000);
	assert_string_equal(group_state(world, "g"), "Empty");
	assert_true(group_empty(group_of(world, "g")));
	assert_int_equal(group_of(world, "g")->empty_since_ms, world->wall_ms);
	world_check_restart(world);
}

static void a_member_silent_since_its_join_is_removed_after_its_session(void **state)
{
	struct client a = client_of(*state, "g");

	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	world_advance(*state, 9999);
	assert_string_equal(group_state(*state, "g"), "CompletingRebalance");
	world_advance(*state, 2);
	assert_string_equal(group_state(*state, "g"), "Empty");
}

static void every_request_of_a_member_puts_off_its_end(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	for (int i = 0; i < 12; i++) {
		world_advance(*state, 8000);
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
		if (i % 3 == 0) {
			client_send_join(&b);
			assert_int_equal(client_joined(&b), KAFKA_NONE);
		} else if (i % 3 == 1) {
			client_send_sync(&b, NULL, 0, NULL);
			assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
		} else {
			const struct group_claim claim = claim_of(&b);
			struct group *group = group_of(*state, "g");
			group->kind->seen(group, &claim);
		}
	}
}

static void a_wrong_generation_puts_nothing_off(void **state)
{
	struct client a = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	world_advance(*state, 8000);
	a.generation++;
	assert_int_equal(client_heartbeat(&a), KAFKA_ILLEGAL_GENERATION);
	world_advance(*state, 2001);
	assert_int_equal(client_heartbeat(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_member_whose_join_is_parked_does_not_expire(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	a.rebalance_ms = b.rebalance_ms = 200 * 1000;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	for (int i = 0; i < 20; i++) {
		world_advance(*state, 9 * 1000);
		assert_int_equal(client_heartbeat(&b), KAFKA_REBALANCE_IN_PROGRESS);
		assert_false(a.join->answered);
	}
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	/* And has a whole session from then on. */
	world_advance(*state, 9 * 1000);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
}

static void a_member_whose_sync_is_parked_does_not_expire(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	for (int i = 0; i < 6; i++) {
		world_advance(*state, 9 * 1000);
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	}
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "n");
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	world_advance(*state, 9 * 1000);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	assert_string_equal(group_state(*state, "g"), "Stable");
	/* And has a session like everyone from then on. */
	world_advance(*state, 1001);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
}

/* Nothing but its session ends a static member that stays away. */
static void a_session_goes_on_when_a_parked_sync_is_refused(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	b.instance = "b";
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	for (int i = 0; i < 3; i++) {
		world_advance(*state, 9 * 1000);
		assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	}
	a.metadata = "other";
	client_send_join(&a);
	assert_int_equal(client_synced(&b, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	world_advance(*state, 10 * 1000 + 1);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
}

/* A client that gave up on a long rebalance and began anew leaves one defunct member. */
static void a_new_members_join_is_not_parked_for_ever(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	a.rebalance_ms = b.rebalance_ms = 3600 * 1000;
	clients_settle((struct client *[]){&a}, 1);
	client_enter(&b);
	for (int i = 0; i < 60; i++) {
		assert_false(b.join->answered);
		world_advance(*state, 5 * 1000);
		assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
	}
	world_advance(*state, 2);
	assert_int_equal(client_joined(&b), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
}

static void the_last_missing_members_end_completes_the_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	world_advance(*state, 10 * 1000 + 1);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
}

/* ---- Heartbeat ---- */

static void heartbeats_of_strangers_are_refused(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      elsewhere = client_of(*state, "nowhere");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_heartbeat(&elsewhere), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_MEMBER_ID_REQUIRED);
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	a.instance = "made-up";
	assert_int_equal(client_heartbeat(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

static void every_version_of_heartbeat_is_answered(void **state)
{
	struct client a = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	for (int16_t version = 0; version <= 4; version++) {
		struct world_request *ask = world_ask(*state, KAFKA_HEARTBEAT, version);
		struct kafka_heartbeat_request *message = ask->message;

		message->group_id = kafka_string_of("g");
		message->generation_id = a.generation;
		message->member_id = kafka_string_of(a.id);
		world_send(ask);
		const struct kafka_heartbeat_response *answer = world_answer(ask);
		assert_int_equal(answer->error_code, KAFKA_NONE);
	}
}

/* ---- LeaveGroup ---- */

static void a_member_that_leaves_begins_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	assert_int_equal(client_leave(&b), KAFKA_NONE);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	assert_int_equal(client_heartbeat(&b), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_leave(&b), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
}

static void old_versions_leave_with_one_error(void **state)
{
	struct client a = client_of(*state, "g");

	a.version = 3;
	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	assert_int_equal(client_leave(&a), KAFKA_UNKNOWN_MEMBER_ID);
	a.group = "nowhere";
	assert_int_equal(client_leave(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

static struct kafka_leave_group_response *leave_all(struct world *world, const char *group,
						    const struct client *const *clients,
						    int32_t count)
{
	struct world_request *ask = world_ask(world, KAFKA_LEAVE_GROUP, 5);
	struct kafka_leave_group_request *message = ask->message;

	message->group_id = kafka_string_of(group);
	message->members = world_alloc(ask, (size_t)count, sizeof(*message->members));
	message->members_count = count;
	for (int32_t i = 0; i < count; i++) {
		message->members[i].member_id = kafka_string_of(clients[i]->id);
		message->members[i].group_instance_id = kafka_string_of(clients[i]->instance);
		message->members[i].reason = kafka_string_of("a reason\nwith \"all\" in it");
	}
	world_send(ask);
	return world_answer(ask);
}

static void many_leave_at_once_each_with_its_own_error(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g"), fenced = client_of(*state, "g"),
		      unknown = client_of(*state, "g"), pending = client_of(*state, "g"),
		      named = client_of(*state, "g");

	b.instance = "b";
	c.instance = "c";
	clients_settle((struct client *[]){&a, &b, &c}, 3);
	client_send_join(&pending);
	assert_int_equal(client_joined(&pending), KAFKA_MEMBER_ID_REQUIRED);
	fenced.instance = "b";
	memcpy(fenced.id, a.id, sizeof(a.id));
	memcpy(unknown.id, "made-up", sizeof("made-up"));
	named.instance = "c";
	const struct client *const leaving[] = {&unknown, &fenced, &b, &pending, &named, &b};
	const struct kafka_leave_group_response *answer = leave_all(*state, "g", leaving, 6);
	const int16_t expected[] = {KAFKA_UNKNOWN_MEMBER_ID,
				    KAFKA_FENCED_INSTANCE_ID,
				    KAFKA_NONE,
				    KAFKA_NONE,
				    KAFKA_NONE,
				    KAFKA_UNKNOWN_MEMBER_ID};
	assert_int_equal(answer->error_code, KAFKA_NONE);
	assert_int_equal(answer->members_count, 6);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(answer->members[i].error_code, expected[i]);
		assert_text(answer->members[i].member_id, leaving[i]->id);
	}
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
	client_send_join(&pending);
	assert_int_equal(client_joined(&pending), KAFKA_UNKNOWN_MEMBER_ID);
}

static void to_a_group_that_is_not_there_each_is_unknown(void **state)
{
	struct client a = client_of(*state, "g");
	const struct kafka_leave_group_response *answer =
		leave_all(*state, "g", (const struct client *[]){&a, &a}, 2);

	assert_int_equal(answer->error_code, KAFKA_NONE);
	assert_int_equal(answer->members_count, 2);
	assert_int_equal(answer->members[1].error_code, KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(leave_all(*state, "g", NULL, 0)->error_code, KAFKA_NONE);
}

static void an_unused_id_that_leaves_disturbs_nobody(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_MEMBER_ID_REQUIRED);
	assert_int_equal(client_leave(&b), KAFKA_NONE);
	assert_string_equal(group_state(*state, "g"), "Stable");
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
}

static void the_only_unused_id_that_leaves_takes_the_group_along(void **state)
{
	struct client a = client_of(*state, "g");

	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_MEMBER_ID_REQUIRED);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	assert_null(group_of(*state, "g"));
}

static void the_last_to_leave_leaves_an_empty_group(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	assert_string_equal(group_state(world, "g"), "Empty");
	assert_int_equal(group_of(world, "g")->empty_since_ms, world->wall_ms);
	assert_string_equal(group_of(world, "g")->kind->protocol_type(group_of(world, "g")),
			    "consumer");
	world_check_restart(world);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

/* ---- commits ---- */

static enum kafka_error may_commit(const struct client *client)
{
	const struct group_claim claim = claim_of(client);
	const struct group *group = group_of(client->world, client->group);

	assert_int_equal(group->kind->may_fetch(group, &claim), KAFKA_NONE);
	return group->kind->may_commit(group, &claim);
}

static void only_members_of_the_generation_commit(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      nobody = client_of(*state, "g");

	a.instance = "a";
	clients_settle((struct client *[]){&a, &b}, 2);
	assert_int_equal(may_commit(&a), KAFKA_NONE);
	assert_int_equal(may_commit(&nobody), KAFKA_UNKNOWN_MEMBER_ID);
	struct client wrong = a;
	wrong.generation--;
	assert_int_equal(may_commit(&wrong), KAFKA_ILLEGAL_GENERATION);
	wrong = a;
	wrong.id[0] ^= 1;
	assert_int_equal(may_commit(&wrong), KAFKA_FENCED_INSTANCE_ID);
	wrong.instance = NULL;
	assert_int_equal(may_commit(&wrong), KAFKA_UNKNOWN_MEMBER_ID);
}

static void while_preparing_members_commit_and_while_completing_they_are_told_to_join(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	assert_int_equal(may_commit(&b), KAFKA_NONE);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(may_commit(&b), KAFKA_REBALANCE_IN_PROGRESS);
}

static enum kafka_error may_commit_in_transaction(const struct client *client)
{
	const struct group *group = group_of(client->world, client->group);
	struct group_claim claim = claim_of(client);

	claim.in_transaction = true;
	return group->kind->may_commit(group, &claim);
}

/* Before version 3 the producer cannot say who it is. */
static void in_a_transaction_a_member_is_checked_if_it_says_who_it_is(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      nobody = client_of(*state, "g");

	a.instance = "a";
	clients_settle((struct client *[]){&a, &b}, 2);
	assert_int_equal(may_commit_in_transaction(&nobody), KAFKA_NONE);
	assert_int_equal(may_commit_in_transaction(&a), KAFKA_NONE);
	struct client wrong = b;
	wrong.generation--;
	assert_int_equal(may_commit_in_transaction(&wrong), KAFKA_ILLEGAL_GENERATION);
	wrong.generation = -1;
	assert_int_equal(may_commit_in_transaction(&wrong), KAFKA_ILLEGAL_GENERATION);
	wrong = a;
	wrong.id[0] ^= 1;
	assert_int_equal(may_commit_in_transaction(&wrong), KAFKA_FENCED_INSTANCE_ID);
	wrong.instance = NULL;
	assert_int_equal(may_commit_in_transaction(&wrong), KAFKA_UNKNOWN_MEMBER_ID);
}

static void in_a_transaction_members_commit_in_the_middle_of_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	assert_int_equal(may_commit_in_transaction(&b), KAFKA_NONE);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(may_commit_in_transaction(&b), KAFKA_NONE);
}

static void anyone_commits_to_an_empty_group(void **state)
{
	struct client a = client_of(*state, "g"), nobody = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	assert_int_equal(may_commit(&nobody), KAFKA_NONE);
	assert_int_equal(may_commit(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

int main(void)
{
#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		each(a_silent_member_is_removed_after_its_session),
		each(the_last_silent_member_leaves_an_empty_group),
		each(a_member_silent_since_its_join_is_removed_after_its_session),
		each(every_request_of_a_member_puts_off_its_end),
		each(a_wrong_generation_puts_nothing_off),
		each(a_member_whose_join_is_parked_does_not_expire),
		each(a_member_whose_sync_is_parked_does_not_expire),
		each(a_session_goes_on_when_a_parked_sync_is_refused),
		each(a_new_members_join_is_not_parked_for_ever),
		each(the_last_missing_members_end_completes_the_rebalance),
		each(heartbeats_of_strangers_are_refused),
		each(every_version_of_heartbeat_is_answered),
		each(a_member_that_leaves_begins_a_rebalance),
		each(old_versions_leave_with_one_error),
		each(many_leave_at_once_each_with_its_own_error),
		each(to_a_group_that_is_not_there_each_is_unknown),
		each(an_unused_id_that_leaves_disturbs_nobody),
		each(the_only_unused_id_that_leaves_takes_the_group_along),
		each(the_last_to_leave_leaves_an_empty_group),
		each(only_members_of_the_generation_commit),
		each(while_preparing_members_commit_and_while_completing_they_are_told_to_join),
		each(in_a_transaction_a_member_is_checked_if_it_says_who_it_is),
		each(in_a_transaction_members_commit_in_the_middle_of_a_rebalance),
		each(anyone_commits_to_an_empty_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
