/* Datagrams that nobody honest sends.  Each must raise its own counter, change nothing else in the
 * endpoint, take no memory, and get no answer that is larger than itself. */
#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/transport/transport_internal.h"
#include "tests/dataplane/transport_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 1472, SEGMENT = SIZE - PACKET_DATA_BYTES, HOSTILE_MIN = 40 };

static unsigned hostile_count;

/* ---- making datagrams ---- */

struct datagram {
	size_t length;
	uint8_t data[9100];
};

static void seal(struct datagram *d)
{
	memset(d->data + PACKET_CHECK_OFFSET, 0, 4);
	packet_seal(d->data, d->length, NULL, 0);
}

/* With `payload_bytes` of `fill` behind it. */
static struct datagram *of_packet(const struct packet *packet, size_t payload_bytes, uint8_t fill)
{
	static struct datagram d;

	memset(&d, 0, sizeof(d));
	d.length = packet_encode(d.data, packet);
	memset(d.data + d.length, fill, payload_bytes);
	d.length += payload_bytes;
	seal(&d);
	return &d;
}

static struct datagram *padded(size_t length, size_t header_bytes, const uint8_t *header)
{
	static struct datagram d;

	memset(&d, 0, sizeof(d));
	memcpy(d.data, header, header_bytes);
	d.length = length;
	seal(&d);
	return &d;
}

/* A good request in slot 0 of the pair's session, to be spoilt. */
static struct packet next_request(struct pair *pair)
{
	return (struct packet){
		.type = PACKET_DATA,
		.session = pair->accepted->id,
		.number = (uint32_t)pair->session->sent.next,
		.sequence = pair->session->slots[0].sequence + 1,
		.window = 64,
		.length = 8,
	};
}

/* ---- what must not change ---- */

struct state {
	struct transport transport;
	struct transport_session *sessions;
	struct slot *slots;
	struct sent_packet *rings;
	uint32_t buffers;
	unsigned requests;
};

/* Time and counters aside. */
static struct transport without_counters(const struct transport *transport)
{
	struct transport copy = *transport;

	memset(&copy.statistics, 0, sizeof(copy.statistics));
	copy.reset_tokens_ns = 0;
	copy.reset_filled_ns = 0;
	return copy;
}

static void *copy_of(const void *data, size_t bytes)
{
	void *copy = malloc(bytes);

	memcpy(copy, data, bytes);
	return copy;
}

static size_t slots_bytes(const struct transport *t)
{
	return (size_t)t->config.sessions_max * t->config.slots * sizeof(*t->slots);
}

static size_t rings_bytes(const struct transport *t)
{
	return (size_t)t->config.sessions_max * t->ring_capacity * sizeof(*t->rings);
}

static struct state state_of(const struct pair *pair, const struct net_node *node)
{
	const struct transport *t = node->transport;

	return (struct state){
		.transport = without_counters(t),
		.sessions = copy_of(t->sessions, t->config.sessions_max * sizeof(*t->sessions)),
		.slots = copy_of(t->slots, slots_bytes(t)),
		.rings = copy_of(t->rings, rings_bytes(t)),
		.buffers = node->buffers,
		.requests = pair->request_count,
	};
}

/* `touched`: an acknowledgement may be owed, and the peer is known to be alive. */
static void same(const struct pair *pair, const struct net_node *node, struct state *before,
		 bool touched)
{
	const struct transport *t = node->transport;
	struct transport now = without_counters(t);

	if (!touched) {
		assert_memory_equal(&now, &before->transport, sizeof(now));
		assert_memory_equal(t->sessions, before->sessions,
				    t->config.sessions_max * sizeof(*t->sessions));
	}
	assert_int_equal(now.session_count, before->transport.session_count);
	assert_int_equal(now.buffer_bytes, before->transport.buffer_bytes);
	assert_memory_equal(t->slots, before->slots, slots_bytes(t));
	assert_memory_equal(t->rings, before->rings, rings_bytes(t));
	assert_int_equal(node->buffers, before->buffers);
	assert_int_equal(pair->request_count, before->requests);
	free(before->sessions);
	free(before->slots);
	free(before->rings);
}

static uint64_t counter(const struct net_node *node, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)transport_statistics(node->transport) + offset, sizeof(value));
	return value;
}

