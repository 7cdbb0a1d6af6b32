/* bench/suite/replace_file.h: files that are there as a whole or not at all. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

struct replace_file {
	FILE *out;
	char path[PATH_MAX];
	char temporary[PATH_MAX]; /* beside it; "" where `path` is no regular file, as /dev/stdout
				   */
};

/* Could it be opened now?  Touches nothing.  0, -errno. */
int replace_file_check(const char *path);
/* -errno. */
int replace_file_open(struct replace_file *file, const char *path);
/* Puts it in place; if `keep` is false, or writing failed, what was there before stays.  -errno. */
int replace_file_close(struct replace_file *file, bool keep);
