/* Makes a broker's disk fail on command: preloaded into sluiced by storage_faults_test.py.
 *
 * The file named by FAULTY_DISK_CONTROL holds one line, "OPERATION ERRNO PATH-PART"; while it is
 * there, that operation (write, sync, read, create or allocate) fails with that errno on files
 * whose path contains the part.  The control file is looked at on every call, so a test switches
 * faults on and off while the broker runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

/* The line of the control file, read past our own wrappers. */
static int wanted(char *operation, size_t operation_bytes, char *part, size_t part_bytes)
{
	const char *path = getenv("FAULTY_DISK_CONTROL");
	char line[512] = "";
	FILE *file = path ? fopen(path, "re") : NULL;

	if (!file)
		return 0;
	char *got = fgets(line, sizeof(line), file);
	fclose(file);
	char *first = got ? strchr(line, ' ') : NULL;
	char *second = first ? strchr(first + 1, ' ') : NULL;
	if (!second)
		return 0;
	*first = *second = '\0';
	second[1 + strcspn(second + 1, "\n")] = '\0';
	snprintf(operation, operation_bytes, "%s", line);
	snprintf(part, part_bytes, "%s", second + 1);
	return (int)strtol(first + 1, NULL, 10);
}

static int fault_on(const char *operation, const char *path)
{
	char failing[32];
	char part[256];
	int error = wanted(failing, sizeof(failing), part, sizeof(part));

	return error && strcmp(failing, operation) == 0 && strstr(path, part) ? error : 0;
}

static int fault(const char *operation, int fd)
{
	char link[64];
	char path[4096];
	int kept = errno;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof(path) - 1);
	int error = 0;
	if (length > 0) {
		path[length] = '\0';
		error = fault_on(operation, path);
	}
	errno = error ? error : kept;
	return error;
}

#define FAIL_OR_CALL(operation, name, result, parameters, arguments)                               \
	result name parameters                                                                     \
	{                                                                                          \
		static result(*real) parameters;                                                   \
		if (!real)                                                                         \
			real = (result(*) parameters)next(#name);                                  \
		return fault(operation, fd) ? -1 : real arguments;                                 \
	}

FAIL_OR_CALL("write", pwrite, ssize_t, (int fd, const void *data, size_t length, off_t at),
	     (fd, data, length, at))
FAIL_OR_CALL("write", pwrite64, ssize_t, (int fd, const void *data, size_t length, off64_t at),
	     (fd, data, length, at))
FAIL_OR_CALL("write", pwritev, ssize_t, (int fd, const struct iovec *vectors, int count, off_t at),
	     (fd, vectors, count, at))
FAIL_OR_CALL("write", pwritev64, ssize_t,
	     (int fd, const struct iovec *vectors, int count, off64_t at), (fd, vectors, count, at))
FAIL_OR_CALL("write", pwritev2, ssize_t,
	     (int fd, const struct iovec *vectors, int count, off_t at, int flags),
	     (fd, vectors, count, at, flags))
FAIL_OR_CALL("write", pwritev64v2, ssize_t,
	     (int fd, const struct iovec *vectors, int count, off64_t at, int flags),
	     (fd, vectors, count, at, flags))
FAIL_OR_CALL("sync", fdatasync, int, (int fd), (fd))
FAIL_OR_CALL("sync", fsync, int, (int fd), (fd))
FAIL_OR_CALL("read", pread, ssize_t, (int fd, void *data, size_t length, off_t at),
	     (fd, data, length, at))
FAIL_OR_CALL("read", pread64, ssize_t, (int fd, void *data, size_t length, off64_t at),
	     (fd, data, length, at))
FAIL_OR_CALL("read", preadv, ssize_t, (int fd, const struct iovec *vectors, int count, off_t at),
	     (fd, vectors, count, at))
FAIL_OR_CALL("read", preadv64, ssize_t,
	     (int fd, const struct iovec *vectors, int count, off64_t at), (fd, vectors, count, at))
FAIL_OR_CALL("allocate", fallocate, int, (int fd, int mode, off_t at, off_t length),
	     (fd, mode, at, length))
FAIL_OR_CALL("allocate", fallocate64, int, (int fd, int mode, off64_t at, off64_t length),
	     (fd, mode, at, length))

/* A variable mode: openat is written out. */
static int open_at(const char *name, int dir_fd, const char *path, int flags, mode_t mode)
{
	int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))next(name);

	if ((flags & O_CREAT) && fault("create", dir_fd))
		return -1;
	return real(dir_fd, path, flags, mode);
}

int openat(int dir_fd, const char *path, int flags, ...)
{
	va_list rest;

	va_start(rest, flags);
	mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return open_at("openat", dir_fd, path, flags, mode);
}

int openat64(int dir_fd, const char *path, int flags, ...)
{
	va_list rest;

	va_start(rest, flags);
	mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return open_at("openat64", dir_fd, path, flags, mode);
}
