#include "dataplane/dpdk/exception.h"

#include "base/bytes.h"
#include "dataplane/dpdk/port_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <rte_dev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	INTERFACES_MAX = 64,
	MBUFS = 1023,
	DESCRIPTORS = 256,
};

enum kind { KIND_SHADOW, KIND_VIRTIO_USER, KIND_TAP };

struct kernel_queue {
	struct rte_mbuf *pending[PORT_PENDING]; /* to the kernel */
	unsigned pending_count;
};

struct exception {
	struct port *port;
	enum kind kind;
	uint16_t id; /* the kernel's device */
	bool created;
	bool started;
	bool interrupts;
	bool arms_interrupts;
	uint16_t queue_count;
	char device[RTE_ETH_NAME_MAX_LEN];
	char interface[IF_NAMESIZE];
	struct rte_mempool *pool;
	int *guards; /* sockets that keep our UDP ports, of KIND_SHADOW */
	unsigned guard_count;
	struct kernel_queue *queues;
};

const char *exception_name(const struct exception *exception)
{
	static const char *const names[] = {
		[KIND_SHADOW] = "shadow",
		[KIND_VIRTIO_USER] = "virtio-user",
		[KIND_TAP] = "tap",
	};
	return names[exception->kind];
}

const char *exception_interface(const struct exception *exception)
{
	return exception->interface;
}

uint16_t exception_queues(const struct exception *exception)
{
	return exception->queue_count;
}

/* ---- shadow ---- */

/* The kernel sees each datagram to us too.  A socket that takes none of them keeps it from telling
 * the sender that nobody listens. */
static int guard(const struct port *port, const uint8_t *ip, uint16_t udp_port, unsigned interface)
{
	static struct sock_filter nothing[] = {{.code = BPF_RET | BPF_K}};
	struct sock_fprog program = {.len = array_count(nothing), .filter = nothing};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htobe16(udp_port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htobe16(udp_port)};
	bool is_v4 = packet_ip_is_v4(ip);
	int rc;

	int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* An IPv6 address may still be under duplicate detection. */
	int yes = 1;
	rc = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	if (rc == 0 && !is_v4)
		rc = setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes));
	if (rc == 0 && is_v4) {
		memcpy(&v4.sin_addr, ip + 12, 4);
		rc = bind(fd, (const struct sockaddr *)&v4, sizeof(v4));
	} else if (rc == 0) {
		memcpy(&v6.sin6_addr, ip, PACKET_IP_BYTES);
		v6.sin6_scope_id = ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80 ? interface : 0;
		rc = bind(fd, (const struct sockaddr *)&v6, sizeof(v6));
	}
	if (rc == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int start_shadow(struct exception *exception, char *why, size_t why_bytes)
{
	struct port *port = exception->port;
	struct rte_eth_dev_info device;
	int rc = rte_eth_dev_info_get(port->id, &device);

	if (rc < 0)
		return rc;
	exception->guards = calloc((size_t)port->info.address_count * port->shard_count,
				   sizeof(int));
	if (!exception->guards)
		return -ENOMEM;
	for (unsigned i = 0; i < port->info.address_count; i++) {
		for (unsigned shard = 0; shard < port->shard_count; shard++) {
			uint16_t udp_port = (uint16_t)(port->filter.udp_port_first + shard);
			int fd = guard(port, port->filter.addresses[i], udp_port, device.if_index);
			if (fd < 0) {
				port_why(why, why_bytes, port, "its UDP ports in the kernel", fd);
				return fd;
			}
			exception->guards[exception->guard_count++] = fd;
		}
	}
	return 0;
}

/* ---- the kernel's interface ---- */

/* One rtnetlink request and its acknowledgement. */
static int netlink_ask(struct nlmsghdr *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} answer;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int rc = 0;

	if (fd < 0)
		return -errno;
	request->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (sendto(fd, request, request->nlmsg_len, 0, (const struct sockaddr *)&kernel,
		   sizeof(kernel)) < 0)
		rc = -errno;
	if (rc == 0) {
		ssize_t length = recv(fd, &answer, sizeof(answer), 0);
		if (length < 0)
			rc = -errno;
		else if ((size_t)length < sizeof(answer.header) + sizeof(answer.error) ||
			 answer.header.nlmsg_type != NLMSG_ERROR)
			rc = -EPROTO;
		else
			rc = answer.error.error;
	}
	close(fd);
	return rc;
}

