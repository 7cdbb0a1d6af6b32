/* Frames are built by the code under test, whose checksums a plain second implementation confirms,
 * and then spoilt one field at a time.  Each frame is parsed whole, and as a chain cut at every
 * byte: the verdict must be the same. */
#include "dataplane/dpdk/packet.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	PORT_FIRST = 9500,
	PORTS = 4,
	PEER_PORT = 40000,
	FRAME_MAX = 2048,
	IP = 14, /* offsets in a frame without tags */
	UDP4 = IP + 20,
	UDP6 = IP + 40,
};

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t own_v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, 1};
static const uint8_t peer_v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, 9};
static const uint8_t own_v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
static const uint8_t peer_v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 9};

struct frame {
	uint8_t bytes[FRAME_MAX];
	uint32_t length;
};

static struct packet_filter filter(void)
{
	struct packet_filter ours = {
		.udp_port_first = PORT_FIRST,
		.udp_port_count = PORTS,
		.address_count = 2,
	};

	memcpy(ours.mac, own_mac, sizeof(own_mac));
	memcpy(ours.addresses[0], own_v4, 16);
	memcpy(ours.addresses[1], own_v6, 16);
	return ours;
}

/* RFC 1071 as one would write it first. */
static uint32_t plain_sum(uint32_t sum, const uint8_t *data, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t plain_udp_sum(const struct frame *frame, uint32_t ip, bool v6)
{
	uint32_t udp = ip + (v6 ? 40 : 20);
	uint32_t sum = plain_sum(17 + frame->length - udp, frame->bytes + ip + (v6 ? 8 : 12),
				 v6 ? 32 : 8);

	return plain_sum(sum, frame->bytes + udp, frame->length - udp);
}

/* A datagram from the peer to us: the path is built from the peer's side. */
static struct frame datagram(bool v6, uint32_t payload_bytes, unsigned vlans)
{
	struct frame frame = {.length = 0};
	struct packet_link link = {.vlan_count = (uint16_t)vlans};
	struct packet_path path;
	uint8_t payload[FRAME_MAX];
	struct packet_piece piece = {.data = payload, .length = payload_bytes};

	memcpy(link.mac, own_mac, sizeof(own_mac));
	for (unsigned i = 0; i < vlans && i < PACKET_VLANS_MAX; i++) {
		link.vlans[i].protocol = vlans > 1 && i == 0 ? 0x88a8 : 0x8100;
		link.vlans[i].tag = (uint16_t)(0x2000 | (100 + i));
	}
	for (uint32_t i = 0; i < payload_bytes; i++)
		payload[i] = (uint8_t)(i * 7 + 3);
	packet_path_init(&path, &link, peer_mac, v6 ? peer_v6 : peer_v4, PEER_PORT,
			 v6 ? own_v6 : own_v4);
	packet_build(&path, PORT_FIRST + 2, &piece, 1, payload_bytes, PACKET_CHECKSUM_FULL,
		     frame.bytes);
	memcpy(frame.bytes + path.header_bytes, payload, payload_bytes);
	frame.length = path.header_bytes + payload_bytes;
	return frame;
}

static void assert_same(const struct packet *a, const struct packet *b)
{
	assert_int_equal(a->verdict, b->verdict);
	if (a->verdict == PACKET_DROP)
		assert_int_equal(a->drop, b->drop);
	if (a->verdict != PACKET_OURS)
		return;
	assert_int_equal(a->payload_offset, b->payload_offset);
	assert_int_equal(a->payload_length, b->payload_length);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->port_index, b->port_index);
	assert_int_equal(a->local, b->local);
	assert_memory_equal(a->ip, b->ip, 16);
	assert_memory_equal(a->link.mac, b->link.mac, 6);
}

/* From memory of just that size, so that a sanitizer sees a read too far. */
static struct packet parse(const struct packet_filter *ours, const struct frame *frame)
{
	struct packet whole = {0};
	uint8_t *copy = malloc(frame->length ? frame->length : 1);
	struct packet_piece piece = {.data = copy, .length = frame->length};

