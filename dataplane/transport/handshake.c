/* From nothing to an open session.
 *
 *   client                                  server
 *   HELLO, padded             --->          no state
 *                             <---          COOKIE, never larger
 *   OPEN with it, padded      --->          cookie good: a session, or the one there already
 *                             <---          OPENED, padded; or REFUSE
 *
 * The server remembers nothing and sends no more than it got until a cookie has come back from the
 * address that it was sent to.  The padding of OPEN and OPENED proves that datagrams of the
 * session's size pass both ways: what gets no answer four times is tried again smaller.  That many,
 * because a path that loses one in five is else taken for a narrow one, and a session keeps its
 * size.  HELLO is as small as the smallest of them: its answer tells that somebody is there, and
 * after what time an OPEN of a size that passes is answered, so that those that do not cost little.
 * OPEN may be repeated: it names one session by the client's id, whose datagrams may only shrink
 * until the first DATA. */
#include "dataplane/transport/transport_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <string.h>

enum {
	TRIES_PER_SIZE = 4,
	TRY_DOUBLINGS_MAX = 7,
	OPEN_ROUND_TRIPS = 4,
	OPEN_WAIT_NS_MIN = 5000000, /* a server may be busy for some milliseconds */
	PEER_ACK_DELAY_US_MAX = 1000000,
	IDLE_MS_MIN = 100,
};

/* ---- client: out ---- */

/* The datagram sizes to try, largest first: as configured, Ethernet's, IPv6's smallest.  0: none
 * left. */
static uint16_t size_to_try(const struct transport *transport, unsigned index)
{
	static const uint16_t common[] = {1472, 1232};
	uint32_t largest = transport->config.datagram_bytes;

	if (index == 0)
		return (uint16_t)largest;
	for (unsigned i = 0; i < array_count(common); i++) {
		if (common[i] < largest && --index == 0)
			return common[i];
	}
	return 0;
}

static uint16_t smallest_size(const struct transport *transport)
{
	uint16_t smallest = 0;
	uint16_t size;

	for (unsigned i = 0; (size = size_to_try(transport, i)); i++)
		smallest = size;
	return smallest;
}

static void send_hello(struct transport_session *session)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_hello hello = {
		.client = session->id,
		.version_min = PACKET_VERSION,
		.version_max = PACKET_VERSION,
		.datagram_bytes = smallest_size(session->transport),
	};
	size_t header_bytes = packet_encode_hello(header, &hello);

	send_plain(session->transport, &session->address, header, header_bytes,
		   hello.datagram_bytes);
}

static void send_open(struct transport_session *session)
{
	const struct transport_config *config = &session->transport->config;
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_open open = {
		.client = session->id,
		.cookie = session->cookie,
		.idle_ms = session->idle_ms,
		.message_bytes_max = config->message_bytes_max,
		.ack_delay_us = config->ack_delay_us,
		.datagram_bytes = session->datagram_bytes,
		.slots = config->slots,
		.window = config->window,
	};
	size_t header_bytes = packet_encode_open(header, &open);

	send_plain(session->transport, &session->address, header, header_bytes,
		   session->datagram_bytes);
}

void handshake_send(struct transport_session *session)
{
	uint16_t size = size_to_try(session->transport, session->size_index);

	/* A COOKIE may have told of a smaller limit. */
	if (!session->datagram_bytes || size < session->datagram_bytes)
		session->datagram_bytes = size;
	session->try_ns = session->transport->now_ns;
	if (session->phase == SESSION_HELLO)
		send_hello(session);
	else
		send_open(session);
}

/* How long the first try is waited for. */
static uint64_t first_wait_ns(const struct transport_session *session)
{
	uint64_t guess_ns = session->transport->config.rtt_guess_us * UINT64_C(1000);
	uint64_t wait_ns = OPEN_ROUND_TRIPS * session->rtt.latest_ns;

	if (session->phase == SESSION_HELLO || !wait_ns)
		return guess_ns;
	if (wait_ns < OPEN_WAIT_NS_MIN)
		wait_ns = OPEN_WAIT_NS_MIN;
	return wait_ns < guess_ns ? wait_ns : guess_ns;
}

