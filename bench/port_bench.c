/* How fast a port turns datagrams round, to be seen beside testpmd doing the least that can be done
 * with a frame: swapping its MAC addresses.  bench/port_vs_testpmd.py runs the pairs.
 *
 *     port_bench echo DEVICE [zero|kernel]
 *                                       a port that sends back each datagram it gets, until killed;
 *                                       zero: without UDP checksums; kernel: with the exception
 * path port_bench load VDEV SECONDS BYTES sends frames with BYTES of payload as fast as they are
 *                                       taken; prints how many came back a second
 *     port_bench code COUNT BYTES       parses and builds COUNT datagrams; no device
 *
 * VDEV is what --vdev takes, with the device's name before the first comma; a DEVICE may be the PCI
 * address of a NIC too, which needs hugepages. */
#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/packet.h"
#include "dataplane/dpdk/port.h"

#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	UDP_PORT = 9500,
	CLIENT_PORT = 40000,
	BURST = 32,
	MBUFS = 16383,
	DESCRIPTORS = 1024,
	FRAME_MAX = 2048,
	WARM_UP_NS = 300000000,
};

static const char server_text[] = "192.0.2.1/24";
static const char client_text[] = "192.0.2.2/24";

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "port_bench: %s\n", what);
	exit(1);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (end == text || *end)
		die("not a number");
	return value;
}

static uint64_t now(void)
{
	return clock_monotonic_ns(clock_system());
}

static void start_eal(const char *device, char name[64])
{
	char why[256] = "";
	bool pci = !strchr(device, ',') && strchr(device, ':');
	struct eal_options options = {
		.thread_count = 1,
		.memory_bytes = 96 << 20,
		.vdevs = &device,
		.vdev_count = !pci,
		.devices = &device,
		.device_count = pci,
		.hugepages = pci,
	};

	snprintf(name, 64, "%.*s", (int)strcspn(device, ","), device);
	if (eal_start_with(&options, why, sizeof(why)) < 0)
		die(why);
}

static _Noreturn void echo(const char *device, const char *how)
{
	char name[64];
	char why[256] = "";
	struct port_ip address;
	struct port *port;

	start_eal(device, name);
	if (port_ip_parse(&address, server_text) < 0)
		die("address");
	struct port_options options = {
		.device = name,
		.shard_count = 1,
		.udp_port_first = UDP_PORT,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.addresses = &address,
		.address_count = 1,
		.udp_checksum = strcmp(how, "zero") == 0 ? PORT_UDP_CHECKSUM_DEVICE
							 : PORT_UDP_CHECKSUM_ALWAYS,
		.exception = strcmp(how, "kernel") == 0 ? PORT_EXCEPTION_AUTO : PORT_EXCEPTION_NONE,
	};
	if (port_start(&port, &options, why, sizeof(why)) < 0)
		die(why);
	struct port_info info = port_info(port);
	printf("driver %s, kernel by %s, rx checksum %d, tx checksum %d, zero copy %d, rx interrupts "
	       "%d, MTU %u\n",
	       info.driver, info.exception, info.rx_checksum, info.tx_checksum, info.zero_copy,
	       info.interrupts, info.mtu);
	fflush(stdout);
	struct port_queue *queue = port_queue(port, 0);
	for (;;) {
		struct port_datagram datagrams[PORT_BURST];
		uint64_t now_ns = now();
		unsigned count = port_receive(queue, datagrams, PORT_BURST, now_ns);
		for (unsigned i = 0; i < count; i++) {
			struct port_piece piece = {datagrams[i].data, NULL, datagrams[i].length};
			port_send(queue, &datagrams[i].from, "", 0, &piece, 1, now_ns);
			port_release(queue, datagrams[i].packet);
		}
		port_turn(queue, now_ns);
	}
}

/* A datagram from the client to the server as it lies on the wire. */
static uint32_t make_frame(uint32_t payload_bytes, uint8_t *frame)
{
	static const uint8_t mac[PACKET_MAC_BYTES] = {2, 0, 0, 0, 0, 2};
	struct packet_link link = {.mac = {2, 0, 0, 0, 0, 1}};
	struct port_ip server;
	struct port_ip client;
	struct packet_path path;
	uint8_t payload[FRAME_MAX];
	struct packet_piece piece = {.data = payload, .length = payload_bytes};

	if (payload_bytes > 1400 || port_ip_parse(&server, server_text) < 0 ||
	    port_ip_parse(&client, client_text) < 0)
		die("payload");
	memset(payload, 'p', payload_bytes);
	packet_path_init(&path, &link, mac, client.ip, CLIENT_PORT, server.ip);
	packet_build(&path, UDP_PORT, &piece, 1, payload_bytes, PACKET_CHECKSUM_FULL, frame);
	memcpy(frame + path.header_bytes, payload, payload_bytes);
	return path.header_bytes + payload_bytes;
}

