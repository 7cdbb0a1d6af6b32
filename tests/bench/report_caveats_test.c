#include "bench/suite/report_text.h"

#include "tests/bench/results.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 3 };

struct some {
	struct result results[RUNS];
	struct series *series;
	size_t series_count;
};

static struct some some_make(const char *first, const char *second, const char *third)
{
	const char *const caveats[RUNS] = {first, second, third};
	struct some some = {.series = NULL};

	for (size_t i = 0; i < RUNS; i++) {
		results_make(&some.results[i], "sluice", 1);
		snprintf(some.results[i].caveats, sizeof(some.results[i].caveats), "%s",
			 caveats[i]);
	}
	return some;
}

static void write_caveats(FILE *out, const void *context)
{
	const struct some *some = context;
	struct series *series;
	size_t count;

	assert_int_equal(series_of(some->results, RUNS, &series, &count), 0);
	caveats_print(out, "", series, count);
	series_free(series, count);
}

static void assert_caveats(const char *first, const char *second, const char *third,
			   const char *expected)
{
	struct some some = some_make(first, second, third);
	char *text = results_printed(write_caveats, &some);

	assert_string_equal(text, expected);
	free(text);
	for (size_t i = 0; i < RUNS; i++)
		result_fini(&some.results[i]);
}

static void what_differs_by_numbers_alone_is_told_once_with_the_smallest_and_the_largest(
	void **state)
{
	assert_caveats("Load average 12.1 on 2 cores.", "Load average 9 on 2 cores.",
		       "Load average 10.25 on 2 cores.",
		       "  latency, sluice, 3 of 3 runs: Load average 9 .. 12.1 on 2 cores.\n");
}

static void each_sentence_is_told_by_itself(void **state)
{
	assert_caveats("Sent 97.5 % of it: no. Load 3.", "Load 4.", "",
		       "  latency, sluice, 1 of 3 runs: Sent 97.5 % of it: no.\n"
		       "  latency, sluice, 2 of 3 runs: Load 3 .. 4.\n");
}

static void sentences_of_one_run_that_are_alike_count_as_one_run(void **state)
{
	assert_caveats("Reader 0 lacks 7. Reader 1 lacks 5.", "", "Reader 1 lacks 6.",
		       "  latency, sluice, 2 of 3 runs: Reader 0 .. 1 lacks 5 .. 7.\n");
}

static void other_words_are_another_caveat(void **state)
{
	assert_caveats("Busy at 3.", "Busy at 3", "Busy at three.",
		       "  latency, sluice, 1 of 3 runs: Busy at 3.\n"
		       "  latency, sluice, 1 of 3 runs: Busy at 3\n"
		       "  latency, sluice, 1 of 3 runs: Busy at three.\n");
}

static void runs_without_caveats_say_nothing(void **state)
{
	assert_caveats("", " ", "", "");
}

static void a_caveat_is_cut_to_its_room(void **state)
{
	struct some some = some_make("Load 3.", "Load 4.", "");
	char text[8];
	size_t runs;

	assert_int_equal(series_of(some.results, RUNS, &some.series, &some.series_count), 0);
	assert_string_equal(series_caveat(some.series, 0, text, sizeof(text), &runs), "Load 3 ");
	assert_int_equal(runs, 2);
	assert_null(series_caveat(some.series, 1, text, sizeof(text), &runs));
	series_free(some.series, some.series_count);
	for (size_t i = 0; i < RUNS; i++)
		result_fini(&some.results[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			what_differs_by_numbers_alone_is_told_once_with_the_smallest_and_the_largest),
		cmocka_unit_test(each_sentence_is_told_by_itself),
		cmocka_unit_test(sentences_of_one_run_that_are_alike_count_as_one_run),
		cmocka_unit_test(other_words_are_another_caveat),
		cmocka_unit_test(runs_without_caveats_say_nothing),
		cmocka_unit_test(a_caveat_is_cut_to_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
