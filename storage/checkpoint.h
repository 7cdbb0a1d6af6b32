/* storage/checkpoint.h: an index file now and then while a segment is appended to, so that a start
 * has little to read, however large segments are and however many logs there are.
 *
 * What lies behind the last checkpoint of a log is at most 64 MiB, and of all logs of a store
 * together about 256 MiB, less than a second's appends aside; but a checkpoint comes only when it
 * is small beside what it saves, so with thousands of busy logs there is more.  A log that is idle
 * gets one too.  The file is written by the background thread.
 *
 * Owner: the store's shard. */
#pragma once

struct store;

void checkpoint_housekeep(struct store *store);
