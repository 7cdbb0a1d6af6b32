/* One byte of rules, then a record batch as a client sends it.  Each input is tried as it is, and
 * once more with its length, magic and CRC put right, or the fuzzer would never get beyond them. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "storage/batch.h"
#include "storage/compress.h"
#include "storage/dedup.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	RULE_KEYS = 0x01,
	RULE_NO_ZSTD = 0x02,
	RULE_APPEND_TIME = 0x04,
	RULE_TIMESTAMPS = 0x08,
	RULE_SMALL = 0x10,
	RULE_DEDUP = 0x20,
	RULE_DEDUP_KEY = 0x40,
	IDS_MAX = 1 << 16,
	AT_LENGTH = 8,
	AT_MAGIC = 16,
	AT_CRC = 17,
	DECOMPRESSED_BYTES_MAX = 1 << 20,
	SMALL_BYTES_MAX = 4096,
};

static const struct dedup_config dedup_configs[] = {
	{.header = "id", .header_length = 2},
	{.header = "id", .header_length = 2, .scope = DEDUP_KEY},
};

static struct batch_rules rules_of(uint8_t choice)
{
	return (struct batch_rules){
		.batch_bytes_max = choice & RULE_SMALL ? SMALL_BYTES_MAX : DECOMPRESSED_BYTES_MAX,
		.decompressed_bytes_max = choice & RULE_SMALL ? SMALL_BYTES_MAX
							      : DECOMPRESSED_BYTES_MAX,
		.now_ms = INT64_C(1800000000000),
		.timestamp_before_max_ms = choice & RULE_TIMESTAMPS ? 3600000 : INT64_MAX,
		.timestamp_after_max_ms = choice & RULE_TIMESTAMPS ? 3600000 : INT64_MAX,
		.keys_required = choice & RULE_KEYS,
		.zstd_allowed = !(choice & RULE_NO_ZSTD),
		.log_append_time = choice & RULE_APPEND_TIME,
		.dedup = choice & RULE_DEDUP ? &dedup_configs[!!(choice & RULE_DEDUP_KEY)] : NULL,
	};
}

/* What the log does with a batch that was accepted keeps it whole. */
static void check_accepted(const struct batch *batch, uint8_t *data, size_t size)
{
	struct batch again;

	check(batch->size == size);
	check(batch->record_count > 0);
	check(batch->last_offset_delta == batch->record_count - 1);
	batch_set_base(data, 1000, 7);
	check(batch_parse(&again, data, size) == 0);
	check(batch_crc_valid(&again, data));
	batch_set_append_time(data, 1);
	check(batch_parse(&again, data, size) == 0);
	check(again.base_offset == 1000);
	check(again.leader_epoch == 7);
	check(again.max_timestamp == 1);
	check(again.record_count == batch->record_count);
}

/* As many as the header says, and not one more; null: that is absurd. */
static struct dedup_id *room_for_ids(const uint8_t *data, size_t size)
{
	struct batch batch;

	if (batch_parse(&batch, data, size) < 0 || batch.record_count <= 0 ||
	    batch.record_count > IDS_MAX)
		return NULL;
	struct dedup_id *ids = malloc((size_t)batch.record_count * sizeof(*ids));
	check(ids != NULL);
	return ids;
}

static void try(const uint8_t *data, size_t size, const struct batch_rules *rules, bool repair)
{
	static struct decompressor *decompressor;
	struct batch_fault fault = {0};
	struct batch batch;
	uint8_t *copy = malloc(size ? size : 1);

	check(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	if (!decompressor)
		check(decompressor_new(&decompressor) == 0);
	if (repair) {
		store_be64(copy, 0);
		store_be32(copy + AT_LENGTH, (uint32_t)(size - BATCH_LENGTH_PREFIX));
		copy[AT_MAGIC] = 2;
		store_be32(copy + AT_CRC,
			   crc32c(0, copy + BATCH_CRC_START, size - BATCH_CRC_START));
	}
	struct batch_rules own = *rules;
	if (rules->dedup)
		own.ids = room_for_ids(copy, size);
	if (!own.ids)
		own.dedup = NULL;
	int rc = batch_validate(&batch, copy, size, &own, decompressor, &fault);
	if (rc == 0)
		check_accepted(&batch, copy, size);
	else
		check(fault.text != NULL);
	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_INVALID_RECORD ||
	      rc == -ERR_INVALID_TIMESTAMP || rc == -ERR_TOO_LARGE || rc == -ERR_CODEC);
	free(own.ids);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct batch_rules rules = rules_of(data[0]);
	try(data + 1, size - 1, &rules, false);
	if (size - 1 >= BATCH_HEADER_BYTES)
		try(data + 1, size - 1, &rules, true);
	return 0;
}
