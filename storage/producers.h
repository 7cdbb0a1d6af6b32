/* storage/producers.h: what a partition remembers of idempotent producers (KIP-98).
 *
 * For each producer id: its epoch and its last five batches, so that a batch sent again is
 * recognised and answered with the offset of the first, and one that skips a sequence is refused.
 * The state is a function of the log: applying the log's batches in order, from the beginning or
 * from a snapshot, gives it again.  It is bounded by count (who has been silent longest is
 * forgotten) and by age; of a forgotten producer any sequence is accepted, as Kafka does.
 *
 * Owner: the log's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map64.h"
#include "storage/batch.h"

enum { PRODUCER_BATCHES = 5 }; /* Kafka's clients have at most five in flight */

struct producer_batch {
	int64_t base_offset;
	int32_t first_sequence;
	int32_t last_sequence; /* below the first when it went beyond INT32_MAX */
};

struct producer {
	struct list link; /* producers.by_age */
	int64_t id;
	uint64_t
		seen_ns; /* monotonic: when its last batch was appended, or read again at a start */
	int16_t epoch;
	uint8_t batch_count;
	uint8_t newest; /* place of the last one in `batches`, a ring */
	struct producer_batch batches[PRODUCER_BATCHES];
};

struct producers {
	struct map64 by_id;
	struct list by_age;     /* longest silent first */
	size_t max;             /* 0: remembers nothing */
	struct producer *spare; /* made by producers_reserve */
	uint64_t evicted;       /* for want of room, since producers_init */
};

void producers_init(struct producers *producers, size_t max);
void producers_fini(struct producers *producers); /* a zeroed one is fine */
void producers_clear(struct producers *producers);
size_t producers_count(const struct producers *producers);
const struct producer *producers_find(const struct producers *producers, int64_t id); /* or null */

/* Whether a batch may be appended.  0: yes; 1: it has been before, *ret_base_offset is where;
 * -ERR_SEQUENCE, -ERR_PRODUCER_EPOCH: refused.  Changes nothing.  A batch without a producer id may
 * always be. */
int producers_check(const struct producers *producers, const struct batch *batch,
		    int64_t *ret_base_offset);
/* Makes producers_apply of `batch` unable to fail.  -ENOMEM. */
int producers_reserve(struct producers *producers, const struct batch *batch);
/* The batch has been appended at batch->base_offset.  What the log holds is taken as it is. */
void producers_apply(struct producers *producers, const struct batch *batch, uint64_t now_ns);
void producers_forget_oldest(struct producers *producers); /* there is one */
/* Forgets who has been silent since before `before_ns`; returns how many. */
size_t producers_expire(struct producers *producers, uint64_t before_ns);

/* ---- snapshots: producers_snapshot.c has the bytes ---- */
size_t producers_snapshot_size(const struct producers *producers);
/* The state as it is after every batch below `offset`; `out` has producers_snapshot_size bytes. */
void producers_snapshot_write(const struct producers *producers, int64_t offset, uint8_t *out);
/* Replaces the state; all were seen at `now_ns`, as no clock tells how long ago it was.
 * -ERR_CORRUPT, -ERR_FORMAT (a newer version), -ENOMEM: it is empty then. */
int producers_snapshot_read(struct producers *producers, const uint8_t *data, size_t size,
			    uint64_t now_ns, int64_t *ret_offset);
