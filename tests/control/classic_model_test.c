/* A handful of clients that do anything at any time: join, sync, beat, leave, crash and come back,
 * while the log stalls and fails and the broker is restarted.
 *
 * Nobody computes what the group ought to do.  What has to hold whatever it does:
 *   - a generation has one leader, and no member twice
 *   - a client never sees a generation below its last one, until the group is loaded anew
 *   - what a client gets as its assignment is what that generation's leader has sent for it, also
 *     after a restart: an assignment that was told is never another one
 *   - whoever waits is answered within the rebalance timeout, while the log takes what it is given
 *   - members that were stable before a restart are after it
 *   - in the end, left alone, those that are alive are stable in one generation
 * The seed is in the message of a failure. */
#include "tests/control/classic_clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum {
	ACTORS = 6,
	STATICS = 2, /* the first so many */
	STEPS = 600,
	SEEDS = 60,
	REBALANCE_MS = 12 * 1000,
	GENERATIONS_MAX = 2 * STEPS,
	WAITING_MAX = 4096,
};

enum phase { OUT, JOINING, JOINED, SYNCING, MEMBER };

struct actor {
	struct client client;
	enum phase phase;
	struct world_request *joined; /* its last answer */
	unsigned told_era;            /* when `client.generation` was told */
};

struct generation {
	char leader[CLIENT_TEXT_BYTES]; /* who it is, see identity */
	unsigned leader_era;
	unsigned sent[8]; /* assignments that leaders have sent, by their numbers */
	size_t sent_count;
	unsigned told; /* the one that members got; 0: none yet */
};

struct waiting {
	const struct world_request *ask;
	uint64_t since_ns;
};

struct model {
	struct world *world;
	uint64_t random;
	struct actor actors[ACTORS];
	struct generation generations[GENERATIONS_MAX];
	struct waiting waiting[WAITING_MAX];
	size_t waiting_count;
	unsigned era; /* how often the group was loaded */
	unsigned assignments;
	unsigned synced;      /* successful answers, or the model would prove nothing */
	uint64_t released_ns; /* since when the log takes everything */
};

static uint64_t running_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x))                                                                          \
			fail_msg("seed %llu: %s", (unsigned long long)running_seed, #x);           \
	} while (0)

static uint32_t below(struct model *m, uint32_t bound)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(m->random >> 33) % bound;
}

/* A static member is who its instance id says, whatever its member id is by now: "i0-...". */
static void identity(char to[static CLIENT_TEXT_BYTES], const char *id, int length)
{
	const char *dash = memchr(id, '-', (size_t)length);

	if (length > 0 && id[0] == 'i' && dash)
		length = (int)(dash - id);
	snprintf(to, CLIENT_TEXT_BYTES, "%.*s", length, id);
}

static struct generation *generation_at(struct model *m, int32_t number)
{
	require(number > 0 && number < GENERATIONS_MAX);
	return &m->generations[number];
}

/* ---- who waits ---- */

static void wait_for(struct model *m, const struct world_request *ask)
{
	if (ask->answered)
		return;
	require(m->waiting_count < WAITING_MAX);
	m->waiting[m->waiting_count++] = (struct waiting){ask, m->world->now_ns};
}

static void check_waiting(struct model *m)
{
	size_t left = 0;

	for (size_t i = 0; i < m->waiting_count; i++) {
		struct waiting *waiting = &m->waiting[i];
		const uint64_t since_ns = waiting->since_ns > m->released_ns ? waiting->since_ns
									     : m->released_ns;

		if (waiting->ask->answered)
			continue;
		require(m->world->log.hold ||
			m->world->now_ns <= since_ns + (REBALANCE_MS + 2) * NS_PER_MS);
		m->waiting[left++] = *waiting;
	}
	m->waiting_count = left;
}

/* ---- answers ---- */

