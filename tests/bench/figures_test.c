#include "bench/suite/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* 1 to a million microseconds, once each; and the largest of all. */
static void fill(struct histogram *histogram)
{
	*histogram = (struct histogram){0};
	for (uint64_t us = 1; us < 1000000; us++)
		histogram_add(histogram, us * 1000);
	histogram_add(histogram, 2000000000);
}

static void assert_within_1_of_128(uint64_t ns, double expected_ns)
{
	assert_true((double)ns >= expected_ns * 127 / 128);
	assert_true((double)ns <= expected_ns * 129 / 128);
}

static void figures_are_within_a_128th(void **state)
{
	static struct histogram histogram;

	fill(&histogram);
	struct histogram_figures figures = histogram_figures_of(&histogram);
	assert_int_equal(figures.count, 1000000);
	assert_within_1_of_128(figures.p50, 500e6);
	assert_within_1_of_128(figures.p75, 750e6);
	assert_within_1_of_128(figures.p95, 950e6);
	assert_within_1_of_128(figures.p99, 990e6);
	assert_within_1_of_128(figures.p999, 999e6);
	assert_within_1_of_128(figures.p9999, 999.9e6);
	assert_within_1_of_128(figures.p99999, 999.99e6);
	assert_within_1_of_128((uint64_t)figures.mean, 500e6);
	assert_int_equal(figures.max, 2000000000);
}

static void nothing_measured_has_figures_of_zero_and_no_ladder(void **state)
{
	static struct histogram histogram;
	static struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];
	struct histogram_figures zero = {0};
	struct histogram_figures figures = histogram_figures_of(&histogram);

	assert_memory_equal(&figures, &zero, sizeof(zero));
	figures = histogram_figures_of(NULL);
	assert_memory_equal(&figures, &zero, sizeof(zero));
	assert_int_equal(histogram_ladder(&histogram, rungs), 0);
	assert_int_equal(histogram_ladder(NULL, rungs), 0);
}

static void no_figure_is_above_the_largest_duration(void **state)
{
	static struct histogram histogram;

	histogram = (struct histogram){0};
	histogram_add(&histogram, 1 << 20); /* the first one of its step */
	struct histogram_figures figures = histogram_figures_of(&histogram);
	assert_int_equal(figures.p50, 1 << 20);
	assert_int_equal(figures.p99999, 1 << 20);
	assert_int_equal(figures.max, 1 << 20);
}

static bool has_share(const struct histogram_rung *rungs, size_t count, double share)
{
	for (size_t i = 0; i < count; i++) {
		if (rungs[i].share == share)
			return true;
	}
	return false;
}

static void a_ladder_rises_to_the_largest_and_has_the_named_shares(void **state)
{
	static struct histogram histogram;
	static struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];
	const double named[] = {0.5, 0.75, 0.95, 0.99, 0.999, 0.9999, 0.99999, 1};

	fill(&histogram);
	size_t count = histogram_ladder(&histogram, rungs);
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		assert_true(has_share(rungs, count, named[i]));
	for (size_t i = 1; i < count; i++) {
		assert_true(rungs[i].share > rungs[i - 1].share);
		assert_true(rungs[i].ns >= rungs[i - 1].ns);
		assert_true(rungs[i].seen >= rungs[i - 1].seen);
	}
	assert_int_equal(rungs[count - 1].ns, histogram.max_ns);
	assert_int_equal(rungs[count - 1].seen, histogram.total);
}

static void a_ladder_of_the_largest_total_has_room(void **state)
{
	static struct histogram histogram;
	static struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];

	histogram = (struct histogram){0};
	histogram_add_many(&histogram, 1000, UINT64_MAX - 1);
	histogram_add(&histogram, 1000000);
	assert_true(histogram_ladder(&histogram, rungs) < HISTOGRAM_RUNGS_MAX);
}

static void a_histogram_comes_back_from_its_ladder_with_the_same_figures(void **state)
{
	static struct histogram histogram, back;
	static struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];

	fill(&histogram);
	histogram_add_many(&histogram, 77, 3000000);
	back = (struct histogram){0};
	struct histogram_figures figures = histogram_figures_of(&histogram);
	histogram_from_ladder(&back, rungs, histogram_ladder(&histogram, rungs), histogram.total,
			      figures.mean);
	struct histogram_figures again = histogram_figures_of(&back);
	assert_within_1_of_128((uint64_t)again.mean, figures.mean);
	again.mean = figures.mean;
	assert_memory_equal(&again, &figures, sizeof(figures));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_within_a_128th),
		cmocka_unit_test(nothing_measured_has_figures_of_zero_and_no_ladder),
		cmocka_unit_test(no_figure_is_above_the_largest_duration),
		cmocka_unit_test(a_ladder_rises_to_the_largest_and_has_the_named_shares),
		cmocka_unit_test(a_ladder_of_the_largest_total_has_room),
		cmocka_unit_test(a_histogram_comes_back_from_its_ladder_with_the_same_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
