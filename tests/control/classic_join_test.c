/* JoinGroup: who gets in, under which id, and when it is answered. */
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

/* ---- the first join ---- */

static void a_first_join_gets_only_an_id_from_version_4_on(void **state)
{
	for (int16_t version = 0; version <= 9; version++) {
		struct client a = client_of(*state, "g");

		a.version = version;
		a.group = (const char *[]){"g0", "g1", "g2", "g3", "g4",
					   "g5", "g6", "g7", "g8", "g9"}[version];
		client_send_join(&a);
		assert_int_equal(client_joined(&a),
				 version < 4 ? KAFKA_NONE : KAFKA_MEMBER_ID_REQUIRED);
		assert_int_equal(strncmp(a.id, "client-", 7), 0);
		assert_int_equal(a.generation, version < 4 ? 1 : -1);
		assert_string_equal(group_state(*state, a.group),
				    version < 4 ? "CompletingRebalance" : "Empty");
	}
}

static void the_id_that_was_given_is_accepted_in_every_version(void **state)
{
	for (int16_t version = 4; version <= 9; version++) {
		struct client a = client_of(*state, "g");
		char given[CLIENT_TEXT_BYTES];

		a.version = version;
		client_send_join(&a);
		assert_int_equal(client_joined(&a), KAFKA_MEMBER_ID_REQUIRED);
		memcpy(given, a.id, sizeof(given));
		client_send_join(&a);
		assert_int_equal(client_joined(&a), KAFKA_NONE);
		assert_string_equal(a.id, given);
		assert_true(client_leads(&a));
		assert_int_equal(a.members_count, 1);
		assert_string_equal(a.protocol, "range");
		assert_int_equal(client_leave(&a), KAFKA_NONE);
	}
}

static void an_id_that_nobody_was_given_is_unknown(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	snprintf(a.id, sizeof(a.id), "made-up");
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
	assert_null(group_of(*state, "g"));
	client_enter(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

static void an_id_not_used_within_its_session_is_forgotten_with_its_group(void **state)
{
	struct client a = client_of(*state, "g");

	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_MEMBER_ID_REQUIRED);
	world_advance(*state, 9 * 1000);
	assert_non_null(group_of(*state, "g"));
	world_advance(*state, 2 * 1000);
	assert_null(group_of(*state, "g"));
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(world_appended(*state), 0);
}

static void an_unused_id_does_not_hold_up_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_MEMBER_ID_REQUIRED);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
}

static void of_too_many_unused_ids_the_oldest_makes_room(void **state)
{
	struct world *world = *state;
	struct client first = client_of(world, "g"), second = client_of(world, "g"),
		      third = client_of(world, "g");

	world->config.group_max_size = 2;
	client_send_join(&first);
	assert_int_equal(client_joined(&first), KAFKA_MEMBER_ID_REQUIRED);
	client_send_join(&second);
	assert_int_equal(client_joined(&second), KAFKA_MEMBER_ID_REQUIRED);
	client_send_join(&third);
	assert_int_equal(client_joined(&third), KAFKA_MEMBER_ID_REQUIRED);
	client_send_join(&first);
	assert_int_equal(client_joined(&first), KAFKA_UNKNOWN_MEMBER_ID);
	client_send_join(&second);
	assert_int_equal(client_joined(&second), KAFKA_NONE);
}

static void a_pending_id_with_an_instance_id_is_unknown(void **state)
{
	struct client a = client_of(*state, "g");

	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_MEMBER_ID_REQUIRED);
	a.instance = "i";
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_UNKNOWN_MEMBER_ID);
}

