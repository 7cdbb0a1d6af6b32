/* Writes down what a broker does to its data folder and what it says and hears on sockets, in one
 * order over all threads.  Preloaded into sluiced with `--io sync` by recording.py; oplog.py reads
 * what it writes.
 *
 *     POWERCUT_FOLDER   the data folder, absolute
 *     POWERCUT_LOG      where entries are appended
 *     POWERCUT_KILL     once this file exists the process ends with SIGKILL before its next change
 *                       of the folder, or, if it is NAME.sync that exists, before its next sync: an
 *                       operation is done and written down, or neither
 *     POWERCUT_PLANT    "CALL GLOB [NAME]": that call (fsync, fdatasync or sync for both) on files
 *                       or folders whose path below the folder matches does nothing and says that
 *                       it has; with NAME only right after a name matching that was changed
 *
 * A call and its entry are one step under a lock, so an entry that stands before another happened
 * before it.  That orders concurrent calls in one of the ways they could have had.  What the
 * recorder has no entry for (mappings, links, sync_file_range, ...) ends the process, and whatever
 * it is not asked about shows when the recording is played back and compared with the folder. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* As in oplog.py. */
enum kind {
	KIND_RUN = 1,
	KIND_OPEN,
	KIND_WRITE,
	KIND_TRUNCATE,
	KIND_ALLOCATE,
	KIND_RENAME,
	KIND_UNLINK,
	KIND_RMDIR,
	KIND_MKDIR,
	KIND_SYNC,
	KIND_SYNC_FOLDER,
	KIND_SENT,
	KIND_RECEIVED,
};

enum {
	FLAG_CREATED = 1, /* of open */
	FLAG_TRUNCATED = 2,
	FLAG_UNNAMED = 4,
	FLAG_DIRECT = 8,    /* of a write */
	FLAG_DATA_ONLY = 1, /* of sync: fdatasync */
};

struct entry {
	uint32_t size; /* of all of it */
	uint8_t kind;
	uint8_t flags;
	uint16_t port; /* the client's */
	uint64_t inode;
	uint64_t offset;
	uint64_t length; /* new size, or bytes allocated */
	uint16_t path_size;
	uint16_t path2_size;
	uint32_t data_size;
};
_Static_assert(sizeof(struct entry) == 40, "oplog.py reads it");

enum { PATH_BYTES = 4096, INODES_MAX = 1 << 16, VECTORS_MAX = 256 };

/* Recursive: a signal handler may write, to what is not ours, while its thread is in here. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int log_fd = -1;
static const char *folder;
static const char *kill_path;
static char plant_call[16];
static char plant_path[256];
static char plant_name[256];
static char last_name[PATH_BYTES]; /* below the folder, as it was changed last */
static dev_t device;
static uint64_t inodes[INODES_MAX]; /* files below the folder that were opened */
static unsigned inode_count;

#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

static void die(const char *what)
{
	fprintf(stderr, "recorder: %s\n", what);
	abort();
}

static void append(struct entry entry, const char *path, const char *path2,
		   const struct iovec *vectors, int count, size_t data_size)
{
	struct iovec parts[3 + VECTORS_MAX] = {
		{&entry, sizeof(entry)},
		{(void *)(uintptr_t)path, path ? strlen(path) : 0},
		{(void *)(uintptr_t)path2, path2 ? strlen(path2) : 0},
	};
	int part = 3;

	entry.path_size = (uint16_t)parts[1].iov_len;
	entry.path2_size = (uint16_t)parts[2].iov_len;
	entry.data_size = (uint32_t)data_size;
	entry.size = (uint32_t)(sizeof(entry) + parts[1].iov_len + parts[2].iov_len + data_size);
	if (count > VECTORS_MAX)
		die("too many vectors");
	for (int i = 0; i < count && data_size; i++) {
		size_t taken = vectors[i].iov_len < data_size ? vectors[i].iov_len : data_size;
		parts[part++] = (struct iovec){vectors[i].iov_base, taken};
		data_size -= taken;
	}
	if (NEXT(writev)(log_fd, parts, part) != (ssize_t)entry.size)
		die("the log cannot be written");
}

static void note(struct entry entry, const char *path)
{
	append(entry, path, NULL, NULL, 0, 0);
}

