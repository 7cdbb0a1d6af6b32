/* storage/log.h: the log of one partition, and the store that all logs of a shard share.
 *
 * Owner: one shard; every call runs on its thread.  Storage returns errors and never answers
 * clients.  A log's states: opening -> writable <-> read-only (after a failed write or flush, until
 * verified) -> closing.  Formats: storage/README.md. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/histogram.h"
#include "base/list.h"
#include "base/uuid.h"
#include "storage/batch.h"
#include "storage/dedup.h"
#include "storage/io.h"
#include "storage/quarantine.h"

struct clock;
struct store; /* per shard: buffers, commit stream, read cache */
struct log;

/* Work that blocks or takes long and needs nothing of the shard.  It is done in steps on another
 * thread, one job's at a time there, and ends with `done` on the shard's. */
struct store_job {
	/* A bounded piece, of about a MiB or a millisecond.  Returns how many nanoseconds from now
	 * it wants to go on, 0: when others have had their turn, or STORE_JOB_DONE. */
	uint64_t (*step)(struct store_job *job);
	void (*done)(struct store_job *job);
	/* Set once, by store_job_give_up: a job of many steps undoes what it has begun, or leaves
	 * it, and ends soon; one of a few goes on to its end. */
	atomic_bool give_up;
};
#define STORE_JOB_DONE UINT64_MAX
/* All steps, here and now, without the pauses. */
void store_job_run(struct store_job *job);
/* On the shard's thread, while the job is out: ends its pause too. */
void store_job_give_up(struct store *store, struct store_job *job);

struct store_options {
	const char *directory;   /* <data>/topics; must exist */
	size_t buffer_bytes_max; /* tail and read buffers of this shard together */
	bool direct_io;          /* try O_DIRECT (fall back where the file system refuses) */
	/* Idempotent producers that a log remembers; 0: none, no batch is known to be one sent
	 * again. */
	size_t producers_max;
	size_t producers_total_max;     /* of all logs together, about; 0: no limit */
	int64_t producer_expiration_ms; /* of one that is silent */
	/* Memory of all dedup windows together; beyond, old ids go to files.  0: no limit. */
	size_t dedup_bytes_max;
	int64_t scrub_interval_ms;       /* between two readings of a closed segment; 0: none */
	uint64_t scrub_bytes_per_second; /* 0: no limit */
	/* Compaction: memory for the keys of a pass, what it reads and writes a second at most (0:
	 * no limit), and how long it rests when there is nothing to do. */
	size_t compact_map_bytes;
	uint64_t compact_bytes_per_second;
	int64_t compact_backoff_ms;
	/* Files of segments and dedup windows that are kept open; 0: no limit. */
	unsigned open_files_max;
	size_t index_bytes_max; /* of closed segments' indexes in memory; 0: no limit */
	/* Has the job's steps taken elsewhere, then `done` run on the shard's thread.  Null: all of
	 * that happens at once, in the call, and so does making a segment. */
	void (*offload)(void *context, struct store_job *job);
	void (*hurry)(void *context); /* a job that is out is to give up; null: nothing to do */
	void *offload_context;
	/* Take for granted what flush.c looks for otherwise: of a simulated disk it is known. */
	bool flush_shared;
};

/* The region that the backend should register (io_options.region ...) is made first, because the
 * backend needs it: store_region_new maps it lazily. */
struct store_region;
int store_region_new(struct store_region **ret, size_t bytes_max);
void store_region_free(struct store_region *region);
void store_region_options(const struct store_region *region, struct io_options *ret_options);

/* Those options that may change while the store is in use; jobs that are under way keep what they
 * began with. */
struct store_limits {
	int64_t producer_expiration_ms;
	uint64_t scrub_bytes_per_second;
	uint64_t compact_bytes_per_second;
	int64_t compact_backoff_ms;
};
void store_set_limits(struct store *store, const struct store_limits *limits);

int store_new(struct store **ret, const struct store_options *options, struct store_region *region,
	      struct io_backend *backend, const struct clock *clock);
void store_free(struct store *store); /* all logs closed; null is fine */
/* Once a loop turn, after requests were handled: submits writes and the next flush. */
void store_submit(struct store *store);
/* Retention, segment preparation, time-outs of failed logs; cheap; every second or so. */
void store_housekeep(struct store *store);

struct store_stats {
	uint64_t appends, append_bytes, writes, write_bytes, flushes, reads, read_bytes;
	uint64_t tail_hits, read_cache_hits, buffer_bytes, failures, segments_deleted;
	uint64_t producers, producers_forgotten, duplicates;
	uint64_t dedup_entries, dedup_memory_bytes, dedup_file_bytes;
	uint64_t dedup_hits, dedup_evictions, dedup_rejections;
	uint64_t quarantined_ranges, quarantined_offsets; /* now, of all logs */
	uint64_t scrubbed_bytes;
	uint64_t compactions, compact_read_bytes, compact_written_bytes;
	uint64_t compact_removed_bytes, compact_removed_records;
	uint64_t recovered_bytes; /* read when logs were opened, to be verified or replayed */
	uint64_t files_open, index_bytes; /* kept open, and held in memory for them */
	struct histogram
		rounds; /* of commits: from the first flush's beginning to the last's end */
};
const struct store_stats *store_stats(const struct store *store);

