/* One record, uncompressed:
 *
 *     key    version, 0 (2), type (2)
 *     value  version, 0 (2), coordinator epoch (4)
 *
 * big-endian, as Kafka's ControlRecordType and EndTransactionMarker have them. */
#include "storage/control_batch.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/batch_build.h"
#include "storage/records.h"

enum { KEY_BYTES = 4, VALUE_BYTES = 6 };

void control_batch_write(const struct control_marker *marker, void *out)
{
	struct batch_build build = {
		.data = out,
		.capacity = CONTROL_BATCH_BYTES,
		.attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL,
	};
	uint8_t key[KEY_BYTES] = {0};
	uint8_t value[VALUE_BYTES] = {0};
	uint8_t *headers;

	store_be16(key + 2, (uint16_t)marker->type);
	store_be32(value + 2, (uint32_t)marker->coordinator_epoch);
	const struct record record = {
		.key = key,
		.key_length = sizeof(key),
		.value = value,
		.value_length = sizeof(value),
	};
	check(batch_build_add(&build, &record, marker->timestamp_ms, &headers) == 0);
	check(build.size == CONTROL_BATCH_BYTES);
	batch_build_seal(&build, marker->producer_id, marker->producer_epoch, -1);
}

static bool is_marker(const struct batch *batch)
{
	return (batch->attributes & BATCH_CONTROL) && (batch->attributes & BATCH_TRANSACTIONAL) &&
	       !(batch->attributes & BATCH_CODEC_MASK) && batch->size == CONTROL_BATCH_BYTES &&
	       batch->record_count == 1 && batch->last_offset_delta == 0 &&
	       batch->producer_id >= 0 && batch->producer_epoch >= 0;
}

int control_batch_read(struct control_marker *ret, const void *data, const struct batch *batch)
{
	struct record record;

	if (!is_marker(batch))
		return -ERR_CORRUPT;
	struct record_cursor cursor = record_cursor_over((const uint8_t *)data + BATCH_HEADER_BYTES,
							 CONTROL_BATCH_BYTES - BATCH_HEADER_BYTES);
	if (record_next(&cursor, &record) != 1 || cursor.at != cursor.end ||
	    record.offset_delta != 0 || !record.key || record.key_length != KEY_BYTES ||
	    !record.value || record.value_length != VALUE_BYTES)
		return -ERR_CORRUPT;
	uint16_t type = load_be16(record.key + 2);
	if (load_be16(record.key) != 0 || load_be16(record.value) != 0 ||
	    (type != CONTROL_ABORT && type != CONTROL_COMMIT))
		return -ERR_CORRUPT;
	*ret = (struct control_marker){
		.type = type,
		.producer_id = batch->producer_id,
		.producer_epoch = batch->producer_epoch,
		.coordinator_epoch = (int32_t)load_be32(record.value + 2),
		.timestamp_ms = batch->max_timestamp,
	};
	return 0;
}
