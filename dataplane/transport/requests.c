/* A server's slots: each executes one request at a time, each sequence at most once.
 *
 *          first segment of n+1                    last segment
 *   IDLE ----------------------> RECEIVING ------------------------> EXECUTING
 *    ^  \____________________________________________________________^  |
 *    |              the only segment of n+1                             | transport_respond
 *    |                                                                  v
 *    +------------------ every segment acknowledged --------------- RESPONDING
 *                                                                       |
 *            n+1 arrives: response n has, too  <------------------------+
 *
 * RECEIVING ends in RESPONDING with an ABORT when there is no memory, or when the client withdraws
 * or falls silent, EXECUTING by transport_refuse: that sequence is then used up and was not
 * executed. */
#include "dataplane/transport/transport_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"

static void begin(struct transport_session *session, struct slot *slot, uint16_t index,
		  uint32_t sequence, enum slot_phase phase)
{
	/* The client would not go on before it had the response. */
	if (slot->out.referenced)
		outbound_release(session, &slot->out);
	slot->out.segments_unacked = 0;
	session->ready &= ~(UINT64_C(1) << index);
	session->exchanged = true;
	slot->sequence = sequence;
	slot->phase = (uint8_t)phase;
}

static void respond_abort(struct transport_session *session, uint16_t index)
{
	struct slot *slot = &session->slots[index];

	session_drop_inbound(session, &slot->in);
	slot->phase = SLOT_RESPONDING;
	outbound_begin(&slot->out, NULL, 0, 0, session->segment_bytes);
	slot->out.sequence = slot->sequence;
	slot->out.abort = true;
	session->ready |= UINT64_C(1) << index;
	send_flush(session);
}

static void execute(struct transport_session *session, uint16_t index,
		    struct transport_message *message)
{
	struct transport *transport = session->transport;
	struct transport_request request = {
		.session = session->id,
		.sequence = session->slots[index].sequence,
		.slot = index,
	};

	count_of(transport, requests_received, 1);
	transport->hooks.request(transport->hooks.context, session, request, message);
}

/* The client gives its request up.  Too late for one that executes or has: the response comes. */
static bool receive_abort(struct transport_session *session, const struct packet *packet, bool new)
{
	struct slot *slot = &session->slots[packet->slot];

	acks_note(&session->acks, packet->number, session->transport->now_ns);
	if (new)
		begin(session, slot, packet->slot, packet->sequence, SLOT_RECEIVING);
	if (slot->phase == SLOT_RECEIVING)
		respond_abort(session, packet->slot);
	return true;
}

/* Room for the message that the first segment to arrive announces; where there is none the request
 * is refused at once.  To drop the segment would be no help: its retransmissions would hold up all
 * else of the session, and end the same way much later. */
static bool begin_partial(struct transport_session *session, const struct packet *packet)
{
	struct transport *transport = session->transport;
	struct slot *slot = &session->slots[packet->slot];
	size_t bytes = inbound_bytes(packet->length, session->segment_bytes);
	void *buffer = session_take_buffer(session, bytes);
	uint64_t due_ns = transport->now_ns + transport->config.partial_ms * NS_PER_MS;

	begin(session, slot, packet->slot, packet->sequence, SLOT_RECEIVING);
	if (!buffer) {
		count_of(transport, messages_over_budget, 1);
		acks_note(&session->acks, packet->number, transport->now_ns);
		respond_abort(session, packet->slot);
		return false;
	}
	inbound_begin(&slot->in, buffer, packet->length, session->segment_bytes);
	if (due_ns < session->calls_due_ns)
		session->calls_due_ns = due_ns;
	session_arm(session, due_ns);
	return true;
}

static bool receive_segment(struct transport_session *session, const struct packet *packet)
{
	struct transport *transport = session->transport;
	struct slot *slot = &session->slots[packet->slot];
	struct transport_message message;

	switch (inbound_add(&slot->in, packet->length, packet->offset, packet->payload,
			    packet->payload_bytes)) {
	case INBOUND_WRONG:
		count_of(transport, dropped_segment, 1);
		return false;
	case INBOUND_AGAIN:
		count_of(transport, segments_again, 1);
		break;
	case INBOUND_TAKEN:
		slot->touched_ns = transport->now_ns;
		break;
	}
	acks_note(&session->acks, packet->number, transport->now_ns);
	if (slot->in.segments_missing)
		return true;
	slot->phase = SLOT_EXECUTING;
	session_hand_over(session, &slot->in, &message);
	execute(session, packet->slot, &message);
	return true;
}

