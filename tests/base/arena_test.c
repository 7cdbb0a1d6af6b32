#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdint.h>
#include <string.h>

static void memory_is_aligned_apart_and_writable(void **state)
{
	struct arena arena;
	unsigned char *taken[200];

	(void)state;
	arena_init(&arena, 1 << 20);
	for (size_t i = 0; i < 200; i++) {
		taken[i] = arena_alloc(&arena, i * 7);
		assert_non_null(taken[i]);
		assert_int_equal((uintptr_t)taken[i] % 16, 0);
		memset(taken[i], (int)i, i * 7);
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t j = 0; j < i * 7; j++)
			assert_int_equal(taken[i][j], i);
		assert_true(i == 0 || taken[i] != taken[i - 1]);
	}
	arena_fini(&arena);
	arena_fini(&arena);
}

static void the_limit_holds(void **state)
{
	struct arena arena;
	size_t got = 0;

	(void)state;
	arena_init(&arena, 100000);
	while (arena_alloc(&arena, 1000))
		got += 1000;
	assert_in_range(got, 50000, 100000);
	assert_true(arena.held <= 100000);
	assert_null(arena_alloc(&arena, 100001));
	assert_null(arena_alloc(&arena, SIZE_MAX));
	assert_null(arena_calloc(&arena, SIZE_MAX / 2, 3));
	assert_null(arena_strndup(&arena, "x", SIZE_MAX));
	arena_reset(&arena);
	assert_non_null(arena_alloc(&arena, 80000));
	arena_fini(&arena);
	/* As large as the limit, at once. */
	assert_non_null(arena_alloc(&arena, 100000));
	arena_fini(&arena);
}

static void half_of_the_room_can_be_taken_at_once(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 100000);
	for (size_t room; (room = arena_room(&arena)) >= ARENA_ALIGNMENT;)
		assert_non_null(arena_alloc(&arena, room));
	arena_fini(&arena);
}

static void a_reset_arena_that_fits_its_first_block_allocates_no_more(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	void *first = arena_alloc(&arena, 100);
	for (int i = 0; i < 100; i++) {
		arena_alloc(&arena, 50000);
		arena_reset(&arena);
		assert_ptr_equal(arena_alloc(&arena, 100), first);
		assert_int_equal(arena.held, 8192);
	}
	arena_fini(&arena);
}

static void counted_memory_is_zeroed_and_strings_end(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 20);
	memset(arena_alloc(&arena, 8000), 0xff, 8000);
	arena_reset(&arena);
	const unsigned char *zeros = arena_calloc(&arena, 10, 100);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(zeros[i], 0);
	assert_string_equal(arena_strndup(&arena, "hello world", 5), "hello");
	assert_string_equal(arena_strndup(&arena, "", 0), "");
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_aligned_apart_and_writable),
		cmocka_unit_test(the_limit_holds),
		cmocka_unit_test(half_of_the_room_can_be_taken_at_once),
		cmocka_unit_test(a_reset_arena_that_fits_its_first_block_allocates_no_more),
		cmocka_unit_test(counted_memory_is_zeroed_and_strings_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
