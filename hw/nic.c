#include "hw/nic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const struct nic_driver drivers[] = {
#define NIC_DRIVER(kernel, poll_mode, access, steers, spreads)                                     \
	{kernel, poll_mode, NIC_##access, steers, spreads},
#include "hw/nic_drivers.def"
#undef NIC_DRIVER
};

const struct nic_driver *nic_driver_find(const char *kernel)
{
	for (size_t i = 0; i < array_count(drivers); i++) {
		if (strcmp(drivers[i].kernel, kernel) == 0)
			return &drivers[i];
	}
	return NULL;
}

bool nic_detached(const struct nic *nic)
{
	return strcmp(nic->driver, "vfio-pci") == 0 ||
	       strcmp(nic->driver, "uio_pci_generic") == 0 || strcmp(nic->driver, "igb_uio") == 0;
}

/* Hexadecimal digits up to `end`, `width` of them at most; null: something else is there. */
static const char *parse_hex(const char *text, size_t width, char end, unsigned *ret)
{
	size_t length = strspn(text, "0123456789abcdefABCDEF");

	if (length == 0 || length > width || text[length] != end)
		return NULL;
	*ret = (unsigned)strtoul(text, NULL, 16);
	return text + length + 1;
}

bool nic_pci_parse(const char *text, char pci[static NIC_PCI_BYTES])
{
	const char *colon = strchr(text, ':');
	unsigned domain = 0;
	unsigned bus;
	unsigned device;
	unsigned function;

	if (colon && strchr(colon + 1, ':'))
		text = parse_hex(text, 4, ':', &domain);
	text = text ? parse_hex(text, 2, ':', &bus) : NULL;
	text = text ? parse_hex(text, 2, '.', &device) : NULL;
	text = text ? parse_hex(text, 1, 0, &function) : NULL;
	if (!text)
		return false;
	snprintf(pci, NIC_PCI_BYTES, "%04x:%02x:%02x.%x", domain & 0xffff, bus & 0xff,
		 device & 0xff, function & 0xf);
	return true;
}

/* "0x8086" without what says that it is hexadecimal. */
static void read_id(const struct host_root *root, char id[static 8], const char *pci,
		    const char *name)
{
	char text[HOST_TEXT_BYTES];

	id[0] = 0;
	if (host_text(root, text, "sys/bus/pci/devices/%s/%s", pci, name) == 0 &&
	    strncmp(text, "0x", 2) == 0)
		snprintf(id, 8, "%.7s", text + 2);
}

static void read_interface(struct nic *nic, const struct host_root *root)
{
	struct host_names queues;
	char text[HOST_TEXT_BYTES];
	int64_t value;

	if (!nic->interface[0])
		return;
	if (host_number(root, &value, "sys/class/net/%s/mtu", nic->interface) == 0)
		nic->mtu = value;
	/* Unreadable, or -1, while the link is down. */
	if (host_number(root, &value, "sys/class/net/%s/speed", nic->interface) == 0 && value > 0)
		nic->speed = value;
	if (host_text(root, text, "sys/class/net/%s/carrier", nic->interface) == 0)
		nic->up = strcmp(text, "1") == 0;
	if (host_names(root, &queues, "sys/class/net/%s/queues", nic->interface) < 0)
		return;
	for (size_t i = 0; i < queues.count; i++)
		nic->rx_queues += strncmp(queues.at[i], "rx-", 3) == 0;
	host_names_free(&queues);
}

/* The interface of a PCI device lies in it, or one deeper in the virtio device on it. */
static void find_interface(struct nic *nic, const struct host_root *root)
{
	struct host_names names;
	char deeper[HOST_NAME_BYTES] = "";

	if (host_names(root, &names, "sys/bus/pci/devices/%s", nic->pci) == 0) {
		for (size_t i = 0; i < names.count; i++) {
			if (strncmp(names.at[i], "virtio", 6) == 0)
				snprintf(deeper, sizeof(deeper), "/%.200s", names.at[i]);
		}
		host_names_free(&names);
	}
	if (host_names(root, &names, "sys/bus/pci/devices/%s%s/net", nic->pci, deeper) == 0) {
		if (names.count)
			snprintf(nic->interface, sizeof(nic->interface), "%.63s", names.at[0]);
		host_names_free(&names);
	}
}

