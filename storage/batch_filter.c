#include "storage/batch_filter.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "storage/batch_build.h"
#include "storage/compress.h"
#include "storage/compressor.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>

/* Of the header, as Kafka's documentation of the message format has it. */
enum {
	LENGTH_AT = 8,
	CRC_AT = 17,
	ATTRIBUTES_AT = 21,
	BASE_TIMESTAMP_AT = 27,
	MAX_TIMESTAMP_AT = 35,
	COUNT_AT = 57,
};

struct room {
	uint8_t *data;
	size_t size;
	size_t capacity;
};

struct batch_filter {
	struct decompressor *decompressor;
	struct compressor *compressors[CODEC_COUNT]; /* made when first needed */
	struct room kept;                            /* header and records, not compressed */
	struct room packed;                          /* likewise, compressed */
};

int batch_filter_new(struct batch_filter **ret)
{
	struct batch_filter *filter = calloc(1, sizeof(*filter));
	int rc = filter ? decompressor_new(&filter->decompressor) : -ENOMEM;

	if (rc < 0) {
		free(filter);
		return rc;
	}
	*ret = filter;
	return 0;
}

void batch_filter_free(struct batch_filter *filter)
{
	if (!filter)
		return;
	decompressor_free(filter->decompressor);
	for (unsigned i = 0; i < CODEC_COUNT; i++)
		compressor_free(filter->compressors[i]);
	free(filter->kept.data);
	free(filter->packed.data);
	free(filter);
}

/* An empty one for `capacity` bytes. */
static int make_room(struct room *room, size_t capacity)
{
	room->size = 0;
	if (capacity <= room->capacity)
		return 0;
	free(room->data);
	room->data = malloc(capacity);
	room->capacity = room->data ? capacity : 0;
	return room->data ? 0 : -ENOMEM;
}

static void add(struct room *room, const void *data, size_t size)
{
	memcpy(room->data + room->size, data, size);
	room->size += size;
}

/* ---- choosing ---- */

struct chosen {
	int32_t count;
	int64_t max_timestamp; /* INT64_MIN: of none */
};

static int choose(struct room *kept, const struct batch *batch, const uint8_t *records,
		  size_t length, bool (*keep)(void *context, const struct record *record),
		  void *context, struct chosen *ret)
{
	struct record_cursor cursor = record_cursor_over(records, length);
	struct record record;
	int rc;

	*ret = (struct chosen){.max_timestamp = INT64_MIN};
	for (;;) {
		const uint8_t *begin = cursor.at;
		rc = record_next(&cursor, &record);
		if (rc <= 0)
			return rc;
		if (!keep(context, &record))
			continue;
		int64_t timestamp = batch->base_timestamp + record.timestamp_delta;
		if (timestamp > ret->max_timestamp)
			ret->max_timestamp = timestamp;
		ret->count++;
		add(kept, begin, (size_t)(cursor.at - begin));
	}
}

/* ---- packing ---- */

static int pack(struct batch_filter *filter, enum batch_codec codec, struct room **ret)
{
	struct compressor **compressor = &filter->compressors[codec];
	const uint8_t *records = filter->kept.data + BATCH_HEADER_BYTES;
	size_t length = filter->kept.size - BATCH_HEADER_BYTES;

	*ret = &filter->kept;
	if (codec == CODEC_NONE)
		return 0;
	int rc = *compressor ? 0 : compressor_new(compressor, codec, -1);
	if (rc < 0)
		return rc;
	size_t bound = compressor_bound(*compressor, length);
	rc = make_room(&filter->packed, BATCH_HEADER_BYTES + bound);
	if (rc < 0)
		return rc;
	add(&filter->packed, filter->kept.data, BATCH_HEADER_BYTES);
	int64_t made = compressor_run(*compressor, records, length,
				      filter->packed.data + BATCH_HEADER_BYTES, bound);
	if (made < 0)
		return (int)made;
	filter->packed.size += (size_t)made;
	*ret = &filter->packed;
	return 0;
}

static void seal(struct room *room, const struct batch *batch, const struct chosen *chosen)
{
	store_be32(room->data + LENGTH_AT, (uint32_t)(room->size - BATCH_LENGTH_PREFIX));
	store_be32(room->data + COUNT_AT, (uint32_t)chosen->count);
	if (!(batch->attributes & BATCH_LOG_APPEND_TIME))
		store_be64(room->data + MAX_TIMESTAMP_AT, (uint64_t)chosen->max_timestamp);
	store_be32(room->data + CRC_AT,
		   crc32c(0, room->data + BATCH_CRC_START, room->size - BATCH_CRC_START));
}

