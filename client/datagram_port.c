/* dpdk:DEVICE?address=IP/PREFIX&peer=HOST:PORT...: all channels of a client share one endpoint on
 * one queue of a port of DPDK, which is polled.
 *
 *   sluice_open    DPDK's environment, once a process -> device -> port -> endpoint -> poller
 *   turns          receive a burst -> endpoint -> send what it answers
 *   sluice_close   poller, endpoint, port, device; the environment stays
 *
 * A port has one queue unless it is told more; then shard i of a broker is talked to from queue i,
 * by a UDP port of its own.  A memif's queues are rings that both ends have in common, so frames
 * for a shard come out at its queue; but a broker has to have as many (dpdk.queues).
 *
 * The environment exists once in a process and gives memory for one port, so one client at a time
 * has it.  A memif that is a client looks for its server once only: while its link is down it is
 * taken out and put in again, below an endpoint that takes that for loss. */
#include "client/datagram.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/options.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"

enum {
	ADDRESSES_MAX = 4,
	QUEUES_MAX = 64,
	LOCAL_BITS = 8, /* struct transport_address.local: the queue, and its address's index */
	BURSTS_A_TURN = 8,
	SESSIONS_MAX = 256, /* two for each shard that is talked to */
	DATAGRAM_BYTES_MAX = 9000,
	EPHEMERAL_FIRST = 49152, /* RFC 6335 6 */
	EPHEMERAL_COUNT = 16384 - QUEUES_MAX,
	SPARE_MEMORY_BYTES = 16 << 20, /* what a port that comes again may not find in one piece */
	LINK_LOOK_NS = 50 * 1000000,
	LINK_PATIENCE_NS = 500 * 1000000, /* a memif's handshake takes some milliseconds */
	LINGER_NS = 2000000,
};

static_assert(sizeof(((struct transport_address *)NULL)->ip) == PACKET_IP_BYTES,
	      "one kind of address");
static_assert(sizeof(struct transport_piece) == sizeof(struct port_piece) &&
		      offsetof(struct transport_piece, length) ==
			      offsetof(struct port_piece, length),
	      "one piece");

struct port_carrier {
	struct endpoint endpoint;
	struct loop_poller poller;
	struct port *port; /* null while the device is gone */
	struct port_queue *queues[QUEUES_MAX];
	unsigned queues_used; /* only these have sessions, and are polled */
	struct port_options options;
	struct port_ip addresses[ADDRESSES_MAX];
	char device[URL_DEVICE_BYTES]; /* as the environment takes it */
	char name[URL_DEVICE_BYTES];
	bool is_virtual;
	bool looks_once;     /* a memif's client */
	uint16_t peer_first; /* UDP port of the peer's shard 0 */
	uint64_t link_look_ns;
	uint64_t began_ns; /* the port */
};

/* Taken by the client that has the port. */
static atomic_flag taken = ATOMIC_FLAG_INIT;
static struct port_carrier *carrier_taken; /* of that client, on its thread */
static bool environment_started;

static struct port_carrier *carrier_of(struct endpoint *endpoint)
{
	return container_of(endpoint, struct port_carrier, endpoint);
}

/* ---- datagrams ---- */

static struct port_address port_address_of(const struct transport_address *address)
{
	struct port_address ret = {.port = address->port,
				   .local = address->local & ((1U << LOCAL_BITS) - 1)};

	memcpy(ret.ip, address->ip, sizeof(ret.ip));
	return ret;
}

static struct transport_address transport_address_of(const struct port_address *address,
						     unsigned queue)
{
	struct transport_address ret = {.port = address->port,
					.local = (uint16_t)(queue << LOCAL_BITS | address->local)};

	memcpy(ret.ip, address->ip, sizeof(ret.ip));
	return ret;
}

static bool carrier_send(struct endpoint *endpoint, const struct transport_datagram *out)
{
	struct port_carrier *carrier = carrier_of(endpoint);

	/* Lost, while there is no device. */
	if (!carrier->port)
		return true;
	const struct port_address to = port_address_of(out->to);
	unsigned queue = out->to->local >> LOCAL_BITS;
	int rc = port_send(carrier->queues[queue], &to, out->header, out->header_bytes,
			   (const struct port_piece *)(const void *)out->pieces, out->piece_count,
			   loop_now());
	/* A peer that is not found yet is asked for; what was for it is lost. */
	return rc != -EAGAIN && rc != -ENOBUFS;
}

