/* bench/suite/run.h: runs a workload once.
 *
 * create topics -> consumers -> producers -> warm up -> measure, with samples -> drain -> delete
 *
 * Threads: one for each producer and consumer up to `threads` of each, which share them out; the
 * caller's takes the samples and calls `progress`.  SIGINT or SIGTERM ends the measured time early:
 * what was measured is returned, with a caveat. */
#pragma once
#include "bench/suite/result.h"

#include <sys/types.h>

struct run_options {
	const struct driver *driver;
	const char *url;
	const pid_t *broker_pids; /* with their children; none: the broker's usage is unknown */
	size_t broker_pid_count;
	unsigned threads;        /* 0: as many as it has producers, as consumers */
	unsigned silence_ms_max; /* of the broker, then it gives up; 0: 20 s */
	bool keep_topics;
	double load_average; /* of the machine before the first run, which is not of our making */
	/* May be null.  `done` of `total` ms, warm-up included; both 0 while a backlog is made. */
	void (*progress)(void *context, const struct sample *sample, unsigned done_ms,
			 unsigned total_ms, bool warming_up);
	void *context;
};

/* 0; -errno, and standard error has why.  *ret is the caller's to result_fini. */
int run_workload(const struct workload *workload, const struct run_options *options,
		 struct result *ret);
/* Did a signal end the last one early? */
bool run_was_interrupted(void);
