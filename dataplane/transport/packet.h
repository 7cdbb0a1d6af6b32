/* dataplane/transport/packet.h: what a datagram looks like, as bytes and as a struct.
 *
 * Pure functions; any thread.  Layouts and rules are in dataplane/TRANSPORT.md, section "Packets";
 * every integer is big-endian.  A decoder accepts exactly what the rules allow and says which rule
 * was broken, so that each has its counter. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "dataplane/transport/transport.h"

enum {
	PACKET_VERSION = 1,
	PACKET_PREFIX_BYTES = 16,
	PACKET_SESSION_BYTES = 36, /* prefix, number, acknowledgement, slot */
	PACKET_DATA_BYTES = 48,
	PACKET_HELLO_BYTES = 32, /* and padding, as for OPEN and OPENED */
	PACKET_COOKIE_BYTES = 48,
	PACKET_OPEN_BYTES = 60,
	PACKET_OPENED_BYTES = 48,
	PACKET_REFUSE_BYTES = 20,
	PACKET_HEADER_BYTES_MAX = 64,
	PACKET_DATAGRAM_BYTES_MIN = 512,
	PACKET_DATAGRAM_BYTES_MAX = 9000,
	PACKET_CLOSE_TEXT_BYTES_MAX = 64,
	PACKET_SLOTS_MAX = 64,
	PACKET_WINDOW_MAX = 1024,
	PACKET_COOKIE_MAC_BYTES = 16,
};

enum packet_type {
	PACKET_HELLO = 1,
	PACKET_COOKIE,
	PACKET_OPEN,
	PACKET_OPENED,
	PACKET_REFUSE,
	PACKET_DATA,
	PACKET_ACK,
	PACKET_CLOSE,
	PACKET_RESET,
	PACKET_TYPE_END
};

enum packet_flag {
	PACKET_HAS_ACK = 1,
	PACKET_RESPONSE = 2,
	PACKET_ACK_NOW = 4,
	PACKET_ABORT = 8, /* the sender gives this request or response up: no payload */
};

enum packet_fault {
	PACKET_OK,
	PACKET_FAULT_SHORT,
	PACKET_FAULT_VERSION,
	PACKET_FAULT_TYPE,
	PACKET_FAULT_FLAGS,
	PACKET_FAULT_CHECK,
	PACKET_FAULT_LENGTH,
	PACKET_FAULT_FIELD,
};

struct packet_prefix {
	enum packet_type type;
	uint8_t version;
	uint8_t flags;
	uint16_t window;
	uint64_t session;
};

/* DATA, ACK and CLOSE. */
struct packet {
	const uint8_t *payload;
	uint64_t session;
	uint64_t ack_bitmap;
	uint32_t number;
	uint32_t ack_largest;
	uint32_t sequence;
	uint32_t length;
	uint32_t offset;
	uint32_t payload_bytes;
	uint16_t window;
	uint16_t ack_delay_us;
	uint16_t slot; /* of CLOSE: the reason */
	uint8_t type;
	uint8_t flags;
};

struct packet_cookie {
	uint64_t issued_ms; /* the server's own clock */
	uint8_t mac[PACKET_COOKIE_MAC_BYTES];
};

struct packet_hello {
	uint64_t client;
	uint8_t version_min;
	uint8_t version_max;
	uint16_t datagram_bytes;
};

struct packet_cookie_offer {
	uint64_t client;
	struct packet_cookie cookie;
	uint32_t lifetime_ms;
	uint16_t datagram_bytes; /* the most that the server takes */
};

struct packet_open {
	uint64_t client;
	struct packet_cookie cookie;
	uint32_t idle_ms;
	uint32_t message_bytes_max; /* of responses */
	uint32_t ack_delay_us;
	uint16_t datagram_bytes;
	uint16_t slots;
	uint16_t window;
};

struct packet_opened {
	uint64_t client;
	uint64_t server;
	uint32_t idle_ms;
	uint32_t message_bytes_max; /* of requests */
	uint32_t ack_delay_us;
	uint16_t datagram_bytes;
	uint16_t slots;
	uint16_t window;
	uint16_t shard;
	uint16_t shard_count;
	uint32_t buffer_bytes; /* for requests of several segments together */
};

struct packet_refuse {
	uint64_t client;
	uint16_t reason;
	uint8_t version_min;
	uint8_t version_max;
};

/* Length, version, type, flags and check of any datagram.  A HELLO of another version passes, so
 * that it can be refused by name; everything else must have ours. */
