/* Batches: the header, and everything that batch_validate refuses. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/batch.h"
#include "storage/compress.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>

static struct decompressor *decompressor;
static const struct batch_rules lenient = {
	.batch_bytes_max = 1 << 20,
	.decompressed_bytes_max = 1 << 20,
	.now_ms = 1000000,
	.timestamp_before_max_ms = INT64_MAX,
	.timestamp_after_max_ms = INT64_MAX,
	.zstd_allowed = true,
};

static int setup(void **state)
{
	(void)state;
	return decompressor_new(&decompressor);
}

static int teardown(void **state)
{
	(void)state;
	decompressor_free(decompressor);
	return 0;
}

static int validate(const uint8_t *data, size_t size, const struct batch_rules *rules,
		    struct batch_fault *fault)
{
	struct batch batch;
	uint8_t *exact = malloc(size ? size : 1);

	check(exact);
	memcpy(exact, data, size);
	*fault = (struct batch_fault){.record_index = 12345};
	int rc = batch_validate(&batch, exact, size, rules, decompressor, fault);
	if (rc < 0)
		assert_non_null(fault->text);
	free(exact);
	return rc;
}

/* A good batch with one field changed and the CRC made right again. */
static int changed(size_t at, size_t bytes, int64_t value)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch_fault fault;

	for (size_t i = 0; i < bytes; i++)
		made.data[at + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	uint32_t length = load_be32(made.data + 8);
	fix_batch(made.data, made.size);
	if (at == 8)
		store_be32(made.data + 8, length);
	int rc = validate(made.data, made.size, &lenient, &fault);
	free(made.data);
	return rc;
}

static void the_header_is_decoded(void **state)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch batch;

	(void)state;
	batch_set_base(made.data, 77, 8);
	assert_int_equal(batch_parse(&batch, made.data, made.size), 0);
	assert_int_equal(batch.base_offset, 77);
	assert_int_equal(batch.leader_epoch, 8);
	assert_int_equal(batch.size, made.size);
	assert_int_equal(batch.last_offset_delta, 2);
	assert_int_equal(batch.base_timestamp, 5000);
	assert_int_equal(batch.max_timestamp, 5002);
	assert_int_equal(batch.producer_id, -1);
	assert_int_equal(batch.record_count, 3);
	assert_true(batch_crc_valid(&batch, made.data));
	assert_int_equal(batch_parse(&batch, made.data, BATCH_HEADER_BYTES), -EMSGSIZE);
	assert_int_equal(batch.size, made.size);
	for (size_t length = 0; length < BATCH_HEADER_BYTES; length++)
		assert_int_equal(batch_parse(&batch, made.data, length), -ERR_CORRUPT);
	free(made.data);
}

static void a_good_batch_is_accepted(void **state)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch_fault fault;

	(void)state;
	assert_int_equal(validate(made.data, made.size, &lenient, &fault), 0);
	free(made.data);
}

static void every_cut_and_every_flipped_byte_is_refused(void **state)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch_fault fault;

	(void)state;
	for (size_t size = 0; size < made.size; size++)
		assert_true(validate(made.data, size, &lenient, &fault) < 0);
	for (size_t i = 0; i < made.size; i++) {
		/* The leader epoch is the broker's. */
		if (i >= 12 && i < 16)
			continue;
		made.data[i] ^= 0x04;
		assert_true(validate(made.data, made.size, &lenient, &fault) < 0);
		made.data[i] ^= 0x04;
	}
	free(made.data);
}

