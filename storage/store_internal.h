/* storage/store_internal.h: what the files of this folder share about stores, logs and segments. */
#pragma once
#include "base/clock.h"
#include "storage/buffer.h"
#include "storage/compress.h"
#include "storage/dedup_log.h"
#include "storage/open_files.h"
#include "storage/log.h"
#include "storage/producers.h"
#include "storage/quarantine.h"
#include "storage/scrub.h"

#include <sys/types.h>

enum {
	SEGMENT_HEADER_BYTES = 4096,
	BLOCK_BYTES = 4096,
	INDEX_INTERVAL_BYTES = 65536,
	READ_CHUNK_BYTES = 1 << 20,
	RECOVERY_STEP_BYTES = 4 << 20, /* between two looks at the clock */
	FLUSH_ROUNDS = 2,
	PREWRITE_FIRST_BYTES = 64 << 10, /* zeros that a new segment is made with */
	FOLDER_NAME_BYTES = 48,
};

/* Where a batch begins, one every INDEX_INTERVAL_BYTES. */
struct index_entry {
	int64_t offset;
	uint64_t position;
	int64_t max_before_ms; /* largest timestamp of the batches before it in the segment */
};

/* The first batch of a leader epoch.  As it is in an index file. */
struct epoch_start {
	int64_t offset;
	int32_t epoch;
	int32_t reserved; /* 0 */
};

/* A segment's part in a commit round. */
struct segment_flush {
	struct segment *segment;
	struct io io;        /* when its own file is flushed, not the device */
	struct list link;    /* the round's */
	uint64_t reached;    /* of the segment */
	uint64_t zeroed_end; /* zeros that it settles: segment->zeroed_end then; 0: none */
	bool own;
	bool ended;
	int result;
};

struct flush_round {
	struct list segments; /* segment_flush, not yet told */
	unsigned flushes_out;
	unsigned failures; /* store.unflushed_failures, of what it covers */
	uint64_t begun_ns;
	struct io device;
};

enum prewriting { PREWRITE_IDLE, PREWRITE_ZEROS, PREWRITE_FLUSH };

struct segment {
	struct log *log;
	struct list link; /* log.segments, by base offset */
	int64_t base_offset;
	int64_t next_offset; /* after its last batch, or where the log goes on behind what is lost
			      */
	/* From here on all of it is quarantined, and it takes no appends; -1: not so. */
	int64_t lost_from;
	uint64_t id; /* random; ties the index to the file */
	struct open_file file;
	ino_t inode;       /* of the file; 0: not opened yet */
	uint64_t end;      /* append position */
	uint64_t written;  /* everything below has been written ... */
	uint64_t flushed;  /* ... and flushed */
	uint64_t flushing; /* what the flushes under way will have flushed; 0: none */
	/* The last whole batch that is durable: what an index file may speak of. */
	uint64_t durable_end;
	int64_t durable_next_offset;
	int64_t durable_max_ms;
	uint64_t seen_end;       /* durable_end when it last changed, as housekeeping saw it ... */
	uint64_t seen_ns;        /* ... and when */
	uint64_t checkpoint_end; /* the index file on disk reaches this far; 0: none */
	uint64_t allocated_end;  /* file size; writes end below */
	/* Below it every block has been written, and the extents and the size are durable. */
	uint64_t settled_end;
	uint64_t ahead_start, ahead_end;   /* likewise settled, maybe not joined to it */
	uint64_t zeroed_start, zeroed_end; /* zeros written, not yet settled; end 0: none */
	bool shares_flush;                 /* flush.c */
	int64_t max_ms;                    /* largest timestamp; INT64_MIN: none */
	int64_t created_ms;
	struct index_entry *index;
	size_t index_count;
	size_t index_capacity;
	bool index_on_disk;         /* only; segment_need_index */
	uint64_t indexed_to;        /* position that the next entry must reach */
	struct epoch_start *epochs; /* of its batches: the first of each epoch */
	size_t epoch_count;
	size_t epoch_capacity;
	struct io allocate;
	bool allocating;
	struct segment_flush flushes[FLUSH_ROUNDS];
	struct list unflushed; /* store.unflushed */
	struct io prewrite;
	struct list prewrite_link; /* store.prewrites */
	enum prewriting prewriting;
	uint64_t prewrite_start, prewrite_at, prewrite_end; /* the step; done up to `at` */
	unsigned readers;                                   /* reads in flight */
	bool dead;       /* out of the log; freed with its last reader */
	bool compacting; /* its file is being read, and maybe about to be replaced */
	bool replaced;   /* dead, and another has what it had and is still wanted */
	bool torn;       /* something lay behind its last batch */
	bool unused;     /* made, but its header is not yet written */
	bool indexing;   /* its index is being written, by the background thread */
	bool suspect;    /* a reader has met damage: it is to be scrubbed */
	bool idempotent; /* a batch of it may have a producer id */
	bool gaps;       /* between its batches; of those that are compacted, older ones alone */
	bool compacted;  /* its header says where it ends: */
	int64_t extent_next;
	uint64_t extent_end;
};

