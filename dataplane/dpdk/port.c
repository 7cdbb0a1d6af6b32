/* A port from start to stop.
 *
 *      device queue 0 --- shard 0 --+           +-- shard 0 --- device queue 0
 *      device queue 1 --- shard 1 --+-- handed -+-- shard 1 --- device queue 1
 *                                   |           |
 *                         shard 2 --+-----------+-- shard 2 --sent_out--> shard 0
 *
 * `handed` is a ring from each owner of a device queue to each other shard, for datagrams that
 * arrived on the wrong queue.  A shard without a queue sends through the ring of shard
 * index % queues.  Everything is allocated here; what follows only moves pointers. */
#include "dataplane/dpdk/port.h"

#include "base/bytes.h"
#include "dataplane/dpdk/exception.h"
#include "dataplane/dpdk/port_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DESCRIPTORS = 512,
	MBUFS_PER_DESCRIPTOR = 4,
	COPY_BYTES_MAX = 512,
	AF_XDP_MBUFS = 4095,
	NEIGHBOURS = 1024,
	POOL_CACHE = 256,
	SHARDS_MAX = 256,
	POOLS_BYTES = 384 << 10, /* pools and rings of a queue beside their elements, generously */
};

uint32_t port_data_room(unsigned mtu)
{
	uint32_t room = (uint32_t)round_up(mtu + PORT_LINK_BYTES, 64);

	if (room < RTE_MBUF_DEFAULT_DATAROOM)
		room = RTE_MBUF_DEFAULT_DATAROOM;
	return room + RTE_PKTMBUF_HEADROOM;
}

static bool is_af_xdp(const char *device)
{
	static const char af_xdp[] = "net_af_xdp";

	return strncmp(device, af_xdp, strlen(af_xdp)) == 0;
}

/* net_af_xdp fills its ring with 2048 buffers at once, of whatever pool it is given. */
static unsigned rx_mbufs_min(const char *device)
{
	return is_af_xdp(device) ? AF_XDP_MBUFS : 0;
}

static void set_defaults(struct port_options *options)
{
	if (!options->rx_descriptors)
		options->rx_descriptors = DESCRIPTORS;
	if (!options->tx_descriptors)
		options->tx_descriptors = DESCRIPTORS;
	if (!options->rx_mbufs)
		options->rx_mbufs = options->rx_descriptors * MBUFS_PER_DESCRIPTOR;
	if (options->rx_mbufs < rx_mbufs_min(options->device))
		options->rx_mbufs = rx_mbufs_min(options->device);
	if (!options->tx_mbufs)
		options->tx_mbufs = options->tx_descriptors * MBUFS_PER_DESCRIPTOR;
	if (!options->neighbours)
		options->neighbours = NEIGHBOURS;
	if (!options->copy_bytes_max)
		options->copy_bytes_max = COPY_BYTES_MAX;
}

size_t port_memory_bytes(const struct port_options *given)
{
	struct port_options options = *given;

	set_defaults(&options);
	size_t buffer = port_data_room(options.mtu ? options.mtu : RTE_ETHER_MTU) +
			sizeof(struct rte_mbuf) + 128;
	size_t queue = (options.rx_mbufs + options.tx_mbufs) * buffer +
		       PORT_ATTACHMENTS * (sizeof(struct rte_mbuf) + 128 + 64) + POOLS_BYTES;
	size_t rings = (size_t)options.shard_count * options.shard_count *
		       (PORT_RING_SLOTS * sizeof(void *) + 1024);
	/* The kernel's device, and descriptors of the port's. */
	return options.shard_count * (queue + (256 << 10)) + rings +
	       (options.exception ? 1024 * buffer + (1 << 20) : 0);
}

/* ---- addresses ---- */

int port_ip_parse(struct port_ip *ret, const char *text)
{
	char address[INET6_ADDRSTRLEN];
	uint8_t v4[4];
	struct port_ip ip;
	size_t length = strcspn(text, "/");

	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = 0;
	if (inet_pton(AF_INET, address, v4) == 1) {
		packet_ip_from_v4(v4, ip.ip);
		ip.prefix_bits = 32;
	} else if (inet_pton(AF_INET6, address, ip.ip) == 1 && !packet_ip_is_v4(ip.ip)) {
		ip.prefix_bits = 128;
	} else {
		return -EINVAL;
	}
	if (text[length] == '/') {
		char *end;
		const char *digits = text + length + 1;
		unsigned long bits = strtoul(digits, &end, 10);
		if (end == digits || *end || *digits == '-' || bits > ip.prefix_bits)
			return -EINVAL;
		ip.prefix_bits = (uint8_t)bits;
	}
	*ret = ip;
	return 0;
}

