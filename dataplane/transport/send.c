/* Everything that leaves an endpoint, and what decides when.
 *
 * Lost segments go before new ones; among slots with new ones turns are taken, a segment each, so
 * that a small request is not stuck behind a large one.  A numbered packet needs room in the peer's
 * window (packets), in the congestion window (bytes) and a token of the pacer; one that only
 * acknowledges needs none of these.  Each packet carries the newest acknowledgement, so that one is
 * owed no more once anything has left. */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"

#include <errno.h>
#include <string.h>

/* ---- messages as segments ---- */

int pieces_sum(const struct transport_piece *pieces, uint32_t piece_count, uint32_t *ret)
{
	uint64_t length = 0;

	if (piece_count > TRANSPORT_PIECES_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < piece_count; i++)
		length += pieces[i].length;
	if (length > UINT32_MAX)
		return -ERR_TOO_LARGE;
	*ret = (uint32_t)length;
	return 0;
}

void outbound_release(struct transport_session *session, struct outbound *out)
{
	const struct transport_hooks *hooks = &session->transport->hooks;

	out->segments_unacked = 0;
	if (!out->referenced)
		return;
	out->referenced = false;
	hooks->released(hooks->context, out->owner);
}

/* The pieces of `bytes` at `offset`; at most as many as the message has. */
static uint32_t gather(struct outbound *out, uint32_t offset, uint32_t bytes,
		       struct transport_piece *ret)
{
	uint32_t count = 0;

	if (offset < out->cursor_offset) {
		out->cursor_offset = 0;
		out->cursor_piece = 0;
	}
	while (bytes) {
		const struct transport_piece *piece = &out->pieces[out->cursor_piece];
		uint32_t inside = offset - out->cursor_offset;

		if (inside >= piece->length) {
			out->cursor_offset += piece->length;
			out->cursor_piece++;
			continue;
		}
		uint32_t part = piece->length - inside < bytes ? piece->length - inside : bytes;
		ret[count++] = (struct transport_piece){
			.data = (const uint8_t *)piece->data + inside,
			.reference = piece->reference,
			.length = part,
		};
		offset += part;
		bytes -= part;
	}
	return count;
}

/* ---- emission ---- */

__attribute__((always_inline)) static inline bool emit(struct transport *transport,
						       const struct transport_address *to,
						       uint8_t *header, size_t header_bytes,
						       const struct transport_piece *pieces,
						       uint32_t piece_count, uint32_t bytes)
{
	struct transport_datagram datagram = {
		.to = to,
		.header = header,
		.pieces = pieces,
		.header_bytes = (uint32_t)header_bytes,
		.piece_count = piece_count,
		.bytes = bytes,
	};

	packet_seal(header, header_bytes, pieces, piece_count);
	if (!transport->hooks.emit(transport->hooks.context, &datagram)) {
		count_of(transport, emit_refused, 1);
		return false;
	}
	count_of(transport, datagrams_sent, 1);
	count_of(transport, bytes_sent, bytes);
	return true;
}

bool send_plain(struct transport *transport, const struct transport_address *to, uint8_t *header,
		size_t header_bytes, size_t bytes)
{
	static const uint8_t zeros[PACKET_DATAGRAM_BYTES_MAX];
	struct transport_piece padding = {.data = zeros,
					  .length = (uint32_t)(bytes - header_bytes)};

	return emit(transport, to, header, header_bytes, &padding, padding.length ? 1 : 0,
		    (uint32_t)bytes);
}

/* The part of a header that every packet of an open session has. */
static inline void fill_common(struct transport_session *session, struct packet *packet)
{
	const struct acks *acks = &session->acks;

	packet->window = session->transport->window;
	packet->session = session->peer_id;
	if (acks->largest) {
		uint64_t delay_us = (session->transport->now_ns - acks->largest_ns) / 1000;

		packet->flags |= PACKET_HAS_ACK;
		packet->ack_largest = (uint32_t)acks->largest;
		packet->ack_bitmap = acks->bitmap;
		packet->ack_delay_us = delay_us < UINT16_MAX ? (uint16_t)delay_us : UINT16_MAX;
	}
}

/* A session in acks_due owes something. */
static inline void nothing_owed(struct transport_session *session)
{
	if (!session->acks.owed)
		return;
	session->acks.owed = 0;
	if (list_linked(&session->ack_link))
		list_remove(&session->ack_link);
}

