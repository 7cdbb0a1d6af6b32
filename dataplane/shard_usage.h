/* dataplane/shard_usage.h: how another thread of the mesh learns what partitions hold and took. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/message.h"

struct shard_usage_row {
	uint32_t topic_number; /* in */
	int32_t partition;     /* in */
	bool found;            /* out: the shard has it; else the rest is not set */
	int64_t start_offset;
	int64_t high_watermark;
	uint64_t bytes;           /* of its log */
	uint64_t appended_bytes;  /* of record batches, in this run of the broker */
	uint64_t fetched_bytes;   /* likewise: of those that readers were given */
	uint64_t fetched_records; /* in those */
};

enum { SHARD_USAGE_ROWS_MAX = 64 }; /* a shard stops for few microseconds */

/* Sent to a shard with message.handle = shard_usage_handle, which fills what is "out" and sends it
 * back with handle = done. */
struct shard_usage {
	struct message message;
	void (*done)(struct message *message, void *receiver); /* in */
	unsigned sender;                                       /* in: of the mesh */
	size_t count;                                          /* in: up to SHARD_USAGE_ROWS_MAX */
	struct shard_usage_row **rows;                         /* in */
};
void shard_usage_handle(struct message *message, void *shard);
