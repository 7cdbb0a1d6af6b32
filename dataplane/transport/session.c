/* The table of sessions and the life of each.
 *
 *   server:                                     OPEN --> CLOSED --> FREE
 *   client:   HELLO --(COOKIE)--> OPENING --(OPENED)--> OPEN --> CLOSED --> FREE
 *
 * An id is the session's place in the table in its low bits and random above, new for each use of
 * the place: a packet finds its session with an index and a comparison, and guessing one takes as
 * many tries as there are random bits.  A closed session keeps its place until the outermost call
 * into the endpoint ends, since that may still hold a pointer to it.
 *
 * A session has one timer in the endpoint's heap.  It is armed for the earliest deadline known and
 * not moved when that goes away, but looks again when it fires: on the usual path, where each
 * packet is acknowledged in time, the heap is hardly touched. */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_ALIVES_PER_IDLE = 3 };

/* ---- table ---- */

static uint32_t power_of_two(uint32_t at_least)
{
	uint32_t power = 4;

	while (power < at_least)
		power *= 2;
	return power;
}

static void timer_expired(struct timer *timer);

/* Map and heap grow now to what they can ever need, and not while packets wait. */
static int grow_ahead(struct transport *transport)
{
	struct transport_session *sessions = transport->sessions;
	uint32_t count = transport->config.sessions_max;
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++) {
		rc = map64_put(&transport->by_peer, i + 1, &sessions[i]);
		if (rc == 0)
			rc = timers_arm(&transport->timers, &sessions[i].timer, UINT64_MAX);
	}
	for (uint32_t i = 0; i < count; i++) {
		map64_remove(&transport->by_peer, i + 1);
		timers_disarm(&transport->timers, &sessions[i].timer);
	}
	return rc;
}

int sessions_init(struct transport *transport)
{
	const struct transport_config *config = &transport->config;
	uint32_t count = config->sessions_max;

	list_init(&transport->free);
	list_init(&transport->closed);
	/* A window, the number that does not exist, and what probes add. */
	transport->ring_capacity = power_of_two(config->window + 4u);
	transport->lost_mask = (uint16_t)(transport->ring_capacity - 1);
	transport->index_bits = (uint32_t)__builtin_ctz(power_of_two(count));
	transport->index_mask = (UINT64_C(1) << transport->index_bits) - 1;
	transport->sessions = calloc(count, sizeof(*transport->sessions));
	transport->slots = calloc((size_t)count * config->slots, sizeof(*transport->slots));
	transport->rings = calloc((size_t)count * transport->ring_capacity,
				  sizeof(*transport->rings));
	transport->losts = calloc((size_t)count * transport->ring_capacity,
				  sizeof(*transport->losts));
	if (!transport->sessions || !transport->slots || !transport->rings || !transport->losts)
		return -ENOMEM;
	return grow_ahead(transport);
}

void sessions_fini(struct transport *transport)
{
	for (uint32_t i = 0; i < transport->session_used; i++) {
		if (transport->sessions[i].phase != SESSION_FREE)
			session_end(&transport->sessions[i], TRANSPORT_REASON_SHUTDOWN);
	}
	map64_fini(&transport->by_peer);
	timers_fini(&transport->timers);
	free(transport->sessions);
	free(transport->slots);
	free(transport->rings);
	free(transport->losts);
}

static uint64_t new_id(struct transport *transport, uint64_t index)
{
	uint64_t id;

	do {
		transport->hooks.random(transport->hooks.context, &id, sizeof(id));
		id = id << transport->index_bits | index;
	} while (!(id >> transport->index_bits));
	return id;
}

