/* dataplane/share/share.h: a share group in one partition: which records its members have, kept
 * with the coordinator.
 *
 * Made when a member first asks, gone with the partition or when the coordinator disowns it.  Its
 * records are given out and taken back in memory (share_partition.h); what has been done with them
 * is durable before anybody is told so.  At most one message to the coordinator is under way; what
 * changes meanwhile goes with the next.
 *
 *     new -> opening -> open <-> (a write failed, the group is another) opening
 *
 * Owner: the shard of the partition. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/share/share_partition.h"

struct partition;
struct shard;
struct share;

/* Waits for an opening or a write; embedded, runs once, maybe from inside the call. */
struct share_wait {
	struct list link;
	void (*done)(struct share_wait *wait, int rc);
};

/* One-shot: runs when records are there to be given again, or the share is no longer open. */
struct share_watch {
	struct list link;
	void (*changed)(struct share_watch *watch);
};

/* `done` when what the coordinator has is in force: share_find then finds it open.
 * -ERR_UNKNOWN_PARTITION: no such share group, or the partition is gone; -ERR_NOT_OWNER: nobody
 * could say for a while, try again; -ENOMEM. */
void share_open(struct partition *partition, const struct kafka_string *group,
		struct share_wait *wait);
/* Null: not open (any more). */
struct share *share_find(const struct partition *partition, const struct kafka_string *group);

/* The first offset to read for a member; -1: nothing can be given now. */
int64_t share_readable(struct share *share);
/* As share_acquire, with locks from now on. */
int share_take(struct share *share, uint32_t holder, int64_t first, int64_t last, uint32_t records,
	       struct share_run *out, size_t capacity);
/* There are no records at these offsets: they are done, as far as nobody has them.  `holder` is who
 * found that. */
void share_skip(struct share *share, uint32_t holder, int64_t first, int64_t last);
/* As share_acknowledge; `wait` for what it means with share_when_durable. */
int share_settle(struct share *share, uint32_t holder, int64_t first, int64_t last,
		 const uint8_t *types, size_t type_count);
void share_when_durable(struct share *share, struct share_wait *wait);
/* What the holder still has is available again. */
void share_give_back(struct share *share, uint32_t holder);

void share_watch(struct share *share, struct share_watch *watch);
void share_unwatch(struct share_watch *watch); /* harmless when it is not watching */

/* The partition closes: all of its shares are gone, who waits is told -ERR_CLOSING. */
void share_drop_all(struct partition *partition);
