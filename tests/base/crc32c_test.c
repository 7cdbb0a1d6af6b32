#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

/* RFC 3720 B.4 */
static void known_values(void **state)
{
	unsigned char data[32];

	(void)state;
	assert_int_equal(crc32c(0, "", 0), 0);
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	memset(data, 0, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x8a9136aa);
	memset(data, 0xff, sizeof(data));
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)i;
	assert_int_equal(crc32c(0, data, sizeof(data)), 0x46dd794e);
}

/* Bit by bit, at every length and alignment. */
static uint32_t slow(const unsigned char *data, size_t length)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static void any_length_alignment_and_cut_gives_the_same(void **state)
{
	unsigned char data[1200];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 197 + (i >> 3));
	for (size_t length = 0; length < 1100; length += length < 70 ? 1 : 37) {
		for (size_t at = 0; at < 9; at++) {
			uint32_t whole = slow(data + at, length);
			assert_int_equal(crc32c(0, data + at, length), whole);
			size_t cut = length / 3;
			assert_int_equal(
				crc32c(crc32c(0, data + at, cut), data + at + cut, length - cut),
				whole);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(any_length_alignment_and_cut_gives_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
