/* Buckets of a dedup window as files.
 *
 *     bucket ends ─> durable ─> job: sorted, written, flushed ─> filed: the table holds its ids too
 *     over budget ─────────────> job: read again for a filter ─> spilled: only the file has them
 *     forgotten ───────────────────────────────────────────────> removed
 *
 * Each file speaks of the batches of an interval of offsets, which its name has too, so what is
 * missing between two, or damaged, is read from the log.  A window that has forgotten all its ids,
 * or begins, has an *anchor*, an empty file that says where it goes on.
 *
 * Only what is durable in the log is filed, so a file never knows more than the log, unless that is
 * damaged: files beyond its end are removed at a start, durably. */
#include "storage/dedup_files_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/folder_reader.h"
#include "base/log.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
	HELD_IDS_MIN = 1024, /* fewer take about the same memory as none */
	AT_ONCE_MAX = 64, /* logs that a housekeeping makes keep the budget: each is looked for */
};
static const uint64_t retry_after_ns = 10 * NS_PER_SECOND;

void dedup_files_init(struct dedup_files *files)
{
	*files = (struct dedup_files){
		.anchor_from = -1,
		.anchor_to = -1,
		.damaged_to = -1,
	};
	list_init(&files->trims);
}

uint64_t dedup_files_config(const struct log *log)
{
	const struct dedup_config *config = &log->dedup.window.config;

	const struct {
		struct uuid topic_id;
		int32_t partition;
		uint32_t scope;
	} where = {log->identity.topic_id, log->identity.partition, config->scope};
	_Static_assert(sizeof(where) == 24, "hashed as bytes");
	return XXH3_64bits_withSeed(config->header, config->header_length,
				    XXH3_64bits(&where, sizeof(where)));
}

void dedup_files_unlink(const struct log *log, int64_t from, int64_t to)
{
	char name[DEDUP_FILE_NAME_BYTES];

	dedup_file_name(name, from, to);
	folder_unlink(log, name);
}

void dedup_files_drop_anchor(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;

	if (files->anchor_to >= 0)
		dedup_files_unlink(log, files->anchor_from, files->anchor_to);
	files->anchor_from = files->anchor_to = -1;
}

/* ---- the folder ---- */

static int compare_found(const void *left, const void *right)
{
	const struct dedup_found *a = left;
	const struct dedup_found *b = right;

	if (a->from != b->from)
		return a->from < b->from ? -1 : 1;
	return (a->to > b->to) - (a->to < b->to);
}

static int add_found(struct dedup_listing *listing, const struct dedup_found *found)
{
	struct dedup_found *files = realloc(listing->files, (listing->count + 1) * sizeof(*files));

	if (!files)
		return -ENOMEM;
	listing->files = files;
	files[listing->count++] = *found;
	return 0;
}

int dedup_files_list(const struct log *log, struct dedup_listing *ret)
{
	struct folder_reader reader;
	int fd = folder_open(log);
	const char *name;

	*ret = (struct dedup_listing){0};
	folder_reader_open(&reader, fd);
	while ((name = folder_reader_next(&reader))) {
		struct dedup_found found = {0};
		struct stat info;
		if (!dedup_file_is_name(name, &found.from, &found.to) ||
		    fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0 || S_ISFIFO(info.st_mode))
			continue;
		found.count = (uint64_t)info.st_size / sizeof(struct dedup_entry);
		reader.rc = add_found(ret, &found);
	}
	if (ret->count)
		qsort(ret->files, ret->count, sizeof(*ret->files), compare_found);
	return folder_reader_close(&reader);
}

void dedup_files_remove(const struct log *log)
{
	struct dedup_listing listing;

	dedup_files_list(log, &listing);
	for (size_t i = 0; i < listing.count; i++)
		dedup_files_unlink(log, listing.files[i].from, listing.files[i].to);
	free(listing.files);
}

/* ---- jobs ---- */

static struct dedup_bucket *bucket_of(const struct log *log, const struct dedup_file_head *head)
{
	list_foreach(node, &log->dedup.window.buckets) {
		struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->from == head->from && bucket->to == head->to)
			return bucket;
	}
	return NULL;
}

static int write_bucket(struct dedup_job *job)
{
	size_t count = dedup_chunks_count(job->chunks);
	/* One at least: malloc(0) may be null. */
	struct dedup_entry *entries = malloc((count + 1) * sizeof(*entries));

	if (!entries)
		return -ENOMEM;
	dedup_chunks_copy(job->chunks, entries);
	job->head.count = dedup_entries_sort(entries, count);
	int rc = job->dir_fd < 0 ? job->dir_fd : dedup_file_write(job->dir_fd, &job->head, entries);
	free(entries);
	return rc;
}

