/* Whole groups of consumers that do as clients do, while everything that can happen to them
 * happens: answers and requests are lost, members crash, leave and come back, topics are made and
 * grow, the log is compacted, the broker is started anew, its log fails, its memory runs out.
 * Seeded; the seed is in the message of a failure.
 *
 * What is checked after every step knows nothing of the coordinator but which members it has:
 *   - no partition is owned by two of them, as they themselves believe it;
 *   - the epoch that a member is told never falls while it lives, nor does the group's, but for
 *     what the log has lost.
 * And when the faults stop, after a bounded time: every partition that somebody subscribes to is
 * owned, by somebody who does, and the group says that it is stable. */
#include "control/groups/consumer_internal.h"
#include "tests/control/consumer_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	RUNS = 60,
	STEPS = 250,
	CLIENTS = 6,
	TOPICS = 4,
	PARTITIONS_MAX = 12,
	SESSION_MS = 45000,
	QUIET_ROUNDS = 10,
	INTERVAL_MS = 5000,
};

struct client {
	int number;
	bool up;
	bool is_static;
	unsigned lives; /* each has a member id of its own */
	char id[24];
	char instance[8];
	int32_t epoch;
	unsigned subscribed;       /* bits of topics */
	bool by_regex;             /* all of them, by an expression */
	bool said_owned;           /* what it owns, since that changed */
	bool full;                 /* the next request says everything */
	bool changed;              /* the subscription, since it was last said */
	uint64_t owned[TOPICS];    /* bits of partitions, as it believes */
	uint64_t assigned[TOPICS]; /* as it was last told */
};

struct model {
	uint64_t seed;
	uint64_t random;
	struct world *world;
	struct client clients[CLIENTS];
	int32_t partitions[TOPICS]; /* 0: the topic is not there */
	int32_t epoch;              /* of the group, at least */
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

static void require(const struct model *m, bool holds, const char *what, const struct client *who)
{
	if (!holds)
		fail_msg("%s: %s (seed %llu)", who ? who->id : "group", what,
			 (unsigned long long)m->seed);
}

/* ---- what is believed, against what is so ---- */

static struct consumer_group *group_now(const struct model *m)
{
	struct kafka_string id = kafka_string_of("g");
	struct group *group = group_find(m->world->groups, &id);