struct log_identity {
	struct uuid topic_id;
	int32_t partition;
	int32_t leader_epoch; /* of this run of the broker; never lower than an earlier run's */
};

struct compact_config {
	bool enabled; /* cleanup.policy has compact */
	double min_dirty_ratio;
	int64_t min_lag_ms;
	int64_t max_lag_ms;
	int64_t delete_retention_ms; /* of tombstones and markers */
};

struct log_config {              /* Kafka's topic configs of the same names */
	int64_t retention_ms;    /* -1: for ever */
	int64_t retention_bytes; /* -1: no limit */
	uint64_t segment_bytes;
	int64_t segment_ms;
	bool delete_enabled; /* cleanup.policy has delete */
	bool read_unflushed; /* let readers see what is not yet durable */
	struct compact_config compact;
	struct dedup_config dedup;
};

/* Opens or creates <directory>/<topic id hex>/<partition>/, recovering it: verifies batches after
 * the last checkpoint, cuts a torn tail, rebuilds indexes.  Blocks: before the shard serves, or for
 * a new partition, where nothing is read.  Damage before the tail is quarantined (quarantine.h).
 * -ERR_CORRUPT: what there is cannot be a log, or ends before what is known to have been durable;
 * the folder is left as it is and `why` says where.  -ERR_FORMAT, -errno. */
int log_open(struct log **ret, struct store *store, const struct log_identity *identity,
	     const struct log_config *config, char *why, size_t why_bytes);
void log_set_config(struct log *log, const struct log_config *config);
/* No more appends.  What was appended is written and flushed, its waiters are answered as ever
 * (store_submit must go on being called), the index is written; then `closed(context)` runs, maybe
 * from inside this call, and the log is gone.  `remove`: waiters get -ERR_CLOSING, the files
 * go, maybe later: as a job.  A log that has failed is closed as it is. */
void log_close(struct log *log, bool remove, void (*closed)(void *context), void *context);
/* What an earlier life has left of a topic that was deleted goes, as after log_close; there may be
 * nothing.  -ENOMEM. */
int store_remove_topic(struct store *store, const struct uuid *topic_id);
/* Stop: what is not removed by now, or is closed from now on, is left for store_remove_topic. */
void store_end_removals(struct store *store);

/* ---- append ---- */
enum log_ack {
	ACK_SUBMITTED, /* acks=1 (and 0): accepted and handed to the disk */
	ACK_DURABLE,   /* acks=all: flushed */
};

struct log_append {
	struct list waiting; /* the log's */
	int64_t end_offset;  /* the log's */
	enum log_ack ack;
	int64_t base_offset;
	/* Of a log with a dedup window: the id of each record, all zero where it has none.  Null:
	 * the batch passes the window by. */
	const struct dedup_id *ids;
	/* Runs once, later, after log_append returned 0: 0, -ERR_STORAGE or -ERR_CLOSING. */
	void (*done)(struct log_append *append, int rc);
};

/* Appends one validated batch: assigns offsets, copies `data` once; `data` is free on return.
 * 0: accepted, base_offset is set, `done` will run.  1: nothing is appended, as its producer has
 * sent it before, or all of its records are in the dedup window, or it is a marker of a transaction
 * that has none open here; base_offset is that of the first, -1 for a marker; `done` runs as it
 * does for that, for a marker as for all that was appended before. Of a batch with some records in
 * the window the others are appended, at the offsets that they have in the whole. -ERR_CORRUPT
 * (control batches: control_batch.h), -ERR_SEQUENCE, -ERR_PRODUCER_EPOCH, -ERR_TXN_STATE
 * (producers.h), -ERR_WINDOW_FULL, -ERR_STORAGE, -ERR_CLOSING, -ENOMEM, -ERR_BATCH_OVER_SEGMENT,
 * -ERR_TOO_LARGE (for the buffers), -ENOBUFS (buffers full until writes drain, or a full segment is
 * being flushed, or the next one made: the caller waits and tries again): nothing happened and
 * `done` will not run. `append_time_ms` >= 0 stamps the batch with LogAppendTime. */
int log_append(struct log *log, const void *data, const struct batch *batch, int64_t append_time_ms,
	       enum log_ack ack, struct log_append *append);

/* ---- producers and transactions ---- */
/* What log_append would say of the batch's producer now: 0, 1 or -ERR_SEQUENCE,
 * -ERR_PRODUCER_EPOCH, -ERR_TXN_STATE (of a batch in a transaction: the marker of the one before
 * is still to come).  *ret_open: it has a transaction open in this log.  Of a log that is not
 * writable nothing is known: 0, and none is open. */
int log_check_producer(const struct log *log, const struct batch *batch, bool *ret_open);
/* It is writable, and remembers nothing of the producer. */
bool log_lacks_producer(const struct log *log, int64_t producer_id);
/* The epoch of the producer whose transaction is open in this log; -ERR_TXN_STATE: it has none
 * open; -ERR_STORAGE: the log has failed, or is closing. */