/* A whole batch ends here: what becomes durable when the segment is flushed this far. */
struct mark {
	struct segment *segment;
	uint64_t position;
	int64_t offset;
	int64_t max_ms; /* of the segment so far */
};

enum log_state {
	LOG_WRITABLE,
	LOG_FAILED,    /* read-only until verified */
	LOG_CLOSING,   /* no appends; what was appended still goes to the disk */
	LOG_ABANDONED, /* closing, and nothing more is written */
};

/* Producers as they were when the log ended at `offset`, to become a file when that is durable. */
struct producers_image {
	uint8_t *bytes; /* null: none */
	size_t size;
	int64_t offset;
};

struct log {
	struct store *store;
	struct log_identity identity;
	struct log_config config;
	enum log_state state;
	char name[FOLDER_NAME_BYTES]; /* of its folder, in the store's; for messages too */
	uint64_t name_number;         /* store.names when the folder was there */
	bool name_durable;
	struct list link;  /* store.logs */
	struct list dirty; /* store.dirty: has bytes to write */

	struct list segments;
	struct segment *active;        /* null: no segment yet */
	struct segment_making *making; /* what will follow it; null: nothing is on its way */
	bool leftovers;                /* files of segments that others stand for are there still */
	int64_t start_offset;
	int64_t next_offset;
	int64_t durable_offset;
	struct epoch_start *epochs;
	size_t epoch_count;

	struct scrub_progress scrub;
	struct quarantine quarantine;
	uint64_t counted_ranges, counted_offsets; /* of it, in the store's statistics */
	bool verify_all;                          /* recovery: no index is believed ... */
	bool snapshots_doubtful;                  /* ... no snapshot of producers either */

	struct list buffers;       /* the tail, in file order */
	struct buffer *write_head; /* first that is not wholly written */
	size_t tail_bytes;         /* of the buffers */

	struct producers producers;
	struct producers_image image;  /* not yet a file */
	bool producers_changed;        /* since the last image */
	struct producers_save *saving; /* the job that makes a file of an image; null: none */
	int snapshot_rc;               /* of the last such */
	int64_t snapshot_offset;       /* of the last that was flushed in this life; 0: none */

	int64_t clean_offset;      /* compacted below it */
	bool compact_broken;       /* damage was found: no more of it until the log is recovered */
	uint64_t compact_retry_ns; /* not before */

	struct dedup_log dedup;

	struct mark *marks; /* ring: appended, not yet durable */
	size_t mark_first, mark_count, mark_capacity;
	struct list submit_waiters;
	struct list durable_waiters;
	struct list watches;

	/* Where the last read from disk ended, with its buffer: sequential readers go on there. */
	struct buffer *ahead;
	struct segment *ahead_segment;
	int64_t ahead_offset;
	uint64_t ahead_position;
	uint64_t ahead_ns; /* when */
	/* ... and what is being read ahead of them; null: nothing. */
	struct file_read *coming;
	int64_t coming_offset;

	uint64_t flush_bytes; /* that a flush has made durable, running mean */

	unsigned io_count;  /* writes, flushes, allocations and reads in flight, ... */
	unsigned reads_out; /* ... of them reads */
	uint64_t retry_ns;  /* failed: not before */
	uint64_t backoff_ns;
	bool remove;
	void (*closed)(void *context);
	void *closed_context;
};

