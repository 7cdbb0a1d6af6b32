#include "hw/topology.h"

#include <errno.h>
#include <string.h>

void topology_siblings(const struct host_root *root, int cpu, struct cpus *ret)
{
	struct cpus self = {.count = 1, .numbers = {cpu}};

	if (host_cpus(root, ret, "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		      cpu) < 0)
		ret->count = 0;
	cpus_keep(ret, &self, false);
}

static void find_first(struct topology *topology, const struct host_root *root)
{
	struct cpus siblings;

	for (int i = 0; i < topology->online.count; i++) {
		int cpu = topology->online.numbers[i];
		topology_siblings(root, cpu, &siblings);
		cpus_keep(&siblings, &topology->online, true);
		if (siblings.count == 0 || siblings.numbers[0] > cpu)
			cpus_add(&topology->first, cpu);
	}
}

static void read_nodes(struct topology *topology, const struct host_root *root)
{
	topology->node_count = 1;
	for (int node = 0; node < NODES_MAX; node++) {
		struct cpus *cpus = &topology->nodes[node];
		if (host_cpus(root, cpus, "sys/devices/system/node/node%d/cpulist", node) < 0)
			continue;
		cpus_keep(cpus, &topology->online, true);
		topology->node_count = node + 1;
	}
	if (topology->node_count == 1)
		topology->nodes[0] = topology->online;
}

static int read_allowed(struct topology *topology, const struct host_root *root)
{
	char text[HOST_TEXT_BYTES];
	char list[HOST_TEXT_BYTES];
	int rc = host_text(root, text, "proc/self/status");

	if (rc < 0 || !host_field(text, "Cpus_allowed_list", list, sizeof(list)))
		return rc < 0 ? rc : -ENOENT;
	return cpus_parse(&topology->allowed, list);
}

int topology_read(struct topology *ret, const struct host_root *root)
{
	memset(ret, 0, sizeof(*ret));
	int rc = host_cpus(root, &ret->online, "sys/devices/system/cpu/online");
	if (rc < 0)
		return rc;
	if (read_allowed(ret, root) < 0)
		ret->allowed = ret->online;
	/* Both files are absent, empty or "(null)" where there are none. */
	if (host_cpus(root, &ret->isolated, "sys/devices/system/cpu/isolated") < 0)
		ret->isolated.count = 0;
	if (host_cpus(root, &ret->nohz_full, "sys/devices/system/cpu/nohz_full") < 0)
		ret->nohz_full.count = 0;
	find_first(ret, root);
	read_nodes(ret, root);
	return 0;
}

int topology_node(const struct topology *topology, int cpu)
{
	for (int node = 0; node < topology->node_count; node++) {
		if (cpus_have(&topology->nodes[node], cpu))
			return node;
	}
	return -1;
}
