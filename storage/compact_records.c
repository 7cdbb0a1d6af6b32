/* What stays of a batch.  A pass goes over the log in order, so that it knows of each transaction
 * what it has left of it when it comes to the marker.
 *
 *     a record            goes when a later one has its key, when it has none, when its transaction
 *                         was aborted; as a tombstone, when its batch's horizon has passed
 *     a batch             goes with its last record, but what the log remembers of a producer stays
 *                         without records
 *     a marker            goes when nothing of its transaction is left and its horizon has passed
 *
 * A tombstone or marker gets its horizon from the first pass that sees it as it will stay:
 * delete.retention.ms later, so that who reads slowly still sees it.  A marker goes only when an
 * earlier pass, durably over, went beyond it: by then nobody remembers that its transaction was
 * aborted (log_transactions_trim), and no reader waits for its end. */
#include "storage/compact_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>

enum { DECOMPRESSED_MAX = 1 << 30 };

static int64_t last_offset(const struct batch *batch)
{
	return batch->base_offset + batch->last_offset_delta;
}

/* ---- producers and transactions ---- */

static int note(struct compaction *c, int64_t id, struct compact_producer **ret)
{
	struct compact_producer *producer = map64_get(&c->producers, (uint64_t)id);

	if (!producer) {
		producer = calloc(1, sizeof(*producer));
		if (!producer || map64_put(&c->producers, (uint64_t)id, producer) < 0) {
			free(producer);
			return -ENOMEM;
		}
		producer->id = id;
		producer->aborted_from = -1;
	}
	*ret = producer;
	return 0;
}

static void forget_all(struct compaction *c)
{
	size_t cursor = 0;
	struct compact_producer *producer;

	while ((producer = map64_next(&c->producers, &cursor)))
		free(producer);
	map64_fini(&c->producers);
	c->producers = (struct map64){0};
}

int compact_records_begin(struct compaction *c)
{
	struct compact_producer *producer;
	int rc = 0;

	forget_all(c);
	c->aborted_next = 0;
	for (size_t i = 0; rc == 0 && i < c->remembered_count; i++) {
		rc = note(c, c->remembered[i].id, &producer);
		if (rc == 0)
			*producer = c->remembered[i];
	}
	return rc;
}

void compact_records_end(struct compaction *c)
{
	forget_all(c);
}

/* The aborted transactions that begin at or before the batch. */
static int come_to(struct compaction *c, const struct batch *batch)
{
	while (c->aborted_next < c->aborted_count &&
	       c->aborted[c->aborted_next].first_offset <= batch->base_offset) {
		const struct aborted_transaction *aborted = &c->aborted[c->aborted_next++];
		struct compact_producer *producer;
		int rc = note(c, aborted->producer_id, &producer);
		if (rc < 0)
			return rc;
		producer->aborted_from = aborted->first_offset;
		producer->aborted_to = aborted->last_offset;
	}
	return 0;
}

static bool is_aborted(const struct compact_producer *producer, const struct batch *batch)
{
	return producer && (batch->attributes & BATCH_TRANSACTIONAL) &&
	       producer->aborted_from >= 0 && batch->base_offset >= producer->aborted_from &&
	       batch->base_offset < producer->aborted_to;
}

static bool is_remembered(const struct compact_producer *producer, const struct batch *batch)
{
	return producer && producer->remembered && producer->epoch == batch->producer_epoch &&
	       batch->base_offset >= producer->oldest_offset;
}

static struct compact_producer *producer_of(const struct compaction *c, const struct batch *batch)
{
	if (batch->producer_id < 0)
		return NULL;
	return map64_get(&c->producers, (uint64_t)batch->producer_id);
}

/* Its transaction is over. */
static void let_go(struct compaction *c, struct compact_producer *producer)
{
	producer->kept = false;
	if (producer->remembered)
		return;
	map64_remove(&c->producers, (uint64_t)producer->id);
	free(producer);
}

/* ---- the map ---- */

static int map_records(struct compaction *c, const void *records, size_t length,
		       const struct batch *batch)
{
	struct record_cursor cursor = record_cursor_over(records, length);
	struct record record;
	int rc;

	while ((rc = record_next(&cursor, &record)) > 0) {
		int64_t offset = batch->base_offset + record.offset_delta;
		if (offset < c->dirty_from || !record.key)
			continue;
		if (!compact_map_put(&c->map, record.key, record.key_length, offset)) {
			c->map_end = offset;
			return 1;
		}
	}
	return rc;
}

int compact_records_map(struct compaction *c, const void *data, const struct batch *batch)
{
	const void *records = (const uint8_t *)data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	int rc = come_to(c, batch);

	if (rc < 0 || last_offset(batch) < c->dirty_from || !batch->record_count)
		return rc;
	if ((batch->attributes & BATCH_CONTROL) || is_aborted(producer_of(c, batch), batch))
		return 0;
	if (codec != CODEC_NONE)
		rc = decompress(c->decompressor, codec, records, length, DECOMPRESSED_MAX, &records,
				&length);
	return rc < 0 ? rc : map_records(c, records, length, batch);
}

