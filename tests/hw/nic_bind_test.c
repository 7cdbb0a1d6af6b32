/* A NIC taken from the kernel and given back, with a kernel of the test's own: what is written to
 * the bus moves the device's link. */
#include "hw/nic_bind.h"
#include "tests/hw/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define PCI "0000:3b:00.0"
#define DEVICE "sys/bus/pci/devices/" PCI
#define MEMORY "var/lib/sluice-host/nic/" PCI

static bool vfio_refuses; /* as it does to a device whose group is in use */

static void move(struct tree *tree, const char *driver)
{
	char target[128];

	unlinkat(tree->root.fd, DEVICE "/driver", 0);
	if (!driver)
		return;
	snprintf(target, sizeof(target), "../../drivers/%s", driver);
	tree_link(tree, DEVICE "/driver", target);
}

static void kernel(void *context, const char *path, const char *text)
{
	struct tree *tree = context;
	const char *slash = strrchr(path, '/');
	bool wants_vfio = strcmp(tree_text(tree, DEVICE "/driver_override"), "vfio-pci") == 0;

	if (strcmp(path, DEVICE "/driver_override") == 0)
		return;
	assert_string_equal(text, PCI);
	if (strcmp(slash, "/unbind") == 0)
		move(tree, NULL);
	else if (strcmp(slash, "/drivers_probe") == 0)
		move(tree, !wants_vfio ? "virtio-pci" : vfio_refuses ? NULL : "vfio-pci");
	else if (strcmp(path, "sys/bus/pci/drivers/ice/bind") == 0)
		move(tree, "ice");
	else
		fail_msg("written to %s", path);
}

static int set_up(void **state)
{
	tree_set_up(state);
	struct tree *tree = *state;
	static const char *const empty[] = {
		"sys/bus/pci/drivers/ice/bind",      "sys/bus/pci/drivers/ice/unbind",
		"sys/bus/pci/drivers/vfio-pci/bind", "sys/bus/pci/drivers/vfio-pci/unbind",
		"sys/bus/pci/drivers_probe",         "sys/class/net/ens1/mtu",
	};

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		tree_write(tree, empty[i], "");
	tree_write(tree, DEVICE "/net/ens1/mtu", "1500");
	tree_write(tree, DEVICE "/class", "0x020000");
	tree_write(tree, DEVICE "/driver_override", "(null)");
	tree_link(tree, DEVICE "/iommu_group", "../../../../kernel/iommu_groups/12");
	tree_write(tree, "sys/kernel/iommu_groups/12/type", "DMA");
	tree_write(tree, "proc/net/route", "Iface\n");
	move(tree, "ice");
	tree->root.wrote = kernel;
	tree->root.context = tree;
	vfio_refuses = false;
	return 0;
}

static struct nic the_nic(struct tree *tree)
{
	struct nic nic;

	assert_int_equal(nic_find(&nic, &tree->root, PCI), 0);
	return nic;
}

static int bind(struct tree *tree, bool force, char why[static 512])
{
	struct nic nic = the_nic(tree);
	struct nic_plan plan;
	int rc = nic_plan_bind(&plan, &tree->root, &nic, NULL, force, why, 512);

	return rc < 0 ? rc : nic_plan_run(&plan, &tree->root, why, 512);
}

static int unbind(struct tree *tree, char why[static 512])
{
	struct nic nic = the_nic(tree);
	struct nic_plan plan;
	int rc = nic_plan_unbind(&plan, &tree->root, &nic, why, 512);

	return rc < 0 ? rc : nic_plan_run(&plan, &tree->root, why, 512);
}

static void expect_driver(struct tree *tree, const char *driver)
{
	assert_string_equal(the_nic(tree).driver, driver);
}

static void a_nic_goes_to_vfio_and_back_to_its_driver(void **state)
{
	struct tree *tree = *state;
	char why[512];

	assert_int_equal(bind(tree, false, why), 0);
	expect_driver(tree, "vfio-pci");
	assert_string_equal(tree_text(tree, MEMORY), "ice");
	assert_int_equal(unbind(tree, why), 0);
	expect_driver(tree, "ice");
	assert_string_equal(tree_text(tree, DEVICE "/driver_override"), "");
	assert_false(host_exists(&tree->root, MEMORY));
}

static void a_second_time_is_no_failure_and_keeps_the_former_driver(void **state)
{
	struct tree *tree = *state;
	char why[512];

	assert_int_equal(unbind(tree, why), -EALREADY);
	assert_int_equal(bind(tree, false, why), 0);
	assert_int_equal(bind(tree, false, why), -EALREADY);
	assert_string_equal(tree_text(tree, MEMORY), "ice");
}

