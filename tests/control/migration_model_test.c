/* A group whose clients are of both protocols and change them, while everything happens to it:
 * clients start, leave, crash and come back under their instance ids, answers are lost, time
 * passes, the broker is started anew, memory runs out.  So the group goes up and down all the time.
 * Seeded; the seed is in a failure's message.
 *
 * After every step: no partition is owned by two members that the group knows, as they themselves
 * believe it.  And when the faults stop, after a bounded time: every partition is owned, and the
 * group is of the kind that its members make it. */
#include "control/groups/classic_internal.h"
#include "control/groups/consumer.h"
#include "control/groups/consumer_internal.h"
#include "tests/control/classic_consumers.h"
#include "tests/control/consumer_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	RUNS = 60,
	STEPS = 400,
	CLIENTS = 5,
	PARTITIONS = 8,
	ALL = (1 << PARTITIONS) - 1,
	QUIET_ROUNDS = 200,
	ROUND_MS = 1000,
};

struct member {
	int number;
	bool up;
	bool is_classic;
	bool is_static;
	char instance[8]; /* of all its lives in which it is static */
	unsigned lives;
	struct classic_consumer classic;
	bool synced; /* classic: it is in a generation */
	char id[24]; /* of the new protocol, with what follows */
	int32_t epoch;
	uint32_t owned, assigned;
};

struct model {
	uint64_t seed;
	uint64_t random;
	struct world *world;
	struct member members[CLIENTS];
	unsigned ups, downs;
	bool memory_faults;
};

static uint32_t below(struct model *m, uint32_t bound)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m->random >> 33) % bound;
}

static bool percent(struct model *m, uint32_t chance)
{
	return below(m, 100) < chance;
}

static void require(const struct model *m, bool holds, const char *what, const struct member *who)
{
	if (!holds)
		fail_msg("%d: %s (seed %llu)", who ? who->number : -1, what,
			 (unsigned long long)m->seed);
}

/* ---- what is believed ---- */

static const char *id_of(const struct member *member)
{
	return member->is_classic ? member->classic.client.id : member->id;
}

static const char *instance_of(const struct member *member)
{
	return member->is_static ? member->instance : NULL;
}

static uint32_t owned_by(const struct member *member)
{
	return member->is_classic ? member->classic.owned : member->owned;
}

/* An upgrade that ran out of memory may have kept a member and not what it had: in no generation of
 * its own, it cannot commit. */
static bool known_here(const struct consumer_group *consumer, const struct member *member)
{
	const struct kafka_string id = kafka_string_of(id_of(member));
	const struct consumer_member *found = consumer_find(consumer, &id);

	return found &&
	       (!member->is_classic || member->classic.client.generation == found->current.epoch);
}

/* Whom the group does not know has been fenced: it will be told so, and cannot commit. */
static bool known(const struct model *m, const struct member *member)
{
	const struct group *group = group_of(m->world, "g");
	const struct kafka_string id = kafka_string_of(id_of(member));

	if (!member->up || !group || !group->kind || id.length == 0)
		return false;
	return group->kind == &consumer_kind ? known_here(group->state, member)
					     : classic_members_find(group->state, &id) != NULL;
}

static void check_ownership(const struct model *m)
{
	uint32_t taken = 0;

	for (int i = 0; i < CLIENTS; i++) {
		const struct member *member = &m->members[i];
		if (!known(m, member))
			continue;
		require(m, (taken & owned_by(member)) == 0, "owns what another member owns",
			member);
		taken |= owned_by(member);
	}
}

/* ---- a client of the new protocol ---- */

static void put_owned(uint32_t owned, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int p = 0; p < PARTITIONS; p++) {
		if (owned & 1u << p)
			used += (size_t)snprintf(text + used, size - used, "%s%d",
						 used ? "," : "t:", p);
	}
}

