/* tests/sim/clients/client.h: what every simulated client has, and what it knows of the world.
 *
 * A client is a process of one fiber with a connection, a log and randomness of its own.  It goes
 * on until its phase is over, whatever the broker does, and pauses between what it does. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "dataplane/kafka/wire.h"
#include "tests/sim/clients/history.h"
#include "tests/sim/clients/peer.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"

enum {
	TOPICS_MAX = 8,
	WORLD_GROUPS_MAX = 4,
	PARTITIONS_MAX = 4, /* of a topic */
	TOPIC_NAME_BYTES = 16,
	TOPIC_CONFIGS_MAX = 8,
	LOST_MAX = 64,
};

struct topic_config {
	const char *name;
	char value[24];
};

struct topic {
	char name[TOPIC_NAME_BYTES];
	unsigned partitions;
	struct topic_config configs[TOPIC_CONFIGS_MAX];
	unsigned config_count;
	struct uuid id; /* once created */
	bool created;
	int64_t dedup_window_ms; /* 0: no window */
	bool dedup_by_uptime;    /* it is judged by a clock that is never set */
	bool keyed;              /* compacted: records need keys */
	bool retained;           /* retention may take away its oldest records */
	bool source;             /* transactions make records of others from its own */
	bool sink;               /* those go here */
	bool rots;               /* bits of its files turn at rest */
	/* The highest start of each log that any client was told of. */
	int64_t starts[PARTITIONS_MAX];
};

/* Offsets [from, to) of which the broker has said that their records are lost. */
struct lost {
	const struct topic *topic;
	unsigned partition;
	int64_t from, to;
};

/* In this order.  Producers work in the first two, members and readers in the first three. */
enum phase {
	PHASE_FAULTS,
	PHASE_CALM,  /* nothing goes wrong any more; everybody goes on */
	PHASE_DRAIN, /* producers end; groups read what is left */
	PHASE_FINAL, /* the others end, then final readers read everything */
};

struct world {
	enum phase phase;
	uint64_t silent_until_ns; /* until then clients do nothing but what they are at */
	struct topic topics[TOPICS_MAX];
	unsigned topic_count;
	/* Groups, and what they read. */
	struct {
		const char *name;
		const struct topic *topic;
	} groups[WORLD_GROUPS_MAX];
	unsigned group_count;
	struct client *first_client;
	/* The end of each log by what producers were told that wait for all. */
	int64_t acked[TOPICS_MAX][PARTITIONS_MAX];
	struct waiting early_read; /* woken when somebody reads what its producer was not told of */
	struct lost lost[LOST_MAX];
	unsigned lost_count;
	/* A promise of the broker's that no history shows was broken; "": none. */
	char broken[512];
};

struct client {
	const char *name;
	struct world *world;
	struct random random;
	struct history_log *log;
	struct process *process;
	struct peer peer;
	bool must_progress; /* in PHASE_CALM */
	bool idle;          /* but has nothing to do */
	unsigned progress;  /* that it had made when the calm began */
	bool produces;      /* the others wait for its end in PHASE_DRAIN */
	bool drains;        /* a member of a group */
	bool drained;       /* in PHASE_DRAIN: it has read and committed all that it owns */
	bool ended;
	/* Where it was last told that records are lost, and since when it is told so. */
	struct {
		const struct topic *topic;
		unsigned partition;
		int64_t offset;
		uint64_t since_ns;
	} held;
	struct client *next;
};

/* Makes its process and log, and runs `run` with `context` (which begins with the client). */
void client_start(struct client *client, struct world *world, const char *name,
		  struct random *random, void *(*run)(void *context));
/* Its end: closes, says so. */
void *client_end(struct client *client);
/* Sleeps that long, as drawn. */
void client_pause(struct client *client, unsigned min_ms, unsigned max_ms);
bool client_draws(struct client *client, unsigned percent);
uint64_t client_below(struct client *client, uint64_t bound);
/* True until the phase is over. */
static inline bool client_goes_on(const struct client *client, enum phase last)
{
	return client->world->phase <= last;
}
/* The broker broke a promise that no event of a history tells; the first one stays. */
void client_accuses(struct client *client, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Tells what is committed; `partitions` null: all of them. */
void client_tells_seen(struct client *client, const char *group, const struct topic *topic,
		       const bool *partitions, const int64_t *offsets, bool final);
struct topic *world_topic(struct world *world, const struct kafka_string *name); /* null: none */
struct topic *world_topic_of(struct world *world, const struct uuid *id);        /* null: none */
/* A producer that waits for all was told of records before `end`. */
void world_acked(struct world *world, const struct topic *topic, unsigned partition, int64_t end);
/* Somebody was given records before `end`. */
void world_read(struct world *world, const struct topic *topic, unsigned partition, int64_t end);
/* What is lost at `offset`, or `behind` it: where a reader comes next, when nothing is left of the
 * offsets between.  False: nothing is known to be. */
bool world_find_lost(const struct world *world, const struct topic *topic, unsigned partition,
		     int64_t offset, bool behind, struct lost *ret);
