/* storage/dedup_table.h: the message ids of a dedup window, in memory.
 *
 * From an id's 128-bit fingerprint to the offset of the record that had it first. Ids belong to
 * *buckets*, which follow one another in time; the oldest bucket is dropped as a whole, in constant
 * time, and its places are used again bit by bit.
 *
 *     groups of 16 places:   | tags 16 | buckets 16 | offsets 16 x 6 | fingerprints 16 x 16 |
 *
 * A tag is 7 bits of the fingerprint, so that a look at one cache line (by SSE2, 16 tags at once)
 * answers nearly every probe for an id that is not there.  A full table moves to one of 7/5 the
 * size, some groups with every insertion, so no single one takes long.  24 bytes a place; 7 of 8
 * are used at most and 5 of 8 at least, but for small tables.
 *
 * Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dedup_id {
	uint64_t low;
	uint64_t high;
};

enum {
	DEDUP_BUCKETS_MAX = 64, /* that are not dropped */
	DEDUP_OFFSET_BITS = 48,
};

struct dedup_group;

struct dedup_groups {
	struct dedup_group *at; /* null: none */
	size_t count;
	size_t used; /* places that are not empty, dropped ones included */
};

struct dedup_table {
	struct dedup_id secret; /* where an id lies is not for clients to choose */
	struct dedup_groups groups;
	struct dedup_groups old; /* on its way into `groups` */
	size_t moved;            /* groups of `old` that have been moved */
	size_t swept;            /* next group to clear of dropped ids */
	size_t count;            /* ids in buckets that are not dropped */
	uint8_t oldest, newest;  /* buckets, numbered round */
	uint32_t counts[256];    /* ids a bucket */
};

void dedup_table_init(struct dedup_table *table);
void dedup_table_fini(struct dedup_table *table); /* a zeroed one is fine */

/* The offset of the first record with this id, -1: none. */
int64_t dedup_table_find(const struct dedup_table *table, const struct dedup_id *id);
/* Starts to bring the id's group into the cache; a few of these before the calls above hide most of
 * what memory takes. */
void dedup_table_prefetch(const struct dedup_table *table, const struct dedup_id *id);
/* Makes the next `count` insertions unable to fail.  -ENOMEM. */
int dedup_table_reserve(struct dedup_table *table, size_t count);
/* Into the newest bucket; the id is not there.  0 <= offset < 2^48. */
void dedup_table_insert(struct dedup_table *table, const struct dedup_id *id, int64_t offset);
void dedup_table_remove(struct dedup_table *table, const struct dedup_id *id); /* it is there */

/* A table that is mostly empty moves to a smaller one, a part with each call.  True: there is more
 * to move. */
bool dedup_table_shrink(struct dedup_table *table);

/* Begins a new bucket.  There are fewer than DEDUP_BUCKETS_MAX. */
void dedup_table_begin_bucket(struct dedup_table *table);
/* Drops the oldest bucket, unless it is the newest too: that one is emptied.  How many ids. */
size_t dedup_table_drop_bucket(struct dedup_table *table);
unsigned dedup_table_buckets(const struct dedup_table *table);
/* Calls `each` for the ids of the oldest bucket, in no order. */
void dedup_table_each_oldest(const struct dedup_table *table,
			     void (*each)(void *context, const struct dedup_id *id, int64_t offset),
			     void *context);
size_t dedup_table_bytes(const struct dedup_table *table); /* of memory */
