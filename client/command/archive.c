#include "client/command/archive.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { BLOCK_BYTES = 512 };

/* POSIX.1-2017, pax, "ustar Interchange Format".  Numbers are octal. */
struct header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6];
	char version[2];
	char user[32];
	char group[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char padding[12];
};
static_assert(sizeof(struct header) == BLOCK_BYTES, "a header is one block");

struct archive {
	char *path;
	gzFile file;
};

int archive_open(struct archive **ret, const char *path)
{
	struct archive *archive = calloc(1, sizeof(*archive));
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : 0;

	if (archive && fd >= 0) {
		archive->path = strdup(path);
		archive->file = gzdopen(fd, "wb");
	}
	if (archive && archive->path && archive->file) {
		*ret = archive;
		return 0;
	}
	if (archive)
		free(archive->path);
	if (archive && archive->file)
		gzclose(archive->file);
	else if (fd >= 0)
		close(fd);
	if (fd >= 0)
		unlink(path);
	free(archive);
	return rc < 0 ? rc : -ENOMEM;
}

static int write_bytes(struct archive *archive, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		unsigned piece = length < (1 << 20) ? (unsigned)length : 1 << 20;
		int written = gzwrite(archive->file, at, piece);
		if (written <= 0)
			return errno ? -errno : -EIO;
		at += written;
		length -= (size_t)written;
	}
	return 0;
}

/* The sum of all bytes, where its own field counts as blanks. */
static void put_checksum(struct header *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	unsigned sum = 0;

	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += bytes[i];
	snprintf(header->checksum, sizeof(header->checksum), "%06o", sum);
}

int archive_add(struct archive *archive, const char *name, const void *bytes, size_t length,
		int64_t time_s)
{
	static const char zeros[BLOCK_BYTES];
	struct header header = {.mode = "0000600",
				.uid = "0000000",
				.gid = "0000000",
				.type = '0',
				.magic = "ustar",
				.version = {'0', '0'}};

	errno = 0;
	if (strlen(name) >= sizeof(header.name) || length >= (size_t)1 << 33)
		return -EINVAL;
	memcpy(header.name, name, strlen(name));
	snprintf(header.size, sizeof(header.size), "%011zo", length);
	snprintf(header.mtime, sizeof(header.mtime), "%011" PRIo64,
		 (uint64_t)time_s & 077777777777);
	put_checksum(&header);
	int rc = write_bytes(archive, &header, sizeof(header));
	if (rc == 0)
		rc = write_bytes(archive, bytes, length);
	if (rc == 0)
		rc = write_bytes(archive, zeros, -length % BLOCK_BYTES);
	return rc;
}

int archive_close(struct archive *archive, bool keep, int64_t *ret_bytes)
{
	static const char end[2 * BLOCK_BYTES];
	struct stat status = {0};
	int rc = keep ? write_bytes(archive, end, sizeof(end)) : 0;

	if (gzclose(archive->file) != Z_OK && rc == 0)
		rc = -EIO;
	if (rc == 0 && stat(archive->path, &status) < 0)
		rc = -errno;
	if (!keep || rc < 0)
		unlink(archive->path);
	*ret_bytes = status.st_size;
	free(archive->path);
	free(archive);
	return rc;
}
