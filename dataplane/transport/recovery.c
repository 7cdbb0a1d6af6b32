/* Acknowledgements in, losses out: the glue between the ring of sent packets, the estimator, the
 * congestion window and the messages in the slots.
 *
 * A lost packet's segment joins the session's queue of lost segments and goes out again under a new
 * number.  When acknowledgements stay out for a probe interval, the two oldest packets are taken
 * back and sent again at once, whatever the windows say, and the interval doubles: that is no sign
 * of congestion yet (RFC 9002, section 6.2).  After three such intervals in a row the first
 * acknowledgement collapses the window (there: "persistent congestion", judged by time). */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

enum {
	PROBE_PACKETS = 2,
	COLLAPSE_PROBES = 3,
};

struct session_visitor {
	struct sent_visitor visitor;
	struct transport_session *session;
	uint64_t newest_lost_ns;
};

/* What the packet carried, unless its message is over. */
static struct outbound *outbound_of(struct transport_session *session,
				    const struct sent_packet *packet)
{
	if (packet->segment == SENT_SEGMENT_NONE)
		return NULL;
	struct outbound *out = &session->slots[packet->slot].out;
	return out->segments_unacked && out->sequence == packet->sequence &&
			       out->abort == (packet->segment == SENT_SEGMENT_ABORT)
		       ? out
		       : NULL;
}

static inline void settle(struct transport_session *session, const struct sent_packet *packet)
{
	struct outbound *out = outbound_of(session, packet);

	if (!out || --out->segments_unacked)
		return;
	struct slot *slot = &session->slots[packet->slot];
	if (slot->phase == SLOT_RESPONDING)
		slot->phase = SLOT_IDLE;
	if (out->referenced)
		outbound_release(session, out);
}

static void packet_acked(struct sent_visitor *visitor, const struct sent_packet *packet)
{
	settle(container_of(visitor, struct session_visitor, visitor)->session, packet);
}

static void packet_lost(struct sent_visitor *visitor, const struct sent_packet *packet)
{
	struct session_visitor *v = container_of(visitor, struct session_visitor, visitor);
	struct transport_session *session = v->session;
	uint32_t mask = session->transport->lost_mask;

	if (packet->sent_ns > v->newest_lost_ns)
		v->newest_lost_ns = packet->sent_ns;
	if (!outbound_of(session, packet))
		return;
	/* New segments wait for lost ones, so what is lost was once in the ring together. */
	check(session->lost_count <= mask);
	session->lost[(session->lost_first + session->lost_count++) & mask] = (struct lost_segment){
		.sequence = packet->sequence, .segment = packet->segment, .slot = packet->slot};
}

static struct session_visitor visitor_of(struct transport_session *session)
{
	return (struct session_visitor){.visitor = {.acked = packet_acked, .lost = packet_lost},
					.session = session};
}

static uint64_t granularity_ns(const struct transport_session *session)
{
	return session->transport->config.granularity_us * UINT64_C(1000);
}

static void find_lost(struct transport_session *session, struct session_visitor *visitor)
{
	struct transport *transport = session->transport;
	unsigned lost = sent_find_lost(&session->sent,
				       rtt_loss_ns(&session->rtt, granularity_ns(session)),
				       transport->now_ns, &visitor->visitor);

	if (session->sent.loss_due_ns)
		session_arm(session, session->sent.loss_due_ns);
	if (!lost)
		return;
	count_of(transport, packets_lost, lost);
	if (congestion_lost(&session->congestion, visitor->newest_lost_ns, transport->now_ns))
		count_of(transport, congestion_events, 1);
}

/* What came in one burst has one time: its first sample says all. */
static inline void sample(struct transport_session *session, uint64_t sent_ns, uint32_t delay_us)
{
	uint64_t now_ns = session->transport->now_ns;
	uint64_t delay_ns = delay_us * UINT64_C(1000);

	if (session->sampled_ns == now_ns || session_was_away(session))
		return;
	session->sampled_ns = now_ns;
	if (delay_ns > session->peer_ack_delay_ns)
		delay_ns = session->peer_ack_delay_ns;
	rtt_sample(&session->rtt, now_ns - sent_ns, delay_ns);
}