static void header_fields_are_checked(void **state)
{
	(void)state;
	assert_int_equal(changed(0, 8, 5), -ERR_INVALID_RECORD); /* base offset */
	assert_int_equal(changed(8, 4, -1), -ERR_CORRUPT);       /* length */
	assert_int_equal(changed(8, 4, 48), -ERR_CORRUPT);
	assert_int_equal(changed(8, 4, INT32_MAX), -ERR_CORRUPT);
	assert_int_equal(changed(16, 1, 0), -ERR_INVALID_RECORD); /* magic */
	assert_int_equal(changed(16, 1, 1), -ERR_INVALID_RECORD);
	assert_int_equal(changed(16, 1, 3), -ERR_INVALID_RECORD);
	assert_int_equal(changed(21, 2, 5), -ERR_CODEC);
	assert_int_equal(changed(21, 2, 6), -ERR_CODEC);
	assert_int_equal(changed(21, 2, 7), -ERR_CODEC);
	assert_int_equal(changed(21, 2, BATCH_CONTROL), -ERR_INVALID_RECORD);
	assert_int_equal(changed(21, 2, BATCH_DELETE_HORIZON), -ERR_INVALID_RECORD);
	assert_int_equal(changed(21, 2, 0x80), -ERR_INVALID_RECORD);
	assert_int_equal(changed(21, 2, BATCH_LOG_APPEND_TIME), -ERR_INVALID_TIMESTAMP);
	assert_int_equal(changed(23, 4, 1), -ERR_INVALID_RECORD); /* last offset delta */
	assert_int_equal(changed(23, 4, 3), -ERR_INVALID_RECORD);
	assert_int_equal(changed(43, 8, 7), -ERR_INVALID_RECORD); /* producer without epoch */
	assert_int_equal(changed(43, 8, -2), -ERR_INVALID_RECORD);
	assert_int_equal(changed(21, 2, BATCH_TRANSACTIONAL), -ERR_INVALID_RECORD);
	assert_int_equal(changed(57, 4, 0), -ERR_INVALID_RECORD); /* count */
	assert_int_equal(changed(57, 4, -1), -ERR_INVALID_RECORD);
	assert_int_equal(changed(57, 4, INT32_MAX), -ERR_INVALID_RECORD);
}

static void count_and_delta_must_match_the_records(void **state)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch_fault fault;

	(void)state;
	for (int32_t count = 1; count < 10; count++) {
		store_be32(made.data + 57, (uint32_t)count);
		store_be32(made.data + 23, (uint32_t)(count - 1));
		fix_batch(made.data, made.size);
		assert_int_equal(validate(made.data, made.size, &lenient, &fault),
				 count == 3 ? 0 : -ERR_INVALID_RECORD);
	}
	free(made.data);
}

static void offset_deltas_must_rise_by_one(void **state)
{
	struct made_batch made = make_batch(3, 50, 5000, 1);
	struct batch_fault fault;

	(void)state;
	/* The second record's: behind the first one of length 1 + 57. */
	uint8_t *second = made.data + BATCH_HEADER_BYTES + 1 + made.data[BATCH_HEADER_BYTES] / 2;
	second[3] = 8;
	fix_batch(made.data, made.size);
	assert_int_equal(validate(made.data, made.size, &lenient, &fault), -ERR_INVALID_RECORD);
	assert_int_equal(fault.record_index, 1);
	free(made.data);
}

static void two_batches_are_one_too_many(void **state)
{
	struct made_batch made = make_batch(1, 50, 5000, 1);
	uint8_t *twice = malloc(made.size * 2);
	struct batch_fault fault;

	(void)state;
	memcpy(twice, made.data, made.size);
	memcpy(twice + made.size, made.data, made.size);
	assert_int_equal(validate(twice, made.size * 2, &lenient, &fault), -ERR_INVALID_RECORD);
	free(twice);
	free(made.data);
}

static void size_has_a_limit_to_the_byte(void **state)
{
	struct made_batch made = make_batch(1, 50, 5000, 1);
	struct batch_rules rules = lenient;
	struct batch_fault fault;

	(void)state;
	rules.batch_bytes_max = made.size;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), 0);
	rules.batch_bytes_max = made.size - 1;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), -ERR_TOO_LARGE);
	free(made.data);
}

static int with_times(int64_t first_ms, int64_t before_ms, int64_t after_ms, bool append_time)
{
	struct made_batch made = make_batch(2, 50, first_ms, 1);
	struct batch_rules rules = lenient;
	struct batch_fault fault;

	rules.timestamp_before_max_ms = before_ms;
	rules.timestamp_after_max_ms = after_ms;
	rules.log_append_time = append_time;
	int rc = validate(made.data, made.size, &rules, &fault);
	free(made.data);
	return rc;
}

