/* A checkpoint:
 *
 *     housekeeping ─> the logs that are due: an image of the index of what is durable
 *     job ──────────> written beside and renamed; the shard does not wait for the file system
 *     done ─────────> a start reads from there on
 *
 * A seal that comes meanwhile leaves its own to us, for the job would put the older one in its
 * place; repair and close wait for the job, as they write indexes too. */
#include "storage/checkpoint.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/segment_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
	UNVERIFIED_MAX_BYTES = 256 << 20, /* of a store */
	LOG_MOST_BYTES = 64 << 20,
	LOG_LEAST_BYTES = 1 << 20,
	INDEX_SHARE = 32, /* an index is written when so many times its size would be read */
	IDLE_LEAST_BYTES = 256 << 10,
	OUT_MAX = 16, /* jobs */
};
static const uint64_t idle_ns = 10 * NS_PER_SECOND;

struct checkpoint {
	struct store_job job;
	struct log *log;
	struct segment *segment;
	struct index_header *index;
	uint64_t end;
	int rc;
};

/* ---- the job ---- */

static uint64_t step(struct store_job *job)
{
	struct checkpoint *checkpoint = container_of(job, struct checkpoint, job);

	checkpoint->rc = segment_write_index(checkpoint->log, checkpoint->segment->base_offset,
					     checkpoint->index, "checkpoint.new");
	return STORE_JOB_DONE;
}

static void done(struct store_job *job)
{
	struct checkpoint *checkpoint = container_of(job, struct checkpoint, job);
	struct segment *segment = checkpoint->segment;
	struct log *log = checkpoint->log;

	log->store->checkpoints_out--;
	segment->indexing = false;
	if (checkpoint->rc == 0 && segment->checkpoint_end < checkpoint->end)
		segment->checkpoint_end = checkpoint->end;
	if (checkpoint->rc < 0)
		log_warn("storage", "index not written log=%s segment=%020" PRId64 " error=\"%s\"",
			 log->name, segment->base_offset, error_text(checkpoint->rc));
	/* Sealed meanwhile: it was left to us. */
	if (segment != log->active && log_writes(log)) {
		segment_checkpoint(segment);
		segment_index_may_go(segment);
	}
	free(checkpoint->index);
	free(checkpoint);
	log->io_count--;
	log_finish_close(log);
}

/* The log may be gone when it returns, if the job has been done at once and it is closing. */
static void start(struct log *log)
{
	struct store *store = log->store;
	struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
	struct index_header *index = segment_build_index(log->active);

	if (!checkpoint || !index) {
		free(checkpoint);
		free(index);
		return;
	}
	*checkpoint = (struct checkpoint){
		.job = {.step = step, .done = done},
		.log = log,
		.segment = log->active,
		.index = index,
		.end = index->end,
	};
	log->active->indexing = true;
	log->io_count++;
	store->checkpoints_out++;
	store_job_start(store, &checkpoint->job);
}

/* ---- what is due ---- */

static uint64_t unverified(const struct log *log)
{
	const struct segment *active = log->active;

	if (!active || log->state != LOG_WRITABLE)
		return 0;
	return active->durable_end -
	       (active->checkpoint_end ? active->checkpoint_end : SEGMENT_HEADER_BYTES);
}

static bool idle(struct segment *segment, uint64_t now_ns)
{
	if (segment->durable_end != segment->seen_end) {
		segment->seen_end = segment->durable_end;
		segment->seen_ns = now_ns;
	}
	return now_ns - segment->seen_ns >= idle_ns;
}

/* `share`: of what a store may have unverified. */
static bool due(struct log *log, uint64_t share, uint64_t now_ns)
{
	const uint64_t bytes = unverified(log);

	if (!bytes || log->active->indexing)
		return false;
	if (idle(log->active, now_ns) && bytes >= IDLE_LEAST_BYTES)
		return true;
	if (share < INDEX_SHARE * log->active->index_count * sizeof(struct index_entry))
		share = INDEX_SHARE * log->active->index_count * sizeof(struct index_entry);
	if (share < LOG_LEAST_BYTES)
		share = LOG_LEAST_BYTES;
	return bytes > (share < LOG_MOST_BYTES ? share : LOG_MOST_BYTES);
}

void checkpoint_housekeep(struct store *store)
{
	const uint64_t now_ns = clock_monotonic_ns(store->clock);
	uint64_t logs = 0;

	list_foreach(node, &store->logs)
		logs += unverified(container_of(node, struct log, link)) > IDLE_LEAST_BYTES;
	const uint64_t share = logs ? UNVERIFIED_MAX_BYTES / logs : LOG_MOST_BYTES;
	list_foreach_safe(node, after, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		if (store->checkpoints_out == OUT_MAX)
			return;
		if (!due(log, share, now_ns))
			continue;
		producers_checkpoint(log);
		start(log);
	}
}
