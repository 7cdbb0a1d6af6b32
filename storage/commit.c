/* From append to durable.
 *
 *     log_append      copies the batch behind the last one into the tail buffers, notes a mark
 *     store_submit    once a turn: writes what is new in every dirty log, one write a buffer in
 *                     flight; starts the next flush when none is under way
 *     written         moves segment->written; asks for a flush
 *     flush_start     (flush.c) ... moves segment->flushed
 *     commit_flushed  takes the marks below it: the high watermark rises,
 *                     acks=all waiters are answered, watchers wake
 *
 *     file    | header | batch | batch | ba|tch | batch |.......|
 *                                      flushed  written   end     allocated_end
 *     tail buffers               | buffer     | buffer    |
 *
 * There is no linger: a flush starts as soon as the one before has ended, with whatever has been
 * written by then.  The last block of a buffer is written again when more is appended to it: its
 * first part then holds the same bytes as before, so a torn write cannot hurt what was flushed.
 *
 * A write or flush that fails is not repeated.  The log stops accepting, waiters are told, and
 * after a pause an append has the tail read back from the disk and verified (commit_try_repair). */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ALLOCATE_FIRST_BYTES = 1 << 20,
	ALLOCATE_MOST_BYTES = 64 << 20,
};
static const uint64_t backoff_first_ns = NS_PER_SECOND;
static const uint64_t backoff_most_ns = 30 * NS_PER_SECOND;

/* ---- waiters and marks ---- */

static struct log_append *next_waiter(struct list *waiters)
{
	return list_empty(waiters) ? NULL : container_of(waiters->next, struct log_append, waiting);
}

static void end_waiters(struct list *waiters, int64_t below, int rc)
{
	struct log_append *append;

	while ((append = next_waiter(waiters)) && append->end_offset <= below) {
		list_remove(&append->waiting);
		append->done(append, rc);
	}
}

void commit_answer_repeats(struct store *store)
{
	end_waiters(&store->again, INT64_MAX, 0);
}

