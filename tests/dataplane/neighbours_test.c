/* Two filters are the two ends of a link: what one builds the other parses. */
#include "dataplane/dpdk/neighbours.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { UDP_PORT = 9500, ENTRIES = 16 };

static const uint8_t addresses[2][2][16] = {
	{{[10] = 0xff, [11] = 0xff, 192, 0, 2, 1}, {0xfe, 0x80, [15] = 1}},
	{{[10] = 0xff, [11] = 0xff, 192, 0, 2, 2}, {0xfe, 0x80, [15] = 2}},
};

static struct packet_filter end_of_link(unsigned which)
{
	struct packet_filter filter = {
		.mac = {2, 0, 0, 0, 0, (uint8_t)(10 + which)},
		.udp_port_first = UDP_PORT,
		.udp_port_count = 1,
		.address_count = 2,
	};

	memcpy(filter.addresses, addresses[which], sizeof(addresses[which]));
	return filter;
}

static struct packet_link link_of(uint8_t last)
{
	return (struct packet_link){.mac = {2, 0, 0, 0, 1, last}};
}

static void make_ip(uint8_t *ip, uint32_t number)
{
	memset(ip, 0, 16);
	ip[0] = 0x20;
	store_be32(ip + 12, number);
}

static void a_question_is_answered_with_our_mac(void **state)
{
	struct packet_filter asker = end_of_link(0);
	struct packet_filter asked = end_of_link(1);
	uint8_t frame[NEIGHBOUR_FRAME_BYTES];
	struct neighbour_message question;
	struct neighbour_message answer;

	for (int vlan = 0; vlan <= 7; vlan += 7) {
		asker.vlan = vlan;
		for (uint16_t local = 0; local < 2; local++) {
			uint32_t bytes = neighbour_build_question(&asker, local,
								  addresses[1][local], frame);
			assert_true(bytes >= 60 && bytes <= sizeof(frame));
			neighbour_parse(&asked, frame, bytes, &question);
			assert_int_equal(question.kind, NEIGHBOUR_QUESTION);
			assert_int_equal(question.local, local);
			assert_memory_equal(question.from, addresses[0][local], 16);
			assert_memory_equal(question.link.mac, asker.mac, 6);
			assert_int_equal(question.link.vlan_count, vlan ? 1 : 0);
			bytes = neighbour_build_answer(&asked, &question, frame);
			assert_memory_equal(frame, asker.mac, 6);
			neighbour_parse(&asker, frame, bytes, &answer);
			assert_int_equal(answer.kind, NEIGHBOUR_ANSWER);
			assert_memory_equal(answer.target, addresses[1][local], 16);
			assert_memory_equal(answer.link.mac, asked.mac, 6);
			/* Nobody else is meant. */
			struct packet_filter other = end_of_link(1);
			other.addresses[0][15] = other.addresses[1][15] = 77;
			bytes = neighbour_build_question(&asker, local, addresses[1][local], frame);
			neighbour_parse(&other, frame, bytes, &question);
			assert_int_equal(question.kind, NEIGHBOUR_NONE);
		}
	}
}

