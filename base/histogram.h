/* base/histogram.h: how long things took, counted in fixed buckets, each twice as wide as the last.
 *
 *     bucket  0        1        ...  20       21
 *     ns      ..2^14   ..2^15   ...  ..2^34   more      (16.384 us, ..., 17.18 s)
 *
 * One thread observes, with plain stores as base/counter.h has them; any thread may add it to a sum
 * of its own.  Bounds belong to their bucket, as Prometheus has it. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"

enum {
	HISTOGRAM_FIRST_BITS = 14,
	HISTOGRAM_BUCKETS = 22,
};

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS];
	uint64_t sum_ns;
};

/* Where bucket `index` ends; of all but the last. */
static inline uint64_t histogram_bound_ns(unsigned index)
{
	return UINT64_C(1) << (HISTOGRAM_FIRST_BITS + index);
}

static inline unsigned histogram_bucket(uint64_t ns)
{
	uint64_t above = (ns - (ns > 0)) >> HISTOGRAM_FIRST_BITS;
	unsigned index = above ? 64 - (unsigned)__builtin_clzll(above) : 0;

	return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

/* `count` things of `ns` each. */
static inline void histogram_observe(struct histogram *histogram, uint64_t ns, uint64_t count)
{
	counter_add(&histogram->buckets[histogram_bucket(ns)], count);
	counter_add(&histogram->sum_ns, ns * count);
}

/* Adds `from`, which its owner may be raising, to a sum of the caller's. */
static inline void histogram_add(struct histogram *sum, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum->buckets[i] += counter_read(&from->buckets[i]);
	sum->sum_ns += counter_read(&from->sum_ns);
}

/* Where any thread may read it becomes what `from`, of the same thread, is. */
static inline void histogram_show(struct histogram *shown, const struct histogram *from)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		counter_set(&shown->buckets[i], from->buckets[i]);
	counter_set(&shown->sum_ns, from->sum_ns);
}

/* Of a sum. */
static inline uint64_t histogram_count(const struct histogram *sum)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count += sum->buckets[i];
	return count;
}
