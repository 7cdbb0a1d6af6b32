/* storage/dedup_files.h: the files of a log's dedup window: buckets that have ended go there, so
 * that a start needs to read little of the log and the memory of a long window is bounded. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "storage/dedup_window.h"
#include "storage/log.h"

struct dedup_job {
	struct store_job job;
	struct log *log;
	bool spills; /* reads a file for its filter; else it writes one */
	int dir_fd;  /* the folder, open for the job; -errno */
	struct dedup_file_head head;
	struct dedup_chunk *chunks; /* to be written */
	struct dedup_spill spill;   /* made of what was read */
	bool stale;                 /* its window has ended meanwhile */
	int result;
};

/* Of one log. */
struct dedup_files {
	struct dedup_job job; /* one at a time */
	bool job_out;
	bool starting;       /* a job that has ended starts no other */
	bool gave_up;        /* closing, and a file could not be written */
	uint64_t retry_ns;   /* after a failure: not before */
	uint64_t bytes;      /* of files that count */
	int64_t anchor_from; /* a file whose ids are forgotten, but that says where the window ends;
			      */
	int64_t anchor_to;   /* -1: there is none */
	/* Damaged files end there at most; they stay until others have what the log had in their
	 * place, so that a start before that knows where to read.  -1: there are none. */
	int64_t damaged_to;
	struct list trims; /* log_trim that waits for ids to be filed */
};

void dedup_files_init(struct dedup_files *files);
/* Starts a job if one is to be done: buckets that have ended, and are durable, are written. */
void dedup_files_start(struct log *log);
/* Are the ids below `offset` in files, durably?  1: yes; 0: they soon will be; -ERR_STORAGE: they
 * could not be written. */
int dedup_files_reach(struct log *log, int64_t offset);
/* Forgets the oldest bucket, and its file. */
void dedup_files_forget_oldest(struct log *log);
/* The window has begun: no file but one that says so. */
void dedup_files_begin(struct log *log);
/* Its window has ended: what a job is about to write goes too. */
void dedup_files_end(struct log *log);
void dedup_files_remove(const struct log *log);
/* The window as files and log have it; it is on and empty. */
int dedup_files_recover(struct log *log);
/* The last ids are written before the log goes.  True: that has been done, or has failed; else
 * log_finish_close comes again. */
bool dedup_files_close(struct log *log);
/* Trims that wait are told, or tried again. */
void dedup_files_end_trims(struct log *log, int rc);
/* Of all logs: who has most in memory spills what is oldest, until the budget is kept. */
void dedup_files_keep_budget(struct store *store);
