#include "hw/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { BLOCK = 4096, FILE_BLOCKS = 64, FLUSHES_MAX = 200, WORDS_MAX = 16 };
static const uint64_t flush_budget_ns = NS_PER_SECOND / 2;

/* ---- which mount, which device ---- */

/* The nearest folder that is there: the broker makes the rest. */
static void find_folder(struct disk *disk, const struct host_root *root, const char *folder)
{
	char whole[HOST_PATH_BYTES];

	if (folder[0] != '/' && root->real && getcwd(whole, sizeof(whole))) {
		size_t length = strlen(whole);
		snprintf(whole + length, sizeof(whole) - length, "/%s", folder);
	} else {
		snprintf(whole, sizeof(whole), "/%.4000s", folder);
	}
	snprintf(disk->folder, sizeof(disk->folder), "%s", whole + strspn(whole, "/"));
	while (disk->folder[0] && !host_exists(root, "%s", disk->folder)) {
		char *slash = strrchr(disk->folder, '/');
		*(slash ? slash : disk->folder) = 0;
	}
	if (root->real) {
		snprintf(whole, sizeof(whole), "/%.4000s", disk->folder);
		char *real = realpath(whole, NULL);
		if (real)
			snprintf(disk->folder, sizeof(disk->folder), "%s", real + 1);
		free(real);
	}
	if (!disk->folder[0])
		snprintf(disk->folder, sizeof(disk->folder), ".");
}

/* proc(5): ID PARENT MAJOR:MINOR ROOT MOUNT OPTIONS [FIELDS...] - TYPE SOURCE SUPER-OPTIONS */
static bool parse_mount(const char *line, size_t length, struct disk *ret)
{
	char copy[HOST_PATH_BYTES];
	char *words[WORDS_MAX];
	size_t count = 0;
	size_t dash = 0;
	char *at = copy;

	snprintf(copy, sizeof(copy), "%.*s", (int)(length < sizeof(copy) ? length : 0), line);
	while (*at && count < WORDS_MAX) {
		words[count++] = at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = 0;
	}
	for (dash = 6; dash < count && strcmp(words[dash], "-") != 0; dash++)
		;
	if (dash + 3 >= count)
		return false;
	snprintf(ret->device, sizeof(ret->device), "%.31s", words[2]);
	snprintf(ret->mount, sizeof(ret->mount), "%s", words[4]);
	snprintf(ret->type, sizeof(ret->type), "%.63s", words[dash + 1]);
	snprintf(ret->source, sizeof(ret->source), "%.255s", words[dash + 2]);
	snprintf(ret->options, sizeof(ret->options), "%.500s,%.500s", words[5], words[dash + 3]);
	return true;
}

static bool below(const char *folder, const char *mount)
{
	size_t length = strlen(mount + 1);

	if (length == 0)
		return true;
	return strncmp(folder, mount + 1, length) == 0 &&
	       (!folder[length] || folder[length] == '/');
}

static int find_mount(struct disk *disk, const struct host_root *root)
{
	struct disk candidate;
	size_t longest = 0;
	char *text;
	int rc = host_file(root, &text, "proc/self/mountinfo");

	if (rc < 0)
		return rc;
	rc = -ENOENT;
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");
		/* The later of two on one folder hides the earlier. */
		if (parse_mount(line, length, &candidate) && candidate.mount[0] == '/' &&
		    strlen(candidate.mount) >= longest && below(disk->folder, candidate.mount)) {
			longest = strlen(candidate.mount);
			snprintf(candidate.folder, sizeof(candidate.folder), "%s", disk->folder);
			candidate.queue[0] = candidate.whole[0] = 0;
			candidate.partition = false;
			*disk = candidate;
			rc = 0;
		}
		line += length + (line[length] == '\n');
	}
	free(text);
	return rc;
}

/* A partition has its queue in the device that it lies on, which is known by its number. */
static void find_queue(struct disk *disk, const struct host_root *root)
{
	char number[HOST_TEXT_BYTES];

	snprintf(number, sizeof(number), "%s", disk->device);
	disk->partition = host_exists(root, "sys/dev/block/%s/partition", disk->device);
	if (disk->partition && host_text(root, number, "sys/dev/block/%s/../dev", disk->device) < 0)
		return;
	if (strspn(number, "0123456789:") != strlen(number) ||
	    !host_exists(root, "sys/dev/block/%s/queue", number))
		return;
	snprintf(disk->whole, sizeof(disk->whole), "sys/dev/block/%.31s", number);
	snprintf(disk->queue, sizeof(disk->queue), "sys/dev/block/%.31s/queue", number);
}