uint64_t handshake_due_ns(const struct transport_session *session)
{
	const struct transport_config *config = &session->transport->config;
	uint64_t wait_ns = first_wait_ns(session);
	uint64_t end_ns = session->begun_ns + config->connect_ms * NS_PER_MS;
	unsigned doublings = session->tries < TRY_DOUBLINGS_MAX ? session->tries
								: TRY_DOUBLINGS_MAX;
	uint64_t due_ns = session->try_ns + (wait_ns << doublings);

	return due_ns < end_ns ? due_ns : end_ns;
}

void handshake_timer(struct transport_session *session)
{
	struct transport *transport = session->transport;
	uint64_t now_ns = transport->now_ns;

	if (now_ns < handshake_due_ns(session))
		return;
	if (now_ns >= session->begun_ns + transport->config.connect_ms * NS_PER_MS) {
		session_end(session, TRANSPORT_REASON_UNREACHABLE);
		return;
	}
	if (session->phase == SESSION_OPENING && now_ns >= session->cookie_until_ns)
		session->phase = SESSION_HELLO;
	session->tries++;
	session->cookie_again = false;
	if (session->phase == SESSION_OPENING && session->tries >= TRIES_PER_SIZE &&
	    size_to_try(transport, session->size_index + 1u)) {
		session->size_index++;
		session->tries = 0;
	}
	handshake_send(session);
}

/* ---- server ---- */

static void refuse(struct transport *transport, const struct transport_address *to, uint64_t client,
		   enum transport_reason reason)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_refuse answer = {
		.client = client,
		.reason = (uint16_t)reason,
		.version_min = PACKET_VERSION,
		.version_max = PACKET_VERSION,
	};
	size_t bytes = packet_encode_refuse(header, &answer);

	send_plain(transport, to, header, bytes, bytes);
}

static void offer_cookie(struct transport *transport, const struct transport_address *to,
			 uint64_t client)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_cookie_offer offer = {
		.client = client,
		.lifetime_ms = transport->config.cookie_ms,
		.datagram_bytes = (uint16_t)transport->config.datagram_bytes,
	};

	if (cookie_issue(&transport->jar, &offer.cookie, to, client,
			 transport->now_ns / NS_PER_MS) < 0)
		return;
	size_t bytes = packet_encode_cookie(header, &offer);
	send_plain(transport, to, header, bytes, bytes);
}

static enum packet_fault receive_hello(struct transport *transport,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length, const struct transport_address *from)
{
	struct packet_hello hello;

	/* Nothing behind the prefix is known of another version, not even that it is padded. */
	if (prefix->version != PACKET_VERSION) {
		count_of(transport, dropped_version, 1);
		if (length >= PACKET_DATAGRAM_BYTES_MIN)
			refuse(transport, from, prefix->session, TRANSPORT_REASON_VERSION);
		return PACKET_OK;
	}
	enum packet_fault fault = packet_decode_hello(&hello, prefix, data, length);
	if (fault)
		return fault;
	if (hello.version_min > PACKET_VERSION || hello.version_max < PACKET_VERSION) {
		count_of(transport, dropped_version, 1);
		refuse(transport, from, hello.client, TRANSPORT_REASON_VERSION);
		return PACKET_OK;
	}
	count_of(transport, hellos, 1);
	offer_cookie(transport, from, hello.client);
	return PACKET_OK;
}

static void send_opened(struct transport_session *session)
{
	const struct transport_config *config = &session->transport->config;
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_opened opened = {
		.client = session->peer_id,
		.server = session->id,
		.idle_ms = session->idle_ms,
		.message_bytes_max = config->message_bytes_max,
		.ack_delay_us = config->ack_delay_us,
		.datagram_bytes = session->datagram_bytes,
		.slots = session->slot_count,
		.window = session->transport->window,
		.shard = config->shard,
		.shard_count = config->shard_count,
		.buffer_bytes = config->session_bytes_max < UINT32_MAX
					? (uint32_t)config->session_bytes_max
					: UINT32_MAX,
	};
	size_t header_bytes = packet_encode_opened(header, &opened);

	send_plain(session->transport, &session->address, header, header_bytes,
		   session->datagram_bytes);
}

