/* hw/ethtool.h: what the kernel's driver says of an interface: its version and the firmware's. */
#pragma once
#include "hw/root.h"

struct ethtool_facts {
	char driver[33];
	char version[33];
	char firmware[33]; /* "" not told */
};

/* In a tree that is not /: the text of calls/ethtool-INTERFACE, as `ethtool -i` prints it. -ENOENT,
 * -errno. */
int ethtool_read(struct ethtool_facts *ret, const struct host_root *root, const char *interface);