static void check_leader(struct model *m, const struct actor *actor)
{
	struct generation *generation = generation_at(m, actor->client.generation);
	char leader[CLIENT_TEXT_BYTES];

	identity(leader, actor->client.leader, (int)strlen(actor->client.leader));
	if (generation->leader[0] && generation->leader_era == m->era)
		require(strcmp(generation->leader, leader) == 0);
	memcpy(generation->leader, leader, sizeof(leader));
	generation->leader_era = m->era;
}

static void check_members(const struct kafka_join_group_response *answer)
{
	char one[CLIENT_TEXT_BYTES], other[CLIENT_TEXT_BYTES];

	for (int32_t i = 0; i < answer->members_count; i++) {
		const struct kafka_string *id = &answer->members[i].member_id;

		identity(one, id->data, id->length);
		for (int32_t j = 0; j < i; j++) {
			id = &answer->members[j].member_id;
			identity(other, id->data, id->length);
			require(strcmp(one, other) != 0);
		}
	}
}

static void take_join(struct model *m, struct actor *actor)
{
	const int32_t before = actor->client.generation;
	struct world_request *ask = actor->client.join;
	const int16_t error = client_joined(&actor->client);

	actor->phase = OUT;
	if (error == KAFKA_NONE) {
		require(actor->told_era != m->era || actor->client.generation >= before);
		check_leader(m, actor);
		check_members(ask->request.response);
		actor->told_era = m->era;
		actor->joined = ask;
		actor->phase = JOINED;
		return;
	}
	actor->client.generation = before;
	if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_FENCED_INSTANCE_ID)
		actor->client.id[0] = 0;
	else
		require(error == KAFKA_MEMBER_ID_REQUIRED || error == KAFKA_REBALANCE_IN_PROGRESS ||
			error == KAFKA_NOT_COORDINATOR || error == KAFKA_COORDINATOR_NOT_AVAILABLE);
}

/* "<number>/<identity>". */
static void check_assignment(struct model *m, const struct actor *actor, const char *assignment)
{
	struct generation *generation = generation_at(m, actor->client.generation);
	char own[CLIENT_TEXT_BYTES];
	unsigned number = 0;
	int length = 0;
	bool sent = false;

	require(sscanf(assignment, "%u/%n", &number, &length) == 1 && length > 0);
	identity(own, actor->client.id, (int)strlen(actor->client.id));
	require(strcmp(assignment + length, own) == 0);
	for (size_t i = 0; i < generation->sent_count; i++)
		sent = sent || generation->sent[i] == number;
	require(sent);
	require(generation->told == 0 || generation->told == number);
	generation->told = number;
	m->synced++;
}

static void take_sync(struct model *m, struct actor *actor)
{
	char assignment[CLIENT_TEXT_BYTES];
	const int16_t error = client_synced(&actor->client, assignment);

	if (error == KAFKA_NONE) {
		check_assignment(m, actor, assignment);
		actor->phase = MEMBER;
		return;
	}
	actor->phase = OUT;
	if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_FENCED_INSTANCE_ID)
		actor->client.id[0] = 0;
	else
		require(error == KAFKA_REBALANCE_IN_PROGRESS || error == KAFKA_ILLEGAL_GENERATION ||
			error == KAFKA_NOT_COORDINATOR || error == KAFKA_COORDINATOR_NOT_AVAILABLE);
}

static void take_answers(struct model *m)
{
	for (int i = 0; i < ACTORS; i++) {
		struct actor *actor = &m->actors[i];

		if (actor->phase == JOINING && actor->client.join->answered)
			take_join(m, actor);
		else if (actor->phase == SYNCING && actor->client.sync->answered)
			take_sync(m, actor);
	}
	check_waiting(m);
	if (!group_of(m->world, "g")) /* a new one counts from the beginning */
		m->era++, memset(m->generations, 0, sizeof(m->generations));
}

/* ---- what clients do ---- */

static void join(struct model *m, struct actor *actor)
{
	static const char *const metadata[] = {"one", "two"};

	if (below(m, 4) == 0)
		actor->client.metadata = metadata[below(m, 2)];
	client_send_join(&actor->client);
	actor->phase = JOINING;
	wait_for(m, actor->client.join);
}

