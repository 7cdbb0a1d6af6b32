/* Every layout there and back, every rule broken once, every bit flipped.  Datagrams lie in heap
 * blocks of exactly their length, so that a sanitizer sees a read past the end. */
#include "dataplane/transport/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 600 };

struct bytes {
	uint8_t *data;
	size_t length;
};

/* A header, `payload` behind it, and a good check. */
static struct bytes sealed(const uint8_t *header, size_t header_bytes, const void *payload,
			   size_t payload_bytes)
{
	struct bytes b = {.length = header_bytes + payload_bytes};

	b.data = malloc(b.length);
	memcpy(b.data, header, header_bytes);
	if (payload_bytes)
		memcpy(b.data + header_bytes, payload, payload_bytes);
	struct transport_piece piece = {.data = b.data + header_bytes,
					.length = (uint32_t)payload_bytes};
	packet_seal(b.data, header_bytes, &piece, payload_bytes ? 1 : 0);
	return b;
}

static void reseal(struct bytes *b)
{
	memset(b->data + PACKET_CHECK_OFFSET, 0, 4);
	packet_seal(b->data, b->length, NULL, 0);
}

/* As an endpoint does, whatever it is. */
static enum packet_fault decode_any(const struct bytes *b)
{
	struct packet_prefix prefix;
	union {
		struct packet packet;
		struct packet_hello hello;
		struct packet_cookie_offer offer;
		struct packet_open open;
		struct packet_opened opened;
		struct packet_refuse refuse;
	} u;

	if (packet_is_data(b->data, b->length))
		return packet_decode_data(&u.packet, b->data, b->length);
	enum packet_fault fault = packet_decode_prefix(&prefix, b->data, b->length);
	if (fault)
		return fault;
	if (prefix.type == PACKET_HELLO)
		return packet_decode_hello(&u.hello, &prefix, b->data, b->length);
	if (prefix.type == PACKET_COOKIE)
		return packet_decode_cookie(&u.offer, &prefix, b->data, b->length);
	if (prefix.type == PACKET_OPEN)
		return packet_decode_open(&u.open, &prefix, b->data, b->length);
	if (prefix.type == PACKET_OPENED)
		return packet_decode_opened(&u.opened, &prefix, b->data, b->length);
	if (prefix.type == PACKET_REFUSE)
		return packet_decode_refuse(&u.refuse, &prefix, b->data, b->length);
	if (prefix.type == PACKET_RESET)
		return PACKET_OK;
	return packet_decode(&u.packet, &prefix, b->data, b->length);
}

static struct bytes padded(const uint8_t *header, size_t header_bytes)
{
	static const uint8_t zeros[SIZE];

	return sealed(header, header_bytes, zeros, SIZE - header_bytes);
}

#define COOKIE                                                                                     \
	{                                                                                          \
		.issued_ms = UINT64_C(0x1122334455667788),                                         \
		.mac = { 0,                                                                        \
			 1,                                                                        \
			 2,                                                                        \
			 3,                                                                        \
			 4,                                                                        \
			 5,                                                                        \
			 6,                                                                        \
			 7,                                                                        \
			 8,                                                                        \
			 9,                                                                        \
			 10,                                                                       \
			 11,                                                                       \
			 12,                                                                       \
			 13,                                                                       \
			 14,                                                                       \
			 15 }                                                                      \
	}
static const struct packet_cookie cookie = COOKIE;
static const struct packet_hello hello = {.client = UINT64_C(0xfedcba9876543210),
					  .version_min = 1,
					  .version_max = 3,
					  .datagram_bytes = SIZE};
static const struct packet_cookie_offer offer = {
	.client = 77, .cookie = COOKIE, .lifetime_ms = 10000, .datagram_bytes = 8952};
static const struct packet_open open_packet = {.client = 99,
					       .cookie = COOKIE,
					       .idle_ms = 30000,
					       .message_bytes_max = 1 << 24,
					       .ack_delay_us = 50,
					       .datagram_bytes = SIZE,
					       .slots = 16,
					       .window = 128};
static const struct packet_opened opened = {.client = 99,
					    .server = UINT64_C(0xaabbccddeeff0011),
					    .idle_ms = 30000,
					    .message_bytes_max = 1 << 24,
					    .ack_delay_us = 50,
					    .datagram_bytes = SIZE,
					    .slots = 16,
					    .window = 128,
					    .shard = 3,
					    .shard_count = 8,
					    .buffer_bytes = 1 << 26};
static const struct packet_refuse refusal = {
	.client = 99, .reason = 5, .version_min = 1, .version_max = 1};