struct store {
	struct store_options options;
	struct store_region *region;
	struct io_backend *io;
	const struct clock *clock;
	int dir_fd;
	struct open_files open_files; /* of all logs' files that are kept open */
	/* Folders are numbered as they are made or found.  Durable are the names of those of
	 * `synced_topic` up to `synced_names`, and of the topics of those up to `synced_topics`. */
	uint64_t names, synced_names, synced_topics;
	struct uuid synced_topic;
	struct list removals;      /* folders that wait for removal.c ... */
	struct removing *removing; /* ... and those that it is at; null: none */
	bool removals_ended;
	struct list logs;
	struct list dirty;
	struct list unflushed;       /* segments with written bytes that await the next round */
	uint64_t unflushed_bytes;    /* theirs, about */
	unsigned unflushed_failures; /* of flushes, before any of them was written; flush.c */
	uint64_t second_round_bytes; /* a round may begin beside another when so many wait */
	struct flush_round rounds[FLUSH_ROUNDS];
	unsigned round_first, round_count; /* under way */
	int flush_fd; /* its fdatasync flushes the device; -1: each file by itself */
	dev_t flush_device;
	unsigned round_logs; /* in the last round */
	struct list again;   /* log_append of batches sent again that are durable: done next turn */
	unsigned tails;      /* logs that have a buffer */
	bool nothing_to_evict; /* no tail buffer will be durable before the next flush ends */
	int64_t wall_ms;       /* 0: not asked for since the last store_submit */
	uint64_t now_ns;       /* monotonic, likewise */
	struct list prewrites; /* segments that want zeros ahead of them */
	unsigned prewrites_out;
	unsigned makings_out; /* segments on their way */
	struct decompressor *decompressor;
	uint64_t recovery_told_ns; /* when the last line about it was written; 0: never */
	uint64_t recovery_told_bytes;
	unsigned recovered_logs;
	unsigned checkpoints_out;      /* jobs */
	struct scrub *scrub;           /* the job that is out; null: none */
	struct batch_filter *filter;   /* made when first needed */
	struct compaction *compaction; /* under way; null: none */
	uint64_t compact_next_ns;      /* not before */
	uint64_t boot;                 /* tells this run of the machine from others; 0: not known */
	struct store_stats stats;
};

static inline bool log_writes(const struct log *log)
{
	return log->state == LOG_WRITABLE || log->state == LOG_CLOSING;
}

static inline bool log_closing(const struct log *log)
{
	return log->state == LOG_CLOSING || log->state == LOG_ABANDONED;
}

/* Asked for once between two store_submits: a small append costs little more than that. */
static inline int64_t store_wall_ms(struct store *store)
{
	if (!store->wall_ms)
		store->wall_ms = clock_wall_ms(store->clock);
	return store->wall_ms;
}

/* Likewise. */
static inline uint64_t store_now_ns(struct store *store)
{
	if (!store->now_ns)
		store->now_ns = clock_monotonic_ns(store->clock);
	return store->now_ns;
}

/* segment_make.c */
/* The new last segment, durably, before it returns. */
int segment_create(struct log *log, int64_t base_offset);
/* The same, at the end of the log, whose last one is sealed.  -ENOBUFS: it is on its way, and
 * appends wait; if that fails the log has failed. */
int segment_make(struct log *log);
/* One is on its way, or there are enough of them in the store. */
bool segment_make_waits(const struct log *log);

/* segment.c, segment_index.c, segment_load.c */
/* `next_base`: where the segment behind it begins, -1 for the last. */
int segment_load(struct log *log, int64_t base_offset, int64_t next_base, char *why,
		 size_t why_bytes);
/* More room in its index and epochs where one of them is full.  -ENOMEM. */
int segment_grow(struct segment *segment);
/* Makes segment_add_batch unable to fail. */
static inline int segment_reserve(struct segment *segment)
{
	if (segment->index_count < segment->index_capacity &&
	    segment->epoch_count < segment->epoch_capacity)
		return 0;
	return segment_grow(segment);
}
/* Of a batch at `offset`, when these are the first of each epoch. */
static inline bool epoch_fits(const struct epoch_start *epochs, size_t count, int64_t offset,
			      int32_t epoch)
{
	while (count && epochs[count - 1].offset > offset)
		count--;
	return !count || epochs[count - 1].epoch == epoch;
}
/* Is it the one that the segment holds where `offset` comes next?  Its checksum covers neither its
 * offset nor the leader's epoch, and where an index vouches for what is there nobody has verified
 * that. */
