#include "base/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void a_bound_belongs_to_its_bucket(void **state)
{
	(void)state;
	assert_int_equal(histogram_bucket(0), 0);
	for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(histogram_bucket(histogram_bound_ns(i)), i);
		assert_int_equal(histogram_bucket(histogram_bound_ns(i) + 1), i + 1);
	}
}

static void what_takes_longest_is_in_the_last_bucket(void **state)
{
	(void)state;
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void sums_hold_what_was_observed(void **state)
{
	struct histogram one = {0};
	struct histogram other = {0};
	struct histogram sum = {0};

	(void)state;
	histogram_observe(&one, 10, 3);
	histogram_observe(&one, 1000000000, 1);
	histogram_show(&other, &one);
	histogram_observe(&other, 1000000000, 1);
	histogram_add(&sum, &one);
	histogram_add(&sum, &other);
	assert_int_equal(histogram_count(&sum), 9);
	assert_int_equal(sum.buckets[0], 6);
	assert_int_equal(sum.buckets[histogram_bucket(1000000000)], 3);
	assert_int_equal(sum.sum_ns, 60 + 3000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bound_belongs_to_its_bucket),
		cmocka_unit_test(what_takes_longest_is_in_the_last_bucket),
		cmocka_unit_test(sums_hold_what_was_observed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
