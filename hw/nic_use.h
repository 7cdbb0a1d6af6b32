/* hw/nic_use.h: what the host itself does over an interface, which is lost when the interface goes.
 *
 * Read from /proc/net, so that it also holds in a test's tree: routes, addresses, connections to
 * the host's ssh server, and the bond, bridge or VLAN that lies on the interface. */
#pragma once
#include "hw/root.h"

enum { NIC_USES_MAX = 8, NIC_USE_BYTES = 200 };

struct nic_uses {
	char why[NIC_USES_MAX][NIC_USE_BYTES]; /* sentences: "it carries the default route" */
	size_t count;
};

/* `ssh_connection`: of the environment (null: none), as ssh(1) sets it.  -errno where the host's
 * routes cannot be read: then nothing is known, and the interface has to be taken as needed. */
int nic_uses_find(struct nic_uses *ret, const struct host_root *root, const char *interface,
		  const char *ssh_connection);
