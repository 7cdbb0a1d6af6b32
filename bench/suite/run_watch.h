/* bench/suite/run_watch.h: waits for something a run is to reach, telling once a second how far it
 * is.  On run.c's thread. */
#pragma once
#include "bench/suite/run_measure.h"

/* Whichever comes first; 0, false: not asked for. */
struct run_goal {
	uint64_t until_ns;
	uint64_t stored;   /* so many in all */
	uint64_t received; /* by each subscription */
	bool settled;      /* nothing is under way */
};

/* 0: reached, or interrupted; the error of a thread; -ETIMEDOUT: the broker has been silent for too
 * long with something to tell; -ENOMEM. */
int run_watch(struct run *run, struct run_meter *meter, const struct run_goal *goal,
	      bool warming_up);
/* After the last record was sent: until all subscriptions have all, or nothing comes any more. */
void run_drain(const struct run *run);
/* A moment. */
void run_nap(void);