/* ---- what stays ---- */

/* The delete horizon is set and has passed. */
static bool may_go(const struct compaction *c, const struct batch *batch)
{
	return (batch->attributes & BATCH_DELETE_HORIZON) && batch->base_timestamp <= c->now_ms;
}

struct keeping {
	struct compaction *compaction;
	const struct batch *batch;
	bool tombstones; /* some stay */
};

static bool keep(void *context, const struct record *record)
{
	struct keeping *keeping = context;
	const struct compaction *c = keeping->compaction;
	int64_t offset = keeping->batch->base_offset + record->offset_delta;

	/* What the map has not come to yet is for a later pass. */
	if (offset >= c->map_end)
		return true;
	if (!record->key || compact_map_get(&c->map, record->key, record->key_length) > offset)
		return false;
	if (record->value)
		return true;
	if (may_go(c, keeping->batch))
		return false;
	keeping->tombstones = true;
	return true;
}

static int64_t horizon(const struct compaction *c)
{
	int64_t at_ms;

	return __builtin_add_overflow(c->now_ms, c->delete_retention_ms, &at_ms) ? INT64_MAX
										 : at_ms;
}

static int set_horizon(struct compaction *c, const void *data, const struct batch *batch,
		       const void **ret_data, struct batch *ret_batch)
{
	int rc = batch_filter_set_horizon(c->horizon_filter, data, batch, DECOMPRESSED_MAX,
					  horizon(c), ret_data, ret_batch);
	return rc < 0 ? rc : 1;
}

static int keep_marker(struct compaction *c, const void *data, const struct batch *batch,
		       const void **ret_data, struct batch *ret_batch)
{
	struct compact_producer *producer = producer_of(c, batch);
	bool kept = producer && producer->kept;

	if (producer)
		let_go(c, producer);
	if (kept || batch->attributes & BATCH_DELETE_HORIZON) {
		*ret_data = data;
		*ret_batch = *batch;
		return kept || !may_go(c, batch) || batch->base_offset >= c->clean_before;
	}
	return set_horizon(c, data, batch, ret_data, ret_batch);
}

static int keep_empty(struct compaction *c, const void *data, const struct batch *batch,
		      const void **ret_data, struct batch *ret_batch)
{
	if (!is_remembered(producer_of(c, batch), batch))
		return 0;
	if (!batch->record_count) {
		*ret_data = data;
		*ret_batch = *batch;
		return 1;
	}
	int rc = batch_filter_empty(c->filter, data, batch, ret_data, ret_batch);
	return rc < 0 ? rc : 1;
}

static int keep_records(struct compaction *c, const void *data, const struct batch *batch,
			const void **ret_data, struct batch *ret_batch)
{
	struct keeping keeping = {.compaction = c, .batch = batch};
	struct batch kept;
	int count = batch_filter_run(c->filter, data, batch, DECOMPRESSED_MAX, keep, &keeping,
				     ret_data, &kept);

	if (count < 0)
		return count;
	c->stats.records += (uint64_t)batch->record_count;
	c->stats.removed_records += (uint64_t)(batch->record_count - count);
	if (!count)
		return keep_empty(c, data, batch, ret_data, ret_batch);
	if (keeping.tombstones && !(batch->attributes & BATCH_DELETE_HORIZON) &&
	    last_offset(batch) < c->map_end)
		return set_horizon(c, *ret_data, &kept, ret_data, ret_batch);
	*ret_batch = kept;
	return 1;
}

static int keep_data(struct compaction *c, const void *data, const struct batch *batch,
		     const void **ret_data, struct batch *ret_batch)
{
	if (batch->record_count && !is_aborted(producer_of(c, batch), batch))
		return keep_records(c, data, batch, ret_data, ret_batch);
	c->stats.records += (uint64_t)batch->record_count;
	c->stats.removed_records += (uint64_t)batch->record_count;
	return keep_empty(c, data, batch, ret_data, ret_batch);
}

static int note_kept(struct compaction *c, const struct batch *batch)
{
	struct compact_producer *producer;
	int rc = note(c, batch->producer_id, &producer);

	if (rc == 0)
		producer->kept = true;
	return rc < 0 ? rc : 1;
}

int compact_records_keep(struct compaction *c, const void *data, const struct batch *batch,
			 const void **ret_data, struct batch *ret_batch)
{
	int rc = come_to(c, batch);

	if (rc < 0)
		return rc;
	if (batch->base_offset >= c->map_end) {
		*ret_data = data;
		*ret_batch = *batch;
		return 1;
	}
	if (batch->attributes & BATCH_CONTROL)
		return keep_marker(c, data, batch, ret_data, ret_batch);
	rc = keep_data(c, data, batch, ret_data, ret_batch);
	if (rc > 0 && (batch->attributes & BATCH_TRANSACTIONAL))
		rc = note_kept(c, batch);
	return rc;
}
