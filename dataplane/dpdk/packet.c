/* Frames that come in, header by header:
 *
 *     Ethernet -> 0..2 VLAN tags -> IPv4 with options | IPv6 with extension headers -> UDP
 *
 * Each layer checks its own fields before it looks further, and the question "is it ours" is asked
 * as soon as the layer can answer it, so what is the kernel's is passed on with no more checks than
 * the way to that answer needs.  Lengths only shrink: `left` is what the layers so far allow, and
 * every read is compared with it.
 *
 * What is refused where the standards would let it pass, because no client of ours sends it: source
 * routes; fragments, which the transport's path probing makes needless and which would need memory
 * before anything about their sender is known; bytes behind the UDP datagram inside the IP packet.
 * A frame longer than its IP packet is padding and fine (IEEE 802.3 3.2.8).
 *
 * The first PACKET_HEADERS_MAX bytes are copied together when a chain splits them, so everything
 * but the checksum reads contiguous bytes. */
#include "dataplane/dpdk/packet.h"

#include "base/bytes.h"

#include <string.h>

enum {
	MACS_BYTES = 2 * PACKET_MAC_BYTES,
	ETHERNET_BYTES = 14,
	VLAN_BYTES = 4,
	IPV4_BYTES = 20,
	IPV6_BYTES = 40,
	UDP_BYTES = 8,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_MIN = 0x0600, /* below: an IEEE 802.3 length */
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_ICMPV6 = 58,
	/* IPv6 extension headers (RFC 8200 4). */
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_DESTINATION = 60,
	EXTENSIONS_MAX = 4,
	EXTENSION_BYTES_MAX = 128,
	IPV4_RESERVED = 0x8000,
	IPV4_DONT_FRAGMENT = 0x4000,
	IPV4_MORE_FRAGMENTS = 0x2000,
	IPV4_OFFSET_MASK = 0x1fff,
	TTL = 64,
};

/* Where we are in a frame. */
struct cursor {
	const struct packet_filter *filter;
	const struct packet_piece *pieces;
	unsigned piece_count;
	unsigned checked;
	const uint8_t *headers; /* the frame's first bytes, contiguous */
	uint32_t header_bytes;
	uint32_t at;   /* offset in the frame */
	uint32_t left; /* bytes from there that the layers so far allow */
	bool group;    /* a broadcast or multicast frame */
	bool vlan_fits;
	uint64_t pseudo; /* sum of the pseudo header without the length */
};

static void drop(struct packet *ret, enum packet_drop reason)
{
	ret->verdict = PACKET_DROP;
	ret->drop = reason;
}

static void kernel(struct packet *ret, bool neighbour)
{
	ret->verdict = PACKET_KERNEL;
	ret->neighbour = neighbour;
}

bool packet_ip_is_v4(const uint8_t *ip)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(ip, prefix, sizeof(prefix)) == 0;
}

void packet_ip_from_v4(const uint8_t *v4, uint8_t *ret_ip)
{
	memset(ret_ip, 0, 10);
	memset(ret_ip + 10, 0xff, 2);
	memcpy(ret_ip + 12, v4, 4);
}

/* ---- checksums ---- */

/* Up to 7 bytes as the first of a word, without a call for so few. */
static inline uint64_t tail_of(const uint8_t *data, uint32_t length)
{
	uint64_t tail = 0;
	uint32_t at = 0;

	if (length & 4) {
		uint32_t four;
		memcpy(&four, data, 4);
		tail = four;
		at = 4;
	}
	for (; at < length; at++)
		tail |= (uint64_t)data[at] << 8 * at;
	return tail;
}

uint64_t packet_sum(uint64_t sum, const uint8_t *data, uint32_t length, bool odd)
{
	/* 64-bit words with their carries above: an addition and an addition of the carry each. */
	unsigned __int128 words = 0;
	uint64_t word[4];

	for (; length >= 32; length -= 32, data += 32) {
		memcpy(word, data, 32);
		words += word[0];
		words += word[1];
		words += word[2];
		words += word[3];
	}
	for (; length >= 8; length -= 8, data += 8) {
		memcpy(word, data, 8);
		words += word[0];
	}
	words += tail_of(data, length);
	uint64_t low = (uint64_t)words;
	uint64_t own = (low & UINT32_MAX) + (low >> 32) + (uint64_t)(words >> 64);
	if (odd) {
		/* Bytes in even places go where those in odd places went. */
		own = __builtin_bswap16(packet_fold(own));
	}
	return sum + own;
}

