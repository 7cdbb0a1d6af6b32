/* A log's producers through restarts.
 *
 *     checkpoint, sealed segment, close
 *         image of the state at next_offset ─> durable so far ─> NNNN.producers, beside and renamed
 *     recovery
 *         newest snapshot that is sound ─> batches behind it, headers only ─> the state
 *
 * NNNN is the offset that the snapshot speaks of; the two newest are kept, so that one that a power
 * cut has left in pieces costs only reading.  They are not flushed: what does not check is not
 * believed.  Segments whose index says that no batch has a producer id are not read, so a log
 * without idempotent producers has no such files and opens as fast.
 *
 * A snapshot beyond the end of the log (a tail that was durable and is damaged) would speak of
 * batches that are no more: it is removed, durably, before anything is appended. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_BYTES = 32,
	KEPT = 2,
	SNAPSHOTS_MAX = 16, /* of a folder; more are never left */
	WALK_BYTES = 256 << 10,
};
static const char ending[] = ".producers";
static const char new_name[] = "producers.new";

static void snapshot_name(char name[static NAME_BYTES], int64_t offset)
{
	snprintf(name, NAME_BYTES, "%020" PRId64 "%s", offset, ending);
}

static bool is_snapshot(const char *name, int64_t *ret_offset)
{
	if (strspn(name, "0123456789") != 20 || strcmp(name + 20, ending) != 0)
		return false;
	errno = 0;
	*ret_offset = strtoll(name, NULL, 10);
	return errno == 0;
}

static int compare_falling(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;
	return (*x < *y) - (*x > *y);
}

