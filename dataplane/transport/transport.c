/* The endpoint: set-up, datagrams in, and time.
 *
 * A datagram passes through checks that cost more the later they come, and changes nothing before
 * it has passed all of them:
 *
 *   length, version, type, flags, check      packet_decode_prefix, packet_decode_data
 *   lengths and fields of the type           packet_decode, packet_decode_data
 *   session, address, direction, slot        here
 *   acknowledges only what was sent          sent_widen
 *   number not too far ahead                 acks_kind
 *   then: acknowledgement, then contents     recovery.c, calls.c, requests.c
 *
 * What is dropped on the way is not acknowledged, so that its sender tries again. */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- set-up ---- */

struct transport_config transport_config_default(void)
{
	return (struct transport_config){
		.sessions_max = 4096,
		.datagram_bytes = 8952, /* a jumbo frame's 9000, less IPv6 and UDP */
		.message_bytes_max = 16u << 20,
		.session_bytes_max = 64u << 20,
		.buffer_bytes_max = 256u << 20,
		.slots = 16,
		.window = 128,
		.shard_count = 1,
		.ack_delay_us = 50,
		.idle_ms = 30000,
		.silence_ms = 1000,
		.partial_ms = 5000,
		.connect_ms = 10000,
		.cookie_ms = 10000,
		.secret_ms = 3600000,
		.rtt_guess_us = 20000,
		.granularity_us = 1000,
		.probe_ms_max = 1000,
		.resets_per_second = 1000,
	};
}

/* One message of the largest size always has room. */
static bool budgets_good(const struct transport_config *config)
{
	return config->message_bytes_max && config->message_bytes_max <= 1u << 30 &&
	       config->session_bytes_max >=
		       inbound_bytes(config->message_bytes_max,
				     PACKET_DATAGRAM_BYTES_MIN - PACKET_DATA_BYTES) &&
	       config->buffer_bytes_max >= config->session_bytes_max;
}

static bool config_good(const struct transport_config *config)
{
	return config->sessions_max && config->sessions_max <= 1u << 20 &&
	       config->datagram_bytes >= PACKET_DATAGRAM_BYTES_MIN &&
	       config->datagram_bytes <= PACKET_DATAGRAM_BYTES_MAX && budgets_good(config) &&
	       config->slots && config->slots <= PACKET_SLOTS_MAX && config->window &&
	       config->window <= PACKET_WINDOW_MAX && config->ack_delay_us && config->idle_ms &&
	       config->silence_ms && config->partial_ms && config->connect_ms &&
	       config->cookie_ms && config->secret_ms >= config->cookie_ms &&
	       config->rtt_guess_us && config->granularity_us && config->probe_ms_max &&
	       config->resets_per_second;
}

int transport_new(struct transport **ret, const struct transport_config *config,
		  const struct transport_hooks *hooks, uint64_t now_ns)
{
	uint8_t secret[COOKIE_SECRET_BYTES];
	struct transport *transport;
	int rc;

	if (!config_good(config))
		return -EINVAL;
	transport = calloc(1, sizeof(*transport));
	if (!transport)
		return -ENOMEM;
	transport->config = *config;
	transport->hooks = *hooks;
	transport->now_ns = now_ns;
	transport->secret_ns = now_ns;
	transport->reset_filled_ns = now_ns;
	transport->reset_tokens_ns = NS_PER_SECOND;
	transport->window = config->window;
	list_init(&transport->acks_due);
	list_init(&transport->blocked);
	rc = sessions_init(transport);
	if (rc < 0)
		goto fail;
	hooks->random(hooks->context, secret, sizeof(secret));
	rc = cookie_jar_init(&transport->jar, secret, config->cookie_ms);
	if (rc < 0)
		goto fail;
	*ret = transport;
	return 0;
fail:
	transport_free(transport);
	return rc;
}

void transport_free(struct transport *transport)
{
	if (!transport)
		return;
	check(transport->depth == 0);
	transport->depth++;
	sessions_fini(transport);
	check(transport->buffer_bytes == 0);
	cookie_jar_fini(&transport->jar);
	free(transport);
}