static bool receive_first(struct transport_session *session, const struct packet *packet,
			  void *datagram)
{
	struct transport *transport = session->transport;
	struct slot *slot = &session->slots[packet->slot];

	if (packet->length > transport->config.message_bytes_max) {
		count_of(transport, dropped_too_large, 1);
		return false;
	}
	if (!inbound_fits(packet->length, session->segment_bytes, packet->offset,
			  packet->payload_bytes)) {
		count_of(transport, dropped_segment, 1);
		return false;
	}
	if (packet->length > session->segment_bytes)
		return !begin_partial(session, packet) || receive_segment(session, packet);
	struct transport_message message = {
		.data = packet->payload, .length = packet->length, .packet = datagram};
	begin(session, slot, packet->slot, packet->sequence, SLOT_EXECUTING);
	acks_note(&session->acks, packet->number, transport->now_ns);
	execute(session, packet->slot, &message);
	return true;
}

bool requests_receive(struct transport_session *session, const struct packet *packet,
		      void *datagram)
{
	struct slot *slot = &session->slots[packet->slot];
	int32_t ahead = (int32_t)(packet->sequence - slot->sequence);
	bool busy = slot->phase == SLOT_RECEIVING || slot->phase == SLOT_EXECUTING;

	if (ahead > 1 || (ahead == 1 && busy)) {
		session_violated(session);
		return false;
	}
	if (packet->flags & PACKET_ABORT && ahead >= 0)
		return receive_abort(session, packet, ahead == 1);
	if (ahead == 1)
		return receive_first(session, packet, datagram);
	if (ahead == 0 && slot->phase == SLOT_RECEIVING)
		return receive_segment(session, packet);
	count_of(session->transport, segments_again, 1);
	acks_note(&session->acks, packet->number, session->transport->now_ns);
	return true;
}

uint64_t requests_expire(struct transport_session *session)
{
	struct transport *transport = session->transport;
	uint64_t patience_ns = transport->config.partial_ms * NS_PER_MS;
	uint64_t next_ns = UINT64_MAX;

	for (uint16_t i = 0; i < session->slot_count; i++) {
		struct slot *slot = &session->slots[i];

		if (slot->phase != SLOT_RECEIVING)
			continue;
		if (transport->now_ns < slot->touched_ns + patience_ns) {
			if (slot->touched_ns + patience_ns < next_ns)
				next_ns = slot->touched_ns + patience_ns;
			continue;
		}
		count_of(transport, messages_expired, 1);
		respond_abort(session, i);
	}
	return next_ns;
}

/* The session whose slot executes just this request; null: gone. */
static inline struct transport_session *executing(struct transport *transport,
						  struct transport_request request)
{
	struct transport_session *session = session_find(transport, request.session);

	if (!session || !session->server || request.slot >= session->slot_count)
		return NULL;
	const struct slot *slot = &session->slots[request.slot];
	return slot->phase == SLOT_EXECUTING && slot->sequence == request.sequence ? session : NULL;
}

int transport_refuse(struct transport *transport, struct transport_request request, uint64_t now_ns)
{
	struct transport_session *session = executing(transport, request);

	if (!session)
		return -ERR_CLOSING;
	transport_enter(transport, now_ns);
	count_of(transport, requests_refused, 1);
	respond_abort(session, request.slot);
	transport_leave(transport);
	return 0;
}

int transport_respond(struct transport *transport, struct transport_request request,
		      const struct transport_piece *pieces, uint32_t piece_count, void *owner,
		      uint64_t now_ns)
{
	struct transport_session *session = executing(transport, request);

	if (!session)
		return -ERR_CLOSING;
	struct slot *slot = &session->slots[request.slot];
	uint32_t length;
	int rc = pieces_length(pieces, piece_count, &length);
	if (rc < 0)
		return rc;
	if (length > session->peer_message_bytes_max)
		return -ERR_TOO_LARGE;
	outbound_begin(&slot->out, pieces, piece_count, length, session->segment_bytes);
	slot->out.sequence = request.sequence;
	slot->out.owner = owner;
	slot->out.referenced = true;
	slot->phase = SLOT_RESPONDING;
	transport_enter(transport, now_ns);
	count_of(transport, responses_sent, 1);
	send_begun(session, request.slot);
	transport_leave(transport);
	return 0;
}