__attribute__((constructor)) static void start(void)
{
	const char *log = getenv("POWERCUT_LOG");
	const char *plant = getenv("POWERCUT_PLANT");

	folder = getenv("POWERCUT_FOLDER");
	kill_path = getenv("POWERCUT_KILL");
	if (!log || !folder || !kill_path)
		die("POWERCUT_LOG, POWERCUT_FOLDER and POWERCUT_KILL name its files");
	if (plant && sscanf(plant, "%15s %255s %255s", plant_call, plant_path, plant_name) < 2)
		die("POWERCUT_PLANT is CALL GLOB [NAME]");
	log_fd = NEXT(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (log_fd < 0)
		die("the log cannot be opened");
	note((struct entry){.kind = KIND_RUN}, NULL);
}

/* ---- is it ours ---- */

/* `path` below the folder ("" is the folder itself), or null. */
static const char *below(const char *path)
{
	size_t length = strlen(folder);

	if (strncmp(path, folder, length) != 0)
		return NULL;
	return path[length] == '/' ? path + length + 1 : path[length] ? NULL : path + length;
}

static bool path_of_fd(int fd, char path[static PATH_BYTES])
{
	char link[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, PATH_BYTES - 1);
	path[length < 0 ? 0 : length] = '\0';
	return length > 0;
}

/* Where a name lies that is relative to a folder's descriptor; null: not below ours. */
static const char *place(int dir_fd, const char *name, char path[static PATH_BYTES])
{
	size_t length = 0;

	path[0] = '\0';
	if (name[0] != '/') {
		if (dir_fd == AT_FDCWD)
			return NULL; /* the broker's paths to its data are absolute */
		if (!path_of_fd(dir_fd, path))
			return NULL;
		length = strlen(path);
		path[length++] = '/';
	}
	snprintf(path + length, PATH_BYTES - length, "%s", name);
	return below(path);
}

static void know(uint64_t inode)
{
	for (unsigned i = 0; i < inode_count; i++) {
		if (inodes[i] == inode)
			return;
	}
	if (inode_count == INODES_MAX)
		die("too many files");
	inodes[inode_count++] = inode;
}

/* A file below the folder, by what it is and not by what its number once was. */
static bool is_ours(int fd, uint64_t *ret_inode)
{
	struct stat info;

	if (!inode_count || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode) || info.st_dev != device)
		return false;
	for (unsigned i = inode_count; i-- > 0;) {
		if (inodes[i] == info.st_ino) {
			*ret_inode = info.st_ino;
			return true;
		}
	}
	return false;
}

static void enter(void)
{
	pthread_mutex_lock(&lock);
}

static void leave(void)
{
	int kept = errno;

	pthread_mutex_unlock(&lock);
	errno = kept;
}

/* Before a change of the folder; with ".sync" behind the name only before a sync. */
static void die_if_told_by(const char *ending)
{
	char path[PATH_BYTES];
	int kept = errno;

	snprintf(path, sizeof(path), "%s%s", kill_path, ending);
	if (access(path, F_OK) == 0)
		kill(getpid(), SIGKILL);
	errno = kept;
}

static void die_if_told(void)
{
	die_if_told_by("");
}

static void named(const char *path)
{
	snprintf(last_name, sizeof(last_name), "%s", path);
}

/* ---- opening ---- */

static void opened(const struct stat *info, const char *path, int flags, bool existed)
{
	struct entry entry = {.kind = KIND_OPEN, .inode = info->st_ino};

	if (!S_ISREG(info->st_mode))
		return;
	device = info->st_dev;
	know(info->st_ino);
	if ((flags & O_TMPFILE) == O_TMPFILE)
		entry.flags = FLAG_UNNAMED;
	else if (!existed)
		entry.flags = FLAG_CREATED;
	else if (flags & O_TRUNC)
		entry.flags = FLAG_TRUNCATED;
	note(entry, path);
	if (entry.flags == FLAG_CREATED)
		named(path);
}

static int open_at(int dir_fd, const char *name, int flags, mode_t mode)
{
	char absolute[PATH_BYTES];
	struct stat info;

	enter();
	const char *path = place(dir_fd, name, absolute);
	if (path && flags & (O_CREAT | O_TRUNC))
		die_if_told();
	bool existed = path && fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
	int fd = NEXT(openat)(dir_fd, name, flags, mode);
	int kept = errno;
	/* Some file systems make the file and then refuse to open it (O_DIRECT). */
	if (path && (fd >= 0 ? fstat(fd, &info) == 0
			     : !existed && fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0))
		opened(&info, path, flags, existed);
	errno = kept;
	leave();
	return fd;
}