static const struct packet data_packet = {.type = PACKET_DATA,
					  .flags = PACKET_HAS_ACK | PACKET_RESPONSE |
						   PACKET_ACK_NOW,
					  .session = UINT64_C(0x0102030405060708),
					  .number = 0x11121314,
					  .ack_largest = 0x21222324,
					  .ack_bitmap = UINT64_C(0x3132333435363738),
					  .ack_delay_us = 0x4142,
					  .slot = 63,
					  .window = 0x5152,
					  .sequence = 0x61626364,
					  .length = 0x00717273,
					  .offset = 0x00010000};

static struct bytes make(unsigned which)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet packet;

	switch (which) {
	case 0:
		return padded(header, packet_encode_hello(header, &hello));
	case 1:
		return sealed(header, packet_encode_cookie(header, &offer), NULL, 0);
	case 2:
		return padded(header, packet_encode_open(header, &open_packet));
	case 3:
		return padded(header, packet_encode_opened(header, &opened));
	case 4:
		return sealed(header, packet_encode_refuse(header, &refusal), NULL, 0);
	case 5:
		return sealed(header, packet_encode(header, &data_packet), "payload", 7);
	case 6:
		packet = (struct packet){.type = PACKET_ACK,
					 .flags = PACKET_HAS_ACK,
					 .session = 5,
					 .ack_largest = 9,
					 .ack_bitmap = 7};
		return sealed(header, packet_encode(header, &packet), NULL, 0);
	case 7:
		packet = (struct packet){.type = PACKET_CLOSE, .session = 5, .slot = 2};
		return sealed(header, packet_encode(header, &packet), "because", 7);
	default:
		return sealed(header, packet_encode_reset(header, 12345), NULL, 0);
	}
}

enum { KINDS = 9 };

static void every_type_is_good_as_made(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KINDS; i++) {
		struct bytes b = make(i);
		assert_int_equal(decode_any(&b), PACKET_OK);
		free(b.data);
	}
}

static void the_layout_of_data_is_as_written_down(void **state)
{
	static const uint8_t expected[PACKET_DATA_BYTES] = {
		0x16, 0x07, 0x51, 0x52, 0,    0,    0,    0,    0x01, 0x02, 0x03, 0x04,
		0x05, 0x06, 0x07, 0x08, 0x11, 0x12, 0x13, 0x14, 0x21, 0x22, 0x23, 0x24,
		0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x41, 0x42, 0x00, 0x3f,
		0x61, 0x62, 0x63, 0x64, 0x00, 0x71, 0x72, 0x73, 0x00, 0x01, 0x00, 0x00};
	uint8_t header[PACKET_HEADER_BYTES_MAX];

	(void)state;
	assert_int_equal(packet_encode(header, &data_packet), PACKET_DATA_BYTES);
	assert_memory_equal(header, expected, sizeof(expected));
}

static void the_check_is_crc32c_of_all_with_its_field_zero(void **state)
{
	uint8_t payload[1424];

	(void)state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 11);
	for (size_t length = 0; length <= sizeof(payload); length++) {
		uint8_t header[PACKET_HEADER_BYTES_MAX];
		struct bytes b = sealed(header, packet_encode(header, &data_packet), payload,
					length);
		uint32_t check = load_be32(b.data + 4);

		assert_int_equal(packet_check(b.data, b.length), check);
		memset(b.data + 4, 0, 4);
		assert_int_equal(crc32c(0, b.data, b.length), check);
		free(b.data);
	}
}