enum packet_fault packet_decode_prefix(struct packet_prefix *ret, const uint8_t *data,
				       size_t length);

/* What follows the prefix of an ACK or CLOSE, and of the handshake, once the prefix is good.
 * PACKET_FAULT_LENGTH or PACKET_FAULT_FIELD. */
enum packet_fault packet_decode(struct packet *ret, const struct packet_prefix *prefix,
				const uint8_t *data, size_t length);
enum packet_fault packet_decode_hello(struct packet_hello *ret, const struct packet_prefix *prefix,
				      const uint8_t *data, size_t length);
enum packet_fault packet_decode_cookie(struct packet_cookie_offer *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length);
enum packet_fault packet_decode_open(struct packet_open *ret, const struct packet_prefix *prefix,
				     const uint8_t *data, size_t length);
enum packet_fault packet_decode_opened(struct packet_opened *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length);
enum packet_fault packet_decode_refuse(struct packet_refuse *ret,
				       const struct packet_prefix *prefix, const uint8_t *data,
				       size_t length);

/* Headers with a check of zero; they return the bytes written, at most PACKET_HEADER_BYTES_MAX. */
size_t packet_encode_hello(uint8_t *header, const struct packet_hello *hello);
size_t packet_encode_cookie(uint8_t *header, const struct packet_cookie_offer *offer);
size_t packet_encode_open(uint8_t *header, const struct packet_open *open);
size_t packet_encode_opened(uint8_t *header, const struct packet_opened *opened);
size_t packet_encode_refuse(uint8_t *header, const struct packet_refuse *refuse);
size_t packet_encode_reset(uint8_t *header, uint64_t session);

/* ---- what every packet of an open session passes through, inline ---- */

enum {
	PACKET_CHECK_OFFSET = 4,
	PACKET_SUM_LANES_BYTES = 512, /* from here on three interleaved lanes beat one */
};

/* The state of a CRC before its final xor, eight bytes further. */
static inline uint64_t packet_sum_word(uint64_t state, const uint8_t *at)
{
#ifdef __SSE4_2__
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return __builtin_ia32_crc32di(state, word);
#else
	return (uint32_t)~crc32c(~(uint32_t)state, at, 8);
#endif
}

#ifdef __SSE4_2__
/* One lane: four words a step of the loop, then what is left by halves. */
static inline uint32_t packet_sum_short(uint64_t state, const uint8_t *at, size_t length)
{
	for (; length >= 32; length -= 32, at += 32) {
		state = packet_sum_word(state, at);
		state = packet_sum_word(state, at + 8);
		state = packet_sum_word(state, at + 16);
		state = packet_sum_word(state, at + 24);
	}
	if (length & 16) {
		state = packet_sum_word(state, at);
		state = packet_sum_word(state, at + 8);
		at += 16;
	}
	if (length & 8) {
		state = packet_sum_word(state, at);
		at += 8;
	}
	if (length & 4) {
		uint32_t four;
		memcpy(&four, at, sizeof(four));
		state = __builtin_ia32_crc32si((uint32_t)state, four);
		at += 4;
	}
	if (length & 2) {
		uint16_t two;
		memcpy(&two, at, sizeof(two));
		state = __builtin_ia32_crc32hi((uint32_t)state, two);
		at += 2;
	}
	if (length & 1)
		state = __builtin_ia32_crc32qi((uint32_t)state, *at);
	return (uint32_t)state;
}
#endif

static inline uint32_t packet_sum(uint32_t state, const void *data, size_t length)
{
#ifdef __SSE4_2__
	if (length < PACKET_SUM_LANES_BYTES)
		return packet_sum_short(state, data, length);
#endif
	return ~crc32c(~state, data, length);
}

/* The header of a DATA, without a loop.  `first` is its beginning with a check of zero. */
static inline uint32_t packet_sum_data(const uint8_t first[static 8], const uint8_t *header)
{
	uint64_t wide = packet_sum_word(UINT32_MAX, first);

	wide = packet_sum_word(wide, header + 8);
	wide = packet_sum_word(wide, header + 16);
	wide = packet_sum_word(wide, header + 24);
	wide = packet_sum_word(wide, header + 32);
	return (uint32_t)packet_sum_word(wide, header + 40);
}

