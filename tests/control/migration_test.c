/* Groups with members that go from one protocol to the other: what becomes of the members, of what
 * they own, and of the requests that they were in the middle of. */
#include "control/groups/consumer_internal.h"
#include "tests/control/classic_consumers.h"
#include "tests/control/consumer_world.h"
#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Two generations of the classic members, and then the first epoch of "n". */
enum { SETTLED = 2, JOINED = SETTLED + 1 };
enum { PARTITIONS = 4, ALL = (1 << PARTITIONS) - 1, POLICY_DISABLED = 0, POLICY_UPGRADE = 1 };

struct fixture {
	struct world *w;
	struct classic_consumer a, b;
};

static int set_up(void **state)
{
	static struct fixture f;

	f.w = world_new(1);
	world_topic(f.w, "t", PARTITIONS);
	f.a = classic_consumer_of(f.w, false);
	f.b = classic_consumer_of(f.w, false);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	world_check_restart(f->w);
	world_free(f->w);
	return 0;
}

/* ---- helpers ---- */

/* Both in a stable classic group: 0 and 2, 1 and 3. */
static void settle(struct fixture *f)
{
	struct classic_consumer *both[] = {&f->a, &f->b};

	classic_consumers_settle(both, 2, PARTITIONS);
	assert_int_equal(f->a.owned, 0x5);
	assert_int_equal(f->b.owned, 0xa);
}

static uint32_t owned_by(const heartbeat_answer *answer)
{
	uint32_t owned = 0;

	assert_int_equal(answer->error_code, KAFKA_NONE);
	assert_true(answer->has_assignment);
	for (int32_t i = 0; i < answer->assignment.topic_partitions_count; i++) {
		for (int32_t p = 0; p < answer->assignment.topic_partitions[i].partitions_count;
		     p++)
			owned |= 1u << answer->assignment.topic_partitions[i].partitions[p];
	}
	return owned;
}

/* A member that says everything: so the answer does too. */
static heartbeat_answer *full(struct world *w, const char *member, int32_t epoch, const char *owned)
{
	return beat(w, (struct beat){.member = member,
				     .epoch = epoch,
				     .topics = "t",
				     .owned = owned,
				     .rebalance_ms = 60000});
}

static const char *kind_of(struct fixture *f)
{
	return group_of(f->w, "g")->kind->type;
}

static int member_type(struct fixture *f, const char *member)
{
	const described_group *group = describe(f->w, "g");

	for (int32_t i = 0; i < group->members_count; i++) {
		if (strlen(member) == (size_t)group->members[i].member_id.length &&
		    memcmp(group->members[i].member_id.data, member, strlen(member)) == 0)
			return group->members[i].member_type;
	}
	return -1;
}

/* A client of the other protocol joins, the classic members come again: all have their share. */
static void upgrade(struct fixture *f)
{
	settle(f);
	assert_int_equal(join(f->w, "n", "t")->error_code, KAFKA_NONE);
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	assert_int_equal(alive(f->w, "n", JOINED)->error_code, KAFKA_NONE);
	assert_string_equal(kind_of(f), "consumer");
	assert_string_equal(group_state(f->w, "g"), "Stable");
}

/* ---- upgrade ---- */

static void a_heartbeat_makes_a_classic_group_with_members_a_consumer_group(void **state)
{
	struct fixture *f = *state;

	settle(f);
	/* Nothing is free yet, and the members are one epoch behind. */
	expect(f->w, join(f->w, "n", "t"), JOINED, "");
	assert_string_equal(kind_of(f), "consumer");
	assert_int_equal(describe(f->w, "g")->members_count, 3);
	assert_int_equal(member_type(f, f->a.client.id), 0);
	assert_int_equal(member_type(f, "n"), 1);
}

