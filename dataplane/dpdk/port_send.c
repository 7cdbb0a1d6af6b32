/* From the shard to the device.
 *
 *     port_send:  [ Ethernet .. UDP | header | small pieces ] -> [ large piece ] -> ...
 *                   one mbuf of ours, copied                     attached, no copy
 *     port_turn:  what was collected goes out in one burst
 *
 * An attached piece is an mbuf whose buffer is the shard's memory.  The device frees it when it has
 * sent it, a virtual one maybe on another thread; the free callback puts its attachment into the
 * ring `returned`, and the next port_turn tells the owner. */
#include "dataplane/dpdk/exception.h"
#include "dataplane/dpdk/port_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

enum {
	CLEAN_NS = 1000000,   /* between questions for frames that are done */
	STUCK_NS = 100000000, /* a device that takes nothing for so long has lost its link */
	ASK_NS = 200000000,   /* between questions for one peer */
	STALE_NS = INT64_C(
		30000000000), /* silence after which a peer that we asked for is asked again */
};

/* ---- attached pieces ---- */

static void attachment_freed(void *address, void *opaque)
{
	struct port_attachment *attachment = opaque;

	/* It is larger than all attachments together. */
	check(rte_ring_mp_enqueue(attachment->queue->returned, attachment) == 0);
}

unsigned port_collect_returned(struct port_queue *queue)
{
	void *burst[PORT_BURST];
	unsigned total = 0;
	unsigned count;

	while ((count = rte_ring_sc_dequeue_burst(queue->returned, burst, PORT_BURST, NULL))) {
		for (unsigned i = 0; i < count; i++) {
			struct port_attachment *attachment = burst[i];
			void *reference = attachment->reference;
			attachment->reference = NULL;
			queue->free_attachments[queue->free_attachment_count++] = attachment;
			queue->hooks.release(queue->context, reference);
		}
		total += count;
	}
	return total;
}

static bool in_region(const struct port *port, const void *data, uint32_t length)
{
	uintptr_t start = (uintptr_t)data;

	for (unsigned i = 0; i < port->region_count; i++) {
		if (start >= port->regions[i].start && start < port->regions[i].end)
			return port->regions[i].end - start >= length;
	}
	return false;
}

static bool attachable(const struct port_queue *queue, const struct port_piece *piece)
{
	const struct port *port = queue->port;

	return piece->reference && piece->length > port->options.copy_bytes_max &&
	       port->info.zero_copy && queue->hooks.hold &&
	       (!port->direct_memory || in_region(port, piece->data, piece->length));
}

/* Null: copy it instead. */
static struct rte_mbuf *attach(struct port_queue *queue, const struct port_piece *piece)
{
	if (queue->free_attachment_count == 0) {
		port_count(queue, sent_no_attachment, 1);
		return NULL;
	}
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->attach_pool);
	if (!mbuf) {
		port_count(queue, sent_no_attachment, 1);
		return NULL;
	}
	struct port_attachment *attachment =
		queue->free_attachments[--queue->free_attachment_count];
	attachment->reference = piece->reference;
	attachment->shared.free_cb = attachment_freed;
	attachment->shared.fcb_opaque = attachment;
	rte_mbuf_ext_refcnt_set(&attachment->shared, 1);
	void *data = (void *)(uintptr_t)piece->data;
	rte_pktmbuf_attach_extbuf(mbuf, data, (uintptr_t)data, (uint16_t)piece->length,
				  &attachment->shared);
	mbuf->data_len = (uint16_t)piece->length;
	mbuf->pkt_len = piece->length;
	queue->hooks.hold(queue->context, piece->reference);
	port_count(queue, sent_attached, 1);
	return mbuf;
}

/* ---- a frame ---- */

struct frame {
	struct port_queue *queue;
	struct rte_mbuf *first;
	struct rte_mbuf *last;
	unsigned segments;
};

static void link_segment(struct frame *frame, struct rte_mbuf *mbuf)
{
	frame->last->next = mbuf;
	frame->last = mbuf;
	frame->segments++;
	frame->first->nb_segs++;
}

/* False: no buffer, or the device takes no more of them. */
static bool put_copied(struct frame *frame, const void *data, uint32_t length)
{
	while (length) {
		uint32_t room = RTE_MBUF_HAS_EXTBUF(frame->last)
					? 0
					: rte_pktmbuf_tailroom(frame->last);
		if (room == 0) {
			if (frame->segments == frame->queue->port->segments_max)
				return false;
			struct rte_mbuf *mbuf = rte_pktmbuf_alloc(frame->queue->tx_pool);
			if (!mbuf)
				return false;
			link_segment(frame, mbuf);
			continue;
		}
		uint32_t here = length < room ? length : room;
		memcpy(rte_pktmbuf_mtod_offset(frame->last, char *, frame->last->data_len), data,
		       here);
		frame->last->data_len = (uint16_t)(frame->last->data_len + here);
		frame->first->pkt_len += here;
		data = (const char *)data + here;
		length -= here;
	}
	return true;
}