static unsigned mask_bits(const uint8_t *mask, unsigned bytes)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < bytes; i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	return bits;
}

static bool kernel_address(const struct ifaddrs *entry, struct port_ip *ret)
{
	if (!entry->ifa_addr || !entry->ifa_netmask)
		return false;
	if (entry->ifa_addr->sa_family == AF_INET) {
		struct sockaddr_in address;
		struct sockaddr_in mask;
		memcpy(&address, entry->ifa_addr, sizeof(address));
		memcpy(&mask, entry->ifa_netmask, sizeof(mask));
		packet_ip_from_v4((const uint8_t *)&address.sin_addr, ret->ip);
		ret->prefix_bits = (uint8_t)mask_bits((const uint8_t *)&mask.sin_addr, 4);
		return true;
	}
	if (entry->ifa_addr->sa_family == AF_INET6) {
		struct sockaddr_in6 address;
		struct sockaddr_in6 mask;
		memcpy(&address, entry->ifa_addr, sizeof(address));
		memcpy(&mask, entry->ifa_netmask, sizeof(mask));
		memcpy(ret->ip, &address.sin6_addr, PACKET_IP_BYTES);
		ret->prefix_bits = (uint8_t)mask_bits((const uint8_t *)&mask.sin6_addr, 16);
		return true;
	}
	return false;
}

/* A device that shares an interface with the kernel has the kernel's addresses. */
static void addresses_of_kernel(struct port *port)
{
	static const char *const sharing[] = {"net_af_packet", "net_af_xdp", NULL};
	struct rte_eth_dev_info device;
	char name[IF_NAMESIZE];
	struct ifaddrs *all;

	if (!port_driver_is(port, sharing) || rte_eth_dev_info_get(port->id, &device) < 0 ||
	    !if_indextoname(device.if_index, name) || getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *entry = all; entry; entry = entry->ifa_next) {
		if (port->info.address_count == PACKET_ADDRESSES_MAX)
			break;
		if (strcmp(entry->ifa_name, name) == 0 &&
		    kernel_address(entry, &port->addresses[port->info.address_count]))
			port->info.address_count++;
	}
	freeifaddrs(all);
}

static int set_filter(struct port *port, char *why, size_t why_bytes)
{
	const struct port_options *options = &port->options;

	if (options->address_count > PACKET_ADDRESSES_MAX ||
	    options->udp_port_first + port->shard_count > 65536 || options->udp_port_first == 0) {
		port_why(why, why_bytes, port, "addresses or UDP ports", -EINVAL);
		return -EINVAL;
	}
	for (unsigned i = 0; i < options->address_count; i++)
		port->addresses[port->info.address_count++] = options->addresses[i];
	if (!options->address_count)
		addresses_of_kernel(port);
	if (!port->info.address_count) {
		snprintf(why, why_bytes, "port %s: needs an IP address", options->device);
		return -EADDRNOTAVAIL;
	}
	memcpy(port->filter.mac, port->info.mac, PACKET_MAC_BYTES);
	port->filter.vlan = options->vlan;
	port->filter.udp_port_first = options->udp_port_first;
	port->filter.udp_port_count = (uint16_t)port->shard_count;
	port->filter.address_count = (uint16_t)port->info.address_count;
	for (unsigned i = 0; i < port->info.address_count; i++)
		memcpy(port->filter.addresses[i], port->addresses[i].ip, PACKET_IP_BYTES);
	return 0;
}

/* ---- pools and rings ---- */