static void set_peer_terms(struct transport_session *session, uint32_t message_bytes_max,
			   uint32_t ack_delay_us, uint16_t window)
{
	if (ack_delay_us > PEER_ACK_DELAY_US_MAX)
		ack_delay_us = PEER_ACK_DELAY_US_MAX;
	session->peer_message_bytes_max = message_bytes_max;
	session->peer_ack_delay_ns = ack_delay_us * UINT64_C(1000);
	session->peer_window = window;
}

/* A proven client without a session yet.  Null: refused. */
static struct transport_session *admit(struct transport *transport, const struct packet_open *open,
				       const struct transport_address *from)
{
	const struct transport_config *config = &transport->config;
	struct transport_session *session;

	if (open->datagram_bytes > config->datagram_bytes || open->idle_ms < IDLE_MS_MIN) {
		count_of(transport, sessions_refused, 1);
		refuse(transport, from, open->client, TRANSPORT_REASON_TERMS);
		return NULL;
	}
	session = session_take(transport, from);
	if (!session) {
		count_of(transport, sessions_refused, 1);
		refuse(transport, from, open->client, TRANSPORT_REASON_FULL);
		return NULL;
	}
	session->server = true;
	if (open->idle_ms < session->idle_ms)
		session->idle_ms = open->idle_ms;
	set_peer_terms(session, open->message_bytes_max, open->ack_delay_us, open->window);
	session_set_datagram(session, open->datagram_bytes);
	session_begin(session, open->client,
		      open->slots < config->slots ? open->slots : config->slots);
	if (transport->hooks.opened)
		transport->hooks.opened(transport->hooks.context, session);
	return session;
}

static enum packet_fault receive_open(struct transport *transport,
				      const struct packet_prefix *prefix, const uint8_t *data,
				      size_t length, const struct transport_address *from)
{
	struct packet_open open;
	enum packet_fault fault = packet_decode_open(&open, prefix, data, length);

	if (fault)
		return fault;
	if (!cookie_valid(&transport->jar, &open.cookie, from, open.client,
			  transport->now_ns / NS_PER_MS)) {
		/* As after a restart, or late: a good one costs the client one round trip. */
		count_of(transport, dropped_cookie, 1);
		offer_cookie(transport, from, open.client);
		return PACKET_OK;
	}
	struct transport_session *session = map64_get(&transport->by_peer, open.client);
	if (!session)
		session = admit(transport, &open, from);
	else if (!session->server || !address_equal(&session->address, from))
		return PACKET_FAULT_FIELD; /* ids of 64 random bits do not meet by chance */
	else if (!session->exchanged && open.datagram_bytes < session->datagram_bytes)
		session_set_datagram(session, open.datagram_bytes);
	if (session && session->phase == SESSION_OPEN && session->datagram_bytes <= length)
		send_opened(session);
	return PACKET_OK;
}

/* ---- client: in ---- */

/* The client's session that a datagram of the handshake is for; null: dropped and counted. */
static struct transport_session *for_whom(struct transport *transport, uint64_t client,
					  const struct transport_address *from)
{
	struct transport_session *session = session_find(transport, client);

	if (!session || session->server) {
		count_of(transport, dropped_session, 1);
		return NULL;
	}
	if (!address_equal(&session->address, from)) {
		count_of(transport, dropped_address, 1);
		return NULL;
	}
	if (session->phase != SESSION_HELLO && session->phase != SESSION_OPENING) {
		count_of(transport, dropped_phase, 1);
		return NULL;
	}
	return session;
}

