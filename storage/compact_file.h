/* storage/compact_file.h: how far a log is compacted: the file `compaction` in its folder.
 *
 * Below `clean` each key has one record at most, and none is of an aborted transaction.  Without
 * the file, or with one that does not check, all of the log is to be compacted once more. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct log;
struct log_identity;

/* Durably: written beside, flushed, renamed.  Any thread, one at a time.  -errno. */
int compact_file_write(const struct log *log, int64_t clean);
/* -ENOENT, -errno, -ERR_CORRUPT, -ERR_FORMAT: of a newer version. */
int compact_file_read(const struct log *log, int64_t *ret_clean);
/* Of what was read.  -ERR_CORRUPT, -ERR_FORMAT. */
int compact_file_parse(const void *data, size_t size, const struct log_identity *identity,
		       int64_t *ret_clean);
