/* dataplane/dpdk/packet.h: Ethernet, VLAN, IPv4, IPv6 and UDP as bytes, both ways.
 *
 * Pure: no allocation, no I/O, no state; any thread.  A frame is one or more pieces (an mbuf
 * chain); its headers may be split anywhere.  packet_parse says whose a frame is:
 *
 *     OURS    a valid UDP datagram to one of our addresses and one of our ports
 *     KERNEL  well-formed as far as we looked, and not ours: ARP, ND, ICMP, TCP, other ports
 *     DROP    malformed, or a datagram to us that breaks a rule; `drop` says which
 *
 * The rules are in packet.c; the reasons in packet_drops.def. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

enum {
	PACKET_MAC_BYTES = 6,
	PACKET_IP_BYTES = 16, /* IPv6, or IPv4 as ::ffff:a.b.c.d */
	PACKET_VLANS_MAX = 2,
	PACKET_ADDRESSES_MAX = 16,
	PACKET_HEADERS_MAX = 256, /* of a frame that came in: none that is ours has longer ones */
	/* Of a frame that we send: Ethernet, two tags, IPv6, UDP. */
	PACKET_ROOM = 14 + 2 * 4 + 40 + 8,
	PACKET_VLAN_ANY = -1,
};

struct packet_piece {
	const uint8_t *data;
	uint32_t length;
};

/* How a station is reached on the link: its MAC and the tags in front of the EtherType. */
struct packet_link {
	uint8_t mac[PACKET_MAC_BYTES];
	uint16_t vlan_count;
	struct {
		uint16_t protocol; /* 0x8100, 0x88a8, 0x9100 */
		uint16_t tag;      /* priority, DEI and VLAN id */
	} vlans[PACKET_VLANS_MAX];
};

/* What is ours. */
struct packet_filter {
	uint8_t mac[PACKET_MAC_BYTES];
	bool any_mac;            /* a point-to-point link whose other end does not know our MAC */
	bool accept_partial;     /* a virtual link: the sender may have left the UDP checksum to
				  * hardware that is not there, so it covers the pseudo header only */
	int vlan;                /* id of the outer tag of datagrams to us; 0: no tag or id 0 */
	uint16_t udp_port_first; /* ours are udp_port_first .. + udp_port_count - 1 */
	uint16_t udp_port_count;
	uint16_t address_count;
	uint8_t addresses[PACKET_ADDRESSES_MAX][PACKET_IP_BYTES];
};

enum packet_verdict {
	PACKET_OURS,
	PACKET_KERNEL,
	PACKET_DROP,
};

enum packet_drop {
#define DROP(name, help) PACKET_DROP_##name,
#include "dataplane/dpdk/packet_drops.def"
#undef DROP
	PACKET_DROPS
};

struct packet {
	enum packet_verdict verdict;
	enum packet_drop drop; /* of PACKET_DROP */
	bool neighbour;        /* of PACKET_KERNEL: ARP, or ICMPv6, which may be ND */
	/* The rest of PACKET_OURS. */
	struct packet_link link; /* the sender's */
	uint8_t ip[PACKET_IP_BYTES];
	uint16_t port;           /* the sender's, host order */
	uint16_t local;          /* which of filter.addresses */
	uint16_t port_index;     /* which of our ports, from 0 */
	uint32_t payload_offset; /* from the frame's first byte */
	uint32_t payload_length;
};

enum packet_checked {
	PACKET_IP_CHECKED = 1, /* the port has verified the IPv4 header checksum */
	PACKET_UDP_CHECKED = 2,
};

/* `checked`: enum packet_checked.  At least one piece; they may be empty. */
void packet_parse(const struct packet_filter *filter, const struct packet_piece *pieces,
		  unsigned piece_count, unsigned checked, struct packet *ret);

/* The Internet checksum's sum of bytes, to be continued; `odd` says whether the bytes before were
 * odd in number.  RFC 1071. */
uint64_t packet_sum(uint64_t sum, const uint8_t *data, uint32_t length, bool odd);

/* To 16 bits, not complemented, big-endian as loaded. */
static inline uint16_t packet_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

/* ---- the next frame of a flow, inline ---- */

enum { PACKET_FLOW_BYTES = 14 + 20 + 8 }; /* Ethernet, IPv4, UDP: no tags, no options */

/* What datagrams of one sender to one of our ports have in common.  A frame that agrees with an
 * accepted one in all that decided its way through packet_parse goes the same way, and only what
 * differs from frame to frame is left to be checked: lengths and checksums. */
struct packet_flow {
	bool known;
	uint8_t header[PACKET_FLOW_BYTES - 2]; /* of an accepted frame; without the UDP checksum */
	struct packet packet;                  /* of the newest frame */
};

/* `frame` is contiguous, and packet_parse has made `packet` of it.  Only what is ours, has no tags,
 * and is IPv4 without options makes a flow. */
static inline void packet_flow_learn(struct packet_flow *flow, const uint8_t *frame,
				     const struct packet *packet)
{
	if (packet->verdict != PACKET_OURS || packet->payload_offset != PACKET_FLOW_BYTES)
		return;
	memcpy(flow->header, frame, sizeof(flow->header));
	flow->packet = *packet;
	flow->known = true;
}