static void carrier_flush(struct endpoint *endpoint)
{
	struct port_carrier *carrier = carrier_of(endpoint);
	uint64_t now_ns = loop_now();

	for (unsigned i = 0; carrier->port && i < carrier->queues_used; i++)
		port_turn(carrier->queues[i], now_ns);
}

static void carrier_unused(struct endpoint *endpoint)
{
}

static const struct carrier_ops carrier_ops = {
	.send = carrier_send,
	.flush = carrier_flush,
	.unused = carrier_unused,
};

static unsigned receive_burst(struct port_carrier *carrier, unsigned index)
{
	struct port_queue *queue = carrier->queues[index];
	struct port_datagram datagrams[PORT_BURST];
	unsigned count = port_receive(queue, datagrams, PORT_BURST, loop_now());

	for (unsigned i = 0; i < count; i++) {
		const struct transport_address from = transport_address_of(&datagrams[i].from,
									   index);
		endpoint_receive(&carrier->endpoint, datagrams[i].data, datagrams[i].length, &from);
		port_release(queue, datagrams[i].packet);
	}
	return count;
}

static unsigned receive(struct port_carrier *carrier)
{
	unsigned total = 0;

	for (unsigned i = 0; i < carrier->queues_used; i++) {
		unsigned count = PORT_BURST;
		for (unsigned j = 0; j < BURSTS_A_TURN && count == PORT_BURST; j++) {
			count = receive_burst(carrier, i);
			total += count;
		}
	}
	return total;
}

/* ---- the device ---- */

static int start_port(struct port_carrier *carrier, char *why, size_t why_bytes)
{
	static const struct port_hooks none;
	char vdev[PORT_VDEV_BYTES];
	int rc = port_vdev(vdev, carrier->device, &carrier->options, why, why_bytes);

	if (rc == 0 && carrier->is_virtual)
		rc = eal_add_vdev(vdev, why, why_bytes);
	if (rc < 0)
		return rc;
	rc = port_start(&carrier->port, &carrier->options, why, why_bytes);
	if (rc < 0) {
		carrier->port = NULL;
		if (carrier->is_virtual)
			eal_remove_vdev(carrier->device);
		/* All that the driver says is -1. */
		if (rc == -EPERM && carrier->looks_once) {
			snprintf(why, why_bytes, "port %.100s: nobody serves its socket",
				 carrier->name);
			rc = -ECONNREFUSED;
		}
		return rc;
	}
	for (unsigned i = 0; i < carrier->options.shard_count; i++) {
		carrier->queues[i] = port_queue(carrier->port, i);
		port_queue_attach(carrier->queues[i], &none, carrier);
	}
	carrier->began_ns = loop_now();
	return 0;
}

static void stop_port(struct port_carrier *carrier)
{
	if (!carrier->port)
		return;
	for (unsigned i = 0; i < carrier->options.shard_count; i++)
		port_queue_detach(carrier->queues[i]);
	port_stop(carrier->port);
	carrier->port = NULL;
	if (carrier->is_virtual)
		eal_remove_vdev(carrier->device);
}

static void look_at_link(struct port_carrier *carrier)
{
	char why[URL_WHY_BYTES];
	uint64_t now_ns = loop_now();

	if (!carrier->looks_once || now_ns < carrier->link_look_ns)
		return;
	carrier->link_look_ns = now_ns + LINK_LOOK_NS;
	if (carrier->port && port_link(carrier->port).up) {
		carrier->began_ns = now_ns;
		return;
	}
	if (now_ns - carrier->began_ns < LINK_PATIENCE_NS)
		return;
	stop_port(carrier);
	carrier->began_ns = now_ns;
	/* Without a port everything is lost, until it is tried again: why it failed is of no
	 * interest. */
	start_port(carrier, why, sizeof(why));
}

static unsigned carrier_poll(struct loop_poller *poller)
{
	struct port_carrier *carrier = container_of(poller, struct port_carrier, poller);
	struct endpoint *endpoint = &carrier->endpoint;

	look_at_link(carrier);
	unsigned received = carrier->port ? receive(carrier) : 0;
	if (received == 0 && loop_now() < endpoint->due_ns) {
		carrier_flush(endpoint);
		return 0;
	}
	endpoint_drive(endpoint);
	return received + 1;
}

/* ---- settings ---- */

static int set_address(struct port_carrier *carrier, const char *value)
{
	if (carrier->options.address_count == ADDRESSES_MAX)
		return -EINVAL;
	return port_ip_parse(&carrier->addresses[carrier->options.address_count++], value);
}

