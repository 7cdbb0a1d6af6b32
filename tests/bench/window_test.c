/* Records under way: sequence numbers, answers in any order, and when there is room again. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bench/suite/window.h"

static void a_window_is_full_at_its_capacity_and_not_before(void **state)
{
	struct window window;

	assert_int_equal(window_init(&window, 3), 0);
	assert_true(window_empty(&window));
	for (uint64_t i = 0; i < 3; i++) {
		assert_false(window_full(&window));
		assert_int_equal(window_add(&window, 100 + i), i);
	}
	assert_true(window_full(&window));
	window_fini(&window);
}

static void each_record_ends_once_with_its_own_tag(void **state)
{
	struct window window;
	uint64_t tag = 0;

	assert_int_equal(window_init(&window, 4), 0);
	window_add(&window, 7);
	window_add(&window, 8);
	assert_int_equal(window_end(&window, 1, &tag), 0);
	assert_int_equal(tag, 8);
	assert_int_equal(window_end(&window, 1, &tag), -ENOENT);
	assert_int_equal(window_end(&window, 2, &tag), -ENOENT);
	assert_int_equal(window_end_oldest(&window, &tag), 0);
	assert_int_equal(tag, 7);
	assert_true(window_empty(&window));
	assert_int_equal(window_end_oldest(&window, &tag), -ENOENT);
	window_fini(&window);
}

static void room_comes_back_when_the_oldest_ends(void **state)
{
	struct window window;
	uint64_t tag;

	assert_int_equal(window_init(&window, 2), 0);
	window_add(&window, 0);
	window_add(&window, 1);
	assert_int_equal(window_end(&window, 1, &tag), 0);
	assert_true(window_full(&window));
	assert_int_equal(window_end(&window, 0, &tag), 0);
	assert_true(window_empty(&window));
	window_fini(&window);
}

static void slots_are_used_again_and_again(void **state)
{
	struct window window;
	uint64_t tag;

	assert_int_equal(window_init(&window, 5), 0);
	for (uint64_t i = 0; i < 1000; i++) {
		if (window_full(&window)) {
			assert_int_equal(window_end_oldest(&window, &tag), 0);
			assert_int_equal(tag, (i - 5) * 3);
		}
		assert_int_equal(window_add(&window, i * 3), i);
	}
	window_fini(&window);
}

static void delivered(void *context, uint64_t tag, int rc)
{
	uint64_t *sum = context;

	assert_int_equal(rc, -EIO);
	*sum += tag;
}

static void all_before_one_end_at_once_but_for_those_that_have_ended(void **state)
{
	struct window window;
	uint64_t tag, sum = 0;

	assert_int_equal(window_init(&window, 8), 0);
	for (tag = 1; tag <= 5; tag++)
		window_add(&window, tag);
	assert_int_equal(window_end(&window, 1, &tag), 0);
	assert_int_equal(window_end_before(&window, 3, delivered, &sum, -EIO), 2);
	assert_int_equal(sum, 1 + 3);
	assert_int_equal(window_end_before(&window, 100, delivered, &sum, -EIO), 2);
	assert_int_equal(sum, 1 + 3 + 4 + 5);
	assert_true(window_empty(&window));
	window_fini(&window);
}

static void zero_is_the_default_capacity(void **state)
{
	struct window window;

	assert_int_equal(window_init(&window, 0), 0);
	assert_int_equal(window.capacity, WINDOW_CAPACITY_DEFAULT);
	window_fini(&window);
	window_fini(&window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_full_at_its_capacity_and_not_before),
		cmocka_unit_test(each_record_ends_once_with_its_own_tag),
		cmocka_unit_test(room_comes_back_when_the_oldest_ends),
		cmocka_unit_test(slots_are_used_again_and_again),
		cmocka_unit_test(all_before_one_end_at_once_but_for_those_that_have_ended),
		cmocka_unit_test(zero_is_the_default_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
