/* storage/compact.h: compaction by key (cleanup.policy=compact): of each key the last record stays.
 *
 * What is closed, durable and below the last stable offset is rewritten, by one job of a store at a
 * time (store_job), of the log that has most to gain.  README.md says what stays and why no crash
 * can hurt. */
#pragma once
#include <stdbool.h>

struct log;
struct store;

/* Begins one if a log is to be compacted. */
void compact_housekeep(struct store *store);
/* How far the log is compacted, as its folder says; it has been recovered. */
void compact_recover(struct log *log);
bool compact_under_way(const struct log *log);
/* The log's compaction, if one is under way, is to end soon; log->io_count counts it. */
void compact_stop(struct log *log);
