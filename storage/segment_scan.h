/* storage/segment_scan.h: a segment's batches one after the other, and where they go on behind
 * damage.  It knows the file and what is told of it, and neither the log nor its memory: a start
 * uses it, and the scrub on another thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"
#include "storage/file_window.h"
#include "storage/quarantine.h"

struct epoch_start;
struct index_entry;

/* Where a batch begins, or the last one has ended. */
struct place {
	uint64_t position;
	int64_t offset; /* the one that comes next */
};

struct segment_scan {
	struct file_window file;
	int64_t base_offset; /* of the segment */
	int64_t limit;       /* every batch ends at or below; INT64_MAX: not known */
	int32_t epoch_max;   /* of this run: the log has none above */
	bool gaps;           /* offsets rise, but need not follow one another */
	/* What is known of leaders' epochs below `epochs_end`. */
	const struct epoch_start *epochs;
	size_t epoch_count;
	int64_t epochs_end;
	/* What an index knows: where some batches begin, and where what it speaks of ends. */
	const struct index_entry *entries;
	size_t entry_count;
	struct place end; /* position 0: there is no index */
	const struct quarantine *known;
	uint64_t budget; /* bytes that may be tried as batches, in the search behind damage */
};

/* The batch there when it is whole, valid, has an offset that may come next, and ends below the
 * limit.  False: there is none, or file.error is set. */
bool scan_batch(struct segment_scan *scan, struct place at, struct batch *ret);
/* The leader's epoch, which lies under no checksum, of this whole batch at `at` is damaged: it is
 * of a later run, and those behind are not.  Where they are it is the folder that is wrong. */
bool scan_epoch_damaged(struct segment_scan *scan, struct place at, const struct batch *batch);
struct place place_behind(struct place at, const struct batch *batch);
/* It has been quarantined before, from exactly there; or null. */
const struct damage *scan_known_damage(const struct segment_scan *scan, struct place at);
/* No batch is at `at`: the next place where there is one, or the end that is known.  False: nowhere
 * in this file. */
bool scan_behind_damage(struct segment_scan *scan, struct place at, struct place *ret);
/* What is lost then; `found_ms` is left. */
struct damage scan_damage(const struct segment_scan *scan, struct place from, struct place to);
