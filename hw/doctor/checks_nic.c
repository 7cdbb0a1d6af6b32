/* Checks of the NIC that the broker's DPDK port is, or is to be. */
#include <stdlib.h>
#include <string.h>

#include "hw/doctor/doctor_internal.h"
#include "hw/ethtool.h"
#include "hw/nic_use.h"

#define PCI "sys/bus/pci/devices"

/* For commands: the name that stays when the kernel loses it. */
static const char *name_of(const struct nic *nic)
{
	return nic->pci[0] ? nic->pci : nic->interface;
}

/* Does DPDK share the device with the kernel's driver?  Then nothing has to be given away. */
static bool is_shared(const struct host *host)
{
	return host->nic_driver && host->nic_driver->access == NIC_SHARED;
}

void check_nic_driver(const struct host *host, struct finding *finding)
{
	const struct nic *nic = &host->nic;

	if (skip_without_nic(host, finding))
		return;
	if (nic_detached(nic)) {
		finding_ok(finding, "%s is bound to %s%s%s", nic->pci, nic->driver,
			   host->nic_driver ? ", for " : "",
			   host->nic_driver ? host->nic_driver->poll_mode : "");
	} else if (is_shared(host)) {
		finding_ok(finding, "%s has %s, which DPDK's %s shares", name_of(nic), nic->driver,
			   host->nic_driver->poll_mode);
	} else if (!host->nic_driver || !nic->pci[0]) {
		finding_fault(finding, "DPDK has no driver for %s (%s)", name_of(nic),
			      nic->driver[0] ? nic->driver : "no driver of the kernel's either");
		finding_cure(finding,
			     "sluiced --vdev net_af_packet0,iface=%s, or no DPDK port at "
			     "all: clients reach the broker through the kernel",
			     nic->interface[0] ? nic->interface : "IFACE");
	} else {
		finding_warn(finding, "%s still has the kernel's driver %s; DPDK has %s for it",
			     nic->pci, nic->driver, host->nic_driver->poll_mode);
		finding_cure(finding, "sluice nic bind %s", nic->pci);
	}
}

void check_nic_needed(const struct host *host, struct finding *finding)
{
	struct nic_uses uses;

	if (skip_without_nic(host, finding))
		return;
	if (!host->nic.interface[0] || is_shared(host)) {
		finding_ok(finding, "Nothing that is lost");
		return;
	}
	if (nic_uses_find(&uses, host->root, host->nic.interface, getenv("SSH_CONNECTION")) < 0) {
		finding_skip(finding, "The kernel does not tell of its routes");
		return;
	}
	if (uses.count == 0) {
		finding_ok(finding, "Nothing: no route, no address, no session");
		return;
	}
	finding_fault(finding, "The host needs %s: %s%s", host->nic.interface, uses.why[0],
		      uses.count > 1 ? ", and more" : "");
	finding_cure(finding,
		     "give the broker another NIC, or reach the host through another one "
		     "first (sluice nic show %s)",
		     host->nic.interface);
}

/* ---- handing it over ---- */

static const char *iommu_words(const struct host *host)
{
	char vendor[64] = "";
	char *lines;

	if (host_file(host->root, &lines, "proc/cpuinfo") == 0) {
		host_field(lines, "vendor_id", vendor, sizeof(vendor));
		free(lines);
	}
	return strcmp(vendor, "AuthenticAMD") == 0 ? "iommu=pt" : "intel_iommu=on iommu=pt";
}

void check_iommu(const struct host *host, struct finding *finding)
{
	const char *words = iommu_words(host);
	bool asked = host_word(host->command_line, "intel_iommu=on") ||
		     host_word(host->command_line, "amd_iommu=on") ||
		     host_word(host->command_line, "iommu=pt");

	if (skip_without_nic(host, finding))
		return;
	if (host->nic.iommu_group[0] || is_shared(host)) {
		finding_ok(finding,
			   host->nic.iommu_group[0] ? "On; the NIC is in group %s" : "Not needed%s",
			   host->nic.iommu_group);
	} else if (asked) {
		finding_fault(finding, "The kernel was asked for it, and has none for the NIC");
		finding_cure(finding, "switch VT-d (AMD: IOMMU) on in the firmware's set-up");
	} else {
		finding_fault(finding, "Off");
		finding_cure(finding,
			     "add %s to GRUB_CMDLINE_LINUX in /etc/default/grub, then "
			     "update-grub and reboot",
			     words);
	}
}

