/* Stores and logs: making, closing, positions, retention.  Appending is append.c, flushing
 * commit.c, reading read.c, what the files say segment_load.c and recovery.c.
 *
 * A log's file operations that move record bytes go through the io backend, and so do those that
 * make a segment; the rare ones (meta files, segments that retention unlinks) are plain calls on
 * the shard's thread.  The folder of a log that is deleted goes as a job: removal.c. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/batch_filter.h"
#include "storage/checkpoint.h"
#include "storage/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

static const uint64_t ahead_kept_ns = 10 * NS_PER_SECOND;

/* ---- store ---- */

/* Monotonic times of files mean something until the machine is started again. */
static uint64_t boot_of_machine(void)
{
	char id[64];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, id, sizeof(id));

	if (fd >= 0)
		close(fd);
	return got > 0 ? XXH3_64bits(id, (size_t)got) : 0;
}

int store_new(struct store **ret, const struct store_options *options, struct store_region *region,
	      struct io_backend *backend, const struct clock *clock)
{
	struct store *store = calloc(1, sizeof(*store));
	int rc;

	if (!store)
		return -ENOMEM;
	store->options = *options;
	store->region = region;
	store->io = backend;
	store->clock = clock;
	list_init(&store->removals);
	list_init(&store->logs);
	list_init(&store->dirty);
	list_init(&store->unflushed);
	for (unsigned i = 0; i < FLUSH_ROUNDS; i++)
		list_init(&store->rounds[i].segments);
	list_init(&store->prewrites);
	list_init(&store->again);
	open_files_init(&store->open_files,
			options->open_files_max ? options->open_files_max : UINT_MAX,
			options->index_bytes_max ? options->index_bytes_max : SIZE_MAX);
	store->flush_fd = -1;
	store->dir_fd = open(options->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = store->dir_fd < 0 ? -errno : decompressor_new(&store->decompressor);
	if (rc < 0) {
		store_free(store);
		return rc;
	}
	flush_probe(store);
	store->boot = boot_of_machine();
	*ret = store;
	return 0;
}

void store_set_limits(struct store *store, const struct store_limits *limits)
{
	store->options.producer_expiration_ms = limits->producer_expiration_ms;
	store->options.scrub_bytes_per_second = limits->scrub_bytes_per_second;
	store->options.compact_bytes_per_second = limits->compact_bytes_per_second;
	store->options.compact_backoff_ms = limits->compact_backoff_ms;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	check(list_empty(&store->logs));
	check(list_empty(&store->again));
	removal_fini(store);
	decompressor_free(store->decompressor);
	batch_filter_free(store->filter);
	if (store->flush_fd >= 0)
		close(store->flush_fd);
	if (store->dir_fd >= 0)
		close(store->dir_fd);
	free(store);
}

void store_job_run(struct store_job *job)
{
	while (job->step(job) != STORE_JOB_DONE)
		;
}

void store_job_start(struct store *store, struct store_job *job)
{
	if (store->options.offload) {
		store->options.offload(store->options.offload_context, job);
		return;
	}
	store_job_run(job);
	job->done(job);
}

void store_job_give_up(struct store *store, struct store_job *job)
{
	atomic_store(&job->give_up, true);
	if (store->options.hurry)
		store->options.hurry(store->options.offload_context);
}

const struct store_stats *store_stats(const struct store *store)
{
	return &store->stats;
}

/* ---- opening ---- */

static void log_free(struct log *log)
{
	if (!log)
		return;
	while (!list_empty(&log->segments))
		segment_free(container_of(log->segments.next, struct segment, link));
	list_remove(&log->link);
	list_remove(&log->dirty);
	log->store->stats.producers -= producers_count(&log->producers);
	producers_fini(&log->producers);
	quarantine_fini(&log->quarantine);
	log_count_quarantine(log);
	free(log->image.bytes);
	dedup_fini(log);
	free(log->epochs);
	free(log->marks);
	free(log);
}

int log_open(struct log **ret, struct store *store, const struct log_identity *identity,
	     const struct log_config *config, char *why, size_t why_bytes)
{
	struct log *log = calloc(1, sizeof(*log));
	int rc;

	if (why_bytes)
		why[0] = '\0';
	if (!log)
		return -ENOMEM;
	log->store = store;
	log->identity = *identity;
	log->config = *config;
	log->ahead_offset = -1;
	list_init(&log->segments);
	list_init(&log->buffers);
	list_init(&log->submit_waiters);
	list_init(&log->durable_waiters);
	list_init(&log->watches);
	list_init(&log->dirty);
	list_init(&log->link);
	producers_init(&log->producers, store->options.producers_max);
	dedup_init(log);
	rc = folder_make(log);
	if (rc == 0)
		rc = log_recover(log, 0, why, why_bytes);
	if (rc == 0)
		scrub_recover(log);
	if (rc < 0) {
		log_free(log);
		return rc;
	}
	list_push_back(&store->logs, &log->link);
	*ret = log;
	return 0;
}

void log_set_config(struct log *log, const struct log_config *config)
{
	log->config = *config;
	if (!config->compact.enabled)
		compact_stop(log);
	dedup_configure(log);
}

/* ---- closing ---- */

/* A file that is closed while it has its name costs little; its blocks are given back by whoever
 * takes that. */
static void remove_and_free(struct log *log)
{
	struct store *store = log->store;
	char name[FOLDER_NAME_BYTES];

	memcpy(name, log->name, sizeof(name));
	log_free(log);
	removal_add(store, name);
}

/* Runs again after each operation in flight has ended.  The log is gone when it returns, or goes
 * on: callers touch it no more. */
void log_finish_close(struct log *log)
{
	if (!log_closing(log) || log->io_count)
		return;
	if (log->state == LOG_CLOSING && log->mark_count) {
		commit_want(log);
		return;
	}
	if (log->state == LOG_CLOSING && !dedup_files_close(log))
		return;
	if (log->state == LOG_CLOSING && log->active)
		producers_checkpoint(log);
	if (log->io_count)
		return;
	void (*closed)(void *context) = log->closed;
	void *context = log->closed_context;

	if (!log->remove && log->state == LOG_CLOSING && log->active)
		log_seal(log);
	check(list_empty(&log->submit_waiters));
	log_wake_watches(log);
	dedup_files_end_trims(log, -ERR_CLOSING);
	check(list_empty(&log->durable_waiters));
	tail_drop(log);
	log_drop_ahead(log);
	if (log->remove)
		remove_and_free(log);
	else
		log_free(log);
	closed(context);
}

void log_close(struct log *log, bool remove, void (*closed)(void *context), void *context)
{
	check(!log_closing(log));
	log->state = remove || log->state == LOG_FAILED ? LOG_ABANDONED : LOG_CLOSING;
	log->remove = remove;
	log->closed = closed;
	log->closed_context = context;
	/* A callback below must not find the log gone. */
	log->io_count++;
	scrub_stop(log);
	compact_stop(log);
	commit_answer_repeats(log->store);
	if (log->state == LOG_ABANDONED)
		commit_abandon(log, -ERR_CLOSING);
	else
		log_wake_watches(log);
	log->io_count--;
	log_finish_close(log);
}

/* ---- positions ---- */

int64_t log_start_offset(const struct log *log)
{
	return log->start_offset;
}

int64_t log_end_offset(const struct log *log)
{
	return log->next_offset;
}

int64_t log_high_watermark(const struct log *log)
{
	return log->config.read_unflushed ? log->next_offset : log->durable_offset;
}

int32_t log_leader_epoch(const struct log *log)
{
	return log->identity.leader_epoch;
}

bool log_failed(const struct log *log)
{
	return log->state == LOG_FAILED;
}

uint64_t log_bytes(const struct log *log)
{
	uint64_t bytes = 0;

	list_foreach(node, &log->segments)
		bytes += container_of(node, struct segment, link)->end - SEGMENT_HEADER_BYTES;
	return bytes;
}

int log_note_epoch(struct log *log, int32_t epoch, int64_t offset)
{
	if (log->epoch_count && log->epochs[log->epoch_count - 1].epoch >= epoch)
		return 0;
	struct epoch_start *epochs = realloc(log->epochs, (log->epoch_count + 1) * sizeof(*epochs));
	if (!epochs)
		return -ENOMEM;
	log->epochs = epochs;
	epochs[log->epoch_count++] = (struct epoch_start){.epoch = epoch, .offset = offset};
	return 0;
}

void log_epoch_end(const struct log *log, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end)
{
	*ret_epoch = -1;
	*ret_end = -1;
	for (size_t i = log->epoch_count; i-- > 0;) {
		if (log->epochs[i].epoch > epoch)
			continue;
		*ret_epoch = log->epochs[i].epoch;
		*ret_end = i + 1 < log->epoch_count ? log->epochs[i + 1].offset : log->next_offset;
		return;
	}
}

void log_watch(struct log *log, struct log_watch *watch)
{
	list_push_back(&log->watches, &watch->link);
}

void log_unwatch(struct log_watch *watch)
{
	list_remove(&watch->link);
}

/* Who watches anew from inside `changed` is woken by the next change. */
void log_wake_watches(struct log *log)
{
	struct list now;
	struct list *node;

	list_init(&now);
	list_move_all(&now, &log->watches);
	while ((node = list_pop_front(&now))) {
		struct log_watch *watch = container_of(node, struct log_watch, link);
		watch->changed(watch);
	}
}

/* ---- retention and trimming ---- */

void log_drop_ahead(struct log *log)
{
	buffer_release(log->store->region, log->ahead);
	log->ahead = NULL;
	log->ahead_segment = NULL;
	log->ahead_offset = -1;
}

static void drop_buffers_of(struct log *log, const struct segment *segment)
{
	list_foreach_safe(node, after, &log->buffers) {
		struct buffer *buffer = container_of(node, struct buffer, link);
		if (buffer->segment != segment)
			continue;
		tail_give_up(log, buffer);
	}
	if (log->ahead_segment == segment)
		log_drop_ahead(log);
}

void log_retire_segment(struct log *log, struct segment *segment)
{
	drop_buffers_of(log, segment);
	list_remove(&segment->link);
	segment->dead = true;
	if (!segment->readers)
		segment_free(segment);
}

static void delete_first_segment(struct log *log)
{
	struct segment *segment = container_of(log->segments.next, struct segment, link);

	segment_unlink(segment);
	log->store->stats.segments_deleted++;
	log_retire_segment(log, segment);
	struct segment *first = container_of(log->segments.next, struct segment, link);
	if (log->start_offset < first->base_offset)
		log->start_offset = first->base_offset;
	log_lift_quarantine(log);
}

bool segment_deletable(const struct log *log, const struct segment *segment)
{
	return segment != log->active && segment->flushed == segment->end && !segment->flushing &&
	       !segment->allocating && !segment->prewriting && !segment->compacting &&
	       !segment->indexing;
}

static bool outlived(const struct log *log, const struct segment *segment)
{
	/* Records may come without a time. */
	int64_t newest_ms = segment->max_ms > 0 ? segment->max_ms : segment->created_ms;
	int64_t now_ms = clock_wall_ms(log->store->clock);

	return log->config.delete_enabled && log->config.retention_ms >= 0 &&
	       now_ms - newest_ms > log->config.retention_ms;
}

static bool expired(const struct log *log, const struct segment *segment, uint64_t bytes)
{
	if (segment->next_offset <= log->start_offset || outlived(log, segment))
		return true;
	if (!log->config.delete_enabled)
		return false;
	/* Compaction has left nothing of it that could expire; what damage has left nothing of is
	 * somebody's loss until its time has come. */
	if (segment->end == SEGMENT_HEADER_BYTES && segment->lost_from < 0)
		return true;
	return log->config.retention_bytes >= 0 && bytes - (segment->end - SEGMENT_HEADER_BYTES) >=
							   (uint64_t)log->config.retention_bytes;
}

/* The producers of what retention takes are known; but where no file can be written, as on a full
 * disk, they hold nothing up, and what was deleted on request makes room at once. */
static bool producers_hold(struct log *log, const struct segment *segment)
{
	return segment->next_offset > log->start_offset && producers_reach(log, segment) == 0;
}

/* The active segment at the latest. */
static const struct segment *first_to_stay(struct log *log)
{
	uint64_t bytes = log_bytes(log);

	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		/* Its ids stay in the window. */
		if (!segment_deletable(log, segment) || !expired(log, segment, bytes) ||
		    dedup_files_reach(log, segment->next_offset) <= 0 ||
		    producers_hold(log, segment))
			return segment;
		bytes -= segment->end - SEGMENT_HEADER_BYTES;
	}
	check(!"the active segment is not deletable");
	return NULL;
}

