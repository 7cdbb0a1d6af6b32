/* Ids of what a log already holds: its records, read again. */
#include "storage/dedup_log.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/records.h"
#include "storage/segment_scan.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <inttypes.h>

enum {
	DECOMPRESSED_MAX = 1 << 30,
	REPLAYED_BUCKETS_MAX = 24, /* beyond, the last one takes the rest */
};

struct replay {
	struct log *log;
	int64_t from;
	int64_t to;
	uint64_t ns;
	int64_t wall_ms;
	struct file_window file;
};

static int take_records(struct replay *replay, const struct batch *batch, const uint8_t *data,
			const struct dedup_now *now)
{
	struct log *log = replay->log;
	struct dedup_window *window = &log->dedup.window;
	const void *records = data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct record record;
	struct dedup_id id;
	int rc = 0;

	if (codec != CODEC_NONE && batch->record_count)
		rc = decompress(log->store->decompressor, codec, records, length, DECOMPRESSED_MAX,
				&records, &length);
	if (rc < 0)
		return rc;
	struct record_cursor cursor = record_cursor_over(records, length);
	while ((rc = record_next(&cursor, &record)) > 0) {
		if (!dedup_id_of(&window->config, &record, &id))
			continue;
		rc = dedup_window_reserve(window, 1);
		if (rc < 0)
			return rc;
		dedup_window_replay(window, &id, batch->base_offset + record.offset_delta, now);
	}
	return rc;
}

static bool holds_ids(const struct batch *batch)
{
	return !(batch->attributes & (BATCH_TRANSACTIONAL | BATCH_CONTROL)) &&
	       (batch->base_offset + batch->last_offset_delta) >> DEDUP_OFFSET_BITS == 0;
}

static int take_batch(struct replay *replay, const struct batch *batch, const uint8_t *data)
{
	struct dedup_window *window = &replay->log->dedup.window;
	struct dedup_now now = {
		.ns = replay->ns,
		.wall_ms = replay->wall_ms,
		.largest_ms = dedup_window_largest(window, batch->max_timestamp, replay->wall_ms),
	};
	int rc = 0;

	window->largest_ms = now.largest_ms;
	if (dedup_table_buckets(&window->table) < REPLAYED_BUCKETS_MAX &&
	    dedup_window_due(window, &now, true))
		dedup_window_close_bucket(window, batch->base_offset);
	if (!holds_ids(batch))
		return 0;
	/* What cannot be read is quarantined, by who has asked for this. */
	if (!batch_crc_valid(batch, data))
		return -ERR_CORRUPT;
	rc = take_records(replay, batch, data, &now);
	if (rc == 0 || rc == -ENOMEM)
		return rc;
	/* Readers are told so too; the rest of the log is sound. */
	log_warn("storage", "dedup ids not read log=%s offset=%" PRId64 " error=\"%s\"",
		 replay->log->name, batch->base_offset, error_text(rc));
	return 0;
}

/* The batch at `at`, below the segment's end. */
static int batch_at(struct file_window *file, const struct segment *segment, struct place at,
		    struct batch *ret, const uint8_t **ret_data)
{
	const uint8_t *data = file_window_at(file, at.position, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(ret, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	if (rc == 0 || rc == -EMSGSIZE) {
		*ret_data = file_window_at(file, at.position, ret->size);
		rc = *ret_data && segment_may_hold(segment, ret, at.offset) ? 0 : -ERR_CORRUPT;
	}
	return file->error < 0 ? file->error : rc;
}

static int replay_segment(struct replay *replay, struct segment *segment)
{
	struct file_window *file = &replay->file;
	struct place at;
	int sought = segment_seek(segment, replay->from, &at.position, &at.offset);

	if (sought < 0)
		return sought;
	uint64_t told = at.position;
	file->fd = segment_fd(segment);
	file->file_bytes = segment->allocated_end;
	file->length = 0;
	while (at.position < segment->end) {
		const struct damage *damage = quarantine_at(&replay->log->quarantine,
							    segment->base_offset, at.position);
		struct batch batch = {0};
		const uint8_t *data;
		if (damage) {
			at = (struct place){damage->end, damage->to};
			continue;
		}
		int rc = batch_at(file, segment, at, &batch, &data);
		if (rc == 0 && batch.base_offset >= replay->to)
			return 0;
		if (rc == 0 && batch.base_offset >= replay->from)
			rc = take_batch(replay, &batch, data);
		if (rc < 0)
			return rc;
		at = place_behind(at, &batch);
		recovery_reached(segment->log, at.position, &told);
	}
	recovery_went_on(segment->log, at.position - told);
	return 0;
}

int dedup_replay(struct log *log, int64_t from, int64_t to)
{
	struct replay replay = {
		.log = log,
		.from = from,
		.to = to,
		.ns = clock_monotonic_ns(log->store->clock),
		.wall_ms = clock_wall_ms(log->store->clock),
	};
	int rc = 0;

	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (rc == 0 && segment->next_offset > from && segment->base_offset < to)
			rc = replay_segment(&replay, segment);
	}
	file_window_fini(&replay.file);
	return rc;
}

static int64_t within(int64_t ms, int64_t wall_ms)
{
	return ms < wall_ms ? ms : wall_ms;
}

/* When the next one was made; the last one goes on. */
static int64_t ended_ms(const struct log *log, const struct segment *segment)
{
	struct list *next = segment->link.next;

	return next == &log->segments ? INT64_MAX
				      : container_of(next, struct segment, link)->created_ms;
}

int64_t dedup_replay_start(const struct log *log, int64_t wall_ms)
{
	int64_t window_ms = log->config.dedup.window_ms;
	int64_t largest_ms = -1;
	int64_t so_far_ms = -1;

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (within(segment->max_ms, wall_ms) > largest_ms)
			largest_ms = within(segment->max_ms, wall_ms);
	}
	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (within(segment->max_ms, wall_ms) > so_far_ms)
			so_far_ms = within(segment->max_ms, wall_ms);
		if (so_far_ms < 0 || so_far_ms >= largest_ms - window_ms ||
		    ended_ms(log, segment) >= wall_ms - window_ms)
			return segment->base_offset;
	}
	return log->next_offset;
}
