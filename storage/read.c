/* Reading whole batches at an offset.
 *
 * From the tail: when a tail buffer begins a batch at or below the offset, everything from there to
 * the end of the log lies in the buffers behind it; the reader gets references, no copy.  Where
 * readers hold so much of the tail already that appends might want for room, it gets a copy.
 * From the file: one aligned read into a heap buffer, from the index entry below the offset or from
 * where the last such read ended; what the reader leaves of the buffer serves the next read.  Each
 * batch is verified before it is given: clients need not look, and some do not.
 * Tail buffers are never given up for a reader of old data. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>

struct file_read {
	struct io io;
	struct log *log;
	struct log_read *read;
	struct segment *segment;
	struct buffer *buffer;
	uint64_t position; /* a batch begins here */
	uint64_t written;  /* of the segment when the read was submitted */
	unsigned tries;
};

/* From the index entry, at the batch in question, and that one whole. */
enum { TRIES_MAX = 4 };

static void finish(struct log_read *read, int rc)
{
	read->done(read, rc);
}

/* The reader is given nothing at or above it. */
static int64_t limit_of(const struct log *log, const struct log_read *read)
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

static bool add_reference(struct log_read *read, struct store *store, struct buffer *buffer,
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
		if (stop > position &&
		    !add_reference(read, log->store, buffer, (size_t)(position - buffer->position),
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
	add_reference(read, log->store, copy, 0, length);
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

static bool fits(const struct log_read *read, uint64_t taken, size_t size)
{
	return taken + size <= read->bytes_max || (taken == 0 && read->oversize_first);
}

/* Where the batches end that the reader may have, from the cursor on. */
static uint64_t batches_end(const struct log_read *read, struct tail_cursor c, uint64_t reachable)
{
	int64_t limit = limit_of(c.log, read);
	uint64_t begin = c.position;
	struct batch batch;

	while (tail_batch(&c, &batch)) {
		if (batch.base_offset + batch.last_offset_delta >= limit ||
		    c.position + batch.size > reachable ||
		    !fits(read, c.position - begin, batch.size))
			break;
		c.position += batch.size;
	}
	return c.position;
}

/* False: the file is to be read.  Else *ret_rc is log_read's. */
static bool read_tail(struct log *log, struct log_read *read, int *ret_rc)
{
	int64_t limit = limit_of(log, read);
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

/* ---- from the file ---- */

static void file_read_free(struct file_read *f)
{
	buffer_release(f->log->store->region, f->buffer);
	free(f);
}

static void end_file_read(struct file_read *f, int rc)
{
	struct log_read *read = f->read;

	file_read_free(f);
	finish(read, rc);
}

/* It is looked at, and quarantined, at the next housekeeping. */
static void meet_damage(struct file_read *f)
{
	f->segment->suspect = true;
	end_file_read(f, -ERR_CORRUPT);
}

/* Takes whole batches of the buffer from f->position on.  Returns the size of a first batch that
 * does not fit in the buffer, 0 when done, SIZE_MAX when what is there is no batch. */
static size_t take_batches(struct file_read *f, const struct buffer *buffer, uint64_t *ret_begin,
			   uint64_t *ret_end, int64_t *ret_next_offset)
{
	const struct log *log = f->log;
	int64_t limit = limit_of(log, f->read);
	uint64_t position = f->position;
	uint64_t begin = 0;
	struct batch batch;

	*ret_begin = *ret_end = 0;
	for (;; position += batch.size) {
		uint64_t filled = buffer->position + buffer->used;
		size_t left = position < filled ? (size_t)(filled - position) : 0;
		int rc = -EMSGSIZE;
		if (left >= BATCH_HEADER_BYTES)
			rc = batch_parse(&batch, buffer->data + (position - buffer->position),
					 left);
		if (left >= BATCH_HEADER_BYTES &&
		    ((rc < 0 && rc != -EMSGSIZE) || !segment_may_hold(f->segment, &batch)))
			return begin ? 0 : SIZE_MAX;
		if (rc == -EMSGSIZE) {
			f->position = begin ? f->position : position;
			return begin                       ? 0
			       : left < BATCH_HEADER_BYTES ? READ_CHUNK_BYTES
							   : batch.size;
		}
		int64_t last_offset = batch.base_offset + batch.last_offset_delta;
		if (last_offset >= limit)
			return 0;
		if (last_offset < f->read->offset)
			continue;
		if (!begin)
			begin = position;
		if (!fits(f->read, position - begin, batch.size))
			return 0;
		if (!batch_crc_valid(&batch, buffer->data + (position - buffer->position)))
			return *ret_end ? 0 : SIZE_MAX;
		*ret_begin = begin;
		*ret_end = position + batch.size;
		*ret_next_offset = last_offset + 1;
	}
}

static void remember(struct file_read *f, uint64_t end, int64_t next_offset)
{
	struct log *log = f->log;

	buffer_acquire(f->buffer);
	log_drop_ahead(log);
	log->ahead = f->buffer;
	log->ahead_ns = clock_monotonic_ns(log->store->clock);
	log->ahead_segment = f->segment;
	log->ahead_offset = next_offset;
	log->ahead_position = end;
}

static void start_file_read(struct file_read *f, size_t length);

/* From the beginning, at `offset`: what there was has been replaced, or has nothing more. */
static void read_again(struct file_read *f, int64_t offset)
{
	struct log *log = f->log;
	struct log_read *read = f->read;

	file_read_free(f);
	read->offset = offset;
	log_read(log, read);
}

/* The rest of a compacted segment's offsets are of records that are no more. */
static bool in_last_gap(const struct file_read *f)
{
	return f->segment->compacted && f->position >= f->segment->end;
}

/* The buffer is filled around f->position: gives what it holds, or reads more. */
static void use_buffer(struct file_read *f)
{
	uint64_t begin;
	uint64_t end;
	int64_t next_offset = -1;
	size_t missing = take_batches(f, f->buffer, &begin, &end, &next_offset);

	if (missing == SIZE_MAX) {
		meet_damage(f);
		return;
	}
	if (missing && in_last_gap(f)) {
		read_again(f, f->segment->next_offset);
		return;
	}
	if (missing) {
		/* The batch goes on behind the buffer; once more with it at the front.  One at a
		 * durable offset has been written whole, so this ends; of another, which
		 * read_unflushed may ask for, only the rest may be in memory. */
		if (f->tries < TRIES_MAX && f->position < f->segment->written)
			start_file_read(f, missing);
		else if (f->read->offset < f->log->durable_offset)
			meet_damage(f);
		else
			end_file_read(f, 0);
		return;
	}
	if (end > begin) {
		add_reference(f->read, f->log->store, f->buffer,
			      (size_t)(begin - f->buffer->position), (size_t)(end - begin));
		remember(f, end, next_offset);
	}
	end_file_read(f, 0);
}

static void file_read_done(struct io *io, int result)
{
	struct file_read *f = container_of(io, struct file_read, io);
	struct log *log = f->log;
	struct segment *segment = f->segment;

	segment->readers--;
	if (segment->dead && segment->replaced && !log_closing(log)) {
		if (!segment->readers)
			segment_free(segment);
		read_again(f, f->read->offset);
	} else if (segment->dead) {
		/* Retention overtook the reader, or a repair did, which read all anew. */
		bool deleted = f->read->offset < log->start_offset;
		if (!segment->readers)
			segment_free(segment);
		end_file_read(f, deleted ? -ERR_OFFSET_RANGE : -ERR_STORAGE);
	} else if (log_closing(log)) {
		end_file_read(f, -ERR_CLOSING);
	} else if (result < 0) {
		segment->suspect = true;
		end_file_read(f, -ERR_STORAGE);
	} else {
		/* What was not yet written may have been read as zeros. */
		uint64_t most = f->written - f->buffer->position;
		f->buffer->used = (uint64_t)result < most ? (size_t)result : (size_t)most;
		log->store->stats.reads++;
		log->store->stats.read_bytes += (uint64_t)result;
		use_buffer(f);
	}
	/* Counted until here, so that no callback above can end the log under us. */
	log->io_count--;
	log->reads_out--;
	log_finish_close(log);
}

/* What is kept for sequential readers goes before a reader is refused. */
static void drop_all_ahead(struct store *store)
{
	list_foreach(node, &store->logs)
		log_drop_ahead(container_of(node, struct log, link));
}

/* A file that could not be opened, or its index not be had. */
static int refusal(int rc, bool compacting)
{
	if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM)
		return -ENOBUFS; /* soon there may be */
	if (compacting && (rc == -ESTALE || rc == -ENOENT))
		return -ENOBUFS; /* soon what stands for it is known */
	return rc == -ERR_CORRUPT ? rc : -ERR_STORAGE;
}

static void start_file_read(struct file_read *f, size_t length)
{
	uint64_t position = round_down(f->position, BLOCK_BYTES);
	size_t bytes = round_up(length + BLOCK_BYTES, BLOCK_BYTES);

	if (bytes < READ_CHUNK_BYTES)
		bytes = READ_CHUNK_BYTES;
	f->tries++;
	f->written = f->segment->written;
	if (position + bytes > round_up(f->written, BLOCK_BYTES))
		bytes = (size_t)(round_up(f->written, BLOCK_BYTES) - position);
	buffer_release(f->log->store->region, f->buffer);
	f->buffer = buffer_heap(f->log->store->region, bytes);
	if (!f->buffer) {
		drop_all_ahead(f->log->store);
		f->buffer = buffer_heap(f->log->store->region, bytes);
	}
	if (!f->buffer) {
		end_file_read(f, -ENOBUFS);
		return;
	}
	int fd = segment_fd(f->segment);
	if (fd < 0) {
		end_file_read(f, refusal(fd, f->segment->compacting));
		return;
	}
	f->buffer->position = position;
	f->segment->readers++;
	f->log->io_count++;
	f->log->reads_out++;
	f->io.done = file_read_done;
	io_read(f->log->store->io, &f->io, fd, f->buffer->data, bytes, position);
}

static bool continues_last(const struct log *log, const struct log_read *read,
			   const struct segment *segment)
{
	return log->ahead && log->ahead_segment == segment && log->ahead_offset == read->offset;
}

static void read_file(struct log *log, struct log_read *read)
{
	struct segment *segment = log_segment_at(log, read->offset);

	/* Everything in it has been superseded by what follows. */
	while (segment && segment->compacted && segment->end == SEGMENT_HEADER_BYTES) {
		read->offset = segment->next_offset;
		segment = log_segment_at(log, read->offset);
	}
	if (!segment || segment->written == SEGMENT_HEADER_BYTES) {
		finish(read, segment ? 0 : -ERR_STORAGE);
		return;
	}
	struct file_read *f = calloc(1, sizeof(*f));
	if (!f) {
		finish(read, -ENOMEM);
		return;
	}
	f->log = log;
	f->read = read;
	f->segment = segment;
	if (continues_last(log, read, segment)) {
		f->position = log->ahead_position;
		struct buffer *ahead = log->ahead;
		if (f->position + BATCH_HEADER_BYTES <= ahead->position + ahead->used) {
			f->buffer = ahead;
			buffer_acquire(ahead);
			log->store->stats.read_cache_hits++;
			use_buffer(f);
			return;
		}
	} else {
		int rc = segment_seek(segment, read->offset, &f->position);
		if (rc < 0) {
			end_file_read(f, refusal(rc, segment->compacting));
			return;
		}
	}
	if (in_last_gap(f)) {
		read_again(f, segment->next_offset);
		return;
	}
	/* With little room left a reader gets little. */
	size_t room = buffer_heap_room(log->store->region);
	size_t length = read->bytes_max < room / 2 ? read->bytes_max : room / 2;
	start_file_read(f, length < READ_CHUNK_BYTES ? READ_CHUNK_BYTES : length);
}

void log_read(struct log *log, struct log_read *read)
{
	int rc = 0;

	read->vector_count = 0;
	read->bytes = 0;
	if (log_closing(log)) {
		finish(read, -ERR_CLOSING);
		return;
	}
	if (read->offset < log->start_offset || read->offset > log->next_offset) {
		finish(read, -ERR_OFFSET_RANGE);
		return;
	}
	if (quarantine_limit(&log->quarantine, read->offset, read->committed) <= read->offset) {
		finish(read, -ERR_CORRUPT);
		return;
	}
	if (read->offset >= limit_of(log, read) || read_tail(log, read, &rc)) {
		finish(read, rc);
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
}
