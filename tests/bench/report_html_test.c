#include "bench/suite/report.h"

#include "bench/suite/report_html_internal.h"
#include "tests/bench/results.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct some {
	struct result results[16];
	size_t count;
};

static struct some some_make(void)
{
	struct some some = {.count = 3};

	results_make(&some.results[0], "sluice", 1);
	results_make(&some.results[1], "kafka", 4);
	results_make(&some.results[2], "sluice", 1.2);
	return some;
}

static void some_fini(struct some *some)
{
	for (size_t i = 0; i < some->count; i++)
		result_fini(&some->results[i]);
}

static void write_page(FILE *out, const void *context)
{
	const struct some *some = context;
	struct series *series;
	size_t count;

	assert_int_equal(series_of(some->results, some->count, &series, &count), 0);
	report_html_print(out, series, count);
	series_free(series, count);
}

static size_t occurrences(const char *text, const char *of)
{
	size_t count = 0;

	for (const char *c = text; (c = strstr(c, of)); c++)
		count++;
	return count;
}

/* ---- are elements closed by what closes them? ---- */

struct tag {
	const char *name;
	int length;
};

static bool is_void(const struct tag *tag)
{
	return (tag->length == 4 && memcmp(tag->name, "meta", 4) == 0) || *tag->name == '!';
}

static void assert_nested(const char *page)
{
	struct tag open[64];
	size_t depth = 0;

	for (const char *c = page; (c = strchr(c, '<')); c++) {
		bool closes = c[1] == '/';
		const char *name = c + 1 + closes;
		const char *end = strchr(c, '>');
		struct tag tag = {name, (int)strcspn(name, " />\n")};

		assert_non_null(end);
		if (end[-1] == '/' || is_void(&tag))
			continue;
		if (!closes) {
			assert_true(depth < 64);
			open[depth++] = tag;
			continue;
		}
		assert_true(depth > 0);
		depth--;
		if (open[depth].length != tag.length ||
		    memcmp(open[depth].name, tag.name, (size_t)tag.length) != 0)
			fail_msg("<%.*s> is closed by </%.*s>", open[depth].length,
				 open[depth].name, tag.length, tag.name);
	}
	assert_int_equal(depth, 0);
}

static void a_page_has_charts_tables_host_commands_and_caveats(void **state)
{
	struct some some = some_make();
	char *page = results_printed(write_page, &some);
	static const char *const parts[] = {
		"End to end latency by percentile",
		"Publish latency by percentile",
		"Throughput over time",
		"p99 over time",
		"CPU over time",
		"Published <small>records/s",
		"prefers-color-scheme:dark",
		"Debian GNU/Linux 12",
		"sluice-bench run --workload latency",
		"load average 3.1",
		"2 of 2 runs",
		"end_to_end_p999_ms",
	};

	assert_nested(page);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!strstr(page, parts[i]))
			fail_msg("the page lacks \"%s\"", parts[i]);
	}
	free(page);
	some_fini(&some);
}

static void a_page_needs_no_script_and_no_other_file(void **state)
{
	struct some some = some_make();
	char *page = results_printed(write_page, &some);

	assert_null(strstr(page, "<script"));
	assert_null(strstr(page, "src="));
	assert_null(strstr(page, "<link"));
	assert_null(strstr(page, "url("));
	assert_null(strstr(page, "http://"));
	assert_null(strstr(page, "https://"));
	free(page);
	some_fini(&some);
}

#define HOSTILE "<img src=x onerror=\"a&b\">'"

static void put(char *text, size_t bytes)
{
	snprintf(text, bytes, "%s", HOSTILE);
}

static void whatever_a_result_says_is_text(void **state)
{
	struct some some = some_make();

	for (size_t i = 0; i < some.count; i++) {
		struct result *result = &some.results[i];

		put(result->label, sizeof(result->label));
		put(result->driver, sizeof(result->driver));
		put(result->client_version, sizeof(result->client_version));
		put(result->url, sizeof(result->url));
		put(result->started, sizeof(result->started));
		put(result->commit, sizeof(result->commit));
		put(result->command, sizeof(result->command));
		put(result->caveats, sizeof(result->caveats));
		put(result->workload.name, sizeof(result->workload.name));
		put(result->workload.help, sizeof(result->workload.help));
		put(result->host.cpu, sizeof(result->host.cpu));
		put(result->host.disk, sizeof(result->host.disk));
		put(result->host.nic, sizeof(result->host.nic));
	}
	char *page = results_printed(write_page, &some);
	assert_null(strstr(page, "<img"));
	assert_null(strstr(page, "\"a&b\""));
	assert_true(occurrences(page, "&lt;img src=x onerror=&quot;a&amp;b&quot;&gt;&#39;") > 12);
	assert_nested(page);
	free(page);
	some_fini(&some);
}

