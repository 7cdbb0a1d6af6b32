#include "hw/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

int cpus_allowed(struct cpus *ret)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int count = 0;

	if (!set)
		return -ENOMEM;
	if (sched_getaffinity(0, size, set) < 0) {
		int rc = -errno;
		CPU_FREE(set);
		return rc;
	}
	for (int i = 0; i < CPUS_MAX; i++) {
		if (CPU_ISSET_S((size_t)i, size, set))
			ret->numbers[count++] = i;
	}
	ret->count = count;
	CPU_FREE(set);
	return 0;
}

int cpus_allow(const struct cpus *cpus)
{
	cpu_set_t *set = CPU_ALLOC(CPUS_MAX);
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	int rc = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	for (int i = 0; i < cpus->count; i++)
		CPU_SET_S((size_t)cpus->numbers[i], size, set);
	if (sched_setaffinity(0, size, set) < 0)
		rc = -errno;
	CPU_FREE(set);
	return rc;
}
