/* Makes one call of a broker fail, the n-th of its kind: preloaded into sluiced by calls.py.
 *
 * FAILING_CALLS names a file of `struct control`, which the library maps: it counts calls there,
 * kind by kind, over all lives of the broker that share the file, and reads which of them fails.
 * Calls about files count where the file lies below FAILING_FOLDER.  Of io_uring it sees what is
 * submitted: an operation that is to fail is made one that does nothing and ends with the error,
 * which kernels from 6.10 on know; nothing else in the broker or the kernel is changed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* The last two are of memory: calls in the program itself, and in libraries. */
#define KINDS(KIND)                                                                                \
	KIND(open)                                                                                 \
	KIND(write)                                                                                \
	KIND(short_write)                                                                          \
	KIND(read)                                                                                 \
	KIND(sync)                                                                                 \
	KIND(allocate)                                                                             \
	KIND(truncate)                                                                             \
	KIND(rename)                                                                               \
	KIND(unlink)                                                                               \
	KIND(mkdir)                                                                                \
	KIND(stat)                                                                                 \
	KIND(list)                                                                                 \
	KIND(accept)                                                                               \
	KIND(receive)                                                                              \
	KIND(send)                                                                                 \
	KIND(uring_write)                                                                          \
	KIND(uring_short_write)                                                                    \
	KIND(uring_read)                                                                           \
	KIND(uring_sync)                                                                           \
	KIND(uring_other)                                                                          \
	KIND(map)                                                                                  \
	KIND(allocation)                                                                           \
	KIND(library_allocation)

enum kind {
#define KIND(name) name##_kind,
	KINDS(KIND)
#undef KIND
		KIND_COUNT,
};

/* calls.py reads the names, in the order of the counters. */
#define KIND(name) #name " "
const char failing_calls_kinds[] = KINDS(KIND);
#undef KIND

/* calls.py writes it and reads it; all 64 bits. */
struct control {
	_Atomic uint64_t kind;  /* that fails, or KIND_COUNT and above: none */
	_Atomic uint64_t first; /* the number of the first call that fails, from 0 */
	_Atomic uint64_t count; /* how many fail from there on */
	_Atomic uint64_t error;
	_Atomic uint64_t failed; /* so far */
	_Atomic uint64_t calls[KIND_COUNT];
};

static struct control *control;
static char folder[4096];
static size_t folder_length;
static uintptr_t program_first, program_last;

/* Whether this call fails, and then errno is set. */
static bool fails(enum kind kind)
{
	if (!control)
		return false;
	uint64_t number = atomic_fetch_add(&control->calls[kind], 1);
	uint64_t first = atomic_load(&control->first);
	if (atomic_load(&control->kind) != kind || number < first ||
	    number - first >= atomic_load(&control->count))
		return false;
	atomic_fetch_add(&control->failed, 1);
	errno = (int)atomic_load(&control->error);
	return true;
}

static int program_range(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t first = info->dlpi_addr + part->p_vaddr;

		if (part->p_type == PT_LOAD && (part->p_flags & PF_X)) {
			program_first = first;
			program_last = first + part->p_memsz;
		}
	}
	return 1; /* the first object is the program */
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILING_CALLS");
	const char *below = getenv("FAILING_FOLDER");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	snprintf(folder, sizeof(folder), "%s", below ? below : "");
	folder_length = strlen(folder);
	dl_iterate_phdr(program_range, NULL);
	void *mapped = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		control = mapped;
}

/* ---- files ---- */

static bool is_below(const char *path)
{
	return folder_length && strncmp(path, folder, folder_length) == 0;
}

static bool is_ours(int fd)
{
	char link[64];
	char path[4096];
	int kept = errno;

	if (!control)
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof(path) - 1);
	errno = kept;
	if (length <= 0)
		return false;
	path[length] = '\0';
	return is_below(path);
}

static bool is_ours_at(int dir_fd, const char *path)
{
	return path[0] == '/' ? is_below(path) : is_ours(dir_fd);
}

static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

