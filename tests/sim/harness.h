/* tests/sim/harness.h: what the parts of a run share, and how its fiber waits.
 *
 * world.c fills it and goes through the phases, accidents.c does to the broker what the workload
 * says.  All of it runs in the fiber of the process "harness". */
#pragma once
#include "tests/sim/workload.h"

struct harness {
	struct world world;
	struct workload workload;
	struct random random;
	struct history_log *log;
	struct disk *disk;
	uint64_t next_cut_ns; /* when the sizes of all logs are told again */
};
extern struct harness harness;

/* The oldest program that lives and uses libsluice dies, and another begins in its place; world.c.
 */
void replace_sluice_user(void);

/* A promise that no history shows was broken; the first one stays. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2)));
void sleep_ms(uint64_t ms);
/* False: it does not hold after that time, or something is broken. */
bool wait_until(bool (*holds)(void), unsigned seconds_max);
