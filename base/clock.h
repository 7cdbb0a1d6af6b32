/* base/clock.h: the time seam.
 *
 * Timers use the monotonic clock, stored timestamps the wall clock; order and offsets depend on
 * neither.  Code takes a `const struct clock *`, so a test or the simulator can stop time. */
#pragma once
#include <stdint.h>

struct clock {
	uint64_t (*monotonic_ns)(const struct clock *clock);
	int64_t (*wall_ms)(const struct clock *clock); /* since the Unix epoch */
};

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_SECOND UINT64_C(1000000000)

/* The machine's own clocks; static, any thread. */
const struct clock *clock_system(void);

static inline uint64_t clock_monotonic_ns(const struct clock *clock)
{
	return clock->monotonic_ns(clock);
}

static inline int64_t clock_wall_ms(const struct clock *clock)
{
	return clock->wall_ms(clock);
}
