/* Reading whole batches at an offset: from the tail, or else from the file (read_file.c).
 *
 * When a tail buffer begins a batch at or below the offset, everything from there to the end of the
 * log lies in the buffers behind it; the reader gets references, no copy.  Where readers hold so
 * much of the tail already that appends might want for room, it gets a copy.
 * Tail buffers are never given up for a reader of old data. */
#include "storage/read_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>

int64_t read_limit(const struct log *log, const struct log_read *read)
{
	int64_t end = read->committed ? log_last_stable_offset(log) : log_high_watermark(log);
	int64_t sound = quarantine_limit(&log->quarantine, read->offset, read->committed);

	return end < sound ? end : sound;
}

/* ---- from the tail ---- */

struct tail_cursor {
	const struct log *log;
	struct buffer *buffer;
	uint64_t position;
};

static struct buffer *next_in_segment(const struct log *log, const struct buffer *buffer)
{
	if (buffer->link.next == &log->buffers)
		return NULL;
	struct buffer *next = container_of(buffer->link.next, struct buffer, link);
	return next->segment == buffer->segment && next->position == buffer->position + buffer->used
		       ? next
		       : NULL;
}

/* Copies a header that may lie across buffers; false: not all there. */
static bool peek_header(const struct log *log, const struct buffer *buffer, uint64_t position,
			uint8_t header[static BATCH_HEADER_BYTES])
{
	size_t have = 0;

	while (buffer && have < BATCH_HEADER_BYTES) {
		size_t at = (size_t)(position + have - buffer->position);
		if (at < buffer->used) {
			size_t part = buffer->used - at;
			if (part > BATCH_HEADER_BYTES - have)
				part = BATCH_HEADER_BYTES - have;
			memcpy(header + have, buffer->data + at, part);
			have += part;
		}
		buffer = next_in_segment(log, buffer);
	}
	return have == BATCH_HEADER_BYTES;
}

/* The batch at the cursor; false: the end of what is in memory. */
static bool tail_batch(struct tail_cursor *c, struct batch *ret)
{
	uint8_t header[BATCH_HEADER_BYTES];

	while (c->buffer && c->position >= c->buffer->position + c->buffer->used)
		c->buffer = next_in_segment(c->log, c->buffer);
	if (!c->buffer || !peek_header(c->log, c->buffer, c->position, header))
		return false;
	int rc = batch_parse(ret, header, sizeof(header));
	check(rc == 0 || rc == -EMSGSIZE);
	return true;
}

static struct buffer *tail_buffer_below(const struct log *log, int64_t offset)
{
	for (struct list *node = log->buffers.prev; node != &log->buffers; node = node->prev) {
		struct buffer *buffer = container_of(node, struct buffer, link);
		if (buffer->first_offset >= 0 && buffer->first_offset <= offset)
			return buffer;
	}
	return NULL;
}

bool read_add_reference(struct log_read *read, struct store *store, struct buffer *buffer,
			size_t at, size_t length)
{
	if (read->vector_count == LOG_READ_VECTORS ||
	    !buffer_acquire_for_reader(store->region, buffer))
		return false;
	read->held[read->vector_count] = buffer;
	read->vectors[read->vector_count++] = (struct iovec){.iov_base = buffer->data + at,
							     .iov_len = length};
	read->bytes += length;
	return true;
}

/* False: it would hold too much; nothing is held. */
static bool reference_range(struct log_read *read, const struct log *log, struct buffer *buffer,
			    uint64_t position, uint64_t end)
{
	while (buffer && position < end) {
		uint64_t stop = buffer->position + buffer->used;
		if (stop > end)
			stop = end;
		if (stop > position && !read_add_reference(read, log->store, buffer,
							   (size_t)(position - buffer->position),
							   (size_t)(stop - position))) {
			log_read_release(log->store, read);
			return false;
		}
		position = stop;
		buffer = next_in_segment(log, buffer);
	}
	return true;
}

