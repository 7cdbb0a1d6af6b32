/* A log's folder.  What is in it is opened by name, from the store's folder on: no descriptor is
 * held for it, as there may be tens of thousands. */
#include "storage/store_internal.h"

#include "base/folder_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = FOLDER_NAME_BYTES + 64 };

static void path_of(const struct log *log, const char *name, char path[static PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s", log->name, name);
}

/* `path` from the store's folder on. */
static int open_path(const struct log *log, const char *path, int flags)
{
	int fd = openat(log->store->dir_fd, path, flags | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : fd;
}

int folder_make(struct log *log)
{
	char topic[UUID_HEX_BYTES];
	int dir_fd = log->store->dir_fd;

	uuid_hex(&log->identity.topic_id, topic);
	snprintf(log->name, sizeof(log->name), "%s/%d", topic, log->identity.partition);
	if (mkdirat(dir_fd, topic, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (mkdirat(dir_fd, log->name, 0755) < 0 && errno != EEXIST)
		return -errno;
	log->name_number = ++log->store->names;
	return 0;
}

int folder_open(const struct log *log)
{
	return open_path(log, log->name, O_RDONLY | O_DIRECTORY);
}

int folder_open_file(const struct log *log, const char *name, int flags)
{
	char path[PATH_BYTES];

	path_of(log, name, path);
	return open_path(log, path, flags | O_NOFOLLOW);
}

int folder_unlink(const struct log *log, const char *name)
{
	char path[PATH_BYTES];

	path_of(log, name, path);
	return unlinkat(log->store->dir_fd, path, 0) < 0 ? -errno : 0;
}

int folder_rename(const struct log *log, const char *from, const char *to)
{
	int dir_fd = log->store->dir_fd;
	char from_path[PATH_BYTES];
	char to_path[PATH_BYTES];

	path_of(log, from, from_path);
	path_of(log, to, to_path);
	return renameat(dir_fd, from_path, dir_fd, to_path) < 0 ? -errno : 0;
}

static int sync_and_close(int fd)
{
	int rc = fd < 0 ? fd : fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

int folder_sync(const struct log *log)
{
	return sync_and_close(folder_open(log));
}

/* Of many partitions of a topic made one after the other, as is usual, the first to be written to
 * does it for all. */
int folder_sync_name(struct log *log)
{
	struct store *store = log->store;
	char topic[UUID_HEX_BYTES];
	int rc = 0;

	if (!uuid_equal(&store->synced_topic, &log->identity.topic_id) ||
	    log->name_number > store->synced_names) {
		uuid_hex(&log->identity.topic_id, topic);
		rc = sync_and_close(open_path(log, topic, O_RDONLY | O_DIRECTORY));
		if (rc < 0)
			return rc;
		store->synced_topic = log->identity.topic_id;
		store->synced_names = store->names;
	}
	if (log->name_number > store->synced_topics) {
		if (fsync(store->dir_fd) < 0)
			return -errno;
		store->synced_topics = store->names;
	}
	log->name_durable = true;
	return 0;
}

/* Whatever is in it: an index.new of a crash would keep the folder. */
static void remove_partition(int dir_fd, const char *name, unsigned *budget)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct folder_reader reader;
	const char *file;

	folder_reader_open(&reader, fd < 0 ? -errno : fd);
	while (*budget && (file = folder_reader_next(&reader)))
		*budget -= unlinkat(fd, file, 0) == 0;
	folder_reader_close(&reader);
	if (*budget)
		*budget -= folder_remove_empty(dir_fd, name) == 0;
}

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void remove_topic(int dir_fd, const char *topic, unsigned *budget)
{
	int fd = openat(dir_fd, topic, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct folder_reader reader;
	const char *partition;

	folder_reader_open(&reader, fd < 0 ? -errno : fd);
	while (*budget && (partition = folder_reader_next(&reader))) {
		if (!is_dots(partition))
			remove_partition(fd, partition, budget);
	}
	folder_reader_close(&reader);
	if (*budget)
		*budget -= folder_remove_empty(dir_fd, topic) == 0;
}

bool folder_remove(int dir_fd, const char *name, unsigned *budget)
{
	if (strchr(name, '/'))
		remove_partition(dir_fd, name, budget);
	else
		remove_topic(dir_fd, name, budget);
	return *budget > 0;
}

int folder_remove_empty(int dir_fd, const char *name)
{
	return unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}
