/* From the device to the shard.
 *
 *     rx burst -> parse -> ours, our shard's  -> caller
 *                          ours, another's    -> ring `handed`, and at the end one wake-up each
 *                          the kernel's       -> exception path (or answered here: ARP, ND)
 *                          neither            -> freed and counted by reason
 *
 * A frame from a ring is parsed again by its new owner: it lies in another core's cache either way,
 * and nothing has to travel beside the mbuf.  The checksums are not computed twice; the first
 * parse leaves in the mbuf that they hold. */
#include "dataplane/dpdk/exception.h"
#include "dataplane/dpdk/port_internal.h"

#include <rte_prefetch.h>
#include <string.h>

enum { PREFETCH_AHEAD = 4 };

static void discard(struct port_queue *queue, struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
	port_count(queue, received_dropped, 1);
}

/* Null: there are too many. */
static unsigned pieces_of(const struct rte_mbuf *mbuf, struct packet_piece *ret)
{
	unsigned count = 0;

	for (; mbuf; mbuf = mbuf->next) {
		if (count == PORT_SEGMENTS_MAX)
			return 0;
		ret[count++] = (struct packet_piece){
			.data = rte_pktmbuf_mtod(mbuf, const uint8_t *),
			.length = mbuf->data_len,
		};
	}
	return count;
}

static unsigned checked_of(const struct rte_mbuf *mbuf)
{
	unsigned checked = 0;

	/* "Bad" is checked again: some devices say so of a UDP checksum of 0. */
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		checked |= PACKET_IP_CHECKED;
	if ((mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		checked |= PACKET_UDP_CHECKED;
	return checked;
}

/* The payload into one buffer of our own.  Null: none is free, or it is larger than the MTU. */
static struct rte_mbuf *linearise(struct port_queue *queue, const struct rte_mbuf *mbuf,
				  const struct packet *packet)
{
	struct rte_mempool *pool = queue->rx_pool ? queue->rx_pool : queue->tx_pool;
	struct rte_mbuf *whole = rte_pktmbuf_alloc(pool);

	if (!whole)
		return NULL;
	char *to = rte_pktmbuf_append(whole, (uint16_t)packet->payload_length);
	if (!to) {
		rte_pktmbuf_free(whole);
		return NULL;
	}
	const void *from = rte_pktmbuf_read(mbuf, packet->payload_offset, packet->payload_length,
					    to);
	if (from && from != to)
		memcpy(to, from, packet->payload_length);
	return whole;
}

static void hear(struct port_queue *queue, const struct packet *packet, uint64_t now_ns)
{
	if (neighbours_heard(queue->neighbours, packet->ip, packet->local, &packet->link, now_ns))
		port_count(queue, neighbour_moves, 1);
}

/* True: *ret is the caller's. */
static inline bool take(struct port_queue *queue, struct rte_mbuf *mbuf,
			const struct packet *packet, struct port_datagram *ret)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *) + packet->payload_offset;

	if (packet->payload_offset + packet->payload_length > mbuf->data_len) {
		struct rte_mbuf *whole = linearise(queue, mbuf, packet);
		if (!whole) {
			discard(queue, mbuf);
			port_count(queue, received_no_mbuf, 1);
			return false;
		}
		rte_pktmbuf_free(mbuf);
		port_count(queue, received_linearised, 1);
		mbuf = whole;
		data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	}
	ret->data = data;
	ret->length = packet->payload_length;
	memcpy(ret->from.ip, packet->ip, PACKET_IP_BYTES);
	ret->from.port = packet->port;
	ret->from.local = packet->local;
	ret->packet = mbuf;
	port_count(queue, received_ours, 1);
	port_count(queue, received_bytes, packet->payload_length);
	return true;
}

static bool hand_over(struct port_queue *queue, struct rte_mbuf *mbuf, unsigned shard)
{
	struct rte_ring *ring = port_handed(queue->port, queue->hardware, shard);

	if (rte_ring_sp_enqueue(ring, mbuf) != 0)
		return false;
	queue->woken[shard / 64] |= UINT64_C(1) << (shard % 64);
	return true;
}