struct transport_session *session_take(struct transport *transport,
				       const struct transport_address *address)
{
	struct list *node = list_pop_front(&transport->free);
	struct transport_session *session;

	if (node)
		session = container_of(node, struct transport_session, table_link);
	else if (transport->session_used < transport->config.sessions_max)
		session = &transport->sessions[transport->session_used++];
	else
		return NULL;
	check(session->phase == SESSION_FREE && !session->timer.place);
	uint64_t index = (uint64_t)(session - transport->sessions);
	*session = (struct transport_session){
		.transport = transport,
		.id = new_id(transport, index),
		.address = *address,
		.slots = transport->slots + index * transport->config.slots,
		.lost = transport->losts + index * transport->ring_capacity,
		.timer.expired = timer_expired,
		.received_ns = transport->now_ns,
		.begun_ns = transport->now_ns,
		.calls_due_ns = UINT64_MAX,
		.idle_ms = transport->config.idle_ms,
	};
	list_init(&session->waiting);
	rtt_init(&session->rtt, transport->config.rtt_guess_us * UINT64_C(1000));
	transport->session_count++;
	return session;
}

void session_set_datagram(struct transport_session *session, uint16_t datagram_bytes)
{
	session->datagram_bytes = datagram_bytes;
	session->segment_bytes = datagram_bytes - PACKET_DATA_BYTES;
	congestion_init(&session->congestion, datagram_bytes, session->transport->config.window);
	pacer_init(&session->pacer, datagram_bytes);
}

void session_begin(struct transport_session *session, uint64_t peer_id, uint16_t slots)
{
	struct transport *transport = session->transport;
	uint64_t index = (uint64_t)(session - transport->sessions);
	struct sent_packet *ring = transport->rings + index * transport->ring_capacity;

	session->peer_id = peer_id;
	session->slot_count = slots;
	session->slots_free = slots == 64 ? UINT64_MAX : (UINT64_C(1) << slots) - 1;
	memset(session->slots, 0, slots * sizeof(*session->slots));
	memset(ring, 0, transport->ring_capacity * sizeof(*ring));
	sent_init(&session->sent, ring, transport->ring_capacity);
	/* Two servers may by chance use one id: the second is then not found by a RESET. */
	if (!map64_get(&transport->by_peer, peer_id))
		check(map64_put(&transport->by_peer, peer_id, session) == 0);
	session->phase = SESSION_OPEN;
	session->received_ns = transport->now_ns;
	count_of(transport, sessions_opened, 1);
	session_arm(session, transport->now_ns + session->idle_ms * NS_PER_MS);
}

/* ---- end ---- */

static void drop_messages(struct transport_session *session)
{
	for (uint16_t i = 0; i < session->slot_count; i++) {
		session_drop_inbound(session, &session->slots[i].in);
		outbound_release(session, &session->slots[i].out);
	}
}

void session_end(struct transport_session *session, enum transport_reason reason)
{
	struct transport *transport = session->transport;
	const struct transport_hooks *hooks = &transport->hooks;
	bool silence = reason == TRANSPORT_REASON_IDLE || reason == TRANSPORT_REASON_UNREACHABLE;

	if (session->phase == SESSION_CLOSED || session->phase == SESSION_FREE)
		return;
	session->phase = SESSION_CLOSED;
	session->id = 0;
	session->ready = 0;
	timers_disarm(&transport->timers, &session->timer);
	list_remove(&session->ack_link);
	list_remove(&session->blocked_link);
	if (map64_get(&transport->by_peer, session->peer_id) == session)
		map64_remove(&transport->by_peer, session->peer_id);
	list_push_back(&transport->closed, &session->table_link);
	transport->session_count--;
	count_of(transport, sessions_closed, 1);
	count_of(transport, sessions_expired, silence);
	drop_messages(session);
	calls_fail_all(session, silence ? -ETIMEDOUT : -ERR_CLOSING);
	if (hooks->closed)
		hooks->closed(hooks->context, session, reason);
}

void session_violated(struct transport_session *session)
{
	send_close(session, TRANSPORT_REASON_PROTOCOL);
	session_end(session, TRANSPORT_REASON_PROTOCOL);
}

void session_reap(struct transport *transport)
{
	struct list *node;

	while ((node = list_pop_front(&transport->closed))) {
		container_of(node, struct transport_session, table_link)->phase = SESSION_FREE;
		list_push_front(&transport->free, node);
	}
}

/* ---- time ---- */