/* Ids come back in requests, which have to be UTF-8 of at most 32 KiB. */
static void an_id_made_of_any_client_id_can_be_sent_back(void **state)
{
	static char longest[40000];
	const struct kafka_string client_ids[] = {
		{NULL, -1}, {"", 0}, {"\xff\xfe\0z", 4}, {longest, sizeof(longest)}};

	for (size_t i = 0; i < sizeof(longest) - 1; i += 2)
		memcpy(longest + i, "\xc3\xa9", 2);
	for (size_t i = 0; i < sizeof(client_ids) / sizeof(client_ids[0]); i++) {
		struct client a = client_of(*state, "g");
		struct world_request *ask = world_ask(*state, KAFKA_JOIN_GROUP, 9);
		struct kafka_join_group_request *message = ask->message;

		message->group_id = kafka_string_of("g");
		message->session_timeout_ms = 10 * 1000;
		message->protocol_type = kafka_string_of("consumer");
		message->protocols = world_alloc(ask, 1, sizeof(*message->protocols));
		message->protocols[0].name = kafka_string_of("range");
		message->protocols_count = 1;
		ask->request.client_id = client_ids[i];
		a.join = ask;
		world_send(ask);
		assert_int_equal(client_joined(&a), KAFKA_MEMBER_ID_REQUIRED);
		client_send_join(&a);
		assert_int_equal(client_joined(&a), KAFKA_NONE);
		assert_int_equal(client_leave(&a), KAFKA_NONE);
	}
}

/* ---- what is refused ---- */

static void session_timeouts_outside_the_bounds_are_refused(void **state)
{
	struct client a = client_of(*state, "g");
	const int32_t refused[] = {-1, 0, 5999, 1800001};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		a.session_ms = refused[i];
		client_send_join(&a);
		assert_int_equal(client_joined(&a), KAFKA_INVALID_SESSION_TIMEOUT);
		assert_null(group_of(*state, "g"));
	}
	a.session_ms = 6000;
	client_enter(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
}

static void without_protocols_or_their_type_nobody_joins(void **state)
{
	struct client a = client_of(*state, "g");

	a.protocols[0] = NULL;
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	a = client_of(*state, "g");
	a.type = "";
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_null(group_of(*state, "g"));
}

static void without_a_common_protocol_nobody_joins_a_group_with_members(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	b.protocols[0] = "roundrobin";
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	b = client_of(*state, "g");
	b.type = "connect";
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_int_equal(client_heartbeat(&a), KAFKA_NONE);
}

/* What counts is what all offer, not what the first one or most of them do. */
static void who_shares_only_what_not_all_offer_does_not_join(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g"), d = client_of(*state, "g");

	memcpy(a.protocols, (const char *[]){"x", "range"}, 2 * sizeof(char *));
	memcpy(b.protocols, (const char *[]){"range", "y"}, 2 * sizeof(char *));
	clients_settle((struct client *[]){&a, &b}, 2);
	memcpy(c.protocols, (const char *[]){"x", "y"}, 2 * sizeof(char *));
	client_send_join(&c);
	assert_int_equal(client_joined(&c), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	memcpy(d.protocols, (const char *[]){"z", "range", "y", "x"}, 4 * sizeof(char *));
	client_send_join(&d);
	assert_int_equal(client_joined(&d), KAFKA_MEMBER_ID_REQUIRED);
}

static void an_empty_group_takes_clients_of_another_type(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	assert_int_equal(client_leave(&a), KAFKA_NONE);
	b.type = "connect";
	b.protocols[0] = "sessioned";
	clients_settle((struct client *[]){&b}, 1);
	assert_int_equal(b.generation, 3);
	assert_string_equal(group_of(*state, "g")->kind->protocol_type(group_of(*state, "g")),
			    "connect");
	world_check_restart(*state);
}

static void more_protocols_than_anyone_offers_are_refused(void **state)
{
	struct client a = client_of(*state, "g");
	struct world_request *ask = world_ask(*state, KAFKA_JOIN_GROUP, 9);
	struct kafka_join_group_request *message = ask->message;

	message->group_id = kafka_string_of("g");
	message->session_timeout_ms = 10 * 1000;
	message->protocol_type = kafka_string_of("consumer");
	message->protocols_count = 65;
	message->protocols = world_alloc(ask, 65, sizeof(*message->protocols));
	for (int i = 0; i < 65; i++)
		message->protocols[i].name = kafka_string_of("range");
	a.join = ask;
	world_send(ask);
	assert_int_equal(client_joined(&a), KAFKA_INVALID_REQUEST);
}

static void a_full_group_turns_newcomers_away(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g"),
		      c = client_of(world, "g");

	world->config.group_max_size = 2;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&c);
	assert_int_equal(client_joined(&c), KAFKA_GROUP_MAX_SIZE_REACHED);
	assert_string_equal(c.id, "");
	/* Also while its members are gathered. */
	client_send_join(&a);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	client_send_join(&c);
	assert_int_equal(client_joined(&c), KAFKA_GROUP_MAX_SIZE_REACHED);
}

