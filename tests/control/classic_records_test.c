/* SyncGroup and what is stored of a classic group: when answers leave, and what a restart finds. */
#include "tests/control/classic_clients.h"

#include "control/groups/group_records.h"

#include <limits.h>
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

/* Two members that know of their next generation. */
static void join_both(struct client *a, struct client *b)
{
	clients_settle((struct client *[]){a, b}, 2);
	client_send_join(a);
	client_send_join(b);
	assert_int_equal(client_joined(a), KAFKA_NONE);
	assert_int_equal(client_joined(b), KAFKA_NONE);
	assert_true(client_leads(a));
}

/* ---- SyncGroup ---- */

static void whom_the_leader_leaves_out_gets_nothing(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	client_send_sync(&b, NULL, 0, NULL);
	client_send_sync(&a, (const struct client *[]){&a}, 1, "next");
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "");
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:0");
}

static void assignments_for_strangers_are_ignored(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      stranger = client_of(*state, "g"), pending = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	client_send_join(&pending);
	assert_int_equal(client_joined(&pending), KAFKA_MEMBER_ID_REQUIRED);
	memcpy(stranger.id, "made-up", sizeof("made-up"));
	client_send_sync(&a, (const struct client *[]){&stranger, &pending, &a}, 3, "next");
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:2");
	world_check_restart(*state);
}

static void in_a_stable_group_everyone_gets_the_assignment_again(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "a:1");
	/* Also the leader, whatever it sends: the group has decided. */
	client_send_sync(&a, (const struct client *[]){&b, &a}, 2, "late");
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "a:0");
}

static void a_sync_of_the_wrong_generation_member_or_protocol_is_refused(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	struct client wrong = a;
	wrong.generation--;
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_ILLEGAL_GENERATION);
	wrong = a;
	wrong.id[0] ^= 1;
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_UNKNOWN_MEMBER_ID);
	wrong = a;
	wrong.type = "connect";
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	wrong = a;
	memcpy(wrong.protocol, "sticky", sizeof("sticky"));
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	wrong = a;
	wrong.type = NULL; /* mandatory from 5 on */
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	wrong = a;
	wrong.group = "nowhere";
	client_send_sync(&wrong, NULL, 0, NULL);
	assert_int_equal(client_synced(&wrong, assignment), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&b);
	wrong = a;
	wrong.metadata = "other";
	client_send_join(&wrong);
	client_send_sync(&a, NULL, 0, NULL);
	assert_int_equal(client_synced(&a, assignment), KAFKA_REBALANCE_IN_PROGRESS);
}

static void every_version_of_sync_is_answered(void **state)
{
	struct client a = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	for (int16_t version = 0; version <= 5; version++) {
		struct world_request *ask = world_ask(*state, KAFKA_SYNC_GROUP, version);
		struct kafka_sync_group_request *message = ask->message;

		message->group_id = kafka_string_of("g");
		message->generation_id = a.generation;
		message->member_id = kafka_string_of(a.id);
		if (version >= 5) {
			message->protocol_type = kafka_string_of("consumer");
			message->protocol_name = kafka_string_of("range");
		}
		world_send(ask);
		const struct kafka_sync_group_response *answer = world_answer(ask);
		assert_int_equal(answer->error_code, KAFKA_NONE);
		assert_int_equal(answer->assignment.length, 3);
		assert_int_equal(answer->protocol_name.length, version < 5 ? -1 : 5);
	}
}

static void a_parked_sync_is_answered_when_its_member_asks_again(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	client_send_sync(&b, NULL, 0, NULL);
	struct client older = b;
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&older, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:1");
}

/* ---- durable first ---- */

static void assignments_are_told_when_they_are_durable(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	world->log.hold = true;
	client_send_sync(&b, NULL, 0, NULL);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	assert_false(a.sync->answered);
	assert_false(b.sync->answered);
	world_flush(world, 0);
	assert_int_equal(client_synced(&a, assignment), KAFKA_NONE);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "next:1");
}

