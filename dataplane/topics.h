/* dataplane/topics.h: the immutable picture of all topics that the control plane publishes.
 *
 * Built by the control plane, read by every shard without locks; freed by the control plane after
 * every shard has answered a later one.  A shard may keep pointers into it only within one loop
 * turn. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "storage/log.h"

enum { TOPIC_NAME_MAX = 249 };
#define OFFSETS_TOPIC "__consumer_offsets"
#define TRANSACTIONS_TOPIC "__transaction_state"

struct topic_config {
	struct log_config log;
	uint32_t max_message_bytes;
	int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
	int64_t timestamp_after_max_ms;
	bool log_append_time; /* message.timestamp.type */
	bool compacted;       /* cleanup.policy has compact */
};

struct topic {
	char name[TOPIC_NAME_MAX + 1];
	struct uuid id;
	uint32_t number; /* unique in this run of the broker */
	int32_t partition_count;
	bool internal;
	struct topic_config config;
};

/* What a share group may have set for itself (Kafka's group configs of the same names). */
struct share_settings {
	bool from_earliest; /* share.auto.offset.reset */
	int32_t session_timeout_ms;
	int32_t heartbeat_interval_ms;
	int32_t record_lock_duration_ms;
};

struct share_group_settings {
	const char *group; /* the id, not NUL-terminated */
	size_t group_length;
	struct share_settings settings;
};

/* Of the broker, for all share groups. */
struct share_rules {
	struct share_settings settings; /* of a group that has set none */
	uint16_t deliveries_max;
	uint32_t records_max;
};

struct topics {
	uint64_t version;
	int32_t node_id;
	int32_t leader_epoch; /* of every partition, this run */
	char cluster_id[UUID_TEXT_BYTES];
	char host[256]; /* advertised */
	uint16_t port;
	uint16_t datagram_port; /* of shard 0, the next shard's is the next; 0: not served */
	uint16_t shard_count;
	bool auto_create;
	int32_t default_partitions;
	struct share_rules share;
	size_t share_group_count;
	const struct share_group_settings *share_groups; /* ascending by id (memcmp, then length) */
	size_t count;
	const struct topic **by_name; /* sorted, strcmp order */
	const struct topic **by_id;   /* sorted, memcmp order */
};

/* Null when absent.  `name` need not end in NUL. */
const struct topic *topics_find(const struct topics *topics, const char *name, size_t length);
const struct topic *topics_find_id(const struct topics *topics, const struct uuid *id);
/* The group's own, or what holds for all. */
const struct share_settings *topics_share_settings(const struct topics *topics, const char *group,
						   size_t length);
/* 1..249 of [a-zA-Z0-9._-], not "." or "..". */
bool topic_name_legal(const char *name, size_t length);
/* Of a topic that the broker makes and keeps itself: clients may read it and no more. */
bool topic_name_internal(const char *name, size_t length);

/* The shard that owns a partition. */
static inline unsigned partition_shard(const struct topic *topic, int32_t partition,
				       unsigned shard_count)
{
	return (topic->number + (unsigned)partition) % shard_count;
}

/* Key of a partition in a shard's table. */
static inline uint64_t partition_key(uint32_t topic_number, int32_t partition)
{
	return (uint64_t)topic_number << 32 | (uint32_t)partition;
}
