#include "bench/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct histogram a, b, c;

static void clear(void)
{
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	memset(&c, 0, sizeof(c));
}

static void a_step_is_within_a_part_in_128(void **state)
{
	for (uint64_t ns = 1; ns < UINT64_C(1) << 41; ns += ns / 3 + 1) {
		clear();
		histogram_add(&a, ns);
		uint64_t at_ns = histogram_at(&a, 1);
		assert_true(at_ns <= ns && ns - at_ns <= ns / HISTOGRAM_STEPS);
	}
}

static void what_is_too_long_counts_as_the_longest(void **state)
{
	clear();
	histogram_add(&a, UINT64_MAX);
	histogram_add(&a, UINT64_C(1) << 50);
	assert_int_equal(a.total, 2);
	assert_int_equal(a.counts[HISTOGRAM_POWERS - 1][HISTOGRAM_STEPS - 1], 2);
	assert_int_equal(a.max_ns, UINT64_MAX);
}

static void merged_ones_have_all(void **state)
{
	clear();
	histogram_add_many(&a, 1000, 3);
	histogram_add(&b, 2000000);
	histogram_merge(&a, &b);
	assert_int_equal(a.total, 4);
	assert_int_equal(a.sum_ns, 2003000);
	assert_int_equal(a.max_ns, 2000000);
	assert_int_equal(histogram_at(&a, 0.5), 1000);
}

static void a_difference_is_what_came_between(void **state)
{
	clear();
	histogram_add_many(&a, 1000, 3);
	histogram_merge(&b, &a);
	histogram_add_many(&a, 500, 2);
	histogram_difference(&c, &a, &b);
	assert_int_equal(c.total, 2);
	assert_int_equal(c.sum_ns, 1000);
	assert_in_range(c.max_ns, 500, 504);
	histogram_add(&a, 5001);
	histogram_difference(&c, &a, &b);
	assert_int_equal(c.max_ns, 5001);
	histogram_difference(&c, &a, &a);
	assert_int_equal(c.total, 0);
	assert_int_equal(c.max_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_is_within_a_part_in_128),
		cmocka_unit_test(what_is_too_long_counts_as_the_longest),
		cmocka_unit_test(merged_ones_have_all),
		cmocka_unit_test(a_difference_is_what_came_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
