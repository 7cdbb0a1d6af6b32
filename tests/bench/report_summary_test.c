#include "bench/suite/report.h"

#include "bench/suite/report_figures.h"
#include "tests/bench/results.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_figure_text(double value, const char *expected)
{
	char text[FIGURE_TEXT_BYTES];

	assert_string_equal(figure_text(value, text, sizeof(text)), expected);
}

static void figures_have_three_digits_and_a_scale(void **state)
{
	assert_figure_text(0, "0");
	assert_figure_text(0.00123, "0.00123");
	assert_figure_text(0.0123, "0.0123");
	assert_figure_text(0.123, "0.123");
	assert_figure_text(1.234, "1.23");
	assert_figure_text(12.34, "12.3");
	assert_figure_text(123.4, "123");
	assert_figure_text(12345, "12345");
	assert_figure_text(123456, "123 k");
	assert_figure_text(1234567, "1.23 M");
	assert_figure_text(12.3e9, "12.3 G");
	assert_figure_text((double)NAN, "-");
}

static void a_spread_is_of_what_is_known(void **state)
{
	double values[] = {3, (double)NAN, 1, 2, 10};
	double none[] = {(double)NAN};
	struct spread spread = spread_of(values, 5);

	assert_int_equal(spread.count, 4);
	assert_true(spread.median == 2.5 && spread.smallest == 1 && spread.largest == 10);
	assert_int_equal(spread_of(none, 1).count, 0);
	assert_true(isnan(spread_of(none, 1).median));
}

static void every_figure_has_a_name_of_its_own(void **state)
{
	const struct figure *figure;

	for (size_t i = 0; (figure = figure_at(i)); i++)
		assert_ptr_equal(figure_find(figure->name), figure);
	assert_null(figure_find("speed"));
}

static double taken(const struct result *result, const char *name)
{
	return figure_find(name)->of(result);
}

static void costs_are_by_a_million_records_and_by_a_gigabyte(void **state)
{
	struct result result;

	results_make(&result, "sluice", 1); /* 50,000 records of 1024 bytes for 1.5 s of CPU */
	result.workload.message_bytes = 1000;
	assert_true(fabs(taken(&result, "broker_cpu_s_per_million") - 30) < 1e-9);
	assert_true(fabs(taken(&result, "broker_cpu_s_per_gb") - 30) < 1e-9);
	assert_true(fabs(taken(&result, "broker_cores") - 0.3) < 1e-9);
	result.consumed *= 2; /* a second subscription */
	assert_true(fabs(taken(&result, "broker_cpu_s_per_million") - 15) < 1e-9);
	result.broker_known = false;
	assert_true(isnan(taken(&result, "broker_cpu_s_per_million")));
	result_fini(&result);
}

struct some {
	const struct result *results;
	size_t count;
};

static void write_summary(FILE *out, const void *context)
{
	const struct some *some = context;

	report_summary(out, some->results, some->count);
}

static void a_summary_has_a_line_for_each_label_with_the_spread_of_its_runs(void **state)
{
	struct result results[4];

	results_make(&results[0], "sluice", 1);
	results_make(&results[1], "kafka", 4);
	results_make(&results[2], "sluice", 1.1);
	results_make(&results[3], "sluice", 0.9);
	results[2].caveats[0] = '\0';
	snprintf(results[3].caveats, sizeof(results[3].caveats),
		 "The machine was busy: load average 12.0 on 8 cores.");
	results[1].workload.partitions_per_topic = 1;
	struct some some = {results, 4};
	char *text = results_printed(write_summary, &some);
	assert_golden("summary.txt", text);
	free(text);
	for (size_t i = 0; i < 4; i++)
		result_fini(&results[i]);
}

static void a_summary_of_nothing_is_empty(void **state)
{
	struct some some = {NULL, 0};
	char *text = results_printed(write_summary, &some);

	assert_string_equal(text, "");
	free(text);
}

static void what_was_not_measured_is_not_shown(void **state)
{
	struct result result;

	results_make(&result, "sluice", 1);
	free(result.end_to_end);
	result.end_to_end = NULL;
	result.broker_known = false;
	result.publish_errors = 0;
	struct some some = {&result, 1};
	char *text = results_printed(write_summary, &some);
	assert_null(strstr(text, "end to end"));
	assert_null(strstr(text, "broker"));
	assert_null(strstr(text, "errors"));
	assert_non_null(strstr(text, "publish latency"));
	free(text);
	result_fini(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_have_three_digits_and_a_scale),
		cmocka_unit_test(a_spread_is_of_what_is_known),
		cmocka_unit_test(every_figure_has_a_name_of_its_own),
		cmocka_unit_test(costs_are_by_a_million_records_and_by_a_gigabyte),
		cmocka_unit_test(a_summary_has_a_line_for_each_label_with_the_spread_of_its_runs),
		cmocka_unit_test(a_summary_of_nothing_is_empty),
		cmocka_unit_test(what_was_not_measured_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
