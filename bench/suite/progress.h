/* bench/suite/progress.h: how far a run is, on standard error.
 *
 * On a terminal one line that changes each second; else a line each ten seconds. */
#pragma once
#include <stdbool.h>

#include "bench/suite/result.h"

struct progress {
	bool live;
	bool open_line; /* without its end yet */
	uint64_t told_ns;
	char what[128];
};

/* `what` is before each line: "latency 2 of 3". */
void progress_begin(struct progress *progress, const char *what);
/* As run_options.progress; `context` is the progress. */
void progress_tell(void *context, const struct sample *sample, unsigned done_ms, unsigned total_ms,
		   bool warming_up);
/* Before anything else is printed. */
void progress_end(struct progress *progress);
