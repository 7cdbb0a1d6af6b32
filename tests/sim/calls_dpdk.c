/* What the broker uses of DPDK here are its rings, and those need no environment: their memory is
 * the heap's, and their names may be given again when a broker has been killed. */
#include "dataplane/dpdk/eal.h"
#include "tests/sim/schedule.h"

#include <rte_errno.h>
#include <rte_ring.h>
#include <rte_telemetry.h>
#include <stdlib.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

int __wrap_eal_start_with(const struct eal_options *options, char *why, size_t why_bytes)
{
	(void)options;
	if (why_bytes)
		why[0] = '\0';
	return 0;
}

struct rte_ring *__wrap_rte_ring_create(const char *name, unsigned count, int socket,
					unsigned flags)
{
	ssize_t bytes = rte_ring_get_memsize(count);
	struct rte_ring *ring = bytes < 0 ? NULL
					  : aligned_alloc(RTE_CACHE_LINE_SIZE, (size_t)bytes);

	(void)socket;
	if (!ring || rte_ring_init(ring, name, count, flags) < 0) {
		rte_errno = ENOMEM;
		free(ring);
		return NULL;
	}
	return ring;
}

void __wrap_rte_ring_free(struct rte_ring *ring)
{
	free(ring);
}

/* An lcore id of its own is for the caches of pools, which nobody has here. */
int __wrap_rte_thread_register(void)
{
	return 0;
}

void __wrap_rte_thread_unregister(void)
{
}

int __wrap_rte_telemetry_register_cmd(const char *command, telemetry_cb answer, const char *help)
{
	(void)command, (void)answer, (void)help;
	return 0;
}