static void a_label_has_one_colour_in_all_workloads(void **state)
{
	struct some some = some_make();
	struct page page = {0};
	struct series *series;

	some.count = 6;
	for (size_t i = 3; i < 6; i++) { /* the other way round */
		results_make(&some.results[i], i == 3 ? "kafka" : "sluice", 1);
		snprintf(some.results[i].workload.name, WORKLOAD_NAME_BYTES, "produce");
	}
	assert_int_equal(series_of(some.results, some.count, &series, &page.series_count), 0);
	page.series = series;
	assert_int_equal(page.series_count, 4);
	assert_int_equal(page_color(&page, "sluice"), 0);
	assert_int_equal(page_color(&page, "kafka"), 1);
	series_free(series, page.series_count);
	some_fini(&some);
}

static void more_labels_than_colours_are_all_there(void **state)
{
	struct some some = {.count = 12};
	char label[32];

	for (size_t i = 0; i < some.count; i++) {
		snprintf(label, sizeof(label), "label-%zu", i);
		results_make(&some.results[i], label, 1 + (double)i);
	}
	char *page = results_printed(write_page, &some);
	assert_nested(page);
	assert_non_null(strstr(page, ">label-11<"));
	assert_null(strstr(page, "class=\"c8"));
	free(page);
	some_fini(&some);
}

static void what_was_not_measured_has_no_chart(void **state)
{
	struct some some = some_make();

	for (size_t i = 0; i < some.count; i++) {
		struct result *result = &some.results[i];

		free(result->end_to_end);
		result->end_to_end = NULL;
		result->broker_known = false;
		result->sample_count = 0;
	}
	char *page = results_printed(write_page, &some);
	assert_nested(page);
	assert_null(strstr(page, "End to end latency by percentile"));
	assert_null(strstr(page, "over time</figcaption>"));
	assert_non_null(strstr(page, "Publish latency by percentile"));
	free(page);
	some_fini(&some);
}

static void no_number_in_a_page_is_infinite_or_none(void **state)
{
	struct some some = some_make();

	some.results[0].seconds = 0;
	some.results[0].published = some.results[0].consumed = 0;
	some.results[1].samples[1].published_per_s = 1e18;
	some.results[1].samples[2].end_to_end = (struct histogram_figures){0};
	some.results[2].samples[0].broker_cpu = 0;
	char *page = results_printed(write_page, &some);
	assert_null(strstr(page, "nan"));
	assert_null(strstr(page, "inf"));
	assert_nested(page);
	free(page);
	some_fini(&some);
}

static void a_page_of_nothing_says_so(void **state)
{
	struct some some = {.count = 0};
	char *page = results_printed(write_page, &some);

	assert_non_null(strstr(page, "There are no results."));
	assert_nested(page);
	free(page);
}

static void a_page_is_written_as_a_whole(void **state)
{
	struct some some = some_make();
	char path[] = "/tmp/report_html_test.XXXXXX";

	close(mkstemp(path));
	assert_int_equal(report_html(path, some.results, some.count), 0);
	assert_int_equal(report_html("/none/page.html", some.results, some.count), -ENOENT);
	FILE *file = fopen(path, "r");
	char begin[16] = "";
	assert_non_null(file);
	assert_non_null(fgets(begin, sizeof(begin), file));
	assert_string_equal(begin, "<!doctype html>");
	fclose(file);
	unlink(path);
	some_fini(&some);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_has_charts_tables_host_commands_and_caveats),
		cmocka_unit_test(a_page_needs_no_script_and_no_other_file),
		cmocka_unit_test(whatever_a_result_says_is_text),
		cmocka_unit_test(a_label_has_one_colour_in_all_workloads),
		cmocka_unit_test(more_labels_than_colours_are_all_there),
		cmocka_unit_test(what_was_not_measured_has_no_chart),
		cmocka_unit_test(no_number_in_a_page_is_infinite_or_none),
		cmocka_unit_test(a_page_of_nothing_says_so),
		cmocka_unit_test(a_page_is_written_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