/* On the device's node; anywhere, where that has no memory (or the kernel no nodes). */
static struct rte_mempool *make_pool(const struct port *port, const char *what, unsigned index,
				     unsigned count, uint32_t data_room)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	unsigned cache = count < 4 * POOL_CACHE ? 0 : POOL_CACHE;

	snprintf(name, sizeof(name), "p%u_%s%u", port->id, what, index);
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		name, count, cache, 0, (uint16_t)data_room, port->info.numa_node);
	if (!pool && port->info.numa_node >= 0)
		pool = rte_pktmbuf_pool_create(name, count, cache, 0, (uint16_t)data_room,
					       SOCKET_ID_ANY);
	return pool;
}

/* net_af_xdp gives the kernel a run of memory as long as the pool's elements are together, and the
 * kernel drops frames that lie behind it.  Pools as DPDK makes them pad each page, so that elements
 * can be addressed by DMA. */
static struct rte_mempool *make_dense_pool(const struct port *port, const char *what,
					   unsigned index, unsigned count, uint32_t data_room)
{
	struct rte_pktmbuf_pool_private rooms = {.mbuf_data_room_size = (uint16_t)data_room};
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "p%u_%s%u", port->id, what, index);
	struct rte_mempool *pool = rte_mempool_create_empty(
		name, count, (unsigned)sizeof(struct rte_mbuf) + data_room, POOL_CACHE,
		sizeof(rooms), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	if (!pool)
		return NULL;
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) < 0)
		goto fail;
	rte_pktmbuf_pool_init(pool, &rooms);
	if (rte_mempool_populate_default(pool) < 0)
		goto fail;
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
fail:
	rte_mempool_free(pool);
	return NULL;
}

static struct rte_mempool *make_rx_pool(const struct port *port, unsigned index, uint32_t data_room)
{
	unsigned count = port->options.rx_mbufs;

	return is_af_xdp(port->device) ? make_dense_pool(port, "rx", index, count, data_room)
				       : make_pool(port, "rx", index, count, data_room);
}

static struct rte_ring *make_ring(const struct port *port, const char *what, unsigned a, unsigned b,
				  unsigned slots, unsigned flags)
{
	char name[RTE_RING_NAMESIZE];

	snprintf(name, sizeof(name), "p%u_%.4s%u_%u", port->id & 0xfffU, what, a & 0xfffU,
		 b & 0xfffU);
	return rte_ring_create(name, slots, SOCKET_ID_ANY, flags);
}

static bool make_attachments(struct port_queue *queue)
{
	queue->attachments = calloc(PORT_ATTACHMENTS, sizeof(queue->attachments[0]));
	queue->returned = make_ring(queue->port, "back", queue->index, 0, 2 * PORT_ATTACHMENTS,
				    RING_F_SC_DEQ);
	queue->attach_pool = make_pool(queue->port, "att", queue->index, PORT_ATTACHMENTS, 0);
	if (!queue->attachments || !queue->returned || !queue->attach_pool)
		return false;
	for (unsigned i = 0; i < PORT_ATTACHMENTS; i++) {
		queue->attachments[i].queue = queue;
		queue->free_attachments[i] = &queue->attachments[i];
	}
	queue->free_attachment_count = PORT_ATTACHMENTS;
	return true;
}

static int make_queue(struct port *port, unsigned index)
{
	const struct port_options *options = &port->options;
	struct port_queue *queue = &port->queues[index];
	uint32_t room = port_data_room(port->info.mtu);
	unsigned rings = RING_F_SP_ENQ | RING_F_SC_DEQ;

	queue->port = port;
	queue->index = index;
	queue->owns_hardware = index < port->hardware_count;
	queue->hardware = (uint16_t)(index % port->hardware_count);
	queue->tx_pool = make_pool(port, "tx", index, options->tx_mbufs, room);
	if (!queue->tx_pool || !make_attachments(queue))
		return -ENOMEM;
	if (queue->owns_hardware) {
		queue->rx_pool = make_rx_pool(port, index, room);
		queue->to_kernel = make_ring(port, "kern", index, 0, PORT_RING_SLOTS, rings);
		if (!queue->rx_pool || !queue->to_kernel)
			return -ENOMEM;
	} else {
		queue->sent_out = make_ring(port, "out", index, 0, PORT_RING_SLOTS, rings);
		if (!queue->sent_out)
			return -ENOMEM;
	}
	return neighbours_new(&queue->neighbours, options->neighbours, rte_rand(), &port->filter,
			      (uint16_t)(port->filter.udp_port_first + index));
}

