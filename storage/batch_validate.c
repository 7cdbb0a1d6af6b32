/* What a produced batch has to satisfy.  Its records are walked once, so what else the broker wants
 * to know of each, the largest timestamp and the ids of a dedup window, is taken on the way. */
#include "base/errors.h"
#include "storage/batch.h"
#include "storage/compress.h"
#include "storage/dedup.h"
#include "storage/records.h"

enum { KNOWN_ATTRIBUTES = 0x7f };

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
	if ((batch->attributes & BATCH_TRANSACTIONAL) && batch->producer_id < 0)
		return fault(ret, -ERR_INVALID_RECORD, -1, "transaction without producer id");
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

static struct dedup_id id_of(const struct dedup_config *config, const struct record *record)
{
	struct dedup_id id = {0};

	dedup_id_of(config, record, &id);
	return id;
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
		if (rules->dedup && count < batch->record_count)
			rules->ids[count] = id_of(rules->dedup, &record);
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