struct address_request {
	struct nlmsghdr header;
	struct ifaddrmsg message;
	char attributes[128];
};
static_assert(offsetof(struct address_request, attributes) ==
		      NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
	      "attributes follow the message");

static void put_attribute(struct address_request *request, uint16_t type, const void *data,
			  uint16_t bytes)
{
	struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(bytes), .rta_type = type};
	size_t used = request->header.nlmsg_len - offsetof(struct address_request, attributes);

	check(used + RTA_SPACE(bytes) <= sizeof(request->attributes));
	memcpy(request->attributes + used, &attribute, sizeof(attribute));
	memcpy(request->attributes + used + RTA_LENGTH(0), data, bytes);
	request->header.nlmsg_len += RTA_SPACE(bytes);
}

static int add_address(unsigned interface, const struct port_ip *address)
{
	bool v4 = packet_ip_is_v4(address->ip);
	const uint8_t *bytes = address->ip + (v4 ? 12 : 0);
	uint32_t flags = IFA_F_NODAD; /* it is ours already, and must answer at once */
	uint16_t length = v4 ? 4 : 16;
	struct address_request request = {
		.header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
			   .nlmsg_type = RTM_NEWADDR,
			   .nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE},
		.message = {.ifa_family = v4 ? AF_INET : AF_INET6,
			    .ifa_prefixlen = address->prefix_bits,
			    .ifa_index = interface},
	};

	put_attribute(&request, IFA_LOCAL, bytes, length);
	put_attribute(&request, IFA_ADDRESS, bytes, length);
	if (!v4)
		put_attribute(&request, IFA_FLAGS, &flags, sizeof(flags));
	return netlink_ask(&request.header);
}