static int make_queues(struct port *port)
{
	/* The device's alignment of cache lines is the statistics', so neighbours do not share. */
	size_t bytes = round_up(port->shard_count * sizeof(struct port_queue), 64);

	port->queues = aligned_alloc(64, bytes);
	port->handed = calloc((size_t)port->hardware_count * port->shard_count,
			      sizeof(struct rte_ring *));
	if (!port->queues || !port->handed)
		return -ENOMEM;
	memset(port->queues, 0, bytes);
	for (unsigned i = 0; i < port->shard_count; i++) {
		int rc = make_queue(port, i);
		if (rc < 0)
			return rc;
	}
	for (unsigned from = 0; from < port->hardware_count; from++) {
		for (unsigned to = 0; to < port->shard_count; to++) {
			if (from == to)
				continue;
			struct rte_ring *ring = make_ring(port, "hand", from, to, PORT_RING_SLOTS,
							  RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!ring)
				return -ENOMEM;
			port->handed[from * port->shard_count + to] = ring;
		}
	}
	return 0;
}

static void free_mbufs(struct rte_ring *ring)
{
	void *mbuf;

	while (ring && rte_ring_sc_dequeue(ring, &mbuf) == 0)
		rte_pktmbuf_free(mbuf);
	rte_ring_free(ring);
}

static void empty_queue(struct port_queue *queue)
{
	for (unsigned i = 0; i < queue->pending_count; i++)
		rte_pktmbuf_free(queue->pending[i]);
	queue->pending_count = 0;
	port_release_all(queue);
	rte_pktmbuf_free_bulk(queue->spare, queue->spare_count);
	queue->spare_count = 0;
	free_mbufs(queue->sent_out);
	free_mbufs(queue->to_kernel);
}

/* What the device, gone now, did not give back. */
static void release_rest(struct port_queue *queue)
{
	if (!queue->returned)
		return;
	port_collect_returned(queue);
	for (unsigned i = 0; queue->attachments && i < PORT_ATTACHMENTS; i++) {
		if (queue->attachments[i].reference && queue->hooks.release)
			queue->hooks.release(queue->context, queue->attachments[i].reference);
	}
	rte_ring_free(queue->returned);
}

static void free_queues(struct port *port)
{
	for (unsigned i = 0; port->queues && i < port->shard_count; i++)
		empty_queue(&port->queues[i]);
	for (unsigned i = 0; port->handed && i < port->hardware_count * port->shard_count; i++)
		free_mbufs(port->handed[i]);
	for (unsigned i = 0; port->queues && i < port->shard_count; i++)
		release_rest(&port->queues[i]);
	for (unsigned i = 0; port->queues && i < port->shard_count; i++) {
		rte_mempool_free(port->queues[i].rx_pool);
		rte_mempool_free(port->queues[i].tx_pool);
		rte_mempool_free(port->queues[i].attach_pool);
		neighbours_free(port->queues[i].neighbours);
		free(port->queues[i].attachments);
	}
	free(port->handed);
	free(port->queues);
}

/* ---- waiting ---- */

static bool is_event_fd(int fd)
{
	char link[64];
	char target[64];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = 0;
	return strstr(target, "[eventfd]") != NULL;
}

static void add_wait_fd(struct port_queue *queue, int fd)
{
	if (fd < 0)
		return;
	bool event = is_event_fd(fd);
	if (event) {
		/* It is read empty after each sleep, whoever ended that. */
		int flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return;
	}
	queue->wait_fd_is_event[queue->wait_fd_count] = event;
	queue->wait_fds[queue->wait_fd_count++] = fd;
}

static void find_wait_fds(struct port *port)
{
	for (uint16_t i = 0; i < port->hardware_count; i++) {
		port->queues[i].counts_waiting = rte_eth_rx_queue_count(port->id, i) >= 0;
		if (port->info.interrupts)
			add_wait_fd(&port->queues[i],
				    rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, i));
		if (port->exception)
			add_wait_fd(&port->queues[i], exception_wait_fd(port->exception, i));
	}
}

/* ---- start and stop ---- */