static enum packet_fault receive_cookie(struct transport *transport,
					const struct packet_prefix *prefix, const uint8_t *data,
					size_t length, const struct transport_address *from)
{
	struct packet_cookie_offer offer;
	enum packet_fault fault = packet_decode_cookie(&offer, prefix, data, length);

	if (fault)
		return fault;
	struct transport_session *session = for_whom(transport, offer.client, from);
	if (!session)
		return PACKET_OK;
	if (session->phase == SESSION_HELLO && !session->tries && !session_was_away(session))
		rtt_sample(&session->rtt, transport->now_ns - session->try_ns, 0);
	bool first = session->phase == SESSION_HELLO;
	session->cookie = offer.cookie;
	/* Leave before it is stale on the way. */
	session->cookie_until_ns = transport->now_ns + offer.lifetime_ms * NS_PER_MS / 4 * 3;
	if (offer.datagram_bytes < session->datagram_bytes)
		session->datagram_bytes = offer.datagram_bytes;
	session->phase = SESSION_OPENING;
	/* A second one, for an OPEN whose cookie was refused, is used at once only once a try: two
	 * ends that disagree about cookies must not chase one another. */
	if (first || !session->cookie_again) {
		session->cookie_again = !first;
		session->tries = 0;
		handshake_send(session);
		session_arm(session, handshake_due_ns(session));
	}
	return PACKET_OK;
}

static enum packet_fault receive_opened(struct transport *transport,
					const struct packet_prefix *prefix, const uint8_t *data,
					size_t length, const struct transport_address *from)
{
	struct packet_opened opened;
	enum packet_fault fault = packet_decode_opened(&opened, prefix, data, length);

	if (fault)
		return fault;
	struct transport_session *session = for_whom(transport, opened.client, from);
	if (!session)
		return PACKET_OK;
	if (session->phase != SESSION_OPENING) {
		count_of(transport, dropped_phase, 1);
		return PACKET_OK;
	}
	/* Only what was asked for, and by the newest OPEN: an older one's size may be given up. */
	if (opened.slots > transport->config.slots || opened.idle_ms > session->idle_ms ||
	    opened.datagram_bytes > session->datagram_bytes)
		return PACKET_FAULT_FIELD;
	if (!session->tries && !session->rtt.latest_ns && !session_was_away(session))
		rtt_sample(&session->rtt, transport->now_ns - session->try_ns, 0);
	session->idle_ms = opened.idle_ms;
	session->shard = opened.shard;
	session->peer_buffer_bytes = opened.buffer_bytes;
	set_peer_terms(session, opened.message_bytes_max, opened.ack_delay_us, opened.window);
	session_set_datagram(session, opened.datagram_bytes);
	session_begin(session, opened.server, opened.slots);
	if (transport->hooks.opened)
		transport->hooks.opened(transport->hooks.context, session);
	calls_dispatch(session);
	return PACKET_OK;
}

static enum packet_fault receive_refuse(struct transport *transport,
					const struct packet_prefix *prefix, const uint8_t *data,
					size_t length, const struct transport_address *from)
{
	struct packet_refuse answer;
	enum packet_fault fault = packet_decode_refuse(&answer, prefix, data, length);

	if (fault)
		return fault;
	struct transport_session *session = for_whom(transport, answer.client, from);
	if (session)
		session_end(session, (enum transport_reason)answer.reason);
	return PACKET_OK;
}

/* ---- both ---- */

void handshake_receive(struct transport *transport, const struct packet_prefix *prefix,
		       const uint8_t *data, size_t length, const struct transport_address *from)
{
	bool to_server = prefix->type == PACKET_HELLO || prefix->type == PACKET_OPEN;
	enum packet_fault fault;

	if (to_server && !transport->hooks.request) {
		count_of(transport, dropped_role, 1);
		return;
	}
	if (prefix->type == PACKET_HELLO)
		fault = receive_hello(transport, prefix, data, length, from);
	else if (prefix->type == PACKET_OPEN)
		fault = receive_open(transport, prefix, data, length, from);
	else if (prefix->type == PACKET_COOKIE)
		fault = receive_cookie(transport, prefix, data, length, from);
	else if (prefix->type == PACKET_OPENED)
		fault = receive_opened(transport, prefix, data, length, from);
	else
		fault = receive_refuse(transport, prefix, data, length, from);
	count_of(transport, dropped_length, fault == PACKET_FAULT_LENGTH);
	count_of(transport, dropped_field, fault == PACKET_FAULT_FIELD);
}
