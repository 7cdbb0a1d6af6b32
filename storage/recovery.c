/* What a log's folder says: its segments in order, the tail cut at the last whole batch, and
 * partition.meta (log start, leader epochs).
 *
 * A damaged segment is never skipped in silence: the log refuses to open and says which file. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { META_BYTES_MAX = 1 << 20 };

/* ---- partition.meta: text, its last line the XXH3 of what stands above ---- */

int log_write_meta(struct log *log)
{
	size_t capacity = 128 + log->epoch_count * 48;
	char *text = malloc(capacity);
	int rc = 0;

	if (!text)
		return -ENOMEM;
	int length = snprintf(text, capacity, "sluice-partition 1\nstart %" PRId64 "\n",
			      log->start_offset);
	for (size_t i = 0; i < log->epoch_count; i++)
		length += snprintf(text + length, capacity - (size_t)length,
				   "epoch %" PRId32 " %" PRId64 "\n", log->epochs[i].epoch,
				   log->epochs[i].offset);
	uint64_t sum = XXH3_64bits(text, (size_t)length);
	length += snprintf(text + length, capacity - (size_t)length, "sum %016" PRIx64 "\n", sum);
	int fd = openat(log->dir_fd, "partition.meta.new",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		rc = -errno;
	else if (write(fd, text, (size_t)length) != length)
		rc = -EIO;
	else if (fsync(fd) < 0 ||
		 renameat(log->dir_fd, "partition.meta.new", log->dir_fd, "partition.meta") < 0 ||
		 fsync(log->dir_fd) < 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(text);
	return rc;
}

static int add_epoch(struct log *log, int32_t epoch, int64_t offset)
{
	struct epoch_start *epochs = realloc(log->epochs, (log->epoch_count + 1) * sizeof(*epochs));

	if (!epochs)
		return -ENOMEM;
	log->epochs = epochs;
	epochs[log->epoch_count++] = (struct epoch_start){.epoch = epoch, .offset = offset};
	return 0;
}

static int parse_meta(struct log *log, char *text)
{
	char *sum_line = strstr(text, "sum ");
	uint64_t sum;

	if (!sum_line || sscanf(sum_line, "sum %" SCNx64, &sum) != 1 ||
	    sum != XXH3_64bits(text, (size_t)(sum_line - text)))
		return -ERR_CORRUPT;
	if (strncmp(text, "sluice-partition 1\n", 19) != 0)
		return -ERR_FORMAT;
	for (char *line = text; line < sum_line; line = strchr(line, '\n') + 1) {
		int64_t offset;
		int32_t epoch;
		if (sscanf(line, "start %" SCNd64, &offset) == 1)
			log->start_offset = offset;
		else if (sscanf(line, "epoch %" SCNd32 " %" SCNd64, &epoch, &offset) == 2 &&
			 add_epoch(log, epoch, offset) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int read_meta(struct log *log)
{
	int fd = openat(log->dir_fd, "partition.meta", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	char *text = calloc(1, META_BYTES_MAX);
	int rc = -ENOMEM;
	if (text) {
		ssize_t got = read(fd, text, META_BYTES_MAX - 1);
		rc = got < 0 ? -errno : parse_meta(log, text);
	}
	free(text);
	close(fd);
	return rc;
}

/* ---- segments ---- */

static int compare_offsets(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;
	return (*x > *y) - (*x < *y);
}

/* Base offsets of the folder's segments, ascending; *ret is the caller's to free. */
static int list_segments(const struct log *log, int64_t **ret, size_t *ret_count)
{
	int fd = openat(log->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int64_t *offsets = NULL;
	size_t count = 0;
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	while ((entry = readdir(dir))) {
		char *end;
		if (strlen(entry->d_name) != 24 || strcmp(entry->d_name + 20, ".log") != 0)
			continue;
		long long offset = strtoll(entry->d_name, &end, 10);
		if (end != entry->d_name + 20 || offset < 0)
			continue;
		int64_t *more = realloc(offsets, (count + 1) * sizeof(*offsets));
		if (!more) {
			free(offsets);
			closedir(dir);
			return -ENOMEM;
		}
		offsets = more;
		offsets[count++] = offset;
	}
	closedir(dir);
	if (count)
		qsort(offsets, count, sizeof(*offsets), compare_offsets);
	*ret = offsets;
	*ret_count = count;
	return 0;
}

static int check_sequence(const struct log *log, char *why, size_t why_bytes)
{
	const struct segment *before = NULL;

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (before && before->next_offset != segment->base_offset) {
			snprintf(why, why_bytes,
				 "segment %020" PRId64 ".log ends at offset %" PRId64
				 ", the next begins at %" PRId64,
				 before->base_offset, before->next_offset, segment->base_offset);
			return -ERR_CORRUPT;
		}
		before = segment;
	}
	return 0;
}

static int load_segments(struct log *log, char *why, size_t why_bytes)
{
	int64_t *offsets = NULL;
	size_t count = 0;
	int rc = list_segments(log, &offsets, &count);

	for (size_t i = 0; rc == 0 && i < count; i++) {
		bool last = i + 1 == count;
		rc = segment_load(log, offsets[i], last, why, why_bytes);
		/* Created but its header never reached the disk: nothing in it was answered for. */
		if (rc == -ERR_CORRUPT && last && count > 1) {
			char name[32];
			snprintf(name, sizeof(name), "%020" PRId64 ".log", offsets[i]);
			renameat(log->dir_fd, name, log->dir_fd, "torn-segment");
			rc = 0;
		}
	}
	free(offsets);
	return rc == 0 ? check_sequence(log, why, why_bytes) : rc;
}

int log_recover(struct log *log, char *why, size_t why_bytes)
{
	int rc = read_meta(log);

	if (rc < 0) {
		snprintf(why, why_bytes, "partition.meta: %s", error_text(rc));
		return rc;
	}
	rc = load_segments(log, why, why_bytes);
	if (rc < 0)
		return rc;
	int64_t first = 0;
	log->next_offset = 0;
	if (!list_empty(&log->segments)) {
		first = container_of(log->segments.next, struct segment, link)->base_offset;
		log->next_offset = log->active->next_offset;
		/* What was found may be in the device's cache only. */
		if (fdatasync(log->active->fd) < 0)
			return -errno;
	}
	if (log->start_offset < first)
		log->start_offset = first;
	if (log->start_offset > log->next_offset)
		log->next_offset = log->start_offset;
	log->durable_offset = log->next_offset;
	/* Epochs that began where nothing was appended never were. */
	while (log->epoch_count && log->epochs[log->epoch_count - 1].offset >= log->next_offset)
		log->epoch_count--;
	return add_epoch(log, log->identity.leader_epoch, log->next_offset);
}
