/* Ours become the protocol's in one place: none may come out as a code that has no name. */
#include "base/errors.h"
#include "dataplane/kafka/kafka_errors.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void every_error_of_ours_has_a_code_with_a_name(void **state)
{
	for (int error = ERR_FIRST + 1; error < ERR_END; error++) {
		int16_t code = kafka_code_of(-error);
		assert_int_not_equal(code, KAFKA_NONE);
		assert_string_not_equal(kafka_error_name(code), "?");
		assert_int_equal(kafka_code_of(error), code);
	}
}

static void a_failing_disk_is_a_storage_error(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EROFS, EDQUOT, EFBIG};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		assert_int_equal(kafka_code_of(-errors[i]), KAFKA_KAFKA_STORAGE_ERROR);
}

static void codes_are_the_published_ones(void **state)
{
	assert_int_equal(kafka_code_of(0), 0);
	assert_int_equal(kafka_code_of(-ERR_CORRUPT), 2);
	assert_int_equal(kafka_code_of(-ERR_UNKNOWN_PARTITION), 3);
	assert_int_equal(kafka_code_of(-ETIMEDOUT), 7);
	assert_int_equal(kafka_code_of(-ERR_TOO_LARGE), 10);
	assert_int_equal(kafka_code_of(-ERR_BAD_REQUEST), 42);
	assert_int_equal(kafka_code_of(-EIO), 56);
	assert_int_equal(kafka_code_of(-ERR_INVALID_RECORD), 87);
}

static void what_is_not_foreseen_is_an_unknown_server_error(void **state)
{
	assert_int_equal(kafka_code_of(-EBADF), -1);
	assert_int_equal(kafka_code_of(-ERR_END), -1);
	assert_int_equal(kafka_code_of(INT_MAX), -1);
}

static void codes_have_names(void **state)
{
	assert_string_equal(kafka_error_name(0), "NONE");
	assert_string_equal(kafka_error_name(-1), "UNKNOWN_SERVER_ERROR");
	assert_string_equal(kafka_error_name(35), "UNSUPPORTED_VERSION");
	assert_string_equal(kafka_error_name(INT16_MAX), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_of_ours_has_a_code_with_a_name),
		cmocka_unit_test(a_failing_disk_is_a_storage_error),
		cmocka_unit_test(codes_are_the_published_ones),
		cmocka_unit_test(what_is_not_foreseen_is_an_unknown_server_error),
		cmocka_unit_test(codes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
