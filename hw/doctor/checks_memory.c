/* Checks of memory: hugepages, what the kernel does behind the shards' backs, and how much is
 * theirs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hw/doctor/doctor_internal.h"

#define MM "sys/kernel/mm"

enum { MIB = 1 << 20 };

/* Bytes of hugepages of every size below `folder`. */
static int64_t huge_bytes(const struct host *host, const char *folder)
{
	struct host_names sizes;
	int64_t bytes = 0;
	int64_t pages;

	if (host_names(host->root, &sizes, "%s/hugepages", folder) < 0)
		return 0;
	for (size_t i = 0; i < sizes.count; i++) {
		/* "hugepages-2048kB" */
		long long kilobytes = strncmp(sizes.at[i], "hugepages-", 10) == 0
					      ? strtoll(sizes.at[i] + 10, NULL, 10)
					      : 0;
		if (host_number(host->root, &pages, "%s/hugepages/%s/nr_hugepages", folder,
				sizes.at[i]) == 0 &&
		    pages > 0 && kilobytes > 0 && kilobytes < (1LL << 31) && pages < (1LL << 20))
			bytes += pages * kilobytes * 1024;
	}
	host_names_free(&sizes);
	return bytes;
}

void check_hugepages(const struct host *host, struct finding *finding)
{
	if (skip_without_nic(host, finding))
		return;
	int64_t bytes = huge_bytes(host, MM);
	if (bytes >= DOCTOR_HUGE_BYTES) {
		finding_ok(finding, "%lld MiB", (long long)bytes / MIB);
		return;
	}
	finding_fault(finding, "%lld MiB; the broker's port wants %lld", (long long)bytes / MIB,
		      (long long)DOCTOR_HUGE_BYTES / MIB);
	finding_cure(finding,
		     "sysctl -w vm.nr_hugepages=%lld   (sluice tune does it; "
		     "hugepages=%lld on the kernel's command line does it before memory is "
		     "in pieces)",
		     (long long)DOCTOR_HUGE_PAGES, (long long)DOCTOR_HUGE_PAGES);
}

void check_hugepages_node(const struct host *host, struct finding *finding)
{
	char folder[64];
	int node = host->nic.node;

	if (skip_without_nic(host, finding))
		return;
	if (host->topology.node_count < 2 || node < 0) {
		finding_ok(finding, "One memory node, or a NIC that belongs to none");
		return;
	}
	snprintf(folder, sizeof(folder), "sys/devices/system/node/node%d", node);
	int64_t bytes = huge_bytes(host, folder);
	if (bytes >= DOCTOR_HUGE_BYTES) {
		finding_ok(finding, "%lld MiB on node %d", (long long)bytes / MIB, node);
		return;
	}
	finding_fault(finding, "%lld MiB on the NIC's node %d; the broker's port wants %lld there",
		      (long long)bytes / MIB, node, (long long)DOCTOR_HUGE_BYTES / MIB);
	finding_cure(finding,
		     "echo %lld > /sys/devices/system/node/node%d/hugepages/hugepages-2048kB/"
		     "nr_hugepages   (sluice tune does it)",
		     (long long)DOCTOR_HUGE_PAGES, node);
}

void check_hugetlbfs(const struct host *host, struct finding *finding)
{
	char *text;

	if (skip_without_nic(host, finding))
		return;
	if (host_file(host->root, &text, "proc/self/mountinfo") < 0) {
		finding_skip(finding, "The kernel does not tell of its mounts");
		return;
	}
	if (strstr(text, " - hugetlbfs ")) {
		finding_ok(finding, "Mounted");
	} else {
		finding_fault(finding, "Not mounted");
		finding_cure(finding, "mount -t hugetlbfs none /dev/hugepages   (systemctl enable "
				      "--now dev-hugepages.mount)");
	}
	free(text);
}

void check_transparent_hugepages(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];

	if (host_text(host->root, text, MM "/transparent_hugepage/enabled") < 0) {
		finding_ok(finding, "The kernel has none");
	} else if (strstr(text, "[always]")) {
		finding_fault(finding, "always");
		finding_cure(finding,
			     "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled   "
			     "(sluice tune does it)");
	} else {
		finding_ok(finding, "%s", strstr(text, "[never]") ? "never" : "madvise");
	}
}

void check_swap(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];
	int64_t swappiness = -1;

	host_number(host->root, &swappiness, "proc/sys/vm/swappiness");
	/* A line of headings comes first. */
	if (host_text(host->root, text, "proc/swaps") < 0 || !strchr(text, '\n')) {
		finding_ok(finding, "None");
	} else if (swappiness >= 0 && swappiness <= 1) {
		finding_ok(finding, "There is some, but vm.swappiness is %lld",
			   (long long)swappiness);
	} else {
		finding_fault(finding, "On, and vm.swappiness is %lld", (long long)swappiness);
		finding_cure(finding, "swapoff -a, and out of /etc/fstab   (or sysctl -w "
				      "vm.swappiness=1, as sluice tune does)");
	}
}

/* A limit of proc/PID/limits: the soft one, or the hard one; -1 unlimited.  False: not told. */
static bool read_limit(const struct host *host, const char *name, bool hard, int64_t *ret)
{
	char text[HOST_TEXT_BYTES];
	char value[128];
	char *end;

	if (host_text(host->root, text, "proc/%s/limits", host->process) < 0 ||
	    !host_field(text, name, value, sizeof(value)))
		return false;
	const char *at = value;
	if (hard)
		at += strcspn(at, " ");
	at += strspn(at, " ");
	if (strncmp(at, "unlimited", 9) == 0) {
		*ret = -1;
		return true;
	}
	*ret = strtoll(at, &end, 10);
	return end != at;
}

static const char *whose(const struct host *host)
{
	return strcmp(host->process, "self") == 0 ? "this shell" : "the running sluiced";
}

void check_memlock(const struct host *host, struct finding *finding)
{
	int64_t bytes;

	if (!read_limit(host, "Max locked memory", false, &bytes)) {
		finding_skip(finding, "The kernel does not tell of the limit");
		return;
	}
	if (bytes < 0 || bytes >= DOCTOR_HUGE_BYTES) {
		finding_ok(finding, "Enough, for %s", whose(host));
		return;
	}
	finding_fault(finding, "%lld KiB for %s%s", (long long)bytes / 1024, whose(host),
		      host->has_nic ? "; DPDK cannot give its memory to the NIC with that" : "");
	finding_cure(finding, "LimitMEMLOCK=infinity in the service (its own unit has it), or "
			      "`* - memlock unlimited` in /etc/security/limits.d/sluice.conf");
}

void check_file_descriptors(const struct host *host, struct finding *finding)
{
	enum { ENOUGH = 65536 };
	int64_t files;

	if (!read_limit(host, "Max open files", true, &files)) {
		finding_skip(finding, "The kernel does not tell of the limit");
		return;
	}
	/* The broker raises its own to the hard limit. */
	if (files < 0 || files >= ENOUGH) {
		finding_ok(finding, "%lld for %s", (long long)files, whose(host));
		return;
	}
	finding_fault(finding, "%lld at most for %s; %d carry 20000 connections and their segments",
		      (long long)files, whose(host), ENOUGH);
	finding_cure(finding, "LimitNOFILE=1048576 in the service (its own unit has it), or "
			      "`* - nofile 1048576` in /etc/security/limits.d/sluice.conf");
}
