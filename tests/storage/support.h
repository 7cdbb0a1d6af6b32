/* tests/storage/support.h: what the storage tests share: batches made by the number, a store with
 * one log in a folder of its own under a clock that the test moves, and calls that turn the back
 * end until an answer is there. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "storage/batch.h"
#include "storage/io.h"
#include "storage/log.h"

/* ---- chance ---- */

struct chance {
	uint64_t state;
};

uint64_t chance_next(struct chance *chance);
/* 0 <= result < below. */
uint64_t chance_below(struct chance *chance, uint64_t below);
static inline bool chance_one_in(struct chance *chance, uint64_t n)
{
	return chance_below(chance, n) == 0;
}

/* ---- batches ---- */

struct made_batch {
	uint8_t *data; /* to free */
	size_t size;
	struct batch batch;
	struct dedup_id *ids; /* of its records, for a dedup window; null: none; to free */
};

/* `records` records of about `value_bytes` each, contents from `seed`; the first at `first_ms`,
 * each one a millisecond later. */
struct made_batch make_batch(unsigned records, size_t value_bytes, int64_t first_ms, uint64_t seed);
/* Of a producer, its contents follow from it and the sequence. */
struct made_batch make_producer_batch(unsigned records, size_t value_bytes, int64_t producer_id,
				      int16_t epoch, int32_t sequence, uint16_t attributes);
struct control_marker;
struct made_batch make_marker(const struct control_marker *marker);
struct batch_build;
/* Its records, before it is sealed. */
void compress_build(struct batch_build *build, enum batch_codec codec);
/* Puts the right length and CRC into a batch whose other bytes were edited. */
void fix_batch(uint8_t *data, size_t size);

/* ---- folders ---- */

/* A new folder under $TMPDIR, or, if `memory`, on a memory file system that has room. */
void make_folder(char path[static 128], bool memory);
void remove_folder(const char *path);
void copy_folder(const char *from, const char *to); /* plain files and folders */
/* A whole file; *ret_size is set.  To free. */
uint8_t *load_file(const char *path, size_t *ret_size);
void save_file(const char *path, const void *data, size_t size);
bool file_exists(const char *path);

/* ---- a store with one log ---- */

enum { RIG_PRODUCER_EXPIRATION_MS = 24 * 3600 * 1000 };

struct rig {
	struct clock clock; /* first: the clock's functions get the rig back */
	uint64_t now_ns;
	int64_t now_ms;
	char folder[128];
	const char *io_kind; /* "uring", "sync", or null: `io` is given */
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log *log;
	struct log_identity identity;
	struct log_config config;
	bool direct_io;
	bool flush_shared;    /* as direct_io, an option of the next store */
	size_t producers_max; /* likewise, ... */
	size_t dedup_bytes_max;
	int64_t scrub_interval_ms;
	uint64_t scrub_bytes_per_second;
	size_t compact_map_bytes;
	unsigned open_files_max;
	size_t index_bytes_max;
	uint64_t compact_bytes_per_second;
	void (*offload)(void *context, struct store_job *job); /* its context is the rig */
	struct store_job *job; /* that is out, where they are kept */
	bool closed;
};

/* Folder, back end and store; no log yet.  `io` null: made of `kind`. */
void rig_init(struct rig *rig, const char *kind, struct io_backend *io, size_t buffer_bytes);
void rig_fini(struct rig *rig); /* the folder too */
/* The log of the rig's identity, config and folder. */
int rig_try_open(struct rig *rig, char *why, size_t why_bytes);
void rig_open(struct rig *rig);  /* must succeed */
void rig_close(struct rig *rig); /* turns until closed */
void rig_begin_close(struct rig *rig);
void rig_reopen(struct rig *rig); /* the next run of the broker: a higher leader epoch */
/* The folder as it is now becomes the rig's, without the log being closed in it: a kill -9. */
void rig_kill(struct rig *rig);
/* Closes the log; `folder` becomes the rig's and the old one is removed. */
void rig_move(struct rig *rig, const char *folder);
/* A new store on the same folder, with the options as they are now; no log is open. */
void rig_restart(struct rig *rig);
/* <folder>/<topic>/<partition>/<name> */
void rig_path(const struct rig *rig, const char *name, char path[static 256]);

enum { SEGMENT_POSITIONS_MAX = 64 };
/* Where the batches of a segment's file begin, and their end; their number. */
unsigned segment_positions(const char *path, size_t at[static SEGMENT_POSITIONS_MAX]);

/* From the next rig_restart on the store's jobs wait in rig->job, one at a time, and nobody takes
 * their steps. */
void rig_keep_jobs(struct rig *rig);
void rig_run_job(struct rig *rig);    /* to its end; it comes back */
void rig_return_job(struct rig *rig); /* comes back as it is */
void rig_keep_no_jobs(struct rig *rig);

/* So long passes by both clocks. */
void rig_pass_time(struct rig *rig, int64_t ms);
/* One turn of the loop; sleeps up to 10 ms when nothing is to be done. */
void rig_turn(struct rig *rig);

struct rig_append {
	struct log_append append;
	bool done;
	int rc;
};
/* As log_append, the callback set. */
int rig_start_append(struct rig *rig, const struct made_batch *batch, enum log_ack ack,
		     struct rig_append *append);
/* Appends, turning while the buffers are full, and waits for the answer; returns it. */
int rig_append(struct rig *rig, const struct made_batch *batch, enum log_ack ack,
	       int64_t *ret_base_offset);
/* `count` batches of one record. */
void rig_fill(struct rig *rig, unsigned count, size_t value_bytes, int64_t first_ms);

/* A read that somebody waits for: read.done is waited_read_done. */
struct waited_read {
	struct log_read read;
	bool done;
	int rc;
};
void waited_read_done(struct log_read *read, int rc);

struct rig_read {
	uint8_t *data; /* joined; to free */
	size_t size;
	int rc;
};
struct rig_read rig_read(struct rig *rig, int64_t offset, size_t bytes_max, bool oversize_first);
struct rig_read rig_read_committed(struct rig *rig, int64_t offset, size_t bytes_max);
/* Finds by time; returns rc, outputs as log_find's. */
int rig_find(struct rig *rig, int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_ms);
int rig_find_committed(struct rig *rig, int64_t timestamp_ms, int64_t *ret_offset);
int rig_trim(struct rig *rig, int64_t offset, int64_t *ret_start);
/* Reads everything from the log's start: checks framing, checksums, that offsets follow one another
 * and reach the high watermark.  Returns the number of batches. */
unsigned rig_check_all(struct rig *rig);
