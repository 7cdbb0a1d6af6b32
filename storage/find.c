/* The first record at or after a time: the segment by its largest timestamp, the index entry by
 * what lies before it, then batch by batch, and the record inside the batch (decompressed if need
 * be).  Timestamps need not rise: "first" is by offset, as Kafka defines it. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>

enum { DECOMPRESSED_MAX = 1 << 30 };

static void read_at(struct log_find *find, int64_t offset);

static void end(struct log_find *find, int rc)
{
	log_read_release(find->log->store, &find->read);
	find->done(find, rc);
}

/* Where reading begins: nothing before it is at or after `ms`.  -1: nothing is. */
static int lower_bound(struct log *log, int64_t ms, int64_t *ret)
{
	*ret = -1;
	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (segment->max_ms < ms || segment->next_offset <= log->start_offset)
			continue;
		int rc = segment_need_index(segment);
		if (rc < 0)
			return rc;
		int64_t offset = segment->base_offset;
		for (size_t i = 0; i < segment->index_count; i++) {
			if (segment->index[i].max_before_ms >= ms)
				break;
			offset = segment->index[i].offset;
		}
		*ret = offset > log->start_offset ? offset : log->start_offset;
		return 0;
	}
	return 0;
}

/* 1: found; 0: not in this batch; negative: broken. */
static int search_batch(struct log_find *find, const struct batch *batch, const uint8_t *data)
{
	const void *records = data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct record record;
	int rc;

	if (batch->max_timestamp < find->timestamp_ms || !batch->record_count)
		return 0;
	/* What rots on the disk may say that it expands without end. */
	if (!batch_crc_valid(batch, data))
		return -ERR_CORRUPT;
	find->leader_epoch = batch->leader_epoch;
	if (batch->attributes & BATCH_LOG_APPEND_TIME) {
		find->offset = batch->base_offset;
		find->found_ms = batch->max_timestamp;
		return 1;
	}
	if (codec != CODEC_NONE) {
		rc = decompress(find->log->store->decompressor, codec, records, length,
				DECOMPRESSED_MAX, &records, &length);
		if (rc < 0)
			return rc;
	}
	struct record_cursor cursor = record_cursor_over(records, length);
	while ((rc = record_next(&cursor, &record)) > 0) {
		int64_t ms;
		if (record.offset_delta < 0 || record.offset_delta > batch->last_offset_delta ||
		    __builtin_add_overflow(batch->base_timestamp, record.timestamp_delta, &ms))
			return -ERR_CORRUPT;
		int64_t offset = batch->base_offset + record.offset_delta;
		if (ms < find->timestamp_ms || offset < find->log->start_offset)
			continue;
		find->offset = offset;
		find->found_ms = ms;
		return 1;
	}
	return rc;
}

/* The first record behind what is quarantined: an earlier one may be in that, as times mostly rise.
 */
static bool may_be_earlier(const struct log_find *find)
{
	return quarantine_ends_at(&find->log->quarantine, find->offset);
}

/* One contiguous copy of what was read: batches may lie across buffers. */
static uint8_t *gather(const struct log_read *read)
{
	uint8_t *joined = malloc(read->bytes);
	size_t at = 0;

	if (!joined)
		return NULL;
	for (unsigned i = 0; i < read->vector_count; i++) {
		memcpy(joined + at, read->vectors[i].iov_base, read->vectors[i].iov_len);
		at += read->vectors[i].iov_len;
	}
	check(at == read->bytes);
	return joined;
}

static int search(struct log_find *find, const uint8_t *data, size_t length, int64_t *next_offset)
{
	struct batch batch;
	int rc = 0;

	while (rc == 0 && length) {
		rc = batch_parse(&batch, data, length);
		if (rc < 0)
			return -ERR_CORRUPT;
		rc = search_batch(find, &batch, data);
		*next_offset = batch.base_offset + batch.last_offset_delta + 1;
		data += batch.size;
		length -= batch.size;
	}
	return rc;
}

static void none(struct log_find *find)
{
	find->offset = -1;
	find->found_ms = -1;
	find->leader_epoch = -1;
	end(find, 0);
}

static void read_done(struct log_read *read, int rc)
{
	struct log_find *find = container_of(read, struct log_find, read);
	int64_t next_offset = read->offset;

	if (rc < 0) {
		end(find, rc);
		return;
	}
	if (!read->bytes) {
		none(find);
		return;
	}
	uint8_t *joined = gather(read);
	rc = joined ? search(find, joined, read->bytes, &next_offset) : -ENOMEM;
	free(joined);
	log_read_release(find->log->store, read);
	if (rc == 0)
		read_at(find, next_offset);
	else if (rc > 0 && may_be_earlier(find))
		end(find, -ERR_CORRUPT);
	else
		end(find, rc < 0 ? rc : 0);
}

static void read_at(struct log_find *find, int64_t offset)
{
	find->read.offset = offset;
	find->read.bytes_max = READ_CHUNK_BYTES;
	find->read.oversize_first = true;
	find->read.committed = find->committed;
	find->read.done = read_done;
	log_read(find->log, &find->read);
}

static int64_t largest_timestamp(const struct log *log)
{
	int64_t largest = INT64_MIN;

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		int64_t max_ms = log->config.read_unflushed ? segment->max_ms
							    : segment->durable_max_ms;
		if (segment->next_offset > log->start_offset && max_ms > largest)
			largest = max_ms;
	}
	return largest;
}

void log_find(struct log *log, struct log_find *find)
{
	find->log = log;
	find->read.vector_count = 0;
	if (find->timestamp_ms < 0)
		find->timestamp_ms = largest_timestamp(log);
	int64_t from = -1;
	int rc = find->timestamp_ms < 0 ? 0 : lower_bound(log, find->timestamp_ms, &from);
	if (rc < 0)
		end(find, rc == -ERR_CORRUPT ? rc : -ERR_STORAGE);
	else if (from < 0 || from >= log_high_watermark(log))
		none(find);
	else
		read_at(find, from);
}
