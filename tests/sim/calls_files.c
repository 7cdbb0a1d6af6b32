/* System calls on open files, and those that know every kind of descriptor.  What goes to the disk
 * takes the disk's time first: a process that is killed meanwhile has not done it. */
#include "tests/sim/calls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

int64_t call_result(int64_t result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

bool descriptor_is_real(int number)
{
	return number < DESCRIPTOR_FIRST;
}

void disk_takes_time(void)
{
	if (process_current())
		fiber_sleep_until(sim_now_ns() + disk_latency_ns(sim_disk()));
}

int file_get(int number, struct descriptor **ret)
{
	struct descriptor *descriptor = descriptor_get(number);

	if (!descriptor)
		return -EBADF;
	if (descriptor->kind != DESCRIPTOR_FILE)
		return -EINVAL;
	*ret = descriptor;
	return 0;
}

/* The same, after the time it takes; with access for it. */
static int file_wait(int number, int not_access, struct descriptor **ret)
{
	struct descriptor *descriptor;
	int rc = file_get(number, &descriptor);

	if (rc < 0)
		return rc;
	disk_takes_time();
	rc = file_get(number, &descriptor);
	if (rc == 0 && (descriptor->flags & O_ACCMODE) == not_access)
		rc = -EBADF;
	if (rc == 0)
		*ret = descriptor;
	return rc;
}

/* ---- read and write ---- */

static int64_t file_read(int number, const struct iovec *parts, int count, uint64_t offset)
{
	struct descriptor *descriptor;
	int64_t done = 0;
	int rc = file_wait(number, O_WRONLY, &descriptor);

	if (rc < 0)
		return rc;
	for (int i = 0; i < count; i++) {
		int64_t got = inode_read(sim_disk(), descriptor->inode, parts[i].iov_base,
					 parts[i].iov_len, offset + (uint64_t)done);
		if (got < 0)
			return done ? done : got;
		done += got;
		if ((size_t)got < parts[i].iov_len)
			break;
	}
	return done;
}

static int64_t file_write(int number, const struct iovec *parts, int count, uint64_t offset)
{
	struct descriptor *descriptor;
	int64_t done = 0;
	int rc = file_wait(number, O_RDONLY, &descriptor);

	if (rc < 0)
		return rc;
	for (int i = 0; i < count; i++) {
		int64_t put = inode_write(sim_disk(), descriptor->inode, parts[i].iov_base,
					  parts[i].iov_len, offset + (uint64_t)done,
					  descriptor->flags & O_DIRECT);
		if (put < 0)
			return done ? done : put;
		done += put;
		if ((size_t)put < parts[i].iov_len)
			break;
	}
	return done;
}

ssize_t __real_pread64(int fd, void *data, size_t length, off_t offset);
ssize_t __wrap_pread64(int fd, void *data, size_t length, off_t offset)
{
	struct iovec part = {.iov_base = data, .iov_len = length};

	if (descriptor_is_real(fd))
		return __real_pread64(fd, data, length, offset);
	return call_result(file_read(fd, &part, 1, (uint64_t)offset));
}

ssize_t __real_preadv64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_preadv64(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (descriptor_is_real(fd))
		return __real_preadv64(fd, parts, count, offset);
	return call_result(file_read(fd, parts, count, (uint64_t)offset));
}

ssize_t __real_pwrite64(int fd, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};

	if (descriptor_is_real(fd))
		return __real_pwrite64(fd, data, length, offset);
	return call_result(file_write(fd, &part, 1, (uint64_t)offset));
}

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	if (descriptor_is_real(fd))
		return __real_pwritev64(fd, parts, count, offset);
	return call_result(file_write(fd, parts, count, (uint64_t)offset));
}

/* Moves the position by what was done. */
static int64_t advance(int number, int64_t done)
{
	struct descriptor *descriptor = descriptor_get(number);

	if (descriptor && done > 0)
		descriptor->position += (uint64_t)done;
	return done;
}

static int64_t read_any(struct descriptor *descriptor, void *data, size_t length)
{
	struct iovec part = {.iov_base = data, .iov_len = length};

	if (!descriptor)
		return -EBADF;
	switch (descriptor->kind) {
	case DESCRIPTOR_FILE:
		return advance(descriptor->number,
			       file_read(descriptor->number, &part, 1, descriptor->position));
	case DESCRIPTOR_SOCKET:
		return stream_read(descriptor, data, length);
	case DESCRIPTOR_EVENT:
	case DESCRIPTOR_TIMER:
		return event_read(descriptor, data, length);
	case DESCRIPTOR_POLL:
	case DESCRIPTOR_FREE:
		break;
	}
	return -EINVAL;
}

