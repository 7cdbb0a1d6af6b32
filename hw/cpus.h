/* hw/cpus.h: which processors this process may use, and lists of processors as the kernel writes
 * them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { CPUS_MAX = 1024 };

struct cpus {
	int count;
	int numbers[CPUS_MAX]; /* as in sched_setaffinity, ascending */
};

/* Those of the calling thread's affinity mask (cgroup cpusets are in it).  -errno. */
int cpus_allowed(struct cpus *ret);
/* Lets the calling thread run on all of them; on failure its mask stays. */
int cpus_allow(const struct cpus *cpus);

/* "0-3,8", ascending or not; "" is none.  -EINVAL, also for numbers from CPUS_MAX on. */
int cpus_parse(struct cpus *ret, const char *text);
/* The same back, as short as it goes; cut where it does not fit. */
void cpus_print(const struct cpus *cpus, char *text, size_t text_bytes);
bool cpus_have(const struct cpus *cpus, int number);
void cpus_add(struct cpus *cpus, int number); /* below CPUS_MAX; one that is there is fine */
/* Those of `cpus` that are in `others` (or, `in` false, are not). */
void cpus_keep(struct cpus *cpus, const struct cpus *others, bool in);
