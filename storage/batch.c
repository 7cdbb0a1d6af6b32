/*   0            12   16 17    21     23                57      61
 *   | baseOffset | length | epoch | 2 | crc | attributes ... | count | records, maybe compressed |
 *                                           '------------- covered by the CRC -------------------'
 * Base offset and leader epoch lie before the CRC's range, so the broker sets them in place. */
#include "storage/batch.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "storage/compress.h"
#include "storage/records.h"

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
	KNOWN_ATTRIBUTES = 0x7f,
};
_Static_assert(AT_RECORD_COUNT + 4 == BATCH_HEADER_BYTES, "header layout");

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
	*ret = (struct batch){
		.base_offset = (int64_t)load_be64(at + AT_BASE_OFFSET),
		.size = (size_t)counted + BATCH_LENGTH_PREFIX,
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

/* ---- validation ---- */

static int fault(struct batch_fault *ret, int rc, int32_t record_index, const char *text)
{
	*ret = (struct batch_fault){.record_index = record_index, .text = text};
	return rc;
}

static int check_frame(struct batch *batch, const void *data, size_t size,
		       const struct batch_rules *rules, struct batch_fault *ret)
{
	int rc = batch_parse(batch, data, size);

	if (rc == -ERR_INVALID_RECORD)
		return fault(ret, rc, -1, "only record batches of magic 2 are accepted");
	if (rc < 0)
		return fault(ret, -ERR_CORRUPT, -1, "batch length does not fit the data");
	if (batch->size != size)
		return fault(ret, -ERR_INVALID_RECORD, -1, "more than one batch for a partition");
	if (batch->base_offset != 0)
		return fault(ret, -ERR_INVALID_RECORD, -1, "base offset of a new batch is not 0");
	if (size > rules->batch_bytes_max)
		return fault(ret, -ERR_TOO_LARGE, -1, "batch larger than max.message.bytes");
	if (!batch_crc_valid(batch, data))
		return fault(ret, -ERR_CORRUPT, -1, "CRC does not match");
	return 0;
}

static int check_header(const struct batch *batch, const struct batch_rules *rules,
			struct batch_fault *ret)
{
	unsigned codec = batch->attributes & BATCH_CODEC_MASK;

	if (batch->record_count <= 0 || batch->last_offset_delta != batch->record_count - 1)
		return fault(ret, -ERR_INVALID_RECORD, -1,
			     "record count and last offset delta disagree");
	if (batch->attributes & ~KNOWN_ATTRIBUTES)
		return fault(ret, -ERR_INVALID_RECORD, -1, "unknown attribute bits");
	if (batch->attributes & (BATCH_CONTROL | BATCH_DELETE_HORIZON))
		return fault(ret, -ERR_INVALID_RECORD, -1, "attributes reserved for the broker");
	if (batch->attributes & BATCH_LOG_APPEND_TIME)
		return fault(ret, -ERR_INVALID_TIMESTAMP, -1, "clients may not set LogAppendTime");
	if (batch->producer_id < -1 ||
	    (batch->producer_id >= 0 && (batch->producer_epoch < 0 || batch->base_sequence < 0)))
		return fault(ret, -ERR_INVALID_RECORD, -1,
			     "producer id without epoch and sequence");
	if (codec >= CODEC_COUNT || (codec == CODEC_ZSTD && !rules->zstd_allowed))
		return fault(ret, -ERR_CODEC, -1, "compression type not allowed");
	return 0;
}

static bool timestamp_accepted(const struct batch_rules *rules, int64_t timestamp_ms)
{
	int64_t age_ms;

	if (rules->log_append_time || timestamp_ms == -1)
		return true;
	if (timestamp_ms < 0 || __builtin_sub_overflow(rules->now_ms, timestamp_ms, &age_ms))
		return false;
	return age_ms <= rules->timestamp_before_max_ms && -age_ms <= rules->timestamp_after_max_ms;
}

static int check_record(const struct batch *batch, const struct record *record, int32_t index,
			const struct batch_rules *rules, int64_t *max_ms, struct batch_fault *ret)
{
	int64_t timestamp_ms;

	if (record->offset_delta != index)
		return fault(ret, -ERR_INVALID_RECORD, index, "offset deltas do not rise by one");
	if (rules->keys_required && !record->key)
		return fault(ret, -ERR_INVALID_RECORD, index,
			     "a compacted topic needs a key in every record");
	if (__builtin_add_overflow(batch->base_timestamp, record->timestamp_delta, &timestamp_ms) ||
	    !timestamp_accepted(rules, timestamp_ms))
		return fault(ret, -ERR_INVALID_TIMESTAMP, index,
			     "timestamp outside the accepted range");
	if (timestamp_ms > *max_ms)
		*max_ms = timestamp_ms;
	return 0;
}

static int check_records(struct batch *batch, const void *records, size_t length,
			 const struct batch_rules *rules, struct batch_fault *ret)
{
	struct record_cursor cursor = record_cursor_over(records, length);
	struct record record;
	int64_t max_ms = INT64_MIN;
	int32_t count = 0;
	int rc;

	while ((rc = record_next(&cursor, &record)) > 0) {
		rc = check_record(batch, &record, count, rules, &max_ms, ret);
		if (rc < 0)
			return rc;
		count++;
	}
	if (rc < 0)
		return fault(ret, rc, count, "record does not parse");
	if (count != batch->record_count)
		return fault(ret, -ERR_INVALID_RECORD, -1,
			     "record count does not match the records");
	/* Some clients get it wrong; time lookups want the truth. */
	if (!rules->log_append_time)
		batch->max_timestamp = max_ms;
	return 0;
}

int batch_validate(struct batch *ret, const void *data, size_t size,
		   const struct batch_rules *rules, struct decompressor *decompressor,
		   struct batch_fault *fault_ret)
{
	struct batch batch;
	int rc = check_frame(&batch, data, size, rules, fault_ret);

	if (rc == 0)
		rc = check_header(&batch, rules, fault_ret);
	if (rc < 0)
		return rc;
	const void *records = (const uint8_t *)data + BATCH_HEADER_BYTES;
	size_t length = size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch.attributes & BATCH_CODEC_MASK;
	if (codec != CODEC_NONE) {
		rc = decompress(decompressor, codec, records, length, rules->decompressed_bytes_max,
				&records, &length);
		if (rc < 0)
			return fault(fault_ret, rc, -1,
				     rc == -ERR_TOO_LARGE ? "batch decompresses to too much"
							  : "batch does not decompress");
	}
	rc = check_records(&batch, records, length, rules, fault_ret);
	if (rc == 0)
		*ret = batch;
	return rc;
}