int log_open_epoch(const struct log *log, int64_t producer_id);

struct aborted_transaction {
	int64_t producer_id;
	int64_t first_offset;
	int64_t last_offset; /* of its marker */
};
/* Those that ended in an abort and have an offset in [from, below), by last offset; up to `max` of
 * them go to `out`.  Returns how many there are. */
size_t log_aborted(const struct log *log, int64_t from, int64_t below,
		   struct aborted_transaction *out, size_t max);
/* Whether there is one with an offset at or above `from`; soon said, however many there are. */
bool log_has_aborted(const struct log *log, int64_t from);

struct log_producer {
	int64_t id;
	int16_t epoch;
	int32_t last_sequence;     /* -1: none, its last transaction has ended */
	int64_t last_timestamp_ms; /* of its last batch, as that says; -1: none */
	int32_t coordinator_epoch; /* of its last marker; -1: none */
	int64_t open_offset;       /* where its open transaction begins; -1: none is open */
};
/* Up to `max` of the producers that the log remembers go to `out`.  Returns how many there are. */
size_t log_producers(const struct log *log, struct log_producer *out, size_t max);

/* Up to `max` of the ranges in quarantine go to `out`.  Returns how many there are. */
size_t log_quarantined(const struct log *log, struct damage *out, size_t max);

void log_dedup_status(const struct log *log, struct dedup_status *ret);

/* ---- positions ---- */
int64_t log_start_offset(const struct log *log);
int64_t log_end_offset(const struct log *log);     /* next offset to be assigned */
int64_t log_high_watermark(const struct log *log); /* what readers may see; see read_unflushed */
/* What readers of committed records may see: nothing of a transaction that is open, or whose end is
 * not durable.  At most what is durable, whatever read_unflushed says, and at least the log's
 * start; it never falls. */
int64_t log_last_stable_offset(const struct log *log);
int32_t log_leader_epoch(const struct log *log);
/* Until it is verified: what then is found behind the high watermark belongs to the log. */
bool log_failed(const struct log *log);
uint64_t log_bytes(const struct log *log);
/* Largest epoch <= `epoch` and the offset where it ends; -1/-1 when none. */
void log_epoch_end(const struct log *log, int32_t epoch, int32_t *ret_epoch, int64_t *ret_end);

/* ---- read ---- */
enum { LOG_READ_VECTORS = 64 };

struct log_read {
	int64_t offset;      /* in: first offset wanted */
	size_t bytes_max;    /* in */
	bool oversize_first; /* in: give the first batch even if larger than bytes_max */
	bool committed;      /* in: none at or above the last stable offset either */
	/* Runs exactly once, also when the data is at hand (then from inside log_read).  rc: 0
	 * (maybe 0 bytes), -ERR_OFFSET_RANGE, -ERR_CORRUPT (it is quarantined), -ERR_STORAGE,
	 * -ERR_CLOSING, -ENOBUFS (readers have not released so much that there is no memory for
	 * another: try later). */
	void (*done)(struct log_read *read, int rc);
	/* out: whole batches, the first containing `offset`, none at or above the high watermark;
	 * the bytes stay valid until log_read_release. */
	struct iovec vectors[LOG_READ_VECTORS];
	unsigned vector_count;
	size_t bytes;
	uint64_t records; /* in those batches, as their headers have it */
	/* the log's */
	struct buffer *held[LOG_READ_VECTORS];
	struct list link;
	void *state;
};
void log_read(struct log *log, struct log_read *read);
void log_read_release(struct store *store, struct log_read *read); /* after done; twice is fine */

/* One-shot: `changed` runs when the high watermark or the last stable offset rises or the log
 * closes, fails or recovers; it must not close the log. */
struct log_watch {
	struct list link;
	void (*changed)(struct log_watch *watch);
};
void log_watch(struct log *log, struct log_watch *watch);
void log_unwatch(struct log_watch *watch); /* harmless when it is not watching */

/* ---- find by time ---- */
struct log_find {
	int64_t timestamp_ms; /* in: >= 0 first record at or after it; -3: the record with the
				 largest timestamp */
	bool committed;       /* in: as log_read has it */
	void (*done)(struct log_find *find, int rc); /* as log_read's */
	int64_t offset;                              /* out: -1 none */
	int64_t found_ms;                            /* out: -1 none */
	int32_t leader_epoch;                        /* out */
	struct log_read read;                        /* the log's */
	struct log *log;
};
void log_find(struct log *log, struct log_find *find);

/* ---- delete records ---- */
struct log_trim {
	int64_t offset; /* in: the new log start; -1: the end of what is durable */
	/* The new start is durable; -ERR_OFFSET_RANGE: above what is durable, -ERR_STORAGE: the log
	 * has failed, -errno: the start could not be written. */
	void (*done)(struct log_trim *trim, int rc);
	int64_t start_offset; /* out */
	struct list link;
};
void log_trim(struct log *log, struct log_trim *trim);
