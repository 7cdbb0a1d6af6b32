/* dataplane/partition_append.h: a batch on its way into the log of a partition, on its owner shard.
 *
 * Where the log has no buffer free the append waits in its partition, and later ones of that
 * partition behind it, so order is kept. */
#pragma once
#include <stdint.h>

#include "dataplane/shard_internal.h"

struct partition_append {
	struct log_append log; /* base_offset: out */
	struct list blocked;   /* partition.blocked */
	struct partition *partition;
	const void *data;   /* in: lies still until `copied` or `done` */
	struct batch batch; /* in: of `data`, validated */
	enum log_ack ack;   /* in */
	bool duplicate;     /* out: it was stored before, log.base_offset says where */
	int64_t time_ms;    /* out: LogAppendTime; -1: the batch keeps its producer's */
	/* Optional, at most once, before `done`: the log has its copy of `data`.  Maybe from inside
	 * partition_append. */
	void (*copied)(struct partition_append *append);
	/* Once, maybe from inside partition_append: 0, or as log_append has it but for -ENOBUFS. */
	void (*done)(struct partition_append *append, int rc);
};

void partition_append(struct partition *partition, struct partition_append *append);
/* Once a turn: those that wait. */
void partition_append_blocked(struct shard *shard);
/* The partition is closing: those that wait are told -ERR_CLOSING. */
void partition_append_fail(struct partition *partition);
