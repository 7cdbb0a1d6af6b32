/* dataplane/shard_log.h: how another thread of the mesh keeps a topic of the broker's own, such as
 * __consumer_offsets: by messages to the shards that own its partitions.
 *
 * Each request embeds struct shard_log.  The sender fills what is marked "in", sends it to the
 * owner of the partition (partition_shard) with the `handle` below, and leaves it and what it
 * points to alone until it comes back: `done` runs on the sender's thread, what is marked "out" is
 * filled.  It always comes back, at the latest when the shard closes its logs.
 *
 * rc: 0; -ERR_UNKNOWN_PARTITION: the owner has no such partition (any more, or it could not be
 * opened); -ERR_STORAGE: its log has failed and is not verified yet; -ERR_CLOSING, -ENOMEM; others
 * below. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "dataplane/message.h"
#include "dataplane/partition_append.h"
#include "dataplane/topics.h"

struct shard_log {
	struct message message;
	void (*done)(struct message *message, void *receiver); /* in */
	unsigned sender;                                       /* in: of the mesh */
	uint32_t topic_number;                                 /* in */
	int32_t partition;                                     /* in */
	int rc;                                                /* out */
};

/* One record batch, acks=all.  Where a later batch rests on it, send that when this one is back:
 * a log that fails may be whole again before a batch on the way has come. */
struct shard_append {
	struct shard_log log;
	const void *data;               /* in: whole, valid, uncompressed */
	size_t size;                    /* in */
	int64_t base_offset;            /* out */
	struct partition_append append; /* the shard's */
};

/* -ERR_OFFSET_RANGE; -EMSGSIZE: the first batch needs room for `size`; -ENOBUFS: try later.
 * While the log has failed nothing is read, although what is durable could be: its tail may be
 * found whole when it is verified, and then belongs to it. */
struct shard_read {
	struct shard_log log;
	int64_t offset;         /* in: first wanted */
	void *data;             /* in */
	size_t capacity;        /* in */
	size_t size;            /* out: of whole batches, the first with `offset`; 0: none yet */
	int64_t start_offset;   /* out: of the log */
	int64_t high_watermark; /* out */
	struct log_read read;   /* the shard's */
	struct shard *shard;
};

/* DeleteRecords: what lies before `offset` goes.  -ERR_OFFSET_RANGE. */
struct shard_trim {
	struct shard_log log;
	int64_t offset;       /* in */
	int64_t start_offset; /* out: durable */
	struct log_trim trim; /* the shard's */
	struct shard *shard;
};

/* Positions of many partitions of one shard, at this moment. */
struct shard_watermark {
	uint32_t topic_number;
	int32_t partition;
	int rc; /* 0 or -ERR_UNKNOWN_PARTITION */
	int64_t start_offset;
	int64_t high_watermark;
};
struct shard_watermarks {
	struct shard_log log;
	struct shard_watermark *rows;
	size_t count;
};

/* log.message.handle of each. */
void shard_append_handle(struct message *message, void *shard);
void shard_read_handle(struct message *message, void *shard);
void shard_trim_handle(struct message *message, void *shard);
void shard_watermarks_handle(struct message *message, void *shard);