/* A 16-bit field as it lies in memory, for sums. */
static uint64_t sum_be16(uint16_t value)
{
	return htobe16(value);
}

static uint64_t sum_range(const struct packet_piece *pieces, unsigned count, uint32_t from,
			  uint32_t length)
{
	uint64_t sum = 0;
	bool odd = false;

	for (unsigned i = 0; i < count && length; i++) {
		if (from >= pieces[i].length) {
			from -= pieces[i].length;
			continue;
		}
		uint32_t here = pieces[i].length - from;
		if (here > length)
			here = length;
		sum = packet_sum(sum, pieces[i].data + from, here, odd);
		odd ^= here & 1;
		length -= here;
		from = 0;
	}
	return sum;
}

/* ---- UDP ---- */

static bool udp_port_is_ours(const struct packet_filter *filter, uint16_t port)
{
	return (uint16_t)(port - filter->udp_port_first) < filter->udp_port_count;
}

static bool udp_checksum_holds(const struct cursor *c, uint16_t checksum, uint32_t length)
{
	uint64_t pseudo = c->pseudo + sum_be16((uint16_t)length);

	if (c->checked & PACKET_UDP_CHECKED)
		return true;
	if (packet_fold(pseudo + sum_range(c->pieces, c->piece_count, c->at, length)) == 0xffff)
		return true;
	return c->filter->accept_partial && packet_fold(pseudo) == htobe16(checksum);
}

static void parse_udp(struct cursor *c, bool ipv6, struct packet *ret)
{
	const uint8_t *udp = c->headers + c->at;

	if (c->left < UDP_BYTES)
		return drop(ret, PACKET_DROP_UDP_SHORT);
	if (!udp_port_is_ours(c->filter, load_be16(udp + 2)))
		return kernel(ret, false);
	if (c->group)
		return drop(ret, PACKET_DROP_GROUP_FRAME);
	if (!c->vlan_fits)
		return drop(ret, PACKET_DROP_VLAN_OTHER);
	ret->port = load_be16(udp);
	if (ret->port == 0)
		return drop(ret, PACKET_DROP_UDP_SOURCE_PORT);
	if (load_be16(udp + 4) != c->left)
		return drop(ret, PACKET_DROP_UDP_LENGTH);
	uint16_t checksum = load_be16(udp + 6);
	if (checksum == 0 && ipv6)
		return drop(ret, PACKET_DROP_UDP_CHECKSUM_NONE);
	if (checksum && !udp_checksum_holds(c, checksum, c->left))
		return drop(ret, PACKET_DROP_UDP_CHECKSUM);
	ret->verdict = PACKET_OURS;
	ret->port_index = (uint16_t)(load_be16(udp + 2) - c->filter->udp_port_first);
	ret->payload_offset = c->at + UDP_BYTES;
	ret->payload_length = c->left - UDP_BYTES;
}

/* ---- addresses ---- */

static int local_index(const struct packet_filter *filter, const uint8_t *ip)
{
	for (unsigned i = 0; i < filter->address_count; i++) {
		if (memcmp(filter->addresses[i], ip, PACKET_IP_BYTES) == 0)
			return (int)i;
	}
	return -1;
}

/* Group, loopback and unspecified addresses send nothing, nor does anybody else from ours. */
static bool source_holds(const struct packet_filter *filter, const uint8_t *ip, bool ipv6)
{
	static const uint8_t loopback[PACKET_IP_BYTES] = {[15] = 1};
	static const uint8_t unspecified[PACKET_IP_BYTES];

	if (local_index(filter, ip) >= 0)
		return false;
	if (!ipv6)
		return ip[12] != 0 && ip[12] != 127 && ip[12] < 224;
	return ip[0] != 0xff && !packet_ip_is_v4(ip) &&
	       memcmp(ip, loopback, sizeof(loopback)) != 0 &&
	       memcmp(ip, unspecified, sizeof(unspecified)) != 0;
}

/* ---- IPv4 ---- */

/* RFC 791 3.1: end, no operation, or type and length. */
static bool options_hold(const uint8_t *options, uint32_t length)
{
	enum { END = 0, NOP = 1, LOOSE_ROUTE = 0x83, STRICT_ROUTE = 0x89 };

	for (uint32_t at = 0; at < length;) {
		uint8_t type = options[at];
		if (type == END)
			return true;
		if (type == NOP) {
			at++;
			continue;
		}
		if (type == LOOSE_ROUTE || type == STRICT_ROUTE || length - at < 2)
			return false;
		uint8_t bytes = options[at + 1];
		if (bytes < 2 || bytes > length - at)
			return false;
		at += bytes;
	}
	return true;
}

