/* Reading from a segment's file.
 *
 * One aligned read into a heap buffer, from the index entry below the offset or from where the last
 * such read ended; what the reader leaves of the buffer serves the next read.  Each batch is
 * verified before it is given: clients need not look, and some do not.
 *
 * A reader that goes on where the last one ended will do so again.  So while it is served, what
 * comes next is read ahead: from the end of what it was given on, as much as it may take.  When it
 * asks for that it finds it there, or waits for the read under way.
 *
 *     file:    |  given: [begin, end)  |       read ahead       |
 *              ^ log.ahead, its buffer ^ log.coming, then log.ahead
 *
 * A log has one such place; of several sequential readers at different offsets the last wins. */
#include "storage/read_internal.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>

struct file_read {
	struct io io;
	struct log *log;
	struct log_read *read; /* null: ahead of its reader */
	struct segment *segment;
	struct buffer *buffer;
	uint64_t position; /* a batch begins here ... */
	int64_t expected;  /* ... with this offset, or one above where there may be gaps */
	uint64_t written;  /* of the segment when the read was submitted */
	unsigned tries;
	bool sequential; /* its reader goes on where the last one ended */
};

enum {
	TRIES_MAX = 4, /* from the index entry, at the batch in question, and that one whole */
	AHEAD_BYTES_MAX = 4 << 20,
	AHEAD_SHARE = 4, /* three quarters of the readers' memory are not for reading ahead */
};

static void file_read_free(struct file_read *f)
{
	buffer_release(f->log->store->region, f->buffer);
	free(f);
}

static void end_file_read(struct file_read *f, int rc)
{
	struct log_read *read = f->read;

	if (f->log->coming == f)
		f->log->coming = NULL;
	file_read_free(f);
	if (read)
		read->done(read, rc);
}

/* It is looked at, and quarantined, at the next housekeeping. */
static void meet_damage(struct file_read *f)
{
	f->segment->suspect = true;
	end_file_read(f, -ERR_CORRUPT);
}

/* What a reader is given of a buffer: from `begin` to `end`, and the offset behind it. */
struct given {
	uint64_t begin;
	uint64_t end;
	int64_t next_offset;
	bool records;          /* there are some */
	uint64_t record_count; /* once verified */
};

static const uint8_t *at_position(const struct buffer *buffer, uint64_t position)
{
	return buffer->data + (position - buffer->position);
}

static int64_t end_offset(const struct batch *batch)
{
	return batch->base_offset + batch->last_offset_delta + 1;
}

/* Fillers alone, that something else follows: its reader goes on behind them, as some clients take
 * an answer without records for one without room for a batch. */
static void pass_fillers(struct file_read *f, struct given *given)
{
	if (given->end)
		f->read->offset = given->next_offset;
	*given = (struct given){0};
}

/* At the segment's end, and nothing of what follows may be read. */
static bool nothing_follows(const struct file_read *f, uint64_t position, int64_t limit)
{
	return position >= f->segment->end && f->segment->next_offset >= limit;
}

/* Finds whole batches in the buffer from f->position on.  Returns the size of a first batch that
 * does not fit in the buffer, 0 when done, SIZE_MAX when what is there is no batch. */
static size_t find_batches(struct file_read *f, struct given *ret)
{
	const struct buffer *buffer = f->buffer;
	int64_t limit = read_limit(f->log, f->read);
	uint64_t position = f->position;
	int64_t expected = f->expected;
	uint64_t filled = buffer->position + buffer->used;
	struct batch batch;

	*ret = (struct given){0};
	for (;; position += batch.size, expected = end_offset(&batch)) {
		size_t left = position < filled ? (size_t)(filled - position) : 0;
		int rc = -EMSGSIZE;
		if (left >= BATCH_HEADER_BYTES)
			rc = batch_parse(&batch, at_position(buffer, position), left);
		if (left >= BATCH_HEADER_BYTES && ((rc < 0 && rc != -EMSGSIZE) ||
						   !segment_may_hold(f->segment, &batch, expected)))
			return ret->end ? 0 : SIZE_MAX;
		if (rc == -EMSGSIZE &&
		    (ret->records || (ret->end && nothing_follows(f, position, limit))))
			return 0;
		if (rc == -EMSGSIZE) {
			pass_fillers(f, ret);
			f->position = position;
			f->expected = expected;
			return left < BATCH_HEADER_BYTES ? READ_CHUNK_BYTES : batch.size;
		}
		if (end_offset(&batch) > limit)
			return 0;
		if (end_offset(&batch) <= f->read->offset)
			continue;
		if (!ret->records && !batch_is_filler(&batch))
			pass_fillers(f, ret);
		if (!ret->end)
			ret->begin = ret->end = position;
		if (!read_fits(f->read, position - ret->begin, batch.size))
			return 0;
		ret->end = position + batch.size;
		ret->next_offset = end_offset(&batch);
		ret->records |= !batch_is_filler(&batch);
	}
}