static bool put_piece(struct frame *frame, const struct port_piece *piece)
{
	struct port_queue *queue = frame->queue;

	/* One segment stays free, for what may have to be copied behind it. */
	if (attachable(queue, piece) && frame->segments + 1 < queue->port->segments_max) {
		struct rte_mbuf *mbuf = attach(queue, piece);
		if (mbuf) {
			link_segment(frame, mbuf);
			frame->first->pkt_len += piece->length;
			return true;
		}
	}
	port_count(queue, sent_copied_bytes, piece->length);
	return put_copied(frame, piece->data, piece->length);
}

/* The offload flags, and the way in which the UDP checksum is made. */
static enum packet_checksum choose_checksum(const struct port *port, const struct packet_path *path,
					    struct rte_mbuf *mbuf)
{
	if (port->info.tx_checksum) {
		mbuf->tx_offload = rte_mbuf_tx_offload(path->l2_bytes, path->ipv6 ? 40 : 20, 0, 0,
						       0, 0, 0);
		mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM |
				  (path->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
		return PACKET_CHECKSUM_PARTIAL;
	}
	return port->info.no_udp_checksum ? PACKET_CHECKSUM_NONE : PACKET_CHECKSUM_FULL;
}

static void put_headers(struct port_queue *queue, const struct packet_path *path,
			uint16_t peer_port, struct rte_mbuf *mbuf, const void *header,
			uint32_t header_bytes, const struct port_piece *pieces, unsigned count,
			uint32_t payload_bytes)
{
	uint8_t *at = rte_pktmbuf_mtod(mbuf, uint8_t *);
	enum packet_checksum checksum = choose_checksum(queue->port, path, mbuf);
	struct packet_piece payload[PORT_PIECES_MAX + 1];
	unsigned payload_count = 0;

	if (checksum == PACKET_CHECKSUM_FULL || path->ipv6) {
		payload[payload_count++] = (struct packet_piece){.data = header,
								 .length = header_bytes};
		for (unsigned i = 0; i < count; i++)
			payload[payload_count++] = (struct packet_piece){
				.data = pieces[i].data,
				.length = pieces[i].length,
			};
	}
	packet_build(path, peer_port, payload, payload_count, payload_bytes, checksum, at);
	rte_pktmbuf_append(mbuf, path->header_bytes);
}

/* A buffer of tx_pool; null: there is none. */
static struct rte_mbuf *take_buffer(struct port_queue *queue)
{
	if (likely(queue->spare_count))
		return queue->spare[--queue->spare_count];
	if (unlikely(rte_pktmbuf_alloc_bulk(queue->tx_pool, queue->spare, PORT_BURST) != 0))
		return rte_pktmbuf_alloc(queue->tx_pool); /* there are fewer */
	queue->spare_count = PORT_BURST - 1;
	return queue->spare[PORT_BURST - 1];
}

/* One buffer of ours, whatever references there are.  Null: there is none. */
static struct rte_mbuf *make_small_frame(struct port_queue *queue, const struct packet_path *path,
					 uint16_t peer_port, const void *header,
					 uint32_t header_bytes, const struct port_piece *pieces,
					 unsigned count, uint32_t payload_bytes)
{
	struct rte_mbuf *mbuf = take_buffer(queue);

	if (unlikely(!mbuf))
		return NULL;
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	struct packet_piece payload = {frame + path->header_bytes, payload_bytes};
	uint8_t *at = mempcpy(frame + path->header_bytes, header, header_bytes);
	for (unsigned i = 0; i < count; i++)
		at = mempcpy(at, pieces[i].data, pieces[i].length);
	packet_build(path, peer_port, &payload, 1, payload_bytes,
		     choose_checksum(queue->port, path, mbuf), frame);
	mbuf->data_len = (uint16_t)(path->header_bytes + payload_bytes);
	mbuf->pkt_len = mbuf->data_len;
	port_count(queue, sent_copied_bytes, payload_bytes - header_bytes);
	return mbuf;
}

/* Null: no buffers; what was attached is given back by way of the ring. */
static struct rte_mbuf *make_frame(struct port_queue *queue, const struct packet_path *path,
				   uint16_t peer_port, const void *header, uint32_t header_bytes,
				   const struct port_piece *pieces, unsigned count,
				   uint32_t payload_bytes)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->tx_pool);
	struct frame frame = {.queue = queue, .first = mbuf, .last = mbuf, .segments = 1};

	if (!mbuf)
		return NULL;
	put_headers(queue, path, peer_port, mbuf, header, header_bytes, pieces, count,
		    payload_bytes);
	bool whole = put_copied(&frame, header, header_bytes);
	for (unsigned i = 0; whole && i < count; i++)
		whole = put_piece(&frame, &pieces[i]);
	if (whole)
		return mbuf;
	rte_pktmbuf_free(mbuf);
	return NULL;
}

