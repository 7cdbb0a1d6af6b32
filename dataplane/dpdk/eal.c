#include "dataplane/dpdk/eal.h"

#include "base/bytes.h"
#include "hw/cpus.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <stdio.h>
#include <string.h>

enum {
	MEGABYTES_MIN = 32,
	RING_BYTES = 12 << 10, /* a mesh ring with what the allocator adds */
};

int eal_start(unsigned thread_count, char *why, size_t why_bytes)
{
	struct cpus cpus;
	char lcore[16];
	char megabytes[16];
	int rc = cpus_allowed(&cpus);

	if (rc < 0) {
		snprintf(why, why_bytes, "processors: %s", strerror(-rc));
		return rc;
	}
	size_t rings = (size_t)thread_count * thread_count * RING_BYTES;
	snprintf(megabytes, sizeof(megabytes), "%zu", MEGABYTES_MIN + (rings >> 20));
	snprintf(lcore, sizeof(lcore), "%d", cpus.numbers[0]);
	/* One lcore: the shards are threads of ours, registered when they start. */
	const char *words[] = {"sluiced", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
			       "-m",      megabytes,   "-l",       lcore,         "--log-level",
			       "warning"};
	char *arguments[array_count(words)];
	for (size_t i = 0; i < array_count(words); i++)
		arguments[i] = (char *)(uintptr_t)words[i];
	if (rte_eal_init((int)array_count(words), arguments) < 0) {
		snprintf(why, why_bytes, "DPDK's environment: %s", rte_strerror(rte_errno));
		return -rte_errno;
	}
	return cpus_allow(&cpus);
}

void eal_stop(void)
{
	rte_eal_cleanup();
}
