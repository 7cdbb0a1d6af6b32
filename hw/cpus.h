/* hw/cpus.h: which processors this process may use. */
#pragma once

enum { CPUS_MAX = 1024 };

struct cpus {
	int count;
	int numbers[CPUS_MAX]; /* as in sched_setaffinity, ascending */
};

/* Those of the calling thread's affinity mask (cgroup cpusets are in it).  -errno. */
int cpus_allowed(struct cpus *ret);
/* Lets the calling thread run on all of them; on failure its mask stays. */
int cpus_allow(const struct cpus *cpus);