static void assign(struct model *m, struct actor *actor, struct world_request *ask)
{
	struct generation *generation = generation_at(m, actor->client.generation);
	const struct kafka_join_group_response *joined = world_answer(actor->joined);
	struct kafka_sync_group_request *message = ask->message;
	const size_t count = (size_t)joined->members_count;

	m->assignments++;
	if (generation->sent_count < sizeof(generation->sent) / sizeof(generation->sent[0]))
		generation->sent[generation->sent_count++] = m->assignments;
	message->assignments = world_alloc(ask, count, sizeof(*message->assignments));
	message->assignments_count = joined->members_count;
	for (size_t i = 0; i < count; i++) {
		const struct kafka_string *id = &joined->members[i].member_id;
		char *text = world_alloc(ask, 1, CLIENT_TEXT_BYTES + 16);
		char who[CLIENT_TEXT_BYTES];

		identity(who, id->data, id->length);
		const int length = snprintf(text, CLIENT_TEXT_BYTES + 16, "%u/%s", m->assignments,
					    who);
		message->assignments[i].member_id = *id;
		message->assignments[i].assignment = (struct kafka_bytes){(const uint8_t *)text,
									  length};
	}
}

static void sync_up(struct model *m, struct actor *actor)
{
	struct world_request *ask = world_ask(m->world, KAFKA_SYNC_GROUP, 5);
	struct kafka_sync_group_request *message = ask->message;
	char *id = world_alloc(ask, 1, CLIENT_TEXT_BYTES);

	memcpy(id, actor->client.id, CLIENT_TEXT_BYTES);
	message->group_id = kafka_string_of("g");
	message->generation_id = actor->client.generation;
	message->member_id = kafka_string_of(id);
	message->group_instance_id = kafka_string_of(actor->client.instance);
	message->protocol_type = kafka_string_of("consumer");
	message->protocol_name = kafka_string_of("range");
	if (client_leads(&actor->client) && !actor->client.skip_assignment)
		assign(m, actor, ask);
	actor->client.sync = ask;
	actor->phase = SYNCING;
	world_send(ask);
	wait_for(m, ask);
}

/* Heartbeat's answer waits for the log as well; such a one is not looked at. */
static void beat(struct model *m, struct actor *actor)
{
	if (m->world->log.hold)
		return;
	const int16_t error = client_heartbeat(&actor->client);
	if (error == KAFKA_NONE)
		return;
	if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_FENCED_INSTANCE_ID)
		actor->client.id[0] = 0;
	else
		require(error == KAFKA_REBALANCE_IN_PROGRESS || error == KAFKA_ILLEGAL_GENERATION);
	actor->phase = OUT;
}

static void leave(struct model *m, struct actor *actor)
{
	if (m->world->log.hold || !actor->client.id[0])
		return;
	const int16_t error = client_leave(&actor->client);
	require(error == KAFKA_NONE || error == KAFKA_UNKNOWN_MEMBER_ID ||
		error == KAFKA_FENCED_INSTANCE_ID);
	actor->client.id[0] = 0;
	actor->phase = OUT;
}

/* The process is gone, what it asked is answered to nobody. */
static void crash(struct actor *actor)
{
	actor->client.id[0] = 0;
	actor->client.join = actor->client.sync = NULL;
	actor->phase = OUT;
}

/* Asks again, as after a lost connection. */
static void repeat(struct model *m, struct actor *actor)
{
	const struct world_request *former = actor->phase == JOINING ? actor->client.join
								     : actor->client.sync;

	if (!actor->client.id[0])
		return;
	if (actor->phase == JOINING)
		join(m, actor);
	else
		sync_up(m, actor);
	require(former->answered || m->world->log.hold);
}

static void go_on(struct model *m, struct actor *actor)
{
	switch (actor->phase) {
	case OUT:
		join(m, actor);
		break;
	case JOINED:
		sync_up(m, actor);
		break;
	case MEMBER:
		beat(m, actor);
		break;
	case JOINING:
	case SYNCING:
		break;
	}
}

