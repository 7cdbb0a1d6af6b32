/*   0            12   16 17    21     23                57      61
 *   | baseOffset | length | epoch | 2 | crc | attributes ... | count | records, maybe compressed |
 *                                           '------------- covered by the CRC -------------------'
 * Base offset and leader epoch lie before the CRC's range, so the broker sets them in place. */
#include "storage/batch.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errors.h"

#include <errno.h>

enum {
	AT_BASE_OFFSET = 0,
	AT_LENGTH = 8,
	AT_LEADER_EPOCH = 12,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_OFFSET_DELTA = 23,
	AT_BASE_TIMESTAMP = 27,
	AT_MAX_TIMESTAMP = 35,
	AT_PRODUCER_ID = 43,
	AT_PRODUCER_EPOCH = 51,
	AT_BASE_SEQUENCE = 53,
	AT_RECORD_COUNT = 57,
	MAGIC = 2,
};
_Static_assert(AT_RECORD_COUNT + 4 == BATCH_HEADER_BYTES, "header layout");

void batch_decode(struct batch *ret, const void *header)
{
	const uint8_t *at = header;

	*ret = (struct batch){
		.base_offset = (int64_t)load_be64(at + AT_BASE_OFFSET),
		.size = (size_t)load_be32(at + AT_LENGTH) + BATCH_LENGTH_PREFIX,
		.leader_epoch = (int32_t)load_be32(at + AT_LEADER_EPOCH),
		.crc = load_be32(at + AT_CRC),
		.attributes = load_be16(at + AT_ATTRIBUTES),
		.last_offset_delta = (int32_t)load_be32(at + AT_LAST_OFFSET_DELTA),
		.base_timestamp = (int64_t)load_be64(at + AT_BASE_TIMESTAMP),
		.max_timestamp = (int64_t)load_be64(at + AT_MAX_TIMESTAMP),
		.producer_id = (int64_t)load_be64(at + AT_PRODUCER_ID),
		.producer_epoch = (int16_t)load_be16(at + AT_PRODUCER_EPOCH),
		.base_sequence = (int32_t)load_be32(at + AT_BASE_SEQUENCE),
		.record_count = (int32_t)load_be32(at + AT_RECORD_COUNT),
	};
}

int batch_parse(struct batch *ret, const void *data, size_t length)
{
	const uint8_t *at = data;

	if (length < BATCH_HEADER_BYTES)
		return -ERR_CORRUPT;
	if (at[AT_MAGIC] != MAGIC)
		return -ERR_INVALID_RECORD;
	int32_t counted = (int32_t)load_be32(at + AT_LENGTH);
	if (counted < BATCH_HEADER_BYTES - BATCH_LENGTH_PREFIX)
		return -ERR_CORRUPT;
	batch_decode(ret, data);
	return ret->size > length ? -EMSGSIZE : 0;
}

bool batch_crc_valid(const struct batch *batch, const void *data)
{
	const uint8_t *at = data;
	return crc32c(0, at + BATCH_CRC_START, batch->size - BATCH_CRC_START) == batch->crc;
}

int64_t batch_max_timestamp(const void *header)
{
	return (int64_t)load_be64((const uint8_t *)header + AT_MAX_TIMESTAMP);
}

void batch_set_base(void *data, int64_t base_offset, int32_t leader_epoch)
{
	uint8_t *at = data;

	store_be64(at + AT_BASE_OFFSET, (uint64_t)base_offset);
	store_be32(at + AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void batch_set_append_time(void *header, int64_t now_ms)
{
	uint8_t *at = header;

	store_be16(at + AT_ATTRIBUTES,
		   (uint16_t)(load_be16(at + AT_ATTRIBUTES) | BATCH_LOG_APPEND_TIME));
	batch_set_max_timestamp(header, now_ms);
}

void batch_set_max_timestamp(void *header, int64_t max_ms)
{
	store_be64((uint8_t *)header + AT_MAX_TIMESTAMP, (uint64_t)max_ms);
}
