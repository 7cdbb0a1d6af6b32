#include "bench/suite/replace_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int replace_file_check(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) + 1 : 0;
	struct stat stat_buffer;
	char folder[PATH_MAX] = ".";
	const char *written = folder;

	if (length >= sizeof(folder))
		return -ENAMETOOLONG;
	if (length) {
		memcpy(folder, path, length);
		folder[length] = '\0';
	}
	if (stat(path, &stat_buffer) == 0) {
		if (S_ISDIR(stat_buffer.st_mode))
			return -EISDIR;
		if (!S_ISREG(stat_buffer.st_mode))
			written = path;
	}
	return access(written, W_OK) == 0 ? 0 : -errno;
}

int replace_file_open(struct replace_file *file, const char *path)
{
	struct stat stat_buffer;
	bool in_place = stat(path, &stat_buffer) == 0 && !S_ISREG(stat_buffer.st_mode);
	int length = snprintf(file->path, sizeof(file->path), "%s", path);
	int length2 = snprintf(file->temporary, sizeof(file->temporary), "%s.%d", path, getpid());

	if (length >= PATH_MAX || length2 >= PATH_MAX)
		return -ENAMETOOLONG;
	if (in_place)
		file->temporary[0] = '\0';
	file->out = fopen(in_place ? path : file->temporary, "we");
	return file->out ? 0 : -errno;
}

int replace_file_close(struct replace_file *file, bool keep)
{
	bool in_place = !file->temporary[0];
	int rc = ferror(file->out) ? -EIO : 0;

	if (rc == 0 && keep &&
	    (fflush(file->out) != 0 || (!in_place && fsync(fileno(file->out)) != 0)))
		rc = -errno;
	if (fclose(file->out) != 0 && rc == 0)
		rc = -errno;
	file->out = NULL;
	if (in_place)
		return rc;
	if (rc == 0 && keep && rename(file->temporary, file->path) != 0)
		rc = -errno;
	if (rc < 0 || !keep)
		unlink(file->temporary);
	return rc;
}
