/* Decoding takes no step before the lengths allow it: the prefix first, then a body whose size the
 * type fixes, then the rules between fields.  What every packet of an open session passes through
 * is inline in packet.h: there a call costs as much as the work, and the CRC of 48 bytes is six
 * instructions of the CPU's own. */
#include "dataplane/transport/packet.h"

#include <assert.h>
#include <string.h>

static_assert(PACKET_OPEN_BYTES <= PACKET_HEADER_BYTES_MAX, "every header fits");
static_assert(PACKET_COOKIE_BYTES <= PACKET_DATAGRAM_BYTES_MIN,
	      "a COOKIE is no larger than a HELLO");
static_assert(PACKET_REFUSE_BYTES <= PACKET_HELLO_BYTES, "a REFUSE is no larger than a HELLO");

/* ---- prefix ---- */

/* Null: no such type. */
static const uint8_t *flags_allowed(unsigned type)
{
	static const uint8_t none = 0;
	static const uint8_t data = PACKET_HAS_ACK | PACKET_RESPONSE | PACKET_ACK_NOW |
				    PACKET_ABORT;
	static const uint8_t ack = PACKET_HAS_ACK | PACKET_ACK_NOW;

	if (type == PACKET_DATA)
		return &data;
	if (type == PACKET_ACK)
		return &ack;
	return type >= PACKET_HELLO && type < PACKET_TYPE_END ? &none : NULL;
}

enum packet_fault packet_decode_prefix(struct packet_prefix *ret, const uint8_t *data,
				       size_t length)
{
	if (length < PACKET_PREFIX_BYTES)
		return PACKET_FAULT_SHORT;
	unsigned version = data[0] >> 4;
	unsigned type = data[0] & 15;
	const uint8_t *allowed = flags_allowed(type);

	if (version != PACKET_VERSION && type != PACKET_HELLO)
		return PACKET_FAULT_VERSION;
	if (!allowed)
		return PACKET_FAULT_TYPE;
	if (data[1] & ~*allowed)
		return PACKET_FAULT_FLAGS;
	if (packet_check(data, length) != load_be32(data + PACKET_CHECK_OFFSET))
		return PACKET_FAULT_CHECK;
	ret->type = (enum packet_type)type;
	ret->version = (uint8_t)version;
	ret->flags = data[1];
	ret->window = load_be16(data + 2);
	ret->session = load_be64(data + 8);
	return PACKET_OK;
}

static void put_prefix(uint8_t *header, enum packet_type type, uint8_t flags, uint16_t window,
		       uint64_t session)
{
	header[0] = (uint8_t)(PACKET_VERSION << 4 | type);
	header[1] = flags;
	store_be16(header + 2, window);
	store_be32(header + PACKET_CHECK_OFFSET, 0);
	store_be64(header + 8, session);
}

/* ---- session packets ---- */

enum packet_fault packet_decode(struct packet *ret, const struct packet_prefix *prefix,
				const uint8_t *data, size_t length)
{
	struct packet p = {0};

	/* A DATA that is long enough went another way. */
	if (length < PACKET_SESSION_BYTES || prefix->type == PACKET_DATA)
		return PACKET_FAULT_LENGTH;
	packet_load(&p, data);
	if (!(p.flags & PACKET_HAS_ACK) && !packet_ack_absent(&p))
		return PACKET_FAULT_FIELD;
	p.payload = data + PACKET_SESSION_BYTES;
	p.payload_bytes = (uint32_t)(length - PACKET_SESSION_BYTES);
	if (p.payload_bytes > (p.type == PACKET_CLOSE ? PACKET_CLOSE_TEXT_BYTES_MAX : 0))
		return PACKET_FAULT_LENGTH;
	if (p.type == PACKET_CLOSE ? p.number != 0
				   : p.slot || !(p.number || p.flags & PACKET_HAS_ACK))
		return PACKET_FAULT_FIELD;
	*ret = p;
	return PACKET_OK;
}

/* ---- handshake ---- */

/* HELLO, OPEN and OPENED are padded to the size that they ask for or grant, so that their arrival
 * proves it. */
static bool size_proven(uint16_t datagram_bytes, size_t length)
{
	return datagram_bytes == length && length >= PACKET_DATAGRAM_BYTES_MIN &&
	       length <= PACKET_DATAGRAM_BYTES_MAX;
}

static void get_cookie(struct packet_cookie *ret, const uint8_t *at)
{
	ret->issued_ms = load_be64(at);
	memcpy(ret->mac, at + 8, sizeof(ret->mac));
}

static void put_cookie(uint8_t *at, const struct packet_cookie *cookie)
{
	store_be64(at, cookie->issued_ms);
	memcpy(at + 8, cookie->mac, sizeof(cookie->mac));
}

enum packet_fault packet_decode_hello(struct packet_hello *ret, const struct packet_prefix *prefix,
				      const uint8_t *data, size_t length)
{
	if (length < PACKET_HELLO_BYTES)
		return PACKET_FAULT_LENGTH;
	struct packet_hello hello = {
		.client = prefix->session,
		.version_min = data[16],
		.version_max = data[17],
		.datagram_bytes = load_be16(data + 18),
	};

	if (!size_proven(hello.datagram_bytes, length))
		return PACKET_FAULT_LENGTH;
	if (!hello.client || hello.version_min > hello.version_max || prefix->window ||
	    load_be32(data + 20) || load_be64(data + 24))
		return PACKET_FAULT_FIELD;
	*ret = hello;
	return PACKET_OK;
}

