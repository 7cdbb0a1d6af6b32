#include "dataplane/transport/rtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { US = 1000, MS = 1000000 };

static void the_first_sample_replaces_the_guess(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, 20 * MS);
	assert_int_equal(rtt.smoothed_ns, 20 * MS);
	rtt_sample(&rtt, 100 * US, 90 * US);
	assert_int_equal(rtt.smoothed_ns, 100 * US);
	assert_int_equal(rtt.variation_ns, 50 * US);
	assert_int_equal(rtt.minimum_ns, 100 * US);
}

static void later_samples_weigh_an_eighth(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, MS);
	rtt_sample(&rtt, 800 * US, 0);
	rtt_sample(&rtt, 1600 * US, 0);
	assert_int_equal(rtt.smoothed_ns, 900 * US);
	assert_int_equal(rtt.variation_ns, 300 * US + 200 * US);
	assert_int_equal(rtt.minimum_ns, 800 * US);
	assert_int_equal(rtt.latest_ns, 1600 * US);
}

static void the_peers_delay_is_taken_off_but_never_below_the_minimum(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, MS);
	rtt_sample(&rtt, 800 * US, 0);
	rtt_sample(&rtt, 1000 * US, 200 * US);
	assert_int_equal(rtt.smoothed_ns, 800 * US);
	/* 1000 - 300 would be less than was ever seen: a lie, and not taken off. */
	rtt_sample(&rtt, 1000 * US, 300 * US);
	assert_int_equal(rtt.smoothed_ns, 825 * US);
}

static void a_constant_time_converges_to_no_variation(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, MS);
	for (int i = 0; i < 200; i++)
		rtt_sample(&rtt, 100 * US, 0);
	assert_in_range(rtt.smoothed_ns, 99 * US, 100 * US);
	assert_true(rtt.variation_ns < 100);
}

static void a_sample_of_zero_is_one(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, MS);
	rtt_sample(&rtt, 0, 0);
	assert_int_equal(rtt.latest_ns, 1);
}

static void the_probe_interval_doubles_up_to_its_cap(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, MS);
	rtt_sample(&rtt, MS, 0);
	/* 1 ms + 4 * 0.5 ms + 0.1 ms */
	assert_int_equal(rtt_probe_ns(&rtt, MS, 100 * US, 0, 1000 * MS), 3100 * US);
	assert_int_equal(rtt_probe_ns(&rtt, MS, 100 * US, 1, 1000 * MS), 6200 * US);
	assert_int_equal(rtt_probe_ns(&rtt, MS, 100 * US, 200, 1000 * MS), 1000 * MS);
	/* The granularity is the least spread; the cap never cuts one interval. */
	assert_int_equal(rtt_probe_ns(&rtt, 10 * MS, 0, 0, 1000 * MS), 11 * MS);
	assert_int_equal(rtt_probe_ns(&rtt, 10 * MS, 0, 3, 5 * MS), 11 * MS);
}

static void the_loss_threshold_is_nine_eighths_of_the_longer_time(void **state)
{
	struct rtt rtt;

	(void)state;
	rtt_init(&rtt, 8 * MS);
	rtt_sample(&rtt, 8 * MS, 0);
	assert_int_equal(rtt_loss_ns(&rtt, MS), 9 * MS);
	rtt_sample(&rtt, 16 * MS, 0);
	assert_int_equal(rtt_loss_ns(&rtt, MS), 18 * MS);
	assert_int_equal(rtt_loss_ns(&rtt, 30 * MS), 30 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_sample_replaces_the_guess),
		cmocka_unit_test(later_samples_weigh_an_eighth),
		cmocka_unit_test(the_peers_delay_is_taken_off_but_never_below_the_minimum),
		cmocka_unit_test(a_constant_time_converges_to_no_variation),
		cmocka_unit_test(a_sample_of_zero_is_one),
		cmocka_unit_test(the_probe_interval_doubles_up_to_its_cap),
		cmocka_unit_test(the_loss_threshold_is_nine_eighths_of_the_longer_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
