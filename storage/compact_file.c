#include "storage/compact_file.h"

#include "base/errors.h"
#include "base/whole.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

struct compact_file {
	char magic[8];
	uint32_t version;
	int32_t partition;
	struct uuid topic_id;
	int64_t clean;
	uint64_t checksum; /* XXH3 of the bytes before */
};
_Static_assert(sizeof(struct compact_file) == 48, "layout of the file");

enum { VERSION = 1 };
static const char magic[8] = "SLUICEcp";
static const char name[] = "compaction";

static uint64_t checksum_of(const struct compact_file *file)
{
	return XXH3_64bits(file, offsetof(struct compact_file, checksum));
}

int compact_file_parse(const void *data, size_t size, const struct log_identity *identity,
		       int64_t *ret_clean)
{
	struct compact_file file;

	if (size < sizeof(file))
		return -ERR_CORRUPT;
	memcpy(&file, data, sizeof(file));
	if (memcmp(file.magic, magic, sizeof(magic)) != 0)
		return -ERR_CORRUPT;
	/* Before the checksum, which another version may have elsewhere. */
	if (file.version > VERSION)
		return -ERR_FORMAT;
	if (size != sizeof(file) || file.checksum != checksum_of(&file) ||
	    file.version != VERSION || file.partition != identity->partition ||
	    !uuid_equal(&file.topic_id, &identity->topic_id) || file.clean < 0)
		return -ERR_CORRUPT;
	*ret_clean = file.clean;
	return 0;
}

int compact_file_read(const struct log *log, int64_t *ret_clean)
{
	uint8_t data[sizeof(struct compact_file) + 1]; /* one more: too long is wrong */
	int fd = folder_open_file(log, name, O_RDONLY);

	if (fd < 0)
		return fd;
	ssize_t got = whole_pread(fd, data, sizeof(data), 0);
	close(fd);
	if (got < 0)
		return (int)got;
	return compact_file_parse(data, (size_t)got, &log->identity, ret_clean);
}

int compact_file_write(const struct log *log, int64_t clean)
{
	struct compact_file file = {
		.version = VERSION,
		.partition = log->identity.partition,
		.topic_id = log->identity.topic_id,
		.clean = clean,
	};

	memcpy(file.magic, magic, sizeof(magic));
	file.checksum = checksum_of(&file);
	return log_write_file(log, name, &file, sizeof(file));
}