static void attack(struct pair *pair, struct net_node *node, const struct transport_address *from,
		   const struct datagram *d, size_t offset, bool touched)
{
	uint64_t counted = counter(node, offset);
	uint64_t sent_bytes = node->sent_bytes;
	struct state before;

	net_touched(node);
	before = state_of(pair, node);
	net_inject(node, from, d->data, d->length);
	if (counter(node, offset) != counted + 1)
		print_error("attack %u\n", hostile_count + 1);
	assert_int_equal(counter(node, offset), counted + 1);
	assert_true(node->sent_bytes - sent_bytes <= d->length);
	same(pair, node, &before, touched);
	hostile_count++;
}

#define ATTACK(pair, node, from, datagram, name)                                                   \
	attack(pair, (pair)->node, from, datagram, offsetof(struct transport_statistics, name),    \
	       false)
#define ATTACK_TOUCHING(pair, node, from, datagram, name)                                          \
	attack(pair, (pair)->node, from, datagram, offsetof(struct transport_statistics, name),    \
	       true)

static const struct transport_address stranger = {
	.ip = {[10] = 255, [11] = 255, [12] = 192, [13] = 0, [14] = 2, [15] = 66}, .port = 666};

/* An open session with some history: slot 1 half received, slot 2 executing. */
static struct pair *busy_pair(void)
{
	struct pair *pair = pair_open();
	struct packet packet;

	for (unsigned i = 0; i < 3; i++)
		pair_echo(pair, (uint8_t)(i + 1), 100);
	pair->keep = true;
	packet = next_request(pair);
	packet.slot = 1;
	packet.sequence = 1;
	packet.length = 5 * SEGMENT;
	struct datagram *d = of_packet(&packet, SEGMENT, 0x11);
	net_inject(pair->server, &pair->client->address, d->data, d->length);
	assert_int_equal(pair->accepted->slots[1].phase, SLOT_RECEIVING);
	packet.number++;
	packet.slot = 2;
	packet.length = 8;
	d = of_packet(&packet, 8, 0x22);
	net_inject(pair->server, &pair->client->address, d->data, d->length);
	assert_int_equal(pair->accepted->slots[2].phase, SLOT_EXECUTING);
	/* As if the client had sent them, and given them up. */
	pair->session->sent.next += 2;
	pair->session->sent.oldest += 2;
	pair->session->slots[1].sequence = 1;
	pair->session->slots[2].sequence = 1;
	pair_run_ms(pair, 1);
	return pair;
}

/* ---- the attacks ---- */

static void malformed_datagrams_are_dropped(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet packet = next_request(pair);
	struct datagram *d;

	(void)state;
	d = of_packet(&packet, 8, 1);
	d->length = 0;
	ATTACK(pair, server, us, d, dropped_short);
	d = of_packet(&packet, 8, 1);
	d->length = 15;
	ATTACK(pair, server, us, d, dropped_short);
	for (unsigned version = 0; version < 16; version += 5) {
		d = of_packet(&packet, 8, 1);
		d->data[0] = (uint8_t)(version << 4 | PACKET_DATA);
		seal(d);
		ATTACK(pair, server, us, d, dropped_version);
	}
	d->data[0] = 0x10;
	seal(d);
	ATTACK(pair, server, us, d, dropped_type);
	d->data[0] = 0x1f;
	seal(d);
	ATTACK(pair, server, us, d, dropped_type);
	packet.flags = 0x40;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_flags);
	packet.flags = 0;
	d = of_packet(&packet, 8, 1);
	d->data[PACKET_CHECK_OFFSET] ^= 1;
	ATTACK(pair, server, us, d, dropped_check);
	d = of_packet(&packet, 8, 1);
	d->data[d->length - 1] ^= 0x80;
	ATTACK(pair, server, us, d, dropped_check);
	/* Cut, with the check of the whole and with its own. */
	d = of_packet(&packet, 8, 1);
	d->length -= 3;
	ATTACK(pair, server, us, d, dropped_check);
	d = of_packet(&packet, 0, 1);
	d->length -= 1;
	seal(d);
	ATTACK(pair, server, us, d, dropped_length);
	pair_free(pair);
}

static void contradicting_fields_are_dropped(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet good = next_request(pair);
	struct packet packet;

	(void)state;
	packet = good;
	packet.number = 0;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	ATTACK(pair, server, us, of_packet(&good, 9, 1), dropped_field);
	packet = good;
	packet.offset = 1;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	packet.offset = UINT32_MAX;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	packet = good;
	packet.slot = 64;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	packet = good;
	packet.ack_bitmap = 1;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	packet = good;
	packet.flags = PACKET_ABORT;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_field);
	packet = good;
	packet.type = PACKET_ACK;
	packet.slot = 1;
	ATTACK(pair, server, us, of_packet(&packet, 0, 1), dropped_field);
	packet.slot = 0;
	ATTACK(pair, server, us, of_packet(&packet, 1, 1), dropped_length);
	packet.type = PACKET_CLOSE;
	ATTACK(pair, server, us, of_packet(&packet, 0, 1), dropped_field);
	packet.number = 0;
	ATTACK(pair, server, us, of_packet(&packet, 65, 1), dropped_length);
	pair_free(pair);
}

