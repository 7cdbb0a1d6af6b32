/* bench/histogram.h: counts of durations, to within 1/64 of each: 64 steps a power of two. */
#pragma once
#include <stdint.h>

enum {
	HISTOGRAM_STEP_BITS = 6,
	HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
	HISTOGRAM_POWERS = 40, /* of nanoseconds: 18 minutes */
};

struct histogram {
	uint64_t counts[HISTOGRAM_POWERS][HISTOGRAM_STEPS];
	uint64_t total;
	uint64_t max_ns;
};

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
	unsigned power = 0; /* 0: below the first power of two that has all the steps */
	unsigned step = (unsigned)ns;

	if (ns >= HISTOGRAM_STEPS) {
		power = 64 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_STEP_BITS;
		step = (unsigned)(ns >> (power - 1)) & (HISTOGRAM_STEPS - 1);
	}
	if (power >= HISTOGRAM_POWERS)
		power = HISTOGRAM_POWERS - 1;
	histogram->counts[power][step]++;
	histogram->total++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

/* The smallest duration of the step that holds the part `share` of all. */
static inline uint64_t histogram_at(const struct histogram *histogram, double share)
{
	double wanted = share * (double)histogram->total;
	uint64_t seen = 0;

	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			seen += histogram->counts[power][step];
			if (histogram->total && (double)seen >= wanted)
				return power ? (uint64_t)(HISTOGRAM_STEPS + step) << (power - 1)
					     : step;
		}
	}
	return histogram->max_ns;
}