/* ---- datagrams in ---- */

static void count_fault(struct transport *transport, enum packet_fault fault)
{
	switch (fault) {
	case PACKET_OK:
		break;
	case PACKET_FAULT_SHORT:
		count_of(transport, dropped_short, 1);
		break;
	case PACKET_FAULT_VERSION:
		count_of(transport, dropped_version, 1);
		break;
	case PACKET_FAULT_TYPE:
		count_of(transport, dropped_type, 1);
		break;
	case PACKET_FAULT_FLAGS:
		count_of(transport, dropped_flags, 1);
		break;
	case PACKET_FAULT_CHECK:
		count_of(transport, dropped_check, 1);
		break;
	case PACKET_FAULT_LENGTH:
		count_of(transport, dropped_length, 1);
		break;
	case PACKET_FAULT_FIELD:
		count_of(transport, dropped_field, 1);
		break;
	}
}

static void receive_reset(struct transport *transport, const struct packet_prefix *prefix,
			  size_t length, const struct transport_address *from)
{
	struct transport_session *session = map64_get(&transport->by_peer, prefix->session);

	if (length != PACKET_PREFIX_BYTES || prefix->window) {
		count_of(transport, dropped_length, 1);
	} else if (!session || session->phase != SESSION_OPEN) {
		count_of(transport, dropped_reset, 1);
	} else if (!address_equal(&session->address, from)) {
		count_of(transport, dropped_address, 1);
	} else {
		session_end(session, TRANSPORT_REASON_RESET);
	}
}

/* Passes only what the session's rules allow; nothing has changed yet. */
static inline bool acceptable(struct transport_session *session, const struct packet *packet,
			      const struct transport_address *from)
{
	struct transport *transport = session->transport;

	if (__builtin_expect(!address_equal(&session->address, from), 0)) {
		count_of(transport, dropped_address, 1);
		return false;
	}
	if (__builtin_expect(session->phase != SESSION_OPEN, 0)) {
		count_of(transport, dropped_phase, 1);
		return false;
	}
	if (packet->type == PACKET_DATA) {
		if (!(packet->flags & PACKET_RESPONSE) != session->server) {
			count_of(transport, dropped_role, 1);
			return false;
		}
		if (packet->slot >= session->slot_count) {
			count_of(transport, dropped_slot, 1);
			return false;
		}
	}
	return true;
}

static inline void receive_contents(struct transport_session *session, const struct packet *packet,
				    enum acks_kind kind, void *datagram)
{
	struct transport *transport = session->transport;
	bool owes = true;

	if (kind == ACKS_AGAIN) {
		/* Our acknowledgement may have been lost: owe it again. */
		count_of(transport, duplicates, 1);
		session->acks.owed++;
	} else if (kind == ACKS_OLD) {
		count_of(transport, dropped_old, 1);
		session->acks.owed++;
	} else if (packet->type == PACKET_ACK) {
		acks_note(&session->acks, packet->number, transport->now_ns);
	} else {
		owes = session->server ? requests_receive(session, packet, datagram)
				       : calls_receive(session, packet, datagram);
	}
	if (owes && session->acks.owed && session->phase == SESSION_OPEN)
		session_owe(session, kind != ACKS_NEXT || packet->flags & PACKET_ACK_NOW);
}