/* The first fragment shows the ports.  Later ones, and those of other datagrams, are the kernel's:
 * what is ours among them it discards when it misses the first. */
static void parse_fragment(struct cursor *c, uint16_t offset, struct packet *ret)
{
	const uint8_t *udp = c->headers + c->at;

	if (offset == 0 && c->left >= UDP_BYTES && udp_port_is_ours(c->filter, load_be16(udp + 2)))
		return drop(ret, PACKET_DROP_FRAGMENT);
	kernel(ret, false);
}

static bool ipv4_holds(const struct cursor *c, const uint8_t *ip, struct packet *ret)
{
	uint32_t header_bytes = (uint32_t)(ip[0] & 15) * 4;
	uint32_t total = load_be16(ip + 2);

	if (ip[0] >> 4 != 4)
		drop(ret, PACKET_DROP_IPV4_VERSION);
	else if (header_bytes < IPV4_BYTES || header_bytes > total)
		drop(ret, PACKET_DROP_IPV4_HEADER_LENGTH);
	else if (total > c->left)
		drop(ret, PACKET_DROP_IPV4_SHORT);
	else if (!(c->checked & PACKET_IP_CHECKED) &&
		 packet_fold(packet_sum(0, ip, header_bytes, false)) != 0xffff)
		drop(ret, PACKET_DROP_IPV4_CHECKSUM);
	else if (load_be16(ip + 6) & IPV4_RESERVED)
		drop(ret, PACKET_DROP_IPV4_FLAGS);
	else if (ip[8] == 0)
		drop(ret, PACKET_DROP_TTL);
	else
		return true;
	return false;
}

static void parse_ipv4(struct cursor *c, struct packet *ret)
{
	const uint8_t *ip = c->headers + c->at;
	uint8_t to[PACKET_IP_BYTES];

	if (c->left < IPV4_BYTES)
		return drop(ret, PACKET_DROP_IPV4_SHORT);
	if (!ipv4_holds(c, ip, ret))
		return;
	uint32_t header_bytes = (uint32_t)(ip[0] & 15) * 4;
	uint32_t payload_bytes = load_be16(ip + 2) - header_bytes;
	packet_ip_from_v4(ip + 16, to);
	int local = local_index(c->filter, to);
	if (local < 0 || ip[9] != PROTOCOL_UDP)
		return kernel(ret, false);
	packet_ip_from_v4(ip + 12, ret->ip);
	if (!source_holds(c->filter, ret->ip, false))
		return drop(ret, PACKET_DROP_SOURCE);
	c->at += header_bytes;
	c->left = payload_bytes;
	uint16_t fragment = load_be16(ip + 6);
	if (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK))
		return parse_fragment(c, fragment & IPV4_OFFSET_MASK, ret);
	c->pseudo = packet_sum(sum_be16(PROTOCOL_UDP), ip + 12, 8, false);
	ret->local = (uint16_t)local;
	parse_udp(c, false, ret);
	if (ret->verdict == PACKET_OURS && header_bytes > IPV4_BYTES &&
	    !options_hold(ip + IPV4_BYTES, header_bytes - IPV4_BYTES))
		drop(ret, PACKET_DROP_IPV4_OPTIONS);
}

/* ---- IPv6 ---- */

enum extension { EXTENSION_NONE, EXTENSION_FRAGMENT, EXTENSION_FOREIGN, EXTENSION_BAD };

/* Skips what only routers and hosts read; *next becomes the protocol behind it. */
static enum extension skip_extensions(struct cursor *c, uint8_t *next)
{
	uint32_t skipped = 0;

	for (unsigned count = 0;; count++) {
		if (*next == NEXT_FRAGMENT)
			return EXTENSION_FRAGMENT;
		if (*next == NEXT_ROUTING)
			return EXTENSION_FOREIGN;
		if (*next != NEXT_HOP_BY_HOP && *next != NEXT_DESTINATION)
			return EXTENSION_NONE;
		if (count == EXTENSIONS_MAX || c->left < 8)
			return EXTENSION_BAD;
		const uint8_t *extension = c->headers + c->at;
		uint32_t bytes = 8 + (uint32_t)extension[1] * 8;
		skipped += bytes;
		if (bytes > c->left || skipped > EXTENSION_BYTES_MAX)
			return EXTENSION_BAD;
		*next = extension[0];
		c->at += bytes;
		c->left -= bytes;
	}
}

