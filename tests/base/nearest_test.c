/* Which name is told to whom. */
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct nearest of(const char *written, const char *const *names)
{
	struct nearest nearest;

	nearest_init(&nearest, written);
	for (; *names; names++)
		nearest_offer(&nearest, *names);
	return nearest;
}

static bool likely(const char *written, const char *const *names)
{
	struct nearest nearest = of(written, names);

	return nearest_likely(&nearest);
}

static void the_name_with_the_fewest_edits_is_told(void **state)
{
	static const char *const names[] = {"delete", "describe", "list", "trim", NULL};
	static const struct {
		const char *written;
		const char *name;
		unsigned edits;
	} cases[] = {
		{"lst", "list", 1},         {"liist", "list", 1},
		{"kist", "list", 1},        {"lsit", "list", 2},
		{"descrbe", "describe", 1}, {"list", "list", 0},
		{"delte", "delete", 1},     {"", "list", 4},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct nearest nearest = of(cases[i].written, names);
		assert_string_equal(nearest.name, cases[i].name);
		assert_int_equal(nearest.edits, cases[i].edits);
	}
}

static void of_equally_near_names_the_first_is_told(void **state)
{
	static const char *const names[] = {"port", "part", NULL};

	assert_string_equal(of("pert", names).name, "port");
}

static void what_shares_less_than_half_its_letters_is_not_likely(void **state)
{
	static const char *const names[] = {"trim", NULL};
	static const char *const none[] = {NULL};

	assert_true(likely("rm", names));
	assert_false(likely("r", names));
	assert_false(likely("xyzzy", names));
	assert_false(likely("", names));
	assert_false(likely("trim", none));
}

static void a_very_long_name_is_like_none(void **state)
{
	static const char *const names[] = {"list", "describe", NULL};
	char written[1000];

	memset(written, 'l', sizeof(written));
	for (size_t length = 60; length < sizeof(written); length++) {
		written[length] = 0;
		assert_false(likely(written, names));
		written[length] = 'l';
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_with_the_fewest_edits_is_told),
		cmocka_unit_test(of_equally_near_names_the_first_is_told),
		cmocka_unit_test(what_shares_less_than_half_its_letters_is_not_likely),
		cmocka_unit_test(a_very_long_name_is_like_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
