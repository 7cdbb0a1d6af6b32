#include "hw/nic_bind.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/nic_use.h"

#define VFIO "vfio-pci"
#define MEMORY "var/lib/sluice-host/nic"

static void memory_path(const struct nic *nic, char path[static NIC_STEP_BYTES])
{
	snprintf(path, NIC_STEP_BYTES, MEMORY "/%s", nic->pci);
}

void nic_former_driver(const struct host_root *root, const struct nic *nic,
		       char driver[static NIC_NAME_BYTES])
{
	char path[NIC_STEP_BYTES];
	char text[HOST_TEXT_BYTES];

	memory_path(nic, path);
	driver[0] = 0;
	/* It becomes part of a path: what no driver is called is not taken. */
	if (nic->pci[0] && host_text(root, text, "%s", path) == 0 && !strchr(text, '/') &&
	    strlen(text) < NIC_NAME_BYTES)
		snprintf(driver, NIC_NAME_BYTES, "%.63s", text);
}

__attribute__((format(printf, 3, 4))) static void add_step(struct nic_plan *plan, const char *text,
							   const char *format, ...)
{
	struct nic_step *step = &plan->steps[plan->count++];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(step->path, sizeof(step->path), format, arguments);
	va_end(arguments);
	snprintf(step->text, sizeof(step->text), "%s", text);
}

/* ---- what must not be ---- */

static int check_use(const struct host_root *root, const struct nic *nic,
		     const char *ssh_connection, char *why, size_t why_bytes)
{
	struct nic_uses uses;

	if (!nic->interface[0])
		return 0;
	int rc = nic_uses_find(&uses, root, nic->interface, ssh_connection);
	if (rc < 0) {
		snprintf(why, why_bytes,
			 "whether the host needs %s is not known: /proc/net/route: %s",
			 nic->interface, strerror(-rc));
		return -EBUSY;
	}
	if (uses.count == 0)
		return 0;
	size_t at = (size_t)snprintf(why, why_bytes, "the host needs %s: ", nic->interface);
	for (size_t i = 0; i < uses.count && at < why_bytes; i++)
		at += (size_t)snprintf(why + at, why_bytes - at, "%s%s", i ? ", " : "",
				       uses.why[i]);
	return -EBUSY;
}