/* Of a whole datagram of at least 8 bytes: the check's own field counts as zero. */
static inline uint32_t packet_check(const uint8_t *data, size_t length)
{
	uint8_t first[8];

	store_be64(first, load_be64(data) & ~(uint64_t)UINT32_MAX);
	if (length < PACKET_DATA_BYTES)
		return ~packet_sum((uint32_t)packet_sum_word(UINT32_MAX, first), data + 8,
				   length - 8);
	return ~packet_sum(packet_sum_data(first, data), data + PACKET_DATA_BYTES,
			   length - PACKET_DATA_BYTES);
}

/* Fills in the check: over the header and then the pieces. */
static inline void packet_seal(uint8_t *header, size_t header_bytes,
			       const struct transport_piece *pieces, size_t count)
{
	uint32_t state = header_bytes == PACKET_DATA_BYTES
				 ? packet_sum_data(header, header)
				 : packet_sum(UINT32_MAX, header, header_bytes);

	for (size_t i = 0; i < count; i++)
		state = packet_sum(state, pieces[i].data, pieces[i].length);
	store_be32(header + PACKET_CHECK_OFFSET, ~state);
}

/* DATA, ACK or CLOSE, eight bytes at a time. */
static inline size_t packet_encode(uint8_t *header, const struct packet *packet)
{
	store_be64(header, (uint64_t)(PACKET_VERSION << 4 | packet->type) << 56 |
				   (uint64_t)packet->flags << 48 | (uint64_t)packet->window << 32);
	store_be64(header + 8, packet->session);
	store_be64(header + 16, (uint64_t)packet->number << 32 | packet->ack_largest);
	store_be64(header + 24, packet->ack_bitmap);
	/* Harmless where the header ends with the slot: there is room behind it. */
	store_be64(header + 32, (uint64_t)packet->ack_delay_us << 48 |
					(uint64_t)packet->slot << 32 | packet->sequence);
	if (packet->type != PACKET_DATA)
		return PACKET_SESSION_BYTES;
	store_be64(header + 40, (uint64_t)packet->length << 32 | packet->offset);
	return PACKET_DATA_BYTES;
}

/* Reads what all three have. */
static inline void packet_load(struct packet *ret, const uint8_t *data)
{
	uint64_t first = load_be64(data);

	ret->type = (uint8_t)(first >> 56 & 15);
	ret->flags = (uint8_t)(first >> 48);
	ret->window = (uint16_t)(first >> 32);
	ret->session = load_be64(data + 8);
	ret->number = load_be32(data + 16);
	ret->ack_largest = load_be32(data + 20);
	ret->ack_bitmap = load_be64(data + 24);
	ret->ack_delay_us = load_be16(data + 32);
	ret->slot = load_be16(data + 34);
}

static inline bool packet_ack_absent(const struct packet *packet)
{
	return !(packet->ack_largest | packet->ack_bitmap | packet->ack_delay_us);
}

/* An ABORT is one empty segment; a segment lies inside its message, and only an empty message has
 * an empty segment. */
static inline bool packet_data_good(const struct packet *packet)
{
	if (!packet->number || packet->slot >= PACKET_SLOTS_MAX ||
	    (!(packet->flags & PACKET_HAS_ACK) && !packet_ack_absent(packet)))
		return false;
	if (packet->flags & PACKET_ABORT)
		return !packet->length && !packet->offset && !packet->payload_bytes;
	if (packet->offset > packet->length ||
	    packet->payload_bytes > packet->length - packet->offset)
		return false;
	return packet->payload_bytes || !packet->length;
}

/* A datagram that says to be a DATA of our version. */
static inline bool packet_is_data(const uint8_t *data, size_t length)
{
	return length >= PACKET_DATA_BYTES && data[0] == (PACKET_VERSION << 4 | PACKET_DATA);
}

/* Everything that can be wrong with it by itself; *ret is then undefined. */
static inline enum packet_fault packet_decode_data(struct packet *ret, const uint8_t *data,
						   size_t length)
{
	packet_load(ret, data);
	if (ret->flags & ~(PACKET_HAS_ACK | PACKET_RESPONSE | PACKET_ACK_NOW | PACKET_ABORT))
		return PACKET_FAULT_FLAGS;
	if (packet_check(data, length) != load_be32(data + PACKET_CHECK_OFFSET))
		return PACKET_FAULT_CHECK;
	ret->sequence = load_be32(data + 36);
	ret->length = load_be32(data + 40);
	ret->offset = load_be32(data + 44);
	ret->payload = data + PACKET_DATA_BYTES;
	ret->payload_bytes = (uint32_t)(length - PACKET_DATA_BYTES);
	if (!packet_data_good(ret))
		return PACKET_FAULT_FIELD;
	return PACKET_OK;
}
