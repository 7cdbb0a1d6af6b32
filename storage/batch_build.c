#include "storage/batch_build.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/batch.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BYTES = 4096,
	VARINT_BYTES_MAX = 5,
	VARLONG_BYTES_MAX = 10,
	MAGIC = 2,
	AT_CRC = 17,
};

void batch_build_fini(struct batch_build *build)
{
	free(build->data);
	*build = (struct batch_build){0};
}

/* ---- varints ---- */

uint8_t *batch_put_varint(uint8_t *at, int64_t value)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);

	for (; zigzag >= 0x80; zigzag >>= 7)
		*at++ = (uint8_t)(zigzag | 0x80);
	*at++ = (uint8_t)zigzag;
	return at;
}

size_t batch_varint_bytes(int64_t value)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
	size_t bytes = 1;

	for (; zigzag >= 0x80; zigzag >>= 7)
		bytes++;
	return bytes;
}

uint8_t *batch_put_bytes(uint8_t *at, const void *data, size_t length)
{
	if (!data)
		return batch_put_varint(at, -1);
	at = batch_put_varint(at, (int64_t)length);
	memcpy(at, data, length);
	return at + length;
}

size_t batch_bytes_bytes(const void *data, size_t length)
{
	return data ? batch_varint_bytes((int64_t)length) + length : 1;
}

/* ---- records ---- */

static size_t body_bytes(const struct record *record, int64_t timestamp_delta, int32_t offset_delta)
{
	return 1 + batch_varint_bytes(timestamp_delta) + batch_varint_bytes(offset_delta) +
	       batch_bytes_bytes(record->key, record->key_length) +
	       batch_bytes_bytes(record->value, record->value_length) +
	       batch_varint_bytes(record->header_count) + record->headers_length;
}

size_t batch_build_record_bytes(const struct record *record)
{
	return VARINT_BYTES_MAX + VARLONG_BYTES_MAX + VARINT_BYTES_MAX + body_bytes(record, 0, 0);
}

static int make_room(struct batch_build *build, size_t bytes)
{
	size_t capacity = build->capacity ? build->capacity : FIRST_BYTES;

	if (build->size + bytes <= build->capacity)
		return 0;
	while (capacity < build->size + bytes)
		capacity *= 2;
	uint8_t *data = realloc(build->data, capacity);
	if (!data)
		return -ENOMEM;
	build->data = data;
	build->capacity = capacity;
	return 0;
}

/* Returns where the headers go. */
static uint8_t *put_record(uint8_t *at, const struct record *record, int64_t timestamp_delta,
			   int32_t offset_delta)
{
	*at++ = 0; /* attributes: none are defined */
	at = batch_put_varint(at, timestamp_delta);
	at = batch_put_varint(at, offset_delta);
	at = batch_put_bytes(at, record->key, record->key_length);
	at = batch_put_bytes(at, record->value, record->value_length);
	return batch_put_varint(at, record->header_count);
}

int batch_build_add(struct batch_build *build, const struct record *record, int64_t timestamp_ms,
		    uint8_t **ret_headers)
{
	int64_t delta = build->count ? timestamp_ms - build->base_timestamp_ms : 0;
	size_t bytes = body_bytes(record, delta, build->count);
	size_t whole = batch_varint_bytes((int64_t)bytes) + bytes;
	int rc = make_room(build, (build->count ? 0 : BATCH_HEADER_BYTES) + whole);

	if (rc < 0)
		return rc;
	if (build->count == 0) {
		build->size = BATCH_HEADER_BYTES;
		build->base_timestamp_ms = build->max_timestamp_ms = timestamp_ms;
	}
	uint8_t *at = batch_put_varint(build->data + build->size, (int64_t)bytes);
	*ret_headers = put_record(at, record, delta, build->count);
	build->size += whole;
	check(*ret_headers + record->headers_length == build->data + build->size);
	build->count++;
	if (timestamp_ms > build->max_timestamp_ms)
		build->max_timestamp_ms = timestamp_ms;
	return 0;
}

void batch_build_filler(void *data, int64_t base_offset, int32_t last_offset_delta,
			int32_t leader_epoch)
{
	uint8_t *at = data;

	memset(at, 0, BATCH_HEADER_BYTES);
	store_be64(at, (uint64_t)base_offset);
	store_be32(at + 8, BATCH_HEADER_BYTES - BATCH_LENGTH_PREFIX);
	store_be32(at + 12, (uint32_t)leader_epoch);
	at[16] = MAGIC;
	store_be32(at + 23, (uint32_t)last_offset_delta);
	memset(at + 27, 0xff, 30); /* no timestamps, no producer, no sequence */
	store_be32(at + AT_CRC,
		   crc32c(0, at + BATCH_CRC_START, BATCH_HEADER_BYTES - BATCH_CRC_START));
}

void batch_build_seal(struct batch_build *build, int64_t producer_id, int16_t producer_epoch,
		      int32_t base_sequence)
{
	uint8_t *at = build->data;

	check(build->count > 0);
	store_be64(at, 0); /* base offset: the broker's */
	store_be32(at + 8, (uint32_t)(build->size - BATCH_LENGTH_PREFIX));
	store_be32(at + 12, UINT32_MAX); /* leader epoch: none */
	at[16] = MAGIC;
	store_be16(at + 21, build->attributes);
	store_be32(at + 23, (uint32_t)(build->count - 1));
	store_be64(at + 27, (uint64_t)build->base_timestamp_ms);
	store_be64(at + 35, (uint64_t)build->max_timestamp_ms);
	store_be64(at + 43, (uint64_t)producer_id);
	store_be16(at + 51, (uint16_t)producer_epoch);
	store_be32(at + 53, (uint32_t)base_sequence);
	store_be32(at + 57, (uint32_t)build->count);
	store_be32(at + AT_CRC, crc32c(0, at + BATCH_CRC_START, build->size - BATCH_CRC_START));
}