#define CALL(result, name, parameters, failing, answer, arguments)                                 \
	result name parameters                                                                     \
	{                                                                                          \
		static result(*real) parameters;                                                   \
		if (!real)                                                                         \
			real = (result(*) parameters)next(#name);                                  \
		if (failing)                                                                       \
			return answer;                                                             \
		return real arguments;                                                             \
	}
#define FILE_CALL(result, name, parameters, kind, arguments)                                       \
	CALL(result, name, parameters, is_ours(fd) && fails(kind), -1, arguments)

FILE_CALL(ssize_t, pread64, (int fd, void *data, size_t length, off64_t at), read_kind,
	  (fd, data, length, at))
FILE_CALL(ssize_t, preadv64, (int fd, const struct iovec *vectors, int count, off64_t at),
	  read_kind, (fd, vectors, count, at))
FILE_CALL(ssize_t, read, (int fd, void *data, size_t length), read_kind, (fd, data, length))
FILE_CALL(int, fdatasync, (int fd), sync_kind, (fd))
FILE_CALL(int, fsync, (int fd), sync_kind, (fd))
FILE_CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t length), allocate_kind,
	  (fd, mode, at, length))
FILE_CALL(int, ftruncate64, (int fd, off64_t length), truncate_kind, (fd, length))
FILE_CALL(int, fstat64, (int fd, struct stat64 *status), stat_kind, (fd, status))
CALL(int, fstatat64, (int fd, const char *path, struct stat64 *status, int flags),
     is_ours_at(fd, path) && fails(stat_kind), -1, (fd, path, status, flags))
CALL(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *status),
     is_ours_at(fd, path) && fails(stat_kind), -1, (fd, path, flags, mask, status))
CALL(int, renameat, (int fd, const char *old, int to_fd, const char *new),
     is_ours_at(fd, old) && fails(rename_kind), -1, (fd, old, to_fd, new))
CALL(int, unlinkat, (int fd, const char *path, int flags),
     is_ours_at(fd, path) && fails(unlink_kind), -1, (fd, path, flags))
CALL(int, mkdirat, (int fd, const char *path, mode_t mode),
     is_ours_at(fd, path) && fails(mkdir_kind), -1, (fd, path, mode))
CALL(int, mkdir, (const char *path, mode_t mode), is_below(path) && fails(mkdir_kind), -1,
     (path, mode))
CALL(struct dirent64 *, readdir64, (DIR * folder_read),
     is_ours(dirfd(folder_read)) && fails(list_kind), NULL, (folder_read))

/* A write may fail, or take the first half alone. */

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
	static ssize_t (*real)(int, const void *, size_t, off64_t);

	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, off64_t))next("pwrite64");
	bool ours = is_ours(fd);
	if (ours && fails(write_kind))
		return -1;
	bool half = length > 1 && ours && fails(short_write_kind);
	return real(fd, data, half ? length / 2 : length, at);
}

ssize_t pwritev64(int fd, const struct iovec *vectors, int count, off64_t at)
{
	static ssize_t (*real)(int, const struct iovec *, int, off64_t);

	if (!real)
		real = (ssize_t(*)(int, const struct iovec *, int, off64_t))next("pwritev64");
	bool ours = is_ours(fd);
	if (ours && fails(write_kind))
		return -1;
	if (count > 0 && ours && fails(short_write_kind)) {
		size_t length = vectors[0].iov_len;
		return pwrite64(fd, vectors[0].iov_base, length > 1 ? length / 2 : length, at);
	}
	return real(fd, vectors, count, at);
}

/* A variable mode: these are written out. */

int openat64(int dir_fd, const char *path, int flags, ...)
{
	int (*real)(int, const char *, int,
		    ...) = (int (*)(int, const char *, int, ...))next("openat64");
	va_list rest;

	va_start(rest, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return is_ours_at(dir_fd, path) && fails(open_kind) ? -1 : real(dir_fd, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))next("open64");
	va_list rest;

	va_start(rest, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
	va_end(rest);
	return is_below(path) && fails(open_kind) ? -1 : real(path, flags, mode);
}

/* ---- sockets ---- */

CALL(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
     fails(accept_kind), -1, (fd, address, length, flags))
CALL(ssize_t, recv, (int fd, void *data, size_t length, int flags), fails(receive_kind), -1,
     (fd, data, length, flags))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), fails(send_kind), -1,
     (fd, message, flags))

