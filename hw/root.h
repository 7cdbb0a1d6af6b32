/* hw/root.h: the folder that stands for / when the host is asked and changed.
 *
 * Everything the checks, the binding and the tuning read or write goes through it, so that a test
 * gives a tree of its own and a picture of a host can be looked at elsewhere.  Paths begin without
 * '/'; in a tree that is not / links of it lead nowhere outside when a file is opened.
 *
 * What only a system call can tell has a name here.  In a tree that is not / its answer is the
 * text of the file calls/NAME, so that a tree without that file is a host that was not asked. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/cpus.h"

enum {
	HOST_PATH_BYTES = 4096,
	HOST_TEXT_BYTES = 4096, /* of a short file */
	HOST_NAME_BYTES = 256,
	HOST_NAMES_MAX = 4096, /* of a folder; the rest is not seen */
};

struct host_root {
	int fd;    /* of the folder */
	bool real; /* it is / */
	/* What a test's kernel does when something was written by host_write; null: nothing. */
	void (*wrote)(void *context, const char *path, const char *text);
	void *context;
};

/* `path` null or "/": this host.  -errno. */
int host_root_open(struct host_root *ret, const char *path);
void host_root_close(struct host_root *root); /* one whose opening failed is fine */

/* ---- reading ----  Paths are made by `format`.  -errno; -ENOENT where the host has no such thing.
 */

/* The first HOST_TEXT_BYTES - 1 bytes, without white space at the end. */
int host_text(const struct host_root *root, char text[static HOST_TEXT_BYTES], const char *format,
	      ...) __attribute__((format(printf, 3, 4)));
/* A whole number, decimal or 0x...; -EINVAL when it is none. */
int host_number(const struct host_root *root, int64_t *ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* "0-3,8"; -EINVAL when it is no list of processors. */
int host_cpus(const struct host_root *root, struct cpus *ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* All of a file of at most 8 MiB; to free.  -EFBIG. */
int host_file(const struct host_root *root, char **ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool host_exists(const struct host_root *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The last part of what a symbolic link points to, "" where there is none. */
void host_link(const struct host_root *root, char name[static HOST_NAME_BYTES], const char *format,
	       ...) __attribute__((format(printf, 3, 4)));

struct host_names {
	char **at; /* ascending */
	size_t count;
};

/* What a folder holds; one that is not there holds nothing.  -ENOMEM, and then it is empty. */
int host_names(const struct host_root *root, struct host_names *ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void host_names_free(struct host_names *names);

/* The value after "key:" (or "key" and blanks) in the lines of `text`, as /proc's files have it;
 * without white space around it.  False: no such line. */
bool host_field(const char *text, const char *key, char *value, size_t value_bytes);
/* Is `word` one of the words of `text`, which blanks separate?  A kernel command line is such. */
bool host_word(const char *text, const char *word);

/* ---- writing ---- */

/* As `echo text > path` does: the file must be there.  -errno, also the kernel's own refusal. */
int host_write(const struct host_root *root, const char *text, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A whole file, new or instead of what was there: it is on the disk before it takes the name.
 * Folders above it are made. */
int host_replace(const struct host_root *root, const char *text, const char *path);
/* A file that is not there is fine. */
int host_remove(const struct host_root *root, const char *path);
/* An open file of the tree: flags as open(2) has them.  -errno. */
int host_open(const struct host_root *root, int flags, const char *path);

/* ---- what a system call tells ---- */

/* calls/NAME of a tree; -ENOENT also where the root is /. */
int host_call(const struct host_root *root, const char *name, char text[static HOST_TEXT_BYTES]);
