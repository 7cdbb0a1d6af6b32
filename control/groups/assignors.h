/* control/groups/assignors.h: which member of a consumer group is to read which partition.
 *
 * Pure: the same input gives the same answer.  Every partition of a subscribed topic goes to one
 * member that subscribes to it; partitions of topics that nobody subscribes to go to none.
 *   uniform  as many partitions each as the subscriptions allow, and as few moved as that allows
 *   range    of each topic a contiguous range each; topics of one size that the same members read
 *            are cut at the same places, so that who joins them has both sides */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "control/groups/consumer_partitions.h"
#include "dataplane/kafka/wire.h"

struct arena;

struct assignor_topic {
	struct uuid id;
	int32_t partition_count;
};

struct assignor_member {
	/* range: static members by instance id come before others by member id. */
	struct kafka_string instance_id; /* null: none */
	struct kafka_string id;
	const uint32_t *topics; /* subscribed, indices of assignment.topics, ascending */
	size_t topic_count;
	/* The target so far; may hold partitions that are gone or no longer subscribed. */
	struct partition_set current;
	struct partition_set assigned; /* what assign finds; of the arena */
};

struct assignment {
	const struct assignor_topic *topics; /* ascending by id */
	size_t topic_count;
	struct assignor_member *members;
	size_t member_count;
};

struct assignor {
	const char *name;
	int (*assign)(struct assignment *assignment, struct arena *arena); /* -ENOMEM */
};

enum { ASSIGNOR_COUNT = 2 };
extern const struct assignor assignors[ASSIGNOR_COUNT]; /* the default first */
/* Null when there is none of that name. */
const struct assignor *assignor_find(const struct kafka_string *name);
/* "uniform, range", for error messages. */
extern const char assignor_names[];
