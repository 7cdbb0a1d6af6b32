/* Expected values are those of Kafka's own tests (UtilsTest.testMurmur2) and of its Java client. */
#include "client/partitioner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/sluice.h"

struct vector {
	const char *key;
	int32_t hash;
};

static const struct vector vectors[] = {
	{"21", -973932308},
	{"foobar", -790332482},
	{"a-little-bit-long-string", -985981536},
	{"a-little-bit-longer-string", -1486304829},
	{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	{"abc", 479470107},
};

static void murmur2_is_javas(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(partitioner_murmur2(vectors[i].key, strlen(vectors[i].key)),
				 vectors[i].hash);
}

static void a_negative_hash_loses_its_sign_bit_only(void **state)
{
	for (int32_t count = 1; count < 50; count++) {
		int32_t expected = (-973932308 & 0x7fffffff) % count;
		assert_int_equal(sluice_partition_of_key("21", 2, count), expected);
	}
}

static void an_empty_key_is_a_key(void **state)
{
	int32_t partition = sluice_partition_of_key("", 0, 10);

	assert_in_range(partition, 0, 9);
	assert_int_equal(partition, (partitioner_murmur2("", 0) & 0x7fffffff) % 10);
}

static void bytes_above_127_are_unsigned(void **state)
{
	/* Java masks each byte with 0xff: a signed one would spread over the others. */
	const uint8_t high[] = {0xff, 0xfe, 0xfd};
	const uint8_t low[] = {0x7f, 0x7e, 0x7d};

	assert_int_not_equal(partitioner_murmur2(high, 3), partitioner_murmur2(low, 3));
	/* One byte at a time against the definition, written the long way. */
	uint32_t h = 0x9747b28cu ^ 3u;
	h ^= 0xfdu << 16;
	h ^= 0xfeu << 8;
	h ^= 0xffu;
	h *= 0x5bd1e995u;
	h ^= h >> 13;
	h *= 0x5bd1e995u;
	h ^= h >> 15;
	assert_int_equal(partitioner_murmur2(high, 3), (int32_t)h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(murmur2_is_javas),
		cmocka_unit_test(a_negative_hash_loses_its_sign_bit_only),
		cmocka_unit_test(an_empty_key_is_a_key),
		cmocka_unit_test(bytes_above_127_are_unsigned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
