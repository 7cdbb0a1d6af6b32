#include "base/folder_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { FILES = 40, NEVER = -1 };

static char folder[] = "/tmp/folder-reader-XXXXXX";
static int reads_until_failure;

struct dirent *__real_readdir64(DIR *dir);
struct dirent *__wrap_readdir64(DIR *dir)
{
	if (reads_until_failure == 0) {
		errno = EIO;
		return NULL;
	}
	if (reads_until_failure > 0)
		reads_until_failure--;
	return __real_readdir64(dir);
}

static int make_folder(void **state)
{
	char path[64];

	if (!mkdtemp(folder))
		return -1;
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%d", folder, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || close(fd) < 0)
			return -1;
	}
	return 0;
}

static int remove_folder(void **state)
{
	char path[64];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%d", folder, i);
		unlink(path);
	}
	return rmdir(folder);
}

static int count_names(int fd, int *ret_rc)
{
	struct folder_reader reader;
	int count = 0;

	folder_reader_open(&reader, fd);
	while (folder_reader_next(&reader))
		count++;
	*ret_rc = folder_reader_close(&reader);
	return count;
}

static int open_folder(void)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_all_names_are_told(void **state)
{
	int fd = open_folder();
	int rc = -1;

	reads_until_failure = NEVER;
	assert_int_equal(count_names(fd, &rc), FILES + 2);
	assert_int_equal(rc, 0);
	assert_false(is_open(fd));
}

static void test_a_failure_amid_the_names_is_not_their_end(void **state)
{
	int fd = open_folder();
	int rc = 0;

	reads_until_failure = FILES / 2;
	assert_int_equal(count_names(fd, &rc), FILES / 2);
	assert_int_equal(rc, -EIO);
	assert_false(is_open(fd));
}

static void test_an_error_of_before_is_not_taken_for_one(void **state)
{
	int rc = -1;

	reads_until_failure = NEVER;
	errno = EIO;
	assert_int_equal(count_names(open_folder(), &rc), FILES + 2);
	assert_int_equal(rc, 0);
}

static void test_who_reads_ends_it_with_an_error_of_its_own(void **state)
{
	struct folder_reader reader;

	reads_until_failure = NEVER;
	folder_reader_open(&reader, open_folder());
	assert_non_null(folder_reader_next(&reader));
	reader.rc = -ENOMEM;
	assert_null(folder_reader_next(&reader));
	assert_int_equal(folder_reader_close(&reader), -ENOMEM);
}

static void test_what_is_no_folder_is_told_and_closed(void **state)
{
	int fd = open("/dev/null", O_RDONLY);
	int rc = 0;

	assert_int_equal(count_names(fd, &rc), 0);
	assert_int_equal(rc, -ENOTDIR);
	assert_false(is_open(fd));
	assert_int_equal(count_names(-EACCES, &rc), 0);
	assert_int_equal(rc, -EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_names_are_told),
		cmocka_unit_test(test_a_failure_amid_the_names_is_not_their_end),
		cmocka_unit_test(test_an_error_of_before_is_not_taken_for_one),
		cmocka_unit_test(test_who_reads_ends_it_with_an_error_of_its_own),
		cmocka_unit_test(test_what_is_no_folder_is_told_and_closed),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
