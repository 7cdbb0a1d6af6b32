#include "control/journal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

struct journal_header {
	char magic[8];
	uint32_t version;
	uint32_t zero;
};
_Static_assert(sizeof(struct journal_header) == 16, "journal header layout");

struct record_header {
	uint32_t length;
	uint32_t zero;
	uint64_t checksum;
};
_Static_assert(sizeof(struct record_header) == 16, "journal record layout");

static const char journal_magic[8] = "SLUICEjl";
enum { JOURNAL_VERSION = 1 };

struct journal {
	int dir_fd;
	int fd;
	char name[64];
	uint64_t end;
	bool broken;   /* what the disk holds behind `end` is not known */
	bool deferred; /* being filled by a rewrite: one flush at its end */
};

static int journal_new(struct journal **ret, int dir_fd, const char *name)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	if (!journal)
		return -ENOMEM;
	journal->dir_fd = dir_fd;
	journal->fd = -1;
	snprintf(journal->name, sizeof(journal->name), "%s", name);
	*ret = journal;
	return 0;
}

void journal_close(struct journal *journal)
{
	if (!journal)
		return;
	if (journal->fd >= 0)
		close(journal->fd);
	free(journal);
}

/* ---- reading ---- */

/* The record at `at`; false: none that is whole. */
static bool record_at(const uint8_t *data, size_t length, size_t at, struct record_header *ret)
{
	if (length - at < sizeof(*ret))
		return false;
	memcpy(ret, data + at, sizeof(*ret));
	if (ret->length == 0 || ret->length > JOURNAL_RECORD_BYTES_MAX || ret->zero != 0 ||
	    ret->length > length - at - sizeof(*ret))
		return false;
	return ret->checksum == XXH3_64bits(data + at + sizeof(*ret), ret->length);
}

/* A single append can have been torn: behind it nothing was ever written. */
static bool torn_append(const uint8_t *data, size_t length, size_t at)
{
	struct record_header next;

	if (length - at > JOURNAL_RECORD_BYTES_MAX + sizeof(next))
		return false;
	for (size_t i = at + 1; i < length; i++) {
		if (record_at(data, length, i, &next))
			return false;
	}
	return true;
}

static int replay_all(struct journal *journal, const uint8_t *data, size_t length,
		      int (*replay)(void *context, const void *payload, size_t length),
		      void *context, char *why, size_t why_bytes)
{
	size_t at = sizeof(struct journal_header);
	struct record_header record;

	while (at < length && record_at(data, length, at, &record)) {
		int rc = replay(context, data + at + sizeof(record), record.length);
		if (rc < 0) {
			snprintf(why, why_bytes, "%s: record at byte %zu: %s", journal->name, at,
				 error_text(rc));
			return rc;
		}
		at += sizeof(record) + record.length;
	}
	if (at < length && !torn_append(data, length, at)) {
		snprintf(why, why_bytes, "%s: damaged at byte %zu, with good records behind it",
			 journal->name, at);
		return -ERR_CORRUPT;
	}
	journal->end = at;
	return 0;
}

static int check_header(const struct journal *journal, const uint8_t *data, size_t length,
			char *why, size_t why_bytes)
{
	struct journal_header header;

	if (length >= sizeof(header))
		memcpy(&header, data, sizeof(header));
	if (length < sizeof(header) ||
	    memcmp(header.magic, journal_magic, sizeof(header.magic)) != 0) {
		snprintf(why, why_bytes, "%s: not a journal of this broker", journal->name);
		return -ERR_FORMAT;
	}
	if (header.version != JOURNAL_VERSION) {
		snprintf(why, why_bytes, "%s: format version %u; this broker knows %d",
			 journal->name, header.version, JOURNAL_VERSION);
		return -ERR_FORMAT;
	}
	return 0;
}

static int read_whole(int fd, uint8_t **ret, size_t *ret_length)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return -errno;
	size_t length = (size_t)info.st_size;
	uint8_t *data = malloc(length + 1);
	if (!data)
		return -ENOMEM;
	ssize_t got = whole_pread(fd, data, length, 0);
	if (got != (ssize_t)length) {
		free(data);
		return got < 0 ? (int)got : -EIO;
	}
	*ret = data;
	*ret_length = length;
	return 0;
}

static int write_all(int fd, struct iovec *vectors, int count, uint64_t at)
{
	int rc = 0;

	for (int i = 0; i < count && rc == 0; i++) {
		rc = whole_pwrite(fd, vectors[i].iov_base, vectors[i].iov_len, at);
		at += vectors[i].iov_len;
	}
	return rc;
}