static void guessed_sessions_and_foreign_addresses_get_nothing(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct transport_address other_port = *us;
	struct packet good = next_request(pair);
	struct packet packet;

	(void)state;
	packet = good;
	packet.session = UINT64_C(0x1234567812345678);
	ATTACK(pair, server, &stranger, of_packet(&packet, 8, 1), dropped_session);
	packet.session = good.session ^ UINT64_C(1) << 40; /* the right place, the wrong secret */
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_session);
	packet.session = 0;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_session);
	packet.session = UINT64_MAX;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_session);
	ATTACK(pair, server, &stranger, of_packet(&good, 8, 1), dropped_address);
	other_port.port++;
	ATTACK(pair, server, &other_port, of_packet(&good, 8, 1), dropped_address);
	/* To hang up for others. */
	packet = (struct packet){.type = PACKET_CLOSE, .session = good.session};
	ATTACK(pair, server, &stranger, of_packet(&packet, 0, 1), dropped_address);
	packet.session ^= UINT64_C(1) << 40;
	ATTACK(pair, server, us, of_packet(&packet, 0, 1), dropped_session);
	packet = (struct packet){.type = PACKET_ACK, .number = 77, .session = good.session};
	ATTACK(pair, server, &stranger, of_packet(&packet, 0, 1), dropped_address);
	pair_free(pair);
}

static void forged_acknowledgements_and_numbers_are_dropped(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet good = next_request(pair);
	uint32_t sent = (uint32_t)pair->accepted->sent.next - 1;
	struct packet packet = good;

	(void)state;
	packet.flags = PACKET_HAS_ACK;
	packet.ack_largest = sent + 1;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_ack);
	packet.ack_largest = sent + (1u << 31);
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_ack);
	packet.ack_largest = sent;
	packet.ack_bitmap = UINT64_MAX; /* before the first packet ever */
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_ack);
	packet.ack_bitmap = 0;
	packet.ack_largest = 0;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_ack);
	packet.type = PACKET_ACK;
	packet.number = 0;
	packet.ack_largest = sent + 1;
	ATTACK(pair, server, us, of_packet(&packet, 0, 1), dropped_ack);
	packet = good;
	packet.number = (uint32_t)pair->accepted->acks.largest + ACKS_AHEAD_MAX + 1;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_number);
	packet.number = (uint32_t)pair->accepted->acks.largest + INT32_MAX;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_number);
	packet.number = (uint32_t)pair->accepted->acks.largest - 70;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, 8, 1), dropped_old);
	pair_free(pair);
}

static void impossible_messages_are_dropped(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet good = next_request(pair);
	struct packet packet;

	(void)state;
	packet = good;
	packet.length = UINT32_MAX; /* 4 GiB */
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 1), dropped_too_large);
	packet.length = pair->server->transport->config.message_bytes_max + 1;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 1), dropped_too_large);
	packet = good;
	packet.slot = 20; /* 16 were granted */
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_slot);
	packet = good;
	packet.flags = PACKET_RESPONSE;
	ATTACK(pair, server, us, of_packet(&packet, 8, 1), dropped_role);
	packet = good;
	packet.length = 3 * SEGMENT;
	packet.offset = 100;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 1), dropped_segment);
	packet.offset = SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT - 1, 1), dropped_segment);
	packet.offset = 2 * SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT - 1, 1), dropped_segment);
	packet = good;
	packet.length = 100; /* in two pieces, though one datagram takes it */
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, 50, 1), dropped_segment);
	pair_free(pair);
}

static void overlapping_segments_cannot_change_a_message(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet packet = next_request(pair);
	const uint8_t *buffer = pair->accepted->slots[1].in.buffer;

	(void)state;
	/* Slot 1 has the first of five segments. */
	packet.slot = 1;
	packet.sequence = 1;
	packet.length = 5 * SEGMENT;
	packet.offset = SEGMENT / 2;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), dropped_segment);
	packet.offset = SEGMENT - 1;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), dropped_segment);
	packet.offset = 0;
	packet.length = 4 * SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), dropped_segment);
	packet.length = 6 * SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), dropped_segment);
	packet.length = SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), dropped_segment);
	packet.length = 5 * SEGMENT;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, SEGMENT, 0x99), segments_again);
	for (unsigned i = 0; i < SEGMENT; i++)
		assert_int_equal(buffer[i], 0x11);
	pair_free(pair);
}

