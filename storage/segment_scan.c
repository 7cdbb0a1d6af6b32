/* Behind damage batches go on
 *
 *     where the damaged one itself says that it ends, or those damaged behind it do;
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

enum { OFFSET_UNKNOWN = -1 };

/* Framing alone: can it be the one that comes next? */
static bool may_follow(const struct segment_scan *scan, struct place at, const struct batch *batch)
{
	return scan->gaps ? batch->base_offset >= at.offset : batch->base_offset == at.offset;
}

static bool header_at(struct segment_scan *scan, uint64_t position, struct batch *ret)
{
	const uint8_t *data = file_window_at(&scan->file, position, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(ret, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	return (rc == 0 || rc == -EMSGSIZE) && ret->last_offset_delta >= 0 &&
	       ret->base_offset <= INT64_MAX - INT32_MAX - 1;
}

static bool has_known_epoch(const struct segment_scan *scan, const struct batch *batch)
{
	return batch->base_offset >= scan->epochs_end ||
	       epoch_fits(scan->epochs, scan->epoch_count, batch->base_offset, batch->leader_epoch);
}

/* By framing and checksum, wherever it says that it belongs. */
static bool is_whole(struct segment_scan *scan, uint64_t position, const struct batch *batch)
{
	if (batch->last_offset_delta >= scan->limit - batch->base_offset ||
	    !has_known_epoch(scan, batch))
		return false;
	const uint8_t *data = file_window_at(&scan->file, position, batch->size);
	return data && batch_crc_valid(batch, data);
}

bool scan_batch(struct segment_scan *scan, struct place at, struct batch *ret)
{
	return header_at(scan, at.position, ret) && may_follow(scan, at, ret) &&
	       is_whole(scan, at.position, ret);
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

/* A whole one is followed by another, or by a place that is known. */
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

/* What is tried as a batch. */
static bool may_try(struct segment_scan *scan, size_t bytes)
{
	if (bytes > scan->budget)
		return false;
	scan->budget -= bytes;
	return true;
}

/* Where a damaged batch says that it ends. */
struct said {
	struct place end;       /* by its length and its last offset */
	int64_t counted_offset; /* by the number of its records, where none are left out */
};

static bool said_end(struct segment_scan *scan, struct place at, uint64_t end, struct said *ret)
{
	const uint8_t *data = file_window_at(&scan->file, at.position, BATCH_HEADER_BYTES);
	struct batch said;
	int64_t first = at.offset;

	if (!data || at.position > end || !may_try(scan, BATCH_HEADER_BYTES))
		return false;
	batch_decode(&said, data);
	if (said.size < BATCH_HEADER_BYTES || said.size > end - at.position)
		return false;
	if (scan->gaps && said.base_offset > first && said.base_offset < scan->limit)
		first = said.base_offset;
	bool told = said.last_offset_delta >= 0 && first != OFFSET_UNKNOWN;
	bool counted = said.record_count > 0 && first != OFFSET_UNKNOWN;
	ret->end = (struct place){at.position + said.size,
				  told ? first + said.last_offset_delta + 1 : OFFSET_UNKNOWN};
	ret->counted_offset = counted ? first + said.record_count : OFFSET_UNKNOWN;
	return true;
}

/* By one that may be damaged too. */
static bool is_followed(struct segment_scan *scan, struct place at)
{
	struct batch batch;

	return header_at(scan, at.position, &batch) && may_follow(scan, at, &batch);
}

/* By one that is damaged, but says how far it goes: a whole one goes on just there. */
static bool is_followed_behind_damage(struct segment_scan *scan, struct place at, uint64_t end,
				      const struct place *anchor)
{
	struct batch batch;
	struct said said;

	return said_end(scan, at, end, &said) && said.end.offset != OFFSET_UNKNOWN &&
	       (is_anchor(scan, said.end, anchor) || scan_batch(scan, said.end, &batch));
}

/* The batch there is whole, and is where it belongs: its offset, which lies under no checksum, is
 * the one that was to come, by one field or the other, or those of what follows go on from it. */
static bool belongs(struct segment_scan *scan, const struct said *said, int64_t above, uint64_t end,
		    const struct place *anchor, struct place *ret)
{
	const struct place at = said->end;
	struct batch batch;

	if (!header_at(scan, at.position, &batch) || batch.base_offset <= above ||
	    !may_try(scan, batch.size) || !is_whole(scan, at.position, &batch))
		return false;
	*ret = (struct place){at.position, batch.base_offset};
	const struct place behind = place_behind(at, &batch);
	return (at.offset != OFFSET_UNKNOWN && may_follow(scan, at, &batch)) ||
	       batch.base_offset == said->counted_offset || is_followed(scan, behind) ||
	       goes_on(scan, *ret, anchor) || is_followed_behind_damage(scan, behind, end, anchor);
}

/* It says itself where it ends, as do those behind it that are damaged too.  One whole batch just
 * there is believed: no record of theirs reaches so far. */
static bool step_over(struct segment_scan *scan, struct place at, const struct place *anchor,
		      struct place *ret)
{
	const uint64_t end = anchor ? anchor->position : scan->file.file_bytes;
	const int64_t above = at.offset;
	struct said said;

	for (; said_end(scan, at, end, &said); at = said.end) {
		if (anchor && said.end.position == anchor->position) {
			*ret = *anchor;
			return true;
		}
		if (belongs(scan, &said, above, end, anchor, ret))
			return true;
	}
	return false;
}

/* A whole one is followed by some that are damaged, and then by another. */
static bool goes_on_behind_damage(struct segment_scan *scan, struct place at,
				  const struct place *anchor)
{
	struct batch batch;
	struct place next;

	return scan_batch(scan, at, &batch) &&
	       step_over(scan, place_behind(at, &batch), anchor, &next);
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
		if (!may_try(scan, batch.size))
			return false;
		*ret = (struct place){position, batch.base_offset};
		if (goes_on(scan, *ret, anchor) || goes_on_behind_damage(scan, *ret, anchor))
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