/* VFIO's mode without IOMMU lets the device write anywhere, and has to be asked for. */
static bool without_iommu_allowed(const struct host_root *root)
{
	char text[HOST_TEXT_BYTES];

	return host_text(root, text, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode") ==
		       0 &&
	       strcmp(text, "Y") == 0;
}

static int check_device(const struct nic *nic, char *why, size_t why_bytes)
{
	const struct nic_driver *driver = nic_driver_find(nic->driver);

	if (!nic->pci[0]) {
		snprintf(why, why_bytes, "%s is on no PCI bus", nic->interface);
		return -EOPNOTSUPP;
	}
	if (driver && driver->access == NIC_SHARED) {
		snprintf(why, why_bytes,
			 "DPDK shares %s with the kernel's driver %s: it is used as it is, "
			 "dpdk.port=%s",
			 nic->pci, nic->driver, nic->pci);
		return -EOPNOTSUPP;
	}
	return 0;
}

static int check_iommu(const struct host_root *root, const struct nic *nic, char *why,
		       size_t why_bytes)
{
	if (nic->iommu_group[0] || without_iommu_allowed(root))
		return 0;
	snprintf(why, why_bytes,
		 "no IOMMU is on for %s: start the kernel with intel_iommu=on (or amd_iommu=on) "
		 "iommu=pt",
		 nic->pci);
	return -ENXIO;
}

static int check_bind(const struct host_root *root, const struct nic *nic,
		      const char *ssh_connection, bool force, char *why, size_t why_bytes)
{
	int rc = check_device(nic, why, why_bytes);

	if (rc == 0 && strcmp(nic->driver, VFIO) == 0) {
		snprintf(why, why_bytes, "%s is bound to vfio-pci already", nic->pci);
		rc = -EALREADY;
	}
	if (rc == 0 && !force)
		rc = check_use(root, nic, ssh_connection, why, why_bytes);
	if (rc == 0 && !force)
		rc = check_iommu(root, nic, why, why_bytes);
	if (rc == 0 && !host_exists(root, "sys/bus/pci/drivers/" VFIO)) {
		snprintf(why, why_bytes, "the kernel has no vfio-pci: modprobe vfio-pci");
		rc = -ENOENT;
	}
	return rc;
}

/* ---- plans ---- */

int nic_plan_bind(struct nic_plan *ret, const struct host_root *root, const struct nic *nic,
		  const char *ssh_connection, bool force, char *why, size_t why_bytes)
{
	int rc = check_bind(root, nic, ssh_connection, force, why, why_bytes);

	if (rc < 0)
		return rc;
	*ret = (struct nic_plan){.nic = *nic, .driver = VFIO, .remember = nic->driver[0] != 0};
	add_step(ret, VFIO, "sys/bus/pci/devices/%s/driver_override", nic->pci);
	if (nic->driver[0])
		add_step(ret, nic->pci, "sys/bus/pci/drivers/%s/unbind", nic->driver);
	add_step(ret, nic->pci, "sys/bus/pci/drivers_probe");
	return 0;
}

int nic_plan_unbind(struct nic_plan *ret, const struct host_root *root, const struct nic *nic,
		    char *why, size_t why_bytes)
{
	char former[NIC_NAME_BYTES];
	int rc = check_device(nic, why, why_bytes);

	if (rc < 0)
		return rc;
	if (nic->driver[0] && !nic_detached(nic)) {
		snprintf(why, why_bytes, "%s is the kernel's already, by %s", nic->pci,
			 nic->driver);
		return -EALREADY;
	}
	*ret = (struct nic_plan){.nic = *nic};
	nic_former_driver(root, nic, former);
	snprintf(ret->driver, sizeof(ret->driver), "%s", former);
	add_step(ret, "\n", "sys/bus/pci/devices/%s/driver_override", nic->pci);
	if (nic->driver[0])
		add_step(ret, nic->pci, "sys/bus/pci/drivers/%s/unbind", nic->driver);
	if (former[0] && host_exists(root, "sys/bus/pci/drivers/%s", former))
		add_step(ret, nic->pci, "sys/bus/pci/drivers/%s/bind", former);
	else
		add_step(ret, nic->pci, "sys/bus/pci/drivers_probe");
	return 0;
}

static int run_steps(const struct nic_plan *plan, const struct host_root *root, char *why,
		     size_t why_bytes)
{
	char driver[HOST_NAME_BYTES];

	for (size_t i = 0; i < plan->count; i++) {
		const struct nic_step *step = &plan->steps[i];
		int rc = host_write(root, step->text, "%s", step->path);
		if (rc < 0) {
			snprintf(why, why_bytes, "writing %s to /%s: %s", step->text, step->path,
				 strerror(-rc));
			return rc;
		}
	}
	/* A tree without a kernel behind it changes no links. */
	if (!root->real && !root->wrote)
		return 0;
	host_link(root, driver, "sys/bus/pci/devices/%s/driver", plan->nic.pci);
	if (plan->driver[0] ? strcmp(driver, plan->driver) == 0 : strcmp(driver, VFIO) != 0)
		return 0;
	snprintf(why, why_bytes, "%s has the driver '%s' now, not %s; the kernel's log says why",
		 plan->nic.pci, driver, plan->driver);
	return -EIO;
}

static void take_back(const struct nic_plan *plan, const struct host_root *root)
{
	struct nic_plan back;
	struct nic now;
	char ignored[NIC_STEP_BYTES];

	if (nic_find(&now, root, plan->nic.pci) < 0)
		return;
	host_write(root, "\n", "sys/bus/pci/devices/%s/driver_override", plan->nic.pci);
	if (strcmp(now.driver, plan->nic.driver) != 0 &&
	    nic_plan_unbind(&back, root, &now, ignored, sizeof(ignored)) == 0)
		run_steps(&back, root, ignored, sizeof(ignored));
}

int nic_plan_run(const struct nic_plan *plan, const struct host_root *root, char *why,
		 size_t why_bytes)
{
	char path[NIC_STEP_BYTES];
	char former[NIC_NAME_BYTES + 1];
	bool bind = strcmp(plan->driver, VFIO) == 0;
	int rc = 0;

	memory_path(&plan->nic, path);
	bool remembered = host_exists(root, "%s", path);
	if (plan->remember && !remembered) {
		snprintf(former, sizeof(former), "%s\n", plan->nic.driver);
		rc = host_replace(root, former, path);
	}
	if (rc < 0) {
		snprintf(why, why_bytes, "writing /%s: %s", path, strerror(-rc));
		return rc;
	}
	rc = run_steps(plan, root, why, why_bytes);
	if (rc < 0 && bind)
		take_back(plan, root);
	/* What was given back, or taken back at once, needs no memory any more. */
	if (bind ? rc < 0 && !remembered : rc == 0)
		host_remove(root, path);
	return rc;
}

int nic_remembered(const struct host_root *root, struct host_names *ret)
{
	char pci[NIC_PCI_BYTES];
	int rc = host_names(root, ret, MEMORY);

	if (rc < 0)
		return rc;
	/* Others' files in it are none of ours. */
	for (size_t i = ret->count; i > 0; i--) {
		if (nic_pci_parse(ret->at[i - 1], pci))
			continue;
		free(ret->at[i - 1]);
		ret->at[i - 1] = ret->at[--ret->count];
	}
	return 0;
}
