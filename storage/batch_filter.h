/* storage/batch_filter.h: a batch without some of its records.
 *
 * What stays keeps its bytes, its offset and its place in the producer's sequence: the batch covers
 * the same offsets as before, with gaps. Compressed records come out compressed with the same
 * codec. Count, length, largest timestamp and checksum are made to fit. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

struct batch_filter; /* contexts and buffers, reused; one a thread */
struct record;

int batch_filter_new(struct batch_filter **ret);     /* -ENOMEM */
void batch_filter_free(struct batch_filter *filter); /* null is fine */

/* Asks `keep` of each record, in order.  Returns how many stay.  All: *ret_data is `data`.  None:
 * nothing is made.  Else *ret_data has *ret_batch, the filter's until its next run.  `batch` is
 * what batch_validate made of `data`, which it found good.  -ERR_TOO_LARGE: it decompresses to more
 * than `decompressed_bytes_max`; -ERR_CORRUPT, -ERR_INVALID_RECORD: it was not good; -ENOMEM. */
int batch_filter_run(struct batch_filter *filter, const void *data, const struct batch *batch,
		     size_t decompressed_bytes_max,
		     bool (*keep)(void *context, const struct record *record), void *context,
		     const void **ret_data, struct batch *ret_batch);
/* Likewise, with all of its records: compaction has seen its tombstones, or its marker, and they
 * may go from `horizon_ms` on (KIP-534).  The base timestamp says so, and the records' deltas are
 * made anew; a marker's stays. */
int batch_filter_set_horizon(struct batch_filter *filter, const void *data,
			     const struct batch *batch, size_t decompressed_bytes_max,
			     int64_t horizon_ms, const void **ret_data, struct batch *ret_batch);
/* *ret_data has *ret_batch, the filter's until its next run: `batch` without any of its records, as
 * compaction leaves it behind so that the producer's sequence stays in the log.  It has no largest
 * timestamp. */
int batch_filter_empty(struct batch_filter *filter, const void *data, const struct batch *batch,
		       const void **ret_data, struct batch *ret_batch);
