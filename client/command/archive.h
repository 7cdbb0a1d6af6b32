/* client/command/archive.h: a .tar.gz that is written file after file (POSIX ustar). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive;

/* The file must not be there yet; only its owner may read it.  -errno, -EEXIST. */
int archive_open(struct archive **ret, const char *path);
/* `name` has fewer than 100 bytes; `time_s` since 1970.  -errno. */
int archive_add(struct archive *archive, const char *name, const void *bytes, size_t length,
		int64_t time_s);
/* Ends it, or with `keep` false takes the file away.  *ret_bytes: its size.  -errno. */
int archive_close(struct archive *archive, bool keep, int64_t *ret_bytes);
