/* control/groups/pending_offsets.h: what open transactions have given to groups and is not valid
 * before they end.
 *
 * A transaction is known by its producer id, as one has one at a time.  Here is where things are;
 * offset_records.c stores them, txn_offset_commit.c has the requests and the end.  They are found
 * by producer, over all groups, and by group. */
#pragma once
#include <stdbool.h>

#include "control/groups/group.h"

/* Of one producer in one group. */
struct pending_offsets {
	struct list link;              /* group->pending */
	struct pending_offsets *chain; /* the producer's next, of another group */
	struct group *group;
	struct offsets offsets; /* at least one, but while that is being changed */
};

/* The producer's first; the others are its chain.  Null: none. */
struct pending_offsets *pending_offsets_of(const struct groups *groups, int64_t producer_id);
struct pending_offsets *pending_offsets_find(const struct group *group, int64_t producer_id);
/* Finds or makes them, without any.  Null: out of memory. */
struct pending_offsets *pending_offsets_obtain(struct group *group, int64_t producer_id);
/* From memory alone. */
void pending_offsets_free(struct pending_offsets *pending);
void pending_offsets_free_if_empty(struct pending_offsets *pending);
/* The order of the latest for this partition; 0: none is pending.  One of a topic that is gone does
 * not count. */
int64_t pending_offsets_latest(const struct group *group, const struct kafka_string *topic,
			       int32_t partition);
/* How many in a group, of all producers. */
size_t pending_offsets_count(const struct group *group);