/* Who waited asks again, in the generation that is stored. */
static void where_it_cannot_be_durable_the_former_generation_is_back(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	world->log.hold = true;
	client_send_sync(&b, NULL, 0, NULL);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	world_fail(world, 0);
	world->log.hold = false;
	assert_int_equal(client_synced(&a, assignment), KAFKA_NOT_COORDINATOR);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NOT_COORDINATOR);
	assert_string_equal(group_state(world, "g"), "Stable");
	assert_int_equal(client_heartbeat(&a), KAFKA_ILLEGAL_GENERATION);
	a.generation--;
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
}

static void an_assignment_that_cannot_be_appended_begins_a_rebalance(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	world->log.refuse_after = 0;
	client_send_sync(&b, NULL, 0, NULL);
	client_send_sync(&a, (const struct client *[]){&a, &b}, 2, "next");
	assert_int_equal(client_synced(&a, assignment), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(client_synced(&b, assignment), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_string_equal(group_state(world, "g"), "PreparingRebalance");
	world->log.refuse_after = UINT_MAX;
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
}

static void parked_requests_are_answered_when_the_broker_stops(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g"),
		      c = client_of(world, "h"), d = client_of(world, "h");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	client_send_sync(&b, NULL, 0, NULL);
	clients_settle((struct client *[]){&c, &d}, 2);
	client_send_join(&c);
	world_restart(world);
	assert_int_equal(client_synced(&b, assignment), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(client_joined(&c), KAFKA_COORDINATOR_NOT_AVAILABLE);
}

/* ---- restarts ---- */

static void after_a_restart_members_go_on_in_their_generation(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");
	char assignment[CLIENT_TEXT_BYTES];

	b.instance = "b";
	clients_settle((struct client *[]){&a, &b}, 2);
	world_check_restart(world);
	world_advance(world, 9000);
	world_restart(world);
	assert_string_equal(group_state(world, "g"), "Stable");
	/* Sessions begin anew. */
	world_advance(world, 9000);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
	assert_int_equal(client_heartbeat(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "a:1");
	/* A follower's own metadata is known, and the leader is who it was. */
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_string_equal(b.leader, a.id);
	client_send_join(&a);
	assert_string_equal(group_state(world, "g"), "PreparingRebalance");
}

static void after_a_restart_the_silent_are_removed(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	clients_settle((struct client *[]){&a}, 1);
	world_restart(world);
	world_advance(world, 10 * 1000 + 1);
	assert_string_equal(group_state(world, "g"), "Empty");
	world_check_restart(world);
}

static void after_a_restart_in_the_midst_of_a_rebalance_the_former_generation_is_back(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g");

	join_both(&a, &b);
	world_restart(world);
	assert_int_equal(client_heartbeat(&a), KAFKA_ILLEGAL_GENERATION);
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
}

/* What lies before a rewrite is deleted: it has to say what the last record said. */
static void a_rewrite_in_the_midst_of_a_rebalance_keeps_the_former_generation(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g"),
		      c = client_of(world, "g");
	char assignment[CLIENT_TEXT_BYTES];

	join_both(&a, &b);
	client_enter(&c);
	assert_int_equal(groups_rewrite(world->groups, 0), 0);
	world_restart(world);
	assert_string_equal(group_state(world, "g"), "Stable");
	assert_int_equal(client_heartbeat(&c), KAFKA_UNKNOWN_MEMBER_ID);
	b.generation = 2;
	assert_int_equal(client_heartbeat(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	assert_int_equal(client_synced(&b, assignment), KAFKA_NONE);
	assert_string_equal(assignment, "a:1");
}

static void a_group_that_nobody_synced_in_is_not_stored(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(world_appended(world), 0);
	world_restart(world);
	assert_null(group_of(world, "g"));
	assert_int_equal(client_heartbeat(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_deleted_group_is_gone_after_a_restart(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	group_delete_if_idle(group_of(world, "g"));
	assert_null(group_of(world, "g"));
	world_check_restart(world);
	world_restart(world);
	assert_null(group_of(world, "g"));
}

static int replay(struct world *world, const struct record_group_metadata_value *value)
{
	const struct record_group_metadata_key key = {.group = kafka_string_of("r")};
	const struct group_record record = {RECORD_GROUP_METADATA, 77, &key, value};

	return classic_replay(world->groups, &record);
}

static void records_that_contradict_themselves_are_corrupt(void **state)
{
	struct world *world = *state;
	struct record_group_metadata_value_member members[2] = {
		{.member_id = kafka_string_of("a"),
		 .group_instance_id = {NULL, -1},
		 .session_timeout = 1000},
		{.member_id = kafka_string_of("a"),
		 .group_instance_id = {NULL, -1},
		 .session_timeout = 1000},
	};
	struct record_group_metadata_value value = {
		.protocol_type = kafka_string_of("consumer"),
		.protocol = kafka_string_of("range"),
		.leader = kafka_string_of("nobody"),
		.generation = 1,
		.current_state_timestamp = -1,
		.members = members,
		.members_count = 2,
	};

	groups_begin_load(world->groups, 0);
	assert_int_equal(replay(world, &value), -ERR_CORRUPT);
	members[1].member_id = kafka_string_of("b");
	members[0].group_instance_id = members[1].group_instance_id = kafka_string_of("i");
	assert_int_equal(replay(world, &value), -ERR_CORRUPT);
	members[0].group_instance_id.length = -1;
	value.protocol.length = -1;
	assert_int_equal(replay(world, &value), -ERR_CORRUPT);
	value.protocol = kafka_string_of("range");
	value.generation = -1;
	assert_int_equal(replay(world, &value), -ERR_CORRUPT);
	value.generation = 1;
	members[1].session_timeout = -1;
	assert_int_equal(replay(world, &value), -ERR_CORRUPT);
	members[1].session_timeout = 1;
	assert_int_equal(replay(world, &value), 0);
	assert_int_equal(replay(world, NULL), 0);
	groups_end_load(world->groups, 0);
	assert_null(group_of(world, "r"));
}

/* Version 0 of the value has no time of its own, and no rebalance timeout. */
static void an_old_record_of_an_empty_group_counts_from_its_own_time(void **state)
{
	struct world *world = *state;
	const struct record_group_metadata_value value = {
		.protocol_type = kafka_string_of("consumer"),
		.protocol = {NULL, -1},
		.leader = {NULL, -1},
		.generation = 5,
		.current_state_timestamp = -1,
	};

	groups_begin_load(world->groups, 0);
	assert_int_equal(replay(world, &value), 0);
	groups_end_load(world->groups, 0);
	assert_int_equal(group_of(world, "r")->empty_since_ms, 77);
	assert_string_equal(group_state(world, "r"), "Empty");
	struct client a = client_of(world, "r");
	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.generation, 6);
}

/* ---- what others ask ---- */

static bool subscribed(struct world *world, const char *topic)
{
	const struct group *group = group_of(world, "g");
	struct topic row = {0};

	memcpy(row.name, topic, strlen(topic));
	return group->kind->subscribed(group, &row);
}

static void a_consumer_is_subscribed_to_what_its_metadata_names(void **state)
{
	struct client a = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_true(subscribed(*state, "t"));
	assert_false(subscribed(*state, "u"));
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	assert_false(subscribed(*state, "t"));
}

static void of_metadata_that_does_not_parse_nobody_can_tell(void **state)
{
	/* Too short; a count beyond the end; a name beyond the end. */
	const char *const broken[] = {"x", "\1\1\1\1\1\1", "\1\1\1\1\1\1\1\1\1ab"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct client a = client_of(*state, "g");

		a.metadata = broken[i];
		clients_settle((struct client *[]){&a}, 1);
		assert_true(subscribed(*state, "t"));
		assert_int_equal(client_leave(&a), KAFKA_NONE);
	}
}

static void other_types_of_clients_subscribe_to_nothing(void **state)
{
	struct client a = client_of(*state, "g");

	a.type = "connect";
	clients_settle((struct client *[]){&a}, 1);
	assert_false(subscribed(*state, "t"));
}

static void a_stable_group_is_described_with_metadata_and_assignments(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	b.instance = "i";
	b.metadata = "meta";
	clients_settle((struct client *[]){&a, &b}, 2);
	const struct kafka_describe_groups_response_described_group *row = group_described(*state,
											   "g");
	assert_int_equal(row->error_code, KAFKA_NONE);
	assert_text(row->group_state, "Stable");
	assert_text(row->protocol_type, "consumer");
	assert_text(row->protocol_data, "range");
	assert_int_equal(row->members_count, 2);
	assert_text(row->members[1].member_id, b.id);
	assert_text(row->members[1].group_instance_id, "i");
	assert_text(row->members[1].client_id, "client");
	assert_text(row->members[1].client_host, "192.0.2.7");
	assert_memory_equal(row->members[1].member_metadata.data, "meta", 4);
	assert_memory_equal(row->members[1].member_assignment.data, "a:1", 3);
	client_send_join(&a);
	row = group_described(*state, "g");
	assert_text(row->group_state, "PreparingRebalance");
	assert_text(row->protocol_data, "");
	assert_int_equal(row->members[1].member_metadata.length, 0);
}

/* Another kind, of which only its members matter. */
static size_t others;

static size_t count_others(const struct group *group)
{
	return others;
}

static int erase_others(struct group *group)
{
	return 0;
}

static void forget_others(struct group *group, enum kafka_error error)
{
}

static void a_group_of_another_kind_takes_classic_members_once_it_is_empty(void **state)
{
	static const struct group_kind kind = {.type = "other",
					       .member_count = count_others,
					       .erase = erase_others,
					       .forget = forget_others};
	const struct kafka_string id = kafka_string_of("g");
	struct world *world = *state;
	struct client a = client_of(world, "g");
	enum kafka_error error;

	group_obtain(world->groups, &id, &error)->kind = &kind;
	others = 1;
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_int_equal(client_heartbeat(&a), KAFKA_UNKNOWN_MEMBER_ID);
	others = 0;
	memcpy(a.id, "made-up", sizeof("made-up"));
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
	a.id[0] = 0;
	clients_settle((struct client *[]){&a}, 1);
	assert_string_equal(group_of(world, "g")->kind->type, "classic");
}

int main(void)
{
#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		each(whom_the_leader_leaves_out_gets_nothing),
		each(assignments_for_strangers_are_ignored),
		each(in_a_stable_group_everyone_gets_the_assignment_again),
		each(a_sync_of_the_wrong_generation_member_or_protocol_is_refused),
		each(every_version_of_sync_is_answered),
		each(a_parked_sync_is_answered_when_its_member_asks_again),
		each(assignments_are_told_when_they_are_durable),
		each(where_it_cannot_be_durable_the_former_generation_is_back),
		each(an_assignment_that_cannot_be_appended_begins_a_rebalance),
		each(parked_requests_are_answered_when_the_broker_stops),
		each(after_a_restart_members_go_on_in_their_generation),
		each(after_a_restart_the_silent_are_removed),
		each(after_a_restart_in_the_midst_of_a_rebalance_the_former_generation_is_back),
		each(a_rewrite_in_the_midst_of_a_rebalance_keeps_the_former_generation),
		each(a_group_that_nobody_synced_in_is_not_stored),
		each(a_deleted_group_is_gone_after_a_restart),
		each(records_that_contradict_themselves_are_corrupt),
		each(an_old_record_of_an_empty_group_counts_from_its_own_time),
		each(a_consumer_is_subscribed_to_what_its_metadata_names),
		each(of_metadata_that_does_not_parse_nobody_can_tell),
		each(other_types_of_clients_subscribe_to_nothing),
		each(a_stable_group_is_described_with_metadata_and_assignments),
		each(a_group_of_another_kind_takes_classic_members_once_it_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