__attribute__((always_inline)) static inline void receive_packet(
	struct transport *transport, const struct packet *packet, size_t length,
	const struct transport_address *from, void *datagram)
{
	struct transport_session *session = session_find(transport, packet->session);
	enum acks_kind kind = ACKS_NEXT;

	if (__builtin_expect(!session, 0)) {
		count_of(transport, dropped_session, 1);
		if (packet->type != PACKET_CLOSE)
			send_reset(transport, packet->session, length, from);
		return;
	}
	if (!acceptable(session, packet, from))
		return;
	if (packet->type == PACKET_CLOSE) {
		session_end(session, (enum transport_reason)packet->slot);
		return;
	}
	uint64_t acked = 0;
	if (packet->flags & PACKET_HAS_ACK) {
		acked = sent_widen(&session->sent, packet->ack_largest, packet->ack_bitmap);
		if (__builtin_expect(!acked, 0)) {
			count_of(transport, dropped_ack, 1);
			return;
		}
	}
	if (packet->number) {
		kind = acks_kind(&session->acks, packet->number);
		if (kind == ACKS_FAR) {
			count_of(transport, dropped_number, 1);
			return;
		}
	}
	session->received_ns = transport->now_ns;
	session->peer_window = packet->window;
	if (acked)
		recovery_acknowledged(session, packet, acked);
	if (packet->number)
		receive_contents(session, packet, kind, datagram);
	if (session->ready || session->lost_count)
		send_flush(session);
}

__attribute__((noinline)) static void receive_other(struct transport *transport,
						    const uint8_t *data, size_t length,
						    const struct transport_address *from)
{
	struct packet_prefix prefix;
	struct packet packet;
	enum packet_fault fault = packet_decode_prefix(&prefix, data, length);

	if (fault != PACKET_OK) {
		count_fault(transport, fault);
	} else if (prefix.type == PACKET_RESET) {
		receive_reset(transport, &prefix, length, from);
	} else if (prefix.type < PACKET_DATA) {
		handshake_receive(transport, &prefix, data, length, from);
	} else {
		fault = packet_decode(&packet, &prefix, data, length);
		count_fault(transport, fault);
		if (fault == PACKET_OK)
			receive_packet(transport, &packet, length, from, NULL);
	}
}

void transport_receive(struct transport *transport, const uint8_t *data, size_t length,
		       const struct transport_address *from, void *datagram, uint64_t now_ns)
{
	transport_enter(transport, now_ns);
	count_of(transport, datagrams_received, 1);
	count_of(transport, bytes_received, length);
	if (__builtin_expect(packet_is_data(data, length), 1)) {
		struct packet packet;
		enum packet_fault fault = packet_decode_data(&packet, data, length);

		if (__builtin_expect(fault == PACKET_OK, 1))
			receive_packet(transport, &packet, length, from, datagram);
		else
			count_fault(transport, fault);
	} else {
		receive_other(transport, data, length, from);
	}
	transport_leave(transport);
}

/* ---- time ---- */

static void send_blocked(struct transport *transport)
{
	struct list again;
	struct list *node;

	if (list_empty(&transport->blocked))
		return;
	list_init(&again);
	list_move_all(&again, &transport->blocked);
	while ((node = list_pop_front(&again)))
		send_flush(container_of(node, struct transport_session, blocked_link));
}

static void send_due_acks(struct transport *transport)
{
	while (!list_empty(&transport->acks_due)) {
		struct transport_session *session =
			container_of(transport->acks_due.next, struct transport_session, ack_link);

		if (session->ack_due_ns > transport->now_ns)
			return;
		send_ack(session);
	}
}

static void replace_secret(struct transport *transport)
{
	uint8_t secret[COOKIE_SECRET_BYTES];

	if (transport->now_ns < transport->secret_ns + transport->config.secret_ms * NS_PER_MS)
		return;
	transport->secret_ns = transport->now_ns;
	transport->hooks.random(transport->hooks.context, secret, sizeof(secret));
	cookie_jar_replace(&transport->jar, secret);
}

uint64_t transport_turn(struct transport *transport, uint64_t now_ns)
{
	transport_enter(transport, now_ns);
	replace_secret(transport);
	timers_run(&transport->timers, transport->now_ns);
	send_blocked(transport);
	send_due_acks(transport);
	transport_leave(transport);

	uint64_t next_ns = timers_next_ns(&transport->timers);
	if (!list_empty(&transport->acks_due)) {
		const struct transport_session *session =
			container_of(transport->acks_due.next, struct transport_session, ack_link);
		if (session->ack_due_ns < next_ns)
			next_ns = session->ack_due_ns;
	}
	return list_empty(&transport->blocked) ? next_ns : transport->now_ns;
}