static void members_keep_their_partitions_until_they_come_again(void **state)
{
	struct fixture *f = *state;
	int32_t epoch;

	settle(f);
	epoch = join(f->w, "n", "t")->member_epoch;
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(owned_by(full(f->w, "n", epoch, "")), 0);
	classic_consumer_come(&f->a);
	assert_int_equal(f->a.client.generation, epoch);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
	classic_consumer_come(&f->b);
	uint32_t given = owned_by(full(f->w, "n", epoch, ""));
	assert_int_equal(given & (f->a.owned | f->b.owned), 0);
	assert_int_equal(given | f->a.owned | f->b.owned, ALL);
	assert_int_not_equal(given, 0);
}

static void cooperative_members_let_go_only_of_what_moves(void **state)
{
	struct fixture *f = *state;
	uint32_t before;

	f->a = classic_consumer_of(f->w, true);
	f->b = classic_consumer_of(f->w, true);
	settle(f);
	before = f->a.owned | f->b.owned;
	join(f->w, "n", "t");
	for (int i = 0; i < 2; i++) {
		struct classic_consumer *one = i ? &f->b : &f->a;
		uint32_t had = one->owned;
		assert_int_equal(client_heartbeat(&one->client), KAFKA_REBALANCE_IN_PROGRESS);
		classic_consumer_come(one);
		assert_int_equal(one->owned & ~had, 0);
	}
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
	assert_int_equal(owned_by(full(f->w, "n", JOINED, "")) | f->a.owned | f->b.owned, before);
}

static void a_member_that_lets_go_is_told_to_join_until_it_has(void **state)
{
	struct fixture *f = *state;

	f->a = classic_consumer_of(f->w, true);
	f->b = classic_consumer_of(f->w, true);
	settle(f);
	join(f->w, "n", "t");
	join(f->w, "m", "t");
	classic_consumer_send_join(&f->a);
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_NONE);
	assert_int_equal(classic_consumer_sync(&f->a), KAFKA_NONE);
	assert_int_not_equal(f->a.lost, 0);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	/* Who does not is fenced after its rebalance timeout. */
	for (int i = 0; i < 13; i++) {
		world_advance(f->w, 5000);
		client_heartbeat(&f->a.client);
		client_heartbeat(&f->b.client);
		alive(f->w, "n", JOINED);
		alive(f->w, "m", JOINED + 1);
	}
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_UNKNOWN_MEMBER_ID);
}

static void what_a_member_owns_while_it_waits_for_its_assignment_is_not_given_away(void **state)
{
	struct fixture *f = *state;
	struct classic_consumer *leader = &f->a;

	f->a = classic_consumer_of(f->w, true);
	f->b = classic_consumer_of(f->w, true);
	settle(f);
	classic_consumer_send_join(&f->a);
	classic_consumer_send_join(&f->b);
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_NONE);
	assert_int_equal(classic_consumer_joined(&f->b), KAFKA_NONE);
	/* The leader takes all that b has, which does not know yet. */
	classic_consumers_assign(&leader, 1, 1);
	int32_t epoch = join(f->w, "n", "t")->member_epoch;
	assert_int_equal(owned_by(full(f->w, "n", epoch, "")) & f->b.owned, 0);
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	uint32_t given = owned_by(full(f->w, "n", epoch, ""));
	classic_consumer_come(&f->a);
	assert_int_equal(given | f->a.owned | f->b.owned, ALL);
	assert_int_equal(given & (f->a.owned | f->b.owned), 0);
}

static void requests_that_are_parked_are_told_of_the_rebalance(void **state)
{
	struct fixture *f = *state;

	settle(f);
	classic_consumer_send_join(&f->a); /* the leader: all are to come */
	assert_false(f->a.client.join->answered);
	join(f->w, "n", "t");
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	assert_int_equal(describe(f->w, "g")->members_count, 3);
}

