/* One file of a partition's log, and its index.
 *
 *     NNNNNNNNNNNNNNNNNNNN.log   4096-byte header, then batches back to back
 *     NNNNNNNNNNNNNNNNNNNN.idx   what is derived of it: end, next offset, sparse index, checksum
 *
 * Byte by byte in README.md.  An index is written when the segment is sealed or the broker stops
 * cleanly, and believed only when its checksum, segment id and bounds fit; else the segment is read
 * through and every batch verified. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

struct segment_header {
	char magic[8];
	uint32_t version;
	int32_t partition;
	struct uuid topic_id;
	int64_t base_offset;
	int64_t created_ms;
	uint64_t id;
	uint64_t checksum; /* XXH3 of the bytes before */
};
_Static_assert(sizeof(struct segment_header) == 64, "segment header layout");

struct index_header {
	char magic[8];
	uint32_t version;
	uint32_t entry_count;
	uint64_t segment_id;
	int64_t next_offset;
	uint64_t end;
	int64_t max_ms;
	uint64_t checksum; /* XXH3 of the header before it and of the entries */
};
_Static_assert(sizeof(struct index_header) == 56, "index header layout");
_Static_assert(sizeof(struct index_entry) == 24, "index entry layout");

static const char segment_magic[8] = "SLUICEsg";
static const char index_magic[8] = "SLUICEix";
enum { FORMAT_VERSION = 1 };

static void file_name(char name[static 32], int64_t base_offset, const char *ending)
{
	snprintf(name, 32, "%020lld.%s", (long long)base_offset, ending);
}

static struct segment *segment_new(struct log *log, int64_t base_offset)
{
	struct segment *segment = calloc(1, sizeof(*segment));

	if (!segment)
		return NULL;
	segment->log = log;
	segment->fd = -1;
	segment->base_offset = base_offset;
	segment->next_offset = base_offset;
	segment->end = SEGMENT_HEADER_BYTES;
	segment->max_ms = INT64_MIN;
	list_init(&segment->link);
	return segment;
}

void segment_free(struct segment *segment)
{
	if (!segment)
		return;
	check(segment->readers == 0);
	list_remove(&segment->link);
	if (segment->fd >= 0)
		close(segment->fd);
	free(segment->index);
	free(segment);
}

void segment_unlink(struct segment *segment)
{
	char name[32];

	file_name(name, segment->base_offset, "idx");
	unlinkat(segment->log->dir_fd, name, 0);
	file_name(name, segment->base_offset, "log");
	unlinkat(segment->log->dir_fd, name, 0);
}

static int open_file(const struct log *log, const char *name, int flags)
{
	int fd = -1;

	flags |= O_CLOEXEC;
	if (log->store->options.direct_io)
		fd = openat(log->dir_fd, name, flags | O_DIRECT, 0644);
	/* tmpfs and some others refuse O_DIRECT. */
	if (fd < 0 && (!log->store->options.direct_io || errno == EINVAL))
		fd = openat(log->dir_fd, name, flags, 0644);
	return fd < 0 ? -errno : fd;
}

/* ---- a new segment ---- */

static int write_header(struct segment *segment)
{
	const struct log *log = segment->log;
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);
	struct segment_header header = {
		.version = FORMAT_VERSION,
		.partition = log->identity.partition,
		.topic_id = log->identity.topic_id,
		.base_offset = segment->base_offset,
		.created_ms = segment->created_ms,
		.id = segment->id,
	};

	if (!block)
		return -ENOMEM;
	memcpy(header.magic, segment_magic, sizeof(header.magic));
	header.checksum = XXH3_64bits(&header, offsetof(struct segment_header, checksum));
	memset(block, 0, SEGMENT_HEADER_BYTES);
	memcpy(block, &header, sizeof(header));
	ssize_t written = pwrite(segment->fd, block, SEGMENT_HEADER_BYTES, 0);
	int rc = written == SEGMENT_HEADER_BYTES ? 0 : written < 0 ? -errno : -EIO;
	free(block);
	return rc;
}

int segment_create(struct log *log, int64_t base_offset)
{
	struct segment *segment = segment_new(log, base_offset);
	char name[32];
	int rc = -ENOMEM;

	if (!segment)
		return rc;
	file_name(name, base_offset, "log");
	check(getrandom(&segment->id, sizeof(segment->id), 0) == sizeof(segment->id));
	segment->created_ms = clock_wall_ms(log->store->clock);
	rc = open_file(log, name, O_RDWR | O_CREAT | O_EXCL);
	if (rc < 0)
		goto fail;
	segment->fd = rc;
	segment->allocated_end = SEGMENT_HEADER_BYTES;
	segment->written = segment->flushed = segment->end;
	rc = write_header(segment);
	if (rc == 0 && (fdatasync(segment->fd) < 0 || fsync(log->dir_fd) < 0))
		rc = -errno;
	if (rc < 0) {
		unlinkat(log->dir_fd, name, 0);
		goto fail;
	}
	list_push_back(&log->segments, &segment->link);
	log->active = segment;
	return 0;
fail:
	segment_free(segment);
	return rc;
}