static void a_group_larger_than_it_may_be_loses_the_last_to_come(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "g"),
		      c = client_of(world, "g");

	clients_settle((struct client *[]){&a, &b, &c}, 3);
	world->config.group_max_size = 2;
	world_restart(world);
	assert_string_equal(group_state(world, "g"), "PreparingRebalance");
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&c);
	client_send_join(&b);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_GROUP_MAX_SIZE_REACHED);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(client_joined(&c), KAFKA_NONE);
	assert_int_equal(b.generation, 3);
}

static void no_more_groups_than_may_be(void **state)
{
	struct world *world = *state;
	struct client a = client_of(world, "g"), b = client_of(world, "h");

	world->config.group_max_groups = 1;
	clients_settle((struct client *[]){&a}, 1);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_GROUP_MAX_SIZE_REACHED);
}

/* ---- coming again ---- */

static void while_completing_the_same_metadata_gets_the_same_answer(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	client_enter(&b);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.generation, 2);
	assert_int_equal(a.members_count, 2);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(b.generation, 2);
	assert_int_equal(b.members_count, 0);
	assert_string_equal(b.leader, a.id);
}

static void while_completing_other_metadata_begins_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");
	char assignment[CLIENT_TEXT_BYTES];

	clients_settle((struct client *[]){&a}, 1);
	client_enter(&b);
	client_send_join(&a);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	client_send_sync(&b, NULL, 0, NULL);
	a.metadata = "other";
	client_send_join(&a);
	assert_int_equal(client_synced(&b, assignment), KAFKA_REBALANCE_IN_PROGRESS);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(b.generation, 3);
}

static void in_a_stable_group_a_follower_with_the_same_metadata_changes_nothing(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&b);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(b.generation, 2);
	assert_int_equal(b.members_count, 0);
	assert_string_equal(b.leader, a.id);
	assert_string_equal(group_state(*state, "g"), "Stable");
}

static void in_a_stable_group_other_metadata_begins_a_rebalance(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	b.metadata = "other";
	client_send_join(&b);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	assert_int_equal(client_heartbeat(&a), KAFKA_REBALANCE_IN_PROGRESS);
}

static void in_a_stable_group_the_leader_begins_a_rebalance_with_the_same_metadata(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	assert_string_equal(group_state(*state, "g"), "PreparingRebalance");
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(a.generation, 3);
	assert_true(client_leads(&a));
}

static void a_parked_join_is_answered_when_its_member_asks_again(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	struct client older = a;
	client_send_join(&a);
	assert_int_equal(client_joined(&older), KAFKA_REBALANCE_IN_PROGRESS);
	assert_string_equal(older.id, a.id);
	client_send_join(&b);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(a.members_count, 2);
}

/* Version 0 has one timeout for both. */
static void version_0_rebalances_within_the_session_timeout(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	a.version = b.version = 0;
	clients_settle((struct client *[]){&a, &b}, 2);
	client_send_join(&a);
	for (int i = 0; i < 9; i++) {
		world_advance(*state, 1000);
		assert_int_equal(client_heartbeat(&b), KAFKA_REBALANCE_IN_PROGRESS);
	}
	assert_false(a.join->answered);
	world_advance(*state, 1001);
	assert_int_equal(client_joined(&a), KAFKA_NONE);
	assert_int_equal(a.members_count, 1);
}

/* ---- what the group agrees on ---- */

