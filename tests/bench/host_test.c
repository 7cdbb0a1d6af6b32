/* A host whose /proc and /sys are made for the occasion; its disk's mount points are real folders,
 * as paths are resolved by the kernel. */
#include "bench/suite/host_internal.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/host_test.XXXXXX";

static void make_folders(const char *path)
{
	char part[PATH_MAX];

	for (const char *c = path + 1; (c = strchr(c, '/')); c++) {
		snprintf(part, sizeof(part), "%.*s", (int)(c - path), path);
		mkdir(part, 0700);
	}
}

static void put(const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, name);
	make_folders(path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void put_mounts(const char *more)
{
	char text[2 * PATH_MAX];

	snprintf(text, sizeof(text),
		 "22 1 259:1 / / rw shared:1 - ext4 /dev/nvme0n1p1 rw\n"
		 "23 22 0:24 / %s/shm rw - tmpfs tmpfs rw\n"
		 "24 22 259:2 / %s/data rw,noatime shared:2 - xfs /dev/nvme0n1p2 rw\n"
		 "broken line\n%s",
		 root, root, more);
	put("/proc/self/mountinfo", text);
}

static int make_host(void **state)
{
	char link_path[PATH_MAX];

	assert_non_null(mkdtemp(root));
	put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Example 7\nprocessor\t: 1\n"
			     "model name\t: Example 7\n");
	put("/proc/sys/kernel/osrelease", "6.1.0-test\n");
	put("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree: 7 kB\n");
	put("/proc/loadavg", "1.25 1.00 0.50 2/345 6789\n");
	put("/etc/os-release", "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n");
	put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
	put("/sys/devices/nvme0n1/device/model", "Example SSD 980    \n");
	put("/sys/devices/nvme0n1/queue/write_cache", "write back\n");
	put("/sys/devices/nvme0n1/queue/rotational", "0\n");
	put("/sys/devices/nvme0n1/nvme0n1p2/partition", "2\n");
	put("/sys/dev/block/none", "");
	put("/data/x", "");
	put("/shm/x", "");
	snprintf(link_path, sizeof(link_path), "%s/sys/dev/block/259:2", root);
	assert_int_equal(symlink("../../devices/nvme0n1/nvme0n1p2", link_path), 0);
	put_mounts("");
	return 0;
}

static int remove_one(const char *path, const struct stat *stat_buffer, int type, struct FTW *ftw)
{
	return remove(path);
}

static int remove_host(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct host described(const char *data, const char *url)
{
	struct host host;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, data);
	host_describe_below(root, &host, path, url);
	return host;
}

static void a_machine_is_described_from_proc_and_sys(void **state)
{
	struct host host = described("/data", "");

	assert_string_equal(host.cpu, "Example 7");
	assert_int_equal(host.cores, 2);
	assert_string_equal(host.kernel, "Linux 6.1.0-test");
	assert_string_equal(host.distribution, "Debian GNU/Linux 12");
	assert_int_equal(host.memory_bytes, 16000000ull * 1024);
	assert_string_equal(host.governor, "powersave");
	assert_true(host.load_average == 1.25);
}

static void a_partitions_disk_is_named_with_model_file_system_and_cache(void **state)
{
	assert_string_equal(described("/data", "").disk,
			    "nvme0n1, Example SSD 980, xfs, write back");
	assert_string_equal(described("/data/x", "").disk,
			    "nvme0n1, Example SSD 980, xfs, write back");
}

static void a_file_system_without_a_device_is_its_type(void **state)
{
	assert_string_equal(described("/shm/x", "").disk, "tmpfs");
}

static void the_last_mount_on_a_place_is_the_one(void **state)
{
	char more[PATH_MAX];

	snprintf(more, sizeof(more), "25 22 0:77 / %s/data rw - overlay overlay rw\n", root);
	put_mounts(more);
	assert_string_equal(described("/data", "").disk, "overlay");
	put_mounts("");
}

static void a_path_that_is_not_there_has_no_disk(void **state)
{
	assert_string_equal(described("/none", "").disk, "");
}

static void nothing_to_be_seen_is_said_by_nothing(void **state)
{
	struct host host;

	host_describe_below("/none", &host, "/", "");
	assert_string_equal(host.cpu, "");
	assert_int_equal(host.cores, 0);
	assert_string_equal(host.governor, "");
	assert_string_equal(host.disk, "");
	assert_string_equal(host.nic, "");
}

static void assert_by_loopback(const char *url)
{
	struct host host = described("/data", url);

	if (strncmp(host.nic, "lo", 2) != 0)
		fail_msg("%s: \"%s\"", url, host.nic);
}

static void the_interface_is_that_of_the_urls_address(void **state)
{
	put("/sys/class/net/lo/mtu", "65536\n");
	assert_by_loopback("127.0.0.1:9092");
	assert_by_loopback("127.0.0.9:9092,192.0.2.1:9092");
	assert_by_loopback("tcp://127.0.0.1:9092");
	assert_by_loopback("redis://user:secret@127.0.0.1:6379/0");
	assert_by_loopback("nats://127.0.0.1");
	assert_non_null(strstr(described("/data", "udp://127.0.0.1:9092").nic, "MTU 65536"));
}

static void a_url_without_an_address_has_no_interface(void **state)
{
	assert_string_equal(described("/data", "").nic, "");
	assert_string_equal(described("/data", "://").nic, "");
	assert_string_equal(described("/data", "tcp://").nic, "");
	assert_string_equal(described("/data", "tcp://[").nic, "");
	assert_string_equal(described("/data", "tcp://@/").nic, "");
}

static void a_port_past_the_kernel_is_named_as_the_url_does(void **state)
{
	assert_string_equal(described("/data", "dpdk:net_memif0,role=client").nic,
			    "DPDK net_memif0,role=client");
}

static void this_machine_is_described_without_harm(void **state)
{
	struct host host;

	host_describe(&host, ".", "tcp://127.0.0.1:9092");
	assert_true(host.cores > 0);
	assert_true(host.memory_bytes > 1 << 20);
	assert_memory_equal(host.kernel, "Linux ", 6);
	assert_true(host.disk[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_is_described_from_proc_and_sys),
		cmocka_unit_test(a_partitions_disk_is_named_with_model_file_system_and_cache),
		cmocka_unit_test(a_file_system_without_a_device_is_its_type),
		cmocka_unit_test(the_last_mount_on_a_place_is_the_one),
		cmocka_unit_test(a_path_that_is_not_there_has_no_disk),
		cmocka_unit_test(nothing_to_be_seen_is_said_by_nothing),
		cmocka_unit_test(the_interface_is_that_of_the_urls_address),
		cmocka_unit_test(a_url_without_an_address_has_no_interface),
		cmocka_unit_test(a_port_past_the_kernel_is_named_as_the_url_does),
		cmocka_unit_test(this_machine_is_described_without_harm),
	};

	return cmocka_run_group_tests(tests, make_host, remove_host);
}
