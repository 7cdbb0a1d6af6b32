/* A client's slots: each has one request under way, numbered in sequence.
 *
 *            transport_call                response whole, or ABORT
 *   IDLE -----------------------> WAITING ---------------------------> IDLE
 *                                    | timeout, cancel                   ^
 *                                    v                                   |
 *                                ABANDONED ------------------------------+
 *                                             any sign of the response
 *
 * An abandoned slot is not used again until the server has let go of its sequence.  If the request
 * has not wholly arrived it is withdrawn with an ABORT, which the server answers; else the response
 * is awaited and thrown away.  Calls without a slot wait in order. */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>

enum call_phase {
	CALL_WAITING = 1, /* for a slot */
	CALL_STARTED,
	CALL_DONE,
};

static void finish(struct transport_call *call, int rc, struct transport_message *response,
		   struct transport *transport)
{
	call->phase = CALL_DONE;
	if (rc == 0)
		count_of(transport, calls_answered, 1);
	else
		count_of(transport, calls_failed, 1);
	call->done(call, rc, response);
}

static void free_slot(struct transport_session *session, uint16_t index)
{
	struct slot *slot = &session->slots[index];

	session->reserved_bytes -= slot->reserved_bytes;
	slot->reserved_bytes = 0;
	slot->phase = SLOT_IDLE;
	slot->call = NULL;
	slot->out.segments_unacked = 0;
	session->ready &= ~(UINT64_C(1) << index);
	session->slots_free |= UINT64_C(1) << index;
}

static void await_end(struct transport_session *session, uint64_t due_ns)
{
	if (due_ns >= session->calls_due_ns)
		return;
	session->calls_due_ns = due_ns;
	session_arm(session, due_ns);
}

/* ---- out ---- */

/* The server's buffers for requests of several segments are ours to divide: what they cannot hold
 * waits here, where it is no loss.  One always fits. */
static bool may_start(const struct transport_session *session, const struct transport_call *call)
{
	if (!session->slots_free)
		return false;
	return call->length <= session->segment_bytes || !session->reserved_bytes ||
	       session->reserved_bytes + inbound_bytes(call->length, session->segment_bytes) <=
		       session->peer_buffer_bytes;
}

static void start(struct transport_session *session, struct transport_call *call)
{
	uint16_t index = (uint16_t)__builtin_ctzll(session->slots_free);
	struct slot *slot = &session->slots[index];

	session->slots_free &= session->slots_free - 1;
	if (call->length > session->segment_bytes) {
		slot->reserved_bytes = inbound_bytes(call->length, session->segment_bytes);
		session->reserved_bytes += slot->reserved_bytes;
	}
	slot->phase = SLOT_WAITING;
	slot->call = call;
	outbound_begin(&slot->out, call->pieces, call->piece_count, call->length,
		       session->segment_bytes);
	slot->out.sequence = ++slot->sequence;
	call->slot = index;
	call->phase = CALL_STARTED;
	count_of(session->transport, calls_begun, 1);
	send_begun(session, index);
}

void calls_dispatch(struct transport_session *session)
{
	while (session->phase == SESSION_OPEN && !list_empty(&session->waiting)) {
		struct transport_call *call = container_of(session->waiting.next,
							   struct transport_call, link);
		/* Limits are not known before the session is open. */
		bool too_large = call->length > session->peer_message_bytes_max;

		if (!too_large && !may_start(session, call))
			return;
		list_remove(&call->link);
		if (too_large)
			finish(call, -ERR_TOO_LARGE, NULL, session->transport);
		else
			start(session, call);
	}
}

int transport_call(struct transport_session *session, struct transport_call *call, uint64_t now_ns)
{
	int rc = pieces_length(call->pieces, call->piece_count, &call->length);

	if (rc < 0)
		return rc;
	if (session->server || session->phase == SESSION_CLOSED)
		return -ERR_CLOSING;
	if (session->phase == SESSION_OPEN && call->length > session->peer_message_bytes_max)
		return -ERR_TOO_LARGE;
	transport_enter(session->transport, now_ns);
	call->due_ns = UINT64_MAX;
	if (call->timeout_ns && call->timeout_ns < UINT64_MAX - now_ns) {
		call->due_ns = now_ns + call->timeout_ns;
		await_end(session, call->due_ns);
	}
	if (session->phase == SESSION_OPEN && list_empty(&session->waiting) &&
	    may_start(session, call)) {
		start(session, call);
	} else {
		call->phase = CALL_WAITING;
		list_push_back(&session->waiting, &call->link);
	}
	transport_leave(session->transport);
	return 0;
}

/* ---- in ---- */

static void answered(struct transport_session *session, uint16_t index, int rc,
		     struct transport_message *response)
{
	struct transport_call *call = session->slots[index].call;

	free_slot(session, index);
	finish(call, rc, response, session->transport);
	if (!list_empty(&session->waiting))
		calls_dispatch(session);
}

static bool begin_partial(struct transport_session *session, const struct packet *packet)
{
	struct slot *slot = &session->slots[packet->slot];
	size_t bytes = inbound_bytes(packet->length, session->segment_bytes);
	void *buffer = session_take_buffer(session, bytes);

	if (!buffer) {
		count_of(session->transport, messages_over_budget, 1);
		return false;
	}
	inbound_begin(&slot->in, buffer, packet->length, session->segment_bytes);
	/* A response proves that the request has come whole. */
	slot->out.segments_unacked = 0;
	session->ready &= ~(UINT64_C(1) << packet->slot);
	return true;
}