static int copy_range(struct log_read *read, const struct log *log, const struct buffer *buffer,
		      uint64_t position, uint64_t end)
{
	size_t length = (size_t)(end - position);
	struct buffer *copy;

	if (!length)
		return 0;
	copy = buffer_heap(log->store->region, round_up(length, BLOCK_BYTES));
	if (!copy)
		return -ENOBUFS;
	while (copy->used < length) {
		size_t at = (size_t)(position + copy->used - buffer->position);
		size_t part = buffer->used - at;
		if (part > length - copy->used)
			part = length - copy->used;
		memcpy(copy->data + copy->used, buffer->data + at, part);
		copy->used += part;
		buffer = next_in_segment(log, buffer);
	}
	read_add_reference(read, log->store, copy, 0, length);
	buffer_release(log->store->region, copy);
	return 0;
}

/* Vectors from `buffer` up to `end`, as many as there are places for. */
static uint64_t reachable_end(const struct log *log, const struct buffer *buffer, unsigned places)
{
	uint64_t end = 0;

	for (unsigned i = 0; buffer && i < places; i++) {
		end = buffer->position + buffer->used;
		buffer = next_in_segment(log, buffer);
	}
	return end;
}

/* Where the batches end that the reader may have, from the cursor on; their records are counted. */
static uint64_t batches_end(struct log_read *read, struct tail_cursor c, uint64_t reachable)
{
	int64_t limit = read_limit(c.log, read);
	uint64_t begin = c.position;
	struct batch batch;

	read->records = 0;
	while (tail_batch(&c, &batch)) {
		if (batch.base_offset + batch.last_offset_delta >= limit ||
		    c.position + batch.size > reachable ||
		    !read_fits(read, c.position - begin, batch.size))
			break;
		c.position += batch.size;
		read->records += (uint64_t)batch.record_count;
	}
	return c.position;
}

/* False: the file is to be read.  Else *ret_rc is log_read's. */
static bool read_tail(struct log *log, struct log_read *read, int *ret_rc)
{
	int64_t limit = read_limit(log, read);
	struct buffer *start = tail_buffer_below(log, read->offset);
	struct batch batch;

	if (!start)
		return false;
	struct tail_cursor c = {.log = log, .buffer = start, .position = start->first_position};
	for (;;) {
		if (!tail_batch(&c, &batch))
			return false;
		if (batch.base_offset + batch.last_offset_delta >= read->offset)
			break;
		c.position += batch.size;
	}
	uint64_t begin = c.position;
	uint64_t reachable = reachable_end(log, c.buffer, LOG_READ_VECTORS);
	uint64_t end = batches_end(read, c, reachable);
	/* One batch in more buffers than an answer may refer to: the file has it in one piece. */
	if (end == begin && begin + batch.size > reachable &&
	    batch.base_offset + batch.last_offset_delta < limit)
		return false;
	*ret_rc = 0;
	log->store->stats.tail_hits++;
	if (reference_range(read, log, c.buffer, begin, end))
		return true;
	if (end - begin > READ_CHUNK_BYTES) {
		read->bytes_max = READ_CHUNK_BYTES;
		end = batches_end(read, c, reachable);
	}
	*ret_rc = copy_range(read, log, c.buffer, begin, end);
	return true;
}

void log_read(struct log *log, struct log_read *read)
{
	int rc = 0;

	read->vector_count = 0;
	read->bytes = 0;
	read->records = 0;
	if (log_closing(log)) {
		read->done(read, -ERR_CLOSING);
		return;
	}
	if (read->offset < log->start_offset || read->offset > log->next_offset) {
		read->done(read, -ERR_OFFSET_RANGE);
		return;
	}
	if (quarantine_limit(&log->quarantine, read->offset, read->committed) <= read->offset) {
		read->done(read, -ERR_CORRUPT);
		return;
	}
	if (read->offset >= read_limit(log, read) || read_tail(log, read, &rc)) {
		read->done(read, rc);
		return;
	}
	read_file(log, read);
}

void log_read_release(struct store *store, struct log_read *read)
{
	for (unsigned i = 0; i < read->vector_count; i++) {
		buffer_release_of_reader(store->region, read->held[i]);
		read->held[i] = NULL;
	}
	read->vector_count = 0;
	read->bytes = 0;
	read->records = 0;
}