int dedup_files_make_spill(const struct dedup_file_head *head, const struct dedup_entry *entries,
			   struct dedup_spill *ret)
{
	*ret = (struct dedup_spill){
		.from = head->from,
		.to = head->to,
		.count = head->count,
	};
	return dedup_filter_new(&ret->filter, entries, head->count);
}

static int read_bucket(struct dedup_job *job)
{
	struct dedup_file_head head;
	struct dedup_entry *entries;
	int rc = job->dir_fd < 0 ? job->dir_fd
				 : dedup_file_read(job->dir_fd, job->head.from, job->head.to, &head,
						   &entries);

	if (rc < 0)
		return rc;
	rc = dedup_files_make_spill(&head, entries, &job->spill);
	free(entries);
	return rc;
}

/* Quick, a file of a bucket or two: one step. */
static uint64_t step(struct store_job *base)
{
	struct dedup_job *job = container_of(base, struct dedup_job, job);

	job->result = job->spills ? read_bucket(job) : write_bucket(job);
	return STORE_JOB_DONE;
}

static void filed(struct log *log, struct dedup_job *job)
{
	struct dedup_window *window = &log->dedup.window;
	struct dedup_bucket *bucket = bucket_of(log, &job->head);

	if (job->result < 0) {
		/* Forgotten or not, its ids are no file's. */
		if (bucket)
			bucket->chunks = job->chunks;
		else
			dedup_window_free_chunks(window, job->chunks);
		return;
	}
	dedup_window_free_chunks(window, job->chunks);
	if (log->dedup.files.anchor_from != job->head.from ||
	    log->dedup.files.anchor_to != job->head.to)
		dedup_files_drop_anchor(log);
	if (!bucket) {
		log->dedup.files.anchor_from = job->head.from;
		log->dedup.files.anchor_to = job->head.to;
		return;
	}
	bucket->filed = true;
	bucket->file_bytes = dedup_file_bytes(job->head.count);
	log->dedup.files.bytes += bucket->file_bytes;
}

static void spilled(struct log *log, struct dedup_job *job)
{
	struct dedup_window *window = &log->dedup.window;

	if (job->result < 0)
		return;
	/* Forgotten meanwhile, or no memory. */
	if (bucket_of(log, &job->head) != dedup_window_oldest_held(window) ||
	    dedup_window_spill(window, &job->spill) < 0)
		dedup_filter_free(&job->spill.filter);
}

static void drop_stale(struct log *log, struct dedup_job *job)
{
	dedup_chunks_free(job->chunks);
	if (job->spills)
		dedup_filter_free(&job->spill.filter);
	else
		dedup_files_unlink(log, job->head.from, job->head.to);
	job->result = 0;
}

static void note_failure(struct log *log, const struct dedup_job *job)
{
	struct dedup_files *files = &log->dedup.files;

	log_warn("storage",
		 "dedup ids stay in memory log=%s from=%" PRId64 " to=%" PRId64 " error=\"%s\"",
		 log->name, job->head.from, job->head.to, error_text(job->result));
	files->retry_ns = clock_monotonic_ns(log->store->clock) + retry_after_ns;
	files->gave_up = log_closing(log);
}

static void done(struct store_job *base)
{
	struct dedup_job *job = container_of(base, struct dedup_job, job);
	struct log *log = job->log;
	struct dedup_files *files = &log->dedup.files;
	bool spills = job->spills;
	if (job->dir_fd >= 0)
		close(job->dir_fd);
	bool forgotten = spills && !bucket_of(log, &job->head);

	if (job->stale)
		drop_stale(log, job);
	else if (spills)
		spilled(log, job);
	else
		filed(log, job);
	int result = job->result;
	if (result < 0 && !forgotten)
		note_failure(log, job);
	files->job_out = false;
	dedup_changed(log);
	if (job->stale && log->dedup.window.on)
		dedup_files_begin(log);
	if (!spills)
		dedup_files_end_trims(log, result);
	if (!files->starting && !log_closing(log))
		dedup_files_start(log);
	log->io_count--;
	log_finish_close(log);
}

/* What a file says that begins and ends there, with no ids in between. */
static struct dedup_file_head head_at(const struct log *log, int64_t from, int64_t to)
{
	const struct dedup_window *window = &log->dedup.window;

	return (struct dedup_file_head){
		.from = from,
		.to = to,
		.config = dedup_files_config(log),
		.boot = log->store->boot,
		.last_ns = window->complete_ns,
		.last_ms = window->largest_ms,
		.complete_ns = window->complete_ns,
	};
}

/* The log may be gone when this returns, if it is closing. */
static void submit(struct log *log, const struct dedup_file_head *head, struct dedup_chunk *chunks,
		   bool spills)
{
	struct store *store = log->store;
	struct dedup_job *job = &log->dedup.files.job;

	*job = (struct dedup_job){
		.job = {.step = step, .done = done},
		.log = log,
		.spills = spills,
		.dir_fd = folder_open(log),
		.chunks = chunks,
		.head = *head,
	};
	log->dedup.files.job_out = true;
	log->io_count++;
	store_job_start(store, &job->job);
}