void session_wake(struct transport_session *session, uint64_t due_ns)
{
	/* The heap has room for every session's timer since grow_ahead. */
	if (due_ns != UINT64_MAX)
		check(timers_arm(&session->transport->timers, &session->timer, due_ns) == 0);
}

/* A client that waits for a response asks now and then whether the server still knows it: one that
 * was restarted answers with a RESET.  Otherwise only sessions to be kept open are kept awake. */
static uint64_t keep_alive_due_ns(const struct transport_session *session)
{
	const struct transport_config *config = &session->transport->config;
	uint64_t wait_ns = session->idle_ms * NS_PER_MS / KEEP_ALIVES_PER_IDLE;
	uint64_t last_ns = session->received_ns;
	bool busy = __builtin_popcountll(session->slots_free) < session->slot_count;

	if (session->server || session->sent.count || !(busy || config->keep_alive))
		return UINT64_MAX;
	if (busy && config->silence_ms * NS_PER_MS < wait_ns)
		wait_ns = config->silence_ms * NS_PER_MS;
	if (session->sent.last_ns > last_ns)
		last_ns = session->sent.last_ns;
	return last_ns + wait_ns;
}

static uint64_t idle_due_ns(const struct transport_session *session)
{
	return session->received_ns + session->idle_ms * NS_PER_MS;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t session_due_ns(const struct transport_session *session)
{
	uint64_t due_ns;

	if (session->phase != SESSION_OPEN)
		return sooner(handshake_due_ns(session), session->calls_due_ns);
	due_ns = sooner(idle_due_ns(session), recovery_due_ns(session));
	due_ns = sooner(due_ns, session->calls_due_ns);
	if (session->pace_due_ns)
		due_ns = sooner(due_ns, session->pace_due_ns);
	return sooner(due_ns, keep_alive_due_ns(session));
}

static void open_timer(struct transport_session *session)
{
	uint64_t now_ns = session->transport->now_ns;

	if (now_ns >= idle_due_ns(session)) {
		send_close(session, TRANSPORT_REASON_IDLE);
		session_end(session, TRANSPORT_REASON_IDLE);
		return;
	}
	recovery_timer(session);
	if (session->pace_due_ns && now_ns >= session->pace_due_ns) {
		session->pace_due_ns = 0;
		send_flush(session);
	}
	if (now_ns >= keep_alive_due_ns(session))
		send_probe(session, 0);
}

static void timer_expired(struct timer *timer)
{
	struct transport_session *session = container_of(timer, struct transport_session, timer);

	if (session->phase == SESSION_OPEN)
		open_timer(session);
	else
		handshake_timer(session);
	if (session->phase != SESSION_CLOSED && session->transport->now_ns >= session->calls_due_ns)
		session->calls_due_ns = session->server ? requests_expire(session)
							: calls_expire(session);
	if (session->phase != SESSION_CLOSED)
		session_arm(session, session_due_ns(session));
}

/* ---- buffers ---- */

void *session_take_buffer(struct transport_session *session, size_t bytes)
{
	struct transport *transport = session->transport;

	if (session->buffer_bytes + bytes > transport->config.session_bytes_max ||
	    transport->buffer_bytes + bytes > transport->config.buffer_bytes_max)
		return NULL;
	void *buffer = transport->hooks.take(transport->hooks.context, bytes);
	if (buffer) {
		session->buffer_bytes += bytes;
		transport->buffer_bytes += bytes;
	}
	return buffer;
}

void session_drop_inbound(struct transport_session *session, struct inbound *inbound)
{
	if (!inbound->buffer)
		return;
	session->buffer_bytes -= inbound->buffer_bytes;
	transport_give(session->transport, inbound->buffer, inbound->buffer_bytes);
	inbound->buffer = NULL;
}

void session_hand_over(struct transport_session *session, struct inbound *inbound,
		       struct transport_message *ret)
{
	*ret = (struct transport_message){
		.data = inbound->buffer,
		.length = inbound->length,
		.buffer = inbound->buffer,
		.buffer_bytes = inbound->buffer_bytes,
	};
	session->buffer_bytes -= inbound->buffer_bytes;
	inbound->buffer = NULL;
}