/* The batch's records, not compressed, and room for `more` bytes a record beside them. */
static int unpack(struct batch_filter *filter, const void *data, const struct batch *batch,
		  size_t decompressed_bytes_max, size_t more, const void **ret, size_t *ret_length)
{
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	int rc = 0;

	*ret = (const uint8_t *)data + BATCH_HEADER_BYTES;
	*ret_length = batch->size - BATCH_HEADER_BYTES;
	if (codec != CODEC_NONE)
		rc = decompress(filter->decompressor, codec, *ret, *ret_length,
				decompressed_bytes_max, ret, ret_length);
	/* A record takes a byte at least, whatever the header says of their number. */
	if (rc == 0)
		rc = make_room(&filter->kept, BATCH_HEADER_BYTES + *ret_length * (1 + more));
	if (rc == 0)
		add(&filter->kept, data, BATCH_HEADER_BYTES);
	return rc;
}

int batch_filter_run(struct batch_filter *filter, const void *data, const struct batch *batch,
		     size_t decompressed_bytes_max,
		     bool (*keep)(void *context, const struct record *record), void *context,
		     const void **ret_data, struct batch *ret_batch)
{
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	const void *records;
	size_t length;
	struct chosen chosen;
	struct room *room;
	int rc = unpack(filter, data, batch, decompressed_bytes_max, 0, &records, &length);

	if (rc < 0)
		return rc;
	rc = choose(&filter->kept, batch, records, length, keep, context, &chosen);
	if (rc < 0)
		return rc;
	if (chosen.count == batch->record_count) {
		*ret_data = data;
		*ret_batch = *batch;
		return chosen.count;
	}
	if (chosen.count) {
		rc = pack(filter, codec, &room);
		if (rc < 0)
			return rc;
		seal(room, batch, &chosen);
		*ret_data = room->data;
		rc = batch_parse(ret_batch, room->data, room->size);
	}
	return rc < 0 ? rc : chosen.count;
}

/* ---- delete horizon ---- */

/* A record without its length and what it is relative to. */
static const uint8_t *behind_timestamp(const uint8_t *body, const uint8_t *end)
{
	int64_t delta;

	return record_get_varlong(body + 1, end, &delta);
}

/* The same records, relative to another time. */
static int rebase(struct room *kept, const struct batch *batch, const uint8_t *records,
		  size_t length, int64_t base_ms)
{
	struct record_cursor cursor = record_cursor_over(records, length);
	uint64_t shift = (uint64_t)batch->base_timestamp - (uint64_t)base_ms;
	struct record record;
	int32_t size;
	int rc;

	for (;;) {
		const uint8_t *begin = cursor.at;
		rc = record_next(&cursor, &record);
		if (rc <= 0)
			return rc;
		const uint8_t *body = record_get_varint(begin, cursor.at, &size);
		const uint8_t *rest = behind_timestamp(body, cursor.at);
		int64_t delta = (int64_t)((uint64_t)record.timestamp_delta + shift);
		uint8_t *at = kept->data + kept->size;
		size_t rest_bytes = (size_t)(cursor.at - rest);

		at = batch_put_varint(at, (int64_t)(1 + batch_varint_bytes(delta) + rest_bytes));
		*at++ = *body;
		kept->size = (size_t)(batch_put_varint(at, delta) - kept->data);
		add(kept, rest, rest_bytes);
	}
}

enum { REBASED_MORE = 14 }; /* a record's length and its timestamp may become as much longer */

int batch_filter_set_horizon(struct batch_filter *filter, const void *data,
			     const struct batch *batch, size_t decompressed_bytes_max,
			     int64_t horizon_ms, const void **ret_data, struct batch *ret_batch)
{
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct chosen all = {
		.count = batch->record_count,
		.max_timestamp = batch->max_timestamp,
	};
	const void *records;
	size_t length;
	struct room *room = &filter->kept;
	int rc = unpack(filter, data, batch, decompressed_bytes_max, REBASED_MORE, &records,
			&length);

	if (rc < 0)
		return rc;
	if (batch->attributes & BATCH_CONTROL)
		add(&filter->kept, records, length);
	else
		rc = rebase(&filter->kept, batch, records, length, horizon_ms);
	if (rc < 0)
		return rc;
	store_be16(filter->kept.data + ATTRIBUTES_AT,
		   (uint16_t)(batch->attributes | BATCH_DELETE_HORIZON));
	store_be64(filter->kept.data + BASE_TIMESTAMP_AT, (uint64_t)horizon_ms);
	rc = pack(filter, codec, &room);
	if (rc < 0)
		return rc;
	seal(room, batch, &all);
	*ret_data = room->data;
	return batch_parse(ret_batch, room->data, room->size);
}

int batch_filter_empty(struct batch_filter *filter, const void *data, const struct batch *batch,
		       const void **ret_data, struct batch *ret_batch)
{
	struct chosen none = {.max_timestamp = -1};
	int rc = make_room(&filter->kept, BATCH_HEADER_BYTES);

	if (rc < 0)
		return rc;
	add(&filter->kept, data, BATCH_HEADER_BYTES);
	store_be16(filter->kept.data + ATTRIBUTES_AT,
		   (uint16_t)(batch->attributes & ~(BATCH_CODEC_MASK | BATCH_LOG_APPEND_TIME)));
	seal(&filter->kept, &(struct batch){0}, &none);
	*ret_data = filter->kept.data;
	return batch_parse(ret_batch, filter->kept.data, filter->kept.size);
}