static uint16_t start_device(const char *name, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	uint16_t id;

	if (rte_eth_dev_get_port_by_name(name, &id) < 0 ||
	    rte_eth_dev_configure(id, 1, 1, &conf) < 0 ||
	    rte_eth_rx_queue_setup(id, 0, DESCRIPTORS, (unsigned)SOCKET_ID_ANY, NULL, pool) < 0 ||
	    rte_eth_tx_queue_setup(id, 0, DESCRIPTORS, (unsigned)SOCKET_ID_ANY, NULL) < 0 ||
	    rte_eth_dev_start(id) < 0)
		die("the device does not start");
	return id;
}

static unsigned turn(uint16_t id, struct rte_mempool *pool, const uint8_t *frame, uint32_t bytes)
{
	struct rte_mbuf *mbufs[BURST] = {0};

	if (rte_pktmbuf_alloc_bulk(pool, mbufs, BURST) == 0) {
		for (unsigned i = 0; i < BURST; i++)
			memcpy(rte_pktmbuf_append(mbufs[i], (uint16_t)bytes), frame, bytes);
		unsigned sent = rte_eth_tx_burst(id, 0, mbufs, BURST);
		rte_pktmbuf_free_bulk(mbufs + sent, BURST - sent);
	}
	unsigned count = rte_eth_rx_burst(id, 0, mbufs, BURST);
	rte_pktmbuf_free_bulk(mbufs, count);
	return count;
}

static void load(const char *vdev, uint64_t seconds, uint32_t payload_bytes)
{
	char name[64];
	uint8_t frame[FRAME_MAX];
	uint64_t received = 0;
	uint32_t bytes = make_frame(payload_bytes, frame);

	start_eal(vdev, name);
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"load", MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!pool)
		die("no memory");
	uint16_t id = start_device(name, pool);
	uint64_t begun_ns = now() + WARM_UP_NS;
	while (now() < begun_ns)
		turn(id, pool, frame, bytes);
	begun_ns = now();
	while (now() - begun_ns < seconds * NS_PER_SECOND) {
		for (unsigned i = 0; i < 64; i++)
			received += turn(id, pool, frame, bytes);
	}
	printf("%.0f\n", (double)received * 1e9 / (double)(now() - begun_ns));
}

static void code(uint64_t count, uint32_t payload_bytes)
{
	uint8_t frame[FRAME_MAX];
	uint8_t out[FRAME_MAX];
	uint32_t bytes = make_frame(payload_bytes, frame);
	struct packet_piece piece = {.data = frame, .length = bytes};
	struct packet_filter filter = {
		.mac = {2, 0, 0, 0, 0, 1},
		.udp_port_first = UDP_PORT,
		.udp_port_count = 1,
		.address_count = 1,
	};
	struct port_ip server;
	struct packet_path path;
	struct packet packet = {0};
	uint64_t ours = 0;

	port_ip_parse(&server, server_text);
	memcpy(filter.addresses[0], server.ip, PACKET_IP_BYTES);
	uint64_t begun_ns = now();
	for (uint64_t i = 0; i < count; i++) {
		packet_parse(&filter, &piece, 1, 0, &packet);
		ours += packet.verdict == PACKET_OURS;
	}
	uint64_t parsed_ns = now();
	packet_path_init(&path, &packet.link, filter.mac, server.ip, UDP_PORT, packet.ip);
	piece.data += packet.payload_offset;
	piece.length = packet.payload_length;
	for (uint64_t i = 0; i < count; i++) {
		packet_build(&path, (uint16_t)(packet.port + i), &piece, 1, piece.length,
			     PACKET_CHECKSUM_FULL, out);
		__asm__ volatile("" : : "r"(out) : "memory");
	}
	uint64_t built_ns = now();
	if (ours != count)
		die("not ours");
	printf("parse %.1f ns, build %.1f ns\n", (double)(parsed_ns - begun_ns) / (double)count,
	       (double)(built_ns - parsed_ns) / (double)count);
}

int main(int argc, char **argv)
{
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "echo") == 0)
		echo(argv[2], argc == 4 ? argv[3] : "");
	if (argc == 5 && strcmp(argv[1], "load") == 0) {
		load(argv[2], number(argv[3]), (uint32_t)number(argv[4]));
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "code") == 0) {
		code(number(argv[2]), (uint32_t)number(argv[3]));
		return 0;
	}
	fprintf(stderr, "usage: port_bench echo DEVICE [zero|kernel] | load VDEV SECONDS BYTES | "
			"code COUNT BYTES\n");
	return 2;
}