static inline void note_sent(struct transport_session *session, const struct packet *packet,
			     uint32_t segment, uint32_t bytes)
{
	struct sent_packet *place = sent_place(&session->sent);
	uint64_t now_ns = session->transport->now_ns;

	place->sent_ns = now_ns;
	place->sequence = packet->sequence;
	place->segment = segment;
	place->slot = packet->slot;
	place->bytes = (uint16_t)bytes;
	sent_note(&session->sent);
	/* Later ones only move the deadline away, and it is more than a round trip away. */
	if (session->sent.count == 1 &&
	    (!session->timer.place || session->timer.due_ns > now_ns + session->rtt.smoothed_ns))
		session_arm(session, recovery_due_ns(session));
	nothing_owed(session);
}

static bool emit_segment(struct transport_session *session, uint16_t slot, struct outbound *out,
			 uint32_t segment, uint8_t flags)
{
	struct transport_piece pieces[TRANSPORT_PIECES_MAX];
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	uint32_t offset = segment * session->segment_bytes;
	uint32_t left = out->length - offset;
	uint32_t payload = left < session->segment_bytes ? left : session->segment_bytes;
	struct packet packet = {
		.type = PACKET_DATA,
		.flags = flags,
		.slot = slot,
		.number = sent_number(&session->sent),
		.sequence = out->sequence,
		.length = out->length,
		.offset = offset,
	};

	if (session->server)
		packet.flags |= PACKET_RESPONSE;
	if (out->abort)
		packet.flags |= PACKET_ABORT;
	fill_common(session, &packet);
	packet_encode(header, &packet);
	const struct transport_piece *from = out->pieces;
	uint32_t piece_count = out->piece_count;
	if (payload < out->length || piece_count > 1) {
		from = pieces;
		piece_count = gather(out, offset, payload, pieces);
	}
	if (!emit(session->transport, &session->address, header, PACKET_DATA_BYTES, from,
		  piece_count, PACKET_DATA_BYTES + payload))
		return false;
	note_sent(session, &packet, out->abort ? SENT_SEGMENT_ABORT : segment,
		  PACKET_DATA_BYTES + payload);
	return true;
}

/* ---- what may leave ---- */

/* A session whose datagram the port refused is tried again by the next turn. */
static void blocked(struct transport_session *session)
{
	if (!list_linked(&session->blocked_link))
		list_push_back(&session->transport->blocked, &session->blocked_link);
}

static inline bool may_send(struct transport_session *session, uint32_t bytes)
{
	struct sent *sent = &session->sent;
	uint64_t due_ns;

	if (sent->count >= session->peer_window || sent_full(sent)) {
		if (!session->peer_window && !sent->count && !session->probing) {
			session->probing = true;
			session->probe_from_ns = session->transport->now_ns;
			session_arm(session, recovery_due_ns(session));
		}
		return false;
	}
	session->window_backoff = 0;
	if (sent->bytes + bytes > session->congestion.window)
		return false;
	if (!pacer_take(&session->pacer, bytes, session->congestion.window,
			session->rtt.smoothed_ns, session->transport->now_ns, &due_ns)) {
		session->pace_due_ns = due_ns;
		session_arm(session, due_ns);
		return false;
	}
	return true;
}

static uint32_t segment_size(const struct transport_session *session, const struct outbound *out,
			     uint32_t segment)
{
	uint32_t left = out->length - segment * session->segment_bytes;

	return PACKET_DATA_BYTES + (left < session->segment_bytes ? left : session->segment_bytes);
}

/* The message that a lost segment belongs to, unless that has been overtaken. */
static struct outbound *lost_outbound(struct transport_session *session,
				      const struct lost_segment *lost)
{
	struct outbound *out = &session->slots[lost->slot].out;

	return out->segments_unacked && out->sequence == lost->sequence &&
			       out->abort == (lost->segment == SENT_SEGMENT_ABORT)
		       ? out
		       : NULL;
}

enum sending {
	SENDING_DONE,
	SENDING_SKIPPED,
	SENDING_HELD,
};

/* The first of the lost segments. */
static enum sending send_lost(struct transport_session *session, bool forced)
{
	struct lost_segment *lost = &session->lost[session->lost_first];
	struct outbound *out = lost_outbound(session, lost);
	enum sending result = SENDING_SKIPPED;

	if (out) {
		uint32_t segment = out->abort ? 0 : lost->segment;
		uint32_t bytes = segment_size(session, out, segment);

		if (forced ? sent_full(&session->sent) : !may_send(session, bytes))
			return SENDING_HELD;
		if (!emit_segment(session, lost->slot, out, segment, forced ? PACKET_ACK_NOW : 0)) {
			if (!forced)
				pacer_return(&session->pacer, bytes);
			blocked(session);
			return SENDING_HELD;
		}
		count_of(session->transport, segments_retransmitted, 1);
		result = SENDING_DONE;
	}
	session->lost_first = (session->lost_first + 1) & session->transport->lost_mask;
	session->lost_count--;
	return result;
}

