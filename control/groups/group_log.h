/* control/groups/group_log.h: what the groups need of __consumer_offsets, and no more.
 *
 * The groups change their state in memory and append the records that say so; an answer leaves when
 * everything that the state it was drawn from rests on is durable.  Where an append fails nobody
 * guesses: the partition's groups are forgotten and read again from its log (groups_begin_load),
 * and who waited is told to ask again.
 *
 * The broker's implementation is control/coordinator_log.c, over messages to the shards; tests have
 * one in memory.  Thread: the coordinator's. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct group_log;

/* A wait for what a partition has been given so far; embedded in what waits. */
struct group_wait {
	struct list link; /* the log's */
	/* 0: all of it is durable; negative: it never will be, the partition is loaded anew once
	 * all its waits have been told.  Runs once, maybe from inside `after`; may append. */
	void (*done)(struct group_wait *wait, int rc);
};

struct group_log_ops {
	/* One record of `partition`, copied; a null value is a tombstone.  What is appended within
	 * one call of groups_handle, groups_turn, groups_set_topics or groups_end_load is stored
	 * whole or not at all.  -ENOMEM: nothing was appended. */
	int (*append)(struct group_log *log, int32_t partition, const void *key, size_t key_size,
		      const void *value, size_t value_size, int64_t timestamp_ms);
	void (*after)(struct group_log *log, int32_t partition, struct group_wait *wait);
};

struct group_log {
	const struct group_log_ops *ops;
};
