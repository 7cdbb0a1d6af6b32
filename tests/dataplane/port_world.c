#include "tests/dataplane/port_world.h"

#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MEMORY_BYTES = 96 << 20 };

uint64_t world_now_ns(void)
{
	return clock_monotonic_ns(clock_system());
}

void world_start(const char *const *vdevs, size_t count, bool telemetry)
{
	char why[256] = "";
	struct eal_options options = {
		.thread_count = 2,
		.memory_bytes = MEMORY_BYTES,
		.vdevs = vdevs,
		.vdev_count = count,
		.telemetry = telemetry,
	};

	if (eal_start_with(&options, why, sizeof(why)) < 0) {
		fprintf(stderr, "no EAL: %s\n", why);
		exit(1);
	}
}

struct port_options world_options(const struct world_port *what, struct port_ip addresses[2])
{
	struct port_options options = {
		.device = what->device,
		.shard_count = what->shards,
		.udp_port_first = WORLD_UDP_PORT,
		.rx_mbufs = 1023,
		.tx_mbufs = 1023,
		.rx_descriptors = 256,
		.tx_descriptors = 256,
		.addresses = addresses,
	};

	for (unsigned i = 0; i < 2 && what->addresses[i]; i++) {
		assert_int_equal(port_ip_parse(&addresses[i], what->addresses[i]), 0);
		options.address_count++;
	}
	return options;
}

struct port *world_port(const struct port_options *options)
{
	struct port *port = NULL;
	char why[256] = "";

	if (port_start(&port, options, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	return port;
}

struct port_address world_address(const char *text, uint16_t udp_port, uint16_t local)
{
	struct port_address address = {.port = udp_port, .local = local};
	struct port_ip ip;

	assert_int_equal(port_ip_parse(&ip, text), 0);
	memcpy(address.ip, ip.ip, sizeof(address.ip));
	return address;
}

bool world_await(struct port_queue *queue, struct port_datagram *ret, unsigned timeout_ms)
{
	uint64_t until_ns = world_now_ns() + timeout_ms * NS_PER_MS;

	for (;;) {
		uint64_t now_ns = world_now_ns();
		if (port_receive(queue, ret, 1, now_ns) == 1)
			return true;
		port_turn(queue, now_ns);
		if (now_ns > until_ns)
			return false;
	}
}

static void turn_peers(struct port_queue *const *peers, uint64_t now_ns)
{
	struct port_datagram unexpected;

	for (; peers && *peers; peers++) {
		assert_int_equal(port_receive(*peers, &unexpected, 1, now_ns), 0);
		port_turn(*peers, now_ns);
	}
}

int world_send(struct port_queue *queue, const struct port_address *to, const void *data,
	       uint32_t length, struct port_queue *const *peer_queues)
{
	uint64_t until_ns = world_now_ns() + WORLD_TIMEOUT_MS * NS_PER_MS;
	struct port_datagram unexpected;
	uint64_t now_ns;
	int rc;

	do {
		now_ns = world_now_ns();
		rc = port_send(queue, to, data, length, NULL, 0, now_ns);
		port_turn(queue, now_ns);
		if (rc != -EHOSTUNREACH)
			return rc;
		turn_peers(peer_queues, now_ns);
		assert_int_equal(port_receive(queue, &unexpected, 1, now_ns), 0);
	} while (now_ns < until_ns);
	return rc;
}
