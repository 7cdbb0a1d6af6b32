/* base/timers.h: a binary heap of embedded timers on the monotonic clock; owner thread only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
	uint64_t due_ns;
	size_t place; /* in the heap plus one; 0: not armed */
	void (*expired)(struct timer *timer);
};

struct timers {
	struct timer **heap;
	size_t count;
	size_t capacity;
};

void timers_fini(struct timers *timers); /* a zeroed heap is fine; timers are the caller's */
/* Arms or moves `timer` (its `expired` set).  -ENOMEM. */
int timers_arm(struct timers *timers, struct timer *timer, uint64_t due_ns);
void timers_disarm(struct timers *timers, struct timer *timer); /* harmless when not armed */
/* Runs what is due; `expired` may arm and disarm.  Returns how many ran. */
unsigned timers_run(struct timers *timers, uint64_t now_ns);
/* UINT64_MAX when none is armed. */
uint64_t timers_next_ns(const struct timers *timers);