static int start_exception(struct port *port, char *why, size_t why_bytes)
{
	port->info.exception = "none";
	if (port->options.exception == PORT_EXCEPTION_NONE)
		return 0;
	int rc = exception_start(&port->exception, port, why, why_bytes);
	if (rc == -ENOTSUP)
		return 0;
	if (rc < 0)
		return rc;
	port->info.exception = exception_name(port->exception);
	port->kernel_queues = exception_queues(port->exception);
	return 0;
}

int port_start(struct port **ret, const struct port_options *options, char *why, size_t why_bytes)
{
	struct port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;
	check(options->shard_count >= 1 && options->shard_count <= SHARDS_MAX);
	port->options = *options;
	set_defaults(&port->options);
	port->shard_count = options->shard_count;
	snprintf(port->device, sizeof(port->device), "%s", options->device);
	port->options.device = port->device;
	int rc = port_device_find(port, why, why_bytes);
	if (rc == 0)
		rc = set_filter(port, why, why_bytes);
	if (rc == 0)
		rc = port_device_configure(port, why, why_bytes);
	if (rc < 0)
		goto fail;
	rc = make_queues(port);
	if (rc < 0) {
		port_why(why, why_bytes, port, "memory for buffers", rc);
		goto fail;
	}
	rc = port_device_begin(port, why, why_bytes);
	if (rc == 0)
		rc = start_exception(port, why, why_bytes);
	if (rc < 0)
		goto fail;
	find_wait_fds(port);
	port_telemetry_add(port);
	*ret = port;
	return 0;
fail:
	port_stop(port);
	return rc;
}

void port_stop(struct port *port)
{
	if (!port)
		return;
	port_telemetry_remove(port);
	exception_stop(port->exception);
	port_device_end(port);
	free_queues(port);
	for (unsigned i = 0; i < port->region_count; i++)
		rte_extmem_unregister((void *)port->regions[i].start,
				      port->regions[i].end - port->regions[i].start);
	free(port);
}

struct port_queue *port_queue(struct port *port, unsigned shard)
{
	check(shard < port->shard_count);
	return &port->queues[shard];
}

struct port_info port_info(const struct port *port)
{
	return port->info;
}

const uint8_t *port_ip(const struct port *port, unsigned local)
{
	check(local < port->info.address_count);
	return port->filter.addresses[local];
}

struct port_link port_link(const struct port *port)
{
	struct rte_eth_link link;

	if (rte_eth_link_get_nowait(port->id, &link) < 0)
		return (struct port_link){0};
	return (struct port_link){.up = link.link_status, .mbps = link.link_speed};
}

void port_device_statistics(const struct port *port, struct port_device_statistics *ret)
{
	struct rte_eth_stats device = {0};

	if (rte_eth_stats_get(port->id, &device) < 0)
		device = (struct rte_eth_stats){0};
	*ret = (struct port_device_statistics){
		.received = device.ipackets,
		.received_bytes = device.ibytes,
		.sent = device.opackets,
		.sent_bytes = device.obytes,
		.missed = device.imissed,
		.no_mbuf = device.rx_nombuf,
		.receive_errors = device.ierrors,
		.send_errors = device.oerrors,
	};
}

void port_device_name(const struct port *port, char *ret, size_t bytes)
{
	snprintf(ret, bytes, "%s", port->device);
}

int port_register_memory(struct port *port, void *address, size_t bytes)
{
	struct rte_eth_dev_info device;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (!port->info.zero_copy || !port->direct_memory)
		return 0;
	if (port->region_count == PORT_REGIONS_MAX)
		return -ENOSPC;
	int rc = rte_eth_dev_info_get(port->id, &device);
	if (rc == 0 && rte_extmem_register(address, bytes, NULL, 0, page) < 0)
		rc = -rte_errno;
	if (rc < 0)
		return rc;
	if (rte_dev_dma_map(device.device, address, (uintptr_t)address, bytes) < 0) {
		rc = -rte_errno;
		rte_extmem_unregister(address, bytes);
		return rc;
	}
	port->regions[port->region_count++] = (struct port_region){
		.start = (uintptr_t)address,
		.end = (uintptr_t)address + bytes,
	};
	return 0;
}