static void read_pci(struct nic *ret, const struct host_root *root, const char *pci)
{
	char name[HOST_NAME_BYTES];
	int64_t node;

	*ret = (struct nic){.node = -1};
	snprintf(ret->pci, sizeof(ret->pci), "%s", pci);
	read_id(root, ret->vendor, pci, "vendor");
	read_id(root, ret->device, pci, "device");
	host_link(root, name, "sys/bus/pci/devices/%s/driver", pci);
	snprintf(ret->driver, sizeof(ret->driver), "%.63s", name);
	host_link(root, name, "sys/bus/pci/devices/%s/iommu_group", pci);
	snprintf(ret->iommu_group, sizeof(ret->iommu_group), "%.63s", name);
	if (host_number(root, &node, "sys/bus/pci/devices/%s/numa_node", pci) == 0 && node >= 0 &&
	    node < INT32_MAX)
		ret->node = (int)node;
	find_interface(ret, root);
	read_interface(ret, root);
}

static bool is_network(const struct host_root *root, const char *pci)
{
	int64_t class;

	return host_number(root, &class, "sys/bus/pci/devices/%s/class", pci) == 0 &&
	       class >> 16 == 0x02;
}

/* What the folder's PCI device is called; false: it is no PCI device's. */
static bool read_slot(const struct host_root *root, const char *interface, const char *above,
		      char pci[static NIC_PCI_BYTES])
{
	char text[HOST_TEXT_BYTES];

	if (host_text(root, text, "sys/class/net/%s/device%s/uevent", interface, above) < 0)
		return false;
	const char *line = strstr(text, "PCI_SLOT_NAME=");
	if (!line)
		return false;
	char *name = text + (line - text) + strlen("PCI_SLOT_NAME=");
	name[strcspn(name, "\n")] = 0;
	return nic_pci_parse(name, pci);
}

/* "" where no PCI device is behind the interface. */
static void pci_of(const struct host_root *root, const char *interface,
		   char pci[static NIC_PCI_BYTES])
{
	/* A virtio device's own folder is one below that of the PCI device. */
	if (!read_slot(root, interface, "", pci) && !read_slot(root, interface, "/..", pci))
		pci[0] = 0;
}

static void read_named(struct nic *ret, const struct host_root *root, const char *interface)
{
	char pci[NIC_PCI_BYTES];
	char driver[HOST_NAME_BYTES];

	pci_of(root, interface, pci);
	if (pci[0]) {
		read_pci(ret, root, pci);
	} else {
		*ret = (struct nic){.node = -1};
		host_link(root, driver, "sys/class/net/%s/device/driver", interface);
		snprintf(ret->driver, sizeof(ret->driver), "%.63s", driver);
	}
	/* A port of several shares its PCI device: the one that was asked for counts. */
	ret->rx_queues = 0;
	snprintf(ret->interface, sizeof(ret->interface), "%s", interface);
	read_interface(ret, root);
}

int nic_find(struct nic *ret, const struct host_root *root, const char *name)
{
	char pci[NIC_PCI_BYTES];

	if (!*name || strchr(name, '/') || name[0] == '.' || strlen(name) >= NIC_NAME_BYTES)
		return -EINVAL;
	if (host_exists(root, "sys/class/net/%s", name)) {
		read_named(ret, root, name);
		return 0;
	}
	if (!nic_pci_parse(name, pci) || !host_exists(root, "sys/bus/pci/devices/%s", pci))
		return -ENODEV;
	if (!is_network(root, pci))
		return -ENOTSUP;
	read_pci(ret, root, pci);
	return 0;
}

int nic_list(struct nic *ret, const struct host_root *root, size_t *ret_count)
{
	struct host_names names;
	size_t count = 0;
	int rc = host_names(root, &names, "sys/bus/pci/devices");

	for (size_t i = 0; rc == 0 && i < names.count && count < NICS_MAX; i++) {
		if (is_network(root, names.at[i]))
			read_pci(&ret[count++], root, names.at[i]);
	}
	if (rc < 0)
		return rc;
	host_names_free(&names);
	rc = host_names(root, &names, "sys/class/net");
	for (size_t i = 0; rc == 0 && i < names.count && count < NICS_MAX; i++) {
		char pci[NIC_PCI_BYTES];
		pci_of(root, names.at[i], pci);
		if (!pci[0] && host_exists(root, "sys/class/net/%s/device", names.at[i]))
			read_named(&ret[count++], root, names.at[i]);
	}
	if (rc < 0)
		return rc;
	host_names_free(&names);
	*ret_count = count;
	return 0;
}