/* Bridges of the bus stay with the kernel, and may. */
static bool hinders(const struct host *host, const char *pci)
{
	char driver[HOST_NAME_BYTES];

	host_link(host->root, driver, PCI "/%s/driver", pci);
	return strcmp(pci, host->nic.pci) != 0 && driver[0] && strcmp(driver, "pcieport") != 0 &&
	       strcmp(driver, "vfio-pci") != 0;
}

void check_iommu_group(const struct host *host, struct finding *finding)
{
	struct host_names devices;
	const char *other = NULL;

	if (skip_without_nic(host, finding))
		return;
	if (!host->nic.iommu_group[0] || is_shared(host)) {
		finding_skip(finding, "The NIC is in none, or need not be given away");
		return;
	}
	if (host_names(host->root, &devices, "sys/kernel/iommu_groups/%s/devices",
		       host->nic.iommu_group) < 0)
		return;
	for (size_t i = 0; i < devices.count && !other; i++)
		other = hinders(host, devices.at[i]) ? devices.at[i] : NULL;
	if (!other) {
		finding_ok(finding, "None that the kernel keeps");
	} else {
		finding_fault(finding, "%s is in group %s too, with a driver of the kernel's",
			      other, host->nic.iommu_group);
		finding_cure(finding,
			     "sluice nic bind %s   (or a slot with a group of its own: one "
			     "below a port with ACS)",
			     other);
	}
	host_names_free(&devices);
}

void check_vfio(const struct host *host, struct finding *finding)
{
	if (skip_without_nic(host, finding))
		return;
	if (is_shared(host)) {
		finding_ok(finding, "Not needed");
	} else if (!host_exists(host->root, "sys/bus/pci/drivers/vfio-pci")) {
		finding_fault(finding, "The module is not loaded");
		finding_cure(finding, "modprobe vfio-pci && echo vfio-pci > "
				      "/etc/modules-load.d/vfio-pci.conf");
	} else if (!host_exists(host->root, "dev/vfio/vfio")) {
		finding_fault(finding, "/dev/vfio/vfio is missing");
		finding_cure(finding, "modprobe vfio   (in a container: --device /dev/vfio)");
	} else {
		finding_ok(finding, "Loaded");
	}
}

/* ---- what it can do ---- */

void check_nic_queues(const struct host *host, struct finding *finding)
{
	int shards = host->layout.shards.count;
	int queues = host->nic.rx_queues;

	if (skip_without_nic(host, finding))
		return;
	if (queues == 0) {
		finding_skip(finding, "The kernel has no interface to count them on; sluiced says "
				      "so when it starts");
		return;
	}
	if (queues >= shards) {
		finding_ok(finding, "%d, for %d shards", queues, shards);
		return;
	}
	finding_fault(finding, "%d, for %d shards", queues, shards);
	finding_cure(finding,
		     "ethtool -L %s combined %d   (a guest: more queues on its virtual "
		     "NIC; else shards = %d)",
		     host->nic.interface, shards, queues);
}

void check_nic_steering(const struct host *host, struct finding *finding)
{
	const struct nic_driver *driver = host->nic_driver;

	if (skip_without_nic(host, finding))
		return;
	if (!driver) {
		finding_skip(finding, "Not known without a driver that is");
		return;
	}
	if (driver->steers) {
		finding_ok(finding, "%s steers UDP ports to queues", driver->poll_mode);
		return;
	}
	finding_fault(finding, "%s takes no such rules: %s", driver->poll_mode,
		      driver->spreads ? "packets are spread by RSS, and handed over between shards"
				      : "all packets arrive on one queue, and are handed over");
	finding_cure(finding, driver->spreads
				      ? "a NIC of ice, i40e, ixgbe, mlx5 or bnxt; or shards "
					"enough that handing over does not matter"
				      : "a NIC of ice, i40e, ixgbe, mlx5 or bnxt; or "
					"dpdk.queues = 1");
}

