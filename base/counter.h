/* base/counter.h: a number that one thread raises and any thread may read.
 *
 * No locked instruction: the owner alone writes, and a reader sees some value that was there. */
#pragma once
#include <stdint.h>

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The owner's. */
/* NOLINTNEXTLINE(readability-non-const-parameter) */
static inline void counter_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

/* The owner's; `n` may be negative, as the sum wraps. */
static inline void counter_add(uint64_t *counter, uint64_t n)
{
	counter_set(counter, *counter + n);
}
