/* Compaction, as the shard sees it.
 *
 *     housekeep    the log with the largest dirty part, if that is large enough or old enough
 *     step ...     the background: compact_pass.c
 *     placed       a new segment has the name of those it was made of: it takes their place here;
 *                  who reads an old one at the moment reads again (read.c)
 *     over         the log is compacted up to an offset, or it was given up
 *
 * How far: closed segments, all below the last stable offset, whose records are old enough
 * (min.compaction.lag.ms); not beyond a flushed snapshot of the producers, nor beyond what files of
 * the dedup window cover: what a start has to learn of them it learns there, not from these
 * segments. */
#include "storage/compact.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/compact_file.h"
#include "storage/compact_internal.h"
#include "storage/dedup_files.h"
#include "storage/segment_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const uint64_t retry_after_ns = 60 * NS_PER_SECOND;

/* ---- how far ---- */

static bool young(const struct log *log, const struct segment *segment, int64_t now_ms)
{
	int64_t newest_ms = segment->max_ms > 0 ? segment->max_ms : segment->created_ms;

	return log->config.compact.min_lag_ms > 0 &&
	       now_ms - newest_ms < log->config.compact.min_lag_ms;
}

static bool compactable(const struct log *log, const struct segment *segment, int64_t now_ms)
{
	return segment_deletable(log, segment) &&
	       segment->next_offset <= log_last_stable_offset(log) && !young(log, segment, now_ms);
}

/* Of the first `count` segments those that a start need not read for what is remembered of them; 0
 * where none of them is dirty. */
static size_t covered(struct log *log, size_t count)
{
	size_t done = 0;
	bool dirty = false;

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (done == count || producers_reach(log, segment) <= 0 ||
		    dedup_files_reach(log, segment->next_offset) <= 0)
			break;
		done++;
		dirty = segment->next_offset > log->clean_offset;
	}
	return dirty ? done : 0;
}

struct candidate {
	struct log *log;
	size_t count;  /* segments, from the first on */
	double wanted; /* the dirty part of them; above 1: it has to be */
};

static struct candidate look_at(struct log *log, int64_t now_ms)
{
	const struct compact_config *config = &log->config.compact;
	struct candidate candidate = {.log = log};
	uint64_t bytes = 0;
	uint64_t dirty_bytes = 0;
	bool overdue = false;

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		if (!compactable(log, segment, now_ms))
			break;
		candidate.count++;
		bytes += segment->end;
		if (segment->next_offset <= log->clean_offset)
			continue;
		dirty_bytes += segment->end;
		if (now_ms - segment->created_ms > config->max_lag_ms)
			overdue = true;
	}
	if (!dirty_bytes)
		return (struct candidate){0};
	candidate.wanted = (double)dirty_bytes / (double)bytes;
	if (overdue)
		candidate.wanted += 1;
	return candidate.wanted >= config->min_dirty_ratio ? candidate : (struct candidate){0};
}

static bool may_compact(const struct log *log, uint64_t now_ns)
{
	return log->config.compact.enabled && log->state == LOG_WRITABLE && !log->compact_broken &&
	       !log->quarantine.count && !scrub_wants(log) && now_ns >= log->compact_retry_ns;
}

static struct candidate choose(struct store *store, uint64_t now_ns)
{
	int64_t now_ms = clock_wall_ms(store->clock);
	struct candidate best = {0};

	list_foreach(node, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		if (!may_compact(log, now_ns))
			continue;
		struct candidate candidate = look_at(log, now_ms);
		if (candidate.count && candidate.wanted > best.wanted)
			best = candidate;
	}
	return best;
}

/* ---- beginning ---- */

static void compaction_free(struct compaction *c)
{
	if (!c)
		return;
	compact_writer_fini(&c->writer);
	for (size_t i = 0; i < c->source_count; i++)
		free(c->sources[i].epochs);
	free(c->sources);
	free(c->aborted);
	free(c->remembered);
	free(c);
}

static int copy_epochs(struct compact_source *source)
{
	const size_t bytes = source->segment->epoch_count * sizeof(*source->epochs);

	source->epochs = malloc(bytes + 1);
	if (!source->epochs)
		return -ENOMEM;
	source->epoch_count = source->segment->epoch_count;
	if (bytes)
		memcpy(source->epochs, source->segment->epochs, bytes);
	return 0;
}

