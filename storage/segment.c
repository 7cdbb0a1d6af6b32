/* One file of a partition's log, and its index.
 *
 *     NNNNNNNNNNNNNNNNNNNN.log   4096-byte header, then batches back to back
 *     NNNNNNNNNNNNNNNNNNNN.idx   what is derived of it: end, next offset, sparse index, checksum
 *
 * Byte by byte in README.md.  An index speaks of whole batches that were durable when it was
 * written: of all of them when the segment was sealed or the broker stopped cleanly, of a first
 * part when it is a checkpoint of the segment that is being appended to.  It is believed when its
 * checksum and the segment's id fit and the last batches it tells of are where it says; what lies
 * behind them is read and verified.  Without an index that is the whole segment.  A segment that
 * holds less than its index vouches for is damaged. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/file_window.h"

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
	uint32_t epoch_count;
	uint32_t content;  /* enum index_content */
	uint64_t checksum; /* XXH3 of the header before it, of the entries and of the epochs */
};
_Static_assert(sizeof(struct index_header) == 64, "index header layout");
_Static_assert(sizeof(struct index_entry) == 24, "index entry layout");

struct index_epoch {
	int64_t offset;
	int32_t epoch;
	int32_t reserved;
};
_Static_assert(sizeof(struct index_epoch) == 16, "index epoch layout");

/* What need not be looked for in the segment. */
enum index_content {
	CONTENT_ANY = 0,
	CONTENT_NO_PRODUCERS = 1, /* no batch has a producer id */
};

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
	segment->durable_end = SEGMENT_HEADER_BYTES;
	segment->durable_next_offset = base_offset;
	segment->durable_max_ms = INT64_MIN;
	list_init(&segment->link);
	list_init(&segment->unflushed);
	list_init(&segment->prewrite_link);
	return segment;
}

void segment_free(struct segment *segment)
{
	if (!segment)
		return;
	check(segment->readers == 0);
	list_remove(&segment->link);
	list_remove(&segment->unflushed);
	list_remove(&segment->prewrite_link);
	if (segment->fd >= 0)
		close(segment->fd);
	free(segment->index);
	free(segment->epochs);
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

	flags |= O_CLOEXEC | O_NOFOLLOW;
	if (log->store->options.direct_io)
		fd = openat(log->dir_fd, name, flags | O_DIRECT, 0644);
	/* tmpfs (before Linux 6.6) and some others refuse O_DIRECT, and only after they have made
	 * the file: what was to be new is ours by then. */
	if (fd < 0 && log->store->options.direct_io && errno == EINVAL)
		fd = openat(log->dir_fd, name, flags & ~O_EXCL, 0644);
	else if (!log->store->options.direct_io)
		fd = openat(log->dir_fd, name, flags, 0644);
	return fd < 0 ? -errno : fd;
}

/* ---- a new segment ---- */

/* Gives the segment its identity, durably. */
static int write_header(struct segment *segment)
{
	const struct log *log = segment->log;
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);

	check(getrandom(&segment->id, sizeof(segment->id), 0) == sizeof(segment->id));
	segment->created_ms = clock_wall_ms(log->store->clock);
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
	if (rc == 0 && fdatasync(segment->fd) < 0)
		rc = -errno;
	return rc;
}

/* Room for the first appends, made durable together with the header. */
static int write_first_zeros(struct segment *segment)
{
	uint64_t bytes = round_up(segment->log->config.segment_bytes, BLOCK_BYTES);
	uint64_t end = SEGMENT_HEADER_BYTES;

	segment->shares_flush = flush_shares(segment->log->store, segment->fd);
	if (segment->shares_flush) {
		end += bytes < PREWRITE_FIRST_BYTES ? bytes : PREWRITE_FIRST_BYTES;
		int rc = prewrite_now(segment->fd, SEGMENT_HEADER_BYTES, end);
		if (rc < 0)
			return rc;
	}
	segment->allocated_end = segment->settled_end = end;
	return 0;
}

