/* hw/tune/tune.h: the settings of the kernel that `sluice tune` changes, and takes back.
 *
 *   plan    what a host has otherwise than a broker wants it; nothing where all is well
 *   apply   what was there before is on the disk (tune_state.h) before anything is changed; what an
 *           earlier run has written down is kept, so that many runs are undone by one
 *   undo    each value that is still as it was set gets its former one; what somebody else has
 *           changed since stays
 *
 * Killed at any point, either can be run again and ends as if it had not been.  Values of the
 * kernel go with a restart of the host, and what was written down of them then goes too. */
#pragma once
#include "hw/host.h"

enum tune_outcome {
	TUNE_PLANNED,
	TUNE_DONE,
	TUNE_LEFT,    /* not ours to change, or changed by somebody else since: no failure */
	TUNE_REFUSED, /* by the kernel */
};

enum { TUNE_PATH_BYTES = 256, TUNE_NOTE_BYTES = 128 };

struct tune_change {
	char path[TUNE_PATH_BYTES]; /* from the root */
	bool file;                  /* a whole file, else a value of the kernel */
	char *now;                  /* null: a file that is not there */
	char *wanted;               /* null: the file goes */
	const char *check;          /* id of the check that it mends; "" none */
	enum tune_outcome outcome;
	char note[TUNE_NOTE_BYTES]; /* why it was left or refused */
};

struct tune {
	struct tune_change *at;
	size_t count;
};

#define TUNE_STATE "var/lib/sluice-host/tune.json"
#define TUNE_LAYOUT "etc/sluice/conf.d/60-host.conf"

/* -ENOMEM, and then it is empty. */
int tune_plan(struct tune *ret, const struct host *host);
/* Takes the plan to the host.  -errno when the state cannot be read or written, and then nothing
 * was changed; with a sentence in `why`. */
int tune_apply(struct tune *tune, const struct host_root *root, char *why, size_t why_bytes);
/* What an undo would do, then (`dry` false) does; no state, nothing to undo.  -errno as above. */
int tune_undo(struct tune *ret, const struct host_root *root, bool dry, char *why,
	      size_t why_bytes);
void tune_free(struct tune *tune); /* one of all zeros is fine */