/* On the disk before the files go: after a power cut any of them may be there again, and then what
 * nobody was to read any more would be read, or a file between two others be missed.  A full disk
 * refuses it, and has to be made room on all the same; but for a segment that stands for files that
 * are there still, and would be what the next start finds.  Whether files may go. */
static bool begin_at(struct log *log, int64_t offset)
{
	int64_t before = log->start_offset;

	if (offset <= before)
		return true;
	log->start_offset = offset;
	int rc = log_write_meta(log);
	if (rc == 0)
		return true;
	log_warn("storage", "start not noted log=%s start=%" PRId64 " error=\"%s\"", log->name,
		 offset, error_text(rc));
	if (log->leftovers)
		log->start_offset = before;
	return !log->leftovers;
}

static void retain(struct log *log)
{
	if (log->state != LOG_WRITABLE || !log->active)
		return;
	/* As Kafka: the active segment too ends when everything in it has expired. */
	if (log->active->end > SEGMENT_HEADER_BYTES && log->active->flushed == log->active->end &&
	    outlived(log, log->active) && !segment_make_waits(log)) {
		int rc = segment_make(log);
		if (rc < 0 && rc != -ENOBUFS) {
			commit_fail(log, rc, "segment");
			return;
		}
	}
	const struct segment *stays = first_to_stay(log);
	if (&stays->link == log->segments.next)
		return;
	if (!begin_at(log, stays->base_offset))
		return;
	while (&stays->link != log->segments.next)
		delete_first_segment(log);
}

