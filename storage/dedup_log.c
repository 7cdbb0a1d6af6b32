/* What a dedup window means for a log: which batches, or what of them, are appended.
 *
 *     log_append ─> dedup_admit ─┬─ all new ──────────────────────────> appended as it came
 *                                ├─ some known ──> batch_filter ──────> appended with gaps
 *                                ├─ all known, of a producer id ──────> appended without records
 *                                └─ all known ────────────────────────> not appended
 *
 * New ids go into the window when they are looked for, at the offsets that the batch will have, so
 * an id that comes twice in a batch is a duplicate of the first; they are taken back when the batch
 * is refused after all.
 *
 * Batches of transactions pass by: a record of one that is aborted must not hide its retry. */
#include "storage/dedup_log.h"

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/batch_filter.h"
#include "storage/records.h"
#include "storage/store_internal.h"

#include <errno.h>

/* Validated with a limit of its own when it came. */
enum { DECOMPRESSED_MAX = 1 << 30 };
enum { UNFILED_OFFSETS_MAX = 1 << 20 };

static bool is_id(const struct dedup_id *id)
{
	return id->low || id->high;
}

static struct dedup_now now_with(const struct log *log, int64_t max_ms)
{
	struct dedup_now now = {
		.ns = store_now_ns(log->store),
		.wall_ms = store_wall_ms(log->store),
	};

	now.largest_ms = dedup_window_largest(&log->dedup.window, max_ms, now.wall_ms);
	return now;
}

/* ---- in time ---- */

static void evict(struct log *log)
{
	struct dedup_window *window = &log->dedup.window;
	const struct dedup_bucket *bucket;

	if (window->config.on_full != DEDUP_EVICT)
		return;
	while ((bucket = dedup_window_excess(window))) {
		log->dedup.evictions += bucket->count;
		log->store->stats.dedup_evictions += bucket->count;
		dedup_files_forget_oldest(log);
	}
}

static void age(struct log *log, const struct dedup_now *now)
{
	struct dedup_window *window = &log->dedup.window;

	if (dedup_window_due(window, now, false))
		dedup_window_close_bucket(window, log->next_offset);
	while (dedup_window_outlived(window, now))
		dedup_files_forget_oldest(log);
}

/* Of a window that refuses.  While it does so the log's timestamps stand still, as a batch that is
 * sent again has those it had: there the monotonic clock decides alone, or it would never end. */
static void make_room(struct log *log, const struct dedup_now *now, uint64_t count)
{
	struct dedup_window *window = &log->dedup.window;
	struct dedup_now by_clock = *now;

	by_clock.largest_ms = INT64_MAX;
	if (window->config.on_full != DEDUP_REJECT)
		return;
	while (window->entries + count > window->config.entries_max &&
	       dedup_window_outlived(window, &by_clock))
		dedup_files_forget_oldest(log);
}

void dedup_changed(struct log *log)
{
	struct dedup_log *dedup = &log->dedup;
	struct store_stats *stats = &log->store->stats;
	uint64_t memory = dedup->window.on ? dedup_window_bytes(&dedup->window) : 0;
	uint64_t files = dedup->window.on ? dedup->files.bytes : 0;

	stats->dedup_entries += dedup->window.entries - dedup->entries_told;
	stats->dedup_memory_bytes += memory - dedup->memory_told;
	stats->dedup_file_bytes += files - dedup->files_told;
	dedup->entries_told = dedup->window.entries;
	dedup->memory_told = memory;
	dedup->files_told = files;
}

/* ---- admission ---- */

/* Memory is taken id by id: what a batch says that it has may be far more than it has ids, or than
 * those that are new. */
static int probe(struct dedup_window *window, const struct dedup_id *ids, int64_t base_offset,
		 const struct dedup_now *now, struct dedup_verdict *verdict)
{
	int32_t count = verdict->batch.record_count;

	for (int32_t i = 0; i < count && i < DEDUP_PREFETCH; i++)
		dedup_window_prefetch(window, &ids[i]);
	for (int32_t i = 0; i < count; i++) {
		if (i + DEDUP_PREFETCH < count)
			dedup_window_prefetch(window, &ids[i + DEDUP_PREFETCH]);
		if (!is_id(&ids[i]))
			continue;
		int64_t known = dedup_window_find(window, &ids[i]);
		if (known < 0) {
			int rc = dedup_window_reserve(window, 1);
			if (rc < 0)
				return rc;
			dedup_window_insert(window, &ids[i], base_offset + i, now);
			verdict->new_ids++;
			continue;
		}
		if (i == 0)
			verdict->original = known;
		if (known >= verdict->end)
			verdict->end = known + 1;
		verdict->hits++;
	}
	if (verdict->hits < count)
		verdict->original = -1;
	return 0;
}