/* Likewise. */
static void submit_bucket(struct log *log, struct dedup_bucket *bucket, bool spills)
{
	struct dedup_file_head head = head_at(log, bucket->from, bucket->to);
	/* The job's, as the bucket may be forgotten meanwhile. */
	struct dedup_chunk *chunks = bucket->chunks;

	bucket->chunks = NULL;
	head.last_ns = bucket->last_ns;
	if (bucket->count)
		head.last_ms = bucket->last_ms;
	submit(log, &head, chunks, spills);
}

/* An empty file is to become the anchor: the window goes on at `offset`. */
static void submit_anchor(struct log *log, int64_t offset)
{
	struct dedup_file_head head = head_at(log, offset, offset);

	submit(log, &head, NULL, false);
}

/* Not while it is being opened, as it may be gone before a job ends. */
static bool may_start(const struct log *log)
{
	const struct dedup_files *files = &log->dedup.files;

	return list_linked(&log->link) && !files->job_out &&
	       clock_monotonic_ns(log->store->clock) >= files->retry_ns;
}

/* The oldest that is to be written and can be. */
static struct dedup_bucket *next_to_file(const struct log *log)
{
	if (!may_start(log))
		return NULL;
	list_foreach(node, &log->dedup.window.buckets) {
		struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->to < 0 || bucket->to > log->durable_offset)
			return NULL;
		if (!bucket->filed)
			return bucket;
	}
	return NULL;
}

static bool all_filed(const struct log *log, int64_t offset)
{
	list_foreach(node, &log->dedup.window.buckets) {
		const struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->from < offset && bucket->count && !bucket->filed)
			return false;
	}
	return true;
}

static bool known_file(const struct log *log, const struct dedup_found *found)
{
	const struct dedup_files *files = &log->dedup.files;
	const struct dedup_file_head head = {.from = found->from, .to = found->to};
	const struct dedup_bucket *bucket = bucket_of(log, &head);

	return (bucket && bucket->filed) ||
	       (found->from == files->anchor_from && found->to == files->anchor_to);
}

/* A start knows where the window goes on behind it. */
static bool filed_beyond(const struct log *log, int64_t offset)
{
	if (log->dedup.files.anchor_to >= offset)
		return true;
	list_foreach(node, &log->dedup.window.buckets) {
		const struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->filed && bucket->to >= offset)
			return true;
	}
	return false;
}

static void remove_damaged(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;
	struct dedup_listing listing;

	if (files->job_out || !all_filed(log, files->damaged_to) ||
	    !filed_beyond(log, files->damaged_to))
		return;
	dedup_files_list(log, &listing);
	for (size_t i = 0; i < listing.count; i++) {
		if (!known_file(log, &listing.files[i]))
			dedup_files_unlink(log, listing.files[i].from, listing.files[i].to);
	}
	free(listing.files);
	files->damaged_to = -1;
}

void dedup_files_start(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;
	struct dedup_bucket *bucket;

	if (!log->dedup.window.on || log->state != LOG_WRITABLE)
		return;
	files->starting = true;
	while ((bucket = next_to_file(log)))
		submit_bucket(log, bucket, false);
	files->starting = false;
	if (files->damaged_to >= 0)
		remove_damaged(log);
}

/* ---- before records are deleted ---- */

int dedup_files_reach(struct log *log, int64_t offset)
{
	struct dedup_window *window = &log->dedup.window;
	const struct dedup_bucket *open;

	if (!window->on || all_filed(log, offset))
		return 1;
	open = dedup_window_open_bucket(window);
	if (open->count && open->from < offset &&
	    !dedup_window_close_bucket(window, log->next_offset))
		return -ERR_STORAGE;
	dedup_files_start(log);
	if (all_filed(log, offset))
		return 1;
	return clock_monotonic_ns(log->store->clock) < log->dedup.files.retry_ns ? -ERR_STORAGE : 0;
}

void dedup_files_end_trims(struct log *log, int rc)
{
	struct list now;
	struct list *node;

	list_init(&now);
	list_move_all(&now, &log->dedup.files.trims);
	while ((node = list_pop_front(&now))) {
		struct log_trim *trim = container_of(node, struct log_trim, link);
		if (rc == 0) {
			log_trim(log, trim);
			continue;
		}
		trim->start_offset = log->start_offset;
		trim->done(trim, rc == -ERR_CLOSING ? rc : -ERR_STORAGE);
	}
}

void dedup_files_begin(struct log *log)
{
	if (!log->dedup.files.job_out)
		submit_anchor(log, dedup_window_oldest(&log->dedup.window)->from);
}

