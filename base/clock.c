#include "base/clock.h"

#include <time.h>

static uint64_t system_monotonic_ns(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static int64_t system_wall_ms(const struct clock *clock)
{
	struct timespec now;

	(void)clock;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const struct clock *clock_system(void)
{
	static const struct clock clock = {
		.monotonic_ns = system_monotonic_ns,
		.wall_ms = system_wall_ms,
	};
	return &clock;
}
