/* dataplane/shard_dedup.h: how another thread of the mesh learns what dedup windows hold. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "dataplane/message.h"
#include "storage/dedup.h"

/* A topic's partitions of one shard, together. */
struct shard_dedup_topic {
	uint32_t number;         /* in: struct topic's */
	int32_t partition_count; /* in: of the whole topic */
	uint32_t partitions;     /* out: of these, the shard's */
	struct dedup_status all; /* out: sums; covered_ms is the least, meaningless without any */
};

/* Sent to a shard with message.handle = shard_dedup_handle, which fills what is "out" and sends it
 * back with handle = done. */
struct shard_dedup {
	struct message message;
	void (*done)(struct message *message, void *receiver); /* in */
	unsigned sender;                                       /* in: of the mesh */
	size_t count;                                          /* in */
	struct shard_dedup_topic *topics;                      /* in */
};
void shard_dedup_handle(struct message *message, void *shard);

/* Adds what is in `from`, likewise. */
void shard_dedup_add(struct shard_dedup_topic *topic, const struct dedup_status *from,
		     uint32_t partitions);