static inline bool segment_may_hold(const struct segment *segment, const struct batch *batch,
				    int64_t offset)
{
	bool follows = segment->gaps ? batch->base_offset >= offset : batch->base_offset == offset;

	return follows && batch->base_offset < segment->next_offset &&
	       batch->last_offset_delta >= 0 &&
	       batch->last_offset_delta < segment->next_offset - batch->base_offset &&
	       batch->leader_epoch <= segment->log->identity.leader_epoch &&
	       epoch_fits(segment->epochs, segment->epoch_count, batch->base_offset,
			  batch->leader_epoch);
}
/* A batch that begins there, in the midst of others.  -ENOMEM. */
int segment_add_entry(struct segment *segment, uint64_t position, int64_t offset);
void segment_add_batch(struct segment *segment, const struct batch *batch, uint64_t position);
/* The offset up to which an index of that base offset speaks, whosoever it is; -1: none that
 * checks. */
int64_t segment_index_end(struct log *log, int64_t base_offset);
int segment_checkpoint(struct segment *segment); /* writes the index file, up to durable_end */
void segment_seal(struct segment *segment);      /* that, and gives back what is behind the end */
int segment_cut(struct segment *segment); /* nothing but zeros behind the last batch, durably */
/* The file, opened if need be: its number, to be used soon, or for as long as something is under
 * way for the segment that segment.c knows of.  -errno. */
int segment_fd(struct segment *segment);
void segment_free(struct segment *segment);
/* Nothing of it is waited for, and nobody is about to replace it. */
bool segment_deletable(const struct log *log, const struct segment *segment);
void segment_unlink(struct segment *segment);
void segment_unlink_at(const struct log *log, int64_t base_offset);
/* The index of a closed segment is in memory while its file is open.  -errno, -ERR_CORRUPT: there
 * is none, and the segment does not have what it had. */
int segment_need_index(struct segment *segment);
/* A position at or below that of the batch with `offset`, where one begins, and its offset.
 * Likewise. */
int segment_seek(struct segment *segment, int64_t offset, uint64_t *ret_position,
		 int64_t *ret_offset);
struct segment *log_segment_at(const struct log *log, int64_t offset);

/* recovery.c */
/* `must_reach`: a log that ends below it has lost something. */
int log_recover(struct log *log, int64_t must_reach, char *why, size_t why_bytes);
/* So many bytes more have been read; every second a line says how it goes. */
void recovery_went_on(struct log *log, uint64_t bytes);
/* The same, seldom: a segment has been read up to `position`, and up to *told the last time. */
static inline void recovery_reached(struct log *log, uint64_t position, uint64_t *told)
{
	if (position - *told < RECOVERY_STEP_BYTES)
		return;
	recovery_went_on(log, position - *told);
	*told = position;
}
int log_write_meta(struct log *log);
/* Beside and renamed, durably. */
int log_write_file(const struct log *log, const char *name, const void *data, size_t length);

/* quarantine_log.c */
/* What the folder has of it.  -ERR_CORRUPT: it cannot be believed, and is empty; -ERR_FORMAT,
 * -errno. */
int log_read_quarantine(struct log *log);
int log_write_quarantine(struct log *log); /* durably, if it has changed */
/* Takes it up and tells the operator, once, unless it is missing from below the log's start;
 * log_write_quarantine is still to come.  -ENOMEM. */
int log_quarantine(struct log *log, const struct damage *damage);
/* Takes out what a device could not read and can now, up to the first that it still cannot.  True:
 * something, and whoever took the rest of those segments for granted has to verify them. */
bool log_reread_quarantine(struct log *log);
void log_count_quarantine(struct log *log); /* its gauges are what it is now */
void log_lift_quarantine(struct log *log);  /* of what lies before the log's start */

/* folder.c */
int folder_make(struct log *log); /* it may be there already */
/* The folder itself, and a file in it: a descriptor of the caller's, or -errno. */
int folder_open(const struct log *log);
int folder_open_file(const struct log *log, const char *name, int flags);
int folder_unlink(const struct log *log, const char *name);
int folder_rename(const struct log *log, const char *from, const char *to);
int folder_sync(const struct log *log); /* the names in it */
/* The folder's name must be there after a power cut, or what is stored below it is lost: before the
 * first segment. */