void dedup_files_end(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;

	dedup_files_remove(log);
	files->bytes = 0;
	files->anchor_from = files->anchor_to = files->damaged_to = -1;
	if (files->job_out)
		files->job.stale = true;
}

/* ---- forgetting ---- */

static bool newer_is_filed(const struct dedup_window *window, const struct dedup_bucket *bucket)
{
	for (struct list *node = bucket->link.next; node != &window->buckets; node = node->next) {
		if (container_of(node, struct dedup_bucket, link)->filed)
			return true;
	}
	return false;
}

void dedup_files_forget_oldest(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;
	struct dedup_window *window = &log->dedup.window;
	const struct dedup_bucket *bucket = dedup_window_oldest(window);
	bool last = bucket->filed && !newer_is_filed(window, bucket);
	int64_t from = bucket->from;
	int64_t to = bucket->to;

	if (bucket->filed)
		files->bytes -= bucket->file_bytes;
	if (bucket->filed && !last)
		dedup_files_unlink(log, from, to);
	dedup_window_drop_oldest(window);
	if (!last)
		return;
	/* It says where the window goes on, until a smaller one does. */
	dedup_files_drop_anchor(log);
	files->anchor_from = from;
	files->anchor_to = to;
	if (may_start(log))
		submit_anchor(log, to);
}

/* ---- closing ---- */

bool dedup_files_close(struct log *log)
{
	struct dedup_files *files = &log->dedup.files;
	struct dedup_window *window = &log->dedup.window;
	struct dedup_bucket *bucket;

	if (!window->on || files->gave_up)
		return true;
	/* Also without ids: what lies before need not be read again. */
	if (log->next_offset > dedup_window_open_bucket(window)->from)
		dedup_window_close_bucket(window, log->next_offset);
	bucket = next_to_file(log);
	if (!bucket)
		return true;
	submit_bucket(log, bucket, false);
	return false;
}

/* ---- the budget ---- */

/* It holds most, and its oldest bucket in the table has a file. */
static struct log *largest(const struct store *store)
{
	struct log *largest = NULL;

	list_foreach(node, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		const struct dedup_window *window = &log->dedup.window;
		if (!window->on || log->dedup.files.job_out || log->state != LOG_WRITABLE ||
		    window->table.old.at || window->table.count < HELD_IDS_MIN ||
		    !dedup_window_oldest_held(window)->filed ||
		    clock_monotonic_ns(store->clock) < log->dedup.files.retry_ns)
			continue;
		if (!largest || window->table.count > largest->dedup.window.table.count)
			largest = log;
	}
	return largest;
}

static uint64_t open_count(const struct log *log)
{
	return dedup_window_open_bucket(&log->dedup.window)->count;
}

/* The ids of its open bucket take most. */
static struct log *largest_open(const struct store *store)
{
	struct log *largest = NULL;

	list_foreach(node, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		if (!log->dedup.window.on || log->state != LOG_WRITABLE ||
		    open_count(log) < HELD_IDS_MIN ||
		    clock_monotonic_ns(store->clock) < log->dedup.files.retry_ns)
			continue;
		if (!largest || open_count(log) > open_count(largest))
			largest = log;
	}
	return largest;
}

/* Memory of ids that are going to leave it, as their buckets have ended. */
static uint64_t bytes_leaving(const struct store *store)
{
	uint64_t ids = 0;

	list_foreach(node, &store->logs) {
		const struct log *log = container_of(node, struct log, link);
		if (log->dedup.window.on)
			ids += log->dedup.window.table.count - open_count(log);
	}
	return ids * DEDUP_HELD_ID_BYTES;
}

/* Buckets that are open end early, where those that have ended are not enough. */
static void end_open(struct store *store)
{
	uint64_t excess = store->stats.dedup_memory_bytes - store->options.dedup_bytes_max;
	uint64_t leaving = bytes_leaving(store);
	struct log *log;

	for (unsigned i = 0; i < AT_ONCE_MAX && leaving < excess; i++) {
		log = largest_open(store);
		if (!log)
			return;
		leaving += open_count(log) * DEDUP_HELD_ID_BYTES;
		if (!dedup_window_close_bucket(&log->dedup.window, log->next_offset))
			return;
		dedup_files_start(log);
	}
}

static bool over_budget(const struct store *store)
{
	return store->options.dedup_bytes_max &&
	       store->stats.dedup_memory_bytes > store->options.dedup_bytes_max;
}

void dedup_files_keep_budget(struct store *store)
{
	struct log *log;

	if (over_budget(store))
		end_open(store);
	for (unsigned i = 0; i < AT_ONCE_MAX && over_budget(store) && (log = largest(store)); i++)
		submit_bucket(log, dedup_window_oldest_held(&log->dedup.window), true);
}