/* ---- io_uring ---- */

enum { NOP_INJECT_RESULT = 1 }; /* of nop_flags; newer than Debian 12's headers */

static enum kind uring_kind(uint8_t operation)
{
	switch (operation) {
	case IORING_OP_WRITE:
	case IORING_OP_WRITEV:
	case IORING_OP_WRITE_FIXED:
		return uring_write_kind;
	case IORING_OP_READ:
	case IORING_OP_READV:
	case IORING_OP_READ_FIXED:
		return uring_read_kind;
	case IORING_OP_FSYNC:
		return uring_sync_kind;
	case IORING_OP_OPENAT:
	case IORING_OP_FALLOCATE:
	case IORING_OP_RENAMEAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_ACCEPT:
	case IORING_OP_RECV:
	case IORING_OP_SENDMSG:
		return uring_other_kind;
	default:
		return KIND_COUNT;
	}
}

/* It ends with the error, and breaks a chain that it is part of. */
static void make_fail(struct io_uring_sqe *sqe)
{
	uint64_t data = sqe->user_data;
	uint8_t links = sqe->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_IO_DRAIN);

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_NOP;
	sqe->flags = links;
	sqe->rw_flags = NOP_INJECT_RESULT;
	sqe->len = (uint32_t)-errno;
	sqe->user_data = data;
}

static void look_at(struct io_uring_sqe *sqe)
{
	enum kind kind = uring_kind(sqe->opcode);

	/* What wakes a shard is a read of eight bytes, and no file's. */
	if (kind == KIND_COUNT || (kind == uring_read_kind && sqe->len <= 8))
		return;
	if (fails(kind))
		make_fail(sqe);
	else if (kind == uring_write_kind && sqe->len > 512 && fails(uring_short_write_kind))
		sqe->len = sqe->len / 2 & ~511u;
}

/* What the program has filled in and the kernel has not been told of. */
static void look_at_all(struct io_uring *ring)
{
	struct io_uring_sq *queue = &ring->sq;

	if (!control)
		return;
	for (unsigned at = queue->sqe_head; at != queue->sqe_tail; at++)
		look_at(&queue->sqes[at & queue->ring_mask]);
}

#define URING_CALL(name, parameters, arguments)                                                    \
	int name parameters                                                                        \
	{                                                                                          \
		static int(*real) parameters;                                                      \
		if (!real)                                                                         \
			real = (int(*) parameters)next(#name);                                     \
		look_at_all(ring);                                                                 \
		return real arguments;                                                             \
	}

URING_CALL(io_uring_submit, (struct io_uring * ring), (ring))
URING_CALL(io_uring_submit_and_get_events, (struct io_uring * ring), (ring))
URING_CALL(io_uring_submit_and_wait_timeout,
	   (struct io_uring * ring, struct io_uring_cqe **cqe, unsigned wait,
	    struct __kernel_timespec *time, sigset_t *signals),
	   (ring, cqe, wait, time, signals))

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *data, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool allocation_fails(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	return fails(at >= program_first && at < program_last ? allocation_kind
							      : library_allocation_kind);
}

#define ALLOCATION(name, parameters, real)                                                         \
	void *name parameters                                                                      \
	{                                                                                          \
		return allocation_fails(__builtin_return_address(0)) ? NULL : (real);              \
	}

ALLOCATION(malloc, (size_t size), __libc_malloc(size))
ALLOCATION(calloc, (size_t count, size_t size), __libc_calloc(count, size))
ALLOCATION(realloc, (void *data, size_t size), __libc_realloc(data, size))
ALLOCATION(aligned_alloc, (size_t alignment, size_t size), __libc_memalign(alignment, size))

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (allocation_fails(__builtin_return_address(0)))
		return ENOMEM;
	*ret = __libc_memalign(alignment, size);
	return *ret ? 0 : ENOMEM;
}

CALL(void *, mmap64, (void *at, size_t length, int protection, int flags, int fd, off64_t offset),
     fails(map_kind), MAP_FAILED, (at, length, protection, flags, fd, offset))
