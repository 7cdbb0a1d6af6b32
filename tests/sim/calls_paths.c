/* System calls on names: of a process of the simulated world every relative path is one of the
 * simulated disk, whose root is the working folder of all; absolute paths are the real kernel's,
 * but for the file that names the boot. */
#include "base/bytes.h"
#include "base/check.h"
#include "tests/sim/calls_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum {
	DEVICE_MAJOR = 259,
	DEVICE_MINOR = 1,
	DIRECT_BYTES = 512,
	IO_BYTES = 4096,
};

/* Is this call one of the real kernel's? */
static bool is_real(int fd, const char *path)
{
	return !process_current() || (fd != AT_FDCWD && descriptor_is_real(fd)) || path[0] == '/';
}

static int folder_get(int fd, struct inode **ret)
{
	struct descriptor *descriptor;

	if (fd == AT_FDCWD) {
		*ret = disk_root(sim_disk());
		return 0;
	}
	int rc = file_get(fd, &descriptor);
	if (rc == 0)
		*ret = descriptor->inode;
	return rc;
}

/* The same, after the time it takes. */
static int folder_wait(int fd, struct inode **ret)
{
	disk_takes_time();
	return folder_get(fd, ret);
}

/* ---- opening ---- */

static int open_new(struct inode *inode, int flags)
{
	struct descriptor *descriptor = descriptor_new(DESCRIPTOR_FILE);

	if (!descriptor) {
		inode_put(sim_disk(), inode);
		return -EMFILE;
	}
	descriptor->inode = inode;
	descriptor->flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC);
	return descriptor->number;
}

int path_open(int fd, const char *path, int flags)
{
	struct inode *inode;
	int rc = folder_get(fd, &inode);

	if (rc < 0)
		return rc;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		rc = disk_open_unnamed(sim_disk(), &inode);
	else
		rc = disk_open(sim_disk(), inode, path, flags, &inode);
	return rc < 0 ? rc : open_new(inode, flags);
}

static int open_any(int fd, const char *path, int flags, mode_t mode,
		    int (*real)(int fd, const char *path, int flags, ...))
{
	if (process_current() && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		return (int)call_result(open_new(disk_boot_id(sim_disk()), O_RDONLY));
	if (is_real(fd, path))
		return real(fd, path, flags, mode);
	disk_takes_time();
	return (int)call_result(path_open(fd, path, flags));
}

int __real_openat64(int fd, const char *path, int flags, ...);
int __wrap_openat64(int fd, const char *path, int flags, ...)
{
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return open_any(fd, path, flags, mode, __real_openat64);
}

int __wrap_open64(const char *path, int flags, ...)
{
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return open_any(AT_FDCWD, path, flags, mode, __real_openat64);
}

/* ---- names ---- */

int __real_mkdirat(int fd, const char *path, mode_t mode);
int __wrap_mkdirat(int fd, const char *path, mode_t mode)
{
	struct inode *folder = NULL;

	if (is_real(fd, path))
		return __real_mkdirat(fd, path, mode);
	int rc = folder_wait(fd, &folder);
	return (int)call_result(rc < 0 ? rc : disk_make_folder(sim_disk(), folder, path));
}

int __wrap_mkdir(const char *path, mode_t mode)
{
	return __wrap_mkdirat(AT_FDCWD, path, mode);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	struct inode *from_folder;
	struct inode *to_folder;

	if (is_real(from_fd, from))
		return __real_renameat(from_fd, from, to_fd, to);
	int rc = folder_wait(from_fd, &from_folder);
	if (rc == 0)
		rc = folder_get(to_fd, &to_folder);
	if (rc == 0)
		rc = disk_rename(sim_disk(), from_folder, from, to_folder, to);
	return (int)call_result(rc);
}

int __real_unlinkat(int fd, const char *path, int flags);
int __wrap_unlinkat(int fd, const char *path, int flags)
{
	struct inode *folder = NULL;

	if (is_real(fd, path))
		return __real_unlinkat(fd, path, flags);
	int rc = folder_wait(fd, &folder);
	if (rc == 0)
		rc = disk_unlink(sim_disk(), folder, path, flags & AT_REMOVEDIR);
	return (int)call_result(rc);
}

/* ---- what a file is ---- */

static void describe(const struct inode *inode, struct stat *ret)
{
	*ret = (struct stat){
		.st_dev = makedev(DEVICE_MAJOR, DEVICE_MINOR),
		.st_ino = inode_number(inode),
		.st_mode = inode_is_folder(inode) ? S_IFDIR | 0755 : S_IFREG | 0644,
		.st_nlink = 1,
		.st_size = (off_t)inode_size(inode),
		.st_blksize = IO_BYTES,
		.st_blocks = (blkcnt_t)(round_up(inode_size(inode), IO_BYTES) / 512),
		/* When it was written is not kept: it is as young as can be. */
		.st_mtime = sim_wall_ms() / 1000,
	};
}

int __real_fstat64(int fd, struct stat *ret);
int __wrap_fstat64(int fd, struct stat *ret)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_fstat64(fd, ret);
	int rc = file_get(fd, &descriptor);
	if (rc == 0)
		describe(descriptor->inode, ret);
	return (int)call_result(rc);
}