static void a_bind_that_fails_midway_is_taken_back(void **state)
{
	struct tree *tree = *state;
	char why[512];

	vfio_refuses = true;
	assert_int_equal(bind(tree, false, why), -EIO);
	assert_non_null(strstr(why, "vfio-pci"));
	expect_driver(tree, "ice");
	assert_string_equal(tree_text(tree, DEVICE "/driver_override"), "");
	assert_false(host_exists(&tree->root, MEMORY));
}

static void a_nic_that_was_bound_before_a_restart_stays_remembered(void **state)
{
	struct tree *tree = *state;
	struct host_names names;
	char why[512];

	assert_int_equal(bind(tree, false, why), 0);
	tree_write(tree, "var/lib/sluice-host/nic/README", "not ours");
	move(tree, "ice"); /* as a kernel that has just come up */
	assert_int_equal(nic_remembered(&tree->root, &names), 0);
	assert_int_equal(names.count, 1);
	assert_string_equal(names.at[0], PCI);
	host_names_free(&names);
	/* Also when it cannot be bound this time. */
	vfio_refuses = true;
	assert_int_equal(bind(tree, false, why), -EIO);
	assert_string_equal(tree_text(tree, MEMORY), "ice");
	vfio_refuses = false;
	assert_int_equal(bind(tree, false, why), 0);
}

static void a_nic_whose_driver_nobody_knows_goes_to_whom_the_kernel_finds(void **state)
{
	struct tree *tree = *state;
	char why[512];

	move(tree, "vfio-pci");
	assert_int_equal(unbind(tree, why), 0);
	expect_driver(tree, "virtio-pci");
}

static void a_nic_that_the_host_needs_is_taken_by_force_alone(void **state)
{
	struct tree *tree = *state;
	char why[512];

	tree_write(tree, "proc/net/route",
		   "ens1\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	assert_int_equal(bind(tree, false, why), -EBUSY);
	assert_non_null(strstr(why, "default route"));
	expect_driver(tree, "ice");
	assert_int_equal(bind(tree, true, why), 0);
	expect_driver(tree, "vfio-pci");
}

static void a_host_that_hides_its_routes_is_taken_to_need_all(void **state)
{
	struct tree *tree = *state;
	char why[512];

	unlinkat(tree->root.fd, "proc/net/route", 0);
	assert_int_equal(bind(tree, false, why), -EBUSY);
}

static void a_nic_without_iommu_is_taken_by_force_or_where_vfio_allows_it(void **state)
{
	struct tree *tree = *state;
	char why[512];

	unlinkat(tree->root.fd, DEVICE "/iommu_group", 0);
	assert_int_equal(bind(tree, false, why), -ENXIO);
	assert_non_null(strstr(why, "intel_iommu=on"));
	tree_write(tree, "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
	assert_int_equal(bind(tree, false, why), 0);
}

static void a_nic_that_dpdk_shares_with_the_kernel_is_not_taken(void **state)
{
	struct tree *tree = *state;
	char why[512];

	move(tree, "mlx5_core");
	assert_int_equal(bind(tree, true, why), -EOPNOTSUPP);
	assert_non_null(strstr(why, "dpdk.port=" PCI));
}

static void names_of_pci_devices_are_read_strictly(void **state)
{
	char pci[NIC_PCI_BYTES];

	assert_true(nic_pci_parse("3b:00.0", pci));
	assert_string_equal(pci, PCI);
	assert_true(nic_pci_parse("0000:3B:1f.7", pci));
	assert_string_equal(pci, "0000:3b:1f.7");
	assert_false(nic_pci_parse("3b:00", pci));
	assert_false(nic_pci_parse("0000:3b:00.0/../x", pci));
	assert_false(nic_pci_parse("00000:3b:00.0", pci));
	assert_false(nic_pci_parse("eth0", pci));
	assert_false(nic_pci_parse("", pci));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_nic_goes_to_vfio_and_back_to_its_driver),
		TEST(a_second_time_is_no_failure_and_keeps_the_former_driver),
		TEST(a_bind_that_fails_midway_is_taken_back),
		TEST(a_nic_that_was_bound_before_a_restart_stays_remembered),
		TEST(a_nic_whose_driver_nobody_knows_goes_to_whom_the_kernel_finds),
		TEST(a_nic_that_the_host_needs_is_taken_by_force_alone),
		TEST(a_host_that_hides_its_routes_is_taken_to_need_all),
		TEST(a_nic_without_iommu_is_taken_by_force_or_where_vfio_allows_it),
		TEST(a_nic_that_dpdk_shares_with_the_kernel_is_not_taken),
		cmocka_unit_test(names_of_pci_devices_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