/* Keeps the last DATA that the client sent. */
static struct datagram captured;

static bool capture(struct net_node *node, const struct transport_address *to, const uint8_t *data,
		    size_t length)
{
	(void)node;
	(void)to;
	if (packet_is_data(data, length)) {
		memcpy(captured.data, data, length);
		captured.length = length;
	}
	return false;
}

static void replays_are_not_executed_again(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct packet packet;

	(void)state;
	pair->keep = false;
	pair->client->tap = capture;
	pair_echo(pair, 9, 200);
	pair->client->tap = NULL;
	ATTACK_TOUCHING(pair, server, us, &captured, duplicates);
	ATTACK(pair, server, &stranger, &captured, dropped_address);
	/* The same request under a new number; and an older one. */
	packet = next_request(pair);
	packet.sequence--;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, 8, 1), segments_again);
	packet.number++;
	packet.sequence--;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, 8, 1), segments_again);
	/* What executes is not started again either. */
	packet.number++;
	packet.slot = 2;
	packet.sequence = 1;
	ATTACK_TOUCHING(pair, server, us, of_packet(&packet, 8, 1), segments_again);
	/* Nor withdrawn. */
	packet.number++;
	packet.flags = PACKET_ABORT;
	packet.length = 0;
	struct datagram *d = of_packet(&packet, 0, 0);
	net_inject(pair->server, us, d->data, d->length);
	assert_int_equal(pair->accepted->slots[2].phase, SLOT_EXECUTING);
	hostile_count++;
	pair_free(pair);
}

static struct datagram *open_with(uint64_t client, const struct packet_cookie *cookie)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet_open open = {
		.client = client,
		.cookie = *cookie,
		.idle_ms = 1000,
		.message_bytes_max = 1000,
		.datagram_bytes = SIZE,
		.slots = 1,
		.window = 1,
	};

	return padded(SIZE, packet_encode_open(header, &open), header);
}

static void handshakes_without_proof_leave_nothing(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *us = &pair->client->address;
	struct cookie_jar *jar = &pair->server->transport->jar;
	uint64_t now_ms = pair->net.now_ns / NS_PER_MS;
	struct packet_cookie cookie = {.issued_ms = now_ms};
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct datagram *d;

	(void)state;
	ATTACK(pair, server, &stranger, open_with(5, &cookie), dropped_cookie);
	cookie_issue(jar, &cookie, us, 5, now_ms);
	ATTACK(pair, server, &stranger, open_with(5, &cookie), dropped_cookie);
	ATTACK(pair, server, us, open_with(6, &cookie), dropped_cookie);
	cookie.mac[15] ^= 1;
	ATTACK(pair, server, us, open_with(5, &cookie), dropped_cookie);
	cookie_issue(jar, &cookie, us, 5, now_ms + 1000);
	ATTACK(pair, server, us, open_with(5, &cookie), dropped_cookie);
	cookie_issue(jar, &cookie, us, 5, now_ms);
	pair_run_ms(pair, pair->server->transport->config.cookie_ms + 1);
	ATTACK(pair, server, us, open_with(5, &cookie), dropped_cookie);
	/* Proven, but with a client id that another address uses. */
	cookie_issue(jar, &cookie, &stranger, pair->session->id, pair->net.now_ns / NS_PER_MS);
	ATTACK(pair, server, &stranger, open_with(pair->session->id, &cookie), dropped_field);
	d = open_with(5, &cookie);
	d->length--;
	seal(d);
	ATTACK(pair, server, us, d, dropped_length);
	struct packet_hello hello = {
		.client = 5, .version_min = 1, .version_max = 1, .datagram_bytes = 100};
	ATTACK(pair, server, &stranger, padded(100, packet_encode_hello(header, &hello), header),
	       dropped_length);
	hello.datagram_bytes = 9001;
	ATTACK(pair, server, &stranger, padded(9001, packet_encode_hello(header, &hello), header),
	       dropped_length);
	hello.datagram_bytes = SIZE;
	ATTACK(pair, server, &stranger,
	       padded(SIZE - 1, packet_encode_hello(header, &hello), header), dropped_length);
	hello.client = 0;
	ATTACK(pair, server, &stranger, padded(SIZE, packet_encode_hello(header, &hello), header),
	       dropped_field);
	hello.client = 5;
	hello.version_min = 2;
	hello.version_max = 9;
	ATTACK(pair, server, &stranger, padded(SIZE, packet_encode_hello(header, &hello), header),
	       dropped_version);
	d = padded(64, packet_encode_hello(header, &hello), header);
	d->data[0] = 0x31;
	seal(d);
	ATTACK(pair, server, &stranger, d, dropped_version);
	hello.version_min = 1;
	ATTACK(pair, server, &stranger, padded(SIZE, packet_encode_hello(header, &hello), header),
	       hellos);
	/* What only clients take, at a server; and a server's, at a client. */
	struct packet_cookie_offer offer = {.client = pair->accepted->id, .datagram_bytes = SIZE};
	size_t bytes = packet_encode_cookie(header, &offer);
	ATTACK(pair, server, us, padded(bytes, bytes, header), dropped_session);
	bytes = packet_encode_hello(header, &hello);
	ATTACK(pair, client, &pair->server->address, padded(SIZE, bytes, header), dropped_role);
	pair_free(pair);
}