int segment_create(struct log *log, int64_t base_offset)
{
	struct segment *segment = segment_new(log, base_offset);
	char name[32];
	int rc = -ENOMEM;

	if (!segment)
		return rc;
	file_name(name, base_offset, "log");
	rc = open_file(log, name, O_RDWR | O_CREAT | O_EXCL);
	if (rc < 0)
		goto fail;
	segment->fd = rc;
	segment->written = segment->flushed = segment->end;
	rc = write_first_zeros(segment);
	if (rc == 0)
		rc = write_header(segment);
	if (rc == 0 && fsync(log->dir_fd) < 0)
		rc = -errno;
	if (rc < 0) {
		/* Durably: appends may go on in the segment before it, past this one's offset. */
		unlinkat(log->dir_fd, name, 0);
		fsync(log->dir_fd);
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

int segment_grow(struct segment *segment)
{
	if (segment->index_count == segment->index_capacity) {
		size_t capacity = segment->index_capacity ? segment->index_capacity * 2 : 16;
		struct index_entry *index = realloc(segment->index, capacity * sizeof(*index));
		if (!index)
			return -ENOMEM;
		segment->index = index;
		segment->index_capacity = capacity;
	}
	/* One more than there are: the epoch of the next batch may be new. */
	if (segment->epoch_count == segment->epoch_capacity) {
		size_t capacity = segment->epoch_capacity ? segment->epoch_capacity * 2 : 2;
		struct epoch_start *epochs = realloc(segment->epochs, capacity * sizeof(*epochs));
		if (!epochs)
			return -ENOMEM;
		segment->epochs = epochs;
		segment->epoch_capacity = capacity;
	}
	return 0;
}

void segment_add_batch(struct segment *segment, const struct batch *batch, uint64_t position)
{
	if (position >= segment->indexed_to) {
		segment->index[segment->index_count++] = (struct index_entry){
			.offset = batch->base_offset,
			.position = position,
			.max_before_ms = segment->max_ms,
		};
		segment->indexed_to = position + INDEX_INTERVAL_BYTES;
	}
	if (!segment->epoch_count ||
	    segment->epochs[segment->epoch_count - 1].epoch != batch->leader_epoch)
		segment->epochs[segment->epoch_count++] = (struct epoch_start){
			.epoch = batch->leader_epoch,
			.offset = batch->base_offset,
		};
	if (batch->producer_id >= 0)
		segment->idempotent = true;
	if (batch->max_timestamp > segment->max_ms)
		segment->max_ms = batch->max_timestamp;
	segment->next_offset = batch->base_offset + batch->last_offset_delta + 1;
	segment->end = position + batch->size;
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

/* An index file in memory: the header, then the entries, then the epochs. */
static size_t index_file_bytes(const struct index_header *header)
{
	return sizeof(*header) + header->entry_count * sizeof(struct index_entry) +
	       header->epoch_count * sizeof(struct index_epoch);
}

static uint64_t index_checksum(const void *file, size_t bytes)
{
	const struct index_header *header = file;
	XXH64_hash_t seed = XXH3_64bits(header, offsetof(struct index_header, checksum));
	return XXH3_64bits_withSeed(header + 1, bytes - sizeof(*header), seed);
}

static struct index_header *build_index(const struct segment *segment)
{
	struct index_header header = {
		.version = FORMAT_VERSION,
		.segment_id = segment->id,
		.next_offset = segment->durable_next_offset,
		.end = segment->durable_end,
		.max_ms = segment->durable_max_ms,
		.content = segment->idempotent ? CONTENT_ANY : CONTENT_NO_PRODUCERS,
	};

	memcpy(header.magic, index_magic, sizeof(header.magic));
	while (header.entry_count < segment->index_count &&
	       segment->index[header.entry_count].position < segment->durable_end)
		header.entry_count++;
	while (header.epoch_count < segment->epoch_count &&
	       segment->epochs[header.epoch_count].offset < segment->durable_next_offset)
		header.epoch_count++;
	struct index_header *file = malloc(index_file_bytes(&header));
	if (!file)
		return NULL;
	*file = header;
	struct index_entry *entries = (struct index_entry *)(file + 1);
	if (header.entry_count)
		memcpy(entries, segment->index, header.entry_count * sizeof(*entries));
	struct index_epoch *epochs = (struct index_epoch *)(entries + header.entry_count);
	for (size_t i = 0; i < header.epoch_count; i++)
		epochs[i] = (struct index_epoch){
			.offset = segment->epochs[i].offset,
			.epoch = segment->epochs[i].epoch,
		};
	file->checksum = index_checksum(file, index_file_bytes(file));
	return file;
}

/* Written beside and renamed, so that there is always one that is whole.  Not flushed: what is not
 * there after a power cut is made anew. */
static int write_index(const struct segment *segment, const struct index_header *file)
{
	static const char new_name[] = "index.new";
	int dir_fd = segment->log->dir_fd;
	size_t bytes = index_file_bytes(file);
	char name[32];
	int rc = 0;

	file_name(name, segment->base_offset, "idx");
	int fd = openat(dir_fd, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	ssize_t written = write(fd, file, bytes);
	if (written != (ssize_t)bytes)
		rc = written < 0 ? -errno : -ENOSPC;
	close(fd);
	if (rc == 0 && renameat(dir_fd, new_name, dir_fd, name) < 0)
		rc = -errno;
	if (rc < 0)
		unlinkat(dir_fd, new_name, 0);
	return rc;
}

int segment_checkpoint(struct segment *segment)
{
	struct index_header *file = build_index(segment);

	if (!file)
		return -ENOMEM;
	int rc = write_index(segment, file);
	if (rc == 0)
		segment->checkpoint_end = segment->durable_end;
	free(file);
	return rc;
}

void segment_seal(struct segment *segment)
{
	uint64_t end = round_up(segment->end, BLOCK_BYTES);

	check(segment->flushed == segment->end);
	/* Neither has to succeed: the index is made anew, and room that stays is only room. */
	segment_checkpoint(segment);
	if (segment->allocated_end > end && !segment->allocating && !segment->prewriting &&
	    ftruncate(segment->fd, (off_t)end) == 0)
		segment->allocated_end = end;
}

/* Entries rise and lie within what the index speaks of: searches and reads rely on it. */
static bool index_sane(const struct index_header *file, int64_t base_offset)
{
	const struct index_entry *entries = (const struct index_entry *)(file + 1);
	uint64_t least = SEGMENT_HEADER_BYTES;
	int64_t least_offset = base_offset;

	for (size_t i = 0; i < file->entry_count; i++) {
		if (entries[i].position < least || entries[i].position >= file->end ||
		    entries[i].offset < least_offset || entries[i].offset >= file->next_offset)
			return false;
		least = entries[i].position + 1;
		least_offset = entries[i].offset + 1;
	}
	return file->end >= SEGMENT_HEADER_BYTES;
}

/* The index file, whole and of this segment, or null; to be freed. */
static struct index_header *read_index(const struct segment *segment)
{
	struct index_header *file = NULL;
	struct index_header header;
	struct stat info;
	char name[32];

	file_name(name, segment->base_offset, "idx");
	int fd = openat(segment->log->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &info) < 0 || read(fd, &header, sizeof(header)) != sizeof(header) ||
	    memcmp(header.magic, index_magic, sizeof(header.magic)) != 0 ||
	    header.version != FORMAT_VERSION || header.segment_id != segment->id ||
	    (uint64_t)info.st_size != index_file_bytes(&header))
		goto out;
	size_t bytes = index_file_bytes(&header);
	file = malloc(bytes);
	if (file && (pread(fd, file, bytes, 0) != (ssize_t)bytes ||
		     index_checksum(file, bytes) != file->checksum ||
		     !index_sane(file, segment->base_offset))) {
		free(file);
		file = NULL;
	}
out:
	close(fd);
	return file;
}

/* ---- loading ---- */

/* Created, but its header never reached the disk, so nothing can have been put behind it. */
static bool never_used(const struct segment *segment, uint8_t block[static SEGMENT_HEADER_BYTES])
{
	for (uint64_t at = 0; at < SEGMENT_HEADER_BYTES + BLOCK_BYTES; at += BLOCK_BYTES) {
		ssize_t got = pread(segment->fd, block, BLOCK_BYTES, (off_t)at);
		if (got < 0)
			return false;
		for (ssize_t i = 0; i < got; i++) {
			if (block[i])
				return false;
		}
	}
	return true;
}

static int read_header(struct segment *segment, bool last)
{
	const struct log *log = segment->log;
	struct segment_header header;
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);

	if (!block)
		return -ENOMEM;
	ssize_t got = pread(segment->fd, block, SEGMENT_HEADER_BYTES, 0);
	int error = got < 0 ? -errno : 0;
	memcpy(&header, block, sizeof(header));
	bool unused = last && error == 0 && never_used(segment, block);
	free(block);
	if (error < 0)
		return error;
	segment->unused = unused;
	if (unused)
		return 0;
	if (got != SEGMENT_HEADER_BYTES ||
	    memcmp(header.magic, segment_magic, sizeof(header.magic)) != 0)
		return -ERR_CORRUPT;
	/* Before the checksum, which another version may have elsewhere. */
	if (header.version != FORMAT_VERSION)
		return -ERR_FORMAT;
	if (header.checksum != XXH3_64bits(&header, offsetof(struct segment_header, checksum)))
		return -ERR_CORRUPT;
	if (!uuid_equal(&header.topic_id, &log->identity.topic_id) ||
	    header.partition != log->identity.partition ||
	    header.base_offset != segment->base_offset)
		return -ERR_CORRUPT;
	segment->id = header.id;
	segment->created_ms = header.created_ms;
	return 0;
}

/* The batch at `position` when it is whole, valid and has the offset that comes next. */
static bool batch_at(struct file_window *w, uint64_t position, int64_t offset, struct batch *ret)
{
	const uint8_t *data = file_window_at(w, position, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(ret, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	if (rc != -EMSGSIZE && rc != 0)
		return false;
	if (ret->base_offset != offset || ret->last_offset_delta < 0 ||
	    offset > INT64_MAX - INT32_MAX - 1)
		return false;
	data = file_window_at(w, position, ret->size);
	return data && batch_crc_valid(ret, data);
}

static int32_t last_epoch(const struct segment *segment)
{
	return segment->epoch_count ? segment->epochs[segment->epoch_count - 1].epoch : INT32_MIN;
}

/* Adds the batches behind segment->end. */
static int scan(struct segment *segment, struct file_window *w)
{
	struct batch batch;

	while (batch_at(w, segment->end, segment->next_offset, &batch)) {
		/* What a run before the last one left behind has a lower epoch. */
		if (batch.leader_epoch < last_epoch(segment))
			break;
		int rc = segment_reserve(segment);
		if (rc < 0)
			return rc;
		segment_add_batch(segment, &batch, segment->end);
	}
	return w->error;
}

/* Are the last batches where the index says, and do they end there? */
static bool index_fits(const struct segment *segment, struct file_window *w,
		       const struct index_header *file)
{
	const struct index_entry *entries = (const struct index_entry *)(file + 1);
	uint64_t position = SEGMENT_HEADER_BYTES;
	int64_t offset = segment->base_offset;
	struct batch batch;

	if (file->entry_count) {
		position = entries[file->entry_count - 1].position;
		offset = entries[file->entry_count - 1].offset;
	}
	while (position < file->end && batch_at(w, position, offset, &batch)) {
		position += batch.size;
		offset += batch.last_offset_delta + 1;
	}
	return position == file->end && offset == file->next_offset;
}

static int take_index(struct segment *segment, const struct index_header *file)
{
	const struct index_entry *entries = (const struct index_entry *)(file + 1);
	const struct index_epoch *epochs =
		(const struct index_epoch *)(entries + file->entry_count);

	/* One of each at least: malloc(0) may be null. */
	segment->index = malloc((file->entry_count + 1) * sizeof(*segment->index));
	segment->epoch_capacity = file->epoch_count + 1;
	segment->epochs = malloc(segment->epoch_capacity * sizeof(*segment->epochs));
	if (!segment->index || !segment->epochs)
		return -ENOMEM;
	segment->index_capacity = file->entry_count + 1;
	memcpy(segment->index, entries, file->entry_count * sizeof(*entries));
	segment->index_count = file->entry_count;
	for (size_t i = 0; i < file->epoch_count; i++)
		segment->epochs[i] = (struct epoch_start){epochs[i].epoch, epochs[i].offset};
	segment->epoch_count = file->epoch_count;
	segment->next_offset = file->next_offset;
	segment->end = file->end;
	segment->max_ms = file->max_ms;
	segment->idempotent = file->content != CONTENT_NO_PRODUCERS;
	segment->checkpoint_end = file->end;
	if (file->entry_count)
		segment->indexed_to = entries[file->entry_count - 1].position +
				      INDEX_INTERVAL_BYTES;
	return 0;
}

/* Did a write that was broken off leave something?  A look at what follows is enough to tell. */
static bool remains_behind(struct file_window *w, uint64_t end)
{
	size_t count = BLOCK_BYTES;

	if (end >= w->file_bytes)
		return false;
	if (count > w->file_bytes - end)
		count = (size_t)(w->file_bytes - end);
	const uint8_t *data = file_window_at(w, end, count);
	for (size_t i = 0; data && i < count; i++) {
		if (data[i])
			return true;
	}
	return false;
}

/* What batches there are, from the index as far as it goes and reaches. */
static int find_batches(struct segment *segment, int64_t next_base, char *why, size_t why_bytes)
{
	struct file_window w = {.fd = segment->fd, .file_bytes = segment->allocated_end};
	struct index_header *file = segment->unused ? NULL : read_index(segment);
	uint64_t vouched_end = file ? file->end : 0;
	int rc = 0;

	if (file && index_fits(segment, &w, file))
		rc = take_index(segment, file);
	free(file);
	if (rc == 0 && segment->next_offset != next_base)
		rc = scan(segment, &w);
	segment->torn = rc == 0 && next_base < 0 && remains_behind(&w, segment->end);
	file_window_fini(&w);
	if (rc == 0 && segment->end < vouched_end) {
		snprintf(why, why_bytes,
			 "segment %020lld.log is damaged at byte %llu, offset %lld: it was durable "
			 "up to byte %llu",
			 (long long)segment->base_offset, (unsigned long long)segment->end,
			 (long long)segment->next_offset, (unsigned long long)vouched_end);
		rc = -ERR_CORRUPT;
	}
	return rc;
}

int segment_load(struct log *log, int64_t base_offset, int64_t next_base, char *why,
		 size_t why_bytes)
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
	/* Pages that could not be written must not be read back as if they had been. */
	posix_fadvise(segment->fd, 0, 0, POSIX_FADV_DONTNEED);
	rc = read_header(segment, next_base < 0);
	if (rc == 0 && fstat(segment->fd, &info) < 0)
		rc = -errno;
	if (rc != 0)
		goto fail;
	segment->allocated_end = (uint64_t)info.st_size;
	rc = find_batches(segment, next_base, why, why_bytes);
	if (rc < 0)
		goto fail;
	segment->written = segment->flushed = segment->end;
	segment->durable_end = segment->end;
	segment->durable_next_offset = segment->next_offset;
	segment->durable_max_ms = segment->max_ms;
	list_push_back(&log->segments, &segment->link);
	log->active = segment;
	return 0;
fail:
	if (!why[0])
		snprintf(why, why_bytes, "segment %s: %s", name, error_text(rc));
	segment_free(segment);
	return rc;
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (data[i])
			return false;
	}
	return true;
}

/* The rest of the last batch's block.  1: something had to go. */
static int zero_block_rest(const struct segment *segment)
{
	size_t used = segment->end % BLOCK_BYTES;
	off_t at = (off_t)round_down(segment->end, BLOCK_BYTES);
	uint8_t *block = used ? aligned_alloc(BLOCK_BYTES, BLOCK_BYTES) : NULL;
	int rc = 0;

	if (!used)
		return 0;
	if (!block)
		return -ENOMEM;
	ssize_t got = pread(segment->fd, block, BLOCK_BYTES, at);
	if (got < (ssize_t)used) {
		rc = got < 0 ? -errno : -EIO;
	} else if (got < BLOCK_BYTES || !all_zero(block + used, BLOCK_BYTES - used)) {
		memset(block + used, 0, BLOCK_BYTES - used);
		got = pwrite(segment->fd, block, BLOCK_BYTES, at);
		rc = got == BLOCK_BYTES ? 1 : got < 0 ? -errno : -EIO;
	}
	free(block);
	return rc;
}

/* Behind the last batch may lie what a broken-off write left: part of a batch, or whole ones that
 * had overtaken it.  A later batch of the same size as the lost one would make them valid again.
 * After a clean stop there is nothing, and the index vouches for everything: no flush is needed. */
int segment_cut(struct segment *segment)
{
	uint64_t block_end = round_up(segment->end, BLOCK_BYTES);
	bool clean = segment->allocated_end == block_end && segment->checkpoint_end == segment->end;
	int rc = segment->unused ? write_header(segment) : 0;

	if (rc < 0)
		return rc;
	segment->unused = false;
	if (segment->allocated_end != block_end && ftruncate(segment->fd, (off_t)block_end) < 0)
		return -errno;
	rc = zero_block_rest(segment);
	if (rc < 0)
		return rc;
	/* What was found may be in the device's cache only, and the file's size is to be kept; its
	 * name too, where the broker was killed between making the segment and that. */
	if ((!clean || rc > 0) && (fsync(segment->fd) < 0 || fsync(segment->log->dir_fd) < 0))
		return -errno;
	segment->allocated_end = block_end;
	segment->shares_flush = flush_shares(segment->log->store, segment->fd);
	segment->settled_end = block_end;
	return 0;
}
