#include "bench/suite/report.h"

#include "tests/bench/results.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void write_percentiles(FILE *out, const void *context)
{
	report_percentiles_print(out, context);
}

static void a_distribution_is_printed_as_hdrhistogram_does(void **state)
{
	static struct histogram histogram;

	histogram = (struct histogram){0};
	for (uint64_t us = 1; us <= 20; us++)
		histogram_add(&histogram, us * 1000);
	histogram_add(&histogram, 1000000);
	char *text = results_printed(write_percentiles, &histogram);
	assert_golden("percentiles.hgrm", text);
	free(text);
}

/* What its plotter takes: four columns, the last one's last is left out, then comments. */
static void each_line_has_four_columns_that_rise(void **state)
{
	struct result result;
	double value, share, before = 0;
	unsigned long long total, seen = 0;
	char *rest;

	results_make(&result, "sluice", 1);
	char *text = results_printed(write_percentiles, result.publish);
	for (char *line = strstr(text, "\n\n") + 2; *line != '#'; line = strchr(line, '\n') + 1) {
		value = strtod(line, &rest);
		share = strtod(rest, &rest);
		total = strtoull(rest, &rest, 10);
		assert_true(value >= before && share >= 0 && share <= 1 && total >= seen);
		before = value;
		seen = total;
	}
	assert_int_equal(seen, result.publish->total);
	free(text);
	result_fini(&result);
}

static void assert_is_file(const char *folder, const char *name, bool expected)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if ((unlink(path) == 0) != expected)
		fail_msg("%s is %sthere", name, expected ? "not " : "");
}

static void each_label_has_a_file_for_each_latency(void **state)
{
	char folder[] = "/tmp/report_percentiles_test.XXXXXX";
	struct result results[2];

	results_make(&results[0], "sluice", 1);
	results_make(&results[1], "../a b", 1);
	free(results[1].end_to_end);
	results[1].end_to_end = NULL;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(report_percentiles(folder, results, 2), 0);
	assert_is_file(folder, "latency.sluice.publish.hgrm", true);
	assert_is_file(folder, "latency.sluice.end-to-end.hgrm", true);
	assert_is_file(folder, "latency.---a-b.publish.hgrm", true);
	assert_is_file(folder, "latency.---a-b.end-to-end.hgrm", false);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(report_percentiles("/none/none", results, 2), -ENOENT);
	result_fini(&results[0]);
	result_fini(&results[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_distribution_is_printed_as_hdrhistogram_does),
		cmocka_unit_test(each_line_has_four_columns_that_rise),
		cmocka_unit_test(each_label_has_a_file_for_each_latency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