int folder_sync_name(struct log *log);
/* Removes what is in a partition's folder, "<topic>/<partition>", or in a topic's, and then itself;
 * at most *budget names, from which it takes those that have gone.  False: the budget is used up.
 * What cannot be removed is passed over. */
bool folder_remove(int dir_fd, const char *name, unsigned *budget);
int folder_remove_empty(int dir_fd, const char *name); /* -ENOTEMPTY */

/* removal.c */
/* The folder of a log that is gone. */
void removal_add(struct store *store, const char *name);
void removal_housekeep(struct store *store); /* goes on where there was no memory for it */
void removal_fini(struct store *store);

/* log.c */
/* Elsewhere or, without store_options.offload, here and now with `done`: the log may be gone then,
 * if it is closing. */
void store_job_start(struct store *store, struct store_job *job);
void log_seal(
	struct log *log); /* the active segment, durable to its end, is followed by no append */
int log_note_epoch(struct log *log, int32_t epoch, int64_t offset);
void log_drop_ahead(struct log *log);
/* It is no more of the log; freed with its last reader. */
void log_retire_segment(struct log *log, struct segment *segment);

/* producer_files.c */
/* The producers and transactions of a log just recovered: from the newest snapshot and what lies
 * behind it.  On failure they stay what they were. */
int producers_recover(struct log *log);
/* Takes an image of the producers, if they have changed; it becomes a file when the log is durable
 * so far.  What cannot be written is only read again at the next start. */
void producers_checkpoint(struct log *log);
void producers_durable(struct log *log); /* durable_offset has risen */
/* What the segment tells of producers outlives it: 1, a flushed snapshot knows of it; 0, one is
 * being made; negative: the last could not be written. */
int producers_reach(struct log *log, const struct segment *segment);

/* log_producers.c */
/* Producers that have expired, and transactions that lie before the log's start. */
void producers_forget(struct log *log);

/* flush.c */
void flush_probe(struct store *store);
bool flush_shares(const struct store *store, int fd);
void flush_want(struct segment *segment);
void flush_start(struct store *store); /* unless a round is under way */

/* prewrite.c */
void prewrite_ahead(struct log *log);
/* Everything of the segment below `end` is settled, and the zeros of the last step as well. */
void prewrite_settled(struct segment *segment, uint64_t end, bool zeros_too);
/* Zeros are on their way to these bytes: wait. */
bool prewrite_overlaps(const struct segment *segment, uint64_t start, uint64_t end);

/* tail.c */
/* Room for `size` bytes behind the tail.  -ENOBUFS: until writes drain; -errno: what is on the disk
 * cannot be read back. */
int tail_prepare(struct log *log, size_t size);
/* Into the room that was made: what is stored has our offset and epoch in its header. */
void tail_store(const struct log *log, const uint8_t *data, const struct batch *batch,
		int64_t append_time_ms);
/* Of a buffer that nothing is left to be done for: durable, or of a log that is over. */
void tail_give_up(struct log *log, struct buffer *buffer);
void tail_drop(struct log *log);

/* commit.c */
int commit_grow_marks(struct log *log); /* -ENOMEM */
/* Makes commit_add_mark unable to fail. */
static inline int commit_reserve_mark(struct log *log)
{
	return log->mark_count < log->mark_capacity ? 0 : commit_grow_marks(log);
}
void commit_add_mark(struct log *log, struct segment *segment); /* at the segment's end */
void commit_want(struct log *log);                              /* store_submit looks at the log */
void commit_flushed(struct log *log); /* takes the marks below segment->flushed */
/* Callers that have not counted an operation in io_count touch the log no more. */
void commit_fail(struct log *log, int rc, const char *what);
void commit_abandon(struct log *log, int rc); /* tells all waiters */
/* Of all logs, which may be about to go: those that wait for the turn's end alone. */
void commit_answer_repeats(struct store *store);
bool commit_try_repair(struct log *log); /* a failed log, when its time has come */
void log_finish_close(struct log *log);
void log_wake_watches(struct log *log);
