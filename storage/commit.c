/* From append to durable.
 *
 *     log_append      (append.c) copies the batch behind the last one into the tail, notes a mark
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
#include "base/errors.h"
#include "base/log.h"
#include "storage/compact.h"

#include <errno.h>
#include <stdlib.h>

enum {
	ALLOCATE_FIRST_BYTES = 64 << 10, /* so that thousands of quiet partitions take little */
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

int commit_grow_marks(struct log *log)
{
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

void commit_add_mark(struct log *log, struct segment *segment)
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
	compact_stop(log);
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
	struct quarantine quarantine = log->quarantine;

	list_init(&before);
	list_move_all(&before, &log->segments);
	log->active = NULL;
	log->epochs = NULL;
	log->epoch_count = 0;
	log->quarantine = (struct quarantine){0};
	int rc = log_recover(log, durable, why, why_bytes);
	if (rc == 0) {
		retire_segments(&before);
		quarantine_fini(&quarantine);
		free(epochs);
		return 0;
	}
	retire_segments(&log->segments);
	list_move_all(&log->segments, &before);
	quarantine_fini(&log->quarantine);
	log->quarantine = quarantine;
	log_count_quarantine(log);
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
	tail_drop(log);
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
	io_allocate(log->store->io, &segment->allocate, segment->file.fd, segment->allocated_end,
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
	io_write(log->store->io, &buffer->io, buffer->segment->file.fd, buffer->data + from,
		 to - from, buffer->position + from);
	return true;
}

static void write_log(struct log *log)
{
	bool all = true;

	if (!log_writes(log) || !log->active)
		return;
	int fd = segment_fd(log->active);
	if (fd < 0) {
		commit_fail(log, fd, "open");
		return;
	}
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
	store->stats.files_open = store->open_files.count;
	store->stats.index_bytes = store->open_files.bytes;
}