/* Of what was found only the batches before the first that is damaged.  False: that is the first.
 */
static bool verify_batches(const struct buffer *buffer, struct given *given)
{
	uint64_t position = given->begin;
	struct batch batch;

	for (; position < given->end; position += batch.size) {
		const uint8_t *data = at_position(buffer, position);
		if (batch_parse(&batch, data, (size_t)(given->end - position)) < 0 ||
		    !batch_crc_valid(&batch, data))
			break;
		given->next_offset = end_offset(&batch);
		given->record_count += (uint64_t)batch.record_count;
	}
	if (position == given->begin && given->end > given->begin)
		return false;
	given->end = position;
	return true;
}

static void keep(struct file_read *f, uint64_t position, int64_t offset)
{
	struct log *log = f->log;

	buffer_acquire(f->buffer);
	log_drop_ahead(log);
	log->ahead = f->buffer;
	log->ahead_ns = clock_monotonic_ns(log->store->clock);
	log->ahead_segment = f->segment;
	log->ahead_offset = offset;
	log->ahead_position = position;
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

static struct file_read *file_read_new(struct log *log, struct segment *segment);

/* With little room left a reader gets little. */
static size_t wanted_bytes(const struct log *log, const struct log_read *read)
{
	size_t room = buffer_heap_room(log->store->region);
	size_t bytes = read->bytes_max < room / 2 ? read->bytes_max : room / 2;

	return bytes < READ_CHUNK_BYTES ? READ_CHUNK_BYTES : bytes;
}

/* Behind what its reader is given, unless the buffer has most of that, or little memory is left. */
static void read_ahead(const struct file_read *f, const struct given *given)
{
	struct log *log = f->log;
	uint64_t filled = f->buffer->position + f->buffer->used;
	size_t length = wanted_bytes(log, f->read);

	if (length > AHEAD_BYTES_MAX)
		length = AHEAD_BYTES_MAX;
	if (given->end == given->begin || !f->sequential || log->coming ||
	    filled - given->end >= f->read->bytes_max ||
	    f->segment->written - given->end < BATCH_HEADER_BYTES ||
	    buffer_heap_room(log->store->region) / AHEAD_SHARE < length)
		return;
	struct file_read *coming = file_read_new(log, f->segment);
	if (!coming)
		return;
	coming->position = given->end;
	coming->expected = given->next_offset;
	coming->sequential = true;
	log->coming = coming;
	log->coming_offset = given->next_offset;
	start_file_read(coming, length);
}

static void give(struct file_read *f, struct given *given)
{
	const struct buffer *buffer = f->buffer;

	read_ahead(f, given); /* goes on while this is verified and sent */
	if (!verify_batches(buffer, given)) {
		meet_damage(f);
		return;
	}
	if (given->end > given->begin) {
		read_add_reference(f->read, f->log->store, f->buffer,
				   (size_t)(given->begin - buffer->position),
				   (size_t)(given->end - given->begin));
		f->read->records = given->record_count;
		keep(f, given->end, given->next_offset);
	}
	end_file_read(f, 0);
}

/* The buffer is filled around f->position: gives what it holds, or reads more. */
static void use_buffer(struct file_read *f)
{
	struct given given;
	size_t missing = find_batches(f, &given);

	if (missing == SIZE_MAX) {
		meet_damage(f);
	} else if (missing && in_last_gap(f)) {
		read_again(f, f->segment->next_offset);
	} else if (!missing) {
		give(f, &given);
	} else if (f->tries < TRIES_MAX && f->position < f->segment->written) {
		/* The batch goes on behind the buffer; once more with it at the front.  One at a
		 * durable offset has been written whole, so this ends; of another, which
		 * read_unflushed may ask for, only the rest may be in memory. */
		size_t wanted = wanted_bytes(f->log, f->read);
		start_file_read(f, missing > wanted ? missing : wanted);
	} else if (f->read->offset < f->log->durable_offset) {
		meet_damage(f);
	} else {
		end_file_read(f, 0);
	}
}

/* Read ahead, and nobody waits for it yet. */
static void keep_coming(struct file_read *f, int64_t offset, int result)
{
	if (result >= 0 && !f->segment->dead && !log_closing(f->log))
		keep(f, f->position, offset);
	if (f->segment->dead && !f->segment->readers)
		segment_free(f->segment);
	file_read_free(f);
}

static void take_result(struct file_read *f, int result)
{
	struct store *store = f->log->store;
	uint64_t most = f->written - f->buffer->position;

	/* What was not yet written may have been read as zeros. */
	f->buffer->used = (uint64_t)result < most ? (size_t)result : (size_t)most;
	store->stats.reads++;
	store->stats.read_bytes += (uint64_t)result;
}

static void file_read_done(struct io *io, int result)
{
	struct file_read *f = container_of(io, struct file_read, io);
	struct log *log = f->log;
	struct segment *segment = f->segment;

	segment->readers--;
	if (log->coming == f)
		log->coming = NULL;
	if (result >= 0)
		take_result(f, result);
	if (!f->read) {
		keep_coming(f, log->coming_offset, result);
	} else if (segment->dead && segment->replaced && !log_closing(log)) {
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

/* No memory, or a file that could not be opened, or its index not be had. */
static int refusal(int rc, bool compacting)
{
	if (rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS)
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
	if (!f->buffer && f->read) {
		drop_all_ahead(f->log->store);
		f->buffer = buffer_heap(f->log->store->region, bytes);
	}
	int fd = f->buffer ? segment_fd(f->segment) : -ENOBUFS;
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

static struct file_read *file_read_new(struct log *log, struct segment *segment)
{
	struct file_read *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->log = log;
	f->segment = segment;
	return f;
}

static bool continues_last(const struct log *log, const struct log_read *read,
			   const struct segment *segment)
{
	return log->ahead && log->ahead_segment == segment && log->ahead_offset == read->offset;
}

/* True: what it wants is on its way, and it is served when that has come. */
static bool awaits_coming(const struct log *log, struct log_read *read,
			  const struct segment *segment)
{
	struct file_read *coming = log->coming;

	if (!coming || coming->read || coming->segment != segment ||
	    log->coming_offset != read->offset)
		return false;
	coming->read = read;
	return true;
}

/* Where the batch is: goes on where the last reader ended, or looks it up.  False: it is over. */
static bool find_position(struct file_read *f)
{
	const struct log *log = f->log;

	if (continues_last(log, f->read, f->segment)) {
		f->position = log->ahead_position;
		f->expected = log->ahead_offset;
		f->sequential = true;
		return true;
	}
	int rc = segment_seek(f->segment, f->read->offset, &f->position, &f->expected);
	if (rc < 0)
		end_file_read(f, refusal(rc, f->segment->compacting));
	return rc == 0;
}

/* What was left, or read, has a batch's header at least. */
static bool has_ahead(const struct file_read *f)
{
	const struct buffer *ahead = f->log->ahead;

	return f->sequential && f->position + BATCH_HEADER_BYTES <= ahead->position + ahead->used;
}

static void read_segment(struct log *log, struct log_read *read, struct segment *segment)
{
	struct file_read *f = file_read_new(log, segment);

	if (!f) {
		read->done(read, -ENOMEM);
		return;
	}
	f->read = read;
	if (!find_position(f))
		return;
	if (has_ahead(f)) {
		f->buffer = log->ahead;
		buffer_acquire(f->buffer);
		log->store->stats.read_cache_hits++;
		use_buffer(f);
		return;
	}
	if (in_last_gap(f)) {
		read_again(f, segment->next_offset);
		return;
	}
	start_file_read(f, wanted_bytes(log, read));
}

/* Everything in it has been superseded by what follows. */
static bool emptied_at(const struct segment *segment, int64_t offset)
{
	return segment && segment->compacted && segment->end == SEGMENT_HEADER_BYTES &&
	       offset < segment->next_offset;
}

void read_file(struct log *log, struct log_read *read)
{
	struct segment *segment = log_segment_at(log, read->offset);

	/* Anew, as what follows may be lost. */
	if (emptied_at(segment, read->offset)) {
		while (emptied_at(segment, read->offset)) {
			read->offset = segment->next_offset;
			segment = log_segment_at(log, read->offset);
		}
		log_read(log, read);
		return;
	}
	if (!segment || segment->written == SEGMENT_HEADER_BYTES)
		read->done(read, segment ? 0 : -ERR_STORAGE);
	else if (!awaits_coming(log, read, segment))
		read_segment(log, read, segment);
}
