/* hw/tune/tune_internal.h: what the plan, its carrying out and its memory share. */
#pragma once
#include "hw/tune/tune.h"

/* Copies; null stays null.  -ENOMEM. */
int tune_add(struct tune *tune, const char *path, bool file, const char *now, const char *wanted,
	     const char *check);
/* A value as it is written back: the chosen word of "always [madvise] never", else the text.
 * -errno. */
int tune_value(const struct host_root *root, const char *path, char text[static HOST_TEXT_BYTES]);
/* Is a value that the kernel shows the one that was written?  Masks are shown with zeros before
 * them. */
bool tune_same(const char *path, const char *a, const char *b);
/* What is in the place of a change now; *ret is null where a file is not there; to free.  -errno.
 */
int tune_read(const struct host_root *root, const char *path, bool file, char **ret);