ssize_t __real_read(int fd, void *data, size_t length);
ssize_t __wrap_read(int fd, void *data, size_t length)
{
	if (descriptor_is_real(fd))
		return __real_read(fd, data, length);
	return call_result(read_any(descriptor_get(fd), data, length));
}

static int64_t append(struct descriptor *descriptor, const void *data, size_t length)
{
	struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};

	if (descriptor->flags & O_APPEND)
		descriptor->position = inode_size(descriptor->inode);
	return advance(descriptor->number,
		       file_write(descriptor->number, &part, 1, descriptor->position));
}

static int64_t write_any(struct descriptor *descriptor, const void *data, size_t length)
{
	if (!descriptor)
		return -EBADF;
	switch (descriptor->kind) {
	case DESCRIPTOR_FILE:
		return append(descriptor, data, length);
	case DESCRIPTOR_SOCKET:
		return stream_write(descriptor, data, length);
	case DESCRIPTOR_EVENT:
	case DESCRIPTOR_TIMER:
		return event_write(descriptor, data, length);
	case DESCRIPTOR_POLL:
	case DESCRIPTOR_FREE:
		break;
	}
	return -EINVAL;
}

ssize_t __real_write(int fd, const void *data, size_t length);
ssize_t __wrap_write(int fd, const void *data, size_t length)
{
	if (descriptor_is_real(fd))
		return __real_write(fd, data, length);
	return call_result(write_any(descriptor_get(fd), data, length));
}

/* ---- flushes, sizes, locks ---- */

static int64_t flush(int number, bool data_only)
{
	struct descriptor *descriptor;
	int rc = file_wait(number, -1, &descriptor);

	return rc < 0 ? rc : inode_flush(sim_disk(), descriptor->inode, data_only);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd)
{
	return descriptor_is_real(fd) ? __real_fsync(fd) : (int)call_result(flush(fd, false));
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	return descriptor_is_real(fd) ? __real_fdatasync(fd) : (int)call_result(flush(fd, true));
}

int __real_ftruncate64(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_ftruncate64(fd, size);
	int rc = file_wait(fd, O_RDONLY, &descriptor);
	if (rc == 0)
		rc = inode_truncate(sim_disk(), descriptor->inode, (uint64_t)size);
	return (int)call_result(rc);
}

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_fallocate64(fd, mode, offset, length);
	int rc = file_wait(fd, O_RDONLY, &descriptor);
	if (rc == 0)
		rc = mode ? -EOPNOTSUPP
			  : inode_allocate(sim_disk(), descriptor->inode, (uint64_t)offset,
					   (uint64_t)length);
	return (int)call_result(rc);
}

int __real_posix_fadvise64(int fd, off_t offset, off_t length, int advice);
int __wrap_posix_fadvise64(int fd, off_t offset, off_t length, int advice)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_posix_fadvise64(fd, offset, length, advice);
	int rc = file_get(fd, &descriptor);
	if (rc == 0 && advice == POSIX_FADV_DONTNEED)
		inode_drop_cache(sim_disk(), descriptor->inode);
	return -rc;
}

static int lock(struct descriptor *descriptor, int operation)
{
	if (operation & LOCK_UN) {
		inode_unlock(descriptor->inode, descriptor);
		return 0;
	}
	/* Nobody here waits for a lock, or shares one. */
	if (operation != (LOCK_EX | LOCK_NB))
		return -EINVAL;
	return inode_lock(descriptor->inode, descriptor);
}

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_flock(fd, operation);
	int rc = file_get(fd, &descriptor);
	return (int)call_result(rc < 0 ? rc : lock(descriptor, operation));
}

/* ---- descriptors of any kind ---- */

int __real_close(int fd);
int __wrap_close(int fd)
{
	return descriptor_is_real(fd) ? __real_close(fd) : (int)call_result(descriptor_close(fd));
}

static int64_t control(struct descriptor *descriptor, int command, int argument)
{
	const int settable = O_APPEND | O_DIRECT | O_NONBLOCK;

	if (!descriptor)
		return -EBADF;
	switch (command) {
	case F_GETFL:
		return descriptor->flags;
	case F_SETFL:
		descriptor->flags = (descriptor->flags & ~settable) | (argument & settable);
		return 0;
	case F_GETFD:
		return FD_CLOEXEC;
	case F_SETFD:
		return 0;
	default:
		return -EINVAL;
	}
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
	va_list arguments;

	va_start(arguments, command);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (descriptor_is_real(fd))
		return __real_fcntl64(fd, command, argument);
	return (int)call_result(control(descriptor_get(fd), command, (int)(intptr_t)argument));
}

/* None is known: no reflinks, above all. */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	if (descriptor_is_real(fd))
		return __real_ioctl(fd, request, argument);
	return (int)call_result(descriptor_get(fd) ? -ENOTTY : -EBADF);
}