static void a_client_takes_nothing_from_strangers(void **state)
{
	struct pair *pair = busy_pair();
	const struct transport_address *server = &pair->server->address;
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	uint64_t id = pair->session->id;
	size_t bytes;

	(void)state;
	struct packet_refuse refuse = {.client = id, .reason = TRANSPORT_REASON_FULL};
	bytes = packet_encode_refuse(header, &refuse);
	ATTACK(pair, client, server, padded(bytes, bytes, header), dropped_phase);
	ATTACK(pair, client, &stranger, padded(bytes, bytes, header), dropped_address);
	struct packet_cookie_offer offer = {.client = id, .datagram_bytes = SIZE};
	bytes = packet_encode_cookie(header, &offer);
	ATTACK(pair, client, server, padded(bytes, bytes, header), dropped_phase);
	struct packet_opened opened = {.client = id,
				       .server = 9,
				       .idle_ms = 1,
				       .slots = 1,
				       .message_bytes_max = 1,
				       .datagram_bytes = SIZE,
				       .buffer_bytes = 1};
	bytes = packet_encode_opened(header, &opened);
	ATTACK(pair, client, server, padded(SIZE, bytes, header), dropped_phase);
	bytes = packet_encode_reset(header, pair->accepted->id ^ UINT64_C(1) << 50);
	ATTACK(pair, client, server, padded(bytes, bytes, header), dropped_reset);
	bytes = packet_encode_reset(header, id);
	ATTACK(pair, client, server, padded(bytes, bytes, header), dropped_reset);
	bytes = packet_encode_reset(header, pair->accepted->id);
	ATTACK(pair, client, &stranger, padded(bytes, bytes, header), dropped_address);
	ATTACK(pair, client, server, padded(bytes + 1, bytes, header), dropped_length);
	/* Responses that nobody asked for. */
	struct packet packet = {
		.type = PACKET_DATA,
		.session = id,
		.number = (uint32_t)pair->accepted->sent.next,
		.sequence = 1,
		.length = 8,
		.window = 64,
	};
	ATTACK(pair, client, server, of_packet(&packet, 8, 1), dropped_role);
	packet.flags = PACKET_RESPONSE;
	ATTACK(pair, client, &stranger, of_packet(&packet, 8, 1), dropped_address);
	ATTACK_TOUCHING(pair, client, server, of_packet(&packet, 8, 1), segments_again);
	/* Too much of one that was asked for. */
	struct pair_call *call = pair_call_new(pair, 1, 8, NS_PER_SECOND);
	pair->server->emit_full = true; /* no answer meanwhile */
	assert_int_equal(pair_call_begin(call), 0);
	packet.number++;
	packet.sequence = pair->session->slots[0].sequence;
	packet.length = pair->client->transport->config.message_bytes_max + 1;
	ATTACK_TOUCHING(pair, client, server, of_packet(&packet, SEGMENT, 1), dropped_too_large);
	packet.length = 100;
	ATTACK_TOUCHING(pair, client, server, of_packet(&packet, 50, 1), dropped_segment);
	pair_run_ms(pair, 2000);
	assert_int_equal(call->done, 1);
	pair_call_free(call);
	pair_free(pair);
}

static void at_least_forty_were_tried(void **state)
{
	(void)state;
	print_message("  %u hostile datagrams\n", hostile_count);
	assert_true(hostile_count >= HOSTILE_MIN);
}

