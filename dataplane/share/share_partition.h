/* dataplane/share/share_partition.h: which records of one partition a share group has given to
 * whom (KIP-932).
 *
 * A window of offsets, each with its state:
 *
 *         done ........ |  start          window           | end ......... the log goes on
 *                       | acq | ack | avail | acq | arch | |
 *
 *     available    to be given, again or for the first time
 *     acquired     given to a holder, locked until a deadline
 *     acknowledged processed, or no record is at this offset
 *     archived     rejected, delivered too often, or deleted
 *
 * `start` moves over what is acknowledged and archived; nothing below it is delivered again.  The
 * window holds at most `records_max` offsets, so a holder that stalls bounds what others run ahead.
 * A holder is a number of the caller's (a member's share session).
 *
 * A state machine without I/O or clock.  Owner: the shard of the partition. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share_partition;

struct share_limits {
	uint32_t records_max;    /* group.share.partition.max.record.locks */
	uint16_t deliveries_max; /* group.share.delivery.count.limit */
	uint64_t lock_ns;        /* group.share.record.lock.duration.ms */
};

enum share_state { /* Kafka's numbers, as they are stored */
		   SHARE_AVAILABLE = 0,
		   SHARE_ACQUIRED = 1,
		   SHARE_ACKNOWLEDGED = 2,
		   SHARE_ARCHIVED = 4,
};

enum share_acknowledge_type { /* Kafka's AcknowledgeType */
			      SHARE_GAP = 0,
			      SHARE_ACCEPT = 1,
			      SHARE_RELEASE = 2,
			      SHARE_REJECT = 3,
};

/* Offsets first to last in one state. */
struct share_run {
	int64_t first;
	int64_t last;
	uint8_t state; /* enum share_state */
	uint16_t deliveries;
};

int share_partition_new(struct share_partition **ret, const struct share_limits *limits,
			int64_t start);                       /* -ENOMEM */
void share_partition_free(struct share_partition *partition); /* null is fine */

/* What was stored: runs ascending from `start` on, without acquired ones.  -ERR_CORRUPT: they
 * overlap, lie below the start or beyond the limit; -ENOMEM. */
int share_load(struct share_partition *partition, int64_t start, const struct share_run *runs,
	       size_t count);
/* What is to be stored; acquired records count as available.  At most `capacity` runs are written,
 * the number of all is returned. */
size_t share_store(const struct share_partition *partition, struct share_run *out, size_t capacity);

int64_t share_start(const struct share_partition *partition);
int64_t share_end(const struct share_partition *partition);
/* The first offset that a fetch can get: available, or the end; -1: the window is full. */
int64_t share_next(const struct share_partition *partition);

/* Gives `holder` what is available of first to last, at most `records`; first is not above the end.
 * Runs of what was given, state acquired, go to `out`; returns how many.  Stops where `capacity` or
 * the window's limit is reached.  -ENOMEM. */
int share_acquire(struct share_partition *partition, uint32_t holder, int64_t first, int64_t last,
		  uint32_t records, uint64_t now_ns, struct share_run *out, size_t capacity);
/* The offsets from first to last were given to `holder` and it has done with them what `types`
 * says, one for each or, where `type_count` is 1, one for all.  All or nothing:
 * -ERR_RECORD_STATE: not all of them are its; -ERR_BAD_REQUEST: types or bounds make no sense. */
int share_acknowledge(struct share_partition *partition, uint32_t holder, int64_t first,
		      int64_t last, const uint8_t *types, size_t type_count);
/* The holder is gone: what it had is available again.  How many records. */
uint32_t share_release(struct share_partition *partition, uint32_t holder);
/* Locks that ended at `now_ns` or before: available again.  How many records. */
uint32_t share_expire(struct share_partition *partition, uint64_t now_ns);
uint64_t share_next_deadline(const struct share_partition *partition); /* UINT64_MAX: none */
/* The log begins at `log_start`: what lies before is archived. */
void share_trim(struct share_partition *partition, int64_t log_start);
/* Records that were archived because they had been delivered too often, since the start. */
uint64_t share_dead_lettered(const struct share_partition *partition);