static void the_protocol_that_most_prefer_of_those_all_offer_is_taken(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g"),
		      c = client_of(*state, "g");

	memcpy(a.protocols, (const char *[]){"x", "range", "sticky"}, 3 * sizeof(char *));
	memcpy(b.protocols, (const char *[]){"y", "sticky", "range"}, 3 * sizeof(char *));
	memcpy(c.protocols, (const char *[]){"sticky", "range", "x"}, 3 * sizeof(char *));
	clients_settle((struct client *[]){&a, &b, &c}, 3);
	assert_string_equal(a.protocol, "sticky");
	assert_string_equal(b.protocol, "sticky");
	assert_string_equal(c.protocol, "sticky");
}

static void the_leader_sees_the_metadata_of_all_verbatim(void **state)
{
	struct client a = client_of(*state, "g"), b = client_of(*state, "g");

	clients_settle((struct client *[]){&a}, 1);
	b.metadata = "\x01\xff\x80 anything";
	b.instance = "i";
	client_enter(&b);
	client_send_join(&a);
	const struct kafka_join_group_response *answer = world_answer(a.join);
	assert_int_equal(client_joined(&b), KAFKA_NONE);
	assert_int_equal(answer->members_count, 2);
	assert_int_equal(answer->members[0].group_instance_id.length, -1);
	assert_int_equal(answer->members[0].metadata.length, 13);
	assert_text(answer->members[1].member_id, b.id);
	assert_text(answer->members[1].group_instance_id, "i");
	assert_int_equal(answer->members[1].metadata.length, (int)strlen(b.metadata));
	assert_memory_equal(answer->members[1].metadata.data, b.metadata, strlen(b.metadata));
	assert_text(answer->protocol_type, "consumer");
}

static void errors_name_no_protocol(void **state)
{
	for (int16_t version = 0; version <= 9; version++) {
		struct client a = client_of(*state, "g");

		a.version = version;
		a.session_ms = 1;
		client_send_join(&a);
		const struct kafka_join_group_response *answer = world_answer(a.join);
		assert_int_equal(answer->error_code, KAFKA_INVALID_SESSION_TIMEOUT);
		assert_int_equal(answer->generation_id, -1);
		assert_int_equal(answer->protocol_name.length, version < 7 ? 0 : -1);
		assert_int_equal(answer->members_count, 0);
	}
}

int main(void)
{
#define each(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		each(a_first_join_gets_only_an_id_from_version_4_on),
		each(the_id_that_was_given_is_accepted_in_every_version),
		each(an_id_that_nobody_was_given_is_unknown),
		each(an_id_not_used_within_its_session_is_forgotten_with_its_group),
		each(an_unused_id_does_not_hold_up_a_rebalance),
		each(of_too_many_unused_ids_the_oldest_makes_room),
		each(a_pending_id_with_an_instance_id_is_unknown),
		each(an_id_made_of_any_client_id_can_be_sent_back),
		each(session_timeouts_outside_the_bounds_are_refused),
		each(without_protocols_or_their_type_nobody_joins),
		each(without_a_common_protocol_nobody_joins_a_group_with_members),
		each(who_shares_only_what_not_all_offer_does_not_join),
		each(an_empty_group_takes_clients_of_another_type),
		each(more_protocols_than_anyone_offers_are_refused),
		each(a_full_group_turns_newcomers_away),
		each(a_group_larger_than_it_may_be_loses_the_last_to_come),
		each(no_more_groups_than_may_be),
		each(while_completing_the_same_metadata_gets_the_same_answer),
		each(while_completing_other_metadata_begins_a_rebalance),
		each(in_a_stable_group_a_follower_with_the_same_metadata_changes_nothing),
		each(in_a_stable_group_other_metadata_begins_a_rebalance),
		each(in_a_stable_group_the_leader_begins_a_rebalance_with_the_same_metadata),
		each(a_parked_join_is_answered_when_its_member_asks_again),
		each(version_0_rebalances_within_the_session_timeout),
		each(the_protocol_that_most_prefer_of_those_all_offer_is_taken),
		each(the_leader_sees_the_metadata_of_all_verbatim),
		each(errors_name_no_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
