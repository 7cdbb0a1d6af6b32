/* control/transactions/transactions.h: all transactional ids that this broker coordinates (KIP-98,
 * KIP-890).
 *
 * A state machine without I/O: requests, questions of partitions' owners, time, topics and stored
 * records come in; answers, records (state_log.h) and markers go out.  A transactional id lives in
 * the partition of __transaction_state that it hashes to; that partition's phases: unknown ->
 * loading -> loaded -> (a failed append) loading ...  Requests for an id whose partition is not
 * loaded are answered COORDINATOR_LOAD_IN_PROGRESS.
 *
 *     empty --begin--> ongoing --EndTxn, time-out, fencing--> prepare commit | prepare abort
 *                         ^                                        | durable: markers to every
 *                         |                                        v partition, offsets to groups
 *                         +------------begin----------- complete commit | complete abort
 *
 * Owner: the coordinator's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;
struct config;
struct control_request;
struct kafka_string;
struct message;
struct record;
struct state_log;
struct state_wait;
struct topics;
struct transaction_ask;
struct transactions;

struct transactions_options {
	const struct config
		*config; /* transaction.*, transactional.*; until transactions_set_config */
	const struct clock *clock;
	struct state_log *log;
	unsigned shard_count;
	unsigned sender; /* of the mesh: this thread */
	/* Markers, as struct shard_append (dataplane/shard_log.h) of a control batch. */
	void (*send)(void *context, unsigned shard, struct message *message);
	/* `request`'s response is whole: it may go home.  Once a request, now or later. */
	void (*answer)(void *context, struct control_request *request);
	/* `ask` may go home, likewise. */
	void (*ask_answer)(void *context, struct transaction_ask *ask);
	/* Producer ids are needed: transactions_give_producer_ids follows. */
	void (*want_producer_ids)(void *context);
	/* The group coordinator (groups.h): where a group's offsets lie, and the end of those that
	 * a transaction has given to groups of one partition. */
	int32_t (*offsets_partition)(void *context, const struct kafka_string *group_id);
	int (*end_offsets)(void *context, int32_t partition, int64_t producer_id, bool commit,
			   struct state_wait *wait);
	void *context;
};

int transactions_new(struct transactions **ret,
		     const struct transactions_options *options); /* -ENOMEM */
/* After transactions_stop, its answers, the log's waits and the markers' return
 * (transactions_idle); null is fine. */
void transactions_free(struct transactions *transactions);

/* InitProducerId with a transactional id, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn,
 * DescribeTransactions, ListTransactions; the request is the transactions' until answered. */
void transactions_handle(struct transactions *transactions, struct control_request *request);
/* TxnOffsetCommit is the groups' once `admitted` runs, now or later (then what it rests on here is
 * durable): the transaction is open and the group's offsets are part of it, or have become one
 * (from version 5 on).  Else it is answered here. */
void transactions_admit_offsets(struct transactions *transactions, struct control_request *request,
				void (*admitted)(void *context, struct control_request *request));
void transactions_ask(struct transactions *transactions, struct transaction_ask *ask);
/* `count` ids from `first` on are ours; rc negative: there are none now. */
void transactions_give_producer_ids(struct transactions *transactions, int64_t first, int64_t count,
				    int rc);
/* The topics as they are from now on; used until the next call. */
void transactions_set_config(struct transactions *transactions, const struct config *config);
void transactions_set_topics(struct transactions *transactions, const struct topics *topics);

/* ---- what is stored; as in groups.h ---- */
int transactions_set_partitions(struct transactions *transactions, int32_t count); /* -ENOMEM */
void transactions_begin_load(struct transactions *transactions, int32_t partition);
int transactions_replay(struct transactions *transactions, int32_t partition,
			const struct record *record, int64_t timestamp_ms, char *why,
			size_t why_bytes);
/* Time-outs begin anew; transactions that were being ended go on. */
void transactions_end_load(struct transactions *transactions, int32_t partition);
int transactions_rewrite(struct transactions *transactions, int32_t partition);
size_t transactions_live_records(const struct transactions *transactions, int32_t partition);

/* ---- time ---- */
/* Runs what is due; returns when to call again, on the monotonic clock at the latest. */
uint64_t transactions_turn(struct transactions *transactions);
/* The end: parked requests, and all that come from now on, are answered
 * COORDINATOR_NOT_AVAILABLE; no more markers are sent, nothing more is stored. */
void transactions_stop(struct transactions *transactions);
/* No marker is on its way, and no end of offsets. */
bool transactions_idle(const struct transactions *transactions);
