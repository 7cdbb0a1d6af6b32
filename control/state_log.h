/* control/state_log.h: what a state machine of the coordinator needs of the topic that is its
 * memory (the groups of __consumer_offsets, the transactions of __transaction_state), and no more.
 *
 * It changes its state in memory and appends the records that say so; an answer leaves when
 * everything that the state it was drawn from rests on is durable.  Where an append fails nobody
 * guesses: what the partition holds is forgotten and read again from its log (begin_load of
 * coordinator_log.h), and who waited is told to ask again.
 *
 * The broker's implementation is control/coordinator_log.c, over messages to the shards; tests have
 * one in memory.  Thread: the coordinator's. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct state_log;

/* A wait for what a partition has been given so far; embedded in what waits. */
struct state_wait {
	struct list link; /* the log's */
	/* 0: all of it is durable; negative: it never will be, the partition is loaded anew once
	 * all its waits have been told.  Runs once, maybe from inside `after`; may append. */
	void (*done)(struct state_wait *wait, int rc);
};

struct state_log_ops {
	/* One record of `partition`, copied; a null value is a tombstone.  What is appended within
	 * one call into the state machine (a request, a turn, the end of a load) is stored whole
	 * or not at all.  -ENOMEM: nothing was appended. */
	int (*append)(struct state_log *log, int32_t partition, const void *key, size_t key_size,
		      const void *value, size_t value_size, int64_t timestamp_ms);
	void (*after)(struct state_log *log, int32_t partition, struct state_wait *wait);
};

struct state_log {
	const struct state_log_ops *ops;
};
