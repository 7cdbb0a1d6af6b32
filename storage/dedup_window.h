/* storage/dedup_window.h: the ids that one log remembers, in buckets that follow one another in
 * time.
 *
 *     oldest                                                newest
 *     | bucket | bucket | ... | bucket | bucket | ... | bucket | open: takes new ids |
 *     '- spilled: filter and file ----'---- held: in the table --------------------'
 *
 * A bucket covers the batches of an interval of offsets, [from, to).  It ends after a sixteenth of
 * the window, or when it has a sixteenth of the entries allowed.  It is dropped as a whole when its
 * last id is older than the window by both clocks: the monotonic one, and the stored timestamps, of
 * which the largest so far counts.  So an id is remembered for the window and at most about a
 * sixteenth longer than both say.
 *
 * Owner: the log's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "storage/dedup.h"
#include "storage/dedup_file.h"
#include "storage/dedup_table.h"
#include "storage/open_files.h"

enum {
	DEDUP_SHARES = 16,   /* a bucket has one of so many, of the window and of its entries */
	DEDUP_PREFETCH = 16, /* ids ahead of the one that is looked for */
};

struct dedup_chunk; /* ids as they came */

/* Where the ids of a bucket are that has left the table. */
struct dedup_spill {
	struct dedup_filter filter;
	int64_t from, to;
	uint64_t count;
};

struct dedup_bucket {
	struct list link; /* dedup_window.buckets */
	int64_t from;
	int64_t to; /* -1: open */
	uint64_t count;
	uint64_t first_ns, last_ns; /* monotonic, when its first and last id came */
	int64_t first_ms, last_ms;  /* largest timestamp of the log then; -1: none */
	struct dedup_chunk *chunks; /* its ids, until they are in a file */
	bool filed;                 /* there is a file of it, ... */
	uint64_t file_bytes;        /* ... so large */
	bool spilled;
};

/* Where the files of spilled buckets are: in the folder `path`, below `dir_fd`. */
struct dedup_place {
	int dir_fd;
	const char *path;
	struct open_files *open_files;
};

struct dedup_window {
	bool on;
	struct dedup_config config;
	struct dedup_table table;
	struct list buckets;        /* oldest first, the last one open */
	struct dedup_spill *spills; /* of the spilled ones, oldest first */
	size_t spill_count;
	struct dedup_place place;
	struct open_file file; /* that was looked into last; one is open at most */
	int64_t file_from;
	uint64_t entries;     /* of all buckets */
	size_t chunk_bytes;   /* of memory */
	int64_t largest_ms;   /* timestamp of the log so far; -1: none */
	uint64_t complete_ns; /* monotonic: nothing that came later has been forgotten */
	struct dedup_chunk *spare;
	uint64_t read_errors; /* ids not looked for in a file that could not be read */
};

/* The clocks, and the largest timestamp as the log would have it with the batch at hand. */
struct dedup_now {
	uint64_t ns;
	int64_t wall_ms;
	int64_t largest_ms;
};

/* Off.  `place`: null where nothing will be spilled. */
void dedup_window_init(struct dedup_window *window, const struct dedup_place *place);
/* On, and empty, from `offset` on.  -ENOMEM: it is off. */
int dedup_window_begin(struct dedup_window *window, const struct dedup_config *config,
		       int64_t offset, uint64_t now_ns);
void dedup_window_end(struct dedup_window *window); /* off; a zeroed one is fine */

/* What the log's largest timestamp becomes with one of `max_ms`: none of the future counts, or a
 * client's wrong clock would age all ids at once. */
int64_t dedup_window_largest(const struct dedup_window *window, int64_t max_ms, int64_t wall_ms);

/* ---- ids ---- */
/* Makes the next `count` insertions unable to fail.  -ENOMEM. */
int dedup_window_reserve(struct dedup_window *window, size_t count);
/* Starts to bring into the cache what finding the id needs. */
void dedup_window_prefetch(const struct dedup_window *window, const struct dedup_id *id);
/* The offset of the record that had it, -1: none. */
int64_t dedup_window_find(struct dedup_window *window, const struct dedup_id *id);
/* The id is not there. */
void dedup_window_insert(struct dedup_window *window, const struct dedup_id *id, int64_t offset,
			 const struct dedup_now *now);
/* Takes back the last `count` insertions, between which no bucket has ended. */
void dedup_window_undo(struct dedup_window *window, size_t count);
/* As the log has it: an id that is there belongs to the later record. */
void dedup_window_replay(struct dedup_window *window, const struct dedup_id *id, int64_t offset,
			 const struct dedup_now *now);

/* ---- buckets ---- */
struct dedup_bucket *dedup_window_open_bucket(const struct dedup_window *window);
/* The open one has had its share: of time, by the clock, or as `by_stamps` by the log's timestamps,
 * or of entries. */
bool dedup_window_due(const struct dedup_window *window, const struct dedup_now *now,
		      bool by_stamps);
bool dedup_window_full(const struct dedup_window *window); /* there are too many buckets */
/* Ends the open bucket at `offset` and begins the next.  False: no memory, or there are too many;
 * the open one goes on, which only lets its ids live longer. */
bool dedup_window_close_bucket(struct dedup_window *window, int64_t offset);
/* The oldest bucket, if its ids are older than the window; or null. */
struct dedup_bucket *dedup_window_outlived(const struct dedup_window *window,
					   const struct dedup_now *now);
/* The oldest bucket, if there are more ids than allowed and it is not the open one; or null. */
struct dedup_bucket *dedup_window_excess(const struct dedup_window *window);
/* Forgets the oldest bucket. */
void dedup_window_drop_oldest(struct dedup_window *window);
struct dedup_bucket *dedup_window_oldest(const struct dedup_window *window);
struct dedup_bucket *dedup_window_oldest_held(const struct dedup_window *window);
/* The ids of the oldest bucket that is held leave the table; *spill is the window's then.
 * -ENOMEM. */
int dedup_window_spill(struct dedup_window *window, const struct dedup_spill *spill);
/* Gives back memory that ids have left, of a table that has become too large a step a call.  True:
 * there is more to do. */
bool dedup_window_shrink(struct dedup_window *window);

/* ---- a bucket from its file ----
 * It becomes the newest but the open one, which is empty.  `last_ns` as the head has it, or what
 * stands for it. */
/* -ENOMEM: nothing has changed. */
int dedup_window_load(struct dedup_window *window, const struct dedup_file_head *head,
		      uint64_t last_ns, const struct dedup_entry *entries);
/* Spilled; none is held.  *spill is the window's then.  -ENOMEM. */
int dedup_window_load_spilled(struct dedup_window *window, const struct dedup_file_head *head,
			      uint64_t last_ns, const struct dedup_spill *spill);

/* ---- a bucket for its file ---- */
size_t dedup_chunks_count(const struct dedup_chunk *chunks);
/* Any thread: the ids of a bucket that has ended do not change. */
void dedup_chunks_copy(const struct dedup_chunk *chunks, struct dedup_entry *out);
/* Those of a window that is no more; returns their bytes. */
size_t dedup_chunks_free(struct dedup_chunk *chunks);
void dedup_window_free_chunks(struct dedup_window *window, struct dedup_chunk *chunks);

size_t dedup_window_bytes(const struct dedup_window *window); /* of memory */
/* How far back it is complete, at most the window. */
int64_t dedup_window_covered_ms(const struct dedup_window *window, uint64_t now_ns);
