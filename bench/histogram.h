/* bench/histogram.h: counts of durations, to within 1/128 of each: 128 steps a power of two.
 *
 * One thread adds; others may look, merge and take differences meanwhile: what they see is some
 * moments old, and `total` may be ahead of the counts or behind. */
#pragma once
#include <stdint.h>

enum {
	HISTOGRAM_STEP_BITS = 7,
	HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
	HISTOGRAM_POWERS = 36, /* of nanoseconds: 73 minutes; what is longer counts as that */
};

struct histogram {
	uint64_t counts[HISTOGRAM_POWERS][HISTOGRAM_STEPS];
	uint64_t total;
	uint64_t sum_ns;
	uint64_t max_ns;
};

static inline uint64_t histogram_look(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the built-in writes. */
static inline void histogram_raise(uint64_t *count, uint64_t by)
{
	__atomic_store_n(count, *count + by, __ATOMIC_RELAXED);
}

/* The smallest duration of a step, and the first one above it. */
static inline uint64_t histogram_step_ns(unsigned power, unsigned step)
{
	return power ? (uint64_t)(HISTOGRAM_STEPS + step) << (power - 1) : step;
}

static inline uint64_t histogram_step_end_ns(unsigned power, unsigned step)
{
	return histogram_step_ns(power, step) + (power ? UINT64_C(1) << (power - 1) : 1);
}

/* `times` times `ns`. */
static inline void histogram_add_many(struct histogram *histogram, uint64_t ns, uint64_t times)
{
	const uint64_t ns_max = histogram_step_ns(HISTOGRAM_POWERS - 1, HISTOGRAM_STEPS - 1);
	uint64_t counted_ns = ns < ns_max ? ns : ns_max;
	unsigned power = 0; /* 0: below the first power of two that has all the steps */
	unsigned step = (unsigned)counted_ns;

	if (counted_ns >= HISTOGRAM_STEPS) {
		power = 64 - (unsigned)__builtin_clzll(counted_ns) - HISTOGRAM_STEP_BITS;
		step = (unsigned)(counted_ns >> (power - 1)) & (HISTOGRAM_STEPS - 1);
	}
	histogram_raise(&histogram->counts[power][step], times);
	histogram_raise(&histogram->total, times);
	histogram_raise(&histogram->sum_ns, ns * times);
	if (ns > histogram->max_ns)
		__atomic_store_n(&histogram->max_ns, ns, __ATOMIC_RELAXED);
}

static inline void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram_add_many(histogram, ns, 1);
}

/* Adds what `from` has; the totals are made anew from the counts. */
static inline void histogram_merge(struct histogram *histogram, const struct histogram *from)
{
	uint64_t max_ns = histogram_look(&from->max_ns);

	if (histogram_look(&from->total) == 0)
		return;
	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			uint64_t count = histogram_look(&from->counts[power][step]);
			histogram->counts[power][step] += count;
			histogram->total += count;
		}
	}
	histogram->sum_ns += histogram_look(&from->sum_ns);
	if (max_ns > histogram->max_ns)
		histogram->max_ns = max_ns;
}

/* What came to `before` until it was `now`; the largest one is known to its step only, unless it is
 * the largest of all. */
static inline void histogram_difference(struct histogram *ret, const struct histogram *now,
					const struct histogram *before)
{
	ret->total = 0;
	ret->sum_ns = now->sum_ns - before->sum_ns;
	ret->max_ns = 0;
	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			uint64_t count = now->counts[power][step] - before->counts[power][step];
			ret->counts[power][step] = count;
			ret->total += count;
			if (count)
				ret->max_ns = histogram_step_end_ns(power, step) - 1;
		}
	}
	if (now->max_ns > before->max_ns || now->max_ns < ret->max_ns)
		ret->max_ns = ret->total ? now->max_ns : 0;
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
				return histogram_step_ns(power, step);
		}
	}
	return histogram->max_ns;
}
