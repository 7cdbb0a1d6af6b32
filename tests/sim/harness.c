#include "tests/sim/harness.h"

#include <stdarg.h>
#include <stdio.h>

enum { TURN_MS = 50, CUT_MS = 500 };

static const uint64_t ns_in_ms = 1000000, ns_in_second = 1000000000;

struct harness harness;

void broken(const char *format, ...)
{
	va_list arguments;

	if (harness.world.broken[0])
		return;
	va_start(arguments, format);
	vsnprintf(harness.world.broken, sizeof(harness.world.broken), format, arguments);
	va_end(arguments);
}

static void cut(void)
{
	if (!harness.workload.sink || sim_now_ns() < harness.next_cut_ns)
		return;
	harness.next_cut_ns = sim_now_ns() + CUT_MS * ns_in_ms;
	history_begin(harness.log, "cut", "\"before\":");
	history_add_sizes(harness.log);
	history_add(harness.log, ",\"after\":");
	history_add_sizes(harness.log);
	history_end(harness.log);
}

void sleep_ms(uint64_t ms)
{
	uint64_t due_ns = sim_now_ns() + ms * ns_in_ms;

	while (sim_now_ns() < due_ns) {
		uint64_t turn_ns = sim_now_ns() + CUT_MS * ns_in_ms;
		fiber_sleep_until(turn_ns < due_ns ? turn_ns : due_ns);
		cut();
	}
}

bool wait_until(bool (*holds)(void), unsigned seconds_max)
{
	uint64_t due_ns = sim_now_ns() + seconds_max * ns_in_second;

	while (!holds()) {
		if (sim_now_ns() >= due_ns || harness.world.broken[0])
			return false;
		sleep_ms(TURN_MS);
	}
	return true;
}
