/* One file of a partition's log, and its index.
 *
 *     NNNNNNNNNNNNNNNNNNNN.log   4096-byte header, then batches back to back
 *     NNNNNNNNNNNNNNNNNNNN.idx   what is derived of it: end, next offset, sparse index, checksum
 *
 * Byte by byte in README.md.  Here a segment is added to, sealed and given up; segment_make.c makes
 * new ones. */
#include "storage/segment_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

const char segment_magic[8] = "SLUICEsg";

void segment_name(char name[static SEGMENT_NAME_BYTES], int64_t base_offset, const char *ending)
{
	snprintf(name, SEGMENT_NAME_BYTES, "%020lld.%s", (long long)base_offset, ending);
}

/* Reads, writes, flushes and the like name the file until they have ended. */
static bool file_busy(struct open_file *file)
{
	const struct segment *segment = container_of(file, struct segment, file);

	return segment->readers || segment->allocating || segment->prewriting ||
	       segment->flushing || segment->flushed != segment->end;
}

/* An index that the disk has, to its end, can go with the file. */
static void file_closing(struct open_file *file)
{
	struct segment *segment = container_of(file, struct segment, file);

	if (!file->bytes)
		return;
	free(segment->index);
	segment->index = NULL;
	segment->index_count = segment->index_capacity = 0;
	segment->index_on_disk = true;
}

static const struct open_file_kind segment_file = {.busy = file_busy, .closing = file_closing};

struct segment *segment_new(struct log *log, int64_t base_offset)
{
	struct segment *segment = calloc(1, sizeof(*segment));

	if (!segment)
		return NULL;
	segment->log = log;
	open_file_init(&segment->file, &segment_file);
	segment->base_offset = base_offset;
	segment->next_offset = base_offset;
	segment->end = SEGMENT_HEADER_BYTES;
	segment->lost_from = -1;
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
	open_file_close(&segment->log->store->open_files, &segment->file);
	free(segment->index);
	free(segment->epochs);
	free(segment);
}

void segment_unlink_at(const struct log *log, int64_t base_offset)
{
	char name[SEGMENT_NAME_BYTES];

	segment_name(name, base_offset, "idx");
	folder_unlink(log, name);
	segment_name(name, base_offset, "log");
	folder_unlink(log, name);
}

void segment_unlink(struct segment *segment)
{
	segment_unlink_at(segment->log, segment->base_offset);
}

int segment_open_file(const struct log *log, const char *name, int flags)
{
	int direct = log->store->options.direct_io ? O_DIRECT : 0;
	int fd = folder_open_file(log, name, flags | direct);

	/* tmpfs (before Linux 6.6) and some others refuse O_DIRECT, and only after they have made
	 * the file: what was to be new is ours by then. */
	return fd == -EINVAL && direct ? folder_open_file(log, name, flags & ~O_EXCL) : fd;
}

/* A compaction may have put another in its place, and be about to say so. */
static int check_same(struct segment *segment, int fd)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return -errno;
	if (segment->inode && segment->inode != info.st_ino)
		return -ESTALE;
	segment->inode = info.st_ino;
	return 0;
}

int segment_keep_open(struct segment *segment, int fd)
{
	int rc = check_same(segment, fd);

	if (rc == 0)
		open_file_keep(&segment->log->store->open_files, &segment->file, fd);
	else
		close(fd);
	return rc;
}

int segment_open(struct segment *segment, int flags)
{
	struct open_files *files = &segment->log->store->open_files;
	char name[SEGMENT_NAME_BYTES];
	int fd;

	segment_name(name, segment->base_offset, "log");
	open_files_make_room(files);
	do {
		fd = segment_open_file(segment->log, name, O_RDWR | flags);
	} while ((fd == -EMFILE || fd == -ENFILE) && open_files_spare(files));
	return fd < 0 ? fd : segment_keep_open(segment, fd);
}

int segment_fd(struct segment *segment)
{
	int fd = open_file_use(&segment->log->store->open_files, &segment->file);
	int rc = fd < 0 ? segment_open(segment, 0) : 0;

	return rc < 0 ? rc : segment->file.fd;
}

/* ---- headers ---- */

