/* storage/scrub.h: closed segments are read again from time to time, so that what has rotted is
 * found before somebody needs it.
 *
 * A round of a log begins `scrub_interval_ms` after the one before began and takes the segments
 * that were closed by then, by offset; how far it is stands in the file `scrub` of the log's folder
 * (README.md), so that a start goes on there.  A store has one segment under way at a time, as a
 * job of the background thread, at `scrub_bytes_per_second`.  A segment that a reader has found
 * damaged is looked at first, as fast as may be.  What is found is quarantined.
 *
 * Owner: the log's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;
struct store;

/* Of the log's round. */
struct scrub_progress {
	int64_t begun_ms; /* wall clock; 0: none has */
	/* Segments that begin in [next_offset, end_offset) are still to be read. */
	int64_t next_offset;
	int64_t end_offset;
};

enum { SCRUB_FILE_BYTES = 128 };
/* The file: returns its length. */
size_t scrub_format(const struct scrub_progress *progress, char text[static SCRUB_FILE_BYTES]);
/* -ERR_CORRUPT: it is not to be believed. */
int scrub_parse(struct scrub_progress *ret, const char *text, size_t length);

void scrub_recover(struct log *log); /* what the folder has; what is wrong begins a new round */
void scrub_housekeep(struct store *store);
/* The log is being scrubbed, or is to be for the sake of a reader. */
bool scrub_wants(const struct log *log);
void scrub_stop(struct log *log); /* the job that is out, if it is the log's, gives up */
