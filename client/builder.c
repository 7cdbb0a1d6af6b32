#include "client/builder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "client/compressor.h"
#include "client/sluice.h"
#include "storage/batch.h"

enum {
	FIRST_BYTES = 4096,
	VARINT_BYTES_MAX = 5,
	VARLONG_BYTES_MAX = 10,
	MAGIC = 2,
	AT_CRC = 17,
};

void builder_fini(struct builder *b)
{
	free(b->data);
	*b = (struct builder){0};
}

/* ---- varints ---- */

static uint8_t *put_varlong(uint8_t *at, int64_t value)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

	for (; zigzag >= 0x80; zigzag >>= 7)
		*at++ = (uint8_t)(zigzag | 0x80);
	*at++ = (uint8_t)zigzag;
	return at;
}

static size_t varlong_bytes(int64_t value)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
	size_t bytes = 1;

	for (; zigzag >= 0x80; zigzag >>= 7)
		bytes++;
	return bytes;
}

/* A length and bytes; null is -1. */
static uint8_t *put_bytes(uint8_t *at, const void *data, size_t length)
{
	if (!data)
		return put_varlong(at, -1);
	at = put_varlong(at, (int64_t)length);
	memcpy(at, data, length);
	return at + length;
}

static size_t bytes_bytes(const void *data, size_t length)
{
	return data ? varlong_bytes((int64_t)length) + length : 1;
}

/* ---- records ---- */

static size_t headers_bytes(const struct sluice_record *record)
{
	size_t bytes = varlong_bytes((int64_t)record->header_count);

	for (size_t i = 0; i < record->header_count; i++) {
		const struct sluice_header *header = &record->headers[i];
		bytes += varlong_bytes((int64_t)header->name_length) + header->name_length +
			 bytes_bytes(header->value, header->value_length);
	}
	return bytes;
}

static size_t body_bytes(const struct sluice_record *record, int64_t timestamp_delta,
			 int32_t offset_delta)
{
	return 1 + varlong_bytes(timestamp_delta) + varlong_bytes(offset_delta) +
	       bytes_bytes(record->key, record->key_length) +
	       bytes_bytes(record->value, record->value_length) + headers_bytes(record);
}

size_t builder_record_bytes(const struct sluice_record *record)
{
	return VARINT_BYTES_MAX + VARLONG_BYTES_MAX + VARINT_BYTES_MAX + body_bytes(record, 0, 0);
}

static int make_room(struct builder *b, size_t bytes)
{
	size_t capacity = b->capacity ? b->capacity : FIRST_BYTES;

	if (b->size + bytes <= b->capacity)
		return 0;
	while (capacity < b->size + bytes)
		capacity *= 2;
	uint8_t *data = realloc(b->data, capacity);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->capacity = capacity;
	return 0;
}

static uint8_t *put_record(uint8_t *at, const struct sluice_record *record, int64_t timestamp_delta,
			   int32_t offset_delta)
{
	*at++ = 0; /* attributes: none are defined */
	at = put_varlong(at, timestamp_delta);
	at = put_varlong(at, offset_delta);
	at = put_bytes(at, record->key, record->key_length);
	at = put_bytes(at, record->value, record->value_length);
	at = put_varlong(at, (int64_t)record->header_count);
	for (size_t i = 0; i < record->header_count; i++) {
		const struct sluice_header *header = &record->headers[i];
		at = put_varlong(at, (int64_t)header->name_length);
		memcpy(at, header->name, header->name_length);
		at = put_bytes(at + header->name_length, header->value, header->value_length);
	}
	return at;
}

int builder_add(struct builder *b, const struct sluice_record *record, int64_t timestamp_ms)
{
	int64_t delta = b->count ? timestamp_ms - b->base_timestamp_ms : 0;
	size_t bytes = body_bytes(record, delta, b->count);
	size_t whole = varlong_bytes((int64_t)bytes) + bytes;
	int rc = make_room(b, (b->count ? 0 : BATCH_HEADER_BYTES) + whole);

	if (rc < 0)
		return rc;
	if (b->count == 0) {
		b->size = BATCH_HEADER_BYTES;
		b->base_timestamp_ms = b->max_timestamp_ms = timestamp_ms;
	}
	uint8_t *at = put_varlong(b->data + b->size, (int64_t)bytes);
	at = put_record(at, record, delta, b->count);
	check((size_t)(at - b->data) == b->size + whole);
	b->size += whole;
	b->count++;
	if (timestamp_ms > b->max_timestamp_ms)
		b->max_timestamp_ms = timestamp_ms;
	return 0;
}

int builder_compress(struct builder *b, struct compressor *compressor, unsigned codec)
{
	size_t length = b->size - BATCH_HEADER_BYTES;
	size_t room = compressor_bound(compressor, length);
	uint8_t *data = malloc(BATCH_HEADER_BYTES + room);

	if (!data)
		return -ENOMEM;
	int64_t made = compressor_run(compressor, b->data + BATCH_HEADER_BYTES, length,
				      data + BATCH_HEADER_BYTES, room);
	if (made < 0 || (size_t)made >= length) {
		free(data);
		return made < 0 ? (int)made : 0;
	}
	free(b->data);
	b->data = data;
	b->capacity = BATCH_HEADER_BYTES + room;
	b->size = BATCH_HEADER_BYTES + (size_t)made;
	b->attributes = (uint16_t)codec;
	return 0;
}

void builder_seal(struct builder *b, int64_t producer_id, int16_t producer_epoch,
		  int32_t base_sequence)
{
	uint8_t *at = b->data;

	check(b->count > 0);
	store_be64(at, 0); /* base offset: the broker's */
	store_be32(at + 8, (uint32_t)(b->size - BATCH_LENGTH_PREFIX));
	store_be32(at + 12, UINT32_MAX); /* leader epoch: none */
	at[16] = MAGIC;
	store_be16(at + 21, b->attributes);
	store_be32(at + 23, (uint32_t)(b->count - 1));
	store_be64(at + 27, (uint64_t)b->base_timestamp_ms);
	store_be64(at + 35, (uint64_t)b->max_timestamp_ms);
	store_be64(at + 43, (uint64_t)producer_id);
	store_be16(at + 51, (uint16_t)producer_epoch);
	store_be32(at + 53, (uint32_t)base_sequence);
	store_be32(at + 57, (uint32_t)b->count);
	store_be32(at + AT_CRC, crc32c(0, at + BATCH_CRC_START, b->size - BATCH_CRC_START));
}
