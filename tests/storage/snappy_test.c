/* The block format element by element. */
#include "base/bytes.h"
#include "base/errors.h"
#include "storage/snappy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

/* Decodes a block given as text with its terminator cut off; expects `expected` or, null, an error.
 */
static void decode(const char *block, size_t length, const char *expected)
{
	size_t expanded = 0;
	uint8_t *in = malloc(length);

	assert_non_null(in);
	memcpy(in, block, length);
	int rc = snappy_block_length(in, length, &expanded);
	assert_true(expanded < 1000);
	uint8_t *out = malloc(expanded ? expanded : 1);
	assert_non_null(out);
	if (rc == 0)
		rc = snappy_block_decode(in, length, out, expanded);
	if (expected) {
		assert_int_equal(rc, 0);
		assert_int_equal(expanded, strlen(expected));
		assert_memory_equal(out, expected, expanded);
	} else {
		assert_int_equal(rc, -ERR_CORRUPT);
	}
	free(in);
	free(out);
}

#define DECODE(block, expected) decode(block, sizeof(block) - 1, expected)

static void literals_of_every_length_field(void **state)
{
	(void)state;
	DECODE("\x00", "");
	DECODE("\x01\x00"
	       "a",
	       "a");
	DECODE("\x03\x08"
	       "abc",
	       "abc");
	DECODE("\x03\xf0\x02"
	       "abc",
	       "abc");
	DECODE("\x03\xf4\x02\x00"
	       "abc",
	       "abc");
	DECODE("\x03\xf8\x02\x00\x00"
	       "abc",
	       "abc");
	DECODE("\x03\xfc\x02\x00\x00\x00"
	       "abc",
	       "abc");
}

static void copies_of_every_offset_field(void **state)
{
	(void)state;
	DECODE("\x08\x0c"
	       "abcd"
	       "\x01\x04",
	       "abcdabcd");
	DECODE("\x08\x0c"
	       "abcd"
	       "\x0e\x04\x00",
	       "abcdabcd");
	DECODE("\x08\x0c"
	       "abcd"
	       "\x0f\x04\x00\x00\x00",
	       "abcdabcd");
}

static void copies_may_overlap_themselves(void **state)
{
	(void)state;
	DECODE("\x09\x00"
	       "a"
	       "\x1e\x01\x00",
	       "aaaaaaaaa");
	DECODE("\x0a\x04"
	       "ab"
	       "\x1e\x02\x00",
	       "ababababab");
}

static void what_reaches_outside_is_refused(void **state)
{
	(void)state;
	DECODE("\x08\x0c"
	       "abcd"
	       "\x01\x00",
	       NULL); /* distance 0 */
	DECODE("\x08\x0c"
	       "abcd"
	       "\x01\x05",
	       NULL); /* before the start */
	DECODE("\x07\x0c"
	       "abcd"
	       "\x01\x04",
	       NULL); /* behind the end */
	DECODE("\x09\x0c"
	       "abcd"
	       "\x01\x04",
	       NULL); /* less than announced */
	DECODE("\x08\x0c"
	       "abcd"
	       "\x0f\xff\xff\xff\xff",
	       NULL);
	DECODE("\x03\x0c"
	       "abc",
	       NULL); /* literal past the block */
	DECODE("\x03\xfc\xff\xff\xff\xff"
	       "abc",
	       NULL);
	DECODE("\x02\x08"
	       "abc",
	       NULL); /* literal past the room */
}

static void a_block_cut_short_is_refused(void **state)
{
	static const char block[] = "\x08\xf0\x03"
				    "abcd"
				    "\x0f\x04\x00\x00\x00";

	(void)state;
	DECODE("\x08\xf0\x03"
	       "abcd"
	       "\x0f\x04\x00\x00\x00",
	       "abcdabcd");
	for (size_t length = 1; length < sizeof(block) - 1; length++)
		decode(block, length, NULL);
}

static void lengths_are_varints_of_five_bytes(void **state)
{
	size_t length = 0;

	(void)state;
	assert_int_equal(snappy_block_length("", 0, &length), -ERR_CORRUPT);
	assert_int_equal(snappy_block_length("\x80", 1, &length), -ERR_CORRUPT);
	assert_int_equal(snappy_block_length("\xff\x01", 2, &length), 0);
	assert_int_equal(length, 255);
	assert_int_equal(snappy_block_length("\xff\xff\xff\xff\x0f", 5, &length), 0);
	assert_int_equal(length, UINT32_MAX);
	assert_int_equal(snappy_block_length("\xff\xff\xff\xff\x1f", 5, &length), -ERR_CORRUPT);
	assert_int_equal(snappy_block_length("\x80\x80\x80\x80\x80\x01", 6, &length), -ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_of_every_length_field),
		cmocka_unit_test(copies_of_every_offset_field),
		cmocka_unit_test(copies_may_overlap_themselves),
		cmocka_unit_test(what_reaches_outside_is_refused),
		cmocka_unit_test(a_block_cut_short_is_refused),
		cmocka_unit_test(lengths_are_varints_of_five_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