static int the_filter(struct store *store, struct batch_filter **ret)
{
	int rc = store->filter ? 0 : batch_filter_new(&store->filter);

	*ret = store->filter;
	return rc;
}

struct keeping {
	struct log *log;
	const struct dedup_id *ids;
};

/* Those that are in the window since just now. */
static bool keep(void *context, const struct record *record)
{
	const struct keeping *keeping = context;
	const struct dedup_id *id = &keeping->ids[record->offset_delta];

	return !is_id(id) || dedup_window_find(&keeping->log->dedup.window, id) ==
				     keeping->log->next_offset + record->offset_delta;
}

static int drop_known(struct log *log, const struct dedup_id *ids, struct dedup_verdict *verdict)
{
	struct keeping keeping = {log, ids};
	struct batch batch = verdict->batch;
	struct batch_filter *filter;
	int rc = the_filter(log->store, &filter);

	if (rc < 0)
		return rc;
	rc = batch_filter_run(filter, verdict->data, &batch, DECOMPRESSED_MAX, keep, &keeping,
			      &verdict->data, &verdict->batch);
	return rc < 0 ? rc : 0;
}

/* 1: nothing is appended. */
static int all_known(struct log *log, struct dedup_verdict *verdict)
{
	struct batch batch = verdict->batch;
	struct batch_filter *filter;
	int rc = the_filter(log->store, &filter);

	if (batch.producer_id < 0)
		return 1;
	if (rc < 0)
		return rc;
	return batch_filter_empty(filter, verdict->data, &batch, &verdict->data, &verdict->batch);
}

static bool same_ids(const struct dedup_config *a, const struct dedup_config *b)
{
	return a->scope == b->scope && a->header_length == b->header_length &&
	       memcmp(a->header, b->header, a->header_length) == 0;
}

static bool as_configured(const struct dedup_window *window, const struct dedup_config *config)
{
	return window->on ? config->enabled && same_ids(&window->config, config) : !config->enabled;
}

/* Also while another window waits for the log to be written to again. */
static bool passes_by(const struct log *log, const struct batch *batch, const struct dedup_id *ids)
{
	return !log->dedup.window.on || !ids || (batch->attributes & BATCH_TRANSACTIONAL) ||
	       (log->next_offset + batch->last_offset_delta) >> DEDUP_OFFSET_BITS ||
	       !as_configured(&log->dedup.window, &log->config.dedup);
}

static int judge(struct log *log, const struct dedup_id *ids, struct dedup_verdict *verdict)
{
	const struct dedup_window *window = &log->dedup.window;

	if (verdict->new_ids && window->config.on_full == DEDUP_REJECT &&
	    window->entries > window->config.entries_max) {
		log->dedup.rejections++;
		log->store->stats.dedup_rejections++;
		return -ERR_WINDOW_FULL;
	}
	if (!verdict->hits)
		return 0;
	return verdict->original >= 0 ? all_known(log, verdict) : drop_known(log, ids, verdict);
}

static void count_hits(struct log *log, const struct dedup_verdict *verdict)
{
	log->dedup.hits += (uint64_t)verdict->hits;
	log->store->stats.dedup_hits += (uint64_t)verdict->hits;
}

int dedup_admit(struct log *log, const void *data, const struct batch *batch,
		int64_t append_time_ms, const struct dedup_id *ids, struct dedup_verdict *ret)
{
	*ret = (struct dedup_verdict){.data = data, .batch = *batch, .original = -1};
	if (passes_by(log, batch, ids))
		return 0;
	struct dedup_now now = now_with(log, append_time_ms >= 0 ? append_time_ms
								 : batch->max_timestamp);
	age(log, &now);
	make_room(log, &now, (uint64_t)batch->record_count);
	int rc = probe(&log->dedup.window, ids, log->next_offset, &now, ret);
	if (rc == 0)
		rc = judge(log, ids, ret);
	if (rc < 0)
		dedup_withdraw(log, ret);
	else if (rc > 0)
		count_hits(log, ret);
	return rc;
}

void dedup_withdraw(struct log *log, const struct dedup_verdict *verdict)
{
	if (verdict->new_ids)
		dedup_window_undo(&log->dedup.window, (size_t)verdict->new_ids);
}