static void progress(struct transport_session *session)
{
	if (session->backoff >= COLLAPSE_PROBES) {
		congestion_collapsed(&session->congestion);
		count_of(session->transport, congestion_events, 1);
	}
	session->backoff = 0;
}

__attribute__((noinline)) static void acknowledge_many(struct transport_session *session,
						       const struct packet *packet, uint64_t number)
{
	struct session_visitor visitor = visitor_of(session);
	uint32_t in_flight = session->sent.bytes;
	struct sent_acked acked = sent_acknowledge(&session->sent, number, packet->ack_bitmap,
						   &visitor.visitor);

	if (!acked.packets)
		return;
	if (acked.largest_sent_ns)
		sample(session, acked.largest_sent_ns, packet->ack_delay_us);
	progress(session);
	congestion_acked(&session->congestion, acked.bytes, acked.newest_sent_ns, in_flight);
	find_lost(session, &visitor);
}

void recovery_acknowledged(struct transport_session *session, const struct packet *packet,
			   uint64_t number)
{
	struct sent *sent = &session->sent;
	uint32_t in_flight = sent->bytes;
	const struct sent_packet *oldest = sent_acknowledge_oldest(sent, number);

	if (__builtin_expect(!oldest, 0)) {
		if (sent->count && number >= sent->oldest)
			acknowledge_many(session, packet, number);
		return;
	}
	sample(session, oldest->sent_ns, packet->ack_delay_us);
	if (session->backoff)
		progress(session);
	if (congestion_may_grow(&session->congestion, in_flight))
		congestion_acked(&session->congestion, oldest->bytes, oldest->sent_ns, in_flight);
	settle(session, oldest);
	if (sent_may_be_lost(sent)) {
		struct session_visitor visitor = visitor_of(session);
		find_lost(session, &visitor);
	} else {
		sent->loss_due_ns = 0;
	}
}

static uint64_t probe_interval_ns(const struct transport_session *session, unsigned backoff)
{
	return rtt_probe_ns(&session->rtt, granularity_ns(session), session->peer_ack_delay_ns,
			    backoff, session->transport->config.probe_ms_max * NS_PER_MS);
}

static uint64_t probe_due_ns(const struct transport_session *session)
{
	if (session->sent.count)
		return session->sent.last_ns + probe_interval_ns(session, session->backoff);
	if (session->probing)
		return session->probe_from_ns + probe_interval_ns(session, session->window_backoff);
	return UINT64_MAX;
}

uint64_t recovery_due_ns(const struct transport_session *session)
{
	uint64_t due_ns = probe_due_ns(session);

	if (session->sent.loss_due_ns && session->sent.loss_due_ns < due_ns)
		due_ns = session->sent.loss_due_ns;
	return due_ns;
}

void recovery_timer(struct transport_session *session)
{
	struct session_visitor visitor = visitor_of(session);
	uint64_t now_ns = session->transport->now_ns;

	if (session->sent.loss_due_ns && now_ns >= session->sent.loss_due_ns) {
		find_lost(session, &visitor);
		send_flush(session);
		return;
	}
	if (now_ns < probe_due_ns(session))
		return;
	/* A window that stays at 0 is asked for ever more seldom, though each answer comes at once.
	 */
	if (session->probing && session->window_backoff < RTT_BACKOFF_MAX)
		session->window_backoff++;
	session->probing = false;
	if (session->backoff < RTT_BACKOFF_MAX)
		session->backoff++;
	sent_take_back(&session->sent, PROBE_PACKETS, &visitor.visitor);
	send_probe(session, PROBE_PACKETS);
}