/* Offsets of the folder's snapshots, newest first; how many, or -errno. */
static int list_snapshots(const struct log *log, int64_t offsets[static SNAPSHOTS_MAX])
{
	int fd = openat(log->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int count = 0;
	const struct dirent *entry;

	if (!dir) {
		int rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (count < SNAPSHOTS_MAX && (entry = readdir(dir)))
		count += is_snapshot(entry->d_name, &offsets[count]);
	closedir(dir);
	if (count)
		qsort(offsets, (size_t)count, sizeof(offsets[0]), compare_falling);
	return count;
}

static void remove_snapshot(const struct log *log, int64_t offset)
{
	char name[NAME_BYTES];

	snapshot_name(name, offset);
	unlinkat(log->dir_fd, name, 0);
}

/* ---- writing ---- */

static int write_file(const struct log *log, const struct producers_image *image)
{
	char name[NAME_BYTES];
	int rc = 0;
	int fd = openat(log->dir_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, image->bytes, image->size);
	if (written != (ssize_t)image->size)
		rc = written < 0 ? -errno : -ENOSPC;
	close(fd);
	snapshot_name(name, image->offset);
	if (rc == 0 && renameat(log->dir_fd, new_name, log->dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(log->dir_fd, new_name, 0);
	return rc;
}

static void drop_image(struct log *log)
{
	free(log->image.bytes);
	log->image = (struct producers_image){0};
}

void producers_durable(struct log *log)
{
	int64_t offsets[SNAPSHOTS_MAX];

	if (!log->image.bytes || log->image.offset > log->durable_offset)
		return;
	int rc = write_file(log, &log->image);
	drop_image(log);
	if (rc < 0) {
		log_warn("storage", "producers not saved log=%s error=\"%s\"", log->name,
			 error_text(rc));
		return;
	}
	int count = list_snapshots(log, offsets);
	for (int i = KEPT; i < count; i++)
		remove_snapshot(log, offsets[i]);
}

void producers_checkpoint(struct log *log)
{
	if (!log->producers_changed)
		return;
	drop_image(log);
	size_t size = producers_snapshot_size(&log->producers);
	uint8_t *bytes = malloc(size);
	if (!bytes)
		return;
	producers_snapshot_write(&log->producers, log->next_offset, bytes);
	log->image = (struct producers_image){bytes, size, log->next_offset};
	log->producers_changed = false;
	producers_durable(log);
}

void producers_forget(struct log *log)
{
	struct store *store = log->store;

	if (!producers_count(&log->producers))
		return;
	uint64_t age_ns = (uint64_t)store->options.producer_expiration_ms * NS_PER_MS;
	uint64_t now_ns = clock_monotonic_ns(store->clock);
	size_t forgotten = now_ns > age_ns ? producers_expire(&log->producers, now_ns - age_ns) : 0;
	store->stats.producers -= forgotten;
	store->stats.producers_forgotten += forgotten;
}

/* ---- recovery ---- */

static int read_file(const struct log *log, int64_t offset, uint8_t **ret, size_t *ret_size)
{
	char name[NAME_BYTES];
	struct stat info;
	int rc = 0;

	snapshot_name(name, offset);
	int fd = openat(log->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	uint8_t *bytes = fstat(fd, &info) < 0 ? NULL : malloc((size_t)info.st_size + 1);
	if (!bytes)
		rc = -ENOMEM;
	else if (read(fd, bytes, (size_t)info.st_size) != (ssize_t)info.st_size)
		rc = -EIO;
	close(fd);
	if (rc < 0) {
		free(bytes);
		return rc;
	}
	*ret = bytes;
	*ret_size = (size_t)info.st_size;
	return 0;
}

/* False: it is not to be believed. */
static bool take_snapshot(struct log *log, int64_t offset)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int64_t told = -1;
	int rc = read_file(log, offset, &bytes, &size);

	if (rc == 0)
		rc = producers_snapshot_read(&log->producers, bytes, size,
					     clock_monotonic_ns(log->store->clock), &told);
	free(bytes);
	if (rc == 0 && told != offset)
		rc = -ERR_CORRUPT;
	if (rc == 0)
		return true;
	log_warn("storage", "snapshot of producers not used log=%s offset=%" PRId64 " error=\"%s\"",
		 log->name, offset, error_text(rc));
	producers_clear(&log->producers);
	return false;
}

/* *ret_from: the batches from here on are still to be applied. */
static int load_snapshot(struct log *log, int64_t *ret_from)
{
	int64_t offsets[SNAPSHOTS_MAX] = {0};
	int count = list_snapshots(log, offsets);
	bool removed = false;

	*ret_from = 0;
	for (int i = 0; i < count; i++) {
		if (offsets[i] > log->next_offset) {
			remove_snapshot(log, offsets[i]);
			removed = true;
		} else if (take_snapshot(log, offsets[i])) {
			*ret_from = offsets[i];
			break;
		}
	}
	if (removed && fsync(log->dir_fd) < 0)
		return -errno;
	return count < 0 ? count : 0;
}

/* Where batches are looked at one by one: a piece of the file. */
struct walk {
	const struct segment *segment;
	uint8_t *data; /* WALK_BYTES, aligned for direct I/O */
	uint64_t position;
	size_t length;
};

/* The header at `position`, which is below the segment's end. */
static int header_at(struct walk *walk, uint64_t position, struct batch *ret)
{
	if (position < walk->position ||
	    position + BATCH_HEADER_BYTES > walk->position + walk->length) {
		walk->position = round_down(position, BLOCK_BYTES);
		ssize_t got = pread(walk->segment->fd, walk->data, WALK_BYTES,
				    (off_t)walk->position);
		if (got < 0)
			return -errno;
		walk->length = (size_t)got;
	}
	size_t at = (size_t)(position - walk->position);
	if (walk->length < at + BATCH_HEADER_BYTES)
		return -ERR_CORRUPT;
	int rc = batch_parse(ret, walk->data + at, BATCH_HEADER_BYTES);
	return rc == -EMSGSIZE ? 0 : rc;
}

static int apply(struct log *log, const struct batch *batch, uint64_t now_ns)
{
	int rc = producers_reserve(&log->producers, batch);

	if (rc == 0)
		producers_apply(&log->producers, batch, now_ns);
	return rc;
}

static int replay_segment(struct log *log, const struct segment *segment, int64_t from,
			  uint64_t now_ns, struct walk *walk)
{
	const struct index_entry *entry = segment_seek(segment, from);
	uint64_t position = entry ? entry->position : SEGMENT_HEADER_BYTES;

	walk->segment = segment;
	walk->length = 0;
	while (position < segment->end) {
		struct batch batch = {0};
		int rc = header_at(walk, position, &batch);
		if (rc == 0 && batch.base_offset >= from)
			rc = apply(log, &batch, now_ns);
		if (rc < 0)
			return rc;
		position += batch.size;
	}
	return 0;
}

static int replay(struct log *log, int64_t from)
{
	struct walk walk = {.data = aligned_alloc(BLOCK_BYTES, WALK_BYTES)};
	uint64_t now_ns = clock_monotonic_ns(log->store->clock);
	int rc = 0;

	if (!walk.data)
		return -ENOMEM;
	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (rc == 0 && segment->idempotent && segment->next_offset > from)
			rc = replay_segment(log, segment, from, now_ns, &walk);
	}
	free(walk.data);
	return rc;
}

int producers_recover(struct log *log)
{
	struct store *store = log->store;
	int64_t from;

	drop_image(log);
	store->stats.producers -= producers_count(&log->producers);
	producers_clear(&log->producers);
	int rc = load_snapshot(log, &from);
	if (rc == 0 && log->producers.max)
		rc = replay(log, from);
	store->stats.producers += producers_count(&log->producers);
	/* What had to be read is not read again. */
	log->producers_changed = producers_count(&log->producers) > 0 && from < log->next_offset;
	return rc;
}
