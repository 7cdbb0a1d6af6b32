/* dataplane/dpdk/port.h: an Ethernet device whose queues belong to shards.
 *
 * Any ethdev of DPDK: a NIC by its PCI address, or a virtual device by its name.  Shard i is
 * written to at UDP port udp_port_first + i and has port_queue(port, i), an rx/tx queue pair of the
 * device with its own pools, where the device has so many; shards beyond that receive and send
 * through rings (counted).  rte_flow rules put each UDP port on its shard's queue where the device
 * can; else RSS spreads flows and what arrives on the wrong queue is handed over (counted).
 *
 * Phases and threads:
 *     port_start                        main thread, after eal_start; shards do not run yet
 *     port_queue_attach                 the shard's thread, once, before anything below
 *     receive, send, turn, sleep, ...   that thread only; no allocation, system call or lock, but
 *                                       for frames that go to or come from the kernel
 *     port_queue_detach                 that thread: no call on the queue after it
 *     port_stop                         main thread, when all shards have detached
 * In a turn of its loop a shard calls port_receive until it returns less than asked (or has had
 * enough), then its work with any number of port_send, then port_turn once, which sends.
 *
 * The structs of addresses and pieces have the layout of the transport's; the glue asserts it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dpdk/packet.h"

struct port;       /* opaque */
struct port_queue; /* opaque; of one shard */

enum {
	PORT_WAIT_FDS_MAX = 2,
	PORT_BURST = 32,
	PORT_PIECES_MAX = 64,
	PORT_VDEV_BYTES = 512,
};

struct port_address {
	uint8_t ip[PACKET_IP_BYTES]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
	uint16_t port;               /* host order */
	uint16_t local;              /* which of the port's addresses */
};

/* A run of payload bytes to be sent.  With a `reference` it may be sent without a copy: see
 * port_send and struct port_hooks. */
struct port_piece {
	const void *data;
	void *reference;
	uint32_t length;
};

/* A datagram that came in.  `data` is valid until port_release(packet), which the shard owes for
 * each.  Keep few and not for long: they are the device's receive buffers. */
struct port_datagram {
	const uint8_t *data;
	uint32_t length;
	struct port_address from;
	void *packet;
};

struct port_hooks {
	/* A piece is attached to a frame: what `reference` names must stay until `release`, which
	 * runs in port_turn on the same thread (or in port_stop) once the device is done with it.
	 * Both null: everything is copied. */
	void (*hold)(void *context, void *reference);
	void (*release)(void *context, void *reference);
	/* Datagrams lie in the ring to shard `shard`, which may sleep.  Null: nobody sleeps. */
	void (*wake)(void *context, unsigned shard);
};

/* An address of ours with the length of its network's prefix (in bits of its own family). */
struct port_ip {
	uint8_t ip[PACKET_IP_BYTES];
	uint8_t prefix_bits;
};

enum port_exception {
	PORT_EXCEPTION_NONE, /* frames that are not ours are dropped; the port answers ARP and ND */
	PORT_EXCEPTION_AUTO, /* what fits the device, see exception.h */
	PORT_EXCEPTION_TAP,  /* a tap, whatever the device */
};

/* The UDP checksum of what is sent over IPv4, where RFC 768 has 0 say that there is none.  IPv6
 * always has one, and a device that computes it always does. */
enum port_udp_checksum {
	PORT_UDP_CHECKSUM_AUTO,   /* in software, but on a link that never leaves this host's memory
				   */
	PORT_UDP_CHECKSUM_ALWAYS, /* in software */
	PORT_UDP_CHECKSUM_DEVICE, /* only by the device */
};

/* Zero means the default where one is named. */
struct port_options {
	const char *device; /* "0000:00:05.0", "net_memif0": known to the EAL (eal_options) */
	unsigned shard_count;
	uint16_t udp_port_first;
	uint16_t mtu;            /* of the IP packet; default: the device's */
	uint16_t rx_descriptors; /* a queue; default 512, adjusted to the device */
	uint16_t tx_descriptors;
	unsigned rx_mbufs; /* a queue; default 4 times the descriptors */
	unsigned tx_mbufs;
	unsigned neighbours;     /* a queue, a power of two; default 1024 */
	unsigned queues_max;     /* default: one a shard; of a memif one, as its other end has to
				  * have no fewer */
	unsigned copy_bytes_max; /* pieces up to this are copied, not attached; default 512 */
	const struct port_ip *addresses; /* none: those of the kernel's interface behind it */
	unsigned address_count;
	uint8_t gateway_v4[PACKET_IP_BYTES]; /* all zero: none */
	uint8_t gateway_v6[PACKET_IP_BYTES];
	int vlan; /* id of the tag of datagrams to us, 0: untagged, PACKET_VLAN_ANY */
	bool promiscuous;
	bool no_interrupts; /* busy polling: rx interrupts are not set up */
	enum port_udp_checksum udp_checksum;
	enum port_exception exception;
	const char *exception_name; /* of the kernel's interface; default "sluice<N>" */
};

struct port_statistics {
#define STATISTIC(name, help) uint64_t name;
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
	uint64_t drops[PACKET_DROPS]; /* by reason */
};

