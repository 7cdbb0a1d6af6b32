#include "tests/storage/id_batch.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/batch_build.h"
#include "storage/compress.h"
#include "storage/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 64, DECOMPRESSED_MAX = 1 << 24 };

static struct record record_of(uint64_t number, uint8_t headers[static HEADERS_MAX])
{
	char text[24];
	int length = snprintf(text, sizeof(text), "%" PRIu64, number);
	struct record record = {.headers = headers};

	if (!number)
		return record;
	uint8_t *at = batch_put_bytes(headers, "dedup-id", 8);
	at = batch_put_bytes(at, text, (size_t)length);
	record.header_count = 1;
	record.headers_length = (size_t)(at - headers);
	return record;
}

static void add(struct batch_build *build, uint64_t number, int64_t ms)
{
	uint8_t headers[HEADERS_MAX];
	uint8_t value[48] = {0};
	struct record record = record_of(number, headers);
	uint8_t *room;

	memcpy(value, &number, sizeof(number));
	record.value = value;
	record.value_length = sizeof(value);
	check(batch_build_add(build, &record, ms, &room) == 0);
	memcpy(room, headers, record.headers_length);
}

struct dedup_config id_window(int64_t window_ms, uint64_t entries_max)
{
	return (struct dedup_config){
		.enabled = true,
		.window_ms = window_ms,
		.entries_max = entries_max,
		.header_length = 8,
		.header = "dedup-id",
	};
}

struct dedup_id id_of_number(const struct dedup_config *config, uint64_t number)
{
	uint8_t headers[HEADERS_MAX];
	struct record record = record_of(number, headers);
	struct dedup_id id = {0};

	dedup_id_of(config, &record, &id);
	return id;
}

struct made_batch make_id_batch(const uint64_t *numbers, unsigned count,
				const struct id_batch_options *options)
{
	struct dedup_config config = id_window(1, 1);
	struct batch_build build = {.attributes = options->attributes};
	struct made_batch made = {.ids = calloc(count, sizeof(*made.ids))};
	bool produced = options->producer_id > 0;

	check(made.ids);
	for (unsigned i = 0; i < count; i++) {
		add(&build, numbers[i], options->first_ms);
		made.ids[i] = id_of_number(&config, numbers[i]);
	}
	compress_build(&build, options->codec);
	batch_build_seal(&build, produced ? options->producer_id : -1, produced ? 0 : -1,
			 produced ? options->base_sequence : -1);
	made.data = build.data;
	made.size = build.size;
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	return made;
}

void free_id_batch(struct made_batch *made)
{
	free(made->data);
	free(made->ids);
}

int rig_append_id(struct rig *rig, uint64_t number, int64_t *ret_offset)
{
	struct made_batch made = make_id_batch(&number, 1,
					       &(struct id_batch_options){.first_ms = rig->now_ms});
	int rc = rig_append(rig, &made, ACK_DURABLE, ret_offset);

	free_id_batch(&made);
	return rc;
}

int64_t rig_keep_id(struct rig *rig, uint64_t number)
{
	int64_t offset = -1;

	check(rig_append_id(rig, number, &offset) == 0);
	return offset;
}

void rig_pass(struct rig *rig, int64_t ms)
{
	rig_pass_time(rig, ms);
	rig_turn(rig);
	store_housekeep(rig->store);
}

static void each_of_batch(const struct batch *batch, const uint8_t *data,
			  struct decompressor *decompressor,
			  void (*each)(void *context, int64_t offset, uint64_t number),
			  void *context)
{
	const void *records = data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct record record;
	int32_t count = 0;

	check(batch_crc_valid(batch, data));
	if (codec && batch->record_count)
		check(decompress(decompressor, codec, records, length, DECOMPRESSED_MAX, &records,
				 &length) == 0);
	struct record_cursor cursor = record_cursor_over(records, length);
	while (record_next(&cursor, &record) > 0) {
		uint64_t number;
		memcpy(&number, record.value, sizeof(number));
		each(context, batch->base_offset + record.offset_delta, number);
		count++;
	}
	check(count == batch->record_count);
}

void rig_each_record(struct rig *rig, void (*each)(void *context, int64_t offset, uint64_t number),
		     void *context)
{
	struct decompressor *decompressor;
	int64_t offset = log_start_offset(rig->log);

	check(decompressor_new(&decompressor) == 0);
	while (offset < log_high_watermark(rig->log)) {
		struct rig_read got = rig_read(rig, offset, 1 << 20, true);
		check(got.rc == 0);
		check(got.size > 0);
		for (size_t at = 0; at < got.size;) {
			struct batch batch;
			check(batch_parse(&batch, got.data + at, got.size - at) == 0);
			each_of_batch(&batch, got.data + at, decompressor, each, context);
			offset = batch.base_offset + batch.last_offset_delta + 1;
			at += batch.size;
		}
		free(got.data);
	}
	decompressor_free(decompressor);
}