/* ---- index ---- */

int segment_add_batch(struct segment *segment, const struct batch *batch, int64_t base_offset,
		      uint64_t position)
{
	if (position >= segment->indexed_to) {
		if (segment->index_count == segment->index_capacity) {
			size_t capacity = segment->index_capacity ? segment->index_capacity * 2 : 16;
			struct index_entry *index =
				realloc(segment->index, capacity * sizeof(*index));
			if (!index)
				return -ENOMEM;
			segment->index = index;
			segment->index_capacity = capacity;
		}
		segment->index[segment->index_count++] = (struct index_entry){
			.offset = base_offset,
			.position = position,
			.max_before_ms = segment->max_ms,
		};
		segment->indexed_to = position + INDEX_INTERVAL_BYTES;
	}
	if (batch->max_timestamp > segment->max_ms)
		segment->max_ms = batch->max_timestamp;
	segment->next_offset = base_offset + batch->last_offset_delta + 1;
	segment->end = position + batch->size;
	return 0;
}

const struct index_entry *segment_seek(const struct segment *segment, int64_t offset)
{
	size_t low = 0;
	size_t high = segment->index_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (segment->index[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &segment->index[low - 1] : NULL;
}

struct segment *log_segment_at(const struct log *log, int64_t offset)
{
	for (struct list *node = log->segments.prev; node != &log->segments; node = node->prev) {
		struct segment *segment = container_of(node, struct segment, link);
		if (segment->base_offset <= offset)
			return segment;
	}
	return NULL;
}

static uint64_t index_checksum(const struct index_header *header, const struct index_entry *entries)
{
	XXH64_hash_t seed = XXH3_64bits(header, offsetof(struct index_header, checksum));
	return XXH3_64bits_withSeed(entries, header->entry_count * sizeof(*entries), seed);
}

int segment_seal(struct segment *segment)
{
	struct index_header header = {
		.version = FORMAT_VERSION,
		.entry_count = (uint32_t)segment->index_count,
		.segment_id = segment->id,
		.next_offset = segment->next_offset,
		.end = segment->end,
		.max_ms = segment->max_ms,
	};
	char name[32];
	size_t bytes = segment->index_count * sizeof(struct index_entry);

	memcpy(header.magic, index_magic, sizeof(header.magic));
	header.checksum = index_checksum(&header, segment->index);
	file_name(name, segment->base_offset, "idx");
	int fd = openat(segment->log->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	int rc = 0;
	if (write(fd, &header, sizeof(header)) != sizeof(header) ||
	    (bytes && write(fd, segment->index, bytes) != (ssize_t)bytes))
		rc = -EIO;
	close(fd);
	return rc;
}

static bool load_index(struct segment *segment, uint64_t file_bytes)
{
	struct index_header header;
	char name[32];
	bool good = false;

	file_name(name, segment->base_offset, "idx");
	int fd = openat(segment->log->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	struct index_entry *entries = NULL;
	struct stat info;
	if (fstat(fd, &info) < 0 || read(fd, &header, sizeof(header)) != sizeof(header) ||
	    memcmp(header.magic, index_magic, sizeof(header.magic)) != 0 ||
	    header.version != FORMAT_VERSION || header.segment_id != segment->id ||
	    header.end > file_bytes ||
	    (uint64_t)info.st_size != sizeof(header) + header.entry_count * sizeof(*entries))
		goto out;
	size_t bytes = header.entry_count * sizeof(*entries);
	entries = malloc(bytes ? bytes : 1);
	if (!entries || read(fd, entries, bytes) != (ssize_t)bytes ||
	    index_checksum(&header, entries) != header.checksum)
		goto out;
	segment->index = entries;
	segment->index_count = segment->index_capacity = header.entry_count;
	segment->next_offset = header.next_offset;
	segment->end = header.end;
	segment->max_ms = header.max_ms;
	entries = NULL;
	good = true;
out:
	free(entries);
	close(fd);
	return good;
}

/* ---- loading ---- */

static int read_header(struct segment *segment)
{
	const struct log *log = segment->log;
	struct segment_header header;
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);

	if (!block)
		return -ENOMEM;
	ssize_t got = pread(segment->fd, block, SEGMENT_HEADER_BYTES, 0);
	memcpy(&header, block, sizeof(header));
	free(block);
	if (got < 0)
		return -errno;
	if (got != SEGMENT_HEADER_BYTES ||
	    memcmp(header.magic, segment_magic, sizeof(header.magic)) != 0 ||
	    header.checksum != XXH3_64bits(&header, offsetof(struct segment_header, checksum)))
		return -ERR_CORRUPT;
	if (header.version != FORMAT_VERSION)
		return -ERR_FORMAT;
	if (!uuid_equal(&header.topic_id, &log->identity.topic_id) ||
	    header.partition != log->identity.partition ||
	    header.base_offset != segment->base_offset)
		return -ERR_CORRUPT;
	segment->id = header.id;
	segment->created_ms = header.created_ms;
	return 0;
}

/* A window over the file that slides forward. */
struct window {
	int fd;
	uint8_t *data;
	size_t capacity;
	uint64_t position; /* of data[0], block aligned */
	size_t length;
};

/* `count` bytes at `position`, or null at the end of the file. */
static const uint8_t *window_at(struct window *w, uint64_t position, size_t count)
{
	if (position >= w->position && position + count <= w->position + w->length)
		return w->data + (position - w->position);
	size_t needed = round_up(count + BLOCK_BYTES, BLOCK_BYTES);
	if (needed < READ_CHUNK_BYTES)
		needed = READ_CHUNK_BYTES;
	if (needed > w->capacity) {
		free(w->data);
		w->data = aligned_alloc(BLOCK_BYTES, needed);
		w->capacity = w->data ? needed : 0;
	}
	w->length = 0;
	if (!w->data)
		return NULL;
	w->position = round_down(position, BLOCK_BYTES);
	ssize_t got = pread(w->fd, w->data, w->capacity, (off_t)w->position);
	if (got < 0)
		return NULL;
	w->length = (size_t)got;
	if (position + count > w->position + w->length)
		return NULL;
	return w->data + (position - w->position);
}

static void note_epoch(struct log *log, const struct batch *batch, int64_t offset)
{
	if (log->epoch_count && log->epochs[log->epoch_count - 1].epoch >= batch->leader_epoch)
		return;
	struct epoch_start *epochs =
		realloc(log->epochs, (log->epoch_count + 1) * sizeof(*epochs));
	if (!epochs)
		return;
	log->epochs = epochs;
	epochs[log->epoch_count++] =
		(struct epoch_start){.epoch = batch->leader_epoch, .offset = offset};
}

/* The next whole, valid batch at segment->end; false: there is none. */
static bool next_batch(struct segment *segment, struct window *w, int32_t *last_epoch)
{
	struct batch batch;
	const uint8_t *data = window_at(w, segment->end, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(&batch, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	if (rc != -EMSGSIZE && rc != 0)
		return false;
	/* Stale bytes of an earlier life of these blocks: wrong offset or older epoch. */
	if (batch.base_offset != segment->next_offset || batch.leader_epoch < *last_epoch ||
	    batch.last_offset_delta < 0 || batch.size > (1u << 30))
		return false;
	data = window_at(w, segment->end, batch.size);
	if (!data || !batch_crc_valid(&batch, data))
		return false;
	*last_epoch = batch.leader_epoch;
	note_epoch(segment->log, &batch, batch.base_offset);
	return segment_add_batch(segment, &batch, batch.base_offset, segment->end) == 0;
}

static void scan(struct segment *segment)
{
	struct window w = {.fd = segment->fd};
	int32_t last_epoch = INT32_MIN;

	segment->index_count = 0;
	segment->indexed_to = 0;
	segment->next_offset = segment->base_offset;
	segment->end = SEGMENT_HEADER_BYTES;
	segment->max_ms = INT64_MIN;
	while (next_batch(segment, &w, &last_epoch))
		;
	free(w.data);
}

int segment_load(struct log *log, int64_t base_offset, bool last, char *why, size_t why_bytes)
{
	struct segment *segment = segment_new(log, base_offset);
	struct stat info;
	char name[32];
	int rc = -ENOMEM;

	if (!segment)
		return rc;
	file_name(name, base_offset, "log");
	rc = open_file(log, name, O_RDWR);
	if (rc < 0)
		goto fail;
	segment->fd = rc;
	rc = fstat(segment->fd, &info) < 0 ? -errno : read_header(segment);
	if (rc < 0) {
		snprintf(why, why_bytes, "segment %s: %s", name, error_text(rc));
		goto fail;
	}
	segment->allocated_end = (uint64_t)info.st_size;
	if (!load_index(segment, segment->allocated_end)) {
		scan(segment);
		if (!last)
			segment_seal(segment);
	}
	if (last) {
		/* From here on the file may grow beyond its index. */
		file_name(name, base_offset, "idx");
		unlinkat(log->dir_fd, name, 0);
		segment->indexed_to = segment->end;
	}
	segment->written = segment->flushed = segment->end;
	list_push_back(&log->segments, &segment->link);
	log->active = segment;
	return 0;
fail:
	segment_free(segment);
	return rc;
}