void check_nic_link(const struct host *host, struct finding *finding)
{
	const struct nic *nic = &host->nic;

	if (skip_without_nic(host, finding))
		return;
	if (!nic->interface[0]) {
		finding_skip(finding, "The kernel does not see it; sluiced says so when it starts");
	} else if (!nic->up) {
		finding_fault(finding, "%s has none", nic->interface);
		finding_cure(finding, "ip link set %s up, then look at cable and switch port",
			     nic->interface);
	} else if (nic->speed > 0) {
		finding_ok(finding, "Up, %lld Mbit/s", (long long)nic->speed);
	} else {
		finding_ok(finding, "Up");
	}
}

void check_nic_mtu(const struct host *host, struct finding *finding)
{
	enum { ETHERNET = 1500, JUMBO = 9000 };
	int64_t mtu = host->nic.mtu;

	if (skip_without_nic(host, finding))
		return;
	if (mtu == 0)
		finding_skip(finding, "The kernel does not see it; dpdk.mtu sets it");
	else if (mtu >= ETHERNET)
		finding_ok(finding,
			   mtu >= JUMBO ? "%lld"
					: "%lld; 9000, where the whole network has it, "
					  "takes a sixth of the packets",
			   (long long)mtu);
	else
		finding_fault(finding, "%lld, less than Ethernet's %d", (long long)mtu, ETHERNET);
	if (mtu && mtu < ETHERNET)
		finding_cure(finding, "ip link set %s mtu %d   (dpdk.mtu = %d once it is bound)",
			     host->nic.interface, ETHERNET, ETHERNET);
}

static bool pcie_number(const struct host *host, const char *name, double *ret)
{
	char text[HOST_TEXT_BYTES];
	char *end;

	if (host_text(host->root, text, PCI "/%s/%s", host->nic.pci, name) < 0)
		return false;
	*ret = strtod(text, &end); /* "8.0 GT/s PCIe", "16" */
	return end != text && *ret > 0;
}

void check_nic_pcie(const struct host *host, struct finding *finding)
{
	double speed;
	double speed_max;
	double width;
	double width_max;

	if (skip_without_nic(host, finding))
		return;
	if (!host->nic.pci[0] || !pcie_number(host, "current_link_speed", &speed) ||
	    !pcie_number(host, "max_link_speed", &speed_max) ||
	    !pcie_number(host, "current_link_width", &width) ||
	    !pcie_number(host, "max_link_width", &width_max)) {
		finding_skip(finding, "The device does not say");
	} else if (speed * width >= speed_max * width_max) {
		finding_ok(finding, "%.0f lanes of %.1f GT/s, all that the card has", width, speed);
	} else {
		finding_fault(finding,
			      "%.0f lanes of %.1f GT/s; the card could have %.0f of %.1f GT/s",
			      width, speed, width_max, speed_max);
		finding_cure(finding,
			     "put the card into a slot with %.0f lanes, and look for a "
			     "limit in the firmware's set-up",
			     width_max);
	}
}

/* Where the device's package did not load, ice runs with one queue and no rules. */
static bool in_safe_mode(const struct host *host, const struct ethtool_facts *facts)
{
	return strcmp(facts->driver, "ice") == 0 && host->nic.rx_queues == 1;
}

void check_nic_firmware(const struct host *host, struct finding *finding)
{
	struct ethtool_facts facts;

	if (skip_without_nic(host, finding))
		return;
	if (!host->nic.interface[0] || ethtool_read(&facts, host->root, host->nic.interface) < 0) {
		finding_skip(finding, "The kernel does not tell");
	} else if (in_safe_mode(host, &facts)) {
		finding_fault(finding, "%s with %s has one queue: its package was not loaded",
			      facts.driver, facts.firmware);
		finding_cure(finding,
			     "apt install firmware-misc-nonfree   (intel/ice/ddp/ice.pkg), "
			     "then modprobe -r ice && modprobe ice");
	} else if (!facts.firmware[0] || strcmp(facts.firmware, "N/A") == 0) {
		finding_ok(finding, "%s has none to tell of", facts.driver);
	} else {
		finding_ok(finding, "%s, with %s %s", facts.firmware, facts.driver, facts.version);
	}
}