static void timestamps_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(with_times(1000000, 0, 1, false), 0);
	assert_int_equal(with_times(1000000, 0, 0, false), -ERR_INVALID_TIMESTAMP);
	assert_int_equal(with_times(999000, 1000, 0, false), 0);
	assert_int_equal(with_times(998999, 1000, 0, false), -ERR_INVALID_TIMESTAMP);
	assert_int_equal(with_times(-1, INT64_MAX, INT64_MAX, false), 0);
	assert_int_equal(with_times(-2, INT64_MAX, INT64_MAX, false), -ERR_INVALID_TIMESTAMP);
	assert_int_equal(with_times(INT64_MAX - 1, INT64_MAX, INT64_MAX, false), 0);
	assert_int_equal(with_times(INT64_MAX, INT64_MAX, INT64_MAX, false),
			 -ERR_INVALID_TIMESTAMP);
	assert_int_equal(with_times(INT64_MIN, INT64_MAX, INT64_MAX, false),
			 -ERR_INVALID_TIMESTAMP);
	assert_int_equal(with_times(5, 1, 1, true), 0);
}

static void the_largest_timestamp_is_taken_from_the_records(void **state)
{
	struct made_batch made = make_batch(4, 50, 5000, 1);
	struct batch_fault fault;
	struct batch batch;

	(void)state;
	store_be64(made.data + 35, 1);
	fix_batch(made.data, made.size);
	assert_int_equal(
		batch_validate(&batch, made.data, made.size, &lenient, decompressor, &fault), 0);
	assert_int_equal(batch.max_timestamp, 5003);
	free(made.data);
}

static void compacted_topics_need_keys(void **state)
{
	struct made_batch made = make_batch(2, 50, 5000, 1);
	struct batch_rules rules = lenient;
	struct batch_fault fault;

	(void)state;
	rules.keys_required = true;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), -ERR_INVALID_RECORD);
	assert_int_equal(fault.record_index, 0);
	free(made.data);
}

static struct made_batch compressed(struct made_batch plain)
{
	size_t records = plain.size - BATCH_HEADER_BYTES;
	size_t room = LZ4F_compressFrameBound(records, NULL);
	struct made_batch made = {.data = calloc(1, BATCH_HEADER_BYTES + room)};

	check(made.data);
	memcpy(made.data, plain.data, BATCH_HEADER_BYTES);
	size_t size = LZ4F_compressFrame(made.data + BATCH_HEADER_BYTES, room,
					 plain.data + BATCH_HEADER_BYTES, records, NULL);
	check(!LZ4F_isError(size));
	made.size = BATCH_HEADER_BYTES + size;
	made.data[22] = CODEC_LZ4;
	fix_batch(made.data, made.size);
	return made;
}

static void compressed_records_are_looked_at(void **state)
{
	struct made_batch plain = make_batch(100, 50, 5000, 1);
	struct made_batch made = compressed(plain);
	struct batch_rules rules = lenient;
	struct batch_fault fault;

	(void)state;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), 0);
	store_be32(made.data + 57, 99);
	store_be32(made.data + 23, 98);
	fix_batch(made.data, made.size);
	assert_int_equal(validate(made.data, made.size, &rules, &fault), -ERR_INVALID_RECORD);
	store_be32(made.data + 57, 100);
	store_be32(made.data + 23, 99);
	fix_batch(made.data, made.size);
	rules.decompressed_bytes_max = 1000;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), -ERR_TOO_LARGE);
	made.data[22] = CODEC_GZIP;
	fix_batch(made.data, made.size);
	assert_int_equal(validate(made.data, made.size, &lenient, &fault), -ERR_CORRUPT);
	made.data[22] = CODEC_ZSTD;
	fix_batch(made.data, made.size);
	rules.zstd_allowed = false;
	assert_int_equal(validate(made.data, made.size, &rules, &fault), -ERR_CODEC);
	free(plain.data);
	free(made.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_decoded),
		cmocka_unit_test(a_good_batch_is_accepted),
		cmocka_unit_test(every_cut_and_every_flipped_byte_is_refused),
		cmocka_unit_test(header_fields_are_checked),
		cmocka_unit_test(count_and_delta_must_match_the_records),
		cmocka_unit_test(offset_deltas_must_rise_by_one),
		cmocka_unit_test(two_batches_are_one_too_many),
		cmocka_unit_test(size_has_a_limit_to_the_byte),
		cmocka_unit_test(timestamps_are_bounded),
		cmocka_unit_test(the_largest_timestamp_is_taken_from_the_records),
		cmocka_unit_test(compacted_topics_need_keys),
		cmocka_unit_test(compressed_records_are_looked_at),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
