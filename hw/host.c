#include "hw/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hw/nic_bind.h"

#define DATA_FOLDER "/var/lib/sluice"

/* One that was given to a process is there for the broker. */
static int find_detached(struct host *host)
{
	struct nic *nics = calloc(NICS_MAX, sizeof(*nics));
	size_t count = 0;

	if (!nics)
		return -ENOMEM;
	int rc = nic_list(nics, host->root, &count);
	for (size_t i = 0; rc == 0 && i < count && !host->has_nic; i++) {
		host->has_nic = nic_detached(&nics[i]);
		if (host->has_nic)
			host->nic = nics[i];
	}
	free(nics);
	return rc;
}

static int find_nic(struct host *host, const char *name, char *why, size_t why_bytes)
{
	char former[NIC_NAME_BYTES];
	int rc = name ? nic_find(&host->nic, host->root, name) : find_detached(host);

	if (rc < 0) {
		snprintf(why, why_bytes,
			 rc == -ENODEV    ? "there is no interface or PCI device '%s'"
			 : rc == -ENOTSUP ? "PCI device %s is no network device"
					  : "'%s' cannot be the name of a NIC",
			 name ? name : "");
		return rc;
	}
	host->has_nic = host->has_nic || name;
	if (!host->has_nic)
		return 0;
	nic_former_driver(host->root, &host->nic, former);
	host->nic_driver = nic_driver_find(nic_detached(&host->nic) ? former : host->nic.driver);
	return 0;
}

/* Limits are those of a broker that runs, where one does: a shell's may be others. */
static void find_process(struct host *host)
{
	char name[HOST_TEXT_BYTES];
	struct host_names names;

	snprintf(host->process, sizeof(host->process), "self");
	if (host_names(host->root, &names, "proc") < 0)
		return;
	for (size_t i = 0; i < names.count; i++) {
		if (strspn(names.at[i], "0123456789") != strlen(names.at[i]) ||
		    strlen(names.at[i]) >= sizeof(host->process))
			continue;
		if (host_text(host->root, name, "proc/%s/comm", names.at[i]) == 0 &&
		    strcmp(name, "sluiced") == 0)
			snprintf(host->process, sizeof(host->process), "%.15s", names.at[i]);
	}
	host_names_free(&names);
}

int host_read(struct host *ret, const struct host_root *root, const char *data, const char *nic,
	      char *why, size_t why_bytes)
{
	memset(ret, 0, sizeof(*ret));
	ret->root = root;
	int rc = topology_read(&ret->topology, root);
	if (rc < 0) {
		snprintf(why, why_bytes, "/sys/devices/system/cpu tells of no processors");
		return rc;
	}
	rc = find_nic(ret, nic, why, why_bytes);
	if (rc < 0)
		return rc;
	layout_propose(&ret->layout, &ret->topology, ret->has_nic ? &ret->nic : NULL);
	ret->has_disk = disk_find(&ret->disk, root, data ? data : DATA_FOLDER) == 0;
	if (host_text(root, ret->command_line, "proc/cmdline") < 0)
		ret->command_line[0] = 0;
	find_process(ret);
	return 0;
}