static int write_journal_header(struct journal *journal)
{
	struct journal_header header = {.version = JOURNAL_VERSION};
	struct iovec vector = {.iov_base = &header, .iov_len = sizeof(header)};

	memcpy(header.magic, journal_magic, sizeof(header.magic));
	int rc = write_all(journal->fd, &vector, 1, 0);
	journal->end = sizeof(header);
	return rc;
}

/* ---- making a file appear whole or not at all ---- */

static void fresh_name(const struct journal *journal, char name[static 80])
{
	snprintf(name, 80, "%s.new", journal->name);
}

static int begin_fresh(struct journal *journal)
{
	char name[80];

	fresh_name(journal, name);
	journal->fd = openat(journal->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (journal->fd < 0)
		return -errno;
	return write_journal_header(journal);
}

static int swap_in(struct journal *journal)
{
	char name[80];

	fresh_name(journal, name);
	if (fsync(journal->fd) < 0 ||
	    renameat(journal->dir_fd, name, journal->dir_fd, journal->name) < 0 ||
	    fsync(journal->dir_fd) < 0)
		return -errno;
	return 0;
}

/* ---- opening ---- */

static int open_existing(struct journal *journal,
			 int (*replay)(void *context, const void *payload, size_t length),
			 void *context, char *why, size_t why_bytes)
{
	uint8_t *data = NULL;
	size_t length = 0;
	int rc = read_whole(journal->fd, &data, &length);

	if (rc == 0)
		rc = check_header(journal, data, length, why, why_bytes);
	if (rc == 0)
		rc = replay_all(journal, data, length, replay, context, why, why_bytes);
	free(data);
	if (rc == 0 && journal->end < length &&
	    (ftruncate(journal->fd, (off_t)journal->end) < 0 || fsync(journal->fd) < 0))
		rc = -errno;
	return rc;
}

int journal_open(struct journal **ret, int dir_fd, const char *name,
		 int (*replay)(void *context, const void *payload, size_t length), void *context,
		 char *why, size_t why_bytes)
{
	struct journal *journal = NULL;
	int rc = journal_new(&journal, dir_fd, name);

	if (rc < 0)
		return rc;
	snprintf(why, why_bytes, "%s", name);
	journal->fd = openat(dir_fd, name, O_RDWR | O_CLOEXEC);
	if (journal->fd >= 0) {
		rc = open_existing(journal, replay, context, why, why_bytes);
		/* Who made it may have been killed before its name was durable. */
		if (rc == 0 && fsync(dir_fd) < 0)
			rc = -errno;
	} else if (errno == ENOENT) {
		rc = begin_fresh(journal);
		if (rc == 0)
			rc = swap_in(journal);
	} else {
		rc = -errno;
	}
	if (rc < 0) {
		journal_close(journal);
		return rc;
	}
	*ret = journal;
	return 0;
}

uint64_t journal_bytes(const struct journal *journal)
{
	return journal->end;
}

/* ---- appending ---- */

int journal_append(struct journal *journal, const void *payload, size_t length)
{
	struct record_header record = {
		.length = (uint32_t)length,
		.checksum = XXH3_64bits(payload, length),
	};
	struct iovec vectors[2] = {
		{.iov_base = &record, .iov_len = sizeof(record)},
		{.iov_base = (void *)(uintptr_t)payload, .iov_len = length},
	};

	if (journal->broken)
		return -ERR_STORAGE;
	if (length == 0 || length > JOURNAL_RECORD_BYTES_MAX)
		return -E2BIG;
	int rc = write_all(journal->fd, vectors, 2, journal->end);
	if (rc < 0) {
		/* Part of it may lie there; it must not be taken for a torn append later. */
		journal->broken = ftruncate(journal->fd, (off_t)journal->end) < 0;
		return journal->broken ? -ERR_STORAGE : rc;
	}
	if (!journal->deferred && fdatasync(journal->fd) < 0) {
		journal->broken = true;
		return -ERR_STORAGE;
	}
	journal->end += sizeof(record) + length;
	return 0;
}

int journal_rewrite(struct journal *journal, int (*fill)(void *context, struct journal *fresh),
		    void *context)
{
	struct journal *fresh = NULL;
	int rc = journal_new(&fresh, journal->dir_fd, journal->name);

	if (rc < 0)
		return rc;
	fresh->deferred = true;
	rc = begin_fresh(fresh);
	if (rc == 0)
		rc = fill(context, fresh);
	if (rc == 0) {
		rc = swap_in(fresh);
		/* Perhaps renamed and perhaps not: the next append might go to a file without a
		 * name. */
		journal->broken = rc < 0;
	}
	if (rc == 0) {
		int old_fd = journal->fd;
		journal->fd = fresh->fd;
		journal->end = fresh->end;
		fresh->fd = old_fd;
	}
	journal_close(fresh);
	return rc;
}
