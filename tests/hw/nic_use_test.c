/* What a host needs an interface for: each reason by itself, and none where there is none. */
#include "hw/nic_use.h"
#include "tests/hw/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define ROUTE_HEAD                                                                                 \
	"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
#define TCP_HEAD "  sl  local_address rem_address   st\n"

/* IPv4 of /proc is in the order of the processor: 10.0.2.0 is 0002000A. */
static void set_routes(struct tree *tree, const char *routes)
{
	char text[2048];

	snprintf(text, sizeof(text), ROUTE_HEAD "%s", routes);
	tree_write(tree, "proc/net/route", text);
}

static struct nic_uses uses_of(struct tree *tree, const char *interface, const char *ssh)
{
	struct nic_uses uses;

	assert_int_equal(nic_uses_find(&uses, &tree->root, interface, ssh), 0);
	return uses;
}

static void expect(struct tree *tree, const char *interface, const char *ssh, const char *why)
{
	struct nic_uses uses = uses_of(tree, interface, ssh);

	for (size_t i = 0; i < uses.count; i++) {
		if (strcmp(uses.why[i], why) == 0)
			return;
	}
	fail_msg("not told: %s", why);
}

static void an_idle_interface_is_needed_for_nothing(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	/* Every interface has an address of the link. */
	tree_write(tree, "proc/net/if_inet6",
		   "fe8000000000000000fc00fffe000001 03 40 20 80 eth1\n");
	assert_int_equal(uses_of(tree, "eth1", "10.0.2.9 50000 10.0.2.5 22").count, 0);
}

static void the_default_route_is_told(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	expect(tree, "eth0", NULL, "it carries the default route of IPv4");
}

static void the_default_route_of_ipv6_is_told(void **state)
{
	struct tree *tree = *state;
	char text[256];

	set_routes(tree, "");
	snprintf(text, sizeof(text), "%032d 00 %032d 00 %032d 00000400 1 0 00000003 eth0\n", 0, 0,
		 1);
	tree_write(tree, "proc/net/ipv6_route", text);
	expect(tree, "eth0", NULL, "it carries the default route of IPv6");
	/* One that refuses (RTF_REJECT) carries nothing. */
	snprintf(text, sizeof(text), "%032d 00 %032d 00 %032d 00000400 1 0 00000203 eth0\n", 0, 0,
		 1);
	tree_write(tree, "proc/net/ipv6_route", text);
	assert_int_equal(uses_of(tree, "eth0", NULL).count, 0);
}

static void an_ssh_session_comes_by_the_longest_route(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
			 "eth1\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	expect(tree, "eth1", "10.0.3.9 50000 10.0.3.5 22",
	       "the ssh session of 10.0.3.9 comes through it");
	expect(tree, "eth0", "192.168.7.1 50000 10.0.3.5 22",
	       "the ssh session of 192.168.7.1 comes through it");
	assert_int_equal(uses_of(tree, "eth0", "10.0.3.9 50000 10.0.3.5 22").count, 1);
}

static void a_session_that_sudo_hides_is_found_among_the_connections(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "eth1\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	tree_write(tree, "proc/net/tcp",
		   TCP_HEAD "   0: 0503000A:0016 0903000A:C001 01 0:0 0:0 0 0 0 1\n");
	expect(tree, "eth1", NULL, "the ssh session of 10.0.3.9 comes through it");
	/* A socket that listens for both kinds has IPv4's as ::ffff:10.0.3.8. */
	tree_write(tree, "proc/net/tcp6",
		   TCP_HEAD "   0: 0000000000000000FFFF00000503000A:0016 "
			    "0000000000000000FFFF00000803000A:C001 01 0:0 0:0 0 0 0 1\n");
	expect(tree, "eth1", NULL, "the ssh session of 10.0.3.8 comes through it");
}

static void connections_of_others_are_no_sessions(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "eth0\t0003000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	tree_write(tree, "proc/net/tcp",
		   TCP_HEAD "   0: 0503000A:0050 0903000A:C001 01 0:0 0:0 0 0 0 1\n"
			    "   1: 0503000A:0016 0903000A:C001 06 0:0 0:0 0 0 0 1\n"
			    "   2: garbage\n");
	assert_int_equal(uses_of(tree, "eth0", NULL).count, 1);
	expect(tree, "eth0", NULL, "it leads to the network 10.0.3.0/24");
}

static void an_address_of_ipv6_is_told(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "");
	tree_write(tree, "proc/net/if_inet6",
		   "fd000000000000000000000000000002 04 40 00 82 eth0\n");
	expect(tree, "eth0", NULL, "it has the address fd00::2");
}

static void what_lies_on_the_interface_is_told(void **state)
{
	struct tree *tree = *state;

	set_routes(tree, "");
	tree_link(tree, "sys/class/net/eth0/upper_bond0", "../bond0");
	expect(tree, "eth0", NULL, "bond0 lies on it");
}

static void a_host_that_hides_its_routes_is_not_guessed_about(void **state)
{
	struct tree *tree = *state;
	struct nic_uses uses;

	assert_true(nic_uses_find(&uses, &tree->root, "eth0", NULL) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_interface_is_needed_for_nothing),
		TEST(the_default_route_is_told),
		TEST(the_default_route_of_ipv6_is_told),
		TEST(an_ssh_session_comes_by_the_longest_route),
		TEST(a_session_that_sudo_hides_is_found_among_the_connections),
		TEST(connections_of_others_are_no_sessions),
		TEST(an_address_of_ipv6_is_told),
		TEST(what_lies_on_the_interface_is_told),
		TEST(a_host_that_hides_its_routes_is_not_guessed_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
