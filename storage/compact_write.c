/* The file is written through one aligned buffer, its header last: until it has that, and its name
 * after, it means nothing.
 *
 * Between batches there are no gaps: for offsets of which nothing is left stand batches without
 * records.  So each batch has the offset that the one before it says, and one whose offset is
 * damaged, which lies under no checksum, does not. */
#include "storage/compact_write.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/whole.h"
#include "storage/batch_build.h"
#include "storage/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };
static const char new_name[] = "compact.new";

int compact_writer_open(struct compact_writer *writer, struct log *log, int64_t base_offset,
			int64_t created_ms)
{
	check(!writer->segment);
	if (!writer->buffer)
		writer->buffer = aligned_alloc(BLOCK_BYTES, BUFFER_BYTES);
	writer->segment = writer->buffer ? segment_new(log, base_offset) : NULL;
	if (!writer->segment)
		return -ENOMEM;
	writer->fd = segment_open_file(log, new_name, O_RDWR | O_CREAT | O_TRUNC);
	if (writer->fd < 0) {
		int rc = writer->fd;
		compact_writer_discard(writer);
		return rc;
	}
	writer->segment->created_ms = created_ms;
	writer->used = 0;
	writer->position = SEGMENT_HEADER_BYTES;
	return 0;
}

/* What fills whole blocks, and at the end the rest too. */
static int flush_buffer(struct compact_writer *writer)
{
	size_t bytes = round_up(writer->used, BLOCK_BYTES);

	memset(writer->buffer + writer->used, 0, bytes - writer->used);
	int rc = whole_pwrite(writer->fd, writer->buffer, bytes, writer->position);
	writer->position += bytes;
	writer->used = 0;
	return rc;
}

static int append(struct compact_writer *writer, const void *data, const struct batch *batch)
{
	struct segment *segment = writer->segment;
	const uint8_t *from = data;
	size_t left = batch->size;
	int rc = segment_reserve(segment);

	if (rc == 0)
		segment_add_batch(segment, batch, segment->end);
	while (rc == 0 && left) {
		size_t part = BUFFER_BYTES - writer->used;
		if (part > left)
			part = left;
		memcpy(writer->buffer + writer->used, from, part);
		writer->used += part;
		from += part;
		left -= part;
		if (writer->used == BUFFER_BYTES)
			rc = flush_buffer(writer);
	}
	return rc;
}

/* Up to `offset`. */
static int fill_gap(struct compact_writer *writer, int64_t offset)
{
	const struct segment *segment = writer->segment;
	uint8_t filler[BATCH_HEADER_BYTES];
	struct batch batch;
	int rc = 0;

	while (rc == 0 && segment->next_offset < offset) {
		int64_t delta = offset - segment->next_offset - 1;
		batch_build_filler(filler, segment->next_offset,
				   delta < INT32_MAX ? (int32_t)delta : INT32_MAX,
				   writer->leader_epoch);
		batch_decode(&batch, filler);
		rc = append(writer, filler, &batch);
	}
	return rc;
}

void compact_writer_leave_out(struct compact_writer *writer, const struct batch *batch)
{
	writer->leader_epoch = batch->leader_epoch;
}

int compact_writer_add(struct compact_writer *writer, const void *data, const struct batch *batch)
{
	int rc = fill_gap(writer, batch->base_offset);

	writer->leader_epoch = batch->leader_epoch;
	return rc == 0 ? append(writer, data, batch) : rc;
}

int compact_writer_seal(struct compact_writer *writer, int64_t next_offset)
{
	struct segment *segment = writer->segment;
	/* One of which nothing is left stays empty. */
	int rc = segment->end == SEGMENT_HEADER_BYTES ? 0 : fill_gap(writer, next_offset);

	if (rc == 0)
		rc = flush_buffer(writer);
	if (rc < 0)
		return rc;
	segment->next_offset = next_offset;
	segment_compacted_header(segment, writer->buffer);
	rc = whole_pwrite(writer->fd, writer->buffer, SEGMENT_HEADER_BYTES, 0);
	if (rc == 0 && fsync(writer->fd) < 0)
		rc = -errno;
	segment->compacted = true;
	segment->extent_next = segment->durable_next_offset = next_offset;
	segment->extent_end = segment->durable_end = segment->end;
	segment->durable_max_ms = segment->max_ms;
	segment->written = segment->flushed = segment->end;
	segment->allocated_end = segment->settled_end = writer->position;
	return rc;
}

int compact_writer_commit(struct compact_writer *writer)
{
	const struct segment *segment = writer->segment;
	char name[SEGMENT_NAME_BYTES];

	segment_name(name, segment->base_offset, "log");
	return folder_rename(segment->log, new_name, name);
}

void compact_writer_discard(struct compact_writer *writer)
{
	if (!writer->segment)
		return;
	folder_unlink(writer->segment->log, new_name);
	if (writer->fd >= 0)
		close(writer->fd);
	segment_free(writer->segment);
	writer->segment = NULL;
}

void compact_writer_fini(struct compact_writer *writer)
{
	check(!writer->segment);
	free(writer->buffer);
	*writer = (struct compact_writer){0};
}