	return group && group->kind ? group->state : NULL;
}

/* Whom the group does not know has been fenced: it will be told so, and cannot commit. */
static bool known(const struct model *m, const struct client *client)
{
	const struct consumer_group *group = group_now(m);
	struct kafka_string id = kafka_string_of(client->id);

	return group && client->epoch > 0 && consumer_find(group, &id);
}

static void check_ownership(const struct model *m)
{
	for (int t = 0; t < TOPICS; t++) {
		uint64_t taken = 0;
		for (int i = 0; i < CLIENTS; i++) {
			const struct client *client = &m->clients[i];
			if (!client->up || !known(m, client))
				continue;
			require(m, (taken & client->owned[t]) == 0, "owns what another member owns",
				client);
			taken |= client->owned[t];
		}
	}
}

static void check_group_epoch(struct model *m)
{
	const struct consumer_group *group = group_now(m);

	require(m, !group || group->epoch >= m->epoch, "the group epoch fell", NULL);
	m->epoch = group ? group->epoch : 0;
}

/* ---- a client ---- */

static void lose_everything(struct client *client)
{
	client->said_owned = false;
	memset(client->owned, 0, sizeof(client->owned));
	memset(client->assigned, 0, sizeof(client->assigned));
}

static void begin_life(struct client *client)
{
	client->up = true;
	client->epoch = 0;
	snprintf(client->id, sizeof(client->id), "c%d-%u", client->number, ++client->lives);
	lose_everything(client);
}

/* First all that has to go goes, then what is new is taken: callbacks of the application run
 * between. */
static void follow_assignment(struct model *m, struct client *client, bool at_once)
{
	bool has_to_let_go = false;

	for (int t = 0; t < TOPICS; t++)
		has_to_let_go |= (client->owned[t] & ~client->assigned[t]) != 0;
	if (has_to_let_go && !at_once && percent(m, 60))
		return;
	for (int t = 0; t < TOPICS; t++) {
		client->said_owned &= client->owned[t] == client->assigned[t];
		client->owned[t] = client->assigned[t];
	}
}

static int topic_of(const struct model *m, const struct uuid *id)
{
	for (size_t i = 0; i < m->world->topics.count; i++) {
		if (uuid_equal(&m->world->rows[i]->id, id))
			return m->world->rows[i]->name[1] - '0';
	}
	return -1;
}

static void take_assignment(struct model *m, struct client *client, const heartbeat_answer *answer)
{
	memset(client->assigned, 0, sizeof(client->assigned));
	for (int32_t i = 0; i < answer->assignment.topic_partitions_count; i++) {
		const struct kafka_consumer_group_heartbeat_response_topic_partitions *row =
			&answer->assignment.topic_partitions[i];
		int t = topic_of(m, &row->topic_id);
		require(m, t >= 0, "is given a topic that is not there", client);
		for (int32_t p = 0; p < row->partitions_count; p++)
			client->assigned[t] |= UINT64_C(1) << row->partitions[p];
	}
}

static void hear(struct model *m, struct client *client, const heartbeat_answer *answer)
{
	switch (answer->error_code) {
	case KAFKA_NONE:
		require(m, answer->member_epoch >= client->epoch, "its epoch fell", client);
		client->epoch = answer->member_epoch;
		client->full = false;
		client->changed = false;
		if (answer->has_assignment)
			take_assignment(m, client, answer);
		break;
	case KAFKA_UNKNOWN_MEMBER_ID:
	case KAFKA_FENCED_MEMBER_EPOCH:
	case KAFKA_GROUP_ID_NOT_FOUND:
		client->epoch = 0;
		lose_everything(client);
		break;
	case KAFKA_UNRELEASED_INSTANCE_ID:
		require(m, client->is_static, "is refused an instance id it does not have", client);
		break;
	default:
		require(m, answer->error_code == KAFKA_NOT_COORDINATOR, "another error", client);
		client->full = true;
	}
}

static void put_topics(const struct client *client, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int t = 0; t < TOPICS; t++) {
		if (client->subscribed & 1u << t && !client->by_regex)
			used += (size_t)snprintf(text + used, size - used, "%st%d", used ? "," : "",
						 t);
	}
}

static void put_owned(const struct client *client, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int t = 0; t < TOPICS; t++) {
		const char *before = used ? " " : "";
		if (client->owned[t])
			used += (size_t)snprintf(text + used, size - used, "%st%d", before, t);
		before = ":";
		for (int p = 0; p < 64; p++) {
			if (!(client->owned[t] & UINT64_C(1) << p))
				continue;
			used += (size_t)snprintf(text + used, size - used, "%s%d", before, p);
			before = ",";
		}
	}
}

static struct world_request *ask(struct model *m, struct client *client)
{
	char topics[64], owned[1024];
	bool says_all = client->full || client->epoch == 0;
	struct beat beat = {.member = client->id, .epoch = client->epoch};

	put_topics(client, topics, sizeof(topics));
	put_owned(client, owned, sizeof(owned));
	if (says_all || !client->said_owned)
		beat.owned = owned;
	if (says_all || client->changed) {
		beat.topics = topics;
		beat.regex = client->by_regex ? "t[0-9]" : "";
	}
	if (says_all) {
		beat.rebalance_ms = 30000;
		beat.instance = client->is_static ? client->instance : NULL;
	}
	return beat_send(m->world, beat);
}

