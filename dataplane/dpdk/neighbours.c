#include "dataplane/dpdk/neighbours.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ETHERNET_BYTES = 14,
	ARP_BYTES = 28,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_IPV6 = 0x86dd,
	IPV6_BYTES = 40,
	ICMPV6 = 58,
	HOPS = 255, /* anything less has crossed a router (RFC 4861 7.1) */
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	ND_BYTES = 24, /* without options */
	OPTION_SOURCE = 1,
	OPTION_TARGET = 2,
	OPTION_BYTES = 8,
	ADVERT_SOLICITED = 0x40,
	ADVERT_OVERRIDE = 0x20,
	FRAME_BYTES_MIN = 60,
	MACS_BYTES = 2 * PACKET_MAC_BYTES,
};

struct neighbours {
	const struct packet_filter *filter;
	uint64_t seed;
	unsigned set_mask;
	uint16_t local_port;
	struct neighbour *last; /* found; datagrams come and leave in runs */
	struct neighbour entries[];
};

int neighbours_new(struct neighbours **ret, unsigned count, uint64_t seed,
		   const struct packet_filter *filter, uint16_t local_port)
{
	check(count >= NEIGHBOURS_WAYS && (count & (count - 1)) == 0);
	struct neighbours *neighbours =
		calloc(1, sizeof(*neighbours) + count * sizeof(neighbours->entries[0]));

	if (!neighbours)
		return -ENOMEM;
	neighbours->filter = filter;
	neighbours->seed = seed | 1;
	neighbours->set_mask = count / NEIGHBOURS_WAYS - 1;
	neighbours->local_port = local_port;
	neighbours->last = neighbours->entries;
	*ret = neighbours;
	return 0;
}

void neighbours_free(struct neighbours *neighbours)
{
	free(neighbours);
}

static struct neighbour *set_of(struct neighbours *neighbours, const uint8_t *ip, uint16_t local)
{
	uint64_t hash = (load_be64(ip) ^ neighbours->seed) * UINT64_C(0x9e3779b97f4a7c15);

	hash = (hash ^ (hash >> 32) ^ load_be64(ip + 8) ^ local) * neighbours->seed;
	hash = (hash ^ (hash >> 29)) * UINT64_C(0xbf58476d1ce4e5b9);
	return neighbours->entries + ((hash >> 32) & neighbours->set_mask) * NEIGHBOURS_WAYS;
}

static bool is(const struct neighbour *neighbour, const uint8_t *ip, uint16_t local)
{
	return neighbour->used && neighbour->local == local &&
	       memcmp(neighbour->ip, ip, PACKET_IP_BYTES) == 0;
}

struct neighbour *neighbours_find(struct neighbours *neighbours, const uint8_t *ip, uint16_t local)
{
	if (is(neighbours->last, ip, local))
		return neighbours->last;
	struct neighbour *set = set_of(neighbours, ip, local);
	for (unsigned i = 0; i < NEIGHBOURS_WAYS; i++) {
		if (is(&set[i], ip, local)) {
			neighbours->last = &set[i];
			return &set[i];
		}
	}
	return NULL;
}

