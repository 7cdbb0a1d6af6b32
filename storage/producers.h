/* storage/producers.h: what a partition remembers of idempotent producers and of transactions
 * (KIP-98, KIP-890).
 *
 * For each producer id: its epoch and its last five batches, so that a batch sent again is
 * recognised and answered with the offset of the first, and one that skips a sequence is refused;
 * and the transaction that it has open.  A marker ends it; one of a newer epoch fences the batches
 * of the older, and sequences begin again.
 * The state is a function of the log: applying the log's batches in order, from the beginning or
 * from a snapshot, gives it again.  It is bounded by count (who has been silent longest is
 * forgotten) and by age; of a forgotten producer any sequence is accepted, as Kafka does.  Who has
 * a transaction open is not forgotten, though there be more of them than the limit.
 *
 * Owner: the log's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map64.h"
#include "storage/batch.h"
#include "storage/control_batch.h"
#include "storage/log_transactions.h"

enum { PRODUCER_BATCHES = 5 }; /* Kafka's clients have at most five in flight */

struct producer_batch {
	int64_t base_offset;
	int32_t first_sequence;
	int32_t last_sequence; /* below the first when it went beyond INT32_MAX */
};

struct producer {
	struct list link; /* producers.by_age or .open */
	int64_t id;
	uint64_t
		seen_ns; /* monotonic: when its last batch was appended, or read again at a start */
	int16_t epoch;
	uint8_t batch_count;
	uint8_t newest; /* place of the last one in `batches`, a ring */
	struct producer_batch batches[PRODUCER_BATCHES]; /* of this epoch */
	int32_t coordinator_epoch;                       /* of its last marker; -1: none */
	int64_t last_timestamp_ms;                       /* of its last batch; -1: not known */
	struct log_transaction *open;                    /* null: none */
};

struct producers {
	struct map64 by_id;
	struct list by_age;     /* without an open transaction; longest silent first */
	struct list open;       /* the others, by where it begins */
	size_t max;             /* 0: remembers who has a transaction open */
	struct producer *spare; /* made by producers_reserve */
	uint64_t evicted;       /* for want of room, since producers_init */
	struct log_transactions transactions;
};

void producers_init(struct producers *producers, size_t max);
void producers_fini(struct producers *producers); /* a zeroed one is fine */
void producers_clear(struct producers *producers);
/* `to` has what `from` had, and that nothing. */
void producers_move(struct producers *to, struct producers *from);
size_t producers_count(const struct producers *producers);
const struct producer *producers_find(const struct producers *producers, int64_t id); /* or null */

/* Whether a batch may be appended.  0: yes; 1: it has been before, *ret_base_offset is where, or it
 * is a marker, its epoch is known and nothing is open (-1 then).  Refused: -ERR_SEQUENCE,
 * -ERR_PRODUCER_EPOCH; -ERR_TXN_STATE: it would get into an open transaction that it is no part of,
 * being outside transactions or of a newer epoch.  Changes nothing.  A batch without a producer id
 * may always be appended. */
int producers_check(const struct producers *producers, const struct batch *batch,
		    int64_t *ret_base_offset);
/* Makes producers_apply of `batch` unable to fail.  -ENOMEM. */
int producers_reserve(struct producers *producers, const struct batch *batch);
/* The batch has been appended at batch->base_offset; `marker` is what it says if it is one, else
 * null.  What the log holds is taken as it is. */
void producers_apply(struct producers *producers, const struct batch *batch,
		     const struct control_marker *marker, uint64_t now_ns);
/* What the log had from `offset` on cannot be read.  Transactions that are open may have ended in
 * that, one way or the other: they are open no more.  Returns where the first of them begins,
 * `offset` if there is none.  Epochs and sequences stay: what has been stored is not stored again.
 */
int64_t producers_lose(struct producers *producers, int64_t offset);
/* Forgets the longest silent, but not `keep_id`; false: there is no such. */
bool producers_forget_oldest(struct producers *producers, int64_t keep_id);
/* Forgets who has been silent since before `before_ns`; returns how many. */
size_t producers_expire(struct producers *producers, uint64_t before_ns);

/* ---- snapshots: producers_snapshot.c has the bytes ---- */
size_t producers_snapshot_size(const struct producers *producers);
/* The state as it is after every batch below `offset`; `out` has producers_snapshot_size bytes. */
void producers_snapshot_write(const struct producers *producers, int64_t offset, uint8_t *out);
/* Replaces the state; all were seen at `now_ns`, as no clock tells how long ago it was, and what
 * has ended is durable.  -ERR_CORRUPT, -ERR_FORMAT (a newer version), -ENOMEM: it is empty then. */
int producers_snapshot_read(struct producers *producers, const uint8_t *data, size_t size,
			    uint64_t now_ns, int64_t *ret_offset);