size_t packet_encode_hello(uint8_t *header, const struct packet_hello *hello)
{
	put_prefix(header, PACKET_HELLO, 0, 0, hello->client);
	header[16] = hello->version_min;
	header[17] = hello->version_max;
	store_be16(header + 18, hello->datagram_bytes);
	store_be32(header + 20, 0);
	store_be64(header + 24, 0);
	return PACKET_HELLO_BYTES;
}

enum packet_fault packet_decode_cookie(struct packet_cookie_offer *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length)
{
	if (length != PACKET_COOKIE_BYTES)
		return PACKET_FAULT_LENGTH;
	struct packet_cookie_offer offer = {
		.client = prefix->session,
		.lifetime_ms = load_be32(data + 40),
		.datagram_bytes = load_be16(data + 44),
	};

	get_cookie(&offer.cookie, data + 16);
	if (offer.datagram_bytes < PACKET_DATAGRAM_BYTES_MIN || prefix->window ||
	    load_be16(data + 46))
		return PACKET_FAULT_FIELD;
	*ret = offer;
	return PACKET_OK;
}

size_t packet_encode_cookie(uint8_t *header, const struct packet_cookie_offer *offer)
{
	put_prefix(header, PACKET_COOKIE, 0, 0, offer->client);
	put_cookie(header + 16, &offer->cookie);
	store_be32(header + 40, offer->lifetime_ms);
	store_be16(header + 44, offer->datagram_bytes);
	store_be16(header + 46, 0);
	return PACKET_COOKIE_BYTES;
}

enum packet_fault packet_decode_open(struct packet_open *ret, const struct packet_prefix *prefix,
				     const uint8_t *data, size_t length)
{
	if (length < PACKET_OPEN_BYTES)
		return PACKET_FAULT_LENGTH;
	struct packet_open open = {
		.client = prefix->session,
		.window = prefix->window,
		.datagram_bytes = load_be16(data + 40),
		.slots = load_be16(data + 42),
		.idle_ms = load_be32(data + 44),
		.message_bytes_max = load_be32(data + 48),
		.ack_delay_us = load_be32(data + 52),
	};

	get_cookie(&open.cookie, data + 16);
	if (!size_proven(open.datagram_bytes, length))
		return PACKET_FAULT_LENGTH;
	if (!open.client || !open.slots || !open.window || !open.idle_ms ||
	    !open.message_bytes_max || load_be32(data + 56))
		return PACKET_FAULT_FIELD;
	*ret = open;
	return PACKET_OK;
}

size_t packet_encode_open(uint8_t *header, const struct packet_open *open)
{
	put_prefix(header, PACKET_OPEN, 0, open->window, open->client);
	put_cookie(header + 16, &open->cookie);
	store_be16(header + 40, open->datagram_bytes);
	store_be16(header + 42, open->slots);
	store_be32(header + 44, open->idle_ms);
	store_be32(header + 48, open->message_bytes_max);
	store_be32(header + 52, open->ack_delay_us);
	store_be32(header + 56, 0);
	return PACKET_OPEN_BYTES;
}

enum packet_fault packet_decode_opened(struct packet_opened *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length)
{
	if (length < PACKET_OPENED_BYTES)
		return PACKET_FAULT_LENGTH;
	struct packet_opened opened = {
		.client = prefix->session,
		.window = prefix->window,
		.server = load_be64(data + 16),
		.datagram_bytes = load_be16(data + 24),
		.slots = load_be16(data + 26),
		.idle_ms = load_be32(data + 28),
		.message_bytes_max = load_be32(data + 32),
		.ack_delay_us = load_be32(data + 36),
		.shard = load_be16(data + 40),
		.shard_count = load_be16(data + 42),
		.buffer_bytes = load_be32(data + 44),
	};

	if (!size_proven(opened.datagram_bytes, length))
		return PACKET_FAULT_LENGTH;
	if (!opened.server || !opened.slots || !opened.idle_ms || !opened.message_bytes_max ||
	    opened.buffer_bytes < opened.message_bytes_max)
		return PACKET_FAULT_FIELD;
	*ret = opened;
	return PACKET_OK;
}

size_t packet_encode_opened(uint8_t *header, const struct packet_opened *opened)
{
	put_prefix(header, PACKET_OPENED, 0, opened->window, opened->client);
	store_be64(header + 16, opened->server);
	store_be16(header + 24, opened->datagram_bytes);
	store_be16(header + 26, opened->slots);
	store_be32(header + 28, opened->idle_ms);
	store_be32(header + 32, opened->message_bytes_max);
	store_be32(header + 36, opened->ack_delay_us);
	store_be16(header + 40, opened->shard);
	store_be16(header + 42, opened->shard_count);
	store_be32(header + 44, opened->buffer_bytes);
	return PACKET_OPENED_BYTES;
}

enum packet_fault packet_decode_refuse(struct packet_refuse *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length)
{
	if (length != PACKET_REFUSE_BYTES)
		return PACKET_FAULT_LENGTH;
	struct packet_refuse refuse = {
		.client = prefix->session,
		.reason = load_be16(data + 16),
		.version_min = data[18],
		.version_max = data[19],
	};

	if (!refuse.reason || prefix->window)
		return PACKET_FAULT_FIELD;
	*ret = refuse;
	return PACKET_OK;
}

size_t packet_encode_refuse(uint8_t *header, const struct packet_refuse *refuse)
{
	put_prefix(header, PACKET_REFUSE, 0, 0, refuse->client);
	store_be16(header + 16, refuse->reason);
	header[18] = refuse->version_min;
	header[19] = refuse->version_max;
	return PACKET_REFUSE_BYTES;
}

size_t packet_encode_reset(uint8_t *header, uint64_t session)
{
	put_prefix(header, PACKET_RESET, 0, 0, session);
	return PACKET_PREFIX_BYTES;
}
