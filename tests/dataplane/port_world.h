/* tests/dataplane/port_world.h: what tests of ports share: an EAL, ports with defaults, and driving
 * a queue by hand until something has come. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"

enum {
	WORLD_UDP_PORT = 9500,
	WORLD_TIMEOUT_MS = 5000,
};

uint64_t world_now_ns(void);
/* Once a binary; ends the test program with a sentence when there is no EAL. */
void world_start(const char *const *vdevs, size_t count, bool telemetry);

/* Addresses as text; up to two, null: none. */
struct world_port {
	const char *device;
	unsigned shards;
	const char *addresses[2];
};

/* Fills options with small pools; *addresses keeps what they point to. */
struct port_options world_options(const struct world_port *what, struct port_ip addresses[2]);
/* Starts it or fails the test. */
struct port *world_port(const struct port_options *options);
struct port_address world_address(const char *text, uint16_t udp_port, uint16_t local);

/* Turns `queue` (and receives) until a datagram comes or `timeout_ms` are over. */
bool world_await(struct port_queue *queue, struct port_datagram *ret, unsigned timeout_ms);
/* Sends a datagram with `length` bytes of `data`, asking for the peer as often as it takes.  The
 * answer may come from the same process: then `peer_queues` (null-terminated) are turned too. */
int world_send(struct port_queue *queue, const struct port_address *to, const void *data,
	       uint32_t length, struct port_queue *const *peer_queues);