/* ---- many ---- */

static struct transport_address somewhere(struct net *net)
{
	struct transport_address address = {.port = (uint16_t)net_random(net)};
	uint64_t random = net_random(net);

	memcpy(address.ip + 8, &random, 8);
	return address;
}

static void a_flood_of_hellos_costs_no_memory(void **state)
{
	struct pair *pair = busy_pair();
	uint8_t header[PACKET_HEADER_BYTES_MAX];

	(void)state;
	net_touched(pair->server);
	struct state before = state_of(pair, pair->server);
	for (unsigned i = 0; i < 20000; i++) {
		struct transport_address from = somewhere(&pair->net);
		struct packet_hello hello = {
			.client = i + 1, .version_min = 1, .version_max = 1, .datagram_bytes = 512};
		struct datagram *d = padded(512, packet_encode_hello(header, &hello), header);

		net_inject(pair->server, &from, d->data, d->length);
	}
	assert_int_equal(transport_statistics(pair->server->transport)->hellos, 1 + 20000);
	same(pair, pair->server, &before, false);
	pair_free(pair);
}

static void resets_are_rate_limited(void **state)
{
	struct pair *pair = busy_pair();
	struct packet packet = next_request(pair);
	const struct transport_statistics *statistics =
		transport_statistics(pair->server->transport);

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		struct transport_address from = somewhere(&pair->net);
		packet.session = net_random(&pair->net);
		struct datagram *d = of_packet(&packet, 8, 1);

		net_inject(pair->server, &from, d->data, d->length);
	}
	assert_int_equal(statistics->resets_sent, 1000);
	assert_int_equal(statistics->resets_limited, 4000);
	pair_run_ms(pair, 10);
	struct datagram *d = of_packet(&packet, 8, 1);
	net_inject(pair->server, &stranger, d->data, d->length);
	assert_int_equal(statistics->resets_sent, 1001);
	pair_free(pair);
}

/* Whatever comes from an address that has proven nothing, the answer is no larger.  Datagrams are
 * made of good ones by changing bytes, with a good check. */
static void nothing_is_amplified_before_the_cookie_is_proven(void **state)
{
	struct pair *pair = busy_pair();
	struct net_node *server = pair->server;
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	uint64_t answered = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		struct transport_address from = somewhere(&pair->net);
		uint64_t random = net_random(&pair->net);
		size_t length = 16 + random % (random & 1 << 20 ? 60 : 1456);
		struct packet_hello hello = {.client = i + 1,
					     .version_min = 1,
					     .version_max = 1,
					     .datagram_bytes = (uint16_t)length};
		struct packet_cookie cookie = {.issued_ms = pair->net.now_ns / NS_PER_MS};
		struct packet packet = next_request(pair);
		struct datagram *d;

		packet.session = random;
		if (random >> 62 == 0)
			d = open_with(i + 1, &cookie);
		else if (random >> 62 == 1)
			d = of_packet(&packet, length, 1);
		else
			d = padded(length, packet_encode_hello(header, &hello), header);
		if (random >> 60 & 1)
			d->data[(random >> 40) % d->length] = (uint8_t)(random >> 24);
		seal(d);
		uint64_t sent_bytes = server->sent_bytes;
		net_inject(server, &from, d->data, d->length);
		assert_true(server->sent_bytes - sent_bytes <= d->length);
		answered += server->sent_bytes > sent_bytes;
	}
	assert_true(answered > 10000);
	assert_int_equal(transport_sessions(server->transport), 1);
	pair_free(pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_datagrams_are_dropped),
		cmocka_unit_test(contradicting_fields_are_dropped),
		cmocka_unit_test(guessed_sessions_and_foreign_addresses_get_nothing),
		cmocka_unit_test(forged_acknowledgements_and_numbers_are_dropped),
		cmocka_unit_test(impossible_messages_are_dropped),
		cmocka_unit_test(overlapping_segments_cannot_change_a_message),
		cmocka_unit_test(replays_are_not_executed_again),
		cmocka_unit_test(handshakes_without_proof_leave_nothing),
		cmocka_unit_test(a_client_takes_nothing_from_strangers),
		cmocka_unit_test(at_least_forty_were_tried),
		cmocka_unit_test(a_flood_of_hellos_costs_no_memory),
		cmocka_unit_test(resets_are_rate_limited),
		cmocka_unit_test(nothing_is_amplified_before_the_cookie_is_proven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