void port_queue_attach(struct port_queue *queue, const struct port_hooks *hooks, void *context)
{
	queue->hooks = *hooks;
	queue->context = context;
}

void port_queue_detach(struct port_queue *queue)
{
	port_flush(queue);
	port_collect_returned(queue);
	port_release_all(queue);
}

unsigned port_queue_held(const struct port_queue *queue)
{
	return PORT_ATTACHMENTS - queue->free_attachment_count;
}

void port_neighbour_set(struct port_queue *queue, const uint8_t *ip, uint16_t local,
			const uint8_t *mac, uint64_t now_ns)
{
	struct packet_link link = {0};

	memcpy(link.mac, mac, PACKET_MAC_BYTES);
	neighbours_heard(queue->neighbours, ip, local, &link, now_ns);
}

/* ---- sleeping ---- */

unsigned port_wait_fds(const struct port_queue *queue, int ret_fds[PORT_WAIT_FDS_MAX])
{
	for (unsigned i = 0; i < queue->wait_fd_count; i++)
		ret_fds[i] = queue->wait_fds[i];
	return queue->wait_fd_count;
}

uint64_t port_sleep_ns_max(const struct port_queue *queue)
{
	/* The last for a frame that came while its interrupt was being armed. */
	enum { POLL_DEVICE_NS = 50000, POLL_KERNEL_NS = 1000000, POLL_RACE_NS = 10000000 };
	const struct port *port = queue->port;

	if (!queue->owns_hardware)
		return UINT64_MAX;
	if (!port->info.interrupts)
		return POLL_DEVICE_NS;
	if (queue->hardware < port->kernel_queues &&
	    exception_wait_fd(port->exception, queue->hardware) < 0)
		return POLL_KERNEL_NS;
	return queue->counts_waiting || !port->arms_interrupts ? UINT64_MAX : POLL_RACE_NS;
}

/* Frames or messages between shards that nothing else would wake us for. */
static bool something_waits(const struct port_queue *queue)
{
	const struct port *port = queue->port;

	for (unsigned from = 0; from < port->hardware_count; from++) {
		struct rte_ring *ring = port_handed(port, from, queue->index);
		if (ring && !rte_ring_empty(ring))
			return true;
	}
	for (unsigned i = port->hardware_count; queue->owns_hardware && i < port->shard_count;
	     i++) {
		if (port->queues[i].hardware == queue->hardware &&
		    !rte_ring_empty(port->queues[i].sent_out))
			return true;
	}
	return queue->pending_count > 0;
}

bool port_sleep(struct port_queue *queue)
{
	struct port *port = queue->port;

	if (something_waits(queue))
		return false;
	if (!queue->owns_hardware)
		return true;
	if (port->arms_interrupts) {
		if (rte_eth_dev_rx_intr_enable(port->id, queue->hardware) < 0)
			return false;
		/* What came before the interrupt was armed does not raise it. */
		if (rte_eth_rx_queue_count(port->id, queue->hardware) > 0) {
			rte_eth_dev_rx_intr_disable(port->id, queue->hardware);
			return false;
		}
	}
	if (!port->exception || exception_sleep(port->exception, queue->hardware))
		return true;
	if (port->arms_interrupts)
		rte_eth_dev_rx_intr_disable(port->id, queue->hardware);
	return false;
}

void port_woken(struct port_queue *queue)
{
	struct port *port = queue->port;
	uint64_t count;

	if (!queue->owns_hardware)
		return;
	if (port->arms_interrupts)
		rte_eth_dev_rx_intr_disable(port->id, queue->hardware);
	if (port->exception)
		exception_woken(port->exception, queue->hardware);
	for (unsigned i = 0; i < queue->wait_fd_count; i++) {
		if (queue->wait_fd_is_event[i] &&
		    read(queue->wait_fds[i], &count, sizeof(count)) < 0)
			continue; /* it was empty: something else ended the sleep */
	}
}

const struct port_statistics *port_queue_statistics(const struct port_queue *queue)
{
	return &queue->statistics;
}

const struct port_statistic_text *port_statistic_texts(size_t *ret_count)
{
	static const struct port_statistic_text texts[] = {
#define STATISTIC(name, help) {#name, help},
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
	};
	*ret_count = array_count(texts);
	return texts;
}
