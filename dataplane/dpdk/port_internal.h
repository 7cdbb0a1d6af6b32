/* dataplane/dpdk/port_internal.h: what the files of this folder share about a port. */
#pragma once
#include "base/check.h"
#include "dataplane/dpdk/neighbours.h"
#include "dataplane/dpdk/port.h"

#include <rte_config.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

struct exception;

enum {
	PORT_FLOWS = 64,       /* a power of two */
	PORT_PENDING = 64,     /* frames collected for one tx burst */
	PORT_RING_SLOTS = 512, /* between two shards */
	PORT_ATTACHMENTS = 1024,
	PORT_REGIONS_MAX = 8,
	PORT_SEGMENTS_MAX = 16, /* buffers of one frame */
	/* Ethernet, two tags, and a checksum that some devices leave in the buffer. */
	PORT_LINK_BYTES = 14 + 2 * 4 + 4,
};

/* Payload of a shard that a frame refers to: from port_send until the device (or whoever received
 * the frame from a virtual one, on whatever thread) frees it.  The ring takes it home. */
struct port_attachment {
	struct rte_mbuf_ext_shared_info shared;
	struct port_queue *queue;
	void *reference;
};

/* A sender of ours; see flow_of. */
struct port_flow {
	struct packet_flow frames;
	uint64_t heard_ns; /* when its neighbour was last told */
};

struct port_queue {
	struct port *port;
	unsigned index;    /* the shard's */
	uint16_t hardware; /* the device's queue that it owns, or that its frames go through */
	bool owns_hardware;
	struct port_hooks hooks;
	void *context;
	struct rte_mempool *rx_pool; /* null without a queue of the device */
	struct rte_mempool *tx_pool;
	struct rte_mempool *attach_pool; /* mbufs without room of their own */
	struct neighbours *neighbours;
	struct port_flow flows[PORT_FLOWS];
	struct rte_mbuf *pending[PORT_PENDING];
	unsigned pending_count;
	struct rte_mbuf *released[PORT_BURST]; /* to go back to their pools together */
	unsigned released_count;
	struct rte_mbuf *spare[PORT_BURST]; /* of tx_pool, taken together */
	unsigned spare_count;
	struct port_attachment *attachments;
	struct port_attachment *free_attachments[PORT_ATTACHMENTS];
	unsigned free_attachment_count;
	struct rte_ring *returned; /* attachments that were freed; many producers */
	struct rte_ring *sent_out; /* of a shard without hardware: its frames to the one that has */
	struct rte_ring *to_kernel; /* of a queue without one at the kernel's device */
	uint64_t cleaned_ns;  /* when the device was last asked for frames that it is done with */
	uint64_t progress_ns; /* when it last took a frame, or had none to take */
	bool counts_waiting;  /* it can say whether a frame waits */
	uint64_t woken[4];    /* shards to wake at the end of port_receive, one bit each */
	int wait_fds[PORT_WAIT_FDS_MAX];
	bool wait_fd_is_event[PORT_WAIT_FDS_MAX];
	unsigned wait_fd_count;
	_Alignas(RTE_CACHE_LINE_SIZE) struct port_statistics statistics;
};

struct port_region {
	uintptr_t start;
	uintptr_t end;
};

struct port {
	struct port_options options;
	char device[RTE_ETH_NAME_MAX_LEN];
	struct port_info info;
	struct packet_filter filter;
	struct port_ip addresses[PACKET_ADDRESSES_MAX];
	uint16_t id;
	uint16_t hardware_count; /* queue pairs in use, at least 1 */
	unsigned shard_count;
	bool started;
	bool arms_interrupts; /* those of the device have to be switched on before each sleep */
	bool direct_memory;   /* the device reads memory itself: only registered payload is attached
			       */
	uint16_t segments_max; /* of a frame that is sent */
	uint16_t device_mtu;   /* what it was told */
	uint16_t kernel_queues;
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;
	struct port_region regions[PORT_REGIONS_MAX];
	unsigned region_count;
	struct rte_ring **handed; /* [hardware * shard_count + shard]; null where they are one */
	struct exception *exception;
	struct port_queue *queues; /* a shard each */
};

/* Takes the first `gone` of a list of frames out of it. */
static inline void port_shift(struct rte_mbuf **mbufs, unsigned *count, unsigned gone)
{
	*count -= gone;
	for (unsigned i = 0; gone && i < *count; i++)
		mbufs[i] = mbufs[i + gone];
}

#define port_count(queue, field, n)                                                                \
	__atomic_store_n(&(queue)->statistics.field, (queue)->statistics.field + (uint64_t)(n),    \
			 __ATOMIC_RELAXED)

static inline struct rte_ring *port_handed(const struct port *port, unsigned hardware,
					   unsigned shard)
{
	return port->handed[hardware * port->shard_count + shard];
}

/* Takes over the mbuf; false: no room, it is still the caller's. */
static inline bool port_collect(struct port_queue *queue, struct rte_mbuf *mbuf)
{
	if (queue->pending_count == PORT_PENDING)
		return false;
	queue->pending[queue->pending_count++] = mbuf;
	return true;
}

/* port_device.c */
int port_device_find(struct port *port, char *why, size_t why_bytes);
int port_device_configure(struct port *port, char *why, size_t why_bytes);
int port_device_begin(struct port *port, char *why, size_t why_bytes);
void port_device_end(struct port *port);
bool port_driver_is(const struct port *port, const char *const *names);
void port_why(char *why, size_t why_bytes, const struct port *port, const char *what, int rc);

/* port.c */
uint32_t port_data_room(unsigned mtu);

/* port_send.c */
void port_flush(struct port_queue *queue);
unsigned port_collect_returned(struct port_queue *queue);
void port_ask(struct port_queue *queue, const uint8_t *ip, uint16_t local, uint64_t now_ns);

/* port_receive.c */
void port_release_all(struct port_queue *queue);
void port_wake_others(struct port_queue *queue);

/* port_telemetry.c */
void port_telemetry_add(struct port *port);
void port_telemetry_remove(struct port *port);
