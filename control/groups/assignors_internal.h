/* control/groups/assignors_internal.h: what the assignors share: all partitions in one row. */
#pragma once
#include "control/groups/assignors.h"

enum { NO_MEMBER = -1 };

/* Partition p of topic t is number first[t] + p. */
struct partition_row {
	const struct assignment *assignment;
	size_t *first;   /* of each topic, and behind the last */
	int32_t *owners; /* index of a member, or NO_MEMBER */
	size_t *loads;   /* partitions of each member */
};

int partition_row_init(struct partition_row *row, const struct assignment *assignment,
		       struct arena *arena); /* -ENOMEM */
void partition_row_give(struct partition_row *row, size_t number, int32_t member);
/* Where a partition stands, if the topic is one of the assignment's and is that large. */
bool partition_row_find(const struct partition_row *row, const struct topic_partition *partition,
			size_t *ret_topic, size_t *ret_number);
bool assignor_member_subscribed(const struct assignor_member *member, size_t topic);
/* Sets `assigned` of every member. */
int partition_row_finish(const struct partition_row *row, struct assignment *assignment,
			 struct arena *arena); /* -ENOMEM */

/* Who subscribes to a topic. */
struct audience {
	size_t topic;
	int32_t partition_count;
	uint32_t *members; /* ascending */
	size_t count;
};
/* One a topic, in order of the topics.  Null: out of memory. */
struct audience *find_audiences(const struct assignment *assignment, struct arena *arena);

int assign_uniform(struct assignment *assignment, struct arena *arena);
int assign_range(struct assignment *assignment, struct arena *arena);