static void hear(struct member *member, const heartbeat_answer *answer)
{
	if (answer->error_code == KAFKA_NOT_COORDINATOR)
		return;
	if (answer->error_code != KAFKA_NONE) {
		member->epoch = 0;
		member->owned = 0;
		member->assigned = 0;
		return;
	}
	member->epoch = answer->member_epoch;
	member->assigned = 0;
	for (int32_t i = 0; i < answer->assignment.topic_partitions_count; i++) {
		for (int32_t p = 0; p < answer->assignment.topic_partitions[i].partitions_count;
		     p++)
			member->assigned |= 1u
					    << answer->assignment.topic_partitions[i].partitions[p];
	}
}

/* It says everything each time, so that the answer does. */
static void beat_once(struct model *m, struct member *member, bool faults)
{
	char owned[64];

	put_owned(member->epoch ? member->owned : 0, owned, sizeof(owned));
	struct world_request *ask = beat_send(m->world,
					      (struct beat){.member = member->id,
							    .epoch = member->epoch,
							    .instance = instance_of(member),
							    .topics = "t",
							    .owned = owned,
							    .rebalance_ms = 30000});
	if (ask->request.rc < 0 || (faults && percent(m, 10)))
		return; /* the answer is lost */
	hear(member, world_answer(ask));
	if (!faults || percent(m, 60))
		member->owned = member->assigned;
}

/* ---- a client of the classic protocol, which owns nothing while it joins ---- */

static void join_anew(struct member *member)
{
	struct client *client = &member->classic.client;

	member->synced = false;
	member->classic.owned = 0;
	classic_consumer_begin_join(&member->classic);
	client->sync = NULL;
}

static void forget_id(struct member *member)
{
	member->classic.client.id[0] = '\0';
	member->classic.client.generation = -1;
}

static void go_on_joining(struct member *member)
{
	struct client *client = &member->classic.client;
	const struct kafka_join_group_response *answer = world_answer(client->join);
	int16_t error = classic_consumer_joined(&member->classic);

	if (error != KAFKA_NONE) {
		join_anew(member);
		return;
	}
	if (client_leads(client))
		classic_consumer_send_assignment(&member->classic, answer, PARTITIONS);
	else
		client_send_sync(client, NULL, 0, NULL);
}

static void go_on_syncing(struct member *member)
{
	int16_t error = classic_consumer_synced(&member->classic);

	member->synced = error == KAFKA_NONE;
	if (error == KAFKA_UNKNOWN_MEMBER_ID)
		forget_id(member);
	if (error != KAFKA_NONE)
		join_anew(member);
}

static void heartbeat_once(struct member *member)
{
	switch (client_heartbeat(&member->classic.client)) {
	case KAFKA_NONE:
	case KAFKA_NOT_COORDINATOR:
		return;
	case KAFKA_UNKNOWN_MEMBER_ID:
		forget_id(member);
		break;
	default:
		break;
	}
	join_anew(member);
}

static void classic_once(struct member *member)
{
	const struct client *client = &member->classic.client;

	if (client->join && client->join->answered)
		go_on_joining(member);
	else if (client->sync && client->sync->answered)
		go_on_syncing(member);
	else if (!client->join && !client->sync && member->synced)
		heartbeat_once(member);
	else if (!client->join && !client->sync)
		join_anew(member);
}

static void go_on(struct model *m, struct member *member, bool faults)
{
	if (member->is_classic)
		classic_once(member);
	else
		beat_once(m, member, faults);
}

/* ---- what happens ---- */

static struct member *some(struct model *m, bool up)
{
	for (int tries = 0; tries < 20; tries++) {
		struct member *member = &m->members[below(m, CLIENTS)];
		if (member->up == up)
			return member;
	}
	return NULL;
}

static void start(struct model *m, struct member *member)
{
	const int number = member->number;
	const unsigned lives = member->lives + 1;

	*member = (struct member){.number = number, .lives = lives, .up = true};
	member->is_classic = percent(m, 60);
	member->is_static = percent(m, 30);
	snprintf(member->instance, sizeof(member->instance), "i%d", number);
	member->classic = classic_consumer_of(m->world, false);
	member->classic.client.instance = instance_of(member);
	snprintf(member->id, sizeof(member->id), "n%d-%u", number, lives);
}

