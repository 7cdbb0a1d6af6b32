#include "hw/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/folder_reader.h"
#include "base/whole.h"

enum { FILE_BYTES_MAX = 8 << 20, FOLDER_MODE = 0755, FILE_MODE = 0644 };

int host_root_open(struct host_root *ret, const char *path)
{
	*ret = (struct host_root){.fd = -1};
	ret->real = !path || strcmp(path, "/") == 0;
	ret->fd = open(path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret->fd < 0 ? -errno : 0;
}

void host_root_close(struct host_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
}

/* The host's own paths need no confinement, and a container may know no openat2. */
int host_open(const struct host_root *root, int flags, const char *path)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? FILE_MODE : 0,
		.resolve = RESOLVE_IN_ROOT,
	};
	long fd = root->real ? openat(root->fd, path, flags | O_CLOEXEC, FILE_MODE)
			     : syscall(SYS_openat2, root->fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

__attribute__((format(printf, 2, 0))) static int make_path(char path[static HOST_PATH_BYTES],
							   const char *format, va_list arguments)
{
	int length = vsnprintf(path, HOST_PATH_BYTES, format, arguments);

	return length < HOST_PATH_BYTES ? 0 : -ENAMETOOLONG;
}

/* The path that the caller's format and arguments make. */
#define PATH_OF(path, rc, format)                                                                  \
	char path[HOST_PATH_BYTES];                                                                \
	va_list arguments;                                                                         \
	va_start(arguments, format);                                                               \
	int rc = make_path(path, format, arguments);                                               \
	va_end(arguments)

/* A short read is no end: files of /proc give a page at a time.  The count, or -errno. */
static ssize_t read_up_to(int fd, char *to, size_t bytes)
{
	size_t have = 0;

	while (have < bytes) {
		ssize_t count = read(fd, to + have, bytes - have);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		have += (size_t)count;
	}
	return (ssize_t)have;
}

static int read_text(const struct host_root *root, char text[static HOST_TEXT_BYTES],
		     const char *path)
{
	int fd = host_open(root, O_RDONLY, path);

	if (fd < 0)
		return fd;
	ssize_t count = read_up_to(fd, text, HOST_TEXT_BYTES - 1);
	close(fd);
	if (count < 0)
		return (int)count;
	while (count > 0 && strchr(" \t\r\n", text[count - 1]))
		count--;
	text[count] = 0;
	return 0;
}

int host_text(const struct host_root *root, char text[static HOST_TEXT_BYTES], const char *format,
	      ...)
{
	PATH_OF(path, rc, format);
	return rc < 0 ? rc : read_text(root, text, path);
}

int host_number(const struct host_root *root, int64_t *ret, const char *format, ...)
{
	char text[HOST_TEXT_BYTES];
	char *end;
	PATH_OF(path, rc, format);

	if (rc == 0)
		rc = read_text(root, text, path);
	if (rc < 0)
		return rc;
	errno = 0;
	long long value = strtoll(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (end == text || *end || errno)
		return -EINVAL;
	*ret = value;
	return 0;
}

int host_cpus(const struct host_root *root, struct cpus *ret, const char *format, ...)
{
	char text[HOST_TEXT_BYTES];
	PATH_OF(path, rc, format);

	if (rc == 0)
		rc = read_text(root, text, path);
	return rc < 0 ? rc : cpus_parse(ret, text);
}

static int read_file(int fd, char **ret)
{
	size_t capacity = 16 << 10;
	size_t have = 0;
	char *text = NULL;
	int rc = 0;

	for (;;) {
		char *larger = realloc(text, capacity + 1);
		if (!larger)
			rc = -ENOMEM;
		if (rc < 0)
			break;
		text = larger;
		ssize_t count = read_up_to(fd, text + have, capacity - have);
		if (count < 0)
			rc = (int)count;
		if (count < 0)
			break;
		have += (size_t)count;
		if (have < capacity) {
			text[have] = 0;
			*ret = text;
			return 0;
		}
		capacity *= 2;
		if (capacity > FILE_BYTES_MAX)
			rc = -EFBIG;
	}
	free(text);
	return rc;
}

int host_file(const struct host_root *root, char **ret, const char *format, ...)
{
	PATH_OF(path, rc, format);

	if (rc < 0)
		return rc;
	int fd = host_open(root, O_RDONLY, path);
	if (fd < 0)
		return fd;
	rc = read_file(fd, ret);
	close(fd);
	return rc;
}

bool host_exists(const struct host_root *root, const char *format, ...)
{
	PATH_OF(path, rc, format);
	int fd = rc < 0 ? rc : host_open(root, O_PATH, path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

void host_link(const struct host_root *root, char name[static HOST_NAME_BYTES], const char *format,
	       ...)
{
	char target[HOST_PATH_BYTES];
	PATH_OF(path, rc, format);

	name[0] = 0;
	int fd = rc < 0 ? rc : host_open(root, O_PATH | O_NOFOLLOW, path);
	if (fd < 0)
		return;
	ssize_t length = readlinkat(fd, "", target, sizeof(target) - 1);
	close(fd);
	if (length <= 0)
		return;
	target[length] = 0;
	const char *slash = strrchr(target, '/');
	snprintf(name, HOST_NAME_BYTES, "%.*s", HOST_NAME_BYTES - 1, slash ? slash + 1 : target);
}

/* ---- folders ---- */

static int add_name(struct host_names *names, const char *name)
{
	/* Doubles whenever it is full; the first has 16. */
	if (names->count == 0 || (names->count >= 16 && !(names->count & (names->count - 1)))) {
		size_t capacity = names->count ? 2 * names->count : 16;
		char **larger = reallocarray(names->at, capacity, sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		names->at = larger;
	}
	names->at[names->count] = strdup(name);
	if (!names->at[names->count])
		return -ENOMEM;
	names->count++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int host_names(const struct host_root *root, struct host_names *ret, const char *format, ...)
{
	struct host_names names = {0};
	struct folder_reader reader;
	const char *name;
	PATH_OF(path, rc, format);

	*ret = names;
	int fd = rc < 0 ? rc : host_open(root, O_RDONLY | O_DIRECTORY, path);
	if (fd < 0)
		return 0;
	folder_reader_open(&reader, fd);
	while (names.count < HOST_NAMES_MAX && (name = folder_reader_next(&reader))) {
		if (name[0] != '.')
			reader.rc = add_name(&names, name);
	}
	rc = folder_reader_close(&reader);
	if (rc < 0) {
		host_names_free(&names);
		return rc;
	}
	if (names.count)
		qsort(names.at, names.count, sizeof(*names.at), compare_names);
	*ret = names;
	return 0;
}

void host_names_free(struct host_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->at[i]);
	free(names->at);
	*names = (struct host_names){0};
}

/* ---- texts ---- */

bool host_field(const char *text, const char *key, char *value, size_t value_bytes)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) != 0 || !strchr(": \t", line[length]) ||
		    !line[length])
			continue;
		line += length;
		line += strspn(line, ": \t");
		size_t size = strcspn(line, "\n");
		while (size > 0 && strchr(" \t\r", line[size - 1]))
			size--;
		snprintf(value, value_bytes, "%.*s", (int)size, line);
		return true;
	}
	return false;
}

bool host_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length) {
		bool begins = at == text || strchr(" \t\n", at[-1]);
		if (begins && (!at[length] || strchr(" \t\n", at[length])))
			return true;
	}
	return false;
}