static mode_t mode_of(int flags, va_list rest)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name, parameters, dir_fd)                                                             \
	int name parameters                                                                        \
	{                                                                                          \
		va_list rest;                                                                      \
                                                                                                   \
		va_start(rest, flags);                                                             \
		mode_t mode = mode_of(flags, rest);                                                \
		va_end(rest);                                                                      \
		return open_at(dir_fd, path, flags, mode);                                         \
	}

OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int dir_fd, const char *path, int flags, ...), dir_fd)
OPEN(openat64, (int dir_fd, const char *path, int flags, ...), dir_fd)

/* ---- writing ---- */

static ssize_t write_at(int fd, const struct iovec *vectors, int count, off_t at, bool moves)
{
	struct entry entry = {.kind = KIND_WRITE};
	ssize_t written;

	enter();
	bool ours = is_ours(fd, &entry.inode);
	if (ours) {
		die_if_told();
		entry.flags = fcntl(fd, F_GETFL) & O_DIRECT ? FLAG_DIRECT : 0;
		if (moves)
			at = lseek(fd, 0, SEEK_CUR);
	}
	if (moves) {
		/* What is not ours may block: it must not keep others out. */
		if (!ours)
			leave();
		written = NEXT(writev)(fd, vectors, count);
		if (!ours)
			return written;
	} else {
		written = NEXT(pwritev)(fd, vectors, count, at);
	}
	if (ours && written > 0) {
		entry.offset = (uint64_t)at;
		append(entry, NULL, NULL, vectors, count, (size_t)written);
	}
	leave();
	return written;
}

static struct iovec one(const void *data, size_t length)
{
	return (struct iovec){(void *)(uintptr_t)data, length};
}

ssize_t write(int fd, const void *data, size_t length)
{
	struct iovec vector = one(data, length);
	return write_at(fd, &vector, 1, 0, true);
}

ssize_t writev(int fd, const struct iovec *vectors, int count)
{
	return write_at(fd, vectors, count, 0, true);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at)
{
	struct iovec vector = one(data, length);
	return write_at(fd, &vector, 1, at, false);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at)
{
	return pwrite(fd, data, length, at);
}

ssize_t pwritev(int fd, const struct iovec *vectors, int count, off_t at)
{
	return write_at(fd, vectors, count, at, false);
}

ssize_t pwritev64(int fd, const struct iovec *vectors, int count, off64_t at)
{
	return write_at(fd, vectors, count, at, false);
}

/* A call on a file's descriptor that has an entry once it has succeeded. */
#define RECORD(name, parameters, arguments, entry_fields)                                          \
	int name parameters                                                                        \
	{                                                                                          \
		struct entry entry = entry_fields;                                                 \
                                                                                                   \
		enter();                                                                           \
		bool ours = is_ours(fd, &entry.inode);                                             \
		if (ours)                                                                          \
			die_if_told();                                                             \
		int rc = NEXT(name) arguments;                                                     \
		if (ours && rc == 0)                                                               \
			note(entry, NULL);                                                         \
		leave();                                                                           \
		return rc;                                                                         \
	}
#define TRUNCATE ((struct entry){.kind = KIND_TRUNCATE, .length = (uint64_t)length})
#define ALLOCATE                                                                                   \
	((struct entry){.kind = KIND_ALLOCATE,                                                     \
			.flags = (uint8_t)mode,                                                    \
			.offset = (uint64_t)at,                                                    \
			.length = (uint64_t)length})

RECORD(ftruncate, (int fd, off_t length), (fd, length), TRUNCATE)
RECORD(ftruncate64, (int fd, off64_t length), (fd, length), TRUNCATE)
RECORD(fallocate, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length), ALLOCATE)
RECORD(fallocate64, (int fd, int mode, off64_t at, off64_t length), (fd, mode, at, length),
       ALLOCATE)

/* ---- names ---- */

/* A call on names that has an entry once it has succeeded. */
static int name_call(int rc, enum kind kind, const char *path, const char *path2)
{
	if (rc == 0 && path) {
		append((struct entry){.kind = (uint8_t)kind}, path, path2, NULL, 0, 0);
		named(path2 ? path2 : path);
	}
	leave();
	return rc;
}