static void act(struct model *m, struct actor *actor)
{
	const uint32_t dice = below(m, 100);

	if (dice < 4)
		crash(actor);
	else if (dice < 7)
		leave(m, actor);
	else if (dice < 10 && (actor->phase == JOINING || actor->phase == SYNCING))
		repeat(m, actor);
	else if (dice < 13 && actor->phase == MEMBER)
		join(m, actor);
	else
		go_on(m, actor);
}

/* ---- what happens to them ---- */

static void release(struct model *m)
{
	m->world->log.hold = false;
	world_flush(m->world, 0);
	m->released_ns = m->world->now_ns;
}

static void fail_log(struct model *m)
{
	take_answers(m);
	m->world->log.hold = false;
	world_fail(m->world, 0);
	m->released_ns = m->world->now_ns;
	m->era++;
}

static void restart(struct model *m)
{
	const bool stable = !m->world->log.hold &&
			    strcmp(group_state(m->world, "g"), "Stable") == 0;
	bool alive[ACTORS] = {0};

	for (int i = 0; i < ACTORS; i++)
		alive[i] = stable && m->actors[i].client.id[0] &&
			   client_heartbeat(&m->actors[i].client) == KAFKA_NONE;
	world_restart(m->world);
	m->world->log.hold = false;
	m->released_ns = m->world->now_ns;
	m->era++;
	for (int i = 0; i < ACTORS; i++)
		require(!alive[i] || client_heartbeat(&m->actors[i].client) == KAFKA_NONE);
}

static void step(struct model *m)
{
	const uint32_t dice = below(m, 200);

	if (dice < 60)
		world_advance(m->world, 1 + below(m, dice < 4 ? 15000 : 1500));
	else if (dice < 63)
		m->world->log.hold = true;
	else if (dice < 72)
		release(m);
	else if (dice < 74)
		fail_log(m);
	else if (dice < 75)
		restart(m);
	else if (dice < 76)
		require(groups_rewrite(m->world->groups, 0) == 0);
	else
		act(m, &m->actors[below(m, ACTORS)]);
	take_answers(m);
}

static bool settled(const struct model *m)
{
	for (int i = 0; i < ACTORS; i++) {
		if (m->actors[i].phase != MEMBER ||
		    m->actors[i].client.generation != m->actors[0].client.generation)
			return false;
	}
	return true;
}

/* Nobody crashes any more: within a few rebalances all are members of one generation. */
static void settle(struct model *m)
{
	release(m);
	for (int round = 0; round < 120; round++) {
		for (int i = 0; i < ACTORS; i++)
			go_on(m, &m->actors[i]);
		world_advance(m->world, 1000);
		take_answers(m);
	}
	require(settled(m));
	require(strcmp(group_state(m->world, "g"), "Stable") == 0);
	world_check_restart(m->world);
}

static void run(struct model *m, uint64_t seed)
{
	running_seed = seed;
	memset(m, 0, sizeof(*m));
	m->random = seed * 7919;
	m->world = world_new(1);
	m->era = 1;
	m->world->config.group_initial_rebalance_delay_ms = seed % 3 ? 0 : 3000;
	for (int i = 0; i < ACTORS; i++) {
		static const char *const instances[STATICS] = {"i0", "i1"};

		m->actors[i].client = client_of(m->world, "g");
		m->actors[i].client.rebalance_ms = REBALANCE_MS;
		if (i < STATICS)
			m->actors[i].client.instance = instances[i];
	}
	for (int i = 0; i < STEPS; i++)
		step(m);
	settle(m);
	world_free(m->world);
}

static void whatever_clients_log_and_broker_do_the_group_stays_consistent(void **state)
{
	static struct model model;
	unsigned synced = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		run(&model, seed);
		synced += model.synced;
	}
	/* Most of what was told was worth checking. */
	assert_true(synced > SEEDS * 20);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_clients_log_and_broker_do_the_group_stays_consistent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
