#include "base/map64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>

static void an_empty_map_has_nothing(void **state)
{
	struct map64 map = {0};
	size_t cursor = 0;

	(void)state;
	assert_null(map64_get(&map, 0));
	assert_null(map64_remove(&map, 7));
	assert_null(map64_next(&map, &cursor));
	map64_fini(&map);
	map64_fini(&map);
}

static void a_key_that_is_there_is_replaced(void **state)
{
	struct map64 map = {0};
	int a;
	int b;

	(void)state;
	assert_int_equal(map64_put(&map, 0, &a), 0);
	assert_int_equal(map64_put(&map, 0, &b), 0);
	assert_int_equal(map.count, 1);
	assert_ptr_equal(map64_get(&map, 0), &b);
	assert_ptr_equal(map64_remove(&map, 0), &b);
	assert_int_equal(map.count, 0);
	map64_fini(&map);
}

enum { KEYS = 512 };

/* Against a plain array, with keys that collide: dense, and equal in their low or high bits. */
static void any_sequence_of_puts_and_removes_agrees_with_an_array(void **state)
{
	static const unsigned shifts[] = {0, 32, 44, 52};
	static char values[KEYS];

	(void)state;
	for (size_t s = 0; s < 4; s++) {
		struct map64 map = {0};
		bool there[KEYS] = {false};
		size_t count = 0;
		uint64_t seed = s + 1;
		for (int i = 0; i < 100000; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			size_t k = seed >> 33 & (KEYS - 1);
			uint64_t key = (uint64_t)k << shifts[s];
			/* Grows and shrinks in turn. */
			bool put = (seed >> 60) < (i / 10000 % 2 ? 4 : 12);
			if (put) {
				assert_int_equal(map64_put(&map, key, &values[k]), 0);
				count += !there[k];
			} else {
				assert_ptr_equal(map64_remove(&map, key),
						 there[k] ? &values[k] : NULL);
				count -= there[k];
			}
			there[k] = put;
			assert_int_equal(map.count, count);
			k = seed >> 20 & (KEYS - 1);
			assert_ptr_equal(map64_get(&map, (uint64_t)k << shifts[s]),
					 there[k] ? &values[k] : NULL);
		}
		size_t cursor = 0;
		size_t seen = 0;
		const char *value;
		while ((value = map64_next(&map, &cursor))) {
			assert_true(there[value - values]);
			seen++;
		}
		assert_int_equal(seen, count);
		map64_fini(&map);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_has_nothing),
		cmocka_unit_test(a_key_that_is_there_is_replaced),
		cmocka_unit_test(any_sequence_of_puts_and_removes_agrees_with_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
