#include "tests/storage/keyed.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/batch_build.h"
#include "storage/compress.h"
#include "storage/control_batch.h"
#include "storage/records.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <stdlib.h>
#include <string.h>

enum { PADDING_MAX = 4096, DECOMPRESSED_MAX = 1 << 24, READ_BYTES = 30000 };

struct rig *keyed_rig_new(uint64_t segment_bytes, int64_t delete_retention_ms, bool keeps_jobs)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	sim_options(rig->io)->slowness = 1;
	if (keeps_jobs)
		rig_keep_jobs(rig);
	rig->config.delete_enabled = false;
	rig->config.segment_bytes = segment_bytes;
	rig->config.compact = (struct compact_config){
		.enabled = true,
		.max_lag_ms = INT64_MAX,
		.delete_retention_ms = delete_retention_ms,
	};
	rig->compact_map_bytes = 1 << 20;
	rig_restart(rig);
	rig_open(rig);
	return rig;
}

static void add(struct batch_build *build, const struct keyed *keyed,
		const struct keyed_options *options)
{
	uint8_t value[8 + PADDING_MAX];
	struct chance chance = {.state = (uint64_t)keyed->value};
	struct record record = {0};
	uint8_t *headers;

	check(options->padding <= PADDING_MAX);
	memcpy(value, &keyed->value, 8);
	for (size_t i = 0; i < options->padding; i++)
		value[8 + i] = (uint8_t)chance_next(&chance);
	if (keyed->key != NO_KEY) {
		record.key = (const uint8_t *)&keyed->key;
		record.key_length = sizeof(keyed->key);
	}
	if (keyed->value != TOMBSTONE) {
		record.value = value;
		record.value_length = 8 + options->padding;
	}
	check(batch_build_add(build, &record, options->first_ms, &headers) == 0);
}

struct made_batch make_keyed_batch(const struct keyed *records, unsigned count,
				   const struct keyed_options *options)
{
	struct batch_build build = {.attributes = options->attributes};
	struct made_batch made = {0};
	bool produced = options->producer_id > 0;

	for (unsigned i = 0; i < count; i++)
		add(&build, &records[i], options);
	compress_build(&build, options->codec);
	batch_build_seal(&build, produced ? options->producer_id : -1,
			 produced ? options->epoch : -1, produced ? options->base_sequence : -1);
	made.data = build.data;
	made.size = build.size;
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	return made;
}

int64_t rig_append_keyed(struct rig *rig, const struct keyed *records, unsigned count,
			 const struct keyed_options *options)
{
	struct made_batch made = make_keyed_batch(records, count, options);
	int64_t offset = -1;

	check(rig_append(rig, &made, ACK_DURABLE, &offset) == 0);
	free(made.data);
	return offset;
}

void rig_append_marker(struct rig *rig, int64_t producer_id, int16_t epoch, bool commit)
{
	const struct control_marker marker = {
		.type = commit ? CONTROL_COMMIT : CONTROL_ABORT,
		.producer_id = producer_id,
		.producer_epoch = epoch,
		.coordinator_epoch = 1,
		.timestamp_ms = rig->now_ms,
	};
	struct made_batch made = make_marker(&marker);

	check(rig_append(rig, &made, ACK_DURABLE, NULL) == 0);
	free(made.data);
}

/* ---- what a log has ---- */

struct visit {
	void (*each)(void *context, const struct keyed_found *found);
	void *context;
	struct decompressor *decompressor;
};

static void visit_records(const struct visit *visit, const uint8_t *data, const struct batch *batch)
{
	const void *records = data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct record record;
	int32_t count = 0;
	int64_t last_delta = -1;

	if (codec != CODEC_NONE)
		check(decompress(visit->decompressor, codec, records, length, DECOMPRESSED_MAX,
				 &records, &length) == 0);
	struct record_cursor cursor = record_cursor_over(records, length);
	while (record_next(&cursor, &record) > 0) {
		struct keyed_found found = {
			.batch = *batch,
			.offset = batch->base_offset + record.offset_delta,
			.timestamp_ms = batch->base_timestamp + record.timestamp_delta,
			.record = {NO_KEY, TOMBSTONE},
		};
		check(record.offset_delta > last_delta);
		check(record.offset_delta <= batch->last_offset_delta);
		last_delta = record.offset_delta;
		if (record.key)
			memcpy(&found.record.key, record.key, 8);
		if (record.value)
			memcpy(&found.record.value, record.value, 8);
		visit->each(visit->context, &found);
		count++;
	}
	check(cursor.at == cursor.end);
	check(count == batch->record_count);
}

static void visit_batch(const struct visit *visit, const uint8_t *data, const struct batch *batch)
{
	struct keyed_found found = {
		.batch = *batch,
		.offset = batch->base_offset,
		.record = {NO_KEY, TOMBSTONE},
		.marker = batch->attributes & BATCH_CONTROL,
		.empty = !batch->record_count,
	};

	check(batch_crc_valid(batch, data));
	if (found.marker || found.empty)
		visit->each(visit->context, &found);
	else
		visit_records(visit, data, batch);
}

void rig_each_keyed(struct rig *rig, void (*each)(void *context, const struct keyed_found *found),
		    void *context)
{
	struct visit visit = {.each = each, .context = context};
	int64_t offset = log_start_offset(rig->log);
	int64_t end = log_high_watermark(rig->log);

	check(decompressor_new(&visit.decompressor) == 0);
	while (offset < end) {
		struct rig_read got = rig_read(rig, offset, READ_BYTES, true);
		struct batch batch;
		check(got.rc == 0);
		if (!got.size)
			break;
		for (size_t at = 0; at < got.size; at += batch.size) {
			check(batch_parse(&batch, got.data + at, got.size - at) == 0);
			check(batch.base_offset + batch.last_offset_delta >= offset);
			offset = batch.base_offset + batch.last_offset_delta + 1;
			visit_batch(&visit, got.data + at, &batch);
		}
		free(got.data);
	}
	decompressor_free(visit.decompressor);
}