static int copy_sources(struct compaction *c, size_t count)
{
	int rc = 0;

	c->sources = calloc(count, sizeof(*c->sources));
	if (!c->sources)
		return -ENOMEM;
	list_foreach(node, &c->log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (c->source_count == count || rc < 0)
			break;
		struct compact_source *source = &c->sources[c->source_count++];
		*source = (struct compact_source){
			.segment = segment,
			.base_offset = segment->base_offset,
			.next_offset = segment->next_offset,
			.end = segment->end,
			.created_ms = segment->created_ms,
			.gaps = segment->gaps,
		};
		rc = copy_epochs(source);
	}
	return rc;
}

static int by_first_offset(const void *a, const void *b)
{
	const struct aborted_transaction *x = a;
	const struct aborted_transaction *y = b;
	return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

static int copy_aborted(struct compaction *c)
{
	int64_t from = c->sources[0].base_offset;
	int64_t below = c->sources[c->source_count - 1].next_offset;
	size_t count = log_aborted(c->log, from, below, NULL, 0);

	c->aborted = calloc(count + 1, sizeof(*c->aborted));
	if (!c->aborted)
		return -ENOMEM;
	c->aborted_count = log_aborted(c->log, from, below, c->aborted, count);
	qsort(c->aborted, c->aborted_count, sizeof(*c->aborted), by_first_offset);
	return 0;
}

static struct compact_producer remembered(const struct producer *producer)
{
	struct compact_producer copy = {
		.id = producer->id,
		.epoch = producer->epoch,
		.remembered = true,
		.oldest_offset = INT64_MAX,
		.aborted_from = -1,
	};

	for (unsigned i = 0; i < producer->batch_count; i++) {
		if (producer->batches[i].base_offset < copy.oldest_offset)
			copy.oldest_offset = producer->batches[i].base_offset;
	}
	return copy;
}

static int copy_producers(struct compaction *c)
{
	const struct producers *producers = &c->log->producers;
	const struct list *lists[] = {&producers->open, &producers->by_age};

	c->remembered = calloc(producers_count(producers) + 1, sizeof(*c->remembered));
	if (!c->remembered)
		return -ENOMEM;
	for (unsigned i = 0; i < 2; i++) {
		list_foreach(node, lists[i])
			c->remembered[c->remembered_count++] =
				remembered(container_of(node, struct producer, link));
	}
	return 0;
}

static struct compaction *compaction_new(const struct candidate *candidate)
{
	struct compaction *c = calloc(1, sizeof(*c));
	struct log *log = candidate->log;
	const struct store_options *options = &log->store->options;

	if (!c)
		return NULL;
	c->log = log;
	c->fd = c->window.fd = -1;
	c->dirty_from = c->clean_before = log->clean_offset;
	c->now_ms = clock_wall_ms(log->store->clock);
	c->delete_retention_ms = log->config.compact.delete_retention_ms;
	c->group_bytes_max = log->config.segment_bytes;
	c->bytes_per_second = options->compact_bytes_per_second;
	c->map_bytes_max = options->compact_map_bytes;
	if (copy_sources(c, candidate->count) < 0 || copy_aborted(c) < 0 || copy_producers(c) < 0) {
		compaction_free(c);
		return NULL;
	}
	return c;
}

static void set_compacting(struct compaction *c, bool compacting)
{
	for (size_t i = 0; i < c->source_count; i++) {
		if (c->sources[i].segment)
			c->sources[i].segment->compacting = compacting;
	}
}

/* ---- what comes back ---- */

/* The new segment stands where those were that it was made of. */
static void place(struct compaction *c)
{
	struct log *log = c->log;
	struct segment *fresh = c->writer.segment;

	c->writer.segment = NULL;
	open_files_make_room(&log->store->open_files);
	segment_keep_open(fresh, c->writer.fd); /* or it is opened when it is needed */
	list_push_back(&c->sources[c->group_first].segment->link, &fresh->link);
	for (size_t i = c->group_first; i < c->group_end; i++) {
		c->sources[i].segment->replaced = true;
		log_retire_segment(log, c->sources[i].segment);
		c->sources[i].segment = NULL;
	}
	/* Needs not succeed: it is made anew at the next start. */
	segment_checkpoint(fresh);
	segment_index_may_go(fresh);
}

static void add_stats(const struct compaction *c)
{
	struct store_stats *stats = &c->log->store->stats;

	stats->compactions += c->rc == 0;
	stats->compact_read_bytes += c->stats.read_bytes;
	stats->compact_written_bytes += c->stats.written_bytes;
	stats->compact_removed_bytes += c->stats.removed_bytes;
	stats->compact_removed_records += c->stats.removed_records;
}

static void tell(struct compaction *c)
{
	struct log *log = c->log;

	if (c->rc == 0) {
		log->clean_offset = c->map_end;
		log_info("storage",
			 "compacted log=%s clean=%" PRId64 " read=%" PRIu64 " written=%" PRIu64
			 " removed=%" PRIu64 " records=%" PRIu64 " removed_records=%" PRIu64,
			 log->name, c->map_end, c->stats.read_bytes, c->stats.written_bytes,
			 c->stats.removed_bytes, c->stats.records, c->stats.removed_records);
		return;
	}
	if (c->rc == -ECANCELED)
		return;
	log->compact_broken = c->rc == -ERR_CORRUPT || c->phase == COMPACT_PLACED;
	/* The scrub says what is lost. */
	if (c->rc == -ERR_CORRUPT && c->source < c->source_count && c->sources[c->source].segment)
		c->sources[c->source].segment->suspect = true;
	log->compact_retry_ns = clock_monotonic_ns(log->store->clock) + retry_after_ns;
	log_error("storage", "not compacted log=%s error=\"%s\" %s", log->name, error_text(c->rc),
		  c->why);
}

static void over(struct compaction *c)
{
	struct log *log = c->log;

	tell(c);
	add_stats(c);
	compaction_free(c);
	log->store->compaction = NULL;
	/* What was aborted below has no records any more. */
	producers_forget(log);
	log->io_count--;
	log_finish_close(log);
}

static void done(struct store_job *job)
{
	struct compaction *c = container_of(job, struct compaction, job);

	if (c->phase == COMPACT_PLACED) {
		place(c);
		c->log->leftovers |= c->rc < 0;
		if (c->rc == 0) {
			c->phase = COMPACT_GROUP;
			store_job_start(c->log->store, &c->job);
			return;
		}
	}
	set_compacting(c, false);
	over(c);
}

/* ---- of the log ---- */

void compact_housekeep(struct store *store)
{
	uint64_t now_ns = clock_monotonic_ns(store->clock);

	if (store->compaction || now_ns < store->compact_next_ns)
		return;
	uint64_t later_ns = now_ns + (uint64_t)store->options.compact_backoff_ms * NS_PER_MS;
	struct candidate candidate = choose(store, now_ns);
	if (!candidate.count) {
		store->compact_next_ns = later_ns;
		return;
	}
	/* Of one log at a time, as a snapshot may have to be flushed for it. */
	candidate.count = covered(candidate.log, candidate.count);
	if (!candidate.count) {
		candidate.log->compact_retry_ns = later_ns;
		return;
	}
	struct compaction *c = compaction_new(&candidate);
	if (!c)
		return;
	c->job.step = compact_step;
	c->job.done = done;
	store->compaction = c;
	candidate.log->io_count++;
	set_compacting(c, true);
	store_job_start(store, &c->job);
}

void compact_recover(struct log *log)
{
	int64_t clean = 0;
	int rc = compact_file_read(log, &clean);

	if (rc == 0 && clean > log->next_offset)
		rc = -ERR_CORRUPT;
	if (rc < 0 && rc != -ENOENT)
		log_warn("storage", "compacted from the beginning again log=%s error=\"%s\"",
			 log->name, error_text(rc));
	log->clean_offset = rc == 0 ? clean : 0;
	log->compact_broken = false;
	producers_forget(log);
}

bool compact_under_way(const struct log *log)
{
	const struct compaction *c = log->store->compaction;

	return c && c->log == log;
}

void compact_stop(struct log *log)
{
	if (compact_under_way(log))
		store_job_give_up(log->store, &log->store->compaction->job);
}
