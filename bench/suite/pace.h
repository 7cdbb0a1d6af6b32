/* bench/suite/pace.h: when a producer's records are due.
 *
 * Open loop: the n-th record of producer `index` of `count` is due at begin + (n * count + index) /
 * rate, whatever has become of those before it.  One thread; knows no clock. */
#pragma once
#include <stdint.h>

struct pace {
	double period_ns; /* of this producer; 0: as fast as it can */
	double first_ns;  /* when its first one is due */
	uint64_t taken;
	uint64_t due_ns; /* the next one; 0 without a rate */
};

/* `rate`: records a second of all producers together; 0: as fast as they can. */
void pace_init(struct pace *pace, uint64_t rate, unsigned index, unsigned count, uint64_t begin_ns);
/* How many are due before `end_ns` and not taken; 0 without a rate. */
uint64_t pace_left(const struct pace *pace, uint64_t end_ns);

static inline uint64_t pace_due_at(const struct pace *pace, uint64_t number)
{
	return (uint64_t)(pace->first_ns + pace->period_ns * (double)number);
}

/* The time that the next record's latency counts from; it may be sent when this is not after
 * `now_ns`.  Without a rate every record is due now. */
static inline uint64_t pace_next_ns(const struct pace *pace, uint64_t now_ns)
{
	return pace->due_ns ? pace->due_ns : now_ns;
}

/* The next record has been sent. */
static inline void pace_take(struct pace *pace)
{
	pace->taken++;
	if (pace->due_ns)
		pace->due_ns = pace_due_at(pace, pace->taken);
}
