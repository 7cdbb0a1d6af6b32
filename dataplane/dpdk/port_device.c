/* A port's ethdev: found, asked what it can, configured, started.
 *
 * Devices differ in what they offer, and virtual ones in what they say they offer, so everything
 * optional is asked for, and taken away again when the device refuses: interrupts, MTU, group
 * frames, steering rules.  What remains is in port->info, which the operator sees. */
#include "dataplane/dpdk/port_internal.h"

#include "base/errors.h"

#include <errno.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_flow.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MEMIF_BUFFER_BYTES = 2048, /* unless its arguments say otherwise */
	/* 22.11's memif reads where a queue's ring was last time, or would be, when the other end
	 * has come with fewer queues than ours. */
	MEMIF_QUEUES = 1,
};

void port_why(char *why, size_t why_bytes, const struct port *port, const char *what, int rc)
{
	snprintf(why, why_bytes, "port %s: %s: %s", port->options.device, what, error_text(rc));
}

bool port_driver_is(const struct port *port, const char *const *names)
{
	for (; *names; names++) {
		if (strcmp(port->info.driver, *names) == 0)
			return true;
	}
	return false;
}

int port_vdev(char ret[PORT_VDEV_BYTES], const char *vdev, const struct port_options *options,
	      char *why, size_t why_bytes)
{
	static const char memif[] = "net_memif";
	unsigned queues = options->queues_max < options->shard_count ? options->queues_max
								     : options->shard_count;
	bool states = queues > MEMIF_QUEUES && strncmp(vdev, memif, strlen(memif)) == 0 &&
		      !strstr(vdev, ",secret=");
	int length = states ? snprintf(ret, PORT_VDEV_BYTES, "%s,secret=%u-queues", vdev, queues)
			    : snprintf(ret, PORT_VDEV_BYTES, "%s", vdev);

	if (length >= 0 && length < PORT_VDEV_BYTES)
		return 0;
	snprintf(why, why_bytes, "the device's arguments are too long");
	return -ENAMETOOLONG;
}

/* Both ends of these are processes of one host, one to one: nobody learns a MAC from a switch. */
static const char *const point_to_point[] = {"net_memif", "net_ring", "net_null", "net_pcap", NULL};
/* Frames come from a kernel or guest of this host, which may leave checksums to hardware. */
static const char *const local_links[] = {
	"net_af_packet", "net_af_xdp", "net_tap", "net_virtio_user",
	"net_virtio",    "net_vhost",  NULL};
/* They copy what they send, or pass pointers within the process: payload may lie anywhere. */
static const char *const copying[] = {"net_memif", "net_ring", "net_null",
				      "net_tap",   "net_pcap", NULL};
/* net_tap sums up the pieces of a frame as if each began at an even byte. */
static const char *const wrong_checksums[] = {"net_tap", NULL};

int port_device_find(struct port *port, char *why, size_t why_bytes)
{
	struct rte_eth_dev_info device = {0};
	int rc = rte_eth_dev_get_port_by_name(port->options.device, &port->id);

	if (rc == 0)
		rc = rte_eth_dev_info_get(port->id, &device);
	if (rc < 0) {
		port_why(why, why_bytes, port, "no such device", rc);
		return rc;
	}
	port->info.id = port->id;
	port->info.driver = device.driver_name;
	struct rte_ether_addr mac;
	rc = rte_eth_macaddr_get(port->id, &mac);
	if (rc < 0) {
		port_why(why, why_bytes, port, "its MAC address", rc);
		return rc;
	}
	memcpy(port->info.mac, mac.addr_bytes, PACKET_MAC_BYTES);
	port->info.numa_node = rte_eth_dev_socket_id(port->id);
	port->filter.any_mac = port_driver_is(port, point_to_point);
	port->filter.accept_partial = port_driver_is(port, local_links);
	port->direct_memory = !port_driver_is(port, copying);
	return 0;
}

/* It guards against what wires and switches do to a frame on its way, and against delivery to the
 * wrong host.  The transport's own check covers all of its datagram, its session ids are not
 * guessed, and where a frame is only ever copied within a host nothing is left for it to find. */
static bool checksum_dispensable(const struct port *port)
{
	switch (port->options.udp_checksum) {
	case PORT_UDP_CHECKSUM_ALWAYS:
		return false;
	case PORT_UDP_CHECKSUM_DEVICE:
		return true;
	case PORT_UDP_CHECKSUM_AUTO:
		break;
	}
	return port_driver_is(port, point_to_point);
}