void port_wake_others(struct port_queue *queue)
{
	for (unsigned i = 0; i < RTE_DIM(queue->woken); i++) {
		while (queue->woken[i]) {
			unsigned bit = (unsigned)__builtin_ctzll(queue->woken[i]);
			queue->woken[i] &= queue->woken[i] - 1;
			if (queue->hooks.wake)
				queue->hooks.wake(queue->context, i * 64 + bit);
		}
	}
}

static void to_its_shard(struct port_queue *queue, struct rte_mbuf *mbuf, unsigned shard)
{
	mbuf->ol_flags = (mbuf->ol_flags &
			  ~(RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)) |
			 RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (hand_over(queue, mbuf, shard)) {
		port_count(queue, handed_over, 1);
		return;
	}
	discard(queue, mbuf);
	port_count(queue, handed_over_dropped, 1);
}

/* ---- ARP and ND ---- */

static void answer(struct port_queue *queue, const struct neighbour_message *question)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->tx_pool);

	if (!mbuf) {
		port_count(queue, send_no_mbuf, 1);
		return;
	}
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t bytes = neighbour_build_answer(&queue->port->filter, question, frame);
	rte_pktmbuf_append(mbuf, (uint16_t)bytes);
	if (!port_collect(queue, mbuf)) {
		rte_pktmbuf_free(mbuf);
		port_count(queue, send_full, 1);
		return;
	}
	port_count(queue, neighbour_questions_in, 1);
}

/* Whoever asked may be another shard: each gets a copy. */
static void tell_others(struct port_queue *queue, const struct rte_mbuf *mbuf)
{
	for (unsigned shard = 0; shard < queue->port->shard_count; shard++) {
		if (shard == queue->index)
			continue;
		struct rte_mbuf *copy = rte_pktmbuf_copy(mbuf, queue->tx_pool, 0, UINT32_MAX);
		if (copy && !hand_over(queue, copy, shard))
			rte_pktmbuf_free(copy);
	}
}

static void heed_neighbour(struct port_queue *queue, const struct rte_mbuf *mbuf, bool handed,
			   uint64_t now_ns)
{
	struct neighbour_message message;
	uint8_t gathered[NEIGHBOUR_FRAME_BYTES];
	uint32_t bytes = mbuf->pkt_len;

	if (bytes > sizeof(gathered))
		bytes = sizeof(gathered);
	const uint8_t *frame = rte_pktmbuf_read(mbuf, 0, bytes, gathered);
	if (!frame)
		return;
	neighbour_parse(&queue->port->filter, frame, bytes, &message);
	if (message.kind == NEIGHBOUR_ANSWER) {
		unsigned answered = neighbours_answered(queue->neighbours, message.target,
							&message.link, now_ns);
		port_count(queue, neighbour_answers, answered);
		if (!handed)
			tell_others(queue, mbuf);
	} else if (message.kind == NEIGHBOUR_QUESTION && !handed && !queue->port->exception) {
		answer(queue, &message);
	}
}

static void not_ours(struct port_queue *queue, struct rte_mbuf *mbuf, const struct packet *packet,
		     bool handed, uint64_t now_ns)
{
	if (packet->neighbour)
		heed_neighbour(queue, mbuf, handed, now_ns);
	if (queue->port->exception && !handed) {
		exception_give(queue->port->exception, queue, mbuf);
		return;
	}
	rte_pktmbuf_free(mbuf);
	if (!packet->neighbour)
		port_count(queue, kernel_dropped, 1);
}

/* ---- one frame, one burst ---- */

/* Where the flow of an untagged IPv4 datagram would be; null: the frame can be none that flows
 * know. Flows that fall together take turns in the place. */
static struct port_flow *flow_of(struct port_queue *queue, const struct rte_mbuf *mbuf)
{
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);

	if (mbuf->nb_segs != 1 || mbuf->data_len < PACKET_FLOW_BYTES ||
	    mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		return NULL;
	/* The ends of the sender's address and port. */
	unsigned sender = load_be16(frame + 28) ^ load_be16(frame + 34);
	return &queue->flows[(sender ^ sender >> 8) % PORT_FLOWS];
}

