/* Lists of processors, as the kernel writes them. */
#include "hw/cpus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void expect(const char *text, const char *printed)
{
	struct cpus cpus;
	char back[64];

	assert_int_equal(cpus_parse(&cpus, text), 0);
	cpus_print(&cpus, back, sizeof(back));
	assert_string_equal(back, printed);
}

static void a_list_comes_back_as_short_as_it_goes(void **state)
{
	expect("", "");
	expect("0", "0");
	expect("0-3,8,10-11", "0-3,8,10-11");
	expect("3,1,2,2,0", "0-3");
	expect("1022-1023", "1022-1023");
}

static void what_is_no_list_is_refused(void **state)
{
	static const char *const wrong[] = {"1-",   "-1",  "1,",   "a",    "1-0",         "(null)",
					    "1024", "1 2", "1,,2", "0x1f", "99999999999", "1-2-3"};
	struct cpus cpus = {.count = 7};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(cpus_parse(&cpus, wrong[i]), -EINVAL);
		assert_int_equal(cpus.count, 7);
	}
}

static void a_list_that_does_not_fit_is_cut(void **state)
{
	struct cpus cpus;
	char text[6];

	assert_int_equal(cpus_parse(&cpus, "0,2,4,6,8,10,12"), 0);
	cpus_print(&cpus, text, sizeof(text));
	assert_string_equal(text, "0,2,4");
}

static void lists_are_cut_by_others(void **state)
{
	struct cpus cpus;
	struct cpus others;
	char text[32];

	cpus_parse(&cpus, "0-7");
	cpus_parse(&others, "2-3,6,9");
	cpus_keep(&cpus, &others, false);
	cpus_print(&cpus, text, sizeof(text));
	assert_string_equal(text, "0-1,4-5,7");
	cpus_keep(&cpus, &others, true);
	assert_int_equal(cpus.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_comes_back_as_short_as_it_goes),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(a_list_that_does_not_fit_is_cut),
		cmocka_unit_test(lists_are_cut_by_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