int disk_find(struct disk *ret, const struct host_root *root, const char *folder)
{
	*ret = (struct disk){0};
	find_folder(ret, root, folder);
	int rc = find_mount(ret, root);
	if (rc == 0)
		find_queue(ret, root);
	return rc;
}

bool disk_option(const struct disk *disk, const char *option)
{
	size_t length = strlen(option);

	for (const char *at = disk->options; *at;) {
		size_t size = strcspn(at, ",");
		if (size == length && memcmp(at, option, length) == 0)
			return true;
		at += size + (at[size] == ',');
	}
	return false;
}

/* ---- flush ---- */

static int compare_times(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* Blocks that were never written cost a change of the file system's own with the first flush. */
static int prewrite(int fd, const void *block)
{
	for (int i = 0; i < FILE_BLOCKS; i++) {
		if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return errno ? -errno : -EIO;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int measure(int fd, const void *block, struct flush_times *ret)
{
	const struct clock *clock = clock_system();
	uint64_t times[FLUSHES_MAX];
	unsigned count = 0;
	int rc = prewrite(fd, block);

	if (rc < 0)
		return rc;
	uint64_t begun = clock_monotonic_ns(clock);
	uint64_t last = begun;
	while (count < FLUSHES_MAX && last - begun < flush_budget_ns) {
		if (pwrite(fd, block, BLOCK, (off_t)(count % FILE_BLOCKS) * BLOCK) != BLOCK ||
		    fdatasync(fd) < 0)
			return errno ? -errno : -EIO;
		uint64_t now = clock_monotonic_ns(clock);
		times[count++] = now - last;
		last = now;
	}
	qsort(times, count, sizeof(times[0]), compare_times);
	ret->count = count;
	ret->median_ns = times[count / 2];
	ret->p99_ns = times[(count * 99 + 99) / 100 - 1];
	ret->worst_ns = times[count - 1];
	return 0;
}

static int faked_times(const struct host_root *root, struct flush_times *ret)
{
	char text[HOST_TEXT_BYTES];
	char *end;
	int rc = host_call(root, "flush", text);

	if (rc < 0)
		return rc;
	ret->median_ns = 1000 * strtoull(text, &end, 10);
	ret->p99_ns = ret->worst_ns = 1000 * strtoull(end, NULL, 10);
	ret->count = FLUSHES_MAX;
	ret->direct = true;
	return 0;
}

int disk_flush(const struct disk *disk, const struct host_root *root, struct flush_times *ret)
{
	void *block;

	if (!root->real)
		return faked_times(root, ret);
	*ret = (struct flush_times){.direct = true};
	int fd = host_open(root, O_RDWR | O_TMPFILE | O_DIRECT, disk->folder);
	if (fd == -EINVAL) {
		ret->direct = false;
		fd = host_open(root, O_RDWR | O_TMPFILE, disk->folder);
	}
	if (fd < 0)
		return fd;
	int rc = posix_memalign(&block, BLOCK, BLOCK) ? -ENOMEM : 0;
	if (rc == 0) {
		memset(block, 0x5a, BLOCK);
		rc = measure(fd, block, ret);
		free(block);
	}
	close(fd);
	return rc;
}

int disk_space(const struct disk *disk, const struct host_root *root, uint64_t *ret_total,
	       uint64_t *ret_free)
{
	char text[HOST_TEXT_BYTES];
	struct statvfs space;
	char *end;

	if (!root->real) {
		int rc = host_call(root, "space", text);
		if (rc < 0)
			return rc;
		*ret_total = strtoull(text, &end, 10);
		*ret_free = strtoull(end, NULL, 10);
		return 0;
	}
	int fd = host_open(root, O_RDONLY | O_DIRECTORY, disk->folder);
	if (fd < 0)
		return fd;
	int rc = fstatvfs(fd, &space) < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	*ret_total = (uint64_t)space.f_blocks * space.f_frsize;
	*ret_free = (uint64_t)space.f_bavail * space.f_frsize;
	return 0;
}