	assert_non_null(copy);
	memcpy(copy, frame->bytes, frame->length);
	packet_parse(ours, &piece, 1, 0, &whole);
	for (uint32_t cut = 0; cut <= frame->length && cut < 300; cut++) {
		struct packet split = {0};
		struct packet_piece pieces[3] = {
			{.data = copy, .length = cut},
			{.data = copy + cut, .length = (frame->length - cut) / 3},
		};
		pieces[2].data = pieces[1].data + pieces[1].length;
		pieces[2].length = frame->length - cut - pieces[1].length;
		packet_parse(ours, pieces, 3, 0, &split);
		assert_same(&whole, &split);
	}
	free(copy);
	return whole;
}

static void assert_drop(const struct frame *frame, enum packet_drop reason)
{
	struct packet_filter ours = filter();
	struct packet packet = parse(&ours, frame);

	assert_int_equal(packet.verdict, PACKET_DROP);
	assert_string_equal(packet_drop_name(packet.drop), packet_drop_name(reason));
}

static void assert_verdict(const struct frame *frame, enum packet_verdict verdict)
{
	struct packet_filter ours = filter();

	assert_int_equal(parse(&ours, frame).verdict, verdict);
}

static void fix_ip_checksum(struct frame *frame, uint32_t ip)
{
	uint32_t header = (frame->bytes[ip] & 15U) * 4;

	store_be16(frame->bytes + ip + 10, 0);
	store_be16(frame->bytes + ip + 10, (uint16_t)~plain_sum(0, frame->bytes + ip, header));
}

static void fix_udp_checksum(struct frame *frame, bool v6)
{
	uint32_t udp = v6 ? UDP6 : UDP4;

	store_be16(frame->bytes + udp + 6, 0);
	store_be16(frame->bytes + udp + 6, (uint16_t)~plain_udp_sum(frame, IP, v6));
}

static void what_is_built_is_ours_and_sums_up(void **state)
{
	struct packet_filter ours = filter();

	ours.vlan = PACKET_VLAN_ANY;
	for (unsigned vlans = 0; vlans <= PACKET_VLANS_MAX; vlans++) {
		for (uint32_t bytes = 0; bytes < 1400; bytes = bytes < 20 ? bytes + 1 : bytes * 3) {
			for (int v6 = 0; v6 <= 1; v6++) {
				struct frame frame = datagram(v6, bytes, vlans);
				uint32_t ip = IP + 4 * vlans;
				if (!v6)
					assert_int_equal(plain_sum(0, frame.bytes + ip, 20),
							 0xffff);
				assert_int_equal(plain_udp_sum(&frame, ip, v6), 0xffff);
				struct packet packet = parse(&ours, &frame);
				assert_int_equal(packet.verdict, PACKET_OURS);
				assert_int_equal(packet.port, PEER_PORT);
				assert_int_equal(packet.port_index, 2);
				assert_int_equal(packet.local, v6);
				assert_int_equal(packet.payload_length, bytes);
				assert_int_equal(packet.payload_offset, frame.length - bytes);
				assert_memory_equal(packet.ip, v6 ? peer_v6 : peer_v4, 16);
				assert_memory_equal(packet.link.mac, peer_mac, 6);
				assert_int_equal(packet.link.vlan_count, vlans);
			}
		}
	}
}

static void other_checksums_are_built_as_asked(void **state)
{
	struct packet_filter ours = filter();

	for (int v6 = 0; v6 <= 1; v6++) {
		struct frame frame = datagram(v6, 33, 0);
		uint32_t udp = v6 ? UDP6 : UDP4;
		struct packet_link link = {0};
		struct packet_path path;
		struct packet_piece piece = {.data = frame.bytes + udp + 8, .length = 33};
		memcpy(link.mac, own_mac, 6);
		packet_path_init(&path, &link, peer_mac, v6 ? peer_v6 : peer_v4, PEER_PORT,
				 v6 ? own_v6 : own_v4);
		packet_build(&path, PORT_FIRST, &piece, 1, 33, PACKET_CHECKSUM_NONE, frame.bytes);
		assert_int_equal(load_be16(frame.bytes + udp + 6) == 0, !v6);
		assert_int_equal(parse(&ours, &frame).verdict, PACKET_OURS);
		/* Partial: the hardware adds the datagram itself and gets the whole. */
		packet_build(&path, PORT_FIRST, &piece, 1, 33, PACKET_CHECKSUM_PARTIAL,
			     frame.bytes);
		uint16_t partial = load_be16(frame.bytes + udp + 6);
		assert_int_equal(partial, plain_sum(17 + 33 + 8, frame.bytes + IP + (v6 ? 8 : 12),
						    v6 ? 32 : 8));
		assert_drop(&frame, PACKET_DROP_UDP_CHECKSUM);
		ours.accept_partial = true;
		assert_int_equal(parse(&ours, &frame).verdict, PACKET_OURS);
		ours.accept_partial = false;
		assert_true(packet_complete_checksum(frame.bytes, frame.length));
		assert_int_equal(plain_udp_sum(&frame, IP, v6), 0xffff);
		assert_false(packet_complete_checksum(frame.bytes, frame.length));
		assert_int_equal(parse(&ours, &frame).verdict, PACKET_OURS);
	}
}

