/* Walking records: every field, every cut, every length that lies. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/records.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Length 18: attributes, timestamp delta 300 (2 bytes), offset delta 1, key "k", value "val", two
 * headers: "h" = "x", "n" = null. */
static const uint8_t full[] = {
	0x24, 0x00, 0xd8, 0x04, 0x02, 0x02, 'k',  0x06, 'v',  'a',
	'l',  0x04, 0x02, 'h',  0x02, 'x',  0x02, 'n',  0x01, 0x00,
};
static const size_t full_bytes = sizeof(full) - 1;

static int next(const uint8_t *data, size_t length, struct record *ret)
{
	/* Exactly as long, so that a read too far is seen. */
	uint8_t *exact = malloc(length ? length : 1);

	check(exact);
	memcpy(exact, data, length);
	struct record_cursor cursor = record_cursor_over(exact, length);
	int rc = record_next(&cursor, ret);
	if (rc == 1)
		assert_true(cursor.at > exact && cursor.at <= exact + length);
	free(exact);
	return rc;
}

static void every_field_is_found(void **state)
{
	struct record_cursor cursor = record_cursor_over(full, full_bytes);
	struct record record;

	(void)state;
	assert_int_equal(record_next(&cursor, &record), 1);
	assert_int_equal(record.timestamp_delta, 300);
	assert_int_equal(record.offset_delta, 1);
	assert_int_equal(record.key_length, 1);
	assert_memory_equal(record.key, "k", 1);
	assert_int_equal(record.value_length, 3);
	assert_memory_equal(record.value, "val", 3);
	assert_int_equal(record.header_count, 2);
	assert_int_equal(record.headers_length, 7);
	assert_ptr_equal(record.headers, full + 12);
	assert_int_equal(record_next(&cursor, &record), 0);
}

static void every_cut_is_refused(void **state)
{
	struct record record;

	(void)state;
	for (size_t length = 1; length < full_bytes; length++)
		assert_int_equal(next(full, length, &record), -ERR_INVALID_RECORD);
	assert_int_equal(next(full, 0, &record), 0);
	/* The length says less or more than the fields take. */
	uint8_t copy[sizeof(full)];
	for (int length = 0; length < 64; length++) {
		memcpy(copy, full, sizeof(full));
		copy[0] = (uint8_t)(length * 2);
		assert_int_equal(next(copy, full_bytes, &record),
				 length == 18 ? 1 : -ERR_INVALID_RECORD);
	}
}

static void null_key_and_value_are_told_from_empty_ones(void **state)
{
	static const uint8_t nulls[] = {0x0c, 0, 0, 0, 0x01, 0x01, 0};
	static const uint8_t empty[] = {0x0c, 0, 0, 0, 0x00, 0x00, 0};
	struct record record;

	(void)state;
	assert_int_equal(next(nulls, sizeof(nulls), &record), 1);
	assert_null(record.key);
	assert_null(record.value);
	assert_int_equal(next(empty, sizeof(empty), &record), 1);
	assert_non_null(record.key);
	assert_non_null(record.value);
	assert_int_equal(record.key_length, 0);
}

static void lying_lengths_are_refused(void **state)
{
	static const uint8_t records[][16] = {
		{0x0c, 0, 0, 0, 0x03, 0x01, 0},    /* key of length -2 */
		{0x0c, 0, 0, 0, 0x40, 0x01, 0},    /* key past the end */
		{0x0c, 0, 0, 0, 0x01, 0x40, 0},    /* value past the end */
		{0x0c, 0, 0, 0, 0x01, 0x01, 0x01}, /* -1 headers */
		{0x0c, 0, 0, 0, 0x01, 0x01, 0x02}, /* a header that is not there */
		{0x14, 0, 0, 0, 0x01, 0x01, 0xfe, 0xff, 0xff, 0xff, 0x0f}, /* 2^31-1 headers */
		{0x10, 0, 0, 0, 0x01, 0x01, 0x02, 0x01, 0x01}, /* header with a null key */
		{0x16, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x01,
		 0},    /* varint of 6 bytes */
		{0x01}, /* record of length -1 */
		{0x00}, /* and of length 0 */
	};
	static const size_t lengths[] = {7, 7, 7, 7, 7, 11, 9, 12, 1, 1};
	struct record record;

	(void)state;
	for (size_t i = 0; i < array_count(records); i++)
		assert_int_equal(next(records[i], lengths[i], &record), -ERR_INVALID_RECORD);
}

static void timestamps_take_ten_bytes_at_most(void **state)
{
	/* INT64_MIN as a delta. */
	static const uint8_t least[] = {0x1e, 0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0x01, 0,    0x01, 0x01, 0};
	uint8_t longer[] = {0x20, 0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			    0xff, 0xff, 0xff, 0x01, 0,    0x01, 0x01, 0};
	struct record record;

	(void)state;
	assert_int_equal(next(least, sizeof(least), &record), 1);
	assert_true(record.timestamp_delta == INT64_MIN);
	assert_int_equal(next(longer, sizeof(longer), &record), -ERR_INVALID_RECORD);
}

static void random_bytes_are_survived(void **state)
{
	struct chance chance = {.state = 7};
	struct record record;
	uint8_t noise[100];

	(void)state;
	for (int i = 0; i < 50000; i++) {
		size_t length = 1 + chance_below(&chance, sizeof(noise) - 1);
		for (size_t j = 0; j < length; j++)
			noise[j] = (uint8_t)(chance_one_in(&chance, 2) ? chance_below(&chance, 8)
								       : chance_next(&chance));
		noise[0] = (uint8_t)((length - 1) * 2);
		int rc = next(noise, length, &record);
		assert_true(rc == 1 || rc == -ERR_INVALID_RECORD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_is_found),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(null_key_and_value_are_told_from_empty_ones),
		cmocka_unit_test(lying_lengths_are_refused),
		cmocka_unit_test(timestamps_take_ten_bytes_at_most),
		cmocka_unit_test(random_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