/* ---- sessions ---- */

int transport_connect(struct transport *transport, struct transport_session **ret,
		      const struct transport_address *to, void *owner, uint64_t now_ns)
{
	transport_enter(transport, now_ns);
	struct transport_session *session = session_take(transport, to);
	if (session) {
		session->owner = owner;
		session->phase = SESSION_HELLO;
		handshake_send(session);
		session_arm(session, handshake_due_ns(session));
		*ret = session;
	}
	transport_leave(transport);
	return session ? 0 : -ERR_LIMIT;
}

void transport_close(struct transport_session *session, enum transport_reason reason,
		     uint64_t now_ns)
{
	struct transport *transport = session->transport;

	transport_enter(transport, now_ns);
	if (session->phase == SESSION_OPEN)
		send_close(session, reason);
	session_end(session, reason);
	transport_leave(transport);
}

void transport_give(struct transport *transport, void *buffer, size_t bytes)
{
	check(transport->buffer_bytes >= bytes);
	transport->buffer_bytes -= bytes;
	transport->hooks.give(transport->hooks.context, buffer, bytes);
}

void transport_set_window(struct transport *transport, uint16_t window)
{
	transport->window = window < PACKET_WINDOW_MAX ? window : PACKET_WINDOW_MAX;
}

/* ---- what can be asked ---- */

const struct transport_statistics *transport_statistics(const struct transport *transport)
{
	return &transport->statistics;
}

const struct transport_statistic_text *transport_statistic_texts(size_t *ret_count)
{
	static const struct transport_statistic_text texts[] = {
#define STATISTIC(name, help) {#name, help},
#include "dataplane/transport/statistics.def"
#undef STATISTIC
	};

	static_assert(sizeof(struct transport_statistics) == array_count(texts) * sizeof(uint64_t),
		      "one text a field");
	*ret_count = array_count(texts);
	return texts;
}

const char *transport_reason_text(enum transport_reason reason)
{
	static const char *const texts[] = {
		[TRANSPORT_REASON_NONE] = "closed",
		[TRANSPORT_REASON_SHUTDOWN] = "endpoint stops",
		[TRANSPORT_REASON_PROTOCOL] = "protocol violated",
		[TRANSPORT_REASON_IDLE] = "idle for too long",
		[TRANSPORT_REASON_RESET] = "session not known to the peer",
		[TRANSPORT_REASON_FULL] = "no session free",
		[TRANSPORT_REASON_VERSION] = "no common version",
		[TRANSPORT_REASON_TERMS] = "terms cannot be met",
		[TRANSPORT_REASON_UNREACHABLE] = "no answer",
	};

	return (size_t)reason < array_count(texts) ? texts[reason] : "unknown reason";
}

uint32_t transport_sessions(const struct transport *transport)
{
	return transport->session_count;
}

uint64_t transport_buffer_bytes(const struct transport *transport)
{
	return transport->buffer_bytes;
}

void *transport_session_owner(const struct transport_session *session)
{
	return session->owner;
}

void transport_session_set_owner(struct transport_session *session, void *owner)
{
	session->owner = owner;
}

const struct transport_address *transport_session_address(const struct transport_session *session)
{
	return &session->address;
}

uint32_t transport_session_message_bytes_max(const struct transport_session *session)
{
	return session->peer_message_bytes_max;
}

uint32_t transport_session_slots(const struct transport_session *session)
{
	return session->slot_count;
}

uint32_t transport_session_datagram_bytes(const struct transport_session *session)
{
	return session->datagram_bytes;
}

uint16_t transport_session_shard(const struct transport_session *session)
{
	return session->shard;
}

uint64_t transport_session_rtt_ns(const struct transport_session *session)
{
	return session->rtt.smoothed_ns;
}

uint32_t transport_session_window_bytes(const struct transport_session *session)
{
	return session->congestion.window;
}