static void every_proper_prefix_is_dropped(void **state)
{
	struct packet_filter ours = filter();

	for (int v6 = 0; v6 <= 1; v6++) {
		struct frame frame = datagram(v6, 40, 0);
		uint32_t whole = frame.length;
		for (frame.length = 0; frame.length < whole; frame.length++) {
			struct packet packet = parse(&ours, &frame);
			assert_int_equal(packet.verdict, PACKET_DROP);
			enum packet_drop reason = packet.drop;
			if (frame.length < IP)
				assert_int_equal(reason, PACKET_DROP_ETHERNET_SHORT);
			else
				assert_int_equal(reason, v6 ? PACKET_DROP_IPV6_SHORT
							    : PACKET_DROP_IPV4_SHORT);
		}
	}
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct packet_filter ours = filter();

	for (int v6 = 0; v6 <= 1; v6++) {
		struct frame frame = datagram(v6, 11, 0);
		for (uint32_t bit = 0; bit < frame.length * 8; bit++) {
			frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			struct packet packet = parse(&ours, &frame);
			/* The sender's MAC, and IPv6's traffic class and flow label, are covered by
			 * no checksum but the link's. */
			bool uncovered = (bit / 8 >= 6 && bit / 8 < 12) ||
					 (v6 && bit / 8 >= IP && bit / 8 < IP + 4) ||
					 (v6 && bit / 8 == IP + 7); /* hop limit */
			if (!uncovered && packet.verdict == PACKET_OURS)
				fail_msg("bit %u of the IPv%d datagram", bit, v6 ? 6 : 4);
			frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void ethernet_fields(void **state)
{
	struct packet_filter ours = filter();
	struct frame frame = datagram(false, 8, 0);

	frame.bytes[5] = 7;
	assert_drop(&frame, PACKET_DROP_MAC_OTHER);
	ours.any_mac = true;
	assert_int_equal(parse(&ours, &frame).verdict, PACKET_OURS);
	memset(frame.bytes, 0xff, 6);
	assert_drop(&frame, PACKET_DROP_GROUP_FRAME);
	frame = datagram(false, 8, 0);
	frame.bytes[6] |= 1;
	assert_drop(&frame, PACKET_DROP_MAC_SOURCE);
	static const uint16_t foreign[] = {0, 46, 0x5ff, 0x600, 0x8847, 0x88cc, 0x88e5, 0xffff};
	for (size_t i = 0; i < array_count(foreign); i++) {
		frame = datagram(false, 8, 0);
		store_be16(frame.bytes + 12, foreign[i]);
		assert_verdict(&frame, PACKET_KERNEL);
	}
	frame = datagram(false, 8, 0);
	store_be16(frame.bytes + 12, 0x0806);
	struct packet packet = parse(&ours, &frame);
	assert_int_equal(packet.verdict, PACKET_KERNEL);
	assert_true(packet.neighbour);
}

static void vlan_tags(void **state)
{
	struct packet_filter ours = filter();
	struct frame one = datagram(false, 8, 1);
	struct frame two = datagram(true, 8, 2);

	assert_drop(&one, PACKET_DROP_VLAN_OTHER); /* untagged is ours */
	ours.vlan = 100;
	struct packet packet = parse(&ours, &one);
	assert_int_equal(packet.verdict, PACKET_OURS);
	assert_int_equal(packet.link.vlans[0].tag, 0x2000 | 100);
	assert_int_equal(parse(&ours, &two).drop, PACKET_DROP_VLAN_OTHER);
	ours.vlan = 101;
	assert_int_equal(parse(&ours, &one).drop, PACKET_DROP_VLAN_OTHER);
	ours.vlan = PACKET_VLAN_ANY;
	packet = parse(&ours, &two);
	assert_int_equal(packet.verdict, PACKET_OURS);
	assert_int_equal(packet.link.vlans[0].protocol, 0x88a8);
	assert_int_equal(packet.link.vlans[1].tag, 0x2000 | 101);
	/* A priority tag is of no VLAN. */
	store_be16(one.bytes + 14, 0xe000);
	assert_verdict(&one, PACKET_OURS);
	/* Three tags are nobody's business here; a tag cut short is malformed. */
	struct frame three = {.length = two.length + 4};
	memcpy(three.bytes, two.bytes, 12);
	store_be16(three.bytes + 12, 0x9100);
	memcpy(three.bytes + 16, two.bytes + 12, two.length - 12);
	assert_int_equal(parse(&ours, &three).verdict, PACKET_KERNEL);
	for (one.length = 14; one.length < 18; one.length++)
		assert_drop(&one, PACKET_DROP_ETHERNET_SHORT);
}

static void ipv4_fields(void **state)
{
	static const struct {
		uint32_t at;
		uint8_t value;
		enum packet_drop reason;
	} spoilt[] = {
		{0, 0x55, PACKET_DROP_IPV4_VERSION},
		{0, 0x44, PACKET_DROP_IPV4_HEADER_LENGTH},
		{0, 0x40, PACKET_DROP_IPV4_HEADER_LENGTH},
		{3, 19, PACKET_DROP_IPV4_HEADER_LENGTH},
		{2, 0x40, PACKET_DROP_IPV4_SHORT},
		{6, 0x80, PACKET_DROP_IPV4_FLAGS},
		{6, 0x20, PACKET_DROP_FRAGMENT},
		{8, 0, PACKET_DROP_TTL},
		{12, 0, PACKET_DROP_SOURCE},
		{12, 127, PACKET_DROP_SOURCE},
		{12, 224, PACKET_DROP_SOURCE},
		{12, 255, PACKET_DROP_SOURCE},
		{15, 1, PACKET_DROP_SOURCE}, /* our own */
	};

	for (size_t i = 0; i < array_count(spoilt); i++) {
		struct frame frame = datagram(false, 60, 0);
		frame.bytes[IP + spoilt[i].at] = spoilt[i].value;
		fix_ip_checksum(&frame, IP);
		assert_drop(&frame, spoilt[i].reason);
	}
	struct frame frame = datagram(false, 60, 0);
	frame.bytes[IP + 10] ^= 1;
	assert_drop(&frame, PACKET_DROP_IPV4_CHECKSUM);
	/* TOS, identification and "don't fragment" are as the sender likes. */
	frame = datagram(false, 60, 0);
	frame.bytes[IP + 1] = 0xff;
	store_be16(frame.bytes + IP + 4, 0x1234);
	store_be16(frame.bytes + IP + 6, 0);
	fix_ip_checksum(&frame, IP);
	assert_verdict(&frame, PACKET_OURS);
	/* Padding behind the packet is the link's. */
	frame.length += 9;
	assert_verdict(&frame, PACKET_OURS);
}

static void what_is_not_ours_is_the_kernels(void **state)
{
	static const uint8_t protocols[] = {1, 2, 6, 47, 50, 132, 255};

	for (size_t i = 0; i < array_count(protocols); i++) {
		for (int v6 = 0; v6 <= 1; v6++) {
			struct frame frame = datagram(v6, 30, 0);
			frame.bytes[IP + (v6 ? 6 : 9)] = protocols[i];
			if (!v6)
				fix_ip_checksum(&frame, IP);
			assert_verdict(&frame, PACKET_KERNEL);
		}
	}
	static const uint16_t ports[] = {0, 53, PORT_FIRST - 1, PORT_FIRST + PORTS, 65535};
	for (size_t i = 0; i < array_count(ports); i++) {
		for (int v6 = 0; v6 <= 1; v6++) {
			struct frame frame = datagram(v6, 30, 0);
			store_be16(frame.bytes + (v6 ? UDP6 : UDP4) + 2, ports[i]);
			assert_verdict(&frame, PACKET_KERNEL);
		}
	}
	/* To another address; a later fragment; a fragment of something else. */
	struct frame frame = datagram(false, 30, 0);
	frame.bytes[IP + 19] = 77;
	fix_ip_checksum(&frame, IP);
	assert_verdict(&frame, PACKET_KERNEL);
	frame = datagram(false, 30, 0);
	store_be16(frame.bytes + IP + 6, 0x2001);
	fix_ip_checksum(&frame, IP);
	assert_verdict(&frame, PACKET_KERNEL);
	store_be16(frame.bytes + IP + 6, 0x2000);
	store_be16(frame.bytes + UDP4 + 2, 53);
	fix_ip_checksum(&frame, IP);
	assert_verdict(&frame, PACKET_KERNEL);
	frame = datagram(true, 30, 0);
	frame.bytes[IP + 39] = 77;
	assert_verdict(&frame, PACKET_KERNEL);
	frame = datagram(true, 30, 0);
	frame.bytes[IP + 6] = 58; /* ICMPv6 may be ND */
	struct packet_filter ours = filter();
	assert_true(parse(&ours, &frame).neighbour);
}

/* Puts `bytes` of options behind the IPv4 header of a datagram of 24 bytes. */
static struct frame with_options(const uint8_t *options, uint32_t bytes)
{
	struct frame plain = datagram(false, 24, 0);
	struct frame frame = {.length = plain.length + bytes};

	memcpy(frame.bytes, plain.bytes, UDP4);
	memcpy(frame.bytes + UDP4, options, bytes);
	memcpy(frame.bytes + UDP4 + bytes, plain.bytes + UDP4, plain.length - UDP4);
	frame.bytes[IP] = (uint8_t)(0x40 | (5 + bytes / 4));
	store_be16(frame.bytes + IP + 2, (uint16_t)(frame.length - IP));
	fix_ip_checksum(&frame, IP);
	return frame;
}

static void ipv4_options(void **state)
{
	static const uint8_t good[][8] = {
		{1, 1, 1, 0, 0xff, 0xff, 0xff, 0xff}, /* nothing counts behind the end */
		{0x94, 4, 0, 0, 1, 1, 1, 1},          /* router alert */
		{1, 7, 7, 4, 0, 0, 0, 0},             /* record route */
	};
	static const uint8_t bad[][8] = {
		{0x94, 0, 0, 0, 0, 0, 0, 0},  /* no length */
		{0x94, 1, 0, 0, 0, 0, 0, 0},  /* shorter than itself */
		{7, 9, 4, 0, 0, 0, 0, 0},     /* longer than the header */
		{1, 1, 1, 1, 1, 1, 1, 7},     /* its length lies behind the header */
		{0x83, 7, 4, 10, 0, 0, 1, 0}, /* loose source route */
		{0x89, 7, 4, 10, 0, 0, 1, 0}, /* strict source route */
	};
	uint8_t most[40];

	for (size_t i = 0; i < array_count(good); i++) {
		struct frame frame = with_options(good[i], 8);
		assert_verdict(&frame, PACKET_OURS);
	}
	for (size_t i = 0; i < array_count(bad); i++) {
		struct frame frame = with_options(bad[i], 8);
		assert_drop(&frame, PACKET_DROP_IPV4_OPTIONS);
	}
	memset(most, 1, sizeof(most));
	struct frame frame = with_options(most, sizeof(most));
	assert_verdict(&frame, PACKET_OURS);
	frame.length = IP + 59;
	assert_drop(&frame, PACKET_DROP_IPV4_SHORT);
}

static void ipv6_fields(void **state)
{
	struct frame frame = datagram(true, 30, 0);

	frame.bytes[IP] = 0x50;
	assert_drop(&frame, PACKET_DROP_IPV6_VERSION);
	frame = datagram(true, 30, 0);
	frame.bytes[IP + 7] = 0;
	assert_drop(&frame, PACKET_DROP_TTL);
	frame = datagram(true, 30, 0);
	store_be16(frame.bytes + IP + 4, 39);
	assert_drop(&frame, PACKET_DROP_IPV6_SHORT);
	frame = datagram(true, 30, 0);
	store_be16(frame.bytes + IP + 4, 0); /* a jumbogram says so (RFC 2675) */
	assert_drop(&frame, PACKET_DROP_UDP_SHORT);
	static const uint8_t sources[][16] = {
		{0},
		{[15] = 1},
		{0xff, 2, [15] = 1},
		{[10] = 0xff, [11] = 0xff, 192, 0, 2, 9},
		{0x20, 1, 0xd, 0xb8, [15] = 1},
	};
	for (size_t i = 0; i < array_count(sources); i++) {
		frame = datagram(true, 30, 0);
		memcpy(frame.bytes + IP + 8, sources[i], 16);
		fix_udp_checksum(&frame, true);
		assert_drop(&frame, PACKET_DROP_SOURCE);
	}
	frame = datagram(true, 30, 0);
	frame.bytes[IP + 1] = 0xff; /* traffic class and flow label */
	frame.bytes[IP + 2] = 0xff;
	assert_verdict(&frame, PACKET_OURS);
}

/* Puts extension headers, whose first byte is set here, between IPv6 and UDP. */
static struct frame with_extensions(const uint8_t *types, const uint32_t *sizes, unsigned count)
{
	struct frame plain = datagram(true, 24, 0);
	struct frame frame = {.length = UDP6};

	memcpy(frame.bytes, plain.bytes, UDP6);
	frame.bytes[IP + 6] = count ? types[0] : 17;
	for (unsigned i = 0; i < count; i++) {
		memset(frame.bytes + frame.length, 0, sizes[i]);
		frame.bytes[frame.length] = i + 1 < count ? types[i + 1] : 17;
		frame.bytes[frame.length + 1] = (uint8_t)(sizes[i] / 8 - 1);
		frame.length += sizes[i];
	}
	memcpy(frame.bytes + frame.length, plain.bytes + UDP6, plain.length - UDP6);
	frame.length += plain.length - UDP6;
	store_be16(frame.bytes + IP + 4, (uint16_t)(frame.length - UDP6));
	return frame;
}

static void ipv6_extension_headers(void **state)
{
	static const uint8_t skipped[] = {0, 60, 60, 60, 60};
	static const uint32_t small[] = {8, 16, 24, 8, 8};
	static const uint32_t large[] = {120, 16};
	struct frame frame;

	for (unsigned count = 0; count <= 4; count++) {
		frame = with_extensions(skipped, small, count);
		assert_verdict(&frame, PACKET_OURS);
	}
	frame = with_extensions(skipped, small, 5);
	assert_drop(&frame, PACKET_DROP_IPV6_EXTENSION);
	frame = with_extensions(skipped, large, 1);
	assert_verdict(&frame, PACKET_OURS);
	frame = with_extensions(skipped, large, 2);
	assert_drop(&frame, PACKET_DROP_IPV6_EXTENSION);
	/* A header that reaches behind the packet. */
	frame = with_extensions(skipped, small, 1);
	frame.bytes[UDP6 + 1] = 9;
	assert_drop(&frame, PACKET_DROP_IPV6_EXTENSION);
	/* A routing header is the kernel's, a fragment header refused if it is about us. */
	frame = with_extensions((const uint8_t[]){43}, small, 1);
	assert_verdict(&frame, PACKET_KERNEL);
	frame = with_extensions((const uint8_t[]){44}, small, 1);
	frame.bytes[UDP6 + 1] = 0;
	assert_drop(&frame, PACKET_DROP_FRAGMENT);
	store_be16(frame.bytes + UDP6 + 2, 8 << 3);
	assert_verdict(&frame, PACKET_KERNEL);
	/* As long as an extension can claim to be. */
	frame = with_extensions(skipped, small, 1);
	frame.bytes[UDP6 + 1] = 255;
	assert_drop(&frame, PACKET_DROP_IPV6_EXTENSION);
}

static void udp_fields(void **state)
{
	for (int v6 = 0; v6 <= 1; v6++) {
		uint32_t udp = v6 ? UDP6 : UDP4;
		struct frame frame = datagram(v6, 30, 0);
		store_be16(frame.bytes + udp, 0);
		fix_udp_checksum(&frame, v6);
		assert_drop(&frame, PACKET_DROP_UDP_SOURCE_PORT);
		static const uint16_t lengths[] = {0, 7, 8, 37, 39, 65535};
		for (size_t i = 0; i < array_count(lengths); i++) {
			frame = datagram(v6, 30, 0);
			store_be16(frame.bytes + udp + 4, lengths[i]);
			assert_drop(&frame, PACKET_DROP_UDP_LENGTH);
		}
		frame = datagram(v6, 30, 0);
		frame.bytes[udp + 6] ^= 0x40;
		assert_drop(&frame, PACKET_DROP_UDP_CHECKSUM);
		frame = datagram(v6, 30, 0);
		store_be16(frame.bytes + udp + 6, 0);
		if (v6)
			assert_drop(&frame, PACKET_DROP_UDP_CHECKSUM_NONE);
		else
			assert_verdict(&frame, PACKET_OURS);
		/* Each of our ports. */
		for (int i = 0; i < PORTS; i++) {
			struct packet_filter ours = filter();
			frame = datagram(v6, 30, 0);
			store_be16(frame.bytes + udp + 2, (uint16_t)(PORT_FIRST + i));
			fix_udp_checksum(&frame, v6);
			assert_int_equal(parse(&ours, &frame).port_index, i);
		}
	}
	/* Less than a header of UDP in the IP packet, in a frame that has the bytes. */
	struct frame frame = datagram(false, 30, 0);
	for (uint16_t total = 20; total < 28; total++) {
		store_be16(frame.bytes + IP + 2, total);
		fix_ip_checksum(&frame, IP);
		assert_drop(&frame, PACKET_DROP_UDP_SHORT);
	}
}

static void checksums_that_the_port_verified_are_not_computed(void **state)
{
	struct packet_filter ours = filter();
	struct frame frame = datagram(false, 30, 0);
	struct packet_piece piece = {.data = frame.bytes, .length = frame.length};
	struct packet packet = {0};

	frame.bytes[IP + 10] ^= 1;
	frame.bytes[UDP4 + 6] ^= 1;
	packet_parse(&ours, &piece, 1, PACKET_IP_CHECKED | PACKET_UDP_CHECKED, &packet);
	assert_int_equal(packet.verdict, PACKET_OURS);
	packet_parse(&ours, &piece, 1, PACKET_IP_CHECKED, &packet);
	assert_int_equal(packet.drop, PACKET_DROP_UDP_CHECKSUM);
	packet_parse(&ours, &piece, 1, PACKET_UDP_CHECKED, &packet);
	assert_int_equal(packet.drop, PACKET_DROP_IPV4_CHECKSUM);
}

/* What the flow says of the frame has to be what packet_parse says.  Returns whether it said it. */
static bool flow_agrees(struct packet_flow *flow, const struct packet_filter *ours,
			const struct frame *frame, unsigned checked)
{
	uint8_t *copy = malloc(frame->length ? frame->length : 1);
	struct packet_piece piece = {.data = copy, .length = frame->length};
	struct packet parsed = {0};

	assert_non_null(copy);
	memcpy(copy, frame->bytes, frame->length);
	bool said = packet_flow_next(flow, copy, frame->length, checked);
	if (said) {
		packet_parse(ours, &piece, 1, checked, &parsed);
		assert_same(&flow->packet, &parsed);
	}
	free(copy);
	return said;
}

static struct frame without_udp_checksum(uint32_t payload_bytes)
{
	struct frame frame = datagram(false, payload_bytes, 0);

	store_be16(frame.bytes + UDP4 + 6, 0);
	return frame;
}

static struct packet_flow flow_from(const struct packet_filter *ours, const struct frame *frame)
{
	struct packet_flow flow = {0};
	struct packet packet = parse(ours, frame);

	packet_flow_learn(&flow, frame->bytes, &packet);
	return flow;
}

static void the_next_frame_of_a_flow_is_recognised(void **state)
{
	struct packet_filter ours = filter();
	struct frame first = without_udp_checksum(5);
	struct packet_flow flow = flow_from(&ours, &first);

	for (uint32_t bytes = 0; bytes < 1400; bytes++) {
		struct frame next = without_udp_checksum(bytes);
		assert_true(flow_agrees(&flow, &ours, &next, 0));
		/* Its own service class and identification, and padding behind the IP packet. */
		next.bytes[IP + 1] = (uint8_t)bytes;
		store_be16(next.bytes + IP + 4, (uint16_t)bytes);
		fix_ip_checksum(&next, IP);
		next.length += bytes % 7;
		assert_true(flow_agrees(&flow, &ours, &next, 0));
	}
}

static void a_flow_says_nothing_that_the_parser_would_not(void **state)
{
	struct packet_filter ours = filter();
	struct frame frame = without_udp_checksum(20);
	struct packet_flow flow = flow_from(&ours, &frame);

	for (unsigned checked = 0; checked <= (PACKET_IP_CHECKED | PACKET_UDP_CHECKED); checked++) {
		for (uint32_t bit = 0; bit < frame.length * 8; bit++) {
			struct frame flipped = frame;
			flipped.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			flow_agrees(&flow, &ours, &flipped, checked);
			fix_ip_checksum(&flipped, IP);
			flow_agrees(&flow, &ours, &flipped, checked);
		}
		for (struct frame cut = frame; cut.length; cut.length--)
			flow_agrees(&flow, &ours, &cut, checked);
	}
}

static void what_has_a_checksum_to_verify_is_left_to_the_parser(void **state)
{
	struct packet_filter ours = filter();
	struct frame frame = datagram(false, 20, 0);
	struct packet_flow flow = flow_from(&ours, &frame);

	assert_false(flow_agrees(&flow, &ours, &frame, 0));
	assert_true(flow_agrees(&flow, &ours, &frame, PACKET_UDP_CHECKED));
}

static void tags_options_and_ipv6_make_no_flow(void **state)
{
	struct packet_filter ours = filter();
	struct frame none = {.length = 60};
	struct packet_flow unknown = {0};

	ours.vlan = PACKET_VLAN_ANY;
	for (unsigned vlans = 0; vlans <= 1; vlans++) {
		struct frame frame = datagram(vlans == 0, 20, vlans);
		struct packet_flow flow = flow_from(&ours, &frame);
		assert_false(
			packet_flow_next(&flow, frame.bytes, frame.length, PACKET_UDP_CHECKED));
	}
	assert_false(packet_flow_next(&unknown, none.bytes, none.length,
				      PACKET_IP_CHECKED | PACKET_UDP_CHECKED));
}

static void sums_go_on_over_any_cut(void **state)
{
	uint8_t bytes[131];
	uint64_t seed = 7;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		bytes[i] = (uint8_t)(seed >> 56);
	}
	for (uint32_t length = 0; length <= sizeof(bytes); length++) {
		uint16_t want = htobe16((uint16_t)plain_sum(0, bytes, length));
		for (uint32_t cut = 0; cut <= length; cut++) {
			uint64_t sum = packet_sum(0, bytes, cut, false);
			sum = packet_sum(sum, bytes + cut, length - cut, cut % 2);
			assert_int_equal(packet_fold(sum), want);
		}
	}
}

static void every_reason_has_words(void **state)
{
	for (unsigned i = 0; i < PACKET_DROPS; i++) {
		assert_string_not_equal(packet_drop_name(i), "?");
		assert_true(strlen(packet_drop_help(i)) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_built_is_ours_and_sums_up),
		cmocka_unit_test(other_checksums_are_built_as_asked),
		cmocka_unit_test(every_proper_prefix_is_dropped),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(ethernet_fields),
		cmocka_unit_test(vlan_tags),
		cmocka_unit_test(ipv4_fields),
		cmocka_unit_test(what_is_not_ours_is_the_kernels),
		cmocka_unit_test(ipv4_options),
		cmocka_unit_test(ipv6_fields),
		cmocka_unit_test(ipv6_extension_headers),
		cmocka_unit_test(udp_fields),
		cmocka_unit_test(checksums_that_the_port_verified_are_not_computed),
		cmocka_unit_test(the_next_frame_of_a_flow_is_recognised),
		cmocka_unit_test(a_flow_says_nothing_that_the_parser_would_not),
		cmocka_unit_test(what_has_a_checksum_to_verify_is_left_to_the_parser),
		cmocka_unit_test(tags_options_and_ipv6_make_no_flow),
		cmocka_unit_test(sums_go_on_over_any_cut),
		cmocka_unit_test(every_reason_has_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
