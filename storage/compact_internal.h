/* storage/compact_internal.h: one compaction of a log, which two threads have in turns.
 *
 *     compact.c           the shard: which log and how far; new segments in place of the old
 *     compact_pass.c      the background: its steps
 *     compact_records.c   ... what stays of a batch
 *
 * Phases: map -> group -> rewrite -> seal -> swap -> (shard) -> group -> ... -> mark -> over. */
#pragma once
#include "base/map64.h"
#include "storage/batch_filter.h"
#include "storage/compact_map.h"
#include "storage/compact_write.h"
#include "storage/compress.h"
#include "storage/file_window.h"
#include "storage/store_internal.h"

enum compact_phase {
	COMPACT_MAP,     /* reads the dirty part: which record of each key is the last */
	COMPACT_GROUP,   /* which segments become the next one */
	COMPACT_REWRITE, /* what stays of them is written */
	COMPACT_SEAL,
	COMPACT_SWAP,   /* the new file gets the old ones' name */
	COMPACT_PLACED, /* ... and goes to the shard */
	COMPACT_MARK,   /* how far it is compacted is written down */
	COMPACT_OVER,
};

/* A closed segment.  While it is one of these nothing else removes its file. */
struct compact_source {
	struct segment *segment; /* the shard's to look at; null: another has its place */
	int64_t base_offset;
	int64_t next_offset;
	uint64_t end;
	int64_t created_ms;
	bool gaps;
	struct epoch_start *epochs; /* of its batches, a copy */
	size_t epoch_count;
};

/* What a pass over the log knows of a producer. */
struct compact_producer {
	int64_t id;
	int16_t epoch;
	bool remembered;       /* by the log: its batches from `oldest_offset` on stay, if empty */
	bool kept;             /* something of its transaction stays, so its marker has to */
	int64_t oldest_offset; /* of the batches that the log remembers */
	int64_t aborted_from; /* its last aborted transaction that the pass has come to; -1: none */
	int64_t aborted_to;   /* ... its marker */
};

struct compact_stats {
	uint64_t read_bytes, written_bytes, removed_bytes, records, removed_records;
};

struct compaction {
	struct store_job job;
	struct log *log;
	enum compact_phase phase;
	int rc;
	char why[160];

	/* Settled by the shard when it begins. */
	struct compact_source *sources; /* from the log's first segment on */
	size_t source_count;
	int64_t dirty_from;
	int64_t clean_before; /* compacted up to here, durably */
	int64_t now_ms;
	int64_t delete_retention_ms;
	uint64_t group_bytes_max;
	uint64_t bytes_per_second; /* 0: no limit */
	size_t map_bytes_max;
	struct aborted_transaction *aborted; /* by first offset */
	size_t aborted_count;
	struct compact_producer *remembered;
	size_t remembered_count;

	/* The background's. */
	struct decompressor *decompressor;
	struct batch_filter *filter, *horizon_filter;
	struct compact_map map;
	int64_t map_end; /* the map knows of everything from dirty_from on and below */
	struct map64 producers;
	size_t aborted_next;
	/* Where it reads. */
	size_t source;
	int fd; /* -1: not open */
	struct file_window window;
	uint64_t position;
	int64_t offset;           /* that comes next */
	uint64_t throttled_bytes; /* moved, not yet paused for */

	/* The segments [group_first, group_end) become the writer's. */
	size_t group_first, group_end;
	struct compact_writer writer;
	bool changed; /* the group's new segment differs from what there is */

	struct compact_stats stats;
};

/* compact_pass.c: job.step. */
uint64_t compact_step(struct store_job *job);

/* compact_records.c */
/* The pass begins at the log's first batch. */
int compact_records_begin(struct compaction *compaction);
void compact_records_end(struct compaction *compaction);
/* Puts the batch's keys into the map, up to where it is full: 1 then, and map_end is there. */
int compact_records_map(struct compaction *compaction, const void *data, const struct batch *batch);
/* 1: *ret_data has *ret_batch, what stays of the batch; 0: nothing stays. */
int compact_records_keep(struct compaction *compaction, const void *data, const struct batch *batch,
			 const void **ret_data, struct batch *ret_batch);