static void beat_once(struct model *m, struct client *client, bool faults)
{
	if (faults && percent(m, 8)) { /* the request is lost */
		client->full = true;
		return;
	}
	struct world_request *asked = ask(m, client);
	client->said_owned = true;
	bool failed = asked->request.rc < 0;
	if (failed || (faults && percent(m, 12)))
		client->full = true; /* the answer is lost */
	else
		hear(m, client, world_answer(asked));
	follow_assignment(m, client, !faults);
}

/* ---- what happens ---- */

static struct client *some(struct model *m, bool up)
{
	for (int tries = 0; tries < 20; tries++) {
		struct client *client = &m->clients[below(m, CLIENTS)];
		if (client->up == up)
			return client;
	}
	return NULL;
}

static void somebody_is_alive(struct model *m)
{
	struct client *client = some(m, true);

	if (!client)
		return;
	if (m->memory_faults && percent(m, 10))
		m->world->log.refuse_after = below(m, 8);
	beat_once(m, client, true);
	m->world->log.refuse_after = UINT32_MAX;
}

static void somebody_starts(struct model *m)
{
	struct client *client = some(m, false);

	if (client)
		begin_life(client);
}

static void somebody_crashes(struct model *m)
{
	struct client *client = some(m, true);

	if (client)
		client->up = false;
}

static void somebody_leaves(struct model *m)
{
	struct client *client = some(m, true);
	struct beat bye = {.epoch = -1};

	if (!client)
		return;
	lose_everything(client);
	client->up = false;
	bye.member = client->id;
	if (client->is_static && percent(m, 70)) {
		bye.epoch = -2;
		bye.instance = client->instance;
	}
	if (client->epoch > 0)
		beat_send(m->world, bye);
}

static void somebody_subscribes_anew(struct model *m)
{
	struct client *client = some(m, true);

	if (!client)
		return;
	client->by_regex = percent(m, 30);
	client->subscribed = client->by_regex ? (1u << TOPICS) - 1
					      : 1 + below(m, (1u << TOPICS) - 1);
	client->changed = true;
}

static void a_topic_changes(struct model *m)
{
	int t = (int)below(m, TOPICS);
	char name[8];

	snprintf(name, sizeof(name), "t%d", t);
	if (m->partitions[t] == 0) {
		m->partitions[t] = 1 + (int32_t)below(m, 4);
		world_topic(m->world, name, m->partitions[t]);
	} else if (m->partitions[t] < PARTITIONS_MAX) {
		m->partitions[t] += 1 + (int32_t)below(m, 2);
		world_grow_topic(m->world, name, m->partitions[t]);
	}
}

/* Some requests are under way: either all is stored, or the log fails, or the broker does. */
static void the_log_is_slow(struct model *m)
{
	struct world_request *asked[3] = {0};
	struct client *clients[3] = {0};

	m->world->log.hold = true;
	for (int i = 0; i < 3; i++) {
		clients[i] = some(m, true);
		for (int j = 0; j < i; j++) {
			if (clients[j] == clients[i])
				clients[i] = NULL;
		}
		if (clients[i])
			asked[i] = ask(m, clients[i]);
	}
	m->world->log.hold = false;
	switch (below(m, 3)) {
	case 0:
		world_flush(m->world, 0);
		break;
	case 1:
		world_fail(m->world, 0);
		break;
	default:
		world_restart(m->world);
	}
	m->epoch = 0;
	for (int i = 0; i < 3; i++) {
		if (asked[i])
			hear(m, clients[i], world_answer(asked[i]));
	}
}

