#include "bench/suite/report.h"

#include "tests/bench/results.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct report_gate gate(const char *text)
{
	struct report_gate gate;
	char why[1024];

	assert_int_equal(report_gate_parse(text, &gate, why, sizeof(why)), 0);
	return gate;
}

static void assert_gate_refused(const char *text, const char *expected)
{
	struct report_gate gate = {.figure = "untouched"};
	char why[2048] = "";

	assert_int_equal(report_gate_parse(text, &gate, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, expected));
	assert_string_equal(gate.figure, "untouched");
}

static void a_gate_is_a_figure_and_a_bound_of_its_ratio(void **state)
{
	struct report_gate least = gate("published_per_s>=0.95");
	struct report_gate most = gate("end_to_end_p99_ms<=1.1");

	assert_string_equal(least.figure, "published_per_s");
	assert_true(least.least == 0.95 && isnan(least.most));
	assert_true(most.most == 1.1 && isnan(most.least));
}

static void what_is_no_gate_is_refused_with_the_reason(void **state)
{
	assert_gate_refused("", "there are: published_per_s,");
	assert_gate_refused("help", "there are: published_per_s,");
	assert_gate_refused("published_per_s", "no gate");
	assert_gate_refused("published_per_s=1", "no gate");
	assert_gate_refused("published_per_s>=", "above 0");
	assert_gate_refused("published_per_s>=fast", "above 0");
	assert_gate_refused("published_per_s>=1x", "above 0");
	assert_gate_refused("published_per_s>=-1", "above 0");
	assert_gate_refused("published_per_s>=nan", "above 0");
	assert_gate_refused("published_per_s>=inf", "above 0");
	assert_gate_refused("speed>=1", "end_to_end_p99_ms, ");
	assert_gate_refused("speed>=1", "client_cpu_s_per_million");
}

struct sides {
	struct result a[2], b[3];
	size_t a_count, b_count;
	struct report_gate gates[4];
	size_t gate_count;
	int rc;
};

static struct sides sides_make(void)
{
	struct sides sides = {.a_count = 2, .b_count = 3};

	results_make(&sides.a[0], "before", 1);
	results_make(&sides.a[1], "before", 1.2);
	results_make(&sides.b[0], "after", 0.5);
	results_make(&sides.b[1], "after", 0.6);
	results_make(&sides.b[2], "after", 0.4);
	return sides;
}

static void sides_fini(struct sides *sides)
{
	for (size_t i = 0; i < 2; i++)
		result_fini(&sides->a[i]);
	for (size_t i = 0; i < 3; i++)
		result_fini(&sides->b[i]);
}

static void write_comparison(FILE *out, const void *context)
{
	struct sides *sides = (struct sides *)(uintptr_t)context;

	sides->rc = report_compare(out, sides->a, sides->a_count, sides->b, sides->b_count,
				   sides->gates, sides->gate_count);
}

static void ratios_are_of_all_pairs_with_their_spread(void **state)
{
	struct sides sides = sides_make();

	sides.gates[0] = gate("published_per_s>=0.95");
	sides.gates[1] = gate("end_to_end_p99_ms<=0.2");
	sides.gate_count = 2;
	char *text = results_printed(write_comparison, &sides);
	assert_int_equal(sides.rc, 1);
	assert_golden("compare.txt", text);
	free(text);
	sides_fini(&sides);
}

static void what_was_asked_otherwise_is_said(void **state)
{
	struct sides sides = sides_make();
	char why[256];

	sides.b[0].workload.partitions_per_topic = 7;
	assert_int_equal(workload_set(&sides.b[0].workload, "topicConfig", "flush.messages=1", why,
				      sizeof(why)),
			 0);
	char *text = results_printed(write_comparison, &sides);
	assert_non_null(strstr(text, "\n  in B partitionsPerTopic is 7, not 16, "
				     "topicConfig is flush.messages=1, not given\n"));
	free(text);
	sides_fini(&sides);
}

/* Nobody knows how far another run would be from it. */
static void one_run_of_each_is_not_called_better_or_worse(void **state)
{
	struct sides sides = sides_make();

	sides.a_count = sides.b_count = 1;
	char *text = results_printed(write_comparison, &sides);
	assert_null(strstr(text, "better"));
	assert_null(strstr(text, "worse"));
	assert_non_null(strstr(text, "one run\n"));
	assert_non_null(strstr(text, "the same\n"));
	free(text);
	sides_fini(&sides);
}

static int gates_not_kept(struct sides *sides, const char *text)
{
	sides->gates[0] = gate(text);
	sides->gate_count = 1;
	free(results_printed(write_comparison, sides));
	return sides->rc;
}

static void a_gate_is_kept_up_to_its_bound(void **state)
{
	struct sides sides = sides_make();

	/* The six ratios of rates: 5/3, 2, 2, 2.4, 2.5, 3. */
	assert_int_equal(gates_not_kept(&sides, "published_per_s>=2.19"), 0);
	assert_int_equal(gates_not_kept(&sides, "published_per_s>=2.21"), 1);
	assert_int_equal(gates_not_kept(&sides, "published_per_s<=2.21"), 0);
	assert_int_equal(gates_not_kept(&sides, "published_per_s<=2.19"), 1);
	sides_fini(&sides);
}

static void what_was_not_measured_keeps_no_gate(void **state)
{
	struct sides sides = sides_make();

	for (size_t i = 0; i < 3; i++)
		sides.b[i].broker_known = false;
	assert_int_equal(gates_not_kept(&sides, "broker_cpu_s_per_million<=100"), 1);
	sides_fini(&sides);
}

static void assert_not_compared(struct sides *sides, const char *expected)
{
	char *text = results_printed(write_comparison, sides);

	assert_int_equal(sides->rc, -EINVAL);
	assert_string_equal(text, expected);
	free(text);
	sides_fini(sides);
}

static void a_workload_that_one_side_lacks_is_an_error(void **state)
{
	struct sides sides = sides_make();

	snprintf(sides.b[2].workload.name, sizeof(sides.b[2].workload.name), "produce");
	assert_not_compared(&sides, "only B has produce\n");
	sides = sides_make();
	snprintf(sides.a[1].workload.name, sizeof(sides.a[1].workload.name), "produce");
	assert_not_compared(&sides, "only A has produce\n");
}

static void two_labels_on_one_side_are_an_error(void **state)
{
	struct sides sides = sides_make();

	snprintf(sides.b[1].label, sizeof(sides.b[1].label), "kafka");
	assert_not_compared(&sides, "B has latency under more than one label: after, kafka\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gate_is_a_figure_and_a_bound_of_its_ratio),
		cmocka_unit_test(what_is_no_gate_is_refused_with_the_reason),
		cmocka_unit_test(ratios_are_of_all_pairs_with_their_spread),
		cmocka_unit_test(what_was_asked_otherwise_is_said),
		cmocka_unit_test(one_run_of_each_is_not_called_better_or_worse),
		cmocka_unit_test(a_gate_is_kept_up_to_its_bound),
		cmocka_unit_test(what_was_not_measured_keeps_no_gate),
		cmocka_unit_test(a_workload_that_one_side_lacks_is_an_error),
		cmocka_unit_test(two_labels_on_one_side_are_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