static void stop(struct member *member, bool says_so)
{
	struct client *client = &member->classic.client;

	member->up = false;
	if (!says_so)
		return;
	if (!member->is_classic)
		beat_send(client->world, (struct beat){.member = member->id,
						       .instance = instance_of(member),
						       .epoch = member->is_static ? -2 : -1});
	else if (client->id[0])
		client_leave(client);
}

static void one_step(struct model *m)
{
	uint32_t dice = below(m, 100);
	struct member *member = some(m, dice >= 8);

	if (m->memory_faults && percent(m, 5))
		m->world->log.refuse_after = below(m, 10);
	if (dice < 8 && member)
		start(m, member);
	else if (dice < 11 && member)
		stop(member, true);
	else if (dice < 13 && member)
		stop(member, false);
	else if (dice < 15)
		world_restart(m->world);
	else if (dice < 25)
		world_advance(m->world, below(m, 2000));
	else if (member)
		go_on(m, member, true);
	m->world->log.refuse_after = UINT32_MAX;
}

static void count_changes(struct model *m, const struct group_kind **kind)
{
	const struct group *group = group_of(m->world, "g");
	const struct group_kind *now = group && !group_empty(group) ? group->kind : NULL;

	m->ups += *kind == &classic_kind && now == &consumer_kind;
	m->downs += *kind == &consumer_kind && now == &classic_kind;
	*kind = now;
}

/* ---- quiet ---- */

static void check_at_rest(const struct model *m)
{
	const struct group *group = group_of(m->world, "g");
	uint32_t owned = 0;
	bool anybody = false, anybody_new = false;

	for (int i = 0; i < CLIENTS; i++) {
		const struct member *member = &m->members[i];
		if (!member->up)
			continue;
		anybody = true;
		anybody_new |= !member->is_classic;
		owned |= owned_by(member);
	}
	if (!anybody)
		return;
	require(m, owned == ALL, "a partition is nobody's", NULL);
	require(m, group->kind == (anybody_new ? &consumer_kind : &classic_kind),
		"is not of its members' kind", NULL);
}

static void quieten(struct model *m)
{
	for (int round = 0; round < QUIET_ROUNDS; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			if (m->members[i].up)
				go_on(m, &m->members[i], false);
			check_ownership(m);
		}
		world_advance(m->world, ROUND_MS);
	}
	check_at_rest(m);
	world_check_restart(m->world);
}

static void run(uint64_t seed, bool memory_faults, unsigned *ups, unsigned *downs)
{
	struct model m = {.seed = seed, .random = seed, .memory_faults = memory_faults};
	const struct group_kind *kind = NULL;

	m.world = world_new(1);
	world_topic(m.world, "t", PARTITIONS);
	for (int i = 0; i < CLIENTS; i++)
		m.members[i].number = i;
	for (int step = 0; step < STEPS; step++) {
		one_step(&m);
		check_ownership(&m);
		count_changes(&m, &kind);
	}
	quieten(&m);
	*ups += m.ups;
	*downs += m.downs;
	world_free(m.world);
}

static void run_all(bool memory_faults)
{
	unsigned ups = 0, downs = 0;

	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run(seed, memory_faults, &ups, &downs);
	/* It is what this test is about. */
	assert_true(ups > RUNS / 4 && downs > RUNS / 4);
}

static void groups_that_go_up_and_down_stay_sound_and_come_to_rest(void **state)
{
	run_all(false);
}

static void groups_that_go_up_and_down_come_to_rest_when_memory_runs_out(void **state)
{
	run_all(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_that_go_up_and_down_stay_sound_and_come_to_rest),
		cmocka_unit_test(groups_that_go_up_and_down_come_to_rest_when_memory_runs_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
