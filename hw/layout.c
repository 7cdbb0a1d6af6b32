#include "hw/layout.h"

#include <stdio.h>
#include <string.h>

#include "hw/nic.h"

enum { CORES_TO_SHARE = 4, CORES_MANY = 16, LIST_BYTES = 1024 };

/* Never none: where nothing is left, the first core that the process may use. */
static void choose(struct layout *layout, const struct topology *topology)
{
	struct cpus cores = topology->first;

	cpus_keep(&cores, &topology->isolated, true);
	if (cores.count == 0) {
		cores = topology->first;
		cpus_keep(&cores, &topology->allowed, true);
		if (cores.count == 0)
			cores = topology->allowed;
		int left = cores.count >= CORES_MANY ? 2 : cores.count >= CORES_TO_SHARE ? 1 : 0;
		cores.count -= left;
		memmove(cores.numbers, cores.numbers + left,
			(size_t)cores.count * sizeof(cores.numbers[0]));
	}
	layout->shards = cores;
}

static void prefer_node(struct layout *layout, const struct topology *topology, int node)
{
	struct cpus near = layout->shards;

	if (node < 0 || node >= topology->node_count)
		return;
	cpus_keep(&near, &topology->nodes[node], true);
	if (near.count > 0)
		layout->shards = near;
}

static int common_node(const struct layout *layout, const struct topology *topology)
{
	int node = -1;

	for (int i = 0; i < layout->shards.count; i++) {
		int other = topology_node(topology, layout->shards.numbers[i]);
		if (i > 0 && other != node)
			return -1;
		node = other;
	}
	return node;
}

void layout_propose(struct layout *ret, const struct topology *topology, const struct nic *nic)
{
	choose(ret, topology);
	prefer_node(ret, topology, nic ? nic->node : -1);
	if (ret->shards.count > LAYOUT_SHARDS_MAX)
		ret->shards.count = LAYOUT_SHARDS_MAX;
	ret->others = topology->online;
	cpus_keep(&ret->others, &ret->shards, false);
	cpus_keep(&ret->others, &topology->isolated, false);
	if (ret->others.count == 0)
		ret->others = topology->online;
	ret->node = common_node(ret, topology);
	ret->dedicated = topology->first.count >= CORES_TO_SHARE &&
			 (nic != NULL || topology->isolated.count > 0);
}

void layout_print(const struct layout *layout, const struct nic *nic,
		  const struct nic_driver *driver, char text[static LAYOUT_TEXT_BYTES])
{
	char shards[LIST_BYTES];
	char others[LIST_BYTES];
	bool ready = nic && (nic_detached(nic) || (driver && driver->access == NIC_SHARED));

	cpus_print(&layout->shards, shards, sizeof(shards));
	cpus_print(&layout->others, others, sizeof(others));
	int at = snprintf(text, LAYOUT_TEXT_BYTES,
			  "# Written by `sluice tune` for the cores of this host; `sluice tune "
			  "--undo` takes it away.\n"
			  "# Shards have %.1000s; the control plane and the rest of the host have "
			  "%.1000s.\n"
			  "shards = %d\n"
			  "shard.cores = %.1000s\n"
			  "poll = %s\n",
			  shards, others, layout->shards.count, shards,
			  layout->dedicated ? "busy" : "adaptive");
	if (!nic || !nic->pci[0])
		return;
	snprintf(text + at, LAYOUT_TEXT_BYTES - (size_t)at,
		 "%s"
		 "%sdpdk.port = %s\n"
		 "%sdpdk.hugepages = true\n",
		 ready ? "" : "# Once it is bound (sluice nic bind), `sluice tune` again:\n",
		 ready ? "" : "#", nic->pci, ready ? "" : "#");
}
