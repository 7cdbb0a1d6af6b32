/* hw/nic.h: the network devices of the host, by PCI address and by interface. */
#pragma once
#include "hw/root.h"

enum { NIC_PCI_BYTES = 16, NIC_NAME_BYTES = 64, NICS_MAX = 256 };

enum nic_access { NIC_VFIO, NIC_SHARED }; /* how DPDK gets it: nic_drivers.def */

struct nic_driver {
	const char *kernel;
	const char *poll_mode;
	enum nic_access access;
	bool steers;  /* rte_flow: UDP port to queue */
	bool spreads; /* RSS */
};

struct nic {
	char pci[NIC_PCI_BYTES];        /* "0000:3b:00.0"; "" where it is on no PCI bus */
	char interface[NIC_NAME_BYTES]; /* "" while the kernel has none */
	char driver[NIC_NAME_BYTES];    /* bound now, of the PCI device: "vfio-pci", "ice", "" */
	char vendor[8];                 /* "8086"; "" unknown */
	char device[8];
	char iommu_group[NIC_NAME_BYTES]; /* "" none */
	int node;                         /* of memory; -1 unknown */
	int rx_queues;                    /* of the interface; 0 unknown */
	int64_t mtu;                      /* 0 unknown */
	int64_t speed;                    /* Mbit/s; 0 unknown or down */
	bool up;                          /* the link has a carrier */
};

/* Is it a PCI address, with or without domain?  Writes the long form. */
bool nic_pci_parse(const char *text, char pci[static NIC_PCI_BYTES]);
/* By PCI address or interface.  -ENODEV: neither; -ENOTSUP: there, but no network device; -EINVAL:
 * a name with '/' or too long. */
int nic_find(struct nic *ret, const struct host_root *root, const char *name);
/* All of class "network controller", and interfaces with a device on no PCI bus; at most NICS_MAX.
 */
int nic_list(struct nic *ret, const struct host_root *root, size_t *ret_count);
/* Drivers that give a device to a process: vfio-pci, uio_pci_generic, igb_uio. */
bool nic_detached(const struct nic *nic);
/* Null: no poll-mode driver that we know. */
const struct nic_driver *nic_driver_find(const char *kernel);