/* The offloads that are any use to us, of those that there are. */
static void choose_offloads(struct port *port, const struct rte_eth_dev_info *device)
{
	const uint64_t checksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

	port->rx_offloads = device->rx_offload_capa & checksums;
	/* UDP segmentation offload would need datagrams that differ in length only; ours carry
	 * packet numbers, so the transport cuts messages itself on every device. */
	port->tx_offloads = device->tx_offload_capa &
			    (RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
	if (port_driver_is(port, wrong_checksums))
		port->tx_offloads &= ~RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	port->segments_max = 1;
	if (port->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) {
		port->segments_max = PORT_SEGMENTS_MAX;
		if (device->tx_desc_lim.nb_seg_max &&
		    device->tx_desc_lim.nb_seg_max < PORT_SEGMENTS_MAX)
			port->segments_max = device->tx_desc_lim.nb_seg_max;
	}
	port->info.rx_checksum = port->rx_offloads == checksums;
	port->info.tx_checksum = port->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	port->info.no_udp_checksum = !port->info.tx_checksum && checksum_dispensable(port);
	/* Without an IOMMU the device wants physical addresses, which payload has page by page. */
	port->info.zero_copy = port->segments_max > 1 &&
			       (!port->direct_memory || rte_eal_iova_mode() == RTE_IOVA_VA);
}

static void choose_rss(struct port *port, const struct rte_eth_dev_info *device,
		       struct rte_eth_conf *conf)
{
	conf->rx_adv_conf.rss_conf.rss_hf = device->flow_type_rss_offloads &
					    (RTE_ETH_RSS_IP | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
					     RTE_ETH_RSS_NONFRAG_IPV6_UDP);
	port->info.rss = port->hardware_count > 1 && conf->rx_adv_conf.rss_conf.rss_hf;
	if (port->info.rss)
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
}

static unsigned smallest(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Bytes of a buffer of a memif's ring.  22.11's memif garbles frames that need more than one, so
 * `bsize` has to be a frame's. */
static unsigned memif_buffer_bytes(const struct rte_eth_dev_info *device)
{
	static const char key[] = "bsize=";
	const struct rte_devargs *arguments = rte_dev_devargs(device->device);
	const char *found = arguments && arguments->args ? strstr(arguments->args, key) : NULL;

	return found ? (unsigned)strtoul(found + strlen(key), NULL, 10) : MEMIF_BUFFER_BYTES;
}

/* The largest MTU that rte_eth_dev_configure lets pass. */
static unsigned mtu_limit(const struct rte_eth_dev_info *device)
{
	const unsigned overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
	unsigned limit = device->max_mtu ? device->max_mtu : UINT16_MAX;

	if (device->max_rx_pktlen > overhead)
		limit = smallest(limit, device->max_rx_pktlen - overhead);
	return limit;
}

/* -EINVAL: larger than the device carries, or too small for us. */
static int choose_mtu(struct port *port, const struct rte_eth_dev_info *device)
{
	unsigned limit = mtu_limit(device);
	uint16_t mtu = port->options.mtu;

	if (mtu == 0 && (rte_eth_dev_get_mtu(port->id, &mtu) < 0 || mtu == 0))
		mtu = RTE_ETHER_MTU;
	if (mtu > limit && !port->options.mtu)
		mtu = (uint16_t)limit;
	if (strcmp(port->info.driver, "net_memif") == 0 &&
	    (unsigned)mtu + PORT_LINK_BYTES > memif_buffer_bytes(device))
		return -EINVAL;
	/* A memif says 1500 and carries what fits its ring; others mean it. */
	if (mtu > limit && !port_driver_is(port, point_to_point))
		return -EINVAL;
	/* IPv6 needs 1280 (RFC 8200 5), and so do our handshakes. */
	if (mtu < 1280)
		return -EINVAL;
	port->info.mtu = mtu;
	port->device_mtu = (uint16_t)smallest(mtu, limit);
	port->info.payload_bytes_max = mtu - 40U - 8U;
	return 0;
}

static int configure(struct port *port, const struct rte_eth_dev_info *device, bool interrupts)
{
	struct rte_eth_conf conf = {
		.rxmode = {.mtu = port->device_mtu, .offloads = port->rx_offloads},
		.txmode = {.offloads = port->tx_offloads},
		.intr_conf = {.rxq = interrupts},
	};
	uint16_t queues = port->hardware_count;

	choose_rss(port, device, &conf);
	port->info.interrupts = interrupts;
	return rte_eth_dev_configure(port->id, queues, queues, &conf);
}

int port_device_configure(struct port *port, char *why, size_t why_bytes)
{
	struct rte_eth_dev_info device;
	int rc = rte_eth_dev_info_get(port->id, &device);

	if (rc < 0)
		return rc;
	unsigned queues = smallest(port->shard_count, device.max_rx_queues);
	queues = smallest(queues, device.max_tx_queues);
	if (port->options.queues_max)
		queues = smallest(queues, port->options.queues_max);
	else if (strcmp(port->info.driver, "net_memif") == 0)
		queues = smallest(queues, MEMIF_QUEUES);
	if (queues == 0) {
		port_why(why, why_bytes, port, "queues", -ENOTSUP);
		return -ENOTSUP;
	}
	port->hardware_count = (uint16_t)queues;
	rc = choose_mtu(port, &device);
	if (rc < 0) {
		port_why(why, why_bytes, port, "MTU", rc);
		return rc;
	}
	choose_offloads(port, &device);
	rc = configure(port, &device, !port->options.no_interrupts);
	if (rc < 0 && port->info.interrupts)
		rc = configure(port, &device, false);
	port->rx_descriptors = port->options.rx_descriptors;
	port->tx_descriptors = port->options.tx_descriptors;
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &port->rx_descriptors,
						      &port->tx_descriptors);
	if (rc < 0)
		port_why(why, why_bytes, port, "cannot be configured", rc);
	port->info.queue_count = port->hardware_count;
	return rc;
}

static int set_up_queues(struct port *port, const struct rte_eth_dev_info *device)
{
	struct rte_eth_rxconf rx = device->default_rxconf;
	struct rte_eth_txconf tx = device->default_txconf;
	unsigned socket = port->info.numa_node < 0 ? (unsigned)SOCKET_ID_ANY
						   : (unsigned)port->info.numa_node;

	rx.offloads = port->rx_offloads;
	tx.offloads = port->tx_offloads;
	for (uint16_t i = 0; i < port->hardware_count; i++) {
		int rc = rte_eth_rx_queue_setup(port->id, i, port->rx_descriptors, socket, &rx,
						port->queues[i].rx_pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(port->id, i, port->tx_descriptors, socket, &tx);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* UDP to our port number i goes to its shard's queue, over one of the two IP versions. */
static struct rte_flow *steer(struct port *port, uint16_t index, enum rte_flow_item_type version)
{
	check(port->hardware_count > 0);
	struct rte_flow_attr attributes = {.ingress = 1};
	struct rte_flow_item_udp udp = {
		.hdr.dst_port = rte_cpu_to_be_16((uint16_t)(port->filter.udp_port_first + index)),
	};
	struct rte_flow_item_udp mask = {.hdr.dst_port = RTE_BE16(0xffff)};
	struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		{.type = version},
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	struct rte_flow_action_queue queue = {.index = (uint16_t)(index % port->hardware_count)};
	struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error;

	if (rte_flow_validate(port->id, &attributes, pattern, actions, &error) != 0)
		return NULL;
	return rte_flow_create(port->id, &attributes, pattern, actions, &error);
}

/* All rules or none: half of them would only hide that there is work for the rings. */
static void steer_all(struct port *port)
{
	struct rte_flow_error error;

	if (port->hardware_count == 1)
		return;
	for (uint16_t i = 0; i < port->filter.udp_port_count; i++) {
		if (steer(port, i, RTE_FLOW_ITEM_TYPE_IPV4) &&
		    steer(port, i, RTE_FLOW_ITEM_TYPE_IPV6))
			continue;
		rte_flow_flush(port->id, &error);
		return;
	}
	port->info.steering = true;
}

/* Does the device have the interrupts that it was configured for?  A tap's descriptor is the tap's
 * own: readable for as long as a frame waits, with nothing to arm. */
static void probe_interrupts(struct port *port)
{
	static const char *const level[] = {"net_tap", NULL};

	port->arms_interrupts = !port_driver_is(port, level);
	for (uint16_t i = 0; port->info.interrupts && i < port->hardware_count; i++) {
		if (port->arms_interrupts && (rte_eth_dev_rx_intr_enable(port->id, i) < 0 ||
					      rte_eth_dev_rx_intr_disable(port->id, i) < 0))
			port->info.interrupts = false;
		else if (rte_eth_dev_rx_intr_ctl_q_get_fd(port->id, i) < 0)
			port->info.interrupts = false;
	}
	port->arms_interrupts = port->arms_interrupts && port->info.interrupts;
}

int port_device_begin(struct port *port, char *why, size_t why_bytes)
{
	struct rte_eth_dev_info device;
	int rc = rte_eth_dev_info_get(port->id, &device);

	if (rc == 0)
		rc = set_up_queues(port, &device);
	if (rc < 0) {
		port_why(why, why_bytes, port, "its queues", rc);
		return rc;
	}
	rc = rte_eth_dev_start(port->id);
	if (rc < 0 && port->info.interrupts) {
		rc = configure(port, &device, false);
		if (rc == 0)
			rc = set_up_queues(port, &device);
		if (rc == 0)
			rc = rte_eth_dev_start(port->id);
	}
	if (rc < 0) {
		port_why(why, why_bytes, port, "does not start", rc);
		return rc;
	}
	port->started = true;
	if (port->options.promiscuous)
		rte_eth_promiscuous_enable(port->id);
	/* ND asks in group frames, and the kernel behind us has groups that we do not know. */
	rte_eth_allmulticast_enable(port->id);
	steer_all(port);
	probe_interrupts(port);
	return 0;
}

void port_device_end(struct port *port)
{
	struct rte_flow_error error;

	if (!port->started)
		return;
	if (port->info.steering)
		rte_flow_flush(port->id, &error);
	rte_eth_dev_stop(port->id);
	/* The device gives back the frames that it still holds. */
	rte_eth_dev_close(port->id);
	port->started = false;
}
