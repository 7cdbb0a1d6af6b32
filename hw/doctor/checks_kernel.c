/* Checks of the kernel and of what it lets the broker do. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/io_uring.h>

#include "hw/doctor/doctor_internal.h"

void check_kernel_version(const struct host *host, struct finding *finding)
{
	char text[HOST_TEXT_BYTES];
	char *end;

	if (host_text(host->root, text, "proc/sys/kernel/osrelease") < 0) {
		finding_skip(finding, "The kernel does not say");
		return;
	}
	long major = strtol(text, &end, 10);
	long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
	if (major > 6 || (major == 6 && minor >= 1))
		finding_ok(finding, "%.100s", text);
	else
		finding_fault(finding, "%.100s, before 6.1%s", text,
			      major > 5 || (major == 5 && minor >= 19)
				      ? ""
				      : "; the broker does without io_uring on it");
	if (finding->verdict != VERDICT_OK)
		finding_cure(finding, "apt install linux-image-amd64 of Debian 12 (or its "
				      "backports), and reboot");
}

/* Whether the kernel makes us a ring: 0 or -errno.  calls/io_uring_setup of a tree: "0" or an
 * errno. */
static int try_ring(const struct host_root *root)
{
	struct io_uring_params params = {0};
	char text[HOST_TEXT_BYTES];

	if (!root->real)
		return host_call(root, "io_uring_setup", text) < 0 ? 0
								   : -(int)strtol(text, NULL, 10);
	long fd = syscall(SYS_io_uring_setup, 2, &params);
	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static bool is_filtered(const struct host *host)
{
	char text[HOST_TEXT_BYTES];
	char mode[16];

	return host_text(host->root, text, "proc/%s/status", host->process) == 0 &&
	       host_field(text, "Seccomp", mode, sizeof(mode)) && strcmp(mode, "2") == 0;
}

void check_io_uring(const struct host *host, struct finding *finding)
{
	int64_t disabled = 0;

	host_number(host->root, &disabled, "proc/sys/kernel/io_uring_disabled");
	int rc = try_ring(host->root);
	if (disabled != 0) {
		finding_fault(finding, "Refused %s: kernel.io_uring_disabled is %lld",
			      disabled == 1 ? "to all but root and a group" : "to all",
			      (long long)disabled);
		finding_cure(finding, "sysctl -w kernel.io_uring_disabled=0   (or 1, with "
				      "kernel.io_uring_group that of the user sluice)");
	} else if (rc == -ENOSYS) {
		finding_fault(finding, "The kernel has none");
		finding_cure(finding, "a kernel with CONFIG_IO_URING, as Debian's have it");
	} else if (rc < 0) {
		finding_fault(finding, "Refused: %s", strerror(-rc));
		finding_cure(finding, is_filtered(host)
					      ? "a seccomp profile that allows io_uring_setup, "
						"io_uring_enter and io_uring_register (docker run "
						"--security-opt seccomp=FILE)"
					      : "look for the policy that does (SELinux, AppArmor, "
						"a limit of memory or files)");
	} else {
		finding_ok(finding, "Works");
	}
}

void check_sandbox(const struct host *host, struct finding *finding)
{
	bool container = host_exists(host->root, ".dockerenv") ||
			 host_exists(host->root, "run/.containerenv") ||
			 host_exists(host->root, "run/systemd/container");
	const char *where = container ? "In a container" : "In no container";

	if (!is_filtered(host)) {
		finding_ok(finding, "%s, without a filter", where);
	} else if (try_ring(host->root) < 0) {
		finding_fault(finding, "%s, with a filter that refuses io_uring", where);
		finding_cure(finding, "a profile that allows it, or go on without: io = sync says "
				      "so to the broker");
	} else {
		finding_ok(finding, "%s, with a filter that lets io_uring through", where);
	}
}

void check_listen_queue(const struct host *host, struct finding *finding)
{
	enum { ENOUGH = 1024 };
	int64_t queue;

	if (host_number(host->root, &queue, "proc/sys/net/core/somaxconn") < 0) {
		finding_skip(finding, "The kernel does not say");
	} else if (queue >= ENOUGH) {
		finding_ok(finding, "%lld", (long long)queue);
	} else {
		finding_fault(finding, "%lld at most", (long long)queue);
		finding_cure(finding, "sysctl -w net.core.somaxconn=4096   (sluice tune does it)");
	}
}

void check_socket_buffers(const struct host *host, struct finding *finding)
{
	int64_t receive;
	int64_t send;

	if (host_number(host->root, &receive, "proc/sys/net/core/rmem_max") < 0 ||
	    host_number(host->root, &send, "proc/sys/net/core/wmem_max") < 0) {
		finding_skip(finding, "The kernel does not say");
	} else if (receive >= DOCTOR_SOCKET_BYTES && send >= DOCTOR_SOCKET_BYTES) {
		finding_ok(finding, "%lld KiB to receive, %lld to send", (long long)receive / 1024,
			   (long long)send / 1024);
	} else {
		finding_fault(finding, "%lld KiB to receive, %lld to send; datagrams want %d",
			      (long long)receive / 1024, (long long)send / 1024,
			      DOCTOR_SOCKET_BYTES / 1024);
		finding_cure(finding,
			     "sysctl -w net.core.rmem_max=%d net.core.wmem_max=%d   "
			     "(sluice tune does it)",
			     DOCTOR_SOCKET_BYTES, DOCTOR_SOCKET_BYTES);
	}
}
