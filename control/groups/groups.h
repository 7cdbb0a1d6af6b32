/* control/groups/groups.h: all groups that this broker coordinates.
 *
 * A state machine without I/O: requests, time, topics and stored records come in; answers and
 * records go out (state_log.h).  A group lives in the partition of __consumer_offsets that its id
 * hashes to; that partition's phases: unknown -> loading -> loaded -> (a failed append) loading ...
 * Requests for a group whose partition is not loaded are answered COORDINATOR_LOAD_IN_PROGRESS.
 *
 * Owner: the coordinator's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/kafka/kafka_errors.h"

struct clock;
struct config;
struct control_request;
struct groups;
struct kafka_string;
struct record;
struct share_ask;
struct state_log;
struct state_wait;
struct topics;

struct groups_options {
	const struct config *config; /* group.*, offsets.*; until groups_set_config */
	const struct clock *clock;
	struct state_log *log;
	/* `request`'s response is whole: it may go home.  Once a request, now or later. */
	void (*answer)(void *context, struct control_request *request);
	/* `ask` may go home, likewise. */
	void (*share_answer)(void *context, struct share_ask *ask);
	void *context;
};

int groups_new(struct groups **ret, const struct groups_options *options); /* -ENOMEM */
void groups_free(struct groups *groups); /* after groups_stop and its answers; null is fine */

/* A request of an API described as on=coordinator; it belongs to the groups until answered. */
void groups_handle(struct groups *groups, struct control_request *request);
/* The owner of a partition asks for what a share group has done there, or tells it
 * (dataplane/share/share_ask.h); it belongs to the groups until answered. */
void groups_share(struct groups *groups, struct share_ask *ask);
/* The rows that a TxnOffsetCommit asked for, each with this error.  -ENOMEM. */
int txn_offset_commit_refuse(struct control_request *request, enum kafka_error error);
/* The transaction of `producer_id` has ended: the offsets that it gave to groups of `partition` of
 * __consumer_offsets become committed, or go.  `wait` runs when that is durable, maybe at once;
 * there may be none.  -ERR_LOADING: not now, `wait` will not run; -ENOMEM: likewise. */
int groups_end_transaction(struct groups *groups, int32_t partition, int64_t producer_id,
			   bool commit, struct state_wait *wait);
/* Where a group lives; -1: not before groups_set_partitions. */
int32_t groups_partition_of(const struct groups *groups, const struct kafka_string *group_id);
/* These settings hold from now on. */
void groups_set_config(struct groups *groups, const struct config *config);
/* The topics as they are from now on; used until the next call.  Offsets of topics that are gone
 * are forgotten; groups whose subscriptions they change are told. */
void groups_set_topics(struct groups *groups, const struct topics *topics);

/* ---- what is stored ---- */
/* Once, before anything is loaded: __consumer_offsets has (or will have) `count` partitions.  All
 * are `unknown`. */
int groups_set_partitions(struct groups *groups, int32_t count); /* -ENOMEM */
/* Forgets the partition's groups; parked requests of them are answered NOT_COORDINATOR. */
void groups_begin_load(struct groups *groups, int32_t partition);
/* Records in the order of their offsets.  -ENOMEM; -ERR_CORRUPT, -ERR_FORMAT: not a record of ours
 * (damaged, or of a newer version): `why` says which; the caller skips it and logs that. */
int groups_replay(struct groups *groups, int32_t partition, const struct record *record,
		  int64_t timestamp_ms, char *why, size_t why_bytes);
/* Sessions begin; the offsets of topics that went meanwhile are forgotten, which appends. */
void groups_end_load(struct groups *groups, int32_t partition);
/* Appends everything the partition's groups are as new records, so that what lies before can be
 * deleted.  -ENOMEM: some are missing, delete nothing. */
int groups_rewrite(struct groups *groups, int32_t partition);
/* Records that a rewrite would append, about. */
size_t groups_live_records(const struct groups *groups, int32_t partition);

/* ---- time ---- */
/* Runs what is due; returns when to call again, on the monotonic clock at the latest. */
uint64_t groups_turn(struct groups *groups);
/* The end: parked requests, and all that come from now on, are answered
 * COORDINATOR_NOT_AVAILABLE. */
void groups_stop(struct groups *groups);
