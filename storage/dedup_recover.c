/* A dedup window as a log's folder has it.
 *
 *     offsets   | file | file |  gap  | file |   the log behind  |
 *     recovery    load   load  replay   load   replay
 *
 * What is missing between two files, or damaged, is read from the log; of the newest, as many as
 * the budget allows are held in memory, the others are spilled at once. */
#include "storage/dedup_files_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	HELD_AT_START_MAX = 24, /* buckets; older ones are spilled */
};

struct recovery {
	struct log *log;
	int64_t reached; /* the offset below which the window has all ids; -1: not begun */
};

/* Files beyond the log's end speak of batches that are no more. */
static int remove_beyond(const struct log *log, struct dedup_listing *listing)
{
	size_t kept = 0;

	for (size_t i = 0; i < listing->count; i++) {
		struct dedup_found *found = &listing->files[i];
		if (found->to > log->next_offset)
			dedup_files_unlink(log, found->from, found->to);
		else
			listing->files[kept++] = *found;
	}
	if (kept == listing->count)
		return 0;
	listing->count = kept;
	return folder_sync(log);
}

/* Of the newest files, as many as the budget allows are held in memory. */
static size_t first_held(const struct log *log, const struct dedup_listing *listing)
{
	const struct store *store = log->store;
	uint64_t bytes = store->stats.dedup_memory_bytes;
	size_t first = listing->count;

	while (first && listing->count - first < HELD_AT_START_MAX) {
		bytes += listing->files[first - 1].count * DEDUP_HELD_ID_BYTES;
		if (store->options.dedup_bytes_max && bytes > store->options.dedup_bytes_max)
			break;
		first--;
	}
	return first;
}

static int load(struct log *log, const struct dedup_file_head *head,
		const struct dedup_entry *entries, bool spills)
{
	struct dedup_window *window = &log->dedup.window;
	struct dedup_bucket *bucket = dedup_window_open_bucket(window);
	uint64_t now_ns = clock_monotonic_ns(log->store->clock);
	bool same_boot = head->boot && head->boot == log->store->boot && head->last_ns <= now_ns;
	uint64_t last_ns = same_boot ? head->last_ns : now_ns;
	struct dedup_spill spill;
	int rc;

	if (spills && dedup_window_oldest_held(window) == bucket) {
		rc = dedup_files_make_spill(head, entries, &spill);
		if (rc == 0)
			rc = dedup_window_load_spilled(window, head, last_ns, &spill);
	} else {
		rc = dedup_window_load(window, head, last_ns, entries);
	}
	if (rc < 0)
		return rc;
	bucket->file_bytes = dedup_file_bytes(head->count);
	log->dedup.files.bytes += bucket->file_bytes;
	window->complete_ns = same_boot ? head->complete_ns : now_ns;
	dedup_files_drop_anchor(log);
	return 0;
}

/* What lies between the files so far and `to` is read from the log. */
static int fill_gap(struct recovery *recovery, int64_t to)
{
	struct log *log = recovery->log;
	struct dedup_window *window = &log->dedup.window;
	int rc = recovery->reached < to ? dedup_replay(log, recovery->reached, to) : 0;

	recovery->reached = to;
	/* With too many buckets the open one goes on. */
	if (rc < 0 ||
	    (dedup_window_open_bucket(window)->count && !dedup_window_close_bucket(window, to)))
		return rc;
	dedup_window_open_bucket(window)->from = to;
	return 0;
}

/* There are too many buckets: its ids become the open one's, which is filed again in its place. */
static int join_open(struct log *log, const struct dedup_file_head *head,
		     const struct dedup_entry *entries)
{
	struct dedup_window *window = &log->dedup.window;
	struct dedup_now now = {
		.ns = clock_monotonic_ns(log->store->clock),
		.largest_ms = dedup_window_largest(window, head->last_ms, INT64_MAX),
	};

	for (uint64_t i = 0; i < head->count; i++) {
		int rc = dedup_window_reserve(window, 1);
		if (rc < 0)
			return rc;
		dedup_window_replay(window, &entries[i].id, entries[i].offset, &now);
	}
	window->largest_ms = now.largest_ms;
	if (head->to > log->dedup.files.damaged_to)
		log->dedup.files.damaged_to = head->to;
	return 0;
}

static int take_file(struct recovery *recovery, const struct dedup_file_head *head,
		     const struct dedup_entry *entries, bool spills)
{
	struct log *log = recovery->log;
	struct dedup_files *files = &log->dedup.files;
	struct dedup_window *window = &log->dedup.window;
	int rc = fill_gap(recovery, head->from);

	if (rc < 0)
		return rc;
	recovery_went_on(log, dedup_file_bytes(head->count));
	recovery->reached = head->to;
	if (dedup_window_open_bucket(window)->count || dedup_window_full(window))
		return join_open(log, head, entries);
	if (head->count)
		return load(log, head, entries, spills);
	dedup_files_drop_anchor(log);
	files->anchor_from = head->from;
	files->anchor_to = head->to;
	dedup_window_open_bucket(window)->from = head->to;
	return 0;
}

static void note_damage(struct log *log, const struct dedup_found *found, int rc)
{
	log_warn("storage",
		 "dedup ids are read from the log file=%s/%020" PRId64 "-%020" PRId64
		 ".dedup error=\"%s\"",
		 log->name, found->from, found->to, error_text(rc));
	if (found->to > log->dedup.files.damaged_to)
		log->dedup.files.damaged_to = found->to;
}

/* One of another configuration, or within what others have, is removed. */
static int recover_file(struct recovery *recovery, const struct dedup_found *found, bool spills)
{
	struct log *log = recovery->log;
	struct dedup_file_head head;
	struct dedup_entry *entries = NULL;
	int fd = folder_open(log);
	int rc = fd < 0 ? fd : dedup_file_read(fd, found->from, found->to, &head, &entries);

	if (fd >= 0)
		close(fd);
	bool ours = rc == 0 && head.config == dedup_files_config(log);

	if (rc == -ENOMEM)
		return rc;
	if (rc < 0)
		note_damage(log, found, rc);
	if (recovery->reached < 0 && (ours || rc < 0)) {
		dedup_window_open_bucket(&log->dedup.window)->from = found->from;
		recovery->reached = found->from;
	}
	if (rc < 0)
		return 0;
	if (ours && found->from >= recovery->reached)
		rc = take_file(recovery, &head, entries, spills);
	else
		dedup_files_unlink(log, found->from, found->to);
	free(entries);
	return rc;
}

int dedup_files_recover(struct log *log)
{
	struct recovery recovery = {.log = log, .reached = -1};
	struct dedup_listing listing;
	int rc = dedup_files_list(log, &listing);

	log->dedup.files.bytes = 0;
	log->dedup.files.anchor_from = log->dedup.files.anchor_to = -1;
	log->dedup.files.damaged_to = -1;
	if (rc == 0)
		rc = remove_beyond(log, &listing);
	size_t held = first_held(log, &listing);
	for (size_t i = 0; rc == 0 && i < listing.count; i++)
		rc = recover_file(&recovery, &listing.files[i], i < held);
	free(listing.files);
	if (recovery.reached < 0) {
		recovery.reached = dedup_replay_start(log, clock_wall_ms(log->store->clock));
		dedup_window_open_bucket(&log->dedup.window)->from = recovery.reached;
	}
	return rc == 0 ? dedup_replay(log, recovery.reached, log->next_offset) : rc;
}