static bool receive_segment(struct transport_session *session, const struct packet *packet)
{
	struct transport *transport = session->transport;
	struct slot *slot = &session->slots[packet->slot];
	struct transport_message response;

	if (!slot->in.buffer && !begin_partial(session, packet)) {
		/* The slot's next request tells the server to forget the rest. */
		acks_note(&session->acks, packet->number, transport->now_ns);
		answered(session, packet->slot, -ENOMEM, NULL);
		return true;
	}
	switch (inbound_add(&slot->in, packet->length, packet->offset, packet->payload,
			    packet->payload_bytes)) {
	case INBOUND_WRONG:
		count_of(transport, dropped_segment, 1);
		return false;
	case INBOUND_AGAIN:
		count_of(transport, segments_again, 1);
		break;
	case INBOUND_TAKEN:
		break;
	}
	acks_note(&session->acks, packet->number, transport->now_ns);
	if (slot->in.segments_missing)
		return true;
	session_hand_over(session, &slot->in, &response);
	answered(session, packet->slot, 0, &response);
	return true;
}

static bool receive_response(struct transport_session *session, const struct packet *packet,
			     void *datagram)
{
	struct transport *transport = session->transport;

	if (packet->length > transport->config.message_bytes_max) {
		count_of(transport, dropped_too_large, 1);
		return false;
	}
	if (!inbound_fits(packet->length, session->segment_bytes, packet->offset,
			  packet->payload_bytes) ||
	    (session->slots[packet->slot].in.buffer && packet->flags & PACKET_ABORT)) {
		count_of(transport, dropped_segment, 1);
		return false;
	}
	if (packet->length > session->segment_bytes || session->slots[packet->slot].in.buffer)
		return receive_segment(session, packet);
	struct transport_message response = {
		.data = packet->payload, .length = packet->length, .packet = datagram};
	acks_note(&session->acks, packet->number, transport->now_ns);
	if (packet->flags & PACKET_ABORT)
		answered(session, packet->slot, -ECANCELED, NULL);
	else
		answered(session, packet->slot, 0, &response);
	return true;
}

bool calls_receive(struct transport_session *session, const struct packet *packet, void *datagram)
{
	struct slot *slot = &session->slots[packet->slot];
	int32_t ahead = (int32_t)(packet->sequence - slot->sequence);

	if (ahead > 0) {
		session_violated(session);
		return false;
	}
	if (ahead == 0 && slot->phase == SLOT_WAITING)
		return receive_response(session, packet, datagram);
	acks_note(&session->acks, packet->number, session->transport->now_ns);
	if (ahead == 0 && slot->phase == SLOT_ABANDONED) {
		free_slot(session, packet->slot);
		calls_dispatch(session);
	} else {
		count_of(session->transport, segments_again, 1);
	}
	return true;
}

/* ---- without an answer ---- */

static void abandon(struct transport_session *session, uint16_t index)
{
	struct slot *slot = &session->slots[index];
	struct outbound *out = &slot->out;

	slot->call = NULL;
	session_drop_inbound(session, &slot->in);
	slot->phase = SLOT_ABANDONED;
	if (!out->segments_unacked)
		return;
	if (!out->segment_next) {
		/* Nothing has left: the server has not heard of this sequence. */
		slot->sequence--;
		free_slot(session, index);
		return;
	}
	outbound_begin(out, NULL, 0, 0, session->segment_bytes);
	out->abort = true;
	session->ready |= UINT64_C(1) << index;
	send_flush(session);
}

static void give_up(struct transport_session *session, struct transport_call *call)
{
	if (call->phase == CALL_WAITING)
		list_remove(&call->link);
	else
		abandon(session, call->slot);
	finish(call, -ETIMEDOUT, NULL, session->transport);
}

void transport_cancel(struct transport_session *session, struct transport_call *call,
		      uint64_t now_ns)
{
	if (session->phase == SESSION_CLOSED || call->phase == CALL_DONE)
		return;
	transport_enter(session->transport, now_ns);
	give_up(session, call);
	calls_dispatch(session);
	transport_leave(session->transport);
}

/* One that is due, or null and the time at which the next is. */
static struct transport_call *due_call(struct transport_session *session, uint64_t *ret_next_ns)
{
	uint64_t now_ns = session->transport->now_ns;
	uint64_t next_ns = UINT64_MAX;

	for (uint16_t i = 0; i < session->slot_count; i++) {
		struct transport_call *call = session->slots[i].call;

		if (!call)
			continue;
		if (call->due_ns <= now_ns)
			return call;
		if (call->due_ns < next_ns)
			next_ns = call->due_ns;
	}
	list_foreach(node, &session->waiting) {
		struct transport_call *call = container_of(node, struct transport_call, link);

		if (call->due_ns <= now_ns)
			return call;
		if (call->due_ns < next_ns)
			next_ns = call->due_ns;
	}
	*ret_next_ns = next_ns;
	return NULL;
}

uint64_t calls_expire(struct transport_session *session)
{
	uint64_t next_ns = UINT64_MAX;
	struct transport_call *call;

	while (session->phase != SESSION_CLOSED && (call = due_call(session, &next_ns))) {
		give_up(session, call);
		calls_dispatch(session);
	}
	return next_ns;
}

void calls_fail_all(struct transport_session *session, int rc)
{
	struct list *node;

	for (uint16_t i = 0; !session->server && i < session->slot_count; i++) {
		struct transport_call *call = session->slots[i].call;

		session->slots[i].call = NULL;
		if (call)
			finish(call, rc, NULL, session->transport);
	}
	while ((node = list_pop_front(&session->waiting)))
		finish(container_of(node, struct transport_call, link), rc, NULL,
		       session->transport);
}