static int set_gateway(struct port_carrier *carrier, const char *value)
{
	struct port_ip gateway;
	int rc = port_ip_parse(&gateway, value);

	if (rc < 0)
		return rc;
	memcpy(packet_ip_is_v4(gateway.ip) ? carrier->options.gateway_v4
					   : carrier->options.gateway_v6,
	       gateway.ip, sizeof(gateway.ip));
	return 0;
}

static int set_poll(struct port_carrier *carrier, const char *value)
{
	carrier->poller.busy = strcmp(value, "busy") == 0;
	return carrier->poller.busy || strcmp(value, "adaptive") == 0 ? 0 : -EINVAL;
}

/* A number from 1 to `most`; 0: not that. */
static unsigned number_of(const char *value, unsigned long most)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	return *end || number > most ? 0 : (unsigned)number;
}

static int set_mtu(struct port_carrier *carrier, const char *value)
{
	carrier->options.mtu = (uint16_t)number_of(value, UINT16_MAX);
	return carrier->options.mtu ? 0 : -EINVAL;
}

static int set_queues(struct port_carrier *carrier, const char *value)
{
	carrier->options.shard_count = number_of(value, QUEUES_MAX);
	carrier->options.queues_max = carrier->options.shard_count;
	return carrier->options.shard_count ? 0 : -EINVAL;
}

static int set_peer(struct port_carrier *carrier, const char *value)
{
	return 0; /* it is in the URL's own fields */
}

static const struct {
	const char *name;
	int (*set)(struct port_carrier *carrier, const char *value);
	const char *takes;
} settings[] = {
	{"address", set_address, "IP/PREFIX, up to four times"},
	{"gateway", set_gateway, "an IP address, one of each version"},
	{"mtu", set_mtu, "bytes of an IP packet"},
	{"peer", set_peer, "HOST:PORT"},
	{"poll", set_poll, "adaptive or busy"},
	{"queues", set_queues, "how many, up to 64"},
};

static int set(struct port_carrier *carrier, const struct url_setting *setting, char *why)
{
	for (size_t i = 0; i < array_count(settings); i++) {
		if (strcmp(settings[i].name, setting->name) != 0)
			continue;
		int rc = settings[i].set(carrier, setting->value);
		if (rc < 0)
			snprintf(why, URL_WHY_BYTES, "%s=%.100s: takes %s", setting->name,
				 setting->value, settings[i].takes);
		return rc;
	}
	snprintf(why, URL_WHY_BYTES,
		 "a dpdk: address knows no '%s', only address, gateway, mtu, peer, poll and queues",
		 setting->name);
	return -EINVAL;
}

/* "0000:00:05.0" and "00:05.0"; a virtual device has a driver's name. */
static bool is_pci_address(const char *device)
{
	size_t digits = strspn(device, "0123456789abcdefABCDEF");

	return digits > 0 && device[digits] == ':';
}