/* True: *ret is filled.  Of any frame; `flow`: its flow_of. */
static bool receive_any(struct port_queue *queue, struct rte_mbuf *mbuf, struct port_flow *flow,
			bool handed, uint64_t now_ns, struct port_datagram *ret)
{
	struct packet_piece pieces[PORT_SEGMENTS_MAX];
	struct packet packet;

	if (unlikely(mbuf->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && rte_vlan_insert(&mbuf) < 0) {
		discard(queue, mbuf);
		return false;
	}
	unsigned count = pieces_of(mbuf, pieces);
	if (unlikely(count == 0)) {
		discard(queue, mbuf);
		port_count(queue, received_segments, 1);
		return false;
	}
	packet_parse(&queue->port->filter, pieces, count, checked_of(mbuf), &packet);
	if (unlikely(packet.verdict == PACKET_DROP)) {
		discard(queue, mbuf);
		port_count(queue, drops[packet.drop], 1);
		return false;
	}
	if (unlikely(packet.verdict == PACKET_KERNEL)) {
		not_ours(queue, mbuf, &packet, handed, now_ns);
		return false;
	}
	if (packet.port_index != queue->index) {
		to_its_shard(queue, mbuf, packet.port_index);
		return false;
	}
	hear(queue, &packet, now_ns);
	if (flow) {
		packet_flow_learn(&flow->frames, pieces[0].data, &packet);
		flow->heard_ns = now_ns;
	}
	return take(queue, mbuf, &packet, ret);
}

/* True: *ret is filled. */
static bool receive_one(struct port_queue *queue, struct rte_mbuf *mbuf, bool handed,
			uint64_t now_ns, struct port_datagram *ret)
{
	struct port_flow *flow = flow_of(queue, mbuf);

	if (!flow || !packet_flow_next(&flow->frames, rte_pktmbuf_mtod(mbuf, const uint8_t *),
				       mbuf->data_len, checked_of(mbuf)))
		return receive_any(queue, mbuf, flow, handed, now_ns, ret);
	/* Once a burst is enough for the way back. */
	if (flow->heard_ns != now_ns)
		hear(queue, &flow->frames.packet, now_ns);
	flow->heard_ns = now_ns;
	return take(queue, mbuf, &flow->frames.packet, ret);
}

static unsigned receive_all(struct port_queue *queue, struct rte_mbuf **mbufs, unsigned count,
			    bool handed, uint64_t now_ns, struct port_datagram *ret)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < count && i < PREFETCH_AHEAD; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (unsigned i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		taken += receive_one(queue, mbufs[i], handed, now_ns, ret + taken);
	}
	return taken;
}

static unsigned receive_handed(struct port_queue *queue, struct port_datagram *ret, unsigned max,
			       uint64_t now_ns)
{
	const struct port *port = queue->port;
	struct rte_mbuf *mbufs[PORT_BURST];
	unsigned taken = 0;

	for (unsigned from = 0; from < port->hardware_count && taken < max; from++) {
		struct rte_ring *ring = port_handed(port, from, queue->index);
		if (!ring)
			continue;
		unsigned want = max - taken < PORT_BURST ? max - taken : PORT_BURST;
		unsigned count = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, want, NULL);
		unsigned ours = receive_all(queue, mbufs, count, true, now_ns, ret + taken);
		port_count(queue, handed_over_in, ours);
		taken += ours;
	}
	return taken;
}

unsigned port_receive(struct port_queue *queue, struct port_datagram *ret, unsigned max,
		      uint64_t now_ns)
{
	struct rte_mbuf *mbufs[PORT_BURST];
	unsigned taken = 0;

	if (queue->port->shard_count > 1)
		taken = receive_handed(queue, ret, max, now_ns);
	if (!queue->owns_hardware || taken == max)
		return taken;
	unsigned want = max - taken < PORT_BURST ? max - taken : PORT_BURST;
	unsigned count = rte_eth_rx_burst(queue->port->id, queue->hardware, mbufs, (uint16_t)want);
	if (count == 0)
		return taken;
	port_count(queue, received, count);
	taken += receive_all(queue, mbufs, count, false, now_ns, ret + taken);
	if (queue->port->shard_count > 1)
		port_wake_others(queue);
	return taken;
}

void port_release_all(struct port_queue *queue)
{
	rte_pktmbuf_free_bulk(queue->released, queue->released_count);
	queue->released_count = 0;
}

/* A pool takes many back for little more than one. */
void port_release(struct port_queue *queue, void *packet)
{
	if (queue->released_count == PORT_BURST)
		port_release_all(queue);
	queue->released[queue->released_count++] = packet;
}