/* Takes the lock for name_call. */
static const char *begin_name_call(int dir_fd, const char *name, char path[static PATH_BYTES])
{
	enter();
	const char *found = place(dir_fd, name, path);
	if (found)
		die_if_told();
	return found;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	char path[PATH_BYTES];
	char path2[PATH_BYTES];
	const char *old = begin_name_call(from_fd, from, path);
	const char *new = place(to_fd, to, path2);

	if (!old != !new)
		die("a rename into or out of the folder");
	return name_call(NEXT(renameat)(from_fd, from, to_fd, to), KIND_RENAME, old, new);
}

int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
	char path[PATH_BYTES];
	const char *found = begin_name_call(dir_fd, name, path);

	return name_call(NEXT(unlinkat)(dir_fd, name, flags),
			 flags & AT_REMOVEDIR ? KIND_RMDIR : KIND_UNLINK, found, NULL);
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dir_fd, const char *name, mode_t mode)
{
	char path[PATH_BYTES];
	const char *found = begin_name_call(dir_fd, name, path);

	/* The folder itself is there before and after any cut. */
	return name_call(NEXT(mkdirat)(dir_fd, name, mode), KIND_MKDIR,
			 found && found[0] ? found : NULL, NULL);
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* ---- syncing ---- */

static bool planted(const char *call, const char *path)
{
	return plant_call[0] && (!strcmp(plant_call, call) || !strcmp(plant_call, "sync")) &&
	       fnmatch(plant_path, path, FNM_PATHNAME) == 0 &&
	       (!plant_name[0] || fnmatch(plant_name, last_name, FNM_PATHNAME) == 0);
}

static int sync_fd(int fd, const char *call, int (*real)(int fd), uint8_t flags)
{
	struct entry entry = {.kind = KIND_SYNC, .flags = flags};
	char absolute[PATH_BYTES];
	struct stat info;
	const char *path = NULL;

	enter();
	if (fstat(fd, &info) == 0 && path_of_fd(fd, absolute))
		path = below(absolute);
	if (path && S_ISDIR(info.st_mode))
		entry.kind = KIND_SYNC_FOLDER;
	else if (!is_ours(fd, &entry.inode))
		path = NULL;
	if (path) {
		die_if_told();
		die_if_told_by(".sync");
	}
	bool pretended = path && planted(call, path);
	int rc = pretended ? 0 : real(fd);
	if (path && rc == 0 && !pretended)
		note(entry, entry.kind == KIND_SYNC_FOLDER ? path : NULL);
	leave();
	return rc;
}

int fsync(int fd)
{
	return sync_fd(fd, "fsync", NEXT(fsync), 0);
}

int fdatasync(int fd)
{
	return sync_fd(fd, "fdatasync", NEXT(fdatasync), FLAG_DATA_ONLY);
}

/* ---- sockets ---- */

static uint16_t port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0 ||
	    address.sin_family != AF_INET)
		return 0;
	return ntohs(address.sin_port);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct entry entry = {.kind = KIND_SENT};

	enter();
	entry.port = port_of(fd);
	ssize_t sent = NEXT(sendmsg)(fd, message, flags);
	if (sent > 0 && entry.port)
		append(entry, NULL, NULL, message->msg_iov, (int)message->msg_iovlen, (size_t)sent);
	leave();
	return sent;
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
	struct entry entry = {.kind = KIND_RECEIVED};

	enter();
	entry.port = port_of(fd);
	ssize_t got = NEXT(recv)(fd, data, size, flags);
	if (got > 0 && entry.port && !(flags & MSG_PEEK)) {
		struct iovec vector = one(data, (size_t)got);
		append(entry, NULL, NULL, &vector, 1, (size_t)got);
	}
	leave();
	return got;
}

/* ---- what has no entry ---- */

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t at)
{
	uint64_t inode;

	if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && is_ours(fd, &inode))
		die("a mapping that writes");
	return NEXT(mmap)(address, length, protection, flags, fd, at);
}

#define REFUSE(name, parameters)                                                                   \
	int name parameters                                                                        \
	{                                                                                          \
		die(#name);                                                                        \
		return -1;                                                                         \
	}

REFUSE(linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags))
REFUSE(renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags))
REFUSE(sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags))
REFUSE(syncfs, (int fd))
REFUSE(sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags))
