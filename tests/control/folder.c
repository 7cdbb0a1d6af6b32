#include "tests/control/folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

struct folder *folder_new(void)
{
	struct folder *folder = calloc(1, sizeof(*folder));

	snprintf(folder->path, sizeof(folder->path), "/tmp/sluice-test-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder->fd >= 0);
	return folder;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
	(void)info;
	(void)kind;
	(void)walk;
	return remove(path);
}

void folder_free(struct folder *folder)
{
	close(folder->fd);
	nftw(folder->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
	free(folder);
}

char *folder_read(const struct folder *folder, const char *name, size_t *ret_length)
{
	struct stat info;
	int fd = openat(folder->fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &info), 0);
	char *data = malloc((size_t)info.st_size + 1);
	assert_int_equal(read(fd, data, (size_t)info.st_size), info.st_size);
	close(fd);
	*ret_length = (size_t)info.st_size;
	return data;
}

void folder_write(const struct folder *folder, const char *name, const void *data, size_t length)
{
	int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	close(fd);
}