/* ---- asking for peers ---- */

static bool same_network(const struct port_ip *own, const uint8_t *ip)
{
	unsigned bits = own->prefix_bits + (packet_ip_is_v4(own->ip) ? 96U : 0U);
	unsigned bytes = bits / 8;

	if (memcmp(own->ip, ip, bytes) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	return ((own->ip[bytes] ^ ip[bytes]) >> (8 - bits % 8)) == 0;
}

static const uint8_t *next_hop(const struct port *port, const uint8_t *ip, uint16_t local)
{
	static const uint8_t none[PACKET_IP_BYTES];
	const uint8_t *gateway = packet_ip_is_v4(ip) ? port->options.gateway_v4
						     : port->options.gateway_v6;

	if (same_network(&port->addresses[local], ip) || memcmp(gateway, none, sizeof(none)) == 0)
		return ip;
	return gateway;
}

void port_ask(struct port_queue *queue, const uint8_t *ip, uint16_t local, uint64_t now_ns)
{
	const uint8_t *hop = next_hop(queue->port, ip, local);
	struct neighbour *neighbour = neighbours_want(queue->neighbours, ip, local, hop, now_ns);

	if (neighbour->asked_ns && now_ns - neighbour->asked_ns < ASK_NS)
		return;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(queue->tx_pool);
	if (!mbuf)
		return;
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t bytes = neighbour_build_question(&queue->port->filter, local, hop, frame);
	rte_pktmbuf_append(mbuf, (uint16_t)bytes);
	if (!port_collect(queue, mbuf)) {
		rte_pktmbuf_free(mbuf);
		return;
	}
	neighbour->asked_ns = now_ns | 1; /* 0 would mean that it was not */
	port_count(queue, neighbour_questions_out, 1);
}

static const struct packet_path *path_to(struct port_queue *queue, const struct port_address *to,
					 uint64_t now_ns)
{
	struct neighbour *neighbour = neighbours_find(queue->neighbours, to->ip, to->local);

	if (!neighbour || !neighbour->known) {
		port_ask(queue, to->ip, to->local, now_ns);
		return NULL;
	}
	if (unlikely(now_ns > neighbour->heard_ns && now_ns - neighbour->heard_ns > STALE_NS))
		port_ask(queue, to->ip, to->local, now_ns);
	return &neighbour->path;
}

/* ---- sending ---- */

static int count_bytes(const struct port *port, const struct packet_path *path,
		       uint32_t header_bytes, const struct port_piece *pieces, unsigned count,
		       uint32_t *ret)
{
	uint32_t max = port->info.payload_bytes_max + (path->ipv6 ? 0 : 20);
	uint64_t bytes = header_bytes;

	for (unsigned i = 0; i < count; i++)
		bytes += pieces[i].length;
	if (bytes > max)
		return -EMSGSIZE;
	*ret = (uint32_t)bytes;
	return 0;
}

int port_send(struct port_queue *queue, const struct port_address *to, const void *header,
	      uint32_t header_bytes, const struct port_piece *pieces, unsigned piece_count,
	      uint64_t now_ns)
{
	uint32_t bytes = 0;

	if (piece_count > PORT_PIECES_MAX || to->local >= queue->port->info.address_count)
		return -EINVAL;
	if (queue->pending_count == PORT_PENDING) {
		port_flush(queue);
		if (queue->pending_count == PORT_PENDING) {
			port_count(queue, send_full, 1);
			return -EAGAIN;
		}
	}
	const struct packet_path *path = path_to(queue, to, now_ns);
	if (!path) {
		port_count(queue, send_no_neighbour, 1);
		return -EHOSTUNREACH;
	}
	int rc = count_bytes(queue->port, path, header_bytes, pieces, piece_count, &bytes);
	if (rc < 0)
		return rc;
	/* Nothing so small is attached, and a buffer has room for the MTU. */
	struct rte_mbuf *mbuf;
	if (likely(bytes <= queue->port->options.copy_bytes_max))
		mbuf = make_small_frame(queue, path, to->port, header, header_bytes, pieces,
					piece_count, bytes);
	else
		mbuf = make_frame(queue, path, to->port, header, header_bytes, pieces, piece_count,
				  bytes);
	if (!mbuf) {
		port_count(queue, send_no_mbuf, 1);
		return -ENOBUFS;
	}
	/* A question about a stale peer may have taken the last place. */
	if (!port_collect(queue, mbuf)) {
		rte_pktmbuf_free(mbuf);
		port_count(queue, send_full, 1);
		return -EAGAIN;
	}
	return 0;
}

/* Frees the first frame that the device refuses for what it is.  False: there is none. */
static bool drop_refused(struct port_queue *queue, unsigned prepared)
{
	if (prepared == queue->pending_count)
		return false;
	struct rte_mbuf *refused = queue->pending[prepared];
	unsigned behind = queue->pending_count - prepared;
	port_shift(queue->pending + prepared, &behind, 1);
	queue->pending_count--;
	rte_pktmbuf_free(refused);
	port_count(queue, send_refused, 1);
	return true;
}

/* Bytes are counted before the device owns, and perhaps frees, the frames. */
static uint64_t bytes_of(struct rte_mbuf *const *mbufs, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += mbufs[i]->pkt_len;
	return bytes;
}

static void flush_to_device(struct port_queue *queue)
{
	const struct port *port = queue->port;

	/* Offloads want the headers as the device expects them. */
	if (port->info.tx_checksum) {
		unsigned prepared;
		do {
			prepared = rte_eth_tx_prepare(port->id, queue->hardware, queue->pending,
						      (uint16_t)queue->pending_count);
		} while (drop_refused(queue, prepared));
	}
	uint64_t bytes = bytes_of(queue->pending, queue->pending_count);
	unsigned sent = rte_eth_tx_burst(port->id, queue->hardware, queue->pending,
					 (uint16_t)queue->pending_count);
	port_shift(queue->pending, &queue->pending_count, sent);
	if (queue->pending_count)
		bytes -= bytes_of(queue->pending, queue->pending_count);
	port_count(queue, sent, sent);
	port_count(queue, sent_bytes, bytes);
}

/* The shard that owns the device's queue sends for us. */
static void flush_to_peer(struct port_queue *queue)
{
	unsigned sent = rte_ring_sp_enqueue_burst(queue->sent_out, (void **)queue->pending,
						  queue->pending_count, NULL);

	port_shift(queue->pending, &queue->pending_count, sent);
	port_count(queue, send_through_peer, sent);
	if (sent && queue->hooks.wake)
		queue->hooks.wake(queue->context, queue->hardware);
}

void port_flush(struct port_queue *queue)
{
	if (queue->pending_count == 0)
		return;
	if (queue->owns_hardware)
		flush_to_device(queue);
	else
		flush_to_peer(queue);
}

/* Frames of shards that send through us. */
static unsigned take_from_peers(struct port_queue *queue)
{
	const struct port *port = queue->port;
	unsigned taken = 0;

	for (unsigned i = port->hardware_count + queue->hardware; i < port->shard_count; i++) {
		const struct port_queue *peer = &port->queues[i];
		if (peer->hardware != queue->hardware)
			continue;
		unsigned count = rte_ring_sc_dequeue_burst(
			peer->sent_out, (void **)(queue->pending + queue->pending_count),
			PORT_PENDING - queue->pending_count, NULL);
		queue->pending_count += count;
		taken += count;
		if (queue->pending_count == PORT_PENDING)
			port_flush(queue);
	}
	return taken;
}

/* A device without a link takes nothing, and what waits for it is stale by the time it does. */
static void give_up_stuck(struct port_queue *queue, uint64_t now_ns)
{
	if (queue->pending_count == 0) {
		queue->progress_ns = now_ns;
		return;
	}
	if (now_ns - queue->progress_ns < STUCK_NS)
		return;
	port_count(queue, send_refused, queue->pending_count);
	rte_pktmbuf_free_bulk(queue->pending, queue->pending_count);
	queue->pending_count = 0;
	queue->progress_ns = now_ns;
}

unsigned port_turn(struct port_queue *queue, uint64_t now_ns)
{
	struct port *port = queue->port;
	unsigned done = 0;

	if (queue->owns_hardware) {
		if (port->exception)
			done += exception_turn(port->exception, queue);
		if (port->hardware_count < port->shard_count)
			done += take_from_peers(queue);
	}
	unsigned waiting = queue->pending_count;
	port_flush(queue);
	done += waiting - queue->pending_count;
	if (waiting != queue->pending_count)
		queue->progress_ns = now_ns;
	give_up_stuck(queue, now_ns);
	if (port_queue_held(queue) && queue->owns_hardware &&
	    now_ns - queue->cleaned_ns >= CLEAN_NS) {
		queue->cleaned_ns = now_ns;
		/* Devices without it free with the next burst. */
		rte_eth_tx_done_cleanup(port->id, queue->hardware, 0);
	}
	done += port_collect_returned(queue);
	if (queue->released_count)
		port_release_all(queue);
	return done;
}