void dedup_appended(struct log *log, const struct dedup_verdict *verdict, int64_t max_ms)
{
	struct dedup_window *window = &log->dedup.window;

	if (!window->on)
		return;
	window->largest_ms = now_with(log, max_ms).largest_ms;
	count_hits(log, verdict);
	if (!verdict->new_ids)
		return;
	evict(log);
	dedup_changed(log);
}

int64_t dedup_original(struct log *log, const struct batch *batch, int64_t base_offset,
		       const struct dedup_id *ids)
{
	int64_t original = -1;

	if (passes_by(log, batch, ids))
		return base_offset;
	for (int32_t i = 0; i < batch->record_count; i++) {
		int64_t known = is_id(&ids[i]) ? dedup_window_find(&log->dedup.window, &ids[i])
					       : -1;
		if (known < 0 || known >= base_offset)
			return base_offset;
		if (i == 0)
			original = known;
	}
	return original;
}

/* ---- the log's life ---- */

void dedup_init(struct log *log)
{
	const struct dedup_place place = {
		.dir_fd = log->store->dir_fd,
		.path = log->name,
		.open_files = &log->store->open_files,
	};

	dedup_window_init(&log->dedup.window, &place);
	dedup_files_init(&log->dedup.files);
}

int dedup_recover(struct log *log)
{
	const struct dedup_config *config = &log->config.dedup;

	dedup_window_end(&log->dedup.window);
	if (!config->enabled) {
		dedup_files_remove(log);
		dedup_changed(log);
		return 0;
	}
	int rc = dedup_window_begin(&log->dedup.window, config, 0, store_now_ns(log->store));
	if (rc == 0)
		rc = dedup_files_recover(log);
	evict(log);
	dedup_changed(log);
	return rc;
}

void dedup_configure(struct log *log)
{
	struct dedup_window *window = &log->dedup.window;
	const struct dedup_config *config = &log->config.dedup;

	if (log->state != LOG_WRITABLE || as_configured(window, config))
		return;
	dedup_window_end(window);
	dedup_files_end(log);
	if (config->enabled &&
	    dedup_window_begin(window, config, log->next_offset, store_now_ns(log->store)) == 0)
		dedup_files_begin(log);
	dedup_changed(log);
	/* There are no ids any more that would have to be filed first. */
	dedup_files_end_trims(log, 0);
}

static void report_read_errors(struct log *log)
{
	struct dedup_log *dedup = &log->dedup;

	if (dedup->window.read_errors == dedup->read_errors)
		return;
	log_error("storage", "dedup ids not found, a file cannot be read log=%s ids=%llu",
		  log->name, (unsigned long long)(dedup->window.read_errors - dedup->read_errors));
	dedup->read_errors = dedup->window.read_errors;
}

/* One without ids is forgotten like others, by when it has ended, but not before it is filed. */
static void end_bucket(struct dedup_window *window, int64_t offset, const struct dedup_now *now)
{
	struct dedup_bucket *open = dedup_window_open_bucket(window);

	if (!open->count) {
		open->last_ns = now->ns;
		open->last_ms = now->largest_ms;
	}
	dedup_window_close_bucket(window, offset);
}

void dedup_housekeep(struct log *log)
{
	struct dedup_window *window = &log->dedup.window;

	dedup_configure(log);
	if (!window->on || log->state != LOG_WRITABLE)
		return;
	if (same_ids(&window->config, &log->config.dedup))
		window->config = log->config.dedup;
	struct dedup_now now = now_with(log, -1);
	age(log, &now);
	/* Without ids too, now and then: a start reads from here on. */
	if (log->next_offset - dedup_window_open_bucket(window)->from > UNFILED_OFFSETS_MAX)
		end_bucket(window, log->next_offset, &now);
	evict(log);
	dedup_window_shrink(window);
	report_read_errors(log);
	dedup_files_start(log);
	dedup_changed(log);
}

void dedup_durable(struct log *log)
{
	if (!list_empty(&log->dedup.files.trims))
		dedup_files_start(log);
}

void dedup_fini(struct log *log)
{
	dedup_window_end(&log->dedup.window);
	dedup_changed(log);
}

void log_dedup_status(const struct log *log, struct dedup_status *ret)
{
	const struct dedup_log *dedup = &log->dedup;
	const struct dedup_window *window = &dedup->window;

	*ret = (struct dedup_status){
		.hits = dedup->hits,
		.evictions = dedup->evictions,
		.rejections = dedup->rejections,
	};
	if (!window->on)
		return;
	ret->entries = window->entries;
	ret->memory_bytes = dedup_window_bytes(window);
	ret->file_bytes = dedup->files.bytes;
	ret->covered_ms = dedup_window_covered_ms(window, clock_monotonic_ns(log->store->clock));
}