static void parse_ipv6_fragment(struct cursor *c, struct packet *ret)
{
	const uint8_t *fragment = c->headers + c->at;

	if (c->left < 8)
		return drop(ret, PACKET_DROP_IPV6_EXTENSION);
	if (fragment[0] != PROTOCOL_UDP)
		return kernel(ret, false);
	c->at += 8;
	c->left -= 8;
	parse_fragment(c, load_be16(fragment + 2) >> 3, ret);
}

static bool ipv6_holds(const struct cursor *c, const uint8_t *ip, struct packet *ret)
{
	if (ip[0] >> 4 != 6)
		drop(ret, PACKET_DROP_IPV6_VERSION);
	else if (load_be16(ip + 4) > c->left - IPV6_BYTES)
		drop(ret, PACKET_DROP_IPV6_SHORT);
	else if (ip[7] == 0)
		drop(ret, PACKET_DROP_TTL);
	else
		return true;
	return false;
}

static void parse_ipv6(struct cursor *c, struct packet *ret)
{
	const uint8_t *ip = c->headers + c->at;

	if (c->left < IPV6_BYTES)
		return drop(ret, PACKET_DROP_IPV6_SHORT);
	if (!ipv6_holds(c, ip, ret))
		return;
	int local = local_index(c->filter, ip + 24);
	uint8_t next = ip[6];
	c->at += IPV6_BYTES;
	c->left = load_be16(ip + 4);
	if (local < 0)
		return kernel(ret, next == PROTOCOL_ICMPV6);
	enum extension extension = skip_extensions(c, &next);
	if (extension == EXTENSION_BAD)
		return drop(ret, PACKET_DROP_IPV6_EXTENSION);
	if (extension == EXTENSION_FRAGMENT)
		return parse_ipv6_fragment(c, ret);
	if (extension == EXTENSION_FOREIGN || next != PROTOCOL_UDP)
		return kernel(ret, next == PROTOCOL_ICMPV6);
	if (!source_holds(c->filter, ip + 8, true))
		return drop(ret, PACKET_DROP_SOURCE);
	memcpy(ret->ip, ip + 8, PACKET_IP_BYTES);
	c->pseudo = packet_sum(sum_be16(PROTOCOL_UDP), ip + 8, 32, false);
	ret->local = (uint16_t)local;
	parse_udp(c, true, ret);
}

/* ---- Ethernet ---- */

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

static bool vlan_fits(const struct packet_filter *filter, const struct packet_link *link)
{
	if (filter->vlan == PACKET_VLAN_ANY)
		return true;
	if (link->vlan_count > 1)
		return false;
	return (link->vlan_count ? link->vlans[0].tag & 0xfff : 0) == filter->vlan;
}

/* Reads the tags into ret->link; false: it cannot be ours, and `ret` says so. */
static bool parse_tags(struct cursor *c, uint16_t *ethertype, struct packet *ret)
{
	struct packet_link *link = &ret->link;

	link->vlan_count = 0;
	while (is_vlan(*ethertype)) {
		if (link->vlan_count == PACKET_VLANS_MAX) {
			kernel(ret, false);
			return false;
		}
		if (c->left < VLAN_BYTES) {
			drop(ret, PACKET_DROP_ETHERNET_SHORT);
			return false;
		}
		link->vlans[link->vlan_count].protocol = *ethertype;
		link->vlans[link->vlan_count].tag = load_be16(c->headers + c->at);
		link->vlan_count++;
		*ethertype = load_be16(c->headers + c->at + 2);
		c->at += VLAN_BYTES;
		c->left -= VLAN_BYTES;
	}
	c->vlan_fits = vlan_fits(c->filter, link);
	return true;
}

static void parse_ethernet(struct cursor *c, struct packet *ret)
{
	const uint8_t *ethernet = c->headers;

	if (c->left < ETHERNET_BYTES)
		return drop(ret, PACKET_DROP_ETHERNET_SHORT);
	c->group = ethernet[0] & 1;
	if (!c->group && !c->filter->any_mac &&
	    memcmp(ethernet, c->filter->mac, PACKET_MAC_BYTES) != 0)
		return drop(ret, PACKET_DROP_MAC_OTHER);
	if (ethernet[PACKET_MAC_BYTES] & 1)
		return drop(ret, PACKET_DROP_MAC_SOURCE);
	memcpy(ret->link.mac, ethernet + PACKET_MAC_BYTES, PACKET_MAC_BYTES);
	uint16_t ethertype = load_be16(ethernet + 12);
	c->at = ETHERNET_BYTES;
	c->left -= ETHERNET_BYTES;
	if (!parse_tags(c, &ethertype, ret))
		return;
	if (ethertype == ETHERTYPE_IPV4)
		parse_ipv4(c, ret);
	else if (ethertype == ETHERTYPE_IPV6)
		parse_ipv6(c, ret);
	else
		kernel(ret, ethertype == ETHERTYPE_ARP);
}

