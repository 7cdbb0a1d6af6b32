/* Behind damage batches go on
 *
 *     where the damaged one itself says that it ends, if only its records are damaged;
 *     or at the first byte where whole batches are found again, one behind the other;
 *     or at the next place that the index knows.
 *
 * What a record holds may look like a batch, even with the offset that comes next: so where they
 * are looked for, one alone is not believed, unless it ends where a place is known. */
#include "storage/segment_scan.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/store_internal.h"

#include <errno.h>

/* Framing alone: can it be the one that comes next? */
static bool may_follow(const struct segment_scan *scan, struct place at, const struct batch *batch)
{
	if (batch->last_offset_delta < 0 || batch->base_offset > INT64_MAX - INT32_MAX - 1)
		return false;
	return scan->gaps ? batch->base_offset >= at.offset : batch->base_offset == at.offset;
}

static bool header_at(struct segment_scan *scan, struct place at, struct batch *ret)
{
	const uint8_t *data = file_window_at(&scan->file, at.position, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(ret, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	return (rc == 0 || rc == -EMSGSIZE) && may_follow(scan, at, ret);
}

bool scan_batch(struct segment_scan *scan, struct place at, struct batch *ret)
{
	if (!header_at(scan, at, ret) || ret->last_offset_delta >= scan->limit - ret->base_offset)
		return false;
	const uint8_t *data = file_window_at(&scan->file, at.position, ret->size);
	return data && batch_crc_valid(ret, data);
}

struct place place_behind(struct place at, const struct batch *batch)
{
	return (struct place){at.position + batch->size,
			      batch->base_offset + batch->last_offset_delta + 1};
}

const struct damage *scan_known_damage(const struct segment_scan *scan, struct place at)
{
	const struct damage *damage = quarantine_at(scan->known, scan->base_offset, at.position);

	if (!damage || damage->from != at.offset || damage->end > scan->file.file_bytes ||
	    damage->to > scan->limit)
		return NULL;
	return damage;
}

bool scan_epoch_damaged(struct segment_scan *scan, struct place at, const struct batch *batch)
{
	struct batch next;

	return batch->leader_epoch > scan->epoch_max &&
	       !(scan_batch(scan, place_behind(at, batch), &next) &&
		 next.leader_epoch > scan->epoch_max);
}

/* The next place that the index knows. */
static bool next_anchor(const struct segment_scan *scan, struct place at, struct place *ret)
{
	if (scan->end.position <= at.position || scan->end.offset <= at.offset)
		return false;
	*ret = scan->end;
	for (size_t i = 0; i < scan->entry_count; i++) {
		const struct index_entry *entry = &scan->entries[i];
		if (entry->position > at.position && entry->offset > at.offset) {
			*ret = (struct place){entry->position, entry->offset};
			return true;
		}
	}
	return true;
}

static bool is_anchor(const struct segment_scan *scan, struct place at, const struct place *anchor)
{
	return anchor && at.position == anchor->position &&
	       (at.offset == anchor->offset || (scan->gaps && at.offset < anchor->offset));
}

/* Batches go on there: a whole one is followed by another, or by a place that is known. */
static bool goes_on(struct segment_scan *scan, struct place at, const struct place *anchor)
{
	struct batch batch;

	if (is_anchor(scan, at, anchor))
		return true;
	if (!scan_batch(scan, at, &batch))
		return false;
	at = place_behind(at, &batch);
	return is_anchor(scan, at, anchor) || at.offset == scan->limit ||
	       scan_batch(scan, at, &batch);
}

/* Only its records are damaged: it says itself where it ends.  One whole batch just there is
 * believed: no record of its own reaches so far. */
static bool step_over(struct segment_scan *scan, struct place at, const struct place *anchor,
		      struct place *ret)
{
	struct batch batch, next;

	if (!header_at(scan, at, &batch))
		return false;
	*ret = place_behind(at, &batch);
	bool at_anchor = is_anchor(scan, *ret, anchor);
	if (!at_anchor && !scan_batch(scan, *ret, &next))
		return false;
	/* Where offsets have gaps what is lost ends at one that can be read, or at the end. */
	ret->offset = at_anchor ? anchor->offset : next.base_offset;
	return true;
}

/* A first look, that most bytes do not stand. */
static bool may_begin(const uint8_t *data, int64_t above, int64_t below)
{
	int64_t offset = (int64_t)load_be64(data);

	return data[16] == 2 && offset > above && offset < below;
}

/* Byte by byte, up to `end`: what a record holds may look like a batch, so each that is tried costs
 * of the budget. */
static bool search(struct segment_scan *scan, struct place at, const struct place *anchor,
		   struct place *ret)
{
	uint64_t end = anchor ? anchor->position : scan->file.file_bytes;
	int64_t below = anchor ? anchor->offset : scan->limit;
	struct batch batch;

	for (uint64_t position = at.position + 1; position + BATCH_HEADER_BYTES <= end;
	     position++) {
		const uint8_t *data = file_window_at(&scan->file, position, BATCH_HEADER_BYTES);
		if (!data)
			return false;
		if (!may_begin(data, at.offset, below) ||
		    batch_parse(&batch, data, BATCH_HEADER_BYTES) == -ERR_CORRUPT ||
		    batch.size > end - position)
			continue;
		if (batch.size > scan->budget)
			return false;
		scan->budget -= batch.size;
		*ret = (struct place){position, batch.base_offset};
		if (goes_on(scan, *ret, anchor))
			return true;
	}
	return false;
}

bool scan_behind_damage(struct segment_scan *scan, struct place at, struct place *ret)
{
	const struct damage *known = scan_known_damage(scan, at);
	struct place anchor;
	const struct place *end = next_anchor(scan, at, &anchor) ? &anchor : NULL;

	if (known) {
		*ret = (struct place){known->end, known->to};
		return known->to != scan->limit;
	}
	if (step_over(scan, at, end, ret) || search(scan, at, end, ret))
		return true;
	*ret = anchor;
	return end && anchor.position <= scan->file.file_bytes;
}

struct damage scan_damage(const struct segment_scan *scan, struct place from, struct place to)
{
	bool bytes = to.position > from.position;
	bool unreadable = scan->file.unreadable_end > from.position;

	return (struct damage){
		.from = from.offset,
		.to = to.offset,
		.committed_from = from.offset,
		.segment = scan->base_offset,
		.start = bytes ? from.position : 0,
		.end = bytes ? to.position : 0,
		.kind = unreadable ? DAMAGE_UNREADABLE
			: bytes    ? DAMAGE_BATCH
				   : DAMAGE_MISSING,
	};
}
