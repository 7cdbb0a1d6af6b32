/* storage/dedup_log.h: a log's dedup window: what becomes of a batch, and how the window comes back
 * when the log is opened.  The window itself is dedup_window.h. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "storage/batch.h"
#include "storage/dedup_files.h"
#include "storage/dedup_window.h"

struct log;
struct store;

struct dedup_log {
	struct dedup_window window;
	struct dedup_files files;
	uint64_t hits, evictions, rejections;
	uint64_t read_errors; /* of files, that have been reported */
	/* What the store's figures have of this log. */
	uint64_t entries_told, memory_told, files_told;
};

/* What is appended of a batch: maybe less than came. */
struct dedup_verdict {
	const void *data;
	struct batch batch;
	int32_t new_ids;
	int32_t hits;     /* records that are known */
	int64_t original; /* offset of the first record, if all are known; -1 */
	int64_t end;      /* all that are known lie below */
};

/* Looks for the ids in the window, and takes new ones into it at the offsets that are next.  0: the
 * verdict is to be appended, then dedup_appended, or dedup_withdraw; 1: nothing is to be;
 * -ERR_WINDOW_FULL, -ENOMEM, or as batch_filter.h has it: nothing has changed.  `ids` as log_append
 * has them. */
int dedup_admit(struct log *log, const void *data, const struct batch *batch,
		int64_t append_time_ms, const struct dedup_id *ids, struct dedup_verdict *ret);
void dedup_withdraw(struct log *log, const struct dedup_verdict *verdict);
void dedup_appended(struct log *log, const struct dedup_verdict *verdict, int64_t max_ms);
/* A batch of this producer was appended at `base_offset` before.  Where its first record lies:
 * there, or, if all of it was known already then, where that was. */
int64_t dedup_original(struct log *log, const struct batch *batch, int64_t base_offset,
		       const struct dedup_id *ids);

void dedup_init(struct log *log);
/* The window of a log just recovered. */
int dedup_recover(struct log *log);
/* The log's configuration may have changed.  Another definition of what an id is begins an empty
 * window, at once if no file is being written; limits hold from the next housekeeping on. */
void dedup_configure(struct log *log);
void dedup_housekeep(struct log *log);
void dedup_durable(struct log *log); /* durable_offset has risen */
void dedup_changed(struct log *log); /* the store's figures are to be told */
void dedup_fini(struct log *log);    /* a log that was never recovered is fine */

/* dedup_replay.c: takes the ids of the log's batches in [from, to). */
int dedup_replay(struct log *log, int64_t from, int64_t to);
/* Where the ids begin that may be as young as the window, by the segments' timestamps or by when
 * they were written. */
int64_t dedup_replay_start(const struct log *log, int64_t wall_ms);
