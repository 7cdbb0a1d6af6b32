#include "hw/ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int read_text(struct ethtool_facts *ret, const struct host_root *root, const char *interface)
{
	char name[HOST_NAME_BYTES];
	char text[HOST_TEXT_BYTES];

	snprintf(name, sizeof(name), "ethtool-%.64s", interface);
	int rc = host_call(root, name, text);
	if (rc < 0)
		return rc;
	*ret = (struct ethtool_facts){0};
	host_field(text, "driver", ret->driver, sizeof(ret->driver));
	host_field(text, "version", ret->version, sizeof(ret->version));
	host_field(text, "firmware-version", ret->firmware, sizeof(ret->firmware));
	return 0;
}

int ethtool_read(struct ethtool_facts *ret, const struct host_root *root, const char *interface)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (void *)&info};

	if (!root->real)
		return read_text(ret, root, interface);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%.15s", interface);
	int rc = ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return rc;
	snprintf(ret->driver, sizeof(ret->driver), "%.32s", info.driver);
	snprintf(ret->version, sizeof(ret->version), "%.32s", info.version);
	snprintf(ret->firmware, sizeof(ret->firmware), "%.32s", info.fw_version);
	return 0;
}