static uint32_t gather(const struct packet_piece *pieces, unsigned count, uint8_t *to)
{
	uint32_t bytes = 0;

	for (unsigned i = 0; i < count && bytes < PACKET_HEADERS_MAX; i++) {
		uint32_t here = pieces[i].length;
		if (here > PACKET_HEADERS_MAX - bytes)
			here = PACKET_HEADERS_MAX - bytes;
		if (here)
			memcpy(to + bytes, pieces[i].data, here);
		bytes += here;
	}
	return bytes;
}

void packet_parse(const struct packet_filter *filter, const struct packet_piece *pieces,
		  unsigned piece_count, unsigned checked, struct packet *ret)
{
	uint8_t gathered[PACKET_HEADERS_MAX];
	struct cursor c = {
		.filter = filter,
		.pieces = pieces,
		.piece_count = piece_count,
		.checked = checked,
		.headers = pieces[0].data,
	};

	for (unsigned i = 0; i < piece_count; i++)
		c.left += pieces[i].length;
	if (piece_count > 1 && pieces[0].length < PACKET_HEADERS_MAX) {
		gather(pieces, piece_count, gathered);
		c.headers = gathered;
	}
	ret->neighbour = false;
	parse_ethernet(&c, ret);
}

/* ---- building ---- */

static uint8_t *put_link(uint8_t *at, const struct packet_link *link, const uint8_t *local_mac,
			 bool ipv6)
{
	memcpy(at, link->mac, PACKET_MAC_BYTES);
	memcpy(at + PACKET_MAC_BYTES, local_mac, PACKET_MAC_BYTES);
	at += MACS_BYTES;
	for (unsigned i = 0; i < link->vlan_count && i < PACKET_VLANS_MAX; i++) {
		store_be16(at, link->vlans[i].protocol);
		store_be16(at + 2, link->vlans[i].tag);
		at += VLAN_BYTES;
	}
	store_be16(at, ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
	return at + 2;
}

/* No identification: it never fragments (RFC 6864 4.1). */
static void put_ipv4(uint8_t *ip, const uint8_t *from, const uint8_t *to)
{
	ip[0] = 0x45;
	store_be16(ip + 6, IPV4_DONT_FRAGMENT);
	ip[8] = TTL;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, from + 12, 4);
	memcpy(ip + 16, to + 12, 4);
}

static void put_ipv6(uint8_t *ip, const uint8_t *from, const uint8_t *to)
{
	ip[0] = 0x60;
	ip[6] = PROTOCOL_UDP;
	ip[7] = TTL;
	memcpy(ip + 8, from, PACKET_IP_BYTES);
	memcpy(ip + 24, to, PACKET_IP_BYTES);
}

void packet_path_init(struct packet_path *path, const struct packet_link *link,
		      const uint8_t *local_mac, const uint8_t *local_ip, uint16_t local_port,
		      const uint8_t *peer_ip)
{
	uint64_t sum = sum_be16(PROTOCOL_UDP) + sum_be16(local_port);

	memset(path, 0, sizeof(*path));
	path->ipv6 = !packet_ip_is_v4(peer_ip);
	uint8_t *ip = put_link(path->header, link, local_mac, path->ipv6);
	path->l2_bytes = (uint8_t)(ip - path->header);
	uint8_t *udp = ip + (path->ipv6 ? IPV6_BYTES : IPV4_BYTES);
	if (path->ipv6) {
		put_ipv6(ip, local_ip, peer_ip);
		sum = packet_sum(sum, ip + 8, 32, false);
	} else {
		put_ipv4(ip, local_ip, peer_ip);
		sum = packet_sum(sum, ip + 12, 8, false);
		path->ip_sum = packet_fold(packet_sum(0, ip, IPV4_BYTES, false));
	}
	store_be16(udp, local_port);
	path->sum = packet_fold(sum);
	path->header_bytes = (uint8_t)(udp + UDP_BYTES - path->header);
}