static void fields_come_back_as_they_went(void **state)
{
	struct packet_prefix prefix;
	struct packet_hello h;
	struct packet_cookie_offer c;
	struct packet_open o;
	struct packet_opened d;
	struct packet_refuse r;
	struct packet p;
	struct bytes b;

	(void)state;
	b = make(0);
	packet_decode_prefix(&prefix, b.data, b.length);
	assert_int_equal(packet_decode_hello(&h, &prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(h.client, hello.client);
	assert_int_equal(h.version_min, 1);
	assert_int_equal(h.version_max, 3);
	assert_int_equal(h.datagram_bytes, SIZE);
	free(b.data);
	b = make(1);
	packet_decode_prefix(&prefix, b.data, b.length);
	assert_int_equal(packet_decode_cookie(&c, &prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(c.client, offer.client);
	assert_int_equal(c.cookie.issued_ms, cookie.issued_ms);
	assert_memory_equal(c.cookie.mac, cookie.mac, sizeof(cookie.mac));
	assert_int_equal(c.lifetime_ms, offer.lifetime_ms);
	assert_int_equal(c.datagram_bytes, offer.datagram_bytes);
	free(b.data);
	b = make(2);
	packet_decode_prefix(&prefix, b.data, b.length);
	assert_int_equal(packet_decode_open(&o, &prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(o.client, 99);
	assert_int_equal(o.idle_ms, 30000);
	assert_int_equal(o.message_bytes_max, 1 << 24);
	assert_int_equal(o.ack_delay_us, 50);
	assert_int_equal(o.datagram_bytes, SIZE);
	assert_int_equal(o.slots, 16);
	assert_int_equal(o.window, 128);
	assert_memory_equal(o.cookie.mac, cookie.mac, sizeof(cookie.mac));
	free(b.data);
	b = make(3);
	packet_decode_prefix(&prefix, b.data, b.length);
	assert_int_equal(packet_decode_opened(&d, &prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(d.server, opened.server);
	assert_int_equal(d.shard, 3);
	assert_int_equal(d.shard_count, 8);
	assert_int_equal(d.window, 128);
	assert_int_equal(d.slots, 16);
	assert_int_equal(d.buffer_bytes, 1 << 26);
	free(b.data);
	b = make(4);
	packet_decode_prefix(&prefix, b.data, b.length);
	assert_int_equal(packet_decode_refuse(&r, &prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(r.reason, 5);
	free(b.data);
	b = make(5);
	assert_int_equal(packet_decode_data(&p, b.data, b.length), PACKET_OK);
	assert_int_equal(p.session, data_packet.session);
	assert_int_equal(p.number, data_packet.number);
	assert_int_equal(p.ack_largest, data_packet.ack_largest);
	assert_int_equal(p.ack_bitmap, data_packet.ack_bitmap);
	assert_int_equal(p.ack_delay_us, data_packet.ack_delay_us);
	assert_int_equal(p.slot, data_packet.slot);
	assert_int_equal(p.window, data_packet.window);
	assert_int_equal(p.sequence, data_packet.sequence);
	assert_int_equal(p.length, data_packet.length);
	assert_int_equal(p.offset, data_packet.offset);
	assert_int_equal(p.payload_bytes, 7);
	assert_memory_equal(p.payload, "payload", 7);
	free(b.data);
}

static void every_flipped_bit_is_seen(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KINDS; i++) {
		struct bytes b = make(i);

		for (size_t bit = 0; bit < b.length * 8; bit++) {
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(decode_any(&b), PACKET_OK);
			b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		free(b.data);
	}
}

static void every_proper_prefix_fails(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KINDS; i++) {
		struct bytes whole = make(i);

		for (size_t length = 0; length < whole.length; length++) {
			struct bytes cut = {.data = malloc(length ? length : 1), .length = length};

			memcpy(cut.data, whole.data, length);
			assert_int_not_equal(decode_any(&cut), PACKET_OK);
			/* With a good check as well, where there is room for one; a DATA then is
			 * a shorter one, and a CLOSE has less text. */
			if (length >= PACKET_PREFIX_BYTES) {
				reseal(&cut);
				bool shorter = (i == 5 && length > PACKET_DATA_BYTES) ||
					       (i == 7 && length >= PACKET_SESSION_BYTES);
				assert_int_equal(decode_any(&cut) == PACKET_OK, shorter);
			}
			free(cut.data);
		}
		free(whole.data);
	}
}

/* One field of a good datagram set to something else, with a good check. */
struct breach {
	unsigned which;
	size_t at;
	uint8_t bytes;
	uint32_t value;
	enum packet_fault fault;
};

static void every_rule_is_enforced(void **state)
{
	static const struct breach breaches[] = {
		{5, 0, 1, 0x26, PACKET_FAULT_VERSION},
		{5, 0, 1, 0x06, PACKET_FAULT_VERSION},
		{5, 0, 1, 0x10, PACKET_FAULT_TYPE},
		{5, 0, 1, 0x1a, PACKET_FAULT_TYPE},
		{5, 0, 1, 0x1f, PACKET_FAULT_TYPE},
		{5, 1, 1, 0x10, PACKET_FAULT_FLAGS},
		{5, 1, 1, 0x87, PACKET_FAULT_FLAGS},
		{6, 1, 1, 0x03, PACKET_FAULT_FLAGS},
		{7, 1, 1, 0x01, PACKET_FAULT_FLAGS},
		{8, 1, 1, 0x01, PACKET_FAULT_FLAGS},
		{0, 1, 1, 0x01, PACKET_FAULT_FLAGS},
		{5, 16, 4, 0, PACKET_FAULT_FIELD},          /* DATA without a number */
		{5, 1, 1, 0x02, PACKET_FAULT_FIELD},        /* fields of an absent ACK */
		{5, 34, 2, 64, PACKET_FAULT_FIELD},         /* slot */
		{5, 44, 4, 0x00717273, PACKET_FAULT_FIELD}, /* payload past the end */
		{5, 44, 4, 0xfffffff0, PACKET_FAULT_FIELD}, /* offset past the end */
		{5, 40, 4, 0, PACKET_FAULT_FIELD},          /* empty, yet with payload */
		{5, 1, 1, 0x0b, PACKET_FAULT_FIELD},        /* ABORT with payload */
		{6, 34, 2, 1, PACKET_FAULT_FIELD},          /* ACK with a slot */
		{6, 1, 1, 0, PACKET_FAULT_FIELD},
		{7, 16, 4, 1, PACKET_FAULT_FIELD}, /* CLOSE with a number */
		{7, 20, 4, 1, PACKET_FAULT_FIELD}, /* and an ACK it cannot have */
		{0, 18, 2, SIZE - 1, PACKET_FAULT_LENGTH},
		{0, 16, 1, 4, PACKET_FAULT_FIELD}, /* versions upside down */
		{0, 20, 4, 1, PACKET_FAULT_FIELD},
		{0, 2, 2, 1, PACKET_FAULT_FIELD},
		{1, 44, 2, 511, PACKET_FAULT_FIELD},
		{1, 46, 2, 1, PACKET_FAULT_FIELD},
		{2, 40, 2, SIZE + 1, PACKET_FAULT_LENGTH},
		{2, 42, 2, 0, PACKET_FAULT_FIELD},
		{2, 44, 4, 0, PACKET_FAULT_FIELD},
		{2, 48, 4, 0, PACKET_FAULT_FIELD},
		{2, 56, 4, 9, PACKET_FAULT_FIELD},
		{2, 2, 2, 0, PACKET_FAULT_FIELD},
		{3, 24, 2, SIZE - 1, PACKET_FAULT_LENGTH},
		{3, 26, 2, 0, PACKET_FAULT_FIELD},
		{3, 44, 4, (1 << 24) - 1, PACKET_FAULT_FIELD}, /* less than one message */
		{4, 16, 2, 0, PACKET_FAULT_FIELD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
		const struct breach *breach = &breaches[i];
		struct bytes b = make(breach->which);

		if (breach->bytes == 1)
			b.data[breach->at] = (uint8_t)breach->value;
		else if (breach->bytes == 2)
			store_be16(b.data + breach->at, (uint16_t)breach->value);
		else
			store_be32(b.data + breach->at, breach->value);
		reseal(&b);
		if (decode_any(&b) != breach->fault)
			print_error("breach %zu\n", i);
		assert_int_equal(decode_any(&b), breach->fault);
		free(b.data);
	}
}

static void an_empty_message_is_one_empty_segment(void **state)
{
	uint8_t header[PACKET_HEADER_BYTES_MAX];
	struct packet packet = {.type = PACKET_DATA, .number = 1, .sequence = 1};
	struct bytes b = sealed(header, packet_encode(header, &packet), NULL, 0);

	(void)state;
	assert_int_equal(decode_any(&b), PACKET_OK);
	free(b.data);
	packet.length = 1; /* but an empty segment of another is none */
	b = sealed(header, packet_encode(header, &packet), NULL, 0);
	assert_int_equal(decode_any(&b), PACKET_FAULT_FIELD);
	free(b.data);
}

static void a_hello_of_another_version_is_seen_as_such(void **state)
{
	struct bytes b = make(0);
	struct packet_prefix prefix;

	(void)state;
	b.data[0] = 0x21;
	reseal(&b);
	assert_int_equal(packet_decode_prefix(&prefix, b.data, b.length), PACKET_OK);
	assert_int_equal(prefix.version, 2);
	free(b.data);
}

static void random_bytes_are_refused(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct bytes b;

		random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
		b.length = (random >> 33) % 80;
		b.data = malloc(b.length ? b.length : 1);
		for (size_t at = 0; at < b.length; at++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			b.data[at] = (uint8_t)(random >> 56);
		}
		assert_int_not_equal(decode_any(&b), PACKET_OK);
		free(b.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_good_as_made),
		cmocka_unit_test(the_layout_of_data_is_as_written_down),
		cmocka_unit_test(the_check_is_crc32c_of_all_with_its_field_zero),
		cmocka_unit_test(fields_come_back_as_they_went),
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(every_proper_prefix_fails),
		cmocka_unit_test(every_rule_is_enforced),
		cmocka_unit_test(an_empty_message_is_one_empty_segment),
		cmocka_unit_test(a_hello_of_another_version_is_seen_as_such),
		cmocka_unit_test(random_bytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
