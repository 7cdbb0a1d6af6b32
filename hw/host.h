/* hw/host.h: what the checks and the tuning look at, gathered once. */
#pragma once
#include "hw/disk.h"
#include "hw/layout.h"
#include "hw/nic.h"
#include "hw/topology.h"

struct host {
	const struct host_root *root;
	struct topology topology;
	struct layout layout;
	struct nic nic;                      /* counts while has_nic */
	bool has_nic;                        /* named, or one that is already given to a process */
	const struct nic_driver *nic_driver; /* of the kernel driver it has or had; null unknown */
	struct disk disk;
	bool has_disk;
	char process[16]; /* below /proc: a running sluiced's number, else "self" */
	char command_line[HOST_TEXT_BYTES]; /* the kernel's; "" unknown */
};

/* `data` null: /var/lib/sluice.  `nic` null: none is named.  -errno of topology or NIC, with a
 * sentence in `why`. */
int host_read(struct host *ret, const struct host_root *root, const char *data, const char *nic,
	      char *why, size_t why_bytes);
