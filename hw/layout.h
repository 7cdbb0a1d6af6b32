/* hw/layout.h: which cores the shards should have on this host, and the settings that say so. */
#pragma once
#include "hw/nic.h"
#include "hw/topology.h"

enum { LAYOUT_SHARDS_MAX = 126, /* of the setting `shards` */ LAYOUT_TEXT_BYTES = 4096 };

struct layout {
	struct cpus shards; /* one a physical core */
	struct cpus others; /* what is left to the control plane, to interrupts and to the rest */
	int node;           /* the shards' memory node; -1: of several */
	bool dedicated;     /* enough cores, and a NIC or isolation that says so: poll always */
};

/* Isolated cores where there are some, else all but the first one (two from 16 on) where there are
 * four or more; of the NIC's node where that has any.  `nic` may be null. */
void layout_propose(struct layout *ret, const struct topology *topology, const struct nic *nic);
/* A file for conf.d.  `driver`: what the kernel's driver of the NIC means to DPDK; null unknown. */
void layout_print(const struct layout *layout, const struct nic *nic,
		  const struct nic_driver *driver, char text[static LAYOUT_TEXT_BYTES]);
