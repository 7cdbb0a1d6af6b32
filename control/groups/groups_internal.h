/* control/groups/groups_internal.h: what the files of this folder share. */
#pragma once
#include <stdbool.h>

#include "base/timer_wheel.h"
#include "control/groups/group.h"
#include "control/groups/group_log.h"
#include "control/groups/groups.h"
#include "dataplane/shard.h"

enum group_partition_phase {
	GROUP_PARTITION_UNKNOWN,
	GROUP_PARTITION_LOADING,
	GROUP_PARTITION_LOADED
};

/* One partition of __consumer_offsets and the groups that it stores. */
struct group_partition {
	enum group_partition_phase phase;
	struct list groups; /* struct group.link */
};

struct groups {
	struct groups_options options;
	const struct topics *topics; /* null before the first */
	struct timer_wheel wheel;
	struct group_partition *partitions;
	int32_t partition_count;
	struct group **table; /* by hash of the id */
	size_t table_size;
	size_t count;
	bool stopping;
};

/* The answer leaves when all that was appended to `partition` so far is durable; where that fails
 * every error code in it becomes NOT_COORDINATOR, or what the API has for it.  `request` is not the
 * caller's any more. */
void groups_answer(struct groups *groups, int32_t partition, struct control_request *request);
/* Fills the response with this error for all that was asked and answers at once. */
void groups_refuse(struct groups *groups, struct control_request *request, enum kafka_error error);

/* One handler an API; `groups->partitions[group partition]` is loaded when it runs, for those that
 * name one group.  A handler answers now or parks the request. */
void classic_join(struct groups *groups, struct control_request *request);
void classic_sync(struct groups *groups, struct control_request *request);
void classic_heartbeat(struct groups *groups, struct control_request *request);
void classic_leave(struct groups *groups, struct control_request *request);
void offset_commit(struct groups *groups, struct control_request *request);
void offset_fetch(struct groups *groups, struct control_request *request);
void offset_delete(struct groups *groups, struct control_request *request);
void groups_list(struct groups *groups, struct control_request *request);
void groups_describe(struct groups *groups, struct control_request *request);
void groups_delete(struct groups *groups, struct control_request *request);
void consumer_heartbeat(struct groups *groups, struct control_request *request);
void consumer_describe(struct groups *groups, struct control_request *request);

/* Replay of the kinds' own records: the key's type and the decoded key and value (null: tombstone);
 * see group_records.h.  -ENOMEM, -ERR_CORRUPT. */
struct group_record;
int classic_replay(struct groups *groups, const struct group_record *record);
int consumer_replay(struct groups *groups, const struct group_record *record);

/* DescribeGroups asks the kind for what only it knows (classic.c). */
struct kafka_describe_groups_response_described_group;
int classic_describe(const struct group *group, struct arena *arena,
		     struct kafka_describe_groups_response_described_group *ret);
