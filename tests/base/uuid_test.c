#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

static void text_and_back(void **state)
{
	static const struct uuid known = {{0x00, 0x10, 0x83, 0x10, 0x51, 0x87, 0x20, 0x92, 0x8b,
					   0x30, 0xd3, 0x8f, 0x41, 0x14, 0x93, 0x51}};
	char text[UUID_TEXT_BYTES];
	char hex[UUID_HEX_BYTES];
	struct uuid parsed;

	(void)state;
	uuid_text(&known, text);
	assert_string_equal(text, "ABCDEFGHIJKLMNOPQRSTUQ");
	uuid_hex(&known, hex);
	assert_string_equal(hex, "00108310518720928b30d38f41149351");
	assert_int_equal(uuid_parse(&parsed, text), 0);
	assert_true(uuid_equal(&parsed, &known));
	for (int i = 0; i < 1000; i++) {
		struct uuid made = uuid_random();
		uuid_text(&made, text);
		assert_int_equal(strlen(text), 22);
		assert_int_equal(uuid_parse(&parsed, text), 0);
		assert_true(uuid_equal(&parsed, &made));
	}
}

static void random_ones_are_version_4_and_no_option(void **state)
{
	char text[UUID_TEXT_BYTES];
	struct uuid before = {0};

	(void)state;
	assert_true(uuid_zero(&before));
	for (int i = 0; i < 2000; i++) {
		struct uuid made = uuid_random();
		assert_int_equal(made.bytes[6] >> 4, 4);
		assert_int_equal(made.bytes[8] >> 6, 2);
		assert_false(uuid_zero(&made));
		assert_false(uuid_equal(&made, &before));
		uuid_text(&made, text);
		assert_int_not_equal(text[0], '-');
		before = made;
	}
}

static void other_text_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"A",
		"ABCDEFGHIJKLMNOPQRSTU",
		"ABCDEFGHIJKLMNOPQRSTUQA",
		"ABCDEFGHIJKLMNOPQRSTU=",
		"ABCDEFGHIJKLMNOPQRST/Q",
		"ABCDEFGHIJ LMNOPQRSTUQ",
		"ABCDEFGHIJ\xc3\xa4MNOPQRSTUQ",
	};
	struct uuid parsed = {{1}};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(uuid_parse(&parsed, wrong[i]), -EINVAL);
		assert_int_equal(parsed.bytes[0], 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),
		cmocka_unit_test(random_ones_are_version_4_and_no_option),
		cmocka_unit_test(other_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