static bool same_key(const struct world_record *a, const struct world_record *b)
{
	return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

/* The last record of each key stays, where it is. */
static void the_log_is_compacted(struct model *m)
{
	struct world_records *log = &m->world->log.partitions[0];
	size_t kept = 0;

	for (size_t i = 0; i < log->count; i++) {
		size_t later = i + 1;
		while (later < log->count && !same_key(&log->records[i], &log->records[later]))
			later++;
		if (later == log->count) {
			log->records[kept++] = log->records[i];
			continue;
		}
		free(log->records[i].key);
		free(log->records[i].value);
	}
	log->count = kept;
	log->durable = kept;
}

static void one_step(struct model *m)
{
	uint32_t dice = below(m, 100);

	if (dice < 60)
		somebody_is_alive(m);
	else if (dice < 68)
		somebody_starts(m);
	else if (dice < 71)
		somebody_crashes(m);
	else if (dice < 74)
		somebody_leaves(m);
	else if (dice < 78)
		somebody_subscribes_anew(m);
	else if (dice < 81)
		a_topic_changes(m);
	else if (dice < 83)
		world_restart(m->world);
	else if (dice < 84)
		the_log_is_compacted(m);
	else if (dice < 88)
		the_log_is_slow(m);
	else if (dice < 99)
		world_advance(m->world, below(m, 4000));
	else
		world_advance(m->world, 20000 + below(m, 30000));
}

/* ---- quiet ---- */

static void check_everything_is_owned(const struct model *m)
{
	for (int t = 0; t < TOPICS; t++) {
		uint64_t all = (UINT64_C(1) << m->partitions[t]) - 1;
		uint64_t owned = 0;
		bool wanted = false;
		for (int i = 0; i < CLIENTS; i++) {
			const struct client *client = &m->clients[i];
			bool subscribed = client->up && client->subscribed & 1u << t;
			wanted |= subscribed;
			require(m, !client->up || subscribed || !client->owned[t],
				"owns what it does not subscribe to", client);
			owned |= client->up ? client->owned[t] : 0;
		}
		require(m, owned == (wanted ? all : 0), "a partition is nobody's", NULL);
	}
}

static void let_them_run(struct model *m, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < CLIENTS; i++) {
			if (m->clients[i].up)
				beat_once(m, &m->clients[i], false);
			check_ownership(m);
		}
		world_advance(m->world, INTERVAL_MS);
	}
}

static void check_at_rest(struct model *m)
{
	size_t appended = world_appended(m->world);
	bool anybody = false;

	check_everything_is_owned(m);
	for (int i = 0; i < CLIENTS; i++) {
		anybody |= m->clients[i].up;
		if (m->clients[i].up)
			beat_once(m, &m->clients[i], false);
	}
	require(m, world_appended(m->world) == appended, "is not quiet", NULL);
	if (anybody)
		expect_state(m->world, "Stable");
}

/* Crashed members have to be missed first. */
static void quieten(struct model *m)
{
	let_them_run(m, SESSION_MS / INTERVAL_MS + 1 + QUIET_ROUNDS);
	check_at_rest(m);
	a_topic_changes(m);
	let_them_run(m, QUIET_ROUNDS);
	check_at_rest(m);
}

static void run(uint64_t seed, bool memory_faults)
{
	struct model m = {.seed = seed, .random = seed, .memory_faults = memory_faults};

	m.world = world_new(1);
	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &m.clients[i];
		client->number = i;
		client->is_static = percent(&m, 30);
		snprintf(client->instance, sizeof(client->instance), "i%d", i);
		client->subscribed = 1 + below(&m, (1u << TOPICS) - 1);
	}
	a_topic_changes(&m);
	for (int step = 0; step < STEPS; step++) {
		one_step(&m);
		check_ownership(&m);
		check_group_epoch(&m);
		if (!memory_faults && step % 25 == 0)
			world_check_restart(m.world);
	}
	quieten(&m);
	world_check_restart(m.world);
	world_free(m.world);
}

static void groups_stay_sound_and_come_to_rest(void **state)
{
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run(seed, false);
}

static void groups_stay_sound_and_come_to_rest_when_memory_runs_out(void **state)
{
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run(seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_stay_sound_and_come_to_rest),
		cmocka_unit_test(groups_stay_sound_and_come_to_rest_when_memory_runs_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