/* The one of the set that is free or was silent longest. */
static struct neighbour *make_room(struct neighbours *neighbours, const uint8_t *ip, uint16_t local,
				   uint64_t now_ns)
{
	struct neighbour *set = set_of(neighbours, ip, local);
	struct neighbour *oldest = set;

	for (unsigned i = 0; i < NEIGHBOURS_WAYS; i++) {
		if (!set[i].used) {
			oldest = &set[i];
			break;
		}
		if (set[i].heard_ns < oldest->heard_ns)
			oldest = &set[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	memcpy(oldest->ip, ip, PACKET_IP_BYTES);
	memcpy(oldest->next_hop, ip, PACKET_IP_BYTES);
	oldest->local = local;
	oldest->used = true;
	oldest->heard_ns = now_ns;
	return oldest;
}

static bool same_link(const struct packet_link *a, const struct packet_link *b)
{
	if (memcmp(a->mac, b->mac, PACKET_MAC_BYTES) != 0 || a->vlan_count != b->vlan_count)
		return false;
	for (unsigned i = 0; i < a->vlan_count; i++) {
		if (a->vlans[i].protocol != b->vlans[i].protocol ||
		    a->vlans[i].tag != b->vlans[i].tag)
			return false;
	}
	return true;
}

static void set_link(struct neighbours *neighbours, struct neighbour *neighbour,
		     const struct packet_link *link)
{
	const struct packet_filter *filter = neighbours->filter;

	neighbour->link = *link;
	neighbour->known = true;
	packet_path_init(&neighbour->path, link, filter->mac, filter->addresses[neighbour->local],
			 neighbours->local_port, neighbour->ip);
}

bool neighbours_heard(struct neighbours *neighbours, const uint8_t *ip, uint16_t local,
		      const struct packet_link *link, uint64_t now_ns)
{
	struct neighbour *neighbour = neighbours_find(neighbours, ip, local);
	bool moved = false;

	if (!neighbour)
		neighbour = make_room(neighbours, ip, local, now_ns);
	neighbour->heard_ns = now_ns;
	if (neighbour->known && same_link(&neighbour->link, link))
		return false;
	moved = neighbour->known;
	set_link(neighbours, neighbour, link);
	return moved;
}

struct neighbour *neighbours_want(struct neighbours *neighbours, const uint8_t *ip, uint16_t local,
				  const uint8_t *next_hop, uint64_t now_ns)
{
	struct neighbour *neighbour = neighbours_find(neighbours, ip, local);

	if (!neighbour)
		neighbour = make_room(neighbours, ip, local, now_ns);
	memcpy(neighbour->next_hop, next_hop, PACKET_IP_BYTES);
	return neighbour;
}

unsigned neighbours_answered(struct neighbours *neighbours, const uint8_t *next_hop,
			     const struct packet_link *link, uint64_t now_ns)
{
	unsigned count = (neighbours->set_mask + 1) * NEIGHBOURS_WAYS;
	unsigned answered = 0;

	for (unsigned i = 0; i < count; i++) {
		struct neighbour *neighbour = &neighbours->entries[i];
		/* Only who was asked is believed. */
		if (!neighbour->used || !neighbour->asked_ns ||
		    memcmp(neighbour->next_hop, next_hop, PACKET_IP_BYTES) != 0)
			continue;
		neighbour->heard_ns = now_ns;
		neighbour->asked_ns = 0;
		set_link(neighbours, neighbour, link);
		answered++;
	}
	return answered;
}

/* ---- parsing ---- */

static int local_index(const struct packet_filter *filter, const uint8_t *ip)
{
	for (unsigned i = 0; i < filter->address_count; i++) {
		if (memcmp(filter->addresses[i], ip, PACKET_IP_BYTES) == 0)
			return (int)i;
	}
	return -1;
}

/* Gives `kind` to a message whose addresses are read, if it concerns us. */
static void settle(const struct packet_filter *filter, struct neighbour_message *ret,
		   enum neighbour_kind kind)
{
	int local = local_index(filter, ret->target);

	if (local_index(filter, ret->from) >= 0)
		return; /* somebody claims to be us; the kernel or nobody deals with it */
	if (kind == NEIGHBOUR_QUESTION && local < 0)
		return;
	ret->local = (uint16_t)(local < 0 ? 0 : local);
	ret->kind = kind;
}

static void parse_arp(const struct packet_filter *filter, const uint8_t *arp, uint32_t length,
		      struct neighbour_message *ret)
{
	static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};

	if (length < ARP_BYTES || memcmp(arp, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0 ||
	    memcmp(arp + 8, ret->link.mac, PACKET_MAC_BYTES) != 0)
		return;
	uint16_t operation = load_be16(arp + 6);
	packet_ip_from_v4(arp + 14, ret->from);
	if (arp[14] >= 224 || arp[14] == 127)
		return;
	if (operation == ARP_REQUEST) {
		packet_ip_from_v4(arp + 24, ret->target);
		settle(filter, ret, NEIGHBOUR_QUESTION);
	} else if (operation == ARP_REPLY) {
		memcpy(ret->target, ret->from, PACKET_IP_BYTES);
		settle(filter, ret, NEIGHBOUR_ANSWER);
	}
}

static uint16_t icmpv6_checksum(const uint8_t *ip, uint32_t bytes)
{
	uint64_t sum = packet_sum(0, ip + 8, 32, false);

	sum += htobe16(ICMPV6) + htobe16((uint16_t)bytes);
	return (uint16_t)~packet_fold(packet_sum(sum, ip + IPV6_BYTES, bytes, false));
}

/* RFC 4861 7.1: every option has a length, and they fill the message. */
static bool options_hold(const uint8_t *options, uint32_t length)
{
	while (length) {
		if (length < 2)
			return false;
		uint32_t bytes = (uint32_t)options[1] * OPTION_BYTES;
		if (bytes == 0 || bytes > length)
			return false;
		options += bytes;
		length -= bytes;
	}
	return true;
}

static void parse_nd(const struct packet_filter *filter, const uint8_t *ip, uint32_t length,
		     struct neighbour_message *ret)
{
	if (length < IPV6_BYTES + ND_BYTES || ip[0] >> 4 != 6 || ip[6] != ICMPV6 || ip[7] != HOPS)
		return;
	uint32_t bytes = load_be16(ip + 4);
	const uint8_t *icmp = ip + IPV6_BYTES;
	if (bytes < ND_BYTES || bytes > length - IPV6_BYTES || icmp[1] != 0 ||
	    icmpv6_checksum(ip, bytes) != 0 || !options_hold(icmp + ND_BYTES, bytes - ND_BYTES))
		return;
	memcpy(ret->from, ip + 8, PACKET_IP_BYTES);
	memcpy(ret->target, icmp + 8, PACKET_IP_BYTES);
	if (ret->target[0] == 0xff || ret->from[0] == 0xff)
		return;
	if (icmp[0] == ND_SOLICIT)
		settle(filter, ret, NEIGHBOUR_QUESTION);
	else if (icmp[0] == ND_ADVERT)
		settle(filter, ret, NEIGHBOUR_ANSWER);
}

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

void neighbour_parse(const struct packet_filter *filter, const uint8_t *frame, uint32_t length,
		     struct neighbour_message *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (length < ETHERNET_BYTES || frame[PACKET_MAC_BYTES] & 1)
		return;
	memcpy(ret->link.mac, frame + PACKET_MAC_BYTES, PACKET_MAC_BYTES);
	uint16_t ethertype = load_be16(frame + 12);
	uint32_t at = ETHERNET_BYTES;
	while (is_vlan(ethertype) && ret->link.vlan_count < PACKET_VLANS_MAX && length - at >= 4) {
		ret->link.vlans[ret->link.vlan_count].protocol = ethertype;
		ret->link.vlans[ret->link.vlan_count++].tag = load_be16(frame + at);
		ethertype = load_be16(frame + at + 2);
		at += 4;
	}
	if (ethertype == ETHERTYPE_ARP)
		parse_arp(filter, frame + at, length - at, ret);
	else if (ethertype == ETHERTYPE_IPV6)
		parse_nd(filter, frame + at, length - at, ret);
}

/* ---- building ---- */

static uint8_t *put_ethernet(uint8_t *at, const struct packet_link *to, const uint8_t *from_mac,
			     uint16_t ethertype)
{
	memcpy(at, to->mac, PACKET_MAC_BYTES);
	memcpy(at + PACKET_MAC_BYTES, from_mac, PACKET_MAC_BYTES);
	at += MACS_BYTES;
	for (unsigned i = 0; i < to->vlan_count && i < PACKET_VLANS_MAX; i++) {
		store_be16(at, to->vlans[i].protocol);
		store_be16(at + 2, to->vlans[i].tag);
		at += 4;
	}
	store_be16(at, ethertype);
	return at + 2;
}

static uint32_t padded(uint8_t *frame, const uint8_t *end)
{
	uint32_t length = (uint32_t)(end - frame);

	if (length >= FRAME_BYTES_MIN)
		return length;
	memset(frame + length, 0, FRAME_BYTES_MIN - length);
	return FRAME_BYTES_MIN;
}

static uint8_t *put_arp(uint8_t *arp, uint16_t operation, const uint8_t *from_mac,
			const uint8_t *from, const uint8_t *to_mac, const uint8_t *to)
{
	static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};

	memcpy(arp, ethernet_ipv4, sizeof(ethernet_ipv4));
	store_be16(arp + 6, operation);
	memcpy(arp + 8, from_mac, PACKET_MAC_BYTES);
	memcpy(arp + 14, from + 12, 4);
	if (to_mac)
		memcpy(arp + 18, to_mac, PACKET_MAC_BYTES);
	else
		memset(arp + 18, 0, PACKET_MAC_BYTES);
	memcpy(arp + 24, to + 12, 4);
	return arp + ARP_BYTES;
}

static uint8_t *put_nd(uint8_t *ip, uint8_t type, const uint8_t *from, const uint8_t *to,
		       const uint8_t *target, uint8_t flags, const uint8_t *mac)
{
	uint8_t *icmp = ip + IPV6_BYTES;
	uint32_t bytes = ND_BYTES + OPTION_BYTES;

	memset(ip, 0, IPV6_BYTES + bytes);
	ip[0] = 0x60;
	store_be16(ip + 4, (uint16_t)bytes);
	ip[6] = ICMPV6;
	ip[7] = HOPS;
	memcpy(ip + 8, from, PACKET_IP_BYTES);
	memcpy(ip + 24, to, PACKET_IP_BYTES);
	icmp[0] = type;
	icmp[4] = flags;
	memcpy(icmp + 8, target, PACKET_IP_BYTES);
	icmp[ND_BYTES] = type == ND_SOLICIT ? OPTION_SOURCE : OPTION_TARGET;
	icmp[ND_BYTES + 1] = 1;
	memcpy(icmp + ND_BYTES + 2, mac, PACKET_MAC_BYTES);
	uint16_t checksum = icmpv6_checksum(ip, bytes);
	memcpy(icmp + 2, &checksum, sizeof(checksum));
	return icmp + bytes;
}

/* Our own tag, where datagrams to us carry one. */
static void own_tag(const struct packet_filter *filter, struct packet_link *link)
{
	if (filter->vlan <= 0)
		return;
	link->vlan_count = 1;
	link->vlans[0].protocol = 0x8100;
	link->vlans[0].tag = (uint16_t)filter->vlan;
}

uint32_t neighbour_build_question(const struct packet_filter *filter, uint16_t local,
				  const uint8_t *target, uint8_t *frame)
{
	struct packet_link all = {.mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	const uint8_t *from = filter->addresses[local];

	own_tag(filter, &all);
	if (packet_ip_is_v4(target)) {
		uint8_t *arp = put_ethernet(frame, &all, filter->mac, ETHERTYPE_ARP);
		return padded(frame, put_arp(arp, ARP_REQUEST, filter->mac, from, NULL, target));
	}
	/* The solicited-node group (RFC 4291 2.7.1) and its MAC (RFC 2464 7). */
	uint8_t group[PACKET_IP_BYTES] = {0xff, 2, [11] = 1, [12] = 0xff};
	memcpy(group + 13, target + 13, 3);
	all.mac[0] = all.mac[1] = 0x33;
	memcpy(all.mac + 2, group + 12, 4);
	uint8_t *ip = put_ethernet(frame, &all, filter->mac, ETHERTYPE_IPV6);
	return padded(frame, put_nd(ip, ND_SOLICIT, from, group, target, 0, filter->mac));
}

uint32_t neighbour_build_answer(const struct packet_filter *filter,
				const struct neighbour_message *question, uint8_t *frame)
{
	static const uint8_t unspecified[PACKET_IP_BYTES];
	static const uint8_t all_nodes[PACKET_IP_BYTES] = {0xff, 2, [15] = 1};
	const uint8_t *own = filter->addresses[question->local];
	struct packet_link link = question->link;

	if (packet_ip_is_v4(own)) {
		uint8_t *arp = put_ethernet(frame, &link, filter->mac, ETHERTYPE_ARP);
		return padded(frame,
			      put_arp(arp, ARP_REPLY, filter->mac, own, link.mac, question->from));
	}
	bool detection = memcmp(question->from, unspecified, PACKET_IP_BYTES) == 0;
	if (detection)
		memcpy(link.mac, (const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}, PACKET_MAC_BYTES);
	uint8_t *ip = put_ethernet(frame, &link, filter->mac, ETHERTYPE_IPV6);
	return padded(frame,
		      put_nd(ip, ND_ADVERT, own, detection ? all_nodes : question->from, own,
			     ADVERT_OVERRIDE | (detection ? 0 : ADVERT_SOLICITED), filter->mac));
}
