/* client/command/progress.h: how far long work has come, in one line of standard error.
 *
 * It is shown only where standard error is a terminal (and TERM is not "dumb"), is redrawn at most
 * ten times a second, and is gone when the work ends; a complaint takes its place.  One at a time.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	const char *label; /* "producing" */
	const char *unit;  /* "records"; "bytes" are printed as kB, MB, GB */
	int64_t total;     /* below 1: not known */
	int64_t done;
	int64_t begun_ms;
	int64_t drawn_ms;
	bool shown;
};

/* Texts stay the caller's, until progress_end. */
void progress_begin(struct progress *progress, const char *label, int64_t total, const char *unit);
/* `done` is the whole since the beginning. */
void progress_step(struct progress *progress, int64_t done);
void progress_end(struct progress *progress);

/* Takes the line away until the next step: something else is to be printed. */
void progress_hide(void);

enum { PROGRESS_TEXT_BYTES = 160 };
/* What is shown after `elapsed_ms`. */
void progress_text(const struct progress *progress, int64_t elapsed_ms,
		   char ret[static PROGRESS_TEXT_BYTES]);
