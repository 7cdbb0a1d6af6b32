/* control/groups/groups_internal.h: what the files of this folder share. */
#pragma once
#include <stdbool.h>

#include "base/arena.h"
#include "base/map64.h"
#include "base/timer_wheel.h"
#include "control/groups/group.h"
#include "control/state_log.h"
#include "control/groups/groups.h"
#include "dataplane/shard.h"
#include "kafka_messages.h"

enum group_partition_phase {
	GROUP_PARTITION_UNKNOWN,
	GROUP_PARTITION_LOADING,
	GROUP_PARTITION_LOADED
};

/* One partition of __consumer_offsets and the groups that it stores. */
struct group_partition {
	enum group_partition_phase phase;
	struct list groups; /* struct group.link, in order of their making */
};

struct groups {
	struct groups_options options;
	const struct topics *topics; /* null before the first */
	struct timer_wheel wheel;
	struct wheel_timer expiry; /* of offsets; offset_expiry.c */
	bool expiry_unfinished;    /* some are due and still there */
	struct arena scratch;      /* of one record at a time, as it is read or appended */
	struct group_partition *partitions;
	int32_t partition_count;
	struct group **table; /* by hash of the id */
	size_t table_size;
	uint64_t hash_seed; /* clients choose the ids */
	size_t count;
	struct map64 pending; /* producer id -> its first struct pending_offsets */
	size_t pending_count; /* offsets in them */
	bool stopping;
};

/* The wall clock's milliseconds, and the monotonic clock for the wheel. */
int64_t groups_wall_ms(const struct groups *groups);
uint64_t groups_now_ns(const struct groups *groups);
/* Null: no such topic, or none is known yet. */
const struct topic *groups_topic(const struct groups *groups, const struct kafka_string *name);

/* The answer leaves when all that was appended to `partition` so far is durable; where that fails
 * every error code in it becomes NOT_COORDINATOR, or what the API has for it.  `request` is not the
 * caller's any more. */
void groups_answer(struct groups *groups, int32_t partition, struct control_request *request);
/* The same for all partitions that are loaded. */
void groups_answer_all(struct groups *groups, struct control_request *request);
/* The same for those of `count` groups, whose ids lie `stride` bytes apart. */
void groups_answer_ids(struct groups *groups, const struct kafka_string *ids, size_t stride,
		       int32_t count, struct control_request *request);
/* A copy for an answer, as the group may be gone before that is sent; null stays null.  -ENOMEM. */
int groups_copy_text(struct arena *arena, const struct kafka_string *text,
		     struct kafka_string *ret);
/* Fills the response with this error for all that was asked and answers at once. */
void groups_refuse(struct groups *groups, struct control_request *request, enum kafka_error error);
void refusal_fill(struct control_request *request, enum kafka_error error);
/* NONE: the partition of the group is loaded.  Else what a request for it is answered. */
enum kafka_error groups_ready(const struct groups *groups, const struct kafka_string *id);

/* Appends a record of `group`, of now; a null value is a tombstone.  -ENOMEM: nothing happened. */
int groups_append(const struct group *group, enum kafka_record_type type, const void *key,
		  const void *value);

/* One handler an API; `groups->partitions[group partition]` is loaded when it runs, for those that
 * name one group.  A handler answers now or parks the request. */
void classic_join(struct groups *groups, struct control_request *request);
void classic_sync(struct groups *groups, struct control_request *request);
void classic_heartbeat(struct groups *groups, struct control_request *request);
void classic_leave(struct groups *groups, struct control_request *request);
void offset_commit(struct groups *groups, struct control_request *request);
void txn_offset_commit(struct groups *groups, struct control_request *request);
void offset_fetch(struct groups *groups, struct control_request *request);
void offset_delete(struct groups *groups, struct control_request *request);
void groups_list(struct groups *groups, struct control_request *request);
void groups_describe(struct groups *groups, struct control_request *request);
void groups_delete(struct groups *groups, struct control_request *request);
void consumer_heartbeat(struct groups *groups, struct control_request *request);
void consumer_describe(struct groups *groups, struct control_request *request);
void share_heartbeat(struct groups *groups, struct control_request *request);
void share_describe(struct groups *groups, struct control_request *request);

/* Replay of the kinds' own records: the key's type and the decoded key and value (null: tombstone);
 * see group_records.h.  -ENOMEM, -ERR_CORRUPT. */
struct group_record;
int classic_replay(struct groups *groups, const struct group_record *record);
int consumer_replay(struct groups *groups, const struct group_record *record);
int share_replay(struct groups *groups, const struct group_record *record);

/* ---- replay.c: what the kinds' replays have in common ---- */
/* No group lives as long; beyond, the next epoch could not be told from an earlier one. */
enum { EPOCH_STORED_MAX = 1 << 30 };
bool replay_epoch_sound(int32_t epoch);
/* The group of a record, which becomes one of `kind` by `begin`.  `make` false, as of a tombstone:
 * it makes nothing, and *ret is null where there is no group of this kind.  -ENOMEM. */
int replay_find_group(struct groups *groups, const struct kafka_string *id, bool make,
		      const struct group_kind *kind, int (*begin)(struct group *group),
		      struct group **ret);
/* Of committed and of pending offsets. */
int offsets_replay(struct groups *groups, const struct group_record *record);

/* The rows that a request asked for, each with this error.  -ENOMEM. */
int offset_commit_refuse(struct control_request *request, enum kafka_error error);
int offset_fetch_refuse(struct control_request *request, enum kafka_error error);

/* offset_records.c: a group's offsets as they are stored; `offsets` are the group's committed ones
 * or some of its pending ones. */
/* offsets_exchange, and the record.  -ENOMEM: nothing changed. */
int offsets_put(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		const struct uuid *id, int32_t partition, struct committed_offset *committed);
/* The offset and its record.  -ENOMEM: it is still there. */
int offsets_forget(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		   int32_t partition);
/* All of the group, committed and pending: tombstones for them; their records anew.  -ENOMEM: of
 * some. */
int offsets_erase(struct group *group);
int offsets_rewrite(const struct group *group);

/* offset_expiry.c */
void offset_expiry_start(struct groups *groups);
/* Forgets the offsets of topics that are not there any more; where memory runs out, later. */
void offsets_follow_topics(struct group *group);
/* They are to be forgotten.  False as long as no topics are known. */
struct offset_topic;
bool offsets_gone(const struct groups *groups, const struct offset_topic *committed);

/* DescribeGroups asks the kind for what only it knows (classic.c). */
struct kafka_describe_groups_response_described_group;
int classic_describe(const struct group *group, struct arena *arena,
		     struct kafka_describe_groups_response_described_group *ret);
