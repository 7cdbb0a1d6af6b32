#include "base/whole.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum {
	FILE_BYTES = 100,
	ROOM_BYTES = 200,
	PIECE_BYTES = 7,
};

static struct {
	uint8_t bytes[ROOM_BYTES];
	size_t size, room;
	int fail_at; /* the call that fails; 0: none */
	int error;
	int calls;
} file;

static size_t piece(size_t wanted, size_t left)
{
	size_t most = left < PIECE_BYTES ? left : PIECE_BYTES;

	return wanted < most ? wanted : most;
}

static int fails(void)
{
	if (++file.calls != file.fail_at)
		return 0;
	errno = file.error;
	return -1;
}

ssize_t __wrap_pread64(int fd, void *data, size_t length, off_t offset)
{
	if (fails())
		return -1;
	size_t count = (size_t)offset < file.size ? piece(length, file.size - (size_t)offset) : 0;
	memcpy(data, file.bytes + offset, count);
	return (ssize_t)count;
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	if (fails())
		return -1;
	size_t count = piece(length, file.room - (size_t)offset);
	memcpy(file.bytes + offset, data, count);
	return (ssize_t)count;
}

static int begin(void **state)
{
	memset(&file, 0, sizeof(file));
	for (int i = 0; i < FILE_BYTES; i++)
		file.bytes[i] = (uint8_t)i;
	file.size = FILE_BYTES;
	file.room = ROOM_BYTES;
	return 0;
}

static void short_reads_are_gone_on_with(void **state)
{
	uint8_t data[60] = {0};

	assert_int_equal(whole_pread(3, data, sizeof(data), 20), sizeof(data));
	assert_memory_equal(data, file.bytes + 20, sizeof(data));
}

static void a_read_ends_at_the_end_of_the_file(void **state)
{
	uint8_t data[60] = {0};

	assert_int_equal(whole_pread(3, data, sizeof(data), FILE_BYTES - 10), 10);
	assert_int_equal(whole_pread(3, data, sizeof(data), FILE_BYTES), 0);
}

static void short_writes_are_gone_on_with(void **state)
{
	uint8_t data[60];

	memset(data, 0xaa, sizeof(data));
	assert_int_equal(whole_pwrite(3, data, sizeof(data), 50), 0);
	assert_memory_equal(file.bytes + 50, data, sizeof(data));
	assert_int_equal(file.bytes[49], 49);
	assert_int_equal(file.bytes[110], 0);
}

static void a_write_that_is_not_taken_is_told_as_no_space(void **state)
{
	const uint8_t data[60] = {0};

	file.room = 70;
	assert_int_equal(whole_pwrite(3, data, sizeof(data), 50), -ENOSPC);
}

static void an_error_is_told_and_an_interruption_is_not(void **state)
{
	uint8_t data[60] = {0};

	file.fail_at = 3;
	file.error = EIO;
	assert_int_equal(whole_pread(3, data, sizeof(data), 0), -EIO);
	file.calls = 0;
	assert_int_equal(whole_pwrite(3, data, sizeof(data), 0), -EIO);
	file.error = EINTR;
	file.calls = 0;
	assert_int_equal(whole_pread(3, data, sizeof(data), 0), sizeof(data));
	file.calls = 0;
	assert_int_equal(whole_pwrite(3, data, sizeof(data), 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(short_reads_are_gone_on_with, begin),
		cmocka_unit_test_setup(a_read_ends_at_the_end_of_the_file, begin),
		cmocka_unit_test_setup(short_writes_are_gone_on_with, begin),
		cmocka_unit_test_setup(a_write_that_is_not_taken_is_told_as_no_space, begin),
		cmocka_unit_test_setup(an_error_is_told_and_an_interruption_is_not, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
