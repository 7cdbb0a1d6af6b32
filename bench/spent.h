/* bench/spent.h: what a measured part of a program has taken. */
#pragma once
#include <stdint.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/clock.h"

static inline double seconds_since(uint64_t begin_ns)
{
	return (double)(clock_monotonic_ns(clock_system()) - begin_ns) / 1e9;
}

/* Of this process so far, user and system. */
static inline double cpu_seconds(void)
{
	struct rusage usage;

	check(getrusage(RUSAGE_SELF, &usage) == 0);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