static void put_be_raw(uint8_t *at, uint16_t raw)
{
	memcpy(at, &raw, sizeof(raw));
}

void packet_put_checksum(const struct packet_path *path, const struct packet_piece *payload,
			 unsigned piece_count, uint32_t payload_bytes,
			 enum packet_checksum checksum, uint8_t *at)
{
	uint8_t *udp = at + path->header_bytes - UDP_BYTES;
	uint64_t length = sum_be16((uint16_t)(payload_bytes + UDP_BYTES));
	/* path->sum has our port, which the pseudo header has not. */
	uint64_t sum = path->sum + length;
	uint16_t ports[2];

	memcpy(ports, udp, sizeof(ports));
	if (checksum == PACKET_CHECKSUM_PARTIAL) {
		put_be_raw(udp + 6, packet_fold(sum + (uint16_t)~ports[0]));
		return;
	}
	sum += ports[1] + length;
	sum += sum_range(payload, piece_count, 0, payload_bytes);
	uint16_t whole = (uint16_t)~packet_fold(sum);
	put_be_raw(udp + 6, whole ? whole : 0xffff); /* 0 would say that there is none */
}

/* ---- for the kernel ---- */

/* The transport header's place and length, and the pseudo header's sum; 0: not TCP or UDP. */
static uint8_t transport_of(const uint8_t *ip, uint32_t left, bool ipv6, uint32_t *ret_offset,
			    uint32_t *ret_length, uint64_t *ret_pseudo)
{
	uint32_t header_bytes = ipv6 ? IPV6_BYTES : (uint32_t)(ip[0] & 15) * 4;
	uint32_t total = ipv6 ? load_be16(ip + 4) + (uint32_t)IPV6_BYTES : load_be16(ip + 2);
	uint8_t protocol = ipv6 ? ip[6] : ip[9];

	if (header_bytes < IPV4_BYTES || total < header_bytes || total > left)
		return 0;
	if (!ipv6 && load_be16(ip + 6) & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK))
		return 0;
	*ret_offset = header_bytes;
	*ret_length = total - header_bytes;
	*ret_pseudo = sum_be16(protocol) + sum_be16((uint16_t)*ret_length) +
		      packet_sum(0, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8, false);
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP ? protocol : 0;
}

bool packet_complete_checksum(uint8_t *frame, uint32_t length)
{
	uint32_t at = ETHERNET_BYTES;
	uint32_t offset = 0;
	uint32_t bytes = 0;
	uint64_t pseudo = 0;

	if (length < ETHERNET_BYTES)
		return false;
	uint16_t ethertype = load_be16(frame + 12);
	while (is_vlan(ethertype) && length - at >= VLAN_BYTES) {
		ethertype = load_be16(frame + at + 2);
		at += VLAN_BYTES;
	}
	bool ipv6 = ethertype == ETHERTYPE_IPV6;
	if ((!ipv6 && ethertype != ETHERTYPE_IPV4) ||
	    length - at < (ipv6 ? (uint32_t)IPV6_BYTES : (uint32_t)IPV4_BYTES))
		return false;
	uint8_t *ip = frame + at;
	uint8_t protocol = transport_of(ip, length - at, ipv6, &offset, &bytes, &pseudo);
	uint32_t field = protocol == PROTOCOL_TCP ? 16 : 6;
	if (!protocol || bytes < field + 2)
		return false;
	uint8_t *transport = ip + offset;
	uint16_t found;
	memcpy(&found, transport + field, sizeof(found));
	if (found != packet_fold(pseudo))
		return false;
	/* The sum of the whole counts the pseudo header by way of the field itself. */
	uint16_t whole = (uint16_t)~packet_fold(packet_sum(0, transport, bytes, false));
	put_be_raw(transport + field, whole || protocol == PROTOCOL_TCP ? whole : 0xffff);
	return true;
}

const char *packet_drop_name(enum packet_drop drop_reason)
{
	static const char *const names[] = {
#define DROP(name, help) #name,
#include "dataplane/dpdk/packet_drops.def"
#undef DROP
	};
	return drop_reason < PACKET_DROPS ? names[drop_reason] : "?";
}

const char *packet_drop_help(enum packet_drop drop_reason)
{
	static const char *const helps[] = {
#define DROP(name, help) help,
#include "dataplane/dpdk/packet_drops.def"
#undef DROP
	};
	return drop_reason < PACKET_DROPS ? helps[drop_reason] : "?";
}
