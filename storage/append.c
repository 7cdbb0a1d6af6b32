/* log_append: what may be appended, and what then changes.
 *
 *     refused by its producer's rules, or known -> (producers.h)
 *     known to the dedup window, wholly or in part -> (dedup_log.h)
 *     room: a segment, marks, the index, producers, tail buffers -> all of it, or nothing happened
 *     the segment, the mark, the producer, the tail and the window take it; nothing can fail now
 *
 * What then becomes of it is commit.c's. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>

/* What is to be compacted in time has to be closed first. */
static int64_t segment_age_max_ms(const struct log *log)
{
	const struct log_config *config = &log->config;

	if (config->compact.enabled && config->compact.max_lag_ms < config->segment_ms)
		return config->compact.max_lag_ms;
	return config->segment_ms;
}

/* A segment that takes the batch: the active one or a new one. */
static int prepare_segment(struct log *log, size_t size)
{
	struct segment *active = log->active;

	if (active && active->end == SEGMENT_HEADER_BYTES)
		return 0;
	if (log->making)
		return -ENOBUFS;
	if (active) {
		int64_t age_ms = store_wall_ms(log->store) - active->created_ms;
		bool full = active->end + size > SEGMENT_HEADER_BYTES + log->config.segment_bytes;
		if (!full && age_ms <= segment_age_max_ms(log))
			return 0;
		/* Only the last segment may ever be found torn: recovery relies on it. */
		if (active->flushed < active->end)
			return -ENOBUFS;
	}
	return segment_make_waits(log) ? -ENOBUFS : segment_make(log);
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
		rc = commit_reserve_mark(log);
	if (rc == 0)
		rc = segment_reserve(log->active);
	if (rc == 0 && batch->producer_id >= 0)
		rc = producers_reserve(&log->producers, batch);
	if (rc == 0)
		rc = tail_prepare(log, size);
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
	commit_add_mark(log, segment);
	note_producer(log, &stored, stored.attributes & BATCH_CONTROL ? &marker : NULL);
	tail_store(log, admitted.data, &admitted.batch, append_time_ms);
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
