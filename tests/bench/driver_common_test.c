/* Addresses, settings and partitions as the drivers understand them; what is wrong is said. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bench/suite/driver_common.h"

#include <stdio.h>
#include <string.h>

static const struct driver none = {.name = "none"};
static char complaint[512];

void driver_complain(const struct driver *driver, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(complaint, sizeof(complaint), format, arguments);
	va_end(arguments);
}

static void an_address_is_found_in_whatever_it_is_written_with(void **state)
{
	static const struct {
		const char *url, *host;
		uint16_t port;
	} good[] = {
		{"localhost", "localhost", 6379},
		{"localhost:1", "localhost", 1},
		{"redis://10.0.0.1:65535", "10.0.0.1", 65535},
		{"redis://me:secret@host:7/0?x=y", "host", 7},
		{"host/0", "host", 6379},
		{"[::1]:8", "::1", 8},
		{"nats://[fe80::1]", "fe80::1", 6379},
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct driver_address address;

		assert_int_equal(driver_address(&none, good[i].url, 6379, &address), 0);
		assert_string_equal(address.host, good[i].host);
		assert_int_equal(address.port, good[i].port);
	}
}

static void what_is_no_address_is_refused_with_its_text(void **state)
{
	static const char *const bad[] = {"",           ":1",      "host:",    "host:0",
					  "host:65536", "host:1x", "host:-1",  "[::1",
					  "[::1]x",     "[]:1",    "redis://", "user@"};
	char long_host[400];
	struct driver_address address;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(driver_address(&none, bad[i], 1, &address), -EINVAL);
		assert_non_null(strstr(complaint, bad[i]));
	}
	memset(long_host, 'a', sizeof(long_host) - 1);
	long_host[sizeof(long_host) - 1] = '\0';
	assert_int_equal(driver_address(&none, long_host, 1, &address), -EINVAL);
}

static void the_last_setting_of_a_key_counts(void **state)
{
	static const char *const settings[] = {"ab=1", "a=2", "a=3", NULL};
	const struct driver_target target = {.settings = settings};
	const struct driver_target without = {.settings = NULL};

	assert_string_equal(driver_setting(&target, "a"), "3");
	assert_null(driver_setting(&target, "b"));
	assert_null(driver_setting(&without, "a"));
}

static void a_number_outside_of_its_range_is_refused(void **state)
{
	static const char *const settings[] = {"count=5", "word=five", "minus=-5",
					       "more=5x", "none=",     NULL};
	const struct driver_target target = {.settings = settings};
	uint64_t value = 0;

	assert_int_equal(driver_setting_number(&none, &target, "count", 1, 5, 5, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(driver_setting_number(&none, &target, "absent", 9, 0, 5, &value), 0);
	assert_int_equal(value, 9);
	assert_int_equal(driver_setting_number(&none, &target, "count", 1, 6, 7, &value), -EINVAL);
	assert_string_equal(complaint, "count=5 is no number from 6 to 7");
	assert_int_equal(driver_setting_number(&none, &target, "word", 1, 0, 7, &value), -EINVAL);
	assert_int_equal(driver_setting_number(&none, &target, "minus", 1, 0, 7, &value), -EINVAL);
	assert_int_equal(driver_setting_number(&none, &target, "more", 1, 0, 7, &value), -EINVAL);
	assert_int_equal(driver_setting_number(&none, &target, "none", 1, 0, 7, &value), -EINVAL);
	assert_int_equal(value, 9);
}

static void unknown_settings_are_refused_with_the_known_ones(void **state)
{
	static const char *const known[] = {"count", "noack", NULL};
	static const char *const good[] = {"noack=true", NULL};
	static const char *const unknown[] = {"count=1", "cuont=2", NULL};
	static const char *const no_sign[] = {"count", NULL};

	assert_int_equal(driver_settings_check(&none, NULL, known), 0);
	assert_int_equal(driver_settings_check(&none, good, known), 0);
	assert_int_equal(driver_settings_check(&none, unknown, known), -EINVAL);
	assert_string_equal(complaint, "there is no setting cuont; there are: count, noack");
	assert_int_equal(driver_settings_check(&none, no_sign, known), -EINVAL);
}

static void a_key_always_goes_to_the_same_partition_and_no_key_in_turn(void **state)
{
	struct driver_record record = {.partition = -1, .key = "key", .key_bytes = 3};
	unsigned turn = 0, first = driver_partition_of(&record, 7, &turn);

	assert_true(first < 7);
	assert_int_equal(driver_partition_of(&record, 7, &turn), first);
	record.key = NULL;
	assert_int_equal(driver_partition_of(&record, 2, &turn), 0);
	assert_int_equal(driver_partition_of(&record, 2, &turn), 1);
	assert_int_equal(driver_partition_of(&record, 2, &turn), 0);
	record.partition = 5;
	assert_int_equal(driver_partition_of(&record, 7, &turn), 5);
}

static void a_partition_has_a_name_unless_that_is_too_long(void **state)
{
	char name[8];

	assert_int_equal(driver_partition_name(&none, "topic", ':', 7, name, sizeof(name)), 0);
	assert_string_equal(name, "topic:7");
	assert_int_equal(driver_partition_name(&none, "topic", ':', 10, name, sizeof(name)),
			 -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_found_in_whatever_it_is_written_with),
		cmocka_unit_test(what_is_no_address_is_refused_with_its_text),
		cmocka_unit_test(the_last_setting_of_a_key_counts),
		cmocka_unit_test(a_number_outside_of_its_range_is_refused),
		cmocka_unit_test(unknown_settings_are_refused_with_the_known_ones),
		cmocka_unit_test(a_key_always_goes_to_the_same_partition_and_no_key_in_turn),
		cmocka_unit_test(a_partition_has_a_name_unless_that_is_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