int __real_fstatat64(int fd, const char *path, struct stat *ret, int flags);
int __wrap_fstatat64(int fd, const char *path, struct stat *ret, int flags)
{
	struct inode *inode;

	if (is_real(fd, path))
		return __real_fstatat64(fd, path, ret, flags);
	int rc = folder_get(fd, &inode);
	if (rc == 0)
		rc = disk_open(sim_disk(), inode, path, O_RDONLY, &inode);
	if (rc < 0)
		return (int)call_result(rc);
	describe(inode, ret);
	inode_put(sim_disk(), inode);
	return 0;
}

/* Of an open file alone (AT_EMPTY_PATH). */
int __real_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret);
int __wrap_statx(int fd, const char *path, int flags, unsigned mask, struct statx *ret)
{
	struct descriptor *descriptor;
	struct stat info;

	if (is_real(fd, path))
		return __real_statx(fd, path, flags, mask, ret);
	check((flags & AT_EMPTY_PATH) && !path[0]);
	int rc = file_get(fd, &descriptor);
	if (rc < 0)
		return (int)call_result(rc);
	describe(descriptor->inode, &info);
	*ret = (struct statx){
		.stx_mask = mask,
		.stx_blksize = IO_BYTES,
		.stx_nlink = 1,
		.stx_mode = (uint16_t)info.st_mode,
		.stx_ino = info.st_ino,
		.stx_size = (uint64_t)info.st_size,
		.stx_blocks = (uint64_t)info.st_blocks,
		.stx_dev_major = DEVICE_MAJOR,
		.stx_dev_minor = DEVICE_MINOR,
#ifdef STATX_DIOALIGN
		.stx_dio_mem_align = DIRECT_BYTES,
		.stx_dio_offset_align = DIRECT_BYTES,
#endif
	};
	return 0;
}

/* A file system whose flushes storage/flush.c understands. */
int __real_fstatfs64(int fd, struct statfs *ret);
int __wrap_fstatfs64(int fd, struct statfs *ret)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_fstatfs64(fd, ret);
	int rc = file_get(fd, &descriptor);
	if (rc == 0)
		*ret = (struct statfs){
			.f_type = EXT4_SUPER_MAGIC,
			.f_bsize = IO_BYTES,
			.f_namelen = 255,
		};
	return (int)call_result(rc);
}

/* ---- what is in a folder ---- */

/* All of it, as it was when it was opened. */
struct listing {
	struct listing *next;
	int fd;
	unsigned at, count;
	bool breaks_off; /* the rest of it cannot be read */
	struct dirent entries[];
};

static struct listing *listings;

/* Null: one of the C library's. */
static struct listing *listing_of(const DIR *dir)
{
	struct listing *listing = listings;

	while (listing && (const void *)listing != dir)
		listing = listing->next;
	return listing;
}

static void list_entry(struct listing *listing, const char *name, bool is_folder)
{
	struct dirent *entry = &listing->entries[listing->count++];

	entry->d_ino = listing->count;
	entry->d_type = is_folder ? DT_DIR : DT_REG;
	snprintf(entry->d_name, sizeof(entry->d_name), "%s", name);
}

static bool names_folder(struct inode *folder, const char *name)
{
	struct inode *inode;

	check(disk_open(sim_disk(), folder, name, O_RDONLY, &inode) == 0);
	bool is_folder = inode_is_folder(inode);
	inode_put(sim_disk(), inode);
	return is_folder;
}

static struct listing *list_folder(struct inode *folder)
{
	unsigned count = 0;

	while (inode_name_at(folder, count))
		count++;
	struct listing *listing = calloc(1, sizeof(*listing) + (count + 2) * sizeof(struct dirent));
	check(listing);
	list_entry(listing, ".", true);
	list_entry(listing, "..", true);
	for (unsigned i = 0; i < count; i++) {
		const char *name = inode_name_at(folder, i);
		listing->breaks_off = disk_read_fails(sim_disk());
		if (listing->breaks_off)
			break;
		list_entry(listing, name, names_folder(folder, name));
	}
	return listing;
}

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd)
{
	struct descriptor *descriptor;

	if (descriptor_is_real(fd))
		return __real_fdopendir(fd);
	disk_takes_time();
	int rc = file_get(fd, &descriptor);
	if (rc == 0 && !inode_is_folder(descriptor->inode))
		rc = -ENOTDIR;
	if (call_result(rc) < 0)
		return NULL;
	struct listing *listing = list_folder(descriptor->inode);
	listing->fd = fd;
	listing->next = listings;
	listings = listing;
	return (DIR *)listing;
}

struct dirent *__real_readdir64(DIR *dir);
struct dirent *__wrap_readdir64(DIR *dir)
{
	struct listing *listing = listing_of(dir);

	if (!listing)
		return __real_readdir64(dir);
	if (listing->at < listing->count)
		return &listing->entries[listing->at++];
	if (listing->breaks_off)
		errno = EIO;
	return NULL;
}

int __real_closedir(DIR *dir);
int __wrap_closedir(DIR *dir)
{
	struct listing *listing = listing_of(dir);
	struct listing **at = &listings;

	if (!listing)
		return __real_closedir(dir);
	while (*at != listing)
		at = &(*at)->next;
	*at = listing->next;
	int rc = descriptor_close(listing->fd);
	free(listing);
	return (int)call_result(rc);
}
