/* Batches of every codec without some of their records. */
#include "storage/batch_filter.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/compress.h"
#include "storage/compressor.h"
#include "storage/records.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RECORDS = 20, DECOMPRESSED_MAX = 1 << 20 };

/* As a producer compresses it. */
static struct made_batch compressed(enum batch_codec codec, uint64_t seed)
{
	struct made_batch plain = make_batch(RECORDS, 50, 1000, seed);
	struct compressor *compressor;

	if (codec == CODEC_NONE)
		return plain;
	check(compressor_new(&compressor, codec, -1) == 0);
	size_t length = plain.size - BATCH_HEADER_BYTES;
	size_t bound = compressor_bound(compressor, length);
	struct made_batch made = {.data = malloc(BATCH_HEADER_BYTES + bound)};
	memcpy(made.data, plain.data, BATCH_HEADER_BYTES);
	int64_t size = compressor_run(compressor, plain.data + BATCH_HEADER_BYTES, length,
				      made.data + BATCH_HEADER_BYTES, bound);
	check(size > 0);
	made.size = BATCH_HEADER_BYTES + (size_t)size;
	store_be16(made.data + 21, (uint16_t)codec);
	fix_batch(made.data, made.size);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	compressor_free(compressor);
	free(plain.data);
	return made;
}

struct wanted {
	uint32_t mask; /* a bit a record */
	int32_t asked;
};

static bool keep(void *context, const struct record *record)
{
	struct wanted *wanted = context;

	assert_int_equal(record->offset_delta, wanted->asked++);
	return wanted->mask >> record->offset_delta & 1;
}

/* The records of `made` are those of `original` that the mask has. */
static void expect_records(const struct made_batch *original, uint32_t mask, const void *data,
			   const struct batch *batch)
{
	struct decompressor *one, *other;
	const void *records = (const uint8_t *)data + BATCH_HEADER_BYTES;
	const void *all = original->data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	size_t all_length = original->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	struct record got, expected;

	check(decompressor_new(&one) == 0 && decompressor_new(&other) == 0);
	if (codec) {
		assert_int_equal(decompress(one, codec, records, length, DECOMPRESSED_MAX, &records,
					    &length),
				 0);
		check(decompress(other, codec, all, all_length, DECOMPRESSED_MAX, &all,
				 &all_length) == 0);
	}
	struct record_cursor cursor = record_cursor_over(records, length);
	struct record_cursor source = record_cursor_over(all, all_length);
	while (record_next(&source, &expected) > 0) {
		if (!(mask >> expected.offset_delta & 1))
			continue;
		assert_int_equal(record_next(&cursor, &got), 1);
		assert_int_equal(got.offset_delta, expected.offset_delta);
		assert_int_equal(got.timestamp_delta, expected.timestamp_delta);
		assert_int_equal(got.value_length, expected.value_length);
		assert_memory_equal(got.value, expected.value, got.value_length);
	}
	assert_int_equal(record_next(&cursor, &got), 0);
	decompressor_free(one);
	decompressor_free(other);
}

static void check_filter(struct batch_filter *filter, enum batch_codec codec, uint32_t mask)
{
	struct made_batch made = compressed(codec, mask);
	struct wanted wanted = {.mask = mask};
	const void *data = NULL;
	struct batch batch;
	int last = 31 - __builtin_clz(mask);

	int count = batch_filter_run(filter, made.data, &made.batch, DECOMPRESSED_MAX, keep,
				     &wanted, &data, &batch);
	assert_int_equal(count, __builtin_popcount(mask));
	assert_int_equal(wanted.asked, RECORDS);
	assert_int_equal(batch.record_count, count);
	assert_int_equal(batch.last_offset_delta, RECORDS - 1);
	assert_int_equal(batch.attributes, made.batch.attributes);
	assert_int_equal(batch.max_timestamp, 1000 + last);
	assert_true(batch_crc_valid(&batch, data));
	expect_records(&made, mask, data, &batch);
	free(made.data);
}

static void what_stays_keeps_its_offset_and_its_bytes_in_every_codec(void **state)
{
	for (enum batch_codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
		check_filter(*state, codec, 1);
		check_filter(*state, codec, 1 << (RECORDS - 1));
		check_filter(*state, codec, 0x55555);
		check_filter(*state, codec, 0x7ffff);
		check_filter(*state, codec, 0xffffe);
	}
}

static void a_batch_that_stays_whole_is_not_touched(void **state)
{
	struct made_batch made = compressed(CODEC_ZSTD, 1);
	struct wanted wanted = {.mask = UINT32_MAX};
	const void *data = NULL;
	struct batch batch;

	assert_int_equal(batch_filter_run(*state, made.data, &made.batch, DECOMPRESSED_MAX, keep,
					  &wanted, &data, &batch),
			 RECORDS);
	assert_ptr_equal(data, made.data);
	assert_int_equal(batch.size, made.size);
	free(made.data);
}

static void of_nothing_nothing_is_made(void **state)
{
	struct made_batch made = compressed(CODEC_NONE, 1);
	struct wanted wanted = {0};
	const void *data = NULL;
	struct batch batch;

	assert_int_equal(batch_filter_run(*state, made.data, &made.batch, DECOMPRESSED_MAX, keep,
					  &wanted, &data, &batch),
			 0);
	assert_null(data);
	free(made.data);
}

static void an_empty_batch_keeps_the_place_of_what_it_had(void **state)
{
	struct made_batch made = compressed(CODEC_ZSTD, 1);
	const void *data = NULL;
	struct batch batch;

	store_be64(made.data + 43, 4711);
	store_be16(made.data + 51, 5);
	store_be32(made.data + 53, 77);
	fix_batch(made.data, made.size);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	assert_int_equal(batch_filter_empty(*state, made.data, &made.batch, &data, &batch), 0);
	assert_int_equal(batch.size, BATCH_HEADER_BYTES);
	assert_int_equal(batch.record_count, 0);
	assert_int_equal(batch.last_offset_delta, RECORDS - 1);
	assert_int_equal(batch.producer_id, 4711);
	assert_int_equal(batch.producer_epoch, 5);
	assert_int_equal(batch.base_sequence, 77);
	assert_int_equal(batch.max_timestamp, -1);
	assert_int_equal(batch.attributes, CODEC_NONE);
	assert_true(batch_crc_valid(&batch, data));
	free(made.data);
}

static void the_time_of_the_log_stays_with_the_batch(void **state)
{
	struct made_batch made = compressed(CODEC_NONE, 1);
	struct wanted wanted = {.mask = 1};
	const void *data = NULL;
	struct batch batch;

	batch_set_append_time(made.data, 777777);
	fix_batch(made.data, made.size);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	assert_int_equal(batch_filter_run(*state, made.data, &made.batch, DECOMPRESSED_MAX, keep,
					  &wanted, &data, &batch),
			 1);
	assert_int_equal(batch.max_timestamp, 777777);
	free(made.data);
}

static int set_up(void **state)
{
	return batch_filter_new((struct batch_filter **)state);
}

static int tear_down(void **state)
{
	batch_filter_free(*state);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_stays_keeps_its_offset_and_its_bytes_in_every_codec),
		TEST(a_batch_that_stays_whole_is_not_touched),
		TEST(of_nothing_nothing_is_made),
		TEST(an_empty_batch_keeps_the_place_of_what_it_had),
		TEST(the_time_of_the_log_stays_with_the_batch),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