/* An IPv4 header of 20 bytes. */
static inline bool packet_ipv4_sums_up(const uint8_t *ip)
{
	uint32_t words[5];

	memcpy(words, ip, sizeof(words));
	return packet_fold((uint64_t)words[0] + words[1] + words[2] + words[3] + words[4]) ==
	       0xffff;
}

/* True: flow->packet is what packet_parse would make of the contiguous frame.  False: ask it. */
static inline bool packet_flow_next(struct packet_flow *flow, const uint8_t *frame, uint32_t length,
				    unsigned checked)
{
	static const uint8_t shared[sizeof(flow->header)] = {
		[0 ... 14] = 0xff,  /* Ethernet, IP version and header length */
		[20 ... 23] = 0xff, /* flags, fragment offset, TTL, protocol */
		[26 ... 37] = 0xff, /* addresses and ports */
	};
	uint64_t differs = 0;

	if (!flow->known || length < PACKET_FLOW_BYTES)
		return false;
#pragma GCC unroll 5
	for (unsigned at = 0; at < sizeof(shared); at += 8) {
		uint64_t words[3];
		memcpy(&words[0], frame + at, 8);
		memcpy(&words[1], flow->header + at, 8);
		memcpy(&words[2], shared + at, 8);
		differs |= (words[0] ^ words[1]) & words[2];
	}
	uint32_t ip_bytes = load_be16(frame + 16);
	uint32_t udp_bytes = load_be16(frame + 38);
	if (differs || ip_bytes > length - 14 || udp_bytes < 8 || udp_bytes + 20 != ip_bytes)
		return false;
	if (!(checked & PACKET_IP_CHECKED) && !packet_ipv4_sums_up(frame + 14))
		return false;
	if (!(checked & PACKET_UDP_CHECKED) && load_be16(frame + 40) != 0)
		return false;
	flow->packet.payload_length = udp_bytes - 8;
	return true;
}

/* ---- what leaves ---- */

/* The headers of datagrams from one of our addresses and ports to one peer, made once; only lengths
 * and checksums, and the peer's port, differ between datagrams. */
struct packet_path {
	uint8_t header[PACKET_ROOM];
	uint8_t header_bytes;
	uint8_t l2_bytes;
	bool ipv6;
	uint32_t sum;    /* of addresses, protocol and our port: what the UDP checksum covers */
	uint32_t ip_sum; /* of the IPv4 header without its length */
};

void packet_path_init(struct packet_path *path, const struct packet_link *link,
		      const uint8_t *local_mac, const uint8_t *local_ip, uint16_t local_port,
		      const uint8_t *peer_ip);

enum packet_checksum {
	PACKET_CHECKSUM_FULL,    /* computed over the pieces */
	PACKET_CHECKSUM_PARTIAL, /* of the pseudo header, for a port that completes it */
	PACKET_CHECKSUM_NONE,    /* 0, IPv4 only: the payload protects itself; IPv6 gets FULL */
};

/* What packet_put_headers has left out.  FULL alone reads the payload, at most 65507 bytes (65527
 * for IPv6). */
void packet_put_checksum(const struct packet_path *path, const struct packet_piece *payload,
			 unsigned piece_count, uint32_t payload_bytes,
			 enum packet_checksum checksum, uint8_t *at);

/* Writes path->header_bytes at `at`, with a UDP checksum of 0. */
static inline void packet_put_headers(const struct packet_path *path, uint16_t peer_port,
				      uint32_t payload_bytes, uint8_t *at)
{
	uint8_t *ip = at + path->l2_bytes;
	uint8_t *udp = at + path->header_bytes - 8;
	uint16_t udp_bytes = (uint16_t)(payload_bytes + 8);

	if (path->header_bytes ==
	    PACKET_FLOW_BYTES) /* most often; a length known here needs no call */
		memcpy(at, path->header, PACKET_FLOW_BYTES);
	else
		memcpy(at, path->header, path->header_bytes);
	if (path->ipv6) {
		store_be16(ip + 4, udp_bytes);
	} else {
		uint16_t total = (uint16_t)(udp_bytes + 20);
		store_be16(ip + 2, total);
		uint16_t sum = (uint16_t)~packet_fold(path->ip_sum + htobe16(total));
		memcpy(ip + 10, &sum, sizeof(sum));
	}
	store_be16(udp + 2, peer_port);
	store_be16(udp + 4, udp_bytes);
}

/* Both. */
static inline void packet_build(const struct packet_path *path, uint16_t peer_port,
				const struct packet_piece *payload, unsigned piece_count,
				uint32_t payload_bytes, enum packet_checksum checksum, uint8_t *at)
{
	packet_put_headers(path, peer_port, payload_bytes, at);
	if (checksum != PACKET_CHECKSUM_NONE || path->ipv6)
		packet_put_checksum(path, payload, piece_count, payload_bytes, checksum, at);
}

/* A frame to the kernel that crossed a virtual link: completes the TCP or UDP checksum that its
 * sender left to hardware, in place.  False: it was complete, or is none that we can complete. */
bool packet_complete_checksum(uint8_t *frame, uint32_t length);

bool packet_ip_is_v4(const uint8_t *ip);
void packet_ip_from_v4(const uint8_t *v4, uint8_t *ret_ip);

const char *packet_drop_name(enum packet_drop drop);
const char *packet_drop_help(enum packet_drop drop);
