/* dataplane/handlers/scatter.h: one request's work on many partitions, each on its own shard.
 *
 * The handler makes one entry a partition (in the request's arena, `struct scatter_entry` first in
 * its own struct), then scatter_start sends each shard its entries as one message.  `run` works on
 * an entry on the owner shard and ends it, now or later, with scatter_entry_done; when all entries
 * of all shards are done, `complete` runs back on the request's shard.  An entry that is decided
 * beforehand (unknown topic) is simply not added. */
#pragma once
#include "dataplane/message.h"
#include "dataplane/shard_internal.h"

struct scatter;
struct scatter_part;

struct scatter_entry {
	struct scatter_part *part;
	struct scatter_entry *next; /* in its part, in request order */
	uint64_t key;               /* partition_key */
	int rc;                     /* 0 or -errno/-ERR_*, for `complete` */
};

struct scatter_part {
	struct message message;
	struct scatter *scatter;
	unsigned owner;
	unsigned pending;
	struct scatter_entry *first;
	struct scatter_entry *last;
};

struct scatter {
	struct request *request;
	/* On the owner; `partition` is null when the owner does not know it (any more). */
	void (*run)(struct shard *shard, struct partition *partition, struct scatter_entry *entry);
	void (*complete)(struct request *request);
	unsigned parts_out;
	struct scatter_part parts[]; /* one a shard */
};

/* Null: the request's memory limit. */
struct scatter *scatter_new(struct request *request);
void scatter_add(struct scatter *scatter, struct scatter_entry *entry, const struct topic *topic,
		 int32_t partition);
/* With no entry at all `complete` runs at once. */
void scatter_start(struct scatter *scatter);
/* On the owner shard, once an entry. */
void scatter_entry_done(struct shard *shard, struct scatter_entry *entry, int rc);