static void a_spoilt_message_is_nothing(void **state)
{
	struct packet_filter asker = end_of_link(0);
	struct packet_filter asked = end_of_link(1);
	uint8_t frame[NEIGHBOUR_FRAME_BYTES];
	struct neighbour_message message;

	for (uint16_t local = 0; local < 2; local++) {
		uint32_t bytes = neighbour_build_question(&asker, local, addresses[1][local],
							  frame);
		uint32_t used = local == 0 ? 14 + 28 : bytes;
		for (uint32_t cut = 0; cut < used; cut++) {
			uint8_t *copy = malloc(cut ? cut : 1);
			assert_non_null(copy);
			memcpy(copy, frame, cut);
			neighbour_parse(&asked, copy, cut, &message);
			assert_int_equal(message.kind, NEIGHBOUR_NONE);
			free(copy);
		}
		/* Every bit of ND is covered by a checksum or a rule; ARP's fixed part by rules. */
		uint32_t first = local == 0 ? 14 : 14 + 4;
		uint32_t last = local == 0 ? 14 + 14 : bytes;
		for (uint32_t bit = first * 8; bit < last * 8; bit++) {
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
			neighbour_parse(&asked, frame, bytes, &message);
			if (message.kind == NEIGHBOUR_QUESTION)
				fail_msg("bit %u of the question for address %u", bit, local);
			frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}

static void duplicate_detection_is_answered_to_all(void **state)
{
	struct packet_filter asker = end_of_link(0);
	struct packet_filter asked = end_of_link(1);
	uint8_t frame[NEIGHBOUR_FRAME_BYTES];
	struct neighbour_message question;

	memset(asker.addresses[1], 0, 16);
	uint32_t bytes = neighbour_build_question(&asker, 1, addresses[1][1], frame);
	neighbour_parse(&asked, frame, bytes, &question);
	assert_int_equal(question.kind, NEIGHBOUR_QUESTION);
	neighbour_build_answer(&asked, &question, frame);
	assert_memory_equal(frame, ((const uint8_t[]){0x33, 0x33, 0, 0, 0, 1}), 6);
	assert_int_equal(frame[14 + 24], 0xff);
}

static void a_peer_is_reached_the_way_it_last_came(void **state)
{
	struct packet_filter filter = end_of_link(0);
	struct neighbours *table;
	struct packet_link first = link_of(1);
	struct packet_link second = link_of(2);
	uint8_t ip[16];

	assert_int_equal(neighbours_new(&table, ENTRIES, 5, &filter, UDP_PORT), 0);
	make_ip(ip, 7);
	assert_null(neighbours_find(table, ip, 1));
	assert_false(neighbours_heard(table, ip, 1, &first, 1));
	assert_false(neighbours_heard(table, ip, 1, &first, 2));
	assert_null(neighbours_find(table, ip, 0));
	struct neighbour *neighbour = neighbours_find(table, ip, 1);
	assert_non_null(neighbour);
	assert_memory_equal(neighbour->path.header, first.mac, 6);
	assert_true(neighbours_heard(table, ip, 1, &second, 3));
	assert_memory_equal(neighbours_find(table, ip, 1)->path.header, second.mac, 6);
	second.vlan_count = 1;
	assert_true(neighbours_heard(table, ip, 1, &second, 4));
	assert_int_equal(neighbours_find(table, ip, 1)->path.l2_bytes, 18);
	neighbours_free(table);
}

static void a_flood_forgets_only_who_is_silent(void **state)
{
	struct packet_filter filter = end_of_link(0);
	struct neighbours *table;
	struct packet_link link = link_of(1);
	uint8_t friend[16];
	uint8_t ip[16];
	unsigned known = 0;

	assert_int_equal(neighbours_new(&table, ENTRIES, 99, &filter, UDP_PORT), 0);
	make_ip(friend, UINT32_MAX);
	for (uint32_t i = 0; i < 1000; i++) {
		make_ip(ip, i);
		neighbours_heard(table, ip, 1, &link, 2 * i);
		neighbours_heard(table, friend, 1, &link, 2 * i + 1);
		assert_non_null(neighbours_find(table, friend, 1));
	}
	for (uint32_t i = 0; i < 1000; i++) {
		make_ip(ip, i);
		known += neighbours_find(table, ip, 1) != NULL;
	}
	assert_true(known > 0 && known < ENTRIES);
	neighbours_free(table);
}

static void an_answer_counts_only_for_who_was_asked(void **state)
{
	struct packet_filter filter = end_of_link(0);
	struct neighbours *table;
	struct packet_link link = link_of(1);
	uint8_t peers[3][16];
	uint8_t gateway[16];

	assert_int_equal(neighbours_new(&table, ENTRIES, 3, &filter, UDP_PORT), 0);
	make_ip(gateway, 100);
	for (uint32_t i = 0; i < 3; i++) {
		make_ip(peers[i], i);
		struct neighbour *neighbour = neighbours_want(table, peers[i], 1,
							      i < 2 ? gateway : peers[i], 1);
		assert_false(neighbour->known);
	}
	assert_int_equal(neighbours_answered(table, gateway, &link, 2), 0);
	for (uint32_t i = 0; i < 3; i++)
		neighbours_find(table, peers[i], 1)->asked_ns = 1;
	assert_int_equal(neighbours_answered(table, gateway, &link, 2), 2);
	assert_true(neighbours_find(table, peers[0], 1)->known);
	assert_true(neighbours_find(table, peers[1], 1)->known);
	assert_false(neighbours_find(table, peers[2], 1)->known);
	/* Asked once, answered once: a second answer is nobody's. */
	link.mac[5] = 66;
	assert_int_equal(neighbours_answered(table, gateway, &link, 3), 0);
	neighbours_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_question_is_answered_with_our_mac),
		cmocka_unit_test(a_spoilt_message_is_nothing),
		cmocka_unit_test(duplicate_detection_is_answered_to_all),
		cmocka_unit_test(a_peer_is_reached_the_way_it_last_came),
		cmocka_unit_test(a_flood_forgets_only_who_is_silent),
		cmocka_unit_test(an_answer_counts_only_for_who_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
