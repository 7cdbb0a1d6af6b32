/* hw/nic_bind.h: a NIC taken from the kernel's driver for the broker's DPDK port, and given back.
 *
 * Binding: the kernel driver's name is written down; driver_override says vfio-pci; the driver lets
 * go; the bus asks the drivers anew.  What fails midway is taken back.  Giving back is the same the
 * other way, and the driver that was written down is the one that gets it. */
#pragma once
#include "hw/nic.h"

enum { NIC_STEPS_MAX = 4, NIC_STEP_BYTES = 256 };

struct nic_step {
	char path[NIC_STEP_BYTES]; /* from the root */
	char text[NIC_NAME_BYTES]; /* written there; "\n" clears */
};

struct nic_plan {
	struct nic nic;
	char driver[NIC_NAME_BYTES]; /* that has it in the end; "" whichever the kernel finds */
	bool remember;               /* the driver of now is written down first */
	struct nic_step steps[NIC_STEPS_MAX];
	size_t count;
};

/* The driver that the NIC was taken from; "" unknown. */
void nic_former_driver(const struct host_root *root, const struct nic *nic,
		       char driver[static NIC_NAME_BYTES]);

/* What is to be done, with the reason in `why` where it must not be:
 * -EALREADY it is bound, -EOPNOTSUPP not this device, -ENOENT no vfio-pci in the kernel; and,
 * unless `force`: -EBUSY the host needs the interface, -ENXIO no IOMMU.  `ssh_connection` as
 * nic_uses_find. */
int nic_plan_bind(struct nic_plan *ret, const struct host_root *root, const struct nic *nic,
		  const char *ssh_connection, bool force, char *why, size_t why_bytes);
/* -EALREADY: it is the kernel's. */
int nic_plan_unbind(struct nic_plan *ret, const struct host_root *root, const struct nic *nic,
		    char *why, size_t why_bytes);
/* PCI addresses of the NICs that were taken and not given back, also before a restart of the host.
 * -ENOMEM. */
int nic_remembered(const struct host_root *root, struct host_names *ret);
/* -errno with the step that failed in `why`; after a failed bind the former driver has it again. */
int nic_plan_run(const struct nic_plan *plan, const struct host_root *root, char *why,
		 size_t why_bytes);