void log_seal(struct log *log)
{
	segment_seal(log->active);
	producers_checkpoint(log);
}

/* What was unstable and has been deleted holds readers back no more. */
static void wake_if_stable_rose(struct log *log, int64_t before)
{
	if (log_last_stable_offset(log) > before)
		log_wake_watches(log);
}

void store_housekeep(struct store *store)
{
	uint64_t now_ns = clock_monotonic_ns(store->clock);

	list_foreach_safe(node, after, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		int64_t stable = log_last_stable_offset(log);
		if (log->ahead && now_ns - log->ahead_ns > ahead_kept_ns)
			log_drop_ahead(log);
		commit_try_repair(log);
		producers_forget(log);
		dedup_housekeep(log);
		retain(log);
		wake_if_stable_rose(log, stable);
	}
	checkpoint_housekeep(store);
	dedup_files_keep_budget(store);
	scrub_housekeep(store);
	compact_housekeep(store);
	removal_housekeep(store);
}

/* Where the disk has no room even to note it, what is to go makes it: before that is answered a
 * power cut may bring any of it back. */
static int trim_to(struct log *log, int64_t to)
{
	int64_t before = log->start_offset;

	log->start_offset = to;
	int rc = log_write_meta(log);
	if (rc == -ENOSPC && !log->leftovers) {
		retain(log);
		rc = log_write_meta(log);
	}
	if (rc == 0) {
		log_lift_quarantine(log);
		retain(log);
		return 0;
	}
	const struct segment *first = container_of(log->segments.next, struct segment, link);
	log->start_offset = first->base_offset > before ? first->base_offset : before;
	return rc;
}

void log_trim(struct log *log, struct log_trim *trim)
{
	/* It may be what makes the room that a failed one waits for. */
	if (log->state == LOG_FAILED) {
		log->retry_ns = 0;
		commit_try_repair(log);
	}
	/* Not beyond what is durable, or a power cut could leave a log that ends before its start.
	 */
	int64_t limit = log->durable_offset;
	int64_t to = trim->offset == -1 ? limit : trim->offset;
	int64_t stable = log_last_stable_offset(log);
	int rc = 0;

	if (to < 0 || to > limit)
		rc = -ERR_OFFSET_RANGE;
	else if (log->state != LOG_WRITABLE)
		rc = -ERR_STORAGE;
	else if (to > log->start_offset)
		rc = dedup_files_reach(log, to);
	if (rc == 0 && to > log->start_offset) {
		list_push_back(&log->dedup.files.trims, &trim->link);
		return;
	}
	if (rc > 0)
		rc = trim_to(log, to);
	wake_if_stable_rose(log, stable);
	trim->start_offset = log->start_offset;
	trim->done(trim, rc);
}
