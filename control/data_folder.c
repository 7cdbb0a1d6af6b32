/*     <data>/sluice.meta   "sluice-data 1": this folder is ours, in this format
 *     <data>/sluice.lock   locked while a broker runs; holds its process id
 *     <data>/catalog/      catalog.h
 *     <data>/topics/       storage/README.md */
#include "control/data_folder.h"

#include "base/errors.h"
#include "base/folder_reader.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DATA_FORMAT = 1 };
static const char meta_name[] = "sluice.meta";
static const char meta_new_name[] = "sluice.meta.new";
static const char lock_name[] = "sluice.lock";

static int explain(const char *path, const char *what, int rc, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "data folder %s: %s: %s", path, what, error_text(rc));
	return rc;
}

/* So that a power cut does not take the folder away, name and all.  One that somebody else has made
 * may lie where we cannot look; it is theirs to keep. */
static int sync_parent(const char *path, bool made)
{
	size_t length = strlen(path);
	int rc = 0;

	while (length > 1 && path[length - 1] == '/')
		length--;
	while (length > 0 && path[length - 1] != '/')
		length--;
	char *parent = length ? strndup(path, length) : strdup(".");
	if (!parent)
		return -ENOMEM;
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		rc = made ? -errno : 0;
	else if (fsync(fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

static int open_folder(struct data_folder *folder, const char *path, char *why, size_t why_bytes)
{
	bool made = mkdir(path, 0755) == 0;

	if (!made && errno != EEXIST)
		return explain(path, "cannot be made", -errno, why, why_bytes);
	int rc = sync_parent(path, made);
	if (rc < 0)
		return explain(path, "its name cannot be kept", rc, why, why_bytes);
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return explain(path, "cannot be opened", -errno, why, why_bytes);
	return 0;
}

static int lock_folder(struct data_folder *folder, const char *path, char *why, size_t why_bytes)
{
	char holder[24] = "";

	folder->lock_fd = openat(folder->fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (folder->lock_fd < 0)
		return explain(path, "cannot be written", -errno, why, why_bytes);
	if (flock(folder->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return explain(path, "cannot be locked", -errno, why, why_bytes);
		if (pread(folder->lock_fd, holder, sizeof(holder) - 1, 0) < 0)
			holder[0] = '\0';
		holder[strcspn(holder, "\n")] = '\0';
		snprintf(why, why_bytes,
			 "data folder %s is in use by another broker (process %s); stop it or use "
			 "another --data",
			 path, holder[0] ? holder : "unknown");
		return -ERR_LOCKED;
	}
	int length = snprintf(holder, sizeof(holder), "%d\n", (int)getpid());
	/* For the message above only. */
	if (ftruncate(folder->lock_fd, 0) == 0 &&
	    pwrite(folder->lock_fd, holder, (size_t)length, 0) < 0)
		return explain(path, "cannot be written", -errno, why, why_bytes);
	return 0;
}

/* A new file system's root is empty but for this. */
static bool harmless(const char *name)
{
	static const char *const names[] = {".", "..", "lost+found", lock_name, meta_new_name};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

static int check_empty(const struct data_folder *folder, const char *path, char *why,
		       size_t why_bytes)
{
	int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct folder_reader reader;
	const char *name;

	folder_reader_open(&reader, fd < 0 ? -errno : fd);
	while ((name = folder_reader_next(&reader))) {
		if (harmless(name))
			continue;
		snprintf(why, why_bytes,
			 "data folder %s holds \"%.64s\" but no %s: it is not a broker's; use an "
			 "empty folder",
			 path, name, meta_name);
		reader.rc = -ERR_FORMAT;
	}
	int rc = folder_reader_close(&reader);
	return rc == 0 || rc == -ERR_FORMAT ? rc
					    : explain(path, "cannot be read", rc, why, why_bytes);
}

static int write_meta(const struct data_folder *folder)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "sluice-data %d\n", DATA_FORMAT);
	int fd = openat(folder->fd, meta_new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	int rc = whole_pwrite(fd, text, (size_t)length, 0);
	if (rc == 0 &&
	    (fsync(fd) < 0 || renameat(folder->fd, meta_new_name, folder->fd, meta_name) < 0 ||
	     fsync(folder->fd) < 0))
		rc = -errno;
	close(fd);
	return rc;
}

static int check_format(const struct data_folder *folder, const char *path, char *why,
			size_t why_bytes)
{
	char text[64] = "";
	long format = 0;
	int fd = openat(folder->fd, meta_name, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		int rc = check_empty(folder, path, why, why_bytes);
		if (rc == 0 && (rc = write_meta(folder)) < 0)
			explain(path, "cannot be written", rc, why, why_bytes);
		return rc;
	}
	ssize_t got = fd < 0 ? -errno : whole_pread(fd, text, sizeof(text) - 1, 0);
	int rc = got < 0 ? (int)got : 0;
	if (fd >= 0)
		close(fd);
	if (rc < 0)
		return explain(path, meta_name, rc, why, why_bytes);
	if (strncmp(text, "sluice-data ", 12) == 0)
		format = strtol(text + 12, NULL, 10);
	if (format < 1) {
		snprintf(why, why_bytes, "data folder %s: %s does not say \"sluice-data\"", path,
			 meta_name);
		return -ERR_FORMAT;
	}
	if (format > DATA_FORMAT) {
		snprintf(why, why_bytes,
			 "data folder %s has format %ld; this broker knows formats up to %d", path,
			 format, DATA_FORMAT);
		return -ERR_FORMAT;
	}
	return 0;
}

static int make_topics(struct data_folder *folder, const char *path, char *why, size_t why_bytes)
{
	int length = snprintf(folder->topics, sizeof(folder->topics), "%s/topics", path);

	if ((size_t)length >= sizeof(folder->topics))
		return explain(path, "name too long", -ENAMETOOLONG, why, why_bytes);
	if (mkdirat(folder->fd, "topics", 0755) < 0 && errno != EEXIST)
		return explain(path, "topics cannot be made", -errno, why, why_bytes);
	return fsync(folder->fd) < 0 ? explain(path, "fsync", -errno, why, why_bytes) : 0;
}

int data_folder_open(struct data_folder *ret, const char *path, char *why, size_t why_bytes)
{
	struct data_folder folder = {.fd = -1, .lock_fd = -1};
	int rc = open_folder(&folder, path, why, why_bytes);

	if (rc == 0)
		rc = lock_folder(&folder, path, why, why_bytes);
	if (rc == 0)
		rc = check_format(&folder, path, why, why_bytes);
	if (rc == 0)
		rc = make_topics(&folder, path, why, why_bytes);
	if (rc < 0) {
		data_folder_close(&folder);
		return rc;
	}
	*ret = folder;
	return 0;
}

void data_folder_close(struct data_folder *folder)
{
	if (folder->fd >= 0)
		close(folder->fd);
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	folder->fd = folder->lock_fd = -1;
}
