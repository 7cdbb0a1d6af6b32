/* Writing zeros ahead of a log's end, so that its appends fall into blocks that were written
 * before.
 *
 *     file    | header | batches          | settled       | zeros →       | unwritten extents |
 *                                        end      settled_end   chunk in flight     allocated_end
 *
 * An append into an unwritten extent costs a conversion of the extent, hence a journal commit, with
 * each flush: twice the time of a small durable append (measured: 5.5 to 6.7 thousand 16 KiB
 * appends a second, one at a time, against 10.5 to 11.7).  An append into written blocks costs the
 * write, and shares the flush of the device with all other logs (flush.c).
 *
 * A step writes zeros in chunks, one in flight, then flushes the file once, or leaves that to the
 * log's next flush of it; what it covered is `settled` then.  Steps grow with the segment, from
 * PREWRITE_FIRST_BYTES to PREWRITE_MOST_BYTES. Zeros never hide or pass for a batch: recovery stops
 * at them.
 *
 * This costs every byte a second write, so only logs whose flushes cover little do it: zeros for
 * what one flush covers must cost less than the fdatasync that they save, and the log's share of
 * the round's journal commit.  A log that moves more needs the disk for its own bytes.  A log that
 * overtakes the zeros ends the step. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/whole.h"

#include <errno.h>
#include <unistd.h>

enum {
	PREWRITE_CHUNK_BYTES = 256 << 10,
	PREWRITE_MOST_BYTES = 4 << 20,
	PREWRITE_GROWTH = 4,              /* a step's size in that of the segment so far */
	PREWRITE_FILE_BYTES = 128 << 10,  /* zeros that cost what fdatasync of a file costs */
	PREWRITE_ROUND_BYTES = 256 << 10, /* ... what a journal commit costs */
	PREWRITES_AT_ONCE = 8,            /* of one store: the logs' own writes go first */
};

/* Never written: its pages are all the kernel's one page of zeros. */
static uint8_t zeros[PREWRITE_CHUNK_BYTES] __attribute__((aligned(BLOCK_BYTES)));

void prewrite_settled(struct segment *segment, uint64_t end, bool zeros_too)
{
	if (end > segment->settled_end)
		segment->settled_end = end;
	if (zeros_too) {
		if (segment->zeroed_start != segment->ahead_end)
			segment->ahead_start = segment->zeroed_start;
		segment->ahead_end = segment->zeroed_end;
		segment->zeroed_end = 0;
	}
	/* What is settled ahead may join it now. */
	if (segment->settled_end >= segment->ahead_start &&
	    segment->settled_end < segment->ahead_end)
		segment->settled_end = segment->ahead_end;
}

bool prewrite_overlaps(const struct segment *segment, uint64_t start, uint64_t end)
{
	const struct io *io = &segment->prewrite;

	return segment->prewriting == PREWRITE_ZEROS && start < io->offset + io->length &&
	       end > io->offset;
}

static void start_steps(struct store *store);

static void end_step(struct segment *segment)
{
	struct log *log = segment->log;
	struct store *store = log->store;

	segment->prewriting = PREWRITE_IDLE;
	store->prewrites_out--;
	log->io_count--;
	log_finish_close(log);
	start_steps(store);
}

static void step_settled(struct io *io, int result)
{
	struct segment *segment = container_of(io, struct segment, prewrite);

	/* As with any flush: what it was to cover is trusted no more. */
	if (result < 0)
		commit_fail(segment->log, result, "flush");
	else
		prewrite_settled(segment, 0, segment->zeroed_end != 0);
	end_step(segment);
}

/* A log that has overtaken what is settled flushes its file soon, and the zeros with it. */
static void settle_step(struct segment *segment)
{
	struct store *store = segment->log->store;

	segment->zeroed_start = segment->prewrite_start;
	segment->zeroed_end = segment->prewrite_at;
	if (segment->end > segment->settled_end) {
		end_step(segment);
		return;
	}
	store->stats.flushes++;
	segment->prewrite.done = step_settled;
	io_flush(store->io, &segment->prewrite, segment->file.fd);
}

static void next_chunk(struct segment *segment);

static void chunk_written(struct io *io, int result)
{
	struct segment *segment = container_of(io, struct segment, prewrite);
	struct log *log = segment->log;
	bool whole = result >= 0 && (size_t)result == segment->prewrite.length;

	segment->prewriting = PREWRITE_FLUSH;
	if (log_writes(log) && log->mark_count)
		commit_want(log); /* a write may have waited for the chunk */
	if (whole)
		segment->prewrite_at += (uint64_t)result;
	else
		segment->prewrite_end = segment->prewrite_at;
	next_chunk(segment);
}

/* The next piece of the step, or its end. */
static void next_chunk(struct segment *segment)
{
	struct log *log = segment->log;
	uint64_t at = segment->prewrite_at;
	uint64_t left = segment->prewrite_end - at;
	bool wanted = log->state == LOG_WRITABLE && segment == log->active;

	if (wanted && left && segment->end <= at) {
		segment->prewriting = PREWRITE_ZEROS;
		segment->prewrite.done = chunk_written;
		io_write(log->store->io, &segment->prewrite, segment->file.fd, zeros,
			 left < PREWRITE_CHUNK_BYTES ? (size_t)left : PREWRITE_CHUNK_BYTES, at);
	} else if (wanted && at > segment->prewrite_start) {
		settle_step(segment);
	} else {
		end_step(segment);
	}
}

/* The next step of the segment, if it is time for one. */
static bool plan_step(struct segment *segment)
{
	uint64_t used = segment->end - SEGMENT_HEADER_BYTES;
	uint64_t step = PREWRITE_GROWTH * round_up(used, BLOCK_BYTES);
	uint64_t start = segment->settled_end;

	if (segment->zeroed_end)
		return false; /* the last one is not settled yet */
	if (step < PREWRITE_FIRST_BYTES)
		step = PREWRITE_FIRST_BYTES;
	if (step > PREWRITE_MOST_BYTES)
		step = PREWRITE_MOST_BYTES;
	if (start < segment->ahead_end)
		start = segment->ahead_end;
	if (start >= segment->end + step / 2)
		return false;
	if (start < segment->end)
		start = round_up(segment->end, BLOCK_BYTES);
	uint64_t end = start + step < segment->allocated_end ? start + step
							     : segment->allocated_end;
	if (end <= start)
		return false;
	segment->prewrite_start = segment->prewrite_at = start;
	segment->prewrite_end = end;
	return true;
}

static void start_steps(struct store *store)
{
	while (store->prewrites_out < PREWRITES_AT_ONCE && !list_empty(&store->prewrites)) {
		struct segment *segment = container_of(list_pop_front(&store->prewrites),
						       struct segment, prewrite_link);
		struct log *log = segment->log;
		if (log->state != LOG_WRITABLE || segment != log->active || !plan_step(segment))
			continue;
		segment->prewriting = PREWRITE_FLUSH;
		store->prewrites_out++;
		log->io_count++;
		next_chunk(segment);
	}
}

static bool pays(const struct log *log)
{
	unsigned logs = log->store->round_logs ? log->store->round_logs : 1;

	return log->flush_bytes <= PREWRITE_FILE_BYTES + PREWRITE_ROUND_BYTES / logs;
}

void prewrite_ahead(struct log *log)
{
	struct segment *segment = log->active;
	struct store *store = log->store;

	if (!segment->shares_flush || segment->prewriting || !pays(log) ||
	    list_linked(&segment->prewrite_link) || !plan_step(segment))
		return;
	list_push_back(&store->prewrites, &segment->prewrite_link);
	start_steps(store);
}
