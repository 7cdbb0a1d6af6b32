#include "bench/suite/report_chart.h"

#include "tests/bench/results.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_chart(FILE *out, const void *context)
{
	chart_draw(context, out);
}

static char *drawn(struct chart *chart)
{
	char *text = results_printed(write_chart, chart);

	chart_fini(chart);
	return text;
}

static struct chart chart_of(enum chart_scale x, enum chart_scale y)
{
	return (struct chart){"title", "s", "ms", x, y, NULL, 0, 0};
}

static void assert_has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text ? text : "");
}

static void a_linear_axis_begins_at_zero(void **state)
{
	struct chart chart = chart_of(SCALE_LINEAR, SCALE_LINEAR);
	struct curve *curve = chart_add(&chart, "a", 0, CURVE_PLAIN);

	curve_add(curve, 0, 80);
	curve_add(curve, 10, 100);
	char *text = drawn(&chart);
	assert_has(text, ">0</text>");
	assert_has(text, ">100</text>");
	assert_has(text, "<polyline class=\"c0\" points=\"58.0,68.8 546.0,26.0 \"/>");
	free(text);
}

static void a_log_axis_is_around_its_values_by_ones_twos_and_fives(void **state)
{
	struct chart chart = chart_of(SCALE_LINEAR, SCALE_LOG);
	struct curve *curve = chart_add(&chart, "a", 1, CURVE_DASHED);

	curve_add(curve, 0, 0.3);
	curve_add(curve, 1, 7);
	char *text = drawn(&chart);
	assert_has(text, ">0.2</text>");
	assert_has(text, ">0.5</text>");
	assert_has(text, ">10</text>");
	assert_null(strstr(text, ">0.1</text>"));
	assert_null(strstr(text, ">20</text>"));
	assert_has(text, "class=\"c1 dashed\"");
	free(text);
}

static void an_axis_of_nines_gives_each_nine_the_same_room(void **state)
{
	struct chart chart = chart_of(SCALE_NINES, SCALE_LINEAR);
	struct curve *curve = chart_add(&chart, "a", 0, CURVE_PLAIN);

	curve_add(curve, 0, 1);
	curve_add(curve, 0.9, 1);
	curve_add(curve, 0.99, 1);
	curve_add(curve, 1, 1); /* at the end, wherever that is */
	char *text = drawn(&chart);
	assert_has(text, "points=\"58.0,26.0 302.0,26.0 546.0,26.0 546.0,26.0 \"");
	assert_has(text, ">50%</text>");
	assert_has(text, ">99%</text>");
	assert_has(text, "a, 99%: 1 ms");
	free(text);
}

static void what_a_scale_does_not_have_is_left_out(void **state)
{
	struct chart chart = chart_of(SCALE_LINEAR, SCALE_LOG);
	struct curve *curve = chart_add(&chart, "a", 0, CURVE_PLAIN);

	curve_add(curve, 0, 0);
	curve_add(curve, 1, -7);
	curve_add(curve, 2, (double)NAN);
	curve_add(curve, HUGE_VAL, 7);
	curve_add(NULL, 1, 1);
	char *text = drawn(&chart);
	assert_string_equal(text, "");
	free(text);
}

static void a_single_value_is_drawn(void **state)
{
	for (enum chart_scale scale = SCALE_LINEAR; scale <= SCALE_LOG; scale++) {
		struct chart chart = chart_of(SCALE_LINEAR, scale);

		curve_add(chart_add(&chart, "a", 0, CURVE_PLAIN), 0, 10);
		char *text = drawn(&chart);
		assert_has(text, "<polyline");
		assert_null(strstr(text, "nan"));
		assert_null(strstr(text, "inf"));
		free(text);
	}
}

static void a_very_long_curve_is_thinned(void **state)
{
	struct chart chart = chart_of(SCALE_LINEAR, SCALE_LINEAR);
	struct curve *curve = chart_add(&chart, "a", 0, CURVE_PLAIN);

	for (int i = 0; i < 100000; i++)
		curve_add(curve, i, i);
	char *text = drawn(&chart);
	assert_true(strlen(text) < 100000);
	free(text);
}

static void write_bars(FILE *out, const void *context)
{
	static const double fast[] = {90, 100, 200}, unknown[] = {(double)NAN};
	const struct bar bars[] = {
		{"a<b", 0, 100, fast, 3},
		{"none", 1, (double)NAN, unknown, 1},
		{"alone", 2, 50, &(double){50}, 1},
	};

	bars_draw("Published", "records/s", bars, 3, out);
}

static void bars_are_by_the_largest_run_and_leave_out_what_is_unknown(void **state)
{
	char *text = results_printed(write_bars, NULL);

	assert_has(text, "a&lt;b");
	assert_has(text, "class=\"bar c0\" x=\"0\" y=\"20\" width=\"115.0\"");
	assert_has(text, "a&lt;b, run 3: 200 records/s");
	assert_has(text, "class=\"bar c2\" x=\"0\" y=\"60\" width=\"60.0\"");
	assert_null(strstr(text, "none"));
	assert_null(strstr(text, "class=\"run c2\""));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_linear_axis_begins_at_zero),
		cmocka_unit_test(a_log_axis_is_around_its_values_by_ones_twos_and_fives),
		cmocka_unit_test(an_axis_of_nines_gives_each_nine_the_same_room),
		cmocka_unit_test(what_a_scale_does_not_have_is_left_out),
		cmocka_unit_test(a_single_value_is_drawn),
		cmocka_unit_test(a_very_long_curve_is_thinned),
		cmocka_unit_test(bars_are_by_the_largest_run_and_leave_out_what_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
