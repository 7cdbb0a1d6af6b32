/* bench/suite/run_measure.h: what the threads of a run have counted, at a moment and by the second.
 *
 * On run.c's thread, while the others count on. */
#pragma once
#include "bench/suite/run_internal.h"

struct run_totals {
	uint64_t at_ns;
	uint64_t sent;
	uint64_t stored;
	uint64_t stored_sum;
	uint64_t failed;
	uint64_t received; /* by all consumers */
	uint64_t foreign;
	uint64_t
		slowest; /* where the slowest subscription or the tail is; UINT64_MAX: no readers */
};

struct run_meter;

void run_totals_of(const struct run *run, struct run_totals *ret);
/* By one subscription; `ret_sum` may be null. */
uint64_t run_received(const struct run *run, unsigned subscription, uint64_t *ret_sum);

/* -ENOMEM */
int run_meter_new(const struct run *run, struct run_meter **ret);
void run_meter_free(struct run_meter *meter); /* null is fine */
/* Measuring begins: samples from here on are kept, and count their time from here. */
void run_meter_begin(struct run_meter *meter);
/* What came since the last one, or since the beginning; 0, -ENOMEM. */
int run_meter_sample(struct run_meter *meter, struct sample *ret);
/* Measuring has ended with the last sample: counts and rates are those of the time between. Returns
 * how many were sent. */
uint64_t run_meter_end(struct run_meter *meter, struct result *result);
/* After the last record has come: latencies of all that was due while it measured, and the samples.
 * They become the result's.  -ENOMEM. */
int run_meter_give(struct run_meter *meter, struct result *result);