static int take_settings(struct port_carrier *carrier, const struct url *url, char *why)
{
	const char *at = url->settings;
	struct url_setting setting;
	uint16_t random;

	memcpy(carrier->device, url->device, sizeof(carrier->device));
	snprintf(carrier->name, sizeof(carrier->name), "%.*s", (int)strcspn(url->device, ","),
		 url->device);
	carrier->is_virtual = !is_pci_address(url->device);
	carrier->looks_once = strncmp(url->device, "net_memif", 9) == 0 &&
			      !strstr(url->device, "role=server");
	carrier->peer_first = (uint16_t)url->port;
	carrier->queues_used = 1;
	check(getrandom(&random, sizeof(random), 0) == sizeof(random));
	carrier->options = (struct port_options){
		.device = carrier->name,
		.shard_count = 1,
		.udp_port_first = (uint16_t)(EPHEMERAL_FIRST + random % EPHEMERAL_COUNT),
		.rx_descriptors = 256,
		.tx_descriptors = 256,
		.addresses = carrier->addresses,
		.no_interrupts = true,
	};
	while (at) {
		if (url_setting_next(&at, &setting) < 0)
			return -EINVAL;
		int rc = set(carrier, &setting, why);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- start and stop ---- */

static int start_environment(const struct port_carrier *carrier, char *why)
{
	const char *const device[] = {carrier->name};
	struct eal_options options = {
		.quiet = true,
		.memory_bytes = port_memory_bytes(&carrier->options) + SPARE_MEMORY_BYTES,
	};

	if (environment_started)
		return 0;
	if (!carrier->is_virtual) {
		options.devices = device;
		options.device_count = 1;
		options.hugepages = true;
	}
	int rc = eal_start_with(&options, why, URL_WHY_BYTES);
	environment_started = rc == 0;
	return rc;
}

static int start_endpoint(struct port_carrier *carrier, struct loop *loop,
			  const struct sluice_options *options)
{
	struct transport_config config = endpoint_config((uint64_t)options->response_bytes_max,
							 options->connect_timeout_ms);
	struct port_info info = port_info(carrier->port);
	/* Of IPv6, whose headers are longer, unless there is IPv4 only. */
	bool only_v4 = true;

	for (unsigned i = 0; i < info.address_count; i++)
		only_v4 = only_v4 && packet_ip_is_v4(port_ip(carrier->port, i));
	config.datagram_bytes = info.payload_bytes_max + (only_v4 ? 20 : 0);
	if (config.datagram_bytes > DATAGRAM_BYTES_MAX)
		config.datagram_bytes = DATAGRAM_BYTES_MAX;
	config.sessions_max = SESSIONS_MAX;
	return endpoint_init(&carrier->endpoint, loop, &carrier_ops, &config);
}

static void carrier_free(struct port_carrier *carrier)
{
	stop_port(carrier);
	free(carrier);
	carrier_taken = NULL;
	atomic_flag_clear(&taken);
}

static int carrier_start(struct loop *loop, const struct url *url,
			 const struct sluice_options *options, char why[static URL_WHY_BYTES])
{
	if (atomic_flag_test_and_set(&taken)) {
		snprintf(why, URL_WHY_BYTES,
			 "another client of this process has DPDK's environment");
		return -EBUSY;
	}
	struct port_carrier *carrier = calloc(1, sizeof(*carrier));
	if (!carrier) {
		atomic_flag_clear(&taken);
		return -ENOMEM;
	}
	int rc = take_settings(carrier, url, why);
	if (rc == 0)
		rc = start_environment(carrier, why);
	if (rc == 0)
		rc = start_port(carrier, why, URL_WHY_BYTES);
	if (rc < 0) {
		carrier_free(carrier);
		return rc;
	}
	rc = start_endpoint(carrier, loop, options);
	if (rc < 0) {
		endpoint_fini(&carrier->endpoint);
		carrier_free(carrier);
		return rc;
	}
	carrier->poller.poll = carrier_poll;
	loop_set_poller(loop, &carrier->poller);
	carrier_taken = carrier;
	return 0;
}

/* Sessions have said that they end, into a memif's ring, which goes with the port: the peer, which
 * may be napping, has a moment to find it.  If it does not, silence ends them. */
static void linger(struct port_carrier *carrier)
{
	uint64_t end_ns = loop_now() + LINGER_NS;

	while (loop_now() < end_ns)
		carrier_flush(&carrier->endpoint);
}

static void carrier_stop(struct loop *loop)
{
	struct port_carrier *carrier = carrier_taken;

	loop_set_poller(loop, NULL);
	linger(carrier);
	endpoint_fini(&carrier->endpoint);
	carrier_free(carrier);
}

/* ---- channels ---- */

/* By which of our addresses, the first of its version, and by which queue a peer is talked to.
 * -EAFNOSUPPORT: no such address. */
static int choose_local(struct port_carrier *carrier, struct transport_address *address)
{
	unsigned queue = (uint16_t)(address->port - carrier->peer_first) %
			 carrier->options.shard_count;

	for (unsigned i = 0; i < carrier->options.address_count; i++) {
		if (packet_ip_is_v4(carrier->addresses[i].ip) != packet_ip_is_v4(address->ip))
			continue;
		address->local = (uint16_t)(queue << LOCAL_BITS | i);
		if (carrier->queues_used <= queue)
			carrier->queues_used = queue + 1;
		return 0;
	}
	return -EAFNOSUPPORT;
}

static int carrier_open(struct channel **ret, struct loop *loop,
			const struct channel_settings *wanted, struct channel_owner *owner)
{
	struct port_carrier *carrier = carrier_taken;
	struct addrinfo *found;
	const struct addrinfo *chosen;
	int rc = datagram_look_up(wanted->host, wanted->port, &found, &chosen);

	if (rc < 0)
		return rc;
	struct transport_address address = datagram_address(chosen);
	freeaddrinfo(found);
	rc = choose_local(carrier, &address);
	if (rc < 0)
		return rc;
	return datagram_open(ret, &carrier->endpoint, &channel_dpdk, &address, wanted, owner);
}

const struct channel_ops channel_dpdk = {
	.scheme = "dpdk",
	.start = carrier_start,
	.stop = carrier_stop,
	.open = carrier_open,
	.call = datagram_call,
	.cancel = datagram_cancel,
	.close = datagram_close,
};