/* ---- writing ---- */

int host_write(const struct host_root *root, const char *text, const char *format, ...)
{
	PATH_OF(path, rc, format);

	if (rc < 0)
		return rc;
	int fd = host_open(root, O_WRONLY | O_TRUNC, path);
	if (fd < 0)
		return fd;
	/* One call: what the kernel makes of a value it does once, and says so once. */
	ssize_t count = write(fd, text, strlen(text));
	if (count < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	if (rc == 0 && root->wrote)
		root->wrote(root->context, path, text);
	return rc;
}

/* The folders above `path`, each on the disk with the one below it. */
static int make_folders(const struct host_root *root, const char *path)
{
	char folder[HOST_PATH_BYTES];
	int rc = 0;

	for (const char *slash = strchr(path, '/'); slash && rc == 0;
	     slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
		if (mkdirat(root->fd, folder, FOLDER_MODE) < 0 && errno != EEXIST)
			rc = -errno;
	}
	return rc;
}

static int write_whole(int fd, const char *text)
{
	int rc = whole_pwrite(fd, text, strlen(text), 0);

	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

static int sync_folder(const struct host_root *root, const char *path)
{
	char folder[HOST_PATH_BYTES];
	const char *slash = strrchr(path, '/');

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1,
		 slash ? path : ".");
	int fd = host_open(root, O_RDONLY | O_DIRECTORY, folder);
	if (fd < 0)
		return fd;
	int rc = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

int host_replace(const struct host_root *root, const char *text, const char *path)
{
	char beside[HOST_PATH_BYTES];

	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	int rc = make_folders(root, path);
	int fd = rc < 0 ? rc : host_open(root, O_WRONLY | O_CREAT | O_TRUNC, beside);
	if (fd < 0)
		return fd;
	rc = write_whole(fd, text);
	if (rc == 0 && renameat(root->fd, beside, root->fd, path) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(root->fd, beside, 0);
	return rc < 0 ? rc : sync_folder(root, path);
}

int host_remove(const struct host_root *root, const char *path)
{
	if (unlinkat(root->fd, path, 0) == 0)
		return sync_folder(root, path);
	return errno == ENOENT ? 0 : -errno;
}

int host_call(const struct host_root *root, const char *name, char text[static HOST_TEXT_BYTES])
{
	return root->real ? -ENOENT : host_text(root, text, "calls/%s", name);
}