static int reserve_mark(struct log *log)
{
	if (log->mark_count < log->mark_capacity)
		return 0;
	size_t capacity = log->mark_capacity ? log->mark_capacity * 2 : 16;
	struct mark *marks = malloc(capacity * sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	for (size_t i = 0; i < log->mark_count; i++)
		marks[i] = log->marks[(log->mark_first + i) & (log->mark_capacity - 1)];
	free(log->marks);
	log->marks = marks;
	log->mark_capacity = capacity;
	log->mark_first = 0;
	return 0;
}

static void add_mark(struct log *log, struct segment *segment)
{
	check(log->mark_count < log->mark_capacity);
	log->marks[(log->mark_first + log->mark_count++) & (log->mark_capacity - 1)] =
		(struct mark){
			.segment = segment,
			.position = segment->end,
			.offset = segment->next_offset,
			.max_ms = segment->max_ms,
		};
}

void commit_want(struct log *log)
{
	if (!list_linked(&log->dirty))
		list_push_back(&log->store->dirty, &log->dirty);
}

/* ---- failure and repair ---- */

void log_drop_tail(struct log *log)
{
	struct list *node;

	while ((node = list_pop_front(&log->buffers))) {
		struct buffer *buffer = container_of(node, struct buffer, link);
		list_remove(&buffer->age);
		buffer_release(log->store->region, buffer);
	}
	log->write_head = NULL;
	log->mark_count = 0;
}

void commit_abandon(struct log *log, int rc)
{
	list_remove(&log->dirty);
	/* Nobody is shown, or told of, what may not be on the disk. */
	log->mark_count = 0;
	log->next_offset = log->durable_offset;
	end_waiters(&log->submit_waiters, INT64_MAX, rc);
	end_waiters(&log->durable_waiters, INT64_MAX, rc);
	dedup_files_end_trims(log, rc);
	log_wake_watches(log);
}

void commit_fail(struct log *log, int rc, const char *what)
{
	if (!log_writes(log))
		return;
	log_error("storage", "partition is read-only log=%s operation=%s error=\"%s\" durable=%lld",
		  log->name, what, error_text(rc), (long long)log->durable_offset);
	log->store->stats.failures++;
	log->backoff_ns = log->backoff_ns ? log->backoff_ns * 2 : backoff_first_ns;
	if (log->backoff_ns > backoff_most_ns)
		log->backoff_ns = backoff_most_ns;
	log->retry_ns = clock_monotonic_ns(log->store->clock) + log->backoff_ns;
	log->state = log->state == LOG_CLOSING ? LOG_ABANDONED : LOG_FAILED;
	/* A waiter may close the log. */
	log->io_count++;
	commit_abandon(log, -ERR_STORAGE);
	log->io_count--;
	log_finish_close(log);
}

/* What readers of the old life still hold goes with the last of them. */
static void retire_segments(struct list *segments)
{
	struct list *node;

	while ((node = list_pop_front(segments))) {
		struct segment *segment = container_of(node, struct segment, link);
		segment->dead = true;
		if (!segment->readers)
			segment_free(segment);
	}
}

/* Reads the log's folder as at a start; what is in memory stays until that has succeeded. */
static int verify(struct log *log, char *why, size_t why_bytes)
{
	struct list before;
	struct segment *active = log->active;
	struct epoch_start *epochs = log->epochs;
	size_t epoch_count = log->epoch_count;
	int64_t start = log->start_offset;
	int64_t durable = log->durable_offset;

	list_init(&before);
	list_move_all(&before, &log->segments);
	log->active = NULL;
	log->epochs = NULL;
	log->epoch_count = 0;
	int rc = log_recover(log, durable, why, why_bytes);
	if (rc == 0) {
		retire_segments(&before);
		free(epochs);
		return 0;
	}
	retire_segments(&log->segments);
	list_move_all(&log->segments, &before);
	free(log->epochs);
	log->epochs = epochs;
	log->epoch_count = epoch_count;
	log->active = active;
	log->start_offset = start;
	log->durable_offset = durable;
	log->next_offset = durable;
	return rc;
}

bool commit_try_repair(struct log *log)
{
	char why[160] = "";

	if (log->state != LOG_FAILED || log->io_count > log->reads_out ||
	    clock_monotonic_ns(log->store->clock) < log->retry_ns)
		return false;
	log_drop_tail(log);
	log_drop_ahead(log);
	int rc = verify(log, why, sizeof(why));
	if (rc < 0) {
		log_error("storage", "verification failed log=%s error=\"%s\" %s", log->name,
			  error_text(rc), why);
		log->backoff_ns = backoff_most_ns;
		log->retry_ns = clock_monotonic_ns(log->store->clock) + log->backoff_ns;
		return false;
	}
	log->state = LOG_WRITABLE;
	log_info("storage", "partition is writable again log=%s next=%lld", log->name,
		 (long long)log->next_offset);
	log_wake_watches(log);
	return true;
}

void commit_flushed(struct log *log)
{
	int64_t durable = log->durable_offset;

	while (log->mark_count) {
		const struct mark *mark = &log->marks[log->mark_first];
		struct segment *segment = mark->segment;
		if (mark->position > segment->flushed)
			break;
		segment->durable_end = mark->position;
		segment->durable_next_offset = mark->offset;
		segment->durable_max_ms = mark->max_ms;
		durable = mark->offset;
		log->mark_first = (log->mark_first + 1) & (log->mark_capacity - 1);
		log->mark_count--;
	}
	if (durable == log->durable_offset)
		return;
	log->durable_offset = durable;
	log->backoff_ns = 0;
	producers_durable(log);
	dedup_durable(log);
	end_waiters(&log->durable_waiters, durable, 0);
	log_wake_watches(log);
}

/* ---- write ---- */

static void advance_written(struct log *log)
{
	while (log->write_head) {
		struct buffer *buffer = log->write_head;
		uint64_t reached = buffer->position + buffer->written;
		log->store->unflushed_bytes += reached - buffer->segment->written;
		buffer->segment->written = reached;
		flush_want(buffer->segment);
		if (buffer->written < buffer->used || buffer->link.next == &log->buffers)
			return;
		log->write_head = container_of(buffer->link.next, struct buffer, link);
	}
}

static void written(struct io *io, int result)
{
	struct buffer *buffer = container_of(io, struct buffer, io);
	struct log *log = buffer->log;
	size_t from = round_down(buffer->written, BLOCK_BYTES);
	size_t wanted = round_up(buffer->writing_end, BLOCK_BYTES) - from;

	buffer->writing = false;
	if (result >= 0 && (size_t)result != wanted)
		result = -EIO; /* into allocated space a write is never short */
	if (result < 0) {
		commit_fail(log, result, "write");
	} else if (log_writes(log)) {
		buffer->written = buffer->writing_end;
		advance_written(log);
		if (buffer->used > buffer->written)
			commit_want(log);
	}
	buffer_release(log->store->region, buffer);
	log->io_count--;
	log_finish_close(log);
}

static void allocated(struct io *io, int result)
{
	struct segment *segment = container_of(io, struct segment, allocate);
	struct log *log = segment->log;

	segment->allocating = false;
	if (result == -EOPNOTSUPP) {
		/* The file system cannot: writes extend the file. */
		result = 0;
	}
	if (result == 0) {
		segment->allocated_end = segment->allocate.offset + segment->allocate.length;
		if (log_writes(log) && log->mark_count)
			commit_want(log);
	} else if (segment->end > segment->allocated_end) {
		commit_fail(log, result, "allocate");
	}
	log->io_count--;
	log_finish_close(log);
}

/* Keeps allocated room ahead of the appends. */
static void allocate_ahead(struct log *log)
{
	struct segment *segment = log->active;
	uint64_t used = segment->allocated_end - SEGMENT_HEADER_BYTES;
	uint64_t step = used < ALLOCATE_FIRST_BYTES ? ALLOCATE_FIRST_BYTES : used;

	if (step > ALLOCATE_MOST_BYTES)
		step = ALLOCATE_MOST_BYTES;
	if (segment->allocating || segment->end + step / 2 <= segment->allocated_end)
		return;
	uint64_t end = segment->allocated_end + step;
	uint64_t needed = round_up(segment->end, BLOCK_BYTES);
	uint64_t most = round_up(log->config.segment_bytes, BLOCK_BYTES) + SEGMENT_HEADER_BYTES;
	if (end > most)
		end = most;
	if (end < needed)
		end = needed;
	if (end <= segment->allocated_end)
		return;
	segment->allocating = true;
	log->io_count++;
	segment->allocate.done = allocated;
	io_allocate(log->store->io, &segment->allocate, segment->fd, segment->allocated_end,
		    end - segment->allocated_end);
}

/* False: something had to be left for later. */
static bool write_buffer(struct log *log, struct buffer *buffer)
{
	size_t from = round_down(buffer->written, BLOCK_BYTES);
	size_t to = round_up(buffer->used, BLOCK_BYTES);

	if (buffer->written == buffer->used)
		return true;
	if (buffer->writing)
		return buffer->writing_end == buffer->used;
	if (buffer->position + to > buffer->segment->allocated_end ||
	    prewrite_overlaps(buffer->segment, buffer->position + from, buffer->position + to))
		return false;
	/* Nothing of the buffer's earlier life goes to the disk. */
	memset(buffer->data + buffer->used, 0, to - buffer->used);
	buffer->writing = true;
	buffer->writing_end = buffer->used;
	buffer_acquire(buffer);
	log->io_count++;
	log->store->stats.writes++;
	log->store->stats.write_bytes += to - from;
	buffer->io.done = written;
	io_write(log->store->io, &buffer->io, buffer->segment->fd, buffer->data + from, to - from,
		 buffer->position + from);
	return true;
}

static void write_log(struct log *log)
{
	bool all = true;

	if (!log_writes(log) || !log->active)
		return;
	allocate_ahead(log);
	prewrite_ahead(log);
	for (struct list *node = log->write_head ? &log->write_head->link : &log->buffers;
	     node != &log->buffers; node = node->next)
		all &= write_buffer(log, container_of(node, struct buffer, link));
	if (all)
		end_waiters(&log->submit_waiters, INT64_MAX, 0);
}

void store_submit(struct store *store)
{
	struct list now;
	struct list *node;

	commit_answer_repeats(store);
	list_init(&now);
	list_move_all(&now, &store->dirty);
	while ((node = list_pop_front(&now)))
		write_log(container_of(node, struct log, dirty));
	flush_start(store);
	store->wall_ms = 0;
	store->now_ns = 0;
	store->stats.buffer_bytes = buffer_region_used(store->region);
}

/* ---- append ---- */

/* The buffer that appends go to. */
static struct buffer *last_buffer(const struct log *log)
{
	return list_empty(&log->buffers) ? NULL
					 : container_of(log->buffers.prev, struct buffer, link);
}

/* Frees the oldest tail buffers that are durable; not the last one of `keep`, which is about to be
 * appended to. */
static void evict(struct store *store, const struct log *keep)
{
	enum { AT_ONCE = 16 };
	unsigned freed = 0;
	bool kept = false;

	if (store->nothing_to_evict)
		return;
	list_foreach_safe(node, after, buffer_ages(store->region)) {
		struct buffer *buffer = container_of(node, struct buffer, age);
		struct log *log = buffer->log;
		bool last = last_buffer(log) == buffer;
		if (buffer->writing || buffer->written != buffer->used ||
		    buffer->position + buffer->used > buffer->segment->flushed)
			continue;
		if (last && log == keep) {
			kept = true;
			continue;
		}
		if (log->write_head == buffer)
			log->write_head =
				last ? NULL : container_of(buffer->link.next, struct buffer, link);
		list_remove(&buffer->link);
		list_remove(&buffer->age);
		buffer_release(store->region, buffer);
		if (++freed == AT_ONCE)
			return;
	}
	/* Until a flush ends, another walk would find no more. */
	store->nothing_to_evict = !freed && !kept;
}

/* For `bytes` more of the log.  A large piece waits for large buffers: cut into small ones it would
 * take sixteen writes, and the room of quiet logs. */
static struct buffer *add_buffer(struct log *log, bool large, size_t bytes)
{
	struct store *store = log->store;
	struct buffer *buffer = buffer_take(store->region, store->io, large);

	if (!buffer) {
		evict(store, log);
		buffer = buffer_take(store->region, store->io, large);
	}
	if (!buffer && bytes <= BUFFER_SMALL_BYTES)
		buffer = buffer_take(store->region, store->io, !large);
	if (!buffer)
		return NULL;
	buffer->log = log;
	buffer->segment = log->active;
	return buffer;
}

/* The last, half-filled block of a log just opened, as the tail to go on from. */
static int reload_tail(struct log *log)
{
	struct segment *segment = log->active;
	uint64_t position = round_down(segment->end, BLOCK_BYTES);

	struct buffer *buffer = add_buffer(log, false, BLOCK_BYTES);
	if (!buffer)
		return -ENOBUFS;
	buffer->position = position;
	buffer->used = buffer->written = (size_t)(segment->end - position);
	if (buffer->used) {
		ssize_t got = pread(segment->fd, buffer->data, BLOCK_BYTES, (off_t)position);
		if (got < (ssize_t)buffer->used) {
			buffer_release(log->store->region, buffer);
			return got < 0 ? -errno : -EIO;
		}
	}
	list_push_back(&log->buffers, &buffer->link);
	list_push_back(buffer_ages(log->store->region), &buffer->age);
	log->store->nothing_to_evict = false;
	log->write_head = buffer;
	return 0;
}

/* A segment that takes the batch: the active one or a new one. */
static int prepare_segment(struct log *log, size_t size)
{
	struct segment *active = log->active;

	if (active && active->end == SEGMENT_HEADER_BYTES)
		return 0;
	if (active) {
		int64_t age_ms = store_wall_ms(log->store) - active->created_ms;
		bool full = active->end + size > SEGMENT_HEADER_BYTES + log->config.segment_bytes;
		if (!full && age_ms <= log->config.segment_ms)
			return 0;
		/* Only the last segment may ever be found torn: recovery relies on it. */
		if (active->flushed < active->end)
			return -ENOBUFS;
		log_seal(log);
	}
	int rc = segment_create(log, log->next_offset);
	if (rc == -ENOBUFS)
		rc = -EIO; /* here it means something else */
	return rc;
}

/* Room for `size` bytes behind the tail; all or nothing. */
static int prepare_buffers(struct log *log, size_t size)
{
	struct buffer *last = last_buffer(log);
	bool fresh = !last || last->segment != log->active;
	struct list taken;
	size_t have = 0;

	if (!fresh && last->capacity - last->used >= size)
		return 0;
	list_init(&taken);
	if (fresh && log->active->end % BLOCK_BYTES) {
		int rc = reload_tail(log);
		if (rc < 0)
			return rc;
		last = last_buffer(log);
		fresh = false;
	}
	uint64_t position = fresh ? log->active->end : last->position + last->capacity;
	if (!fresh)
		have = last->capacity - last->used;
	while (have < size) {
		struct buffer *buffer = add_buffer(log, !fresh || size > BUFFER_SMALL_BYTES,
						   size - have);
		if (!buffer)
			goto full;
		buffer->position = position;
		position += buffer->capacity;
		have += buffer->capacity;
		fresh = false;
		list_push_back(&taken, &buffer->link);
	}
	while (!list_empty(&taken)) {
		struct buffer *buffer = container_of(list_pop_front(&taken), struct buffer, link);
		list_push_back(&log->buffers, &buffer->link);
		list_push_back(buffer_ages(log->store->region), &buffer->age);
		if (!log->write_head)
			log->write_head = buffer;
	}
	return 0;
full:
	while (!list_empty(&taken))
		buffer_release(log->store->region,
			       container_of(list_pop_front(&taken), struct buffer, link));
	return -ENOBUFS;
}

/* Buffers that the batch needs are there: the first with room. */
static struct buffer *first_with_room(const struct log *log)
{
	struct list *node = log->buffers.prev;

	while (node->prev != &log->buffers) {
		const struct buffer *before = container_of(node->prev, struct buffer, link);
		if (before->used == before->capacity || before->segment != log->active)
			break;
		node = node->prev;
	}
	return container_of(node, struct buffer, link);
}

static void copy_in(const struct log *log, const uint8_t *from, size_t size)
{
	struct buffer *buffer = first_with_room(log);

	for (;;) {
		size_t part = buffer->capacity - buffer->used;
		if (part > size)
			part = size;
		memcpy(buffer->data + buffer->used, from, part);
		buffer->used += part;
		from += part;
		size -= part;
		if (!size)
			return;
		buffer = container_of(buffer->link.next, struct buffer, link);
	}
}

/* Makes the header what is stored: our offset and epoch, our time where the topic wants it, and the
 * largest timestamp as the records have it. */
static void edit_header(const struct log *log, const struct batch *batch, int64_t append_time_ms,
			uint8_t *header, const uint8_t *records)
{
	batch_set_base(header, log->next_offset, log->identity.leader_epoch);
	if (append_time_ms >= 0)
		batch_set_append_time(header, append_time_ms);
	else if (batch_max_timestamp(header) != batch->max_timestamp)
		batch_set_max_timestamp(header, batch->max_timestamp);
	else
		return;
	uint32_t crc = crc32c(0, header + BATCH_CRC_START, BATCH_HEADER_BYTES - BATCH_CRC_START);
	crc = crc32c(crc, records, batch->size - BATCH_HEADER_BYTES);
	store_be32(header + 17, crc);
}

/* Into the tail buffers: nearly always in one piece, and then the header is edited where it lies.
 */
static void store_batch(const struct log *log, const uint8_t *data, const struct batch *batch,
			int64_t append_time_ms)
{
	struct buffer *buffer = first_with_room(log);
	uint8_t *to = buffer->data + buffer->used;
	uint8_t header[BATCH_HEADER_BYTES];

	if (buffer->first_offset < 0) {
		buffer->first_offset = log->next_offset;
		buffer->first_position = buffer->position + buffer->used;
	}
	if (batch->size <= buffer->capacity - buffer->used) {
		memcpy(to, data, batch->size);
		edit_header(log, batch, append_time_ms, to, to + BATCH_HEADER_BYTES);
		buffer->used += batch->size;
		return;
	}
	memcpy(header, data, sizeof(header));
	edit_header(log, batch, append_time_ms, header, data + BATCH_HEADER_BYTES);
	copy_in(log, header, sizeof(header));
	copy_in(log, data + BATCH_HEADER_BYTES, batch->size - BATCH_HEADER_BYTES);
}

/* All that can be refused is refused here. */
static int prepare(struct log *log, const struct batch *batch)
{
	size_t size = batch->size;

	if (size > log->config.segment_bytes)
		return -ERR_BATCH_OVER_SEGMENT;
	if (size > buffer_batch_bytes_max(log->store->region))
		return -ERR_TOO_LARGE;
	int rc = prepare_segment(log, size);
	if (rc < 0 && rc != -ENOBUFS) {
		commit_fail(log, rc, "segment");
		return -ERR_STORAGE;
	}
	if (rc == 0)
		rc = reserve_mark(log);
	if (rc == 0)
		rc = segment_reserve(log->active);
	if (rc == 0 && batch->producer_id >= 0)
		rc = producers_reserve(&log->producers, batch);
	if (rc == 0)
		rc = prepare_buffers(log, size);
	if (rc < 0 && rc != -ENOBUFS && rc != -ENOMEM) {
		commit_fail(log, rc, "tail");
		return -ERR_STORAGE;
	}
	return rc;
}

static void note_producer(struct log *log, const struct batch *stored,
			  const struct control_marker *marker)
{
	struct store *store = log->store;
	size_t before;

	if (stored->producer_id < 0)
		return;
	before = producers_count(&log->producers);
	producers_apply(&log->producers, stored, marker, store_now_ns(store));
	log->producers_changed = true;
	store->stats.producers += producers_count(&log->producers) - before;
	/* The log that grew gives up its own, but not who has just appended. */
	if (store->options.producers_total_max && before &&
	    producers_count(&log->producers) > before &&
	    store->stats.producers > store->options.producers_total_max &&
	    producers_forget_oldest(&log->producers, stored->producer_id)) {
		store->stats.producers--;
		store->stats.producers_forgotten++;
	}
}

/* A batch that is not stored, as the log has it, waits for that, among those that wait by rising
 * offset. */
static void wait_for_first(struct log *log, struct log_append *append, int64_t end_offset,
			   enum log_ack ack)
{
	struct list *before = log->durable_waiters.prev;

	append->end_offset = end_offset;
	append->ack = ack;
	if (end_offset <= log->durable_offset ||
	    (ack == ACK_SUBMITTED && !list_linked(&log->dirty))) {
		list_push_back(&log->store->again, &append->waiting);
		return;
	}
	if (ack == ACK_SUBMITTED) {
		list_push_back(&log->submit_waiters, &append->waiting);
		return;
	}
	while (before != &log->durable_waiters &&
	       container_of(before, struct log_append, waiting)->end_offset > end_offset)
		before = before->prev;
	list_push_front(before, &append->waiting);
}

/* What its producer has it be: 0: appended; else log_append's answer.  A marker that has nothing to
 * end waits for everything before it: what it would have ended may be among that. */
static int check_producer(struct log *log, const void *data, const struct batch *batch,
			  enum log_ack ack, struct log_append *append,
			  struct control_marker *ret_marker)
{
	bool control = batch->attributes & BATCH_CONTROL;
	int rc = control ? control_batch_read(ret_marker, data, batch) : 0;
	int64_t end_offset = log->next_offset;

	if (rc == 0)
		rc = producers_check(&log->producers, batch, &append->base_offset);
	if (rc <= 0)
		return rc;
	if (!control) {
		log->store->stats.duplicates++;
		end_offset = append->base_offset + batch->last_offset_delta + 1;
		append->base_offset = dedup_original(log, batch, append->base_offset, append->ids);
	}
	wait_for_first(log, append, end_offset, ack);
	return rc;
}

/* What the dedup window leaves of it, and room for that.  1: nothing. */
static int admit(struct log *log, const void *data, const struct batch *batch,
		 int64_t append_time_ms, enum log_ack ack, struct log_append *append,
		 struct dedup_verdict *ret)
{
	int rc = dedup_admit(log, data, batch, append_time_ms, append->ids, ret);

	if (rc > 0) {
		append->base_offset = ret->original;
		wait_for_first(log, append, ret->end, ack);
	}
	if (rc != 0)
		return rc;
	rc = prepare(log, &ret->batch);
	/* A log that has failed may be gone; what it remembers is made anew. */
	if (rc < 0 && rc != -ERR_STORAGE)
		dedup_withdraw(log, ret);
	return rc;
}

int log_append(struct log *log, const void *data, const struct batch *batch, int64_t append_time_ms,
	       enum log_ack ack, struct log_append *append)
{
	struct dedup_verdict admitted;
	struct control_marker marker;
	int rc;

	if (log_closing(log))
		return -ERR_CLOSING;
	if (log->state == LOG_FAILED && !commit_try_repair(log))
		return -ERR_STORAGE;
	rc = check_producer(log, data, batch, ack, append, &marker);
	if (rc == 0)
		rc = admit(log, data, batch, append_time_ms, ack, append, &admitted);
	if (rc != 0)
		return rc;
	struct batch stored = admitted.batch;
	/* Without records there is no time. */
	if (!stored.record_count)
		append_time_ms = -1;
	if (append_time_ms >= 0)
		stored.max_timestamp = append_time_ms;
	struct segment *segment = log->active;
	int64_t base_offset = log->next_offset;
	check(segment->next_offset == base_offset);
	stored.base_offset = base_offset;
	stored.leader_epoch = log->identity.leader_epoch;
	segment_add_batch(segment, &stored, segment->end);
	add_mark(log, segment);
	note_producer(log, &stored, stored.attributes & BATCH_CONTROL ? &marker : NULL);
	store_batch(log, admitted.data, &admitted.batch, append_time_ms);
	log->next_offset = segment->next_offset;
	dedup_appended(log, &admitted, stored.max_timestamp);
	append->base_offset = admitted.original >= 0 ? admitted.original : base_offset;
	append->end_offset = log->next_offset;
	append->ack = ack;
	list_push_back(ack == ACK_DURABLE ? &log->durable_waiters : &log->submit_waiters,
		       &append->waiting);
	commit_want(log);
	log->store->stats.appends++;
	log->store->stats.append_bytes += stored.size;
	if (log->config.read_unflushed)
		log_wake_watches(log);
	return 0;
}
