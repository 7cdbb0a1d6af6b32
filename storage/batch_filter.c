#include "storage/batch_filter.h"

#include "base/bytes.h"
#include "base/crc32c.h"
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

int batch_filter_run(struct batch_filter *filter, const void *data, const struct batch *batch,
		     size_t decompressed_bytes_max,
		     bool (*keep)(void *context, const struct record *record), void *context,
		     const void **ret_data, struct batch *ret_batch)
{
	const void *records = (const uint8_t *)data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct chosen chosen;
	struct room *room;
	int rc = 0;

	if (codec != CODEC_NONE)
		rc = decompress(filter->decompressor, codec, records, length,
				decompressed_bytes_max, &records, &length);
	if (rc == 0)
		rc = make_room(&filter->kept, BATCH_HEADER_BYTES + length);
	if (rc < 0)
		return rc;
	add(&filter->kept, data, BATCH_HEADER_BYTES);
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
