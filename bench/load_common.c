/* What every load generator needs. */
#include "bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t load_now_ns(void)
{
	return clock_monotonic_ns(clock_system());
}

void load_die(const char *format, ...)
{
	char why[512];
	va_list arguments;

	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_start is just above. */
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, why);
	exit(1);
}
