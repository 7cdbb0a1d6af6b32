/* What a segment's file holds, at a start and after a failure.
 *
 * An index is believed when its checksum and the segment's id fit and the last batches it tells of
 * are where it says; what lies behind them is read and verified.  Without an index that is the
 * whole segment.  A segment that holds less than its index vouches for is damaged. */
#include "storage/segment_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/file_window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

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
	if (header.version != SEGMENT_FORMAT_VERSION)
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
	struct index_header *file = segment->unused ? NULL : segment_read_index(segment);
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
	char name[SEGMENT_NAME_BYTES];
	int rc = -ENOMEM;

	if (!segment)
		return rc;
	segment_name(name, base_offset, "log");
	rc = segment_open_file(log, name, O_RDWR);
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
	int rc = segment->unused ? segment_write_header(segment) : 0;

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