static void fill_header(struct segment *segment, uint32_t version, uint8_t *block)
{
	const struct log *log = segment->log;
	struct segment_header header = {
		.version = version,
		.partition = log->identity.partition,
		.topic_id = log->identity.topic_id,
		.base_offset = segment->base_offset,
		.created_ms = segment->created_ms,
	};

	check(getrandom(&segment->id, sizeof(segment->id), 0) == sizeof(segment->id));
	header.id = segment->id;
	memcpy(header.magic, segment_magic, sizeof(header.magic));
	header.checksum = XXH3_64bits(&header, offsetof(struct segment_header, checksum));
	memset(block, 0, SEGMENT_HEADER_BYTES);
	memcpy(block, &header, sizeof(header));
}

void segment_compacted_header(struct segment *segment, uint8_t *block)
{
	struct segment_extent *extent =
		(struct segment_extent *)(block + sizeof(struct segment_header));

	fill_header(segment, SEGMENT_COMPACTED_VERSION, block);
	extent->next_offset = segment->next_offset;
	extent->end = segment->end;
	extent->checksum = XXH3_64bits(block, sizeof(struct segment_header) +
						      offsetof(struct segment_extent, checksum));
}

void segment_new_header(struct segment *segment, uint8_t *block)
{
	segment->created_ms = clock_wall_ms(segment->log->store->clock);
	fill_header(segment, SEGMENT_FORMAT_VERSION, block);
}

int segment_write_header(struct segment *segment)
{
	int fd = segment_fd(segment);
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);

	if (!block)
		return -ENOMEM;
	segment_new_header(segment, block);
	int rc = whole_pwrite(fd, block, SEGMENT_HEADER_BYTES, 0);
	free(block);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = -errno;
	return rc;
}

/* ---- the index in memory ---- */

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

/* What lies before it is known less well than what follows: a search by time that begins here, or
 * before it, misses nothing. */
int segment_add_entry(struct segment *segment, uint64_t position, int64_t offset)
{
	int needed = segment_need_index(segment);
	size_t at = 0;

	if (needed < 0)
		return needed;
	while (at < segment->index_count && segment->index[at].position < position)
		at++;
	if (position >= segment->end ||
	    (at < segment->index_count && segment->index[at].position == position))
		return 0;
	int rc = segment_reserve(segment);
	if (rc < 0)
		return rc;
	memmove(segment->index + at + 1, segment->index + at,
		(segment->index_count - at) * sizeof(*segment->index));
	segment->index[at] = (struct index_entry){
		.offset = offset,
		.position = position,
		.max_before_ms = at < segment->index_count ? segment->index[at + 1].max_before_ms
							   : segment->max_ms,
	};
	segment->index_count++;
	return 0;
}

int segment_seek(struct segment *segment, int64_t offset, uint64_t *ret_position,
		 int64_t *ret_offset)
{
	int rc = segment_need_index(segment);
	size_t low = 0;
	size_t high = segment->index_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (segment->index[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (rc < 0)
		return rc;
	*ret_position = low ? segment->index[low - 1].position : SEGMENT_HEADER_BYTES;
	*ret_offset = low ? segment->index[low - 1].offset : segment->base_offset;
	return 0;
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

void segment_index_may_go(struct segment *segment)
{
	size_t count = segment->index_count;

	if (segment->lost_from >= 0 || segment->checkpoint_end != segment->end ||
	    segment_fd(segment) < 0)
		return;
	struct index_entry *fitting = count ? realloc(segment->index, count * sizeof(*fitting))
					    : NULL;
	if (fitting) {
		segment->index = fitting;
		segment->index_capacity = count;
	}
	open_file_charge(&segment->log->store->open_files, &segment->file,
			 segment->index_capacity * sizeof(*segment->index));
}

void segment_seal(struct segment *segment)
{
	uint64_t end = round_up(segment->end, BLOCK_BYTES);

	check(segment->flushed == segment->end);
	/* Neither has to succeed: the index is made anew, and room that stays is only room.  A
	 * checkpoint that is under way sees to it when it is done. */
	if (!segment->indexing && segment->checkpoint_end != segment->end)
		segment_checkpoint(segment);
	if (segment->allocated_end > end && !segment->allocating && !segment->prewriting &&
	    ftruncate(segment_fd(segment), (off_t)end) == 0)
		segment->allocated_end = end;
	segment_index_may_go(segment);
}
