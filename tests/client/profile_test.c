/* The text of the profiles. */
#include "client/command/profile_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct profile_file *parse(const char *text)
{
	struct profile_fault fault;
	struct profile_file *file;

	assert_int_equal(profile_file_parse(&file, text, strlen(text), &fault), 0);
	return file;
}

static void refuse(const char *text, size_t length, size_t line, const char *what)
{
	struct profile_fault fault = {0};
	struct profile_file *file;

	assert_int_equal(profile_file_parse(&file, text, length, &fault), -EINVAL);
	assert_int_equal(fault.line, line);
	if (!strstr(fault.what, what))
		fail_msg("'%s' does not say '%s'", fault.what, what);
}

static void expect(const struct profile_file *file, const char *wanted)
{
	char *text = NULL;
	size_t length;
	FILE *to = open_memstream(&text, &length);

	profile_file_write(file, to);
	fclose(to);
	assert_string_equal(text, wanted);
	free(text);
}

static const char two[] = "# mine\ncurrent = a\n\n[a]\n  brokers=one:9092 \r\n\n[b]\nk = v = w\n";

static void profiles_have_settings_in_the_order_of_the_file(void **state)
{
	struct profile_file *file = parse(two);
	const char *value;

	assert_string_equal(profile_file_value(file, NULL, "current"), "a");
	assert_string_equal(profile_file_name_at(file, 0), "a");
	assert_string_equal(profile_file_name_at(file, 1), "b");
	assert_null(profile_file_name_at(file, 2));
	assert_string_equal(profile_file_value(file, "a", "brokers"), "one:9092");
	assert_null(profile_file_value(file, "b", "brokers"));
	assert_string_equal(profile_file_setting_at(file, "b", 0, &value), "k");
	assert_string_equal(value, "v = w");
	assert_null(profile_file_setting_at(file, "b", 1, &value));
	assert_null(profile_file_setting_at(file, "c", 0, &value));
	profile_file_free(file);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
	static const char zero[] = "a = b\n[x]\nk = \0\n";

	refuse("[a]\nk\n", 6, 2, "neither");
	refuse("\n[a\n", 4, 2, "ends with ']'");
	refuse("[", 1, 1, "ends with ']'");
	refuse("[]", 2, 1, "letters, digits");
	refuse("[a b]", 5, 1, "letters, digits");
	refuse(" = 5", 4, 1, "missing before '='");
	refuse("[a]\n[b]\n[a]\n", 12, 3, "begun before");
	refuse("[a]\nk=1\nk=2\n", 12, 3, "set before");
	refuse(zero, sizeof(zero) - 1, 3, "zero");
}

static void a_file_has_its_limits(void **state)
{
	char *text = malloc(PROFILE_FILE_BYTES_MAX + 1);

	memset(text, '\n', PROFILE_FILE_BYTES_MAX + 1);
	refuse(text, PROFILE_LINES_MAX + 1, PROFILE_LINES_MAX + 1, "4096 lines");
	text[0] = '#';
	memset(text + 1, 'x', PROFILE_FILE_BYTES_MAX);
	refuse(text, PROFILE_FILE_BYTES_MAX + 1, 1, "256 KiB");
	struct profile_fault fault;
	struct profile_file *file;
	assert_int_equal(profile_file_parse(&file, text, PROFILE_FILE_BYTES_MAX, &fault), 0);
	profile_file_free(file);
	free(text);
}

static void a_change_leaves_the_other_lines_as_they_are(void **state)
{
	struct profile_file *file = parse(two);

	assert_int_equal(profile_file_set(file, "a", "linger.ms", "5"), 0);
	assert_int_equal(profile_file_set(file, "b", "k", "x"), 0);
	assert_int_equal(profile_file_set(file, "fresh", "acks", "all"), 0);
	assert_int_equal(profile_file_set(file, NULL, "current", NULL), 0);
	expect(file, "# mine\n\n[a]\n  brokers=one:9092 \r\nlinger.ms = 5\n\n[b]\nk = x\n\n"
		     "[fresh]\nacks = all\n");
	profile_file_remove(file, "b");
	profile_file_remove(file, "never");
	expect(file,
	       "# mine\n\n[a]\n  brokers=one:9092 \r\nlinger.ms = 5\n\n[fresh]\nacks = all\n");
	profile_file_free(file);
}

static void the_first_profile_begins_an_empty_file(void **state)
{
	struct profile_file *file = parse("");

	assert_int_equal(profile_file_set(file, "a", "k", "v"), 0);
	assert_int_equal(profile_file_set(file, NULL, "current", "a"), 0);
	expect(file, "current = a\n[a]\nk = v\n");
	profile_file_free(file);
}

static void what_would_not_be_read_back_is_refused(void **state)
{
	static const char *const wrong[][2] = {{"k", "a\nb"}, {"k", " a"}, {"k", "a\t"},
					       {"#k", "a"},   {"[k", "a"}, {"k=", "a"},
					       {"", "a"},     {" k", "a"}};
	struct profile_file *file = parse("[a]\n");

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(profile_file_set(file, "a", wrong[i][0], wrong[i][1]), -EINVAL);
	expect(file, "[a]\n");
	assert_int_equal(profile_file_set(file, "a]b", "k", "v"), -EINVAL);
	profile_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_have_settings_in_the_order_of_the_file),
		cmocka_unit_test(what_is_wrong_is_told_with_its_line),
		cmocka_unit_test(a_file_has_its_limits),
		cmocka_unit_test(a_change_leaves_the_other_lines_as_they_are),
		cmocka_unit_test(the_first_profile_begins_an_empty_file),
		cmocka_unit_test(what_would_not_be_read_back_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
