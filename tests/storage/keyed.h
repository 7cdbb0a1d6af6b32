/* tests/storage/keyed.h: batches whose records have numbers for keys and values, and a log's
 * records by them: for compaction. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/storage/support.h"

enum { NO_KEY = -1, TOMBSTONE = -1 };

struct keyed {
	int64_t key;   /* or NO_KEY */
	int64_t value; /* or TOMBSTONE */
};

struct keyed_options {
	enum batch_codec codec;
	uint16_t attributes; /* besides the codec */
	int64_t first_ms;    /* of all of its records */
	int64_t producer_id; /* 0: none */
	int16_t epoch;
	int32_t base_sequence;
	size_t padding; /* bytes of a value besides the number */
};

/* On a simulated disk, with a compacted log that is open.  To be ended like any rig, its memory is
 * the caller's. */
struct rig *keyed_rig_new(uint64_t segment_bytes, int64_t delete_retention_ms, bool keeps_jobs);

struct made_batch make_keyed_batch(const struct keyed *records, unsigned count,
				   const struct keyed_options *options);

struct keyed_found {
	struct batch batch;
	int64_t offset;
	int64_t timestamp_ms;
	struct keyed record;
	bool marker; /* of a transaction: no record of a key; or a batch without records */
	bool empty;
};
/* Calls `each` for each record of the log from its start, or each batch that has none; checks on
 * the way that offsets rise and checksums are right. */
void rig_each_keyed(struct rig *rig, void (*each)(void *context, const struct keyed_found *found),
		    void *context);

/* One batch, waited for; returns its base offset. */
int64_t rig_append_keyed(struct rig *rig, const struct keyed *records, unsigned count,
			 const struct keyed_options *options);
void rig_append_marker(struct rig *rig, int64_t producer_id, int16_t epoch, bool commit);