static int set_up_interface(const struct exception *exception, unsigned interface)
{
	const struct port *port = exception->port;
	struct ifreq request = {0};
	int rc = 0;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", exception->interface);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	request.ifr_mtu = port->info.mtu;
	if (ioctl(fd, SIOCSIFMTU, &request) < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		rc = -errno;
	request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
	if (rc == 0 && ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		rc = -errno;
	close(fd);
	for (unsigned i = 0; rc == 0 && i < port->info.address_count; i++)
		rc = add_address(interface, &port->addresses[i]);
	return rc;
}

/* ---- the kernel's device ---- */

static void choose_interface(struct exception *exception)
{
	const char *wanted = exception->port->options.exception_name;

	if (wanted) {
		snprintf(exception->interface, sizeof(exception->interface), "%s", wanted);
		return;
	}
	for (unsigned i = 0; i < INTERFACES_MAX; i++) {
		snprintf(exception->interface, sizeof(exception->interface), "sluice%u", i);
		if (if_nametoindex(exception->interface) == 0)
			return;
	}
}

static int create_device(struct exception *exception)
{
	const struct port *port = exception->port;
	const uint8_t *mac = port->info.mac;
	char arguments[160];
	char mac_text[18];
	bool virtio = exception->kind == KIND_VIRTIO_USER;

	choose_interface(exception);
	snprintf(mac_text, sizeof(mac_text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		 mac[2], mac[3], mac[4], mac[5]);
	snprintf(exception->device, sizeof(exception->device), "%s_sluice%u",
		 virtio ? "virtio_user" : "net_tap", port->id);
	if (virtio)
		snprintf(arguments, sizeof(arguments),
			 "path=/dev/vhost-net,queues=%u,queue_size=%d,iface=%s,mac=%s",
			 port->hardware_count, DESCRIPTORS, exception->interface, mac_text);
	else
		snprintf(arguments, sizeof(arguments), "iface=%s,mac=%s", exception->interface,
			 mac_text);
	int rc = rte_eal_hotplug_add("vdev", exception->device, arguments);
	if (rc < 0)
		return rc;
	exception->created = true;
	return rte_eth_dev_get_port_by_name(exception->device, &exception->id);
}

static int configure_device(struct exception *exception, bool interrupts)
{
	struct rte_eth_dev_info device;
	int rc = rte_eth_dev_info_get(exception->id, &device);

	if (rc < 0)
		return rc;
	struct rte_eth_conf conf = {
		.rxmode = {.mtu = exception->port->info.mtu},
		/* A frame of several buffers goes to the kernel as it came. */
		.txmode = {.offloads = device.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS},
		.intr_conf = {.rxq = interrupts},
	};
	unsigned queues = exception->port->hardware_count;
	if (queues > device.max_rx_queues)
		queues = device.max_rx_queues;
	if (queues > device.max_tx_queues)
		queues = device.max_tx_queues;
	exception->queue_count = (uint16_t)queues;
	exception->interrupts = interrupts;
	rc = rte_eth_dev_configure(exception->id, exception->queue_count, exception->queue_count,
				   &conf);
	for (uint16_t i = 0; rc == 0 && i < queues; i++) {
		rc = rte_eth_rx_queue_setup(exception->id, i, DESCRIPTORS, (unsigned)SOCKET_ID_ANY,
					    NULL, exception->pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(exception->id, i, DESCRIPTORS,
						    (unsigned)SOCKET_ID_ANY, NULL);
	}
	return rc;
}

static int start_device(struct exception *exception)
{
	const struct port *port = exception->port;
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "p%u_kernel", port->id);
	exception->pool = rte_pktmbuf_pool_create(
		name, MBUFS, 0, 0, (uint16_t)port_data_room(port->info.mtu), SOCKET_ID_ANY);
	exception->queues = calloc(port->hardware_count, sizeof(exception->queues[0]));
	if (!exception->pool || !exception->queues)
		return -ENOMEM;
	int rc = create_device(exception);
	if (rc == 0)
		rc = configure_device(exception, !port->options.no_interrupts);
	if (rc < 0 && exception->created && exception->interrupts)
		rc = configure_device(exception, false);
	if (rc == 0)
		rc = rte_eth_dev_start(exception->id);
	if (rc < 0)
		return rc;
	exception->started = true;
	/* A tap's descriptor is readable while a frame waits; there is nothing to arm. */
	exception->arms_interrupts = exception->kind != KIND_TAP;
	for (uint16_t i = 0; exception->interrupts && i < exception->queue_count; i++)
		exception->interrupts = (!exception->arms_interrupts ||
					 (rte_eth_dev_rx_intr_enable(exception->id, i) == 0 &&
					  rte_eth_dev_rx_intr_disable(exception->id, i) == 0)) &&
					rte_eth_dev_rx_intr_ctl_q_get_fd(exception->id, i) >= 0;
	unsigned interface = if_nametoindex(exception->interface);
	return interface ? set_up_interface(exception, interface) : -ENODEV;
}

/* What is behind a port decides: some share their interface with the kernel, and behind a memif, a
 * ring or a tap is no kernel that could answer for us. */
static int choose_kind(const struct port *port, enum kind *ret)
{
	static const char *const sharing[] = {"net_af_packet", NULL};
	static const char *const private[] = {"net_memif", "net_ring", "net_null",
					      "net_tap",   "net_pcap", NULL};

	if (port->options.exception == PORT_EXCEPTION_TAP) {
		*ret = KIND_TAP;
		return 0;
	}
	if (port_driver_is(port, private))
		return -ENOTSUP;
	if (port_driver_is(port, sharing))
		*ret = KIND_SHADOW;
	else
		*ret = access("/dev/vhost-net", R_OK | W_OK) == 0 ? KIND_VIRTIO_USER : KIND_TAP;
	return 0;
}

int exception_start(struct exception **ret, struct port *port, char *why, size_t why_bytes)
{
	enum kind kind = KIND_TAP;
	int rc = choose_kind(port, &kind);

	if (rc < 0)
		return rc;
	struct exception *exception = calloc(1, sizeof(*exception));
	if (!exception)
		return -ENOMEM;
	exception->port = port;
	exception->kind = kind;
	if (kind == KIND_SHADOW) {
		rc = start_shadow(exception, why, why_bytes);
	} else {
		rc = start_device(exception);
		if (rc < 0)
			port_why(why, why_bytes, port, "the kernel's interface", rc);
	}
	if (rc < 0) {
		exception_stop(exception);
		return rc;
	}
	*ret = exception;
	return 0;
}

void exception_stop(struct exception *exception)
{
	if (!exception)
		return;
	for (unsigned i = 0; exception->queues && i < exception->queue_count; i++) {
		struct kernel_queue *own = &exception->queues[i];
		rte_pktmbuf_free_bulk(own->pending, own->pending_count);
	}
	if (exception->started)
		rte_eth_dev_stop(exception->id);
	if (exception->created) {
		rte_eth_dev_close(exception->id);
		rte_eal_hotplug_remove("vdev", exception->device);
	}
	/* Frames that the port still has may come from its pool. */
	if (exception->pool && rte_mempool_full(exception->pool))
		rte_mempool_free(exception->pool);
	for (unsigned i = 0; i < exception->guard_count; i++)
		close(exception->guards[i]);
	free(exception->guards);
	free(exception->queues);
	free(exception);
}

/* ---- the shard's part ---- */

static void lose(struct port_queue *queue, struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
	port_count(queue, kernel_dropped, 1);
}

void exception_give(struct exception *exception, struct port_queue *queue, struct rte_mbuf *mbuf)
{
	if (exception->kind == KIND_SHADOW) {
		rte_pktmbuf_free(mbuf); /* the kernel has its own copy */
		return;
	}
	/* What a kernel or guest of this host left to hardware, this kernel will not accept. */
	if (exception->port->filter.accept_partial && mbuf->nb_segs == 1)
		packet_complete_checksum(rte_pktmbuf_mtod(mbuf, uint8_t *), mbuf->data_len);
	if (queue->hardware < exception->queue_count) {
		struct kernel_queue *own = &exception->queues[queue->hardware];
		if (own->pending_count == PORT_PENDING)
			lose(queue, mbuf);
		else
			own->pending[own->pending_count++] = mbuf;
		return;
	}
	if (rte_ring_sp_enqueue(queue->to_kernel, mbuf) != 0) {
		lose(queue, mbuf);
		return;
	}
	port_count(queue, kernel_handed_over, 1);
	unsigned owner = queue->hardware % exception->queue_count;
	queue->woken[owner / 64] |= UINT64_C(1) << (owner % 64);
}

static unsigned take_from_peers(struct exception *exception, unsigned own_index)
{
	struct kernel_queue *own = &exception->queues[own_index];
	const struct port *port = exception->port;
	unsigned taken = 0;

	for (unsigned i = own_index + exception->queue_count; i < port->hardware_count;
	     i += exception->queue_count) {
		unsigned count = rte_ring_sc_dequeue_burst(
			port->queues[i].to_kernel, (void **)(own->pending + own->pending_count),
			PORT_PENDING - own->pending_count, NULL);
		own->pending_count += count;
		taken += count;
	}
	return taken;
}

static unsigned to_kernel(struct exception *exception, struct port_queue *queue)
{
	struct kernel_queue *own = &exception->queues[queue->hardware];

	if (own->pending_count == 0)
		return 0;
	unsigned count = own->pending_count < EXCEPTION_BURST ? own->pending_count
							      : EXCEPTION_BURST;
	unsigned sent = rte_eth_tx_burst(exception->id, queue->hardware, own->pending,
					 (uint16_t)count);
	port_shift(own->pending, &own->pending_count, sent);
	port_count(queue, kernel_out, sent);
	return sent;
}

/* Half of the port's places stay for datagrams. */
static unsigned from_kernel(struct exception *exception, struct port_queue *queue)
{
	struct rte_mbuf *mbufs[EXCEPTION_BURST];

	if (queue->pending_count >= PORT_PENDING / 2)
		return 0;
	unsigned count = rte_eth_rx_burst(exception->id, queue->hardware, mbufs, EXCEPTION_BURST);
	for (unsigned i = 0; i < count; i++)
		check(port_collect(queue, mbufs[i]));
	port_count(queue, kernel_in, count);
	return count;
}

unsigned exception_turn(struct exception *exception, struct port_queue *queue)
{
	if (queue->hardware >= exception->queue_count)
		return 0;
	unsigned moved = take_from_peers(exception, queue->hardware);
	moved += to_kernel(exception, queue);
	return moved + from_kernel(exception, queue);
}

int exception_wait_fd(const struct exception *exception, unsigned queue)
{
	if (!exception->interrupts || queue >= exception->queue_count)
		return -1;
	return rte_eth_dev_rx_intr_ctl_q_get_fd(exception->id, (uint16_t)queue);
}

bool exception_sleep(struct exception *exception, unsigned queue)
{
	if (queue >= exception->queue_count)
		return true;
	if (exception->queues[queue].pending_count)
		return false;
	return !exception->interrupts || !exception->arms_interrupts ||
	       rte_eth_dev_rx_intr_enable(exception->id, (uint16_t)queue) == 0;
}

void exception_woken(struct exception *exception, unsigned queue)
{
	if (exception->interrupts && exception->arms_interrupts && queue < exception->queue_count)
		rte_eth_dev_rx_intr_disable(exception->id, (uint16_t)queue);
}
