/* Batches are built by the client's code and taken apart by the broker's. */
#include "client/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/compressor.h"
#include "client/sluice.h"
#include "storage/batch.h"
#include "storage/compress.h"
#include "storage/records.h"

enum { NOW_MS = 1700000000, RECORDS = 500 };

static const struct batch_rules rules = {
	.batch_bytes_max = 64 << 20,
	.decompressed_bytes_max = 64 << 20,
	.now_ms = NOW_MS,
	.timestamp_before_max_ms = INT64_MAX,
	.timestamp_after_max_ms = INT64_MAX,
	.zstd_allowed = true,
};

static void fill(struct batch_build *builder, int count)
{
	for (int i = 0; i < count; i++) {
		char key[32];
		char value[64];
		int key_length = snprintf(key, sizeof(key), "key-%d", i % 7);
		int value_length = snprintf(value, sizeof(value), "the value of record %d", i);
		const struct sluice_header headers[] = {
			{.name = "h", .name_length = 1, .value = "v", .value_length = 1},
			{.name = "none", .name_length = 4},
		};
		const struct sluice_record record = {
			.key = i % 3 ? key : NULL,
			.key_length = (size_t)key_length,
			.value = i % 5 ? value : NULL,
			.value_length = (size_t)value_length,
			.headers = headers,
			.header_count = i % 2 ? 2 : 0,
		};
		size_t before = builder->size;
		assert_int_equal(builder_add(builder, &record, NOW_MS + i * 3), 0);
		size_t header = before ? 0 : BATCH_HEADER_BYTES;
		assert_in_range(builder->size - before - header, 1, builder_record_bytes(&record));
	}
}

static void check_record(const struct record *record, int i)
{
	char text[64];

	assert_int_equal(record->offset_delta, i);
	assert_int_equal(record->timestamp_delta, i * 3);
	snprintf(text, sizeof(text), "key-%d", i % 7);
	if (i % 3) {
		assert_int_equal(record->key_length, strlen(text));
		assert_memory_equal(record->key, text, record->key_length);
	} else {
		assert_null(record->key);
	}
	snprintf(text, sizeof(text), "the value of record %d", i);
	if (i % 5) {
		assert_int_equal(record->value_length, strlen(text));
		assert_memory_equal(record->value, text, record->value_length);
	} else {
		assert_null(record->value);
	}
	assert_int_equal(record->header_count, i % 2 ? 2 : 0);
}

static void check_batch(const struct batch_build *builder, enum batch_codec codec, int count)
{
	struct decompressor *decompressor;
	struct batch_fault fault;
	struct batch batch;
	struct record record;

	assert_int_equal(decompressor_new(&decompressor), 0);
	assert_int_equal(
		batch_validate(&batch, builder->data, builder->size, &rules, decompressor, &fault),
		0);
	assert_int_equal(batch.attributes, codec);
	assert_int_equal(batch.record_count, count);
	assert_int_equal(batch.base_timestamp, NOW_MS);
	assert_int_equal(batch.max_timestamp, NOW_MS + (count - 1) * 3);
	const void *records = builder->data + BATCH_HEADER_BYTES;
	size_t length = builder->size - BATCH_HEADER_BYTES;
	if (codec != CODEC_NONE)
		assert_int_equal(decompress(decompressor, codec, records, length, 64 << 20,
					    &records, &length),
				 0);
	struct record_cursor cursor = record_cursor_over(records, length);
	for (int i = 0; i < count; i++) {
		assert_int_equal(record_next(&cursor, &record), 1);
		check_record(&record, i);
	}
	assert_int_equal(record_next(&cursor, &record), 0);
	decompressor_free(decompressor);
}

static void a_batch_is_what_the_broker_wants(void **state)
{
	struct batch_build builder = {0};

	fill(&builder, RECORDS);
	batch_build_seal(&builder, -1, -1, -1);
	check_batch(&builder, CODEC_NONE, RECORDS);
	batch_build_fini(&builder);
}

static void one_record_is_a_batch(void **state)
{
	struct batch_build builder = {0};

	fill(&builder, 1);
	batch_build_seal(&builder, -1, -1, -1);
	check_batch(&builder, CODEC_NONE, 1);
	batch_build_fini(&builder);
}