/* The next segment of the slot whose turn it is. */
static bool send_new(struct transport_session *session)
{
	uint64_t behind = session->ready & (UINT64_MAX << session->ready_after);
	unsigned slot = (unsigned)__builtin_ctzll(behind ? behind : session->ready);
	struct outbound *out = &session->slots[slot].out;
	uint32_t bytes = segment_size(session, out, out->segment_next);

	if (!may_send(session, bytes))
		return false;
	if (!emit_segment(session, (uint16_t)slot, out, out->segment_next, 0)) {
		pacer_return(&session->pacer, bytes);
		blocked(session);
		return false;
	}
	session->ready_after = (slot + 1) & (PACKET_SLOTS_MAX - 1);
	if (++out->segment_next == out->segment_count)
		session->ready &= ~(UINT64_C(1) << slot);
	return true;
}

void send_flush(struct transport_session *session)
{
	if (session->phase != SESSION_OPEN || list_linked(&session->blocked_link))
		return;
	while (session->lost_count) {
		if (send_lost(session, false) == SENDING_HELD)
			return;
	}
	while (session->ready) {
		if (!send_new(session))
			return;
	}
}

void send_begun(struct transport_session *session, uint16_t slot)
{
	struct outbound *out = &session->slots[slot].out;
	uint32_t bytes = PACKET_DATA_BYTES + out->length;

	if (out->segment_count > 1 || session->ready || session->lost_count ||
	    list_linked(&session->blocked_link) || !may_send(session, bytes)) {
		session->ready |= UINT64_C(1) << slot;
		send_flush(session);
		return;
	}
	if (emit_segment(session, slot, out, 0, 0)) {
		out->segment_next = 1;
		return;
	}
	pacer_return(&session->pacer, bytes);
	session->ready |= UINT64_C(1) << slot;
	blocked(session);
}

/* ---- packets without a message ---- */

/* Numbered: the peer acknowledges it. */
static bool send_bare(struct transport_session *session, bool numbered)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet packet = {.type = PACKET_ACK};

	if (numbered) {
		packet.number = sent_number(&session->sent);
		packet.flags = PACKET_ACK_NOW;
	}
	fill_common(session, &packet);
	size_t bytes = packet_encode(header, &packet);
	if (!emit(session->transport, &session->address, header, bytes, NULL, 0, (uint32_t)bytes))
		return false;
	if (numbered)
		note_sent(session, &packet, SENT_SEGMENT_NONE, (uint32_t)bytes);
	else
		nothing_owed(session);
	return true;
}

void send_ack(struct transport_session *session)
{
	struct transport *transport = session->transport;

	if (send_bare(session, false)) {
		count_of(transport, acks_sent, 1);
		return;
	}
	list_remove(&session->ack_link);
	session->ack_due_ns = transport->now_ns + transport->config.ack_delay_us * UINT64_C(1000);
	list_push_back(&transport->acks_due, &session->ack_link);
}

void send_probe(struct transport_session *session, unsigned count)
{
	unsigned sent = 0;

	while (session->lost_count && sent < count) {
		enum sending sending = send_lost(session, true);

		if (sending == SENDING_HELD)
			break;
		sent += sending == SENDING_DONE;
	}
	if (!sent && !sent_full(&session->sent) && send_bare(session, true))
		sent = 1;
	count_of(session->transport, probes_sent, sent);
}

void send_close(struct transport_session *session, enum transport_reason reason)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet packet = {
		.type = PACKET_CLOSE,
		.window = session->transport->window,
		.session = session->peer_id,
		.slot = (uint16_t)reason,
	};
	size_t bytes = packet_encode(header, &packet);
	const char *text = transport_reason_text(reason);
	struct transport_piece piece = {.data = text, .length = (uint32_t)strlen(text)};

	emit(session->transport, &session->address, header, bytes, &piece, 1,
	     (uint32_t)bytes + piece.length);
}

void send_reset(struct transport *transport, uint64_t session, size_t length,
		const struct transport_address *to)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	uint64_t price_ns = NS_PER_SECOND / transport->config.resets_per_second;
	uint64_t passed_ns = transport->now_ns - transport->reset_filled_ns;

	transport->reset_filled_ns = transport->now_ns;
	transport->reset_tokens_ns += passed_ns;
	if (transport->reset_tokens_ns > NS_PER_SECOND)
		transport->reset_tokens_ns = NS_PER_SECOND;
	if (transport->reset_tokens_ns < price_ns) {
		count_of(transport, resets_limited, 1);
		return;
	}
	size_t bytes = packet_encode_reset(header, session);
	check(bytes <= length);
	transport->reset_tokens_ns -= price_ns;
	if (send_plain(transport, to, header, bytes, bytes))
		count_of(transport, resets_sent, 1);
}
