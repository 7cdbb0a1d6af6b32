/* tests/bench/fake_driver.h: a broker in memory, with faults.
 *
 * One at a time; fake_reset before each run.  Its driver is used as any other, by many threads. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "bench/suite/driver.h"

struct fake_faults {
	/* Since the first record, ms; so too the next. */
	unsigned blocks_at_ms; /* produce does not return for blocks_ms; 0: never */
	unsigned blocks_ms;
	unsigned silent_at_ms; /* nothing is acknowledged for silent_ms; 0: never */
	unsigned silent_ms;
	unsigned refuse_every; /* records are acknowledged with -EPROTO; 0: none; so too below */
	unsigned lose_every;   /* stored, and not handed out */
	unsigned double_every; /* handed out twice */
	unsigned dies_after;   /* so many records: produce then answers -ECONNRESET */
	bool topics_refused;
	bool consumers_refused;
};

struct fake_counts {
	unsigned topics;    /* that are there */
	unsigned producers; /* open; so too the next */
	unsigned consumers;
	unsigned producers_made;
	unsigned consumers_made;
	unsigned overlaps; /* calls into one object from two threads at once */
	uint64_t records;
};

extern const struct driver fake_driver;

void fake_reset(const struct fake_faults *faults);
struct fake_counts fake_counts(void);