static void every_codec_and_level_comes_back(void **state)
{
	for (unsigned codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		for (int level = -1; level <= 22; level += 23) {
			struct batch_build builder = {0};
			struct compressor *compressor;
			assert_int_equal(compressor_new(&compressor, codec, level), 0);
			/* The contexts are used again. */
			for (int round = 0; round < 2; round++) {
				fill(&builder, RECORDS);
				size_t plain = builder.size;
				assert_int_equal(builder_compress(&builder, compressor, codec), 0);
				assert_in_range(builder.size, BATCH_HEADER_BYTES, plain - 1);
				batch_build_seal(&builder, -1, -1, -1);
				check_batch(&builder, codec, RECORDS);
				batch_build_fini(&builder);
			}
			compressor_free(compressor);
		}
	}
}

static void what_does_not_shrink_stays_plain(void **state)
{
	struct batch_build builder = {0};
	struct compressor *compressor;

	assert_int_equal(compressor_new(&compressor, CODEC_GZIP, -1), 0);
	fill(&builder, 1);
	assert_int_equal(builder_compress(&builder, compressor, CODEC_GZIP), 0);
	batch_build_seal(&builder, -1, -1, -1);
	check_batch(&builder, CODEC_NONE, 1);
	batch_build_fini(&builder);
	compressor_free(compressor);
}

static void numbers_can_be_changed_and_the_checksum_follows(void **state)
{
	struct batch_build builder = {0};
	struct batch batch;

	fill(&builder, 3);
	batch_build_seal(&builder, 77, 2, 10);
	assert_int_equal(batch_parse(&batch, builder.data, builder.size), 0);
	assert_true(batch_crc_valid(&batch, builder.data));
	assert_int_equal(batch.producer_id, 77);
	assert_int_equal(batch.producer_epoch, 2);
	assert_int_equal(batch.base_sequence, 10);
	batch_build_seal(&builder, 78, 0, 0);
	assert_int_equal(batch_parse(&batch, builder.data, builder.size), 0);
	assert_true(batch_crc_valid(&batch, builder.data));
	assert_int_equal(batch.producer_id, 78);
	assert_int_equal(batch.base_sequence, 0);
	batch_build_fini(&builder);
}

static void time_may_run_backwards(void **state)
{
	const struct sluice_record record = {.value = "v", .value_length = 1};
	struct batch_build builder = {0};
	struct batch batch;

	assert_int_equal(builder_add(&builder, &record, 5000), 0);
	assert_int_equal(builder_add(&builder, &record, 1000), 0);
	batch_build_seal(&builder, -1, -1, -1);
	assert_int_equal(batch_parse(&batch, builder.data, builder.size), 0);
	assert_int_equal(batch.base_timestamp, 5000);
	assert_int_equal(batch.max_timestamp, 5000);
	batch_build_fini(&builder);
}

/* What does not shrink needs all the room that the bound says, after other batches too. */
static void the_smallest_inputs_fit_their_bound_time_after_time(void **state)
{
	uint8_t out[1024];

	(void)state;
	for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		struct compressor *compressor;
		assert_int_equal(compressor_new(&compressor, codec, -1), 0);
		for (uint8_t length = 1; length < 64; length++) {
			uint8_t data[64];
			for (uint8_t i = 0; i < length; i++)
				data[i] = (uint8_t)(i * 37 + length);
			size_t room = compressor_bound(compressor, length);
			assert_in_range(room, length, sizeof(out));
			assert_true(compressor_run(compressor, data, length, out, room) > 0);
		}
		compressor_free(compressor);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_what_the_broker_wants),
		cmocka_unit_test(one_record_is_a_batch),
		cmocka_unit_test(every_codec_and_level_comes_back),
		cmocka_unit_test(what_does_not_shrink_stays_plain),
		cmocka_unit_test(numbers_can_be_changed_and_the_checksum_follows),
		cmocka_unit_test(time_may_run_backwards),
		cmocka_unit_test(the_smallest_inputs_fit_their_bound_time_after_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
