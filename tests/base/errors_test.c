#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>

static void every_code_has_a_sentence(void **state)
{
	(void)state;
	for (int code = ERR_FIRST + 1; code < ERR_END; code++) {
		assert_true(error_text(-code)[0] != '\0');
		assert_string_not_equal(error_text(-code), "unknown error");
	}
	assert_string_equal(error_text(-ENOENT), "No such file or directory");
	assert_string_equal(error_text(0), "success");
}

static void other_numbers_are_unknown(void **state)
{
	(void)state;
	assert_string_equal(error_text(-ERR_FIRST), "unknown error");
	assert_string_equal(error_text(-ERR_END), "unknown error");
	assert_string_equal(error_text(-4000), "unknown error");
	assert_string_equal(error_text(INT_MIN), "unknown error");
}

static void ours_lie_above_those_of_the_machine(void **state)
{
	(void)state;
	assert_true(ERR_FIRST > 4095);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_a_sentence),
		cmocka_unit_test(other_numbers_are_unknown),
		cmocka_unit_test(ours_lie_above_those_of_the_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
