/* hw/tune/tune_state.h: what was changed and what was there before, as a file.
 *
 * A JSON object: "version" 1; "boot", the kernel's boot_id; "changes", each with "path", "former"
 * (null: a file that was not there), "set" and "file".  Root writes what it says, so a path is
 * taken only below /proc/sys, /proc/irq and /sys, or when it is the layout's. */
#pragma once
#include "hw/root.h"

enum { TUNE_RECORDS_MAX = 65536 };

struct tune_record {
	char *path;
	char *former; /* null: there was no such file */
	char *set;
	bool file;
};

struct tune_state {
	char boot[64];
	struct tune_record *at;
	size_t count;
};

/* -ERR_FORMAT: not what we write; -ENOMEM.  Then *ret is empty. */
int tune_state_parse(struct tune_state *ret, const char *text);
/* No file is an empty state.  -errno, -ERR_FORMAT. */
int tune_state_read(struct tune_state *ret, const struct host_root *root);
/* On the disk when it returns; an empty state has no file. */
int tune_state_write(const struct tune_state *state, const struct host_root *root);
/* Keeps what a former record of the path knows as the value before.  -ENOMEM. */
int tune_state_add(struct tune_state *state, const char *path, bool file, const char *former,
		   const char *set);
struct tune_record *tune_state_find(const struct tune_state *state, const char *path);
void tune_state_remove(struct tune_state *state, struct tune_record *record);
/* Drops what a restart of the host has dropped, unless it is still of this run. */
void tune_state_restart(struct tune_state *state, const char *boot);
void tune_state_free(struct tune_state *state); /* one of all zeros is fine */
