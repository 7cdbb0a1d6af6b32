#include "bench/suite/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct payload *make(struct workload *workload)
{
	struct payload *payload;

	assert_int_equal(payload_new(workload, 42, &payload), 0);
	return payload;
}

static void a_value_begins_with_its_time(void **state)
{
	struct workload workload = {.message_bytes = 8};
	struct payload *payload = make(&workload);

	for (uint64_t time_ns = 1; time_ns < 1000; time_ns++)
		assert_int_equal(payload_intended_ns(payload_value(payload, time_ns)), time_ns);
	payload_free(payload);
}

static void behind_the_random_share_are_zeros(void **state)
{
	static const uint8_t zeros[500];
	struct workload workload = {.message_bytes = 1000, .random_bytes_share = 0.5};
	struct payload *payload = make(&workload);

	for (unsigned i = 0; i < 3000; i++) {
		const uint8_t *value = payload_value(payload, i);
		assert_memory_equal(value + 500, zeros, 500);
		assert_memory_not_equal(value + 400, zeros, 100);
	}
	payload_free(payload);
}

/* A batch of equal ones would compress as no data does. */
static void neighbours_differ(void **state)
{
	struct workload workload = {.message_bytes = 100, .random_bytes_share = 1};
	struct payload *payload = make(&workload);
	uint8_t first[100];

	memcpy(first, payload_value(payload, 0), sizeof(first));
	for (unsigned i = 0; i < 1000; i++)
		assert_memory_not_equal(payload_value(payload, 0), first, sizeof(first));
	payload_free(payload);
}

static void values_larger_than_the_pool_are_whole(void **state)
{
	struct workload workload = {.message_bytes = 3 << 20, .random_bytes_share = 1};
	struct payload *payload = make(&workload);
	const uint8_t *value = payload_value(payload, 7);

	assert_int_equal(payload_intended_ns(value), 7);
	assert_true(value[(3 << 20) - 1] || value[(3 << 20) - 2] || value[(3 << 20) - 3]);
	payload_free(payload);
}

static void keys_are_as_they_are_asked_for(void **state)
{
	struct workload workload = {.message_bytes = 8};
	struct payload *payload = make(&workload);
	char first[8];
	size_t bytes;

	assert_null(payload_key(payload, &bytes));
	assert_int_equal(bytes, 0);
	payload_free(payload);

	workload.keys = KEYS_ROUND_ROBIN;
	payload = make(&workload);
	memcpy(first, payload_key(payload, &bytes), sizeof(first));
	assert_int_equal(bytes, sizeof(first));
	unsigned others = 0;
	while (memcmp(payload_key(payload, &bytes), first, sizeof(first)) != 0)
		others++;
	assert_in_range(others, 100, 100000);
	payload_free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_begins_with_its_time),
		cmocka_unit_test(behind_the_random_share_are_zeros),
		cmocka_unit_test(neighbours_differ),
		cmocka_unit_test(values_larger_than_the_pool_are_whole),
		cmocka_unit_test(keys_are_as_they_are_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
