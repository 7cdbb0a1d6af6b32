/* Frames of any bytes.  The first three steer: what is ours, and where the chain is cut.  Cut or
 * whole, parsed with correct checksums assumed or not, the verdict must not read beyond the frame
 * nor differ between the cut and the whole frame, and a payload must lie inside it. */
#include "tests/fuzz/fuzz.h"

#include "base/check.h"
#include "dataplane/dpdk/neighbours.h"
#include "dataplane/dpdk/packet.h"

#include <stdlib.h>
#include <string.h>

static struct packet_filter filter_of(uint8_t bits)
{
	static const uint8_t addresses[2][PACKET_IP_BYTES] = {
		{[10] = 0xff, [11] = 0xff, [12] = 192, 0, 2, 1},
		{0x20, 1, 0xd, 0xb8, [15] = 1},
	};
	struct packet_filter filter = {
		.mac = {2, 0, 0, 0, 0, 1},
		.any_mac = bits & 1,
		.accept_partial = bits & 2,
		.vlan = bits & 4 ? PACKET_VLAN_ANY : 0,
		.udp_port_first = 9500,
		.udp_port_count = bits & 8 ? 4 : 50000,
		.address_count = 2,
	};

	memcpy(filter.addresses, addresses, sizeof(addresses));
	return filter;
}

static void parse_cut(const struct packet_filter *filter, const uint8_t *frame, uint32_t length,
		      uint32_t cut, unsigned checked, const struct packet *whole)
{
	struct packet_piece pieces[2] = {
		{.data = frame, .length = cut},
		{.data = frame + cut, .length = length - cut},
	};
	struct packet packet = {0};

	packet_parse(filter, pieces, 2, checked, &packet);
	check(packet.verdict == whole->verdict);
	if (packet.verdict == PACKET_DROP)
		check(packet.drop == whole->drop);
	if (packet.verdict != PACKET_OURS)
		return;
	check(packet.payload_offset <= length);
	check(packet.payload_length <= length - packet.payload_offset);
	check(packet.payload_offset == whole->payload_offset);
	check(packet.port_index < filter->udp_port_count);
	check(packet.local < filter->address_count);
}

/* What a flow learned from the frame says of the next, which differs in the byte `at`, is what the
 * parser says. */
static void follow(const struct packet_filter *filter, uint8_t *frame, uint32_t length, uint32_t at,
		   unsigned checked, const struct packet *first)
{
	struct packet_flow flow = {0};
	struct packet_piece piece = {.data = frame, .length = length};
	struct packet packet = {0};

	packet_flow_learn(&flow, frame, first);
	frame[at] ^= 1;
	if (packet_flow_next(&flow, frame, length, checked)) {
		packet_parse(filter, &piece, 1, checked, &packet);
		check(packet.verdict == PACKET_OURS);
		check(packet.payload_offset == flow.packet.payload_offset);
		check(packet.payload_length == flow.packet.payload_length);
		check(packet.port == flow.packet.port);
		check(packet.port_index == flow.packet.port_index);
		check(packet.local == flow.packet.local);
	}
	frame[at] ^= 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > 16384)
		return 0;
	struct packet_filter filter = filter_of(data[0]);
	unsigned checked = data[1] & (PACKET_IP_CHECKED | PACKET_UDP_CHECKED);
	uint32_t length = (uint32_t)size - 3;
	uint8_t *frame = malloc(length ? length : 1);
	struct packet_piece piece = {.data = frame, .length = length};
	struct packet packet = {0};
	struct neighbour_message message;

	if (!frame)
		return 0;
	memcpy(frame, data + 3, length);
	packet_parse(&filter, &piece, 1, checked, &packet);
	parse_cut(&filter, frame, length, length ? data[2] % length : 0, checked, &packet);
	if (length)
		follow(&filter, frame, length, data[2] % length, checked, &packet);
	neighbour_parse(&filter, frame, length, &message);
	if (message.kind == NEIGHBOUR_QUESTION) {
		uint8_t answer[NEIGHBOUR_FRAME_BYTES];
		check(neighbour_build_answer(&filter, &message, answer) <= sizeof(answer));
	}
	packet_complete_checksum(frame, length);
	free(frame);
	return 0;
}