static void who_was_about_to_join_joins_the_consumer_group(void **state)
{
	struct fixture *f = *state;

	f->w->config.group_initial_rebalance_delay_ms = 3000;
	classic_consumer_send_join(&f->a);
	assert_false(f->a.client.join->answered);
	join(f->w, "n", "t");
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(describe(f->w, "g")->members_count, 1);
	classic_consumer_come(&f->a);
	assert_int_equal(describe(f->w, "g")->members_count, 2);
}

static void members_that_are_not_consumers_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct client *const one = &f->a.client;

	one->type = "connect";
	clients_settle(&(struct client *){one}, 1);
	expect_refused(join(f->w, "n", "t"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_string_equal(group_state(f->w, "g"), "Stable");
	assert_int_equal(client_heartbeat(one), KAFKA_NONE);
}

static void assignments_that_cannot_be_read_are_left_alone(void **state)
{
	struct fixture *f = *state;
	struct client *const one = &f->a.client;

	clients_settle(&(struct client *){one}, 1); /* its assignment is a text */
	expect_refused(join(f->w, "n", "t"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(client_heartbeat(one), KAFKA_NONE);
}

/* One member, which assigns nothing to itself but data. */
static void settle_with_user_data(struct fixture *f, const char *assignor)
{
	static const uint8_t assignment[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'x'};
	struct client *client = &f->a.client;

	client->protocols[0] = assignor;
	classic_consumer_send_join(&f->a);
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_NONE);
	struct world_request *ask = world_ask(f->w, KAFKA_SYNC_GROUP, 5);
	struct kafka_sync_group_request *message = ask->message;
	message->group_id = kafka_string_of("g");
	message->generation_id = client->generation;
	message->member_id = kafka_string_of(client->id);
	message->protocol_type = kafka_string_of("consumer");
	message->protocol_name = kafka_string_of(assignor);
	message->assignments = world_alloc(ask, 1, sizeof(*message->assignments));
	message->assignments_count = 1;
	message->assignments[0].member_id = kafka_string_of(client->id);
	message->assignments[0].assignment = (struct kafka_bytes){assignment, sizeof(assignment)};
	world_send(ask);
	assert_int_equal(((struct kafka_sync_group_response *)world_answer(ask))->error_code,
			 KAFKA_NONE);
}

static void data_of_an_assignor_that_is_not_kafkas_is_not_lost(void **state)
{
	struct fixture *f = *state;

	settle_with_user_data(f, "mine");
	expect_refused(join(f->w, "n", "t"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
}

static void data_of_sticky_assignors_is_no_loss(void **state)
{
	struct fixture *f = *state;

	settle_with_user_data(f, "cooperative-sticky");
	assert_int_equal(join(f->w, "n", "t")->error_code, KAFKA_NONE);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
}

static void the_policy_can_forbid_an_upgrade(void **state)
{
	struct fixture *f = *state;

	f->w->config.group_consumer_migration_policy = POLICY_DISABLED;
	settle(f);
	expect_refused(join(f->w, "n", "t"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_string_equal(kind_of(f), "classic");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
}

static void a_group_that_is_too_large_is_not_upgraded(void **state)
{
	struct fixture *f = *state;

	f->w->config.group_consumer_max_size = 2;
	settle(f);
	expect_refused(join(f->w, "n", "t"), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
}

static void memory_that_runs_out_leaves_the_members_or_lets_them_join_anew(void **state)
{
	for (unsigned appends = 0; appends < 16; appends++) {
		struct fixture *f = *state;

		settle(f);
		f->w->log.refuse_after = appends;
		beat_send(f->w,
			  (struct beat){
				  .member = "n", .topics = "t", .owned = "", .rebalance_ms = 1000});
		f->w->log.refuse_after = UINT32_MAX;
		full(f->w, "n", 0, "");
		world_check_restart(f->w);
		tear_down(state);
		set_up(state);
	}
}

/* ---- classic members of a consumer group ---- */

static void a_classic_client_joins_a_consumer_group(void **state)
{
	struct fixture *f = *state;

	expect(f->w, join(f->w, "n", "t"), 1, "t:0,1,2,3");
	classic_consumer_come(&f->a);
	assert_int_equal(f->a.client.generation, 2);
	assert_int_equal(f->a.client.members_count, 0);
	assert_false(client_leads(&f->a.client));
	assert_int_equal(f->a.owned, 0);
	/* It waits for what the other lets go of. */
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
	expect(f->w, alive(f->w, "n", 1), 1, "t:0,1");
	expect(f->w, alive_owning(f->w, "n", 1, "t:0,1"), 2, "unchanged");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_come(&f->a);
	assert_int_equal(f->a.owned, 0xc);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
}

static void other_protocol_types_do_not_join_consumer_groups(void **state)
{
	struct fixture *f = *state;

	join(f->w, "n", "t");
	f->a.client.type = "connect";
	client_send_join(&f->a.client);
	assert_int_equal(client_joined(&f->a.client), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	f->b.client.metadata = "x";
	client_send_join(&f->b.client);
	f->b.client.version = 3;
	client_joined(&f->b.client);
	client_send_join(&f->b.client);
	assert_int_equal(client_joined(&f->b.client), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	assert_int_equal(describe(f->w, "g")->members_count, 1);
}

static void classic_members_have_to_share_an_assignor(void **state)
{
	struct fixture *f = *state;

	join(f->w, "n", "t");
	classic_consumer_come(&f->a);
	f->b.client.protocols[0] = "roundrobin";
	client_send_join(&f->b.client);
	assert_int_equal(client_joined(&f->b.client), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
}

static void generations_and_ids_are_checked(void **state)
{
	struct fixture *f = *state;
	struct client stranger;

	upgrade(f);
	stranger = f->a.client;
	stranger.generation--;
	assert_int_equal(client_heartbeat(&stranger), KAFKA_ILLEGAL_GENERATION);
	client_send_sync(&stranger, NULL, 0, NULL);
	char text[CLIENT_TEXT_BYTES];
	assert_int_equal(client_synced(&stranger, text), KAFKA_ILLEGAL_GENERATION);
	stranger.generation++;
	snprintf(stranger.protocol, sizeof(stranger.protocol), "sticky");
	client_send_sync(&stranger, NULL, 0, NULL);
	assert_int_equal(client_synced(&stranger, text), KAFKA_INCONSISTENT_GROUP_PROTOCOL);
	snprintf(stranger.id, sizeof(stranger.id), "n"); /* is of the other protocol */
	assert_int_equal(client_heartbeat(&stranger), KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(client_leave(&stranger), KAFKA_UNKNOWN_MEMBER_ID);
}

static int16_t commit(struct fixture *f, int16_t version, const char *member, int32_t epoch)
{
	struct world_request *ask = commit_ask(f->w, version, "g");

	commit_as(ask, member, epoch);
	commit_add(ask, "t", 0, 7, "");
	world_send(ask);
	return commit_error(ask, "t", 0);
}

static void classic_members_commit_with_their_generation(void **state)
{
	struct fixture *f = *state;
	const struct client *a = &f->a.client;

	upgrade(f);
	assert_int_equal(commit(f, 8, a->id, a->generation), KAFKA_NONE);
	assert_int_equal(commit(f, 8, a->id, a->generation - 1), KAFKA_ILLEGAL_GENERATION);
	assert_int_equal(commit(f, 8, "n", JOINED), KAFKA_UNSUPPORTED_VERSION);
}

static int16_t commit_in_transaction(struct fixture *f, const char *member, int32_t epoch)
{
	struct world_request *ask = txn_ask(f->w, 5, "g", 1000);

	txn_as(ask, member, NULL, epoch);
	txn_add(ask, "t", 0, 7, "");
	world_send(ask);
	return txn_error(ask, "t", 0);
}

static void members_of_both_kinds_commit_in_transactions(void **state)
{
	struct fixture *f = *state;
	const struct client *a = &f->a.client;

	upgrade(f);
	assert_int_equal(commit_in_transaction(f, a->id, a->generation), KAFKA_NONE);
	assert_int_equal(commit_in_transaction(f, a->id, a->generation - 1),
			 KAFKA_ILLEGAL_GENERATION);
	assert_int_equal(commit_in_transaction(f, "n", JOINED), KAFKA_NONE);
	assert_int_equal(commit_in_transaction(f, "n", JOINED - 1), KAFKA_ILLEGAL_GENERATION);
}

static void classic_members_have_the_session_they_asked_for(void **state)
{
	struct fixture *f = *state;

	upgrade(f);
	world_advance(f->w, 9000);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
	world_advance(f->w, 2000); /* b asked for 10 s */
	assert_int_equal(describe(f->w, "g")->members_count, 2);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	world_advance(f->w, 1000);
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_classic_member_leaves_and_its_partitions_are_given_to_others(void **state)
{
	struct fixture *f = *state;

	upgrade(f);
	assert_int_equal(client_leave(&f->a.client), KAFKA_NONE);
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_come(&f->b);
	uint32_t n = owned_by(full(f->w, "n", JOINED, ""));
	assert_int_equal(n & f->b.owned, 0);
	assert_int_equal(n | f->b.owned, ALL);
}

/* ---- rolling ---- */

static void members_are_upgraded_one_by_one(void **state)
{
	struct fixture *f = *state;
	uint32_t n, m;

	upgrade(f);
	assert_int_equal(client_leave(&f->a.client), KAFKA_NONE);
	join(f->w, "m", "t");
	classic_consumer_come(&f->b);
	assert_int_equal(client_leave(&f->b.client), KAFKA_NONE);
	n = owned_by(full(f->w, "n", 0, ""));
	m = owned_by(full(f->w, "m", 0, ""));
	n = owned_by(full(f->w, "n", 0, ""));
	assert_int_equal(n & m, 0);
	assert_int_equal(n | m, ALL);
	assert_string_equal(kind_of(f), "consumer");
	assert_string_equal(group_state(f->w, "g"), "Stable");
}

static void the_last_consumer_that_leaves_makes_it_a_classic_group(void **state)
{
	struct fixture *f = *state;
	struct classic_consumer *both[] = {&f->a, &f->b};

	upgrade(f);
	assert_int_equal(leave(f->w, "n")->error_code, KAFKA_NONE);
	assert_string_equal(kind_of(f), "classic");
	assert_string_equal(group_state(f->w, "g"), "PreparingRebalance");
	/* They were up to date: they are told of the rebalance and keep their ids. */
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_send_join(&f->a);
	classic_consumer_send_join(&f->b);
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_NONE);
	assert_int_equal(classic_consumer_joined(&f->b), KAFKA_NONE);
	classic_consumers_assign(both, 2, PARTITIONS);
	assert_int_equal(f->a.owned | f->b.owned, ALL);
	assert_int_equal(describe(f->w, "g")->error_code, KAFKA_GROUP_ID_NOT_FOUND);
}

static void the_last_consumer_that_is_fenced_makes_it_a_classic_group(void **state)
{
	struct fixture *f = *state;

	upgrade(f);
	for (int i = 0; i < 10; i++) {
		world_advance(f->w, 5000);
		client_heartbeat(&f->a.client);
		client_heartbeat(&f->b.client);
	}
	assert_string_equal(kind_of(f), "classic");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
}

static void the_policy_can_forbid_a_downgrade(void **state)
{
	struct fixture *f = *state;

	f->w->config.group_consumer_migration_policy = POLICY_UPGRADE;
	upgrade(f);
	leave(f->w, "n");
	assert_string_equal(kind_of(f), "consumer");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	classic_consumer_come(&f->a);
	assert_int_equal(f->a.owned | f->b.owned, ALL);
	assert_int_equal(f->a.owned & f->b.owned, 0);
}

static void a_group_goes_up_and_down_and_up_again(void **state)
{
	struct fixture *f = *state;

	the_last_consumer_that_leaves_makes_it_a_classic_group(state);
	join(f->w, "n", "t");
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	assert_string_equal(kind_of(f), "consumer");
	leave(f->w, "n");
	assert_string_equal(kind_of(f), "classic");
}

/* ---- static members ---- */

static void a_static_member_comes_back_with_the_new_protocol_and_has_what_it_had(void **state)
{
	struct fixture *f = *state;
	struct beat back = {
		.member = "n", .instance = "i", .topics = "t", .owned = "", .rebalance_ms = 60000};

	f->a.client.instance = "i";
	settle(f);
	/* It does not say that it goes away. */
	assert_int_equal(owned_by(beat(f->w, back)), 0x5);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_FENCED_INSTANCE_ID);
	classic_consumer_come(&f->b);
	assert_int_equal(f->b.owned, 0xa);
	assert_int_equal(describe(f->w, "g")->members_count, 2);
	assert_int_equal(member_type(f, "n"), 1);
}

static void a_static_member_comes_back_with_the_old_protocol_and_downgrades(void **state)
{
	struct fixture *f = *state;
	struct beat back = {
		.member = "n", .instance = "i", .topics = "t", .owned = "", .rebalance_ms = 60000};

	settle(f);
	beat(f->w, back);
	classic_consumer_come(&f->b);
	struct classic_consumer again = classic_consumer_of(f->w, false);
	struct classic_consumer *all[] = {&again, &f->a, &f->b};
	again.client.instance = "i";
	classic_consumer_send_join(&again);
	assert_string_equal(kind_of(f), "classic");
	assert_false(again.client.join->answered);
	/* Those that were there are gathered. */
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_send_join(&f->a);
	classic_consumer_send_join(&f->b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(classic_consumer_joined(all[i]), KAFKA_NONE);
	classic_consumers_assign(all, 3, PARTITIONS);
	assert_int_equal(again.owned | f->a.owned | f->b.owned, ALL);
}

static void a_static_classic_member_takes_its_place_among_others(void **state)
{
	struct fixture *f = *state;

	join(f->w, "n", "t");
	f->a.client.instance = "i";
	classic_consumer_come(&f->a);
	struct classic_consumer again = classic_consumer_of(f->w, false);
	again.client.instance = "i";
	classic_consumer_come(&again);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_FENCED_INSTANCE_ID);
	assert_int_equal(describe(f->w, "g")->members_count, 2);
	assert_int_equal(client_expel(f->w, "g", "i"), KAFKA_NONE);
	assert_int_equal(describe(f->w, "g")->members_count, 1);
}

/* ---- restarts ---- */

static void a_restart_right_after_the_upgrade_changes_nothing(void **state)
{
	struct fixture *f = *state;

	settle(f);
	join(f->w, "n", "t");
	world_restart(f->w);
	assert_int_equal(describe(f->w, "g")->members_count, 3);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_come(&f->a);
	classic_consumer_come(&f->b);
	assert_int_equal(owned_by(full(f->w, "n", JOINED, "")) | f->a.owned | f->b.owned, ALL);
}

static void a_restart_of_a_mixed_group_changes_nothing(void **state)
{
	struct fixture *f = *state;

	upgrade(f);
	world_restart(f->w);
	assert_string_equal(group_state(f->w, "g"), "Stable");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_NONE);
	expect(f->w, alive(f->w, "n", JOINED), JOINED, "unchanged");
	world_advance(f->w, 9000);
	assert_int_equal(client_heartbeat(&f->b.client), KAFKA_NONE);
	world_advance(f->w, 2000);
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_restart_right_after_the_downgrade_gathers_the_members(void **state)
{
	struct fixture *f = *state;

	upgrade(f);
	leave(f->w, "n");
	world_restart(f->w);
	assert_string_equal(group_state(f->w, "g"), "PreparingRebalance");
	assert_int_equal(client_heartbeat(&f->a.client), KAFKA_REBALANCE_IN_PROGRESS);
	classic_consumer_send_join(&f->a);
	classic_consumer_send_join(&f->b);
	assert_int_equal(classic_consumer_joined(&f->a), KAFKA_NONE);
	world_restart(f->w); /* before there is an assignment: once more */
	assert_string_equal(group_state(f->w, "g"), "PreparingRebalance");
}

/* Records hold text alone, or they are not read again. */
static void a_classic_client_whose_id_is_no_text_is_stored_as_text(void **state)
{
	static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	struct fixture *f = *state;
	struct world_request *ask = world_ask(f->w, KAFKA_JOIN_GROUP, 3);
	struct kafka_join_group_request *message = ask->message;

	full(f->w, "n", 0, "");
	message->group_id = kafka_string_of("g");
	message->session_timeout_ms = message->rebalance_timeout_ms = 10000;
	message->protocol_type = kafka_string_of("consumer");
	message->protocols = world_alloc(ask, 1, sizeof(*message->protocols));
	message->protocols_count = 1;
	message->protocols[0].name = kafka_string_of("range");
	message->protocols[0].metadata = (struct kafka_bytes){subscription, sizeof(subscription)};
	ask->request.client_id = kafka_string_of("x\xff");
	world_send(ask);
	assert_int_equal(((struct kafka_join_group_response *)world_answer(ask))->error_code, 0);
	world_restart(f->w);
	assert_int_equal(describe(f->w, "g")->members_count, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_heartbeat_makes_a_classic_group_with_members_a_consumer_group),
		TEST(members_keep_their_partitions_until_they_come_again),
		TEST(cooperative_members_let_go_only_of_what_moves),
		TEST(a_member_that_lets_go_is_told_to_join_until_it_has),
		TEST(what_a_member_owns_while_it_waits_for_its_assignment_is_not_given_away),
		TEST(requests_that_are_parked_are_told_of_the_rebalance),
		TEST(who_was_about_to_join_joins_the_consumer_group),
		TEST(members_that_are_not_consumers_are_left_alone),
		TEST(assignments_that_cannot_be_read_are_left_alone),
		TEST(data_of_an_assignor_that_is_not_kafkas_is_not_lost),
		TEST(data_of_sticky_assignors_is_no_loss),
		TEST(the_policy_can_forbid_an_upgrade),
		TEST(a_group_that_is_too_large_is_not_upgraded),
		TEST(memory_that_runs_out_leaves_the_members_or_lets_them_join_anew),
		TEST(a_classic_client_joins_a_consumer_group),
		TEST(other_protocol_types_do_not_join_consumer_groups),
		TEST(classic_members_have_to_share_an_assignor),
		TEST(generations_and_ids_are_checked),
		TEST(classic_members_commit_with_their_generation),
		TEST(members_of_both_kinds_commit_in_transactions),
		TEST(classic_members_have_the_session_they_asked_for),
		TEST(a_classic_member_leaves_and_its_partitions_are_given_to_others),
		TEST(members_are_upgraded_one_by_one),
		TEST(the_last_consumer_that_leaves_makes_it_a_classic_group),
		TEST(the_last_consumer_that_is_fenced_makes_it_a_classic_group),
		TEST(the_policy_can_forbid_a_downgrade),
		TEST(a_group_goes_up_and_down_and_up_again),
		TEST(a_static_member_comes_back_with_the_new_protocol_and_has_what_it_had),
		TEST(a_static_member_comes_back_with_the_old_protocol_and_downgrades),
		TEST(a_static_classic_member_takes_its_place_among_others),
		TEST(a_restart_right_after_the_upgrade_changes_nothing),
		TEST(a_restart_of_a_mixed_group_changes_nothing),
		TEST(a_restart_right_after_the_downgrade_gathers_the_members),
		TEST(a_classic_client_whose_id_is_no_text_is_stored_as_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
