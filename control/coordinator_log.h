/* control/coordinator_log.h: a topic of the broker's own as the memory of a state machine: the
 * groups' __consumer_offsets, the transactions' __transaction_state.
 *
 * It implements state_log.h over messages to the shards that own the topic's partitions, reads them
 * at the start and after a failed append, and rewrites a partition to what still holds when that is
 * a small part of it.  What it needs of the state is struct coordinator_log_state.
 *
 * Owner: the coordinator's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;
struct coordinator_log;
struct state_log;
struct message;
struct record;
struct topic;

/* As in groups.h. */
struct coordinator_log_state {
	void (*begin_load)(void *context, int32_t partition);
	int (*replay)(void *context, int32_t partition, const struct record *record,
		      int64_t timestamp_ms, char *why, size_t why_bytes);
	void (*end_load)(void *context, int32_t partition);
	int (*rewrite)(void *context, int32_t partition);
	size_t (*live_records)(const void *context, int32_t partition);
	void *context;
};

struct coordinator_log_options {
	const struct clock *clock;
	const char *topic;          /* its name, static: for what is logged */
	int32_t partition_count;    /* of the topic, which may have to be created */
	uint64_t rewrite_bytes_min; /* a partition smaller than this is not rewritten */
	unsigned shard_count;
	unsigned sender; /* of the mesh: this thread */
	void (*send)(void *context, unsigned shard, struct message *message);
	/* The topic is needed and does not exist: coordinator_log_set_topic follows, or
	 * coordinator_log_refused.  Also asked where a partition does not open. */
	void (*create_topic)(void *context);
	void *context;
};

/* -ENOMEM. */
int coordinator_log_new(struct coordinator_log **ret,
			const struct coordinator_log_options *options);
/* Nothing is out any more; null is fine. */
void coordinator_log_free(struct coordinator_log *log);
struct state_log *coordinator_log_seam(struct coordinator_log *log);

/* Once, before the first request: `state` is what the log is of.  Where the topic is yet to be
 * created there is nothing to load. */
void coordinator_log_start(struct coordinator_log *log, const struct coordinator_log_state *state,
			   bool topic_exists);
/* The topic as the shards have it; null: not created.  Used within the call only. */
void coordinator_log_set_topic(struct coordinator_log *log, const struct topic *topic);
/* create_topic has failed. */
void coordinator_log_refused(struct coordinator_log *log, int rc);

/* What was appended since the last call of it is stored whole or not at all. */
void coordinator_log_call_end(struct coordinator_log *log);
/* Once a turn, after the calls: sends what was appended, goes on with loads.  Returns when to call
 * again, on the monotonic clock, at the latest. */
uint64_t coordinator_log_turn(struct coordinator_log *log);

/* The end: no more loads or rewrites. */
void coordinator_log_stop(struct coordinator_log *log);
/* Nothing appended waits to be durable. */
bool coordinator_log_idle(const struct coordinator_log *log);
/* The time is up: who waits is told -ERR_CLOSING. */
void coordinator_log_abandon(struct coordinator_log *log);