/* What the device turned out to be, for the operator's log line and for tests. */
struct port_info {
	const char *driver;
	uint8_t mac[PACKET_MAC_BYTES];
	uint16_t id; /* ethdev's */
	uint16_t mtu;
	unsigned queue_count; /* queue pairs in use; fewer than shards: rings do the rest */
	unsigned address_count;
	uint32_t payload_bytes_max; /* UDP payload of an IPv6 datagram within the MTU; IPv4: + 20 */
	int numa_node;              /* -1: any */
	bool steering;              /* rte_flow rules are in place */
	bool rss;
	bool rx_checksum;
	bool tx_checksum;
	bool no_udp_checksum;  /* over IPv4 */
	bool zero_copy;        /* large pieces are attached */
	bool interrupts;       /* rx interrupts: idle shards sleep */
	const char *exception; /* "none", "shadow", "virtio-user", "tap" */
};

/* What the device counts of itself, all its queues together. */
struct port_device_statistics {
	uint64_t received, received_bytes, sent, sent_bytes;
	uint64_t missed; /* came while no buffer was free in a queue */
	uint64_t no_mbuf;
	uint64_t receive_errors, send_errors;
};

struct port_link {
	bool up;
	uint32_t mbps; /* UINT32_MAX: unknown */
};

/* The words of --vdev for a port with these options: `vdev`, but the ends of a memif of several
 * queues state their number as its secret, unless it has one.  22.11's driver reads rings that are
 * not there when the other end has fewer; with the secret it refuses that end.
 * -ENAMETOOLONG; `why` gets the sentence for the operator. */
int port_vdev(char ret[PORT_VDEV_BYTES], const char *vdev, const struct port_options *options,
	      char *why, size_t why_bytes);
/* -ENODEV: no such device; -EINVAL; -errno of DPDK.  `why` gets the sentence for the operator. */
int port_start(struct port **ret, const struct port_options *options, char *why, size_t why_bytes);
/* What shards left attached is released here.  Null is fine. */
void port_stop(struct port *port);
struct port_queue *port_queue(struct port *port, unsigned shard);
struct port_info port_info(const struct port *port);
/* Any thread; asks the device. */
struct port_link port_link(const struct port *port);
/* The same; all zero where it cannot tell. */
void port_device_statistics(const struct port *port, struct port_device_statistics *ret);
void port_device_name(const struct port *port, char *ret, size_t bytes);
/* Address `local` of the port. */
const uint8_t *port_ip(const struct port *port, unsigned local);
/* Memory that pools and rings of such a port take from the EAL, for its -m without hugepages. */
size_t port_memory_bytes(const struct port_options *options);
/* Payload from this memory may go out without a copy of a NIC that addresses memory through an
 * IOMMU.  Page aligned.  Virtual devices do not need it.  -errno: it will be copied instead. */
int port_register_memory(struct port *port, void *address, size_t bytes);

/* `hooks` is copied. */
void port_queue_attach(struct port_queue *queue, const struct port_hooks *hooks, void *context);
void port_queue_detach(struct port_queue *queue);

/* Fills up to `max` and returns how many; 0 does not mean that nothing came. */
unsigned port_receive(struct port_queue *queue, struct port_datagram *ret, unsigned max,
		      uint64_t now_ns);
/* It is a receive buffer again at the latest after the next port_turn. */
void port_release(struct port_queue *queue, void *packet);

/* Header and pieces become one datagram to `to` from the shard's own UDP port; the call keeps
 * nothing of its arguments.  Pieces longer than copy_bytes_max that have a reference are attached
 * where the device allows it, and held until it is done.
 * -EAGAIN, -ENOBUFS: not now, try after the next port_turn.  -EHOSTUNREACH: how to reach the peer
 * is unknown; a question was sent if the port may ask.  -EMSGSIZE: over the MTU.  -EINVAL: more
 * than PORT_PIECES_MAX pieces, or an unknown `local`. */
int port_send(struct port_queue *queue, const struct port_address *to, const void *header,
	      uint32_t header_bytes, const struct port_piece *pieces, unsigned piece_count,
	      uint64_t now_ns);
/* Sends what was collected, moves frames to and from the kernel and between shards, and releases
 * what the device is done with.  Returns how much it did, 0 for nothing. */
unsigned port_turn(struct port_queue *queue, uint64_t now_ns);
/* References held. */
unsigned port_queue_held(const struct port_queue *queue);
/* States how a peer is reached, where neither its datagrams nor ARP can tell. */
void port_neighbour_set(struct port_queue *queue, const uint8_t *ip, uint16_t local,
			const uint8_t *mac, uint64_t now_ns);

/* Adaptive polling.  The descriptors to wait on (readable: a frame came); fixed after start. */
unsigned port_wait_fds(const struct port_queue *queue, int ret_fds[PORT_WAIT_FDS_MAX]);
/* How long the shard may sleep at most: UINT64_MAX when an interrupt (or `wake`) will end it. */
uint64_t port_sleep_ns_max(const struct port_queue *queue);
/* Before sleeping: arms the interrupts.  False: a frame is waiting, poll again instead.  After a
 * true, port_woken is due before the next port_receive, whatever ended the sleep. */
bool port_sleep(struct port_queue *queue);
void port_woken(struct port_queue *queue);

/* Written by its shard with relaxed stores; any thread may read. */
const struct port_statistics *port_queue_statistics(const struct port_queue *queue);

struct port_statistic_text {
	const char *name;
	const char *help;
};
/* The fields before `drops`, in order. */
const struct port_statistic_text *port_statistic_texts(size_t *ret_count);

/* "192.0.2.1/24", "2001:db8::1"; without a prefix length the whole address.  -EINVAL. */
int port_ip_parse(struct port_ip *ret, const char *text);
