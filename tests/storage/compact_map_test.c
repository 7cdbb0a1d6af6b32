/* The last offset of each key: what was put is found, and what has no room is refused. */
#include "base/check.h"
#include "storage/compact_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static size_t key_of(char key[static 32], int64_t number)
{
	return (size_t)snprintf(key, 32, "key %lld", (long long)number);
}

static bool put(struct compact_map *map, int64_t number, int64_t offset)
{
	char key[32];
	size_t length = key_of(key, number);

	return compact_map_put(map, key, length, offset);
}

static int64_t get(const struct compact_map *map, int64_t number)
{
	char key[32];
	size_t length = key_of(key, number);

	return compact_map_get(map, key, length);
}

static void the_last_offset_of_each_key_is_found(void **state)
{
	struct compact_map map;

	(void)state;
	assert_int_equal(compact_map_init(&map, 16 << 20, 10), 0);
	for (int64_t i = 0; i < 300000; i++)
		assert_true(put(&map, i % 100000, i));
	for (int64_t i = 0; i < 100000; i++)
		assert_int_equal(get(&map, i), 200000 + i);
	assert_int_equal(get(&map, 100000), -1);
	assert_int_equal(map.count, 100000);
	compact_map_fini(&map);
}

static void a_full_map_refuses_new_keys_and_takes_known_ones(void **state)
{
	enum { BYTES = 1 << 16 };
	struct compact_map map;
	int64_t count = 0;

	(void)state;
	assert_int_equal(compact_map_init(&map, BYTES, 1000000), 0);
	while (put(&map, count, count))
		count++;
	/* 24 bytes a place, seven of eight used. */
	assert_in_range(count, BYTES / 24 * 7 / 8 - 8, BYTES / 24 * 7 / 8);
	assert_true(put(&map, 3, 5000));
	assert_int_equal(get(&map, 3), 5000);
	assert_int_equal(get(&map, count), -1);
	for (int64_t i = 4; i < count; i++)
		assert_int_equal(get(&map, i), i);
	compact_map_fini(&map);
}

static void however_little_memory_there_is_some_keys_have_room(void **state)
{
	struct compact_map map;

	(void)state;
	assert_int_equal(compact_map_init(&map, 0, 0), 0);
	for (int64_t i = 0; i < 50; i++)
		assert_true(put(&map, i, i));
	compact_map_fini(&map);
	compact_map_fini(&map);
}

static void an_empty_key_and_a_long_one_are_keys(void **state)
{
	static const char text[5000] = {1};
	struct compact_map map;

	(void)state;
	assert_int_equal(compact_map_init(&map, 1 << 20, 10), 0);
	assert_true(compact_map_put(&map, text, 0, 0));
	assert_true(compact_map_put(&map, text, 4999, 1));
	assert_int_equal(compact_map_get(&map, text, 0), 0);
	assert_int_equal(compact_map_get(&map, text, 4999), 1);
	assert_int_equal(compact_map_get(&map, text, 5000), -1);
	compact_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_offset_of_each_key_is_found),
		cmocka_unit_test(a_full_map_refuses_new_keys_and_takes_known_ones),
		cmocka_unit_test(however_little_memory_there_is_some_keys_have_room),
		cmocka_unit_test(an_empty_key_and_a_long_one_are_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
