/* Two ports of this process, joined by rings: what one sends the other receives, mbuf and all, so
 * each step can be looked at without waiting for anything. */
#include "tests/dataplane/port_world.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUEUES = 2, RING_SLOTS = 256, MTU = 1500 };

/* Server and client; the client has one shard, the server as the test says. */
struct pair {
	struct port *server;
	struct port *client;
	struct port_queue *shards[QUEUES + 2]; /* of the server; null-terminated */
	struct port_queue *one;                /* of the client */
};

static int pair_count;

/* Queue q of one is joined with queue q of the other. */
static void make_devices(char names[2][32])
{
	struct rte_ring *there[QUEUES];
	struct rte_ring *back[QUEUES];
	char name[32];

	for (unsigned i = 0; i < QUEUES; i++) {
		snprintf(name, sizeof(name), "there%d_%u", pair_count, i);
		there[i] = rte_ring_create(name, RING_SLOTS, SOCKET_ID_ANY, 0);
		snprintf(name, sizeof(name), "back%d_%u", pair_count, i);
		back[i] = rte_ring_create(name, RING_SLOTS, SOCKET_ID_ANY, 0);
		assert_non_null(there[i]);
		assert_non_null(back[i]);
	}
	snprintf(name, sizeof(name), "s%d", pair_count);
	int id = rte_eth_from_rings(name, there, QUEUES, back, QUEUES, 0);
	assert_true(id >= 0);
	assert_int_equal(rte_eth_dev_get_name_by_port((uint16_t)id, names[0]), 0);
	snprintf(name, sizeof(name), "c%d", pair_count);
	id = rte_eth_from_rings(name, back, QUEUES, there, QUEUES, 0);
	assert_true(id >= 0);
	assert_int_equal(rte_eth_dev_get_name_by_port((uint16_t)id, names[1]), 0);
	pair_count++;
}

struct pair_options {
	unsigned shards;
	unsigned queues_max;
	unsigned client_tx_mbufs;
	uint16_t client_mtu;
	unsigned client_copy_bytes_max;
	enum port_udp_checksum client_udp_checksum;
};

static struct pair make_pair(struct pair_options how)
{
	char names[2][32];
	struct port_ip addresses[2][2];
	struct pair pair = {0};

	make_devices(names);
	struct world_port server = {names[0], how.shards, {"192.0.2.1/24", "2001:db8::1/64"}};
	struct world_port client = {names[1], 1, {"192.0.2.2/24", "2001:db8::2/64"}};
	struct port_options options = world_options(&server, addresses[0]);
	options.queues_max = how.queues_max;
	pair.server = world_port(&options);
	options = world_options(&client, addresses[1]);
	options.udp_port_first = 40000;
	options.mtu = how.client_mtu;
	options.copy_bytes_max = how.client_copy_bytes_max;
	options.udp_checksum = how.client_udp_checksum;
	if (how.client_tx_mbufs)
		options.tx_mbufs = how.client_tx_mbufs;
	pair.client = world_port(&options);
	for (unsigned i = 0; i < how.shards; i++)
		pair.shards[i] = port_queue(pair.server, i);
	pair.one = port_queue(pair.client, 0);
	return pair;
}

/* A ring passes buffers of one port's pools to the other: they go home before any pool goes. */
static void free_pair(struct pair *pair)
{
	for (unsigned i = 0; pair->shards[i]; i++)
		port_queue_detach(pair->shards[i]);
	port_queue_detach(pair->one);
	port_stop(pair->client);
	port_stop(pair->server);
}

static void assert_datagram(const struct port_datagram *datagram, const char *text)
{
	assert_int_equal(datagram->length, strlen(text));
	assert_memory_equal(datagram->data, text, strlen(text));
}

static struct port_datagram await(struct port_queue *queue)
{
	struct port_datagram datagram;

	assert_true(world_await(queue, &datagram, WORLD_TIMEOUT_MS));
	return datagram;
}

static uint64_t statistic(const struct port_queue *queue, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)port_queue_statistics(queue) + offset, sizeof(value));
	return value;
}
#define counted(queue, field) statistic(queue, offsetof(struct port_statistics, field))

/* A first datagram there and back, so that both ends know each other. */
static void meet(struct pair *pair, const struct port_address *to)
{
	assert_int_equal(world_send(pair->one, to, "hello", 5, pair->shards), 0);
	struct port_datagram datagram = await(pair->shards[0]);
	port_release(pair->shards[0], datagram.packet);
}

static void a_request_and_its_answer(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
	struct pair pair = make_pair((struct pair_options){.shards = 1});

	for (uint16_t local = 0; local < 2; local++) {
		struct port_address to = world_address(texts[local], WORLD_UDP_PORT, local);
		assert_int_equal(port_send(pair.one, &to, "x", 1, NULL, 0, world_now_ns()),
				 -EHOSTUNREACH);
		assert_int_equal(world_send(pair.one, &to, "request", 7, pair.shards), 0);
		struct port_datagram request = await(pair.shards[0]);
		assert_datagram(&request, "request");
		assert_int_equal(request.from.port, 40000);
		assert_int_equal(request.from.local, local);
		/* The server has asked nobody: it answers the way the request came. */
		struct port_piece pieces[] = {{"an", NULL, 2}, {"", NULL, 0}, {"swer", NULL, 4}};
		assert_int_equal(port_send(pair.shards[0], &request.from, "the ", 4, pieces, 3,
					   world_now_ns()),
				 0);
		port_release(pair.shards[0], request.packet);
		port_turn(pair.shards[0], world_now_ns());
		struct port_datagram answer = await(pair.one);
		assert_datagram(&answer, "the answer");
		assert_memory_equal(answer.from.ip, to.ip, 16);
		assert_int_equal(answer.from.port, WORLD_UDP_PORT);
		port_release(pair.one, answer.packet);
	}
	assert_int_equal(counted(pair.shards[0], neighbour_questions_in), 2);
	assert_int_equal(counted(pair.one, neighbour_answers), 2);
	assert_int_equal(counted(pair.shards[0], received_ours), 2);
	assert_int_equal(counted(pair.shards[0], received_dropped), 0);
	free_pair(&pair);
}

static unsigned woken_shards;

static void note_wake(void *context, unsigned shard)
{
	woken_shards |= 1U << shard;
}

static bool arrives_with_a_checksum(struct pair *pair, const char *to_text, uint16_t local)
{
	struct port_address to = world_address(to_text, WORLD_UDP_PORT, local);

	assert_int_equal(world_send(pair->one, &to, "x", 1, pair->shards), 0);
	struct port_datagram datagram = await(pair->shards[0]);
	assert_datagram(&datagram, "x");
	/* The end of the UDP header. */
	bool has = load_be16(datagram.data - 2) != 0;
	port_release(pair->shards[0], datagram.packet);
	return has;
}

static void udp_checksums_are_left_out_over_ipv4_within_the_host_only(void **state)
{
	static const struct {
		enum port_udp_checksum asked;
		bool has_v4;
	} cases[] = {
		{PORT_UDP_CHECKSUM_AUTO, false},
		{PORT_UDP_CHECKSUM_ALWAYS, true},
		{PORT_UDP_CHECKSUM_DEVICE, false},
	};

	for (size_t i = 0; i < array_count(cases); i++) {
		struct pair pair = make_pair(
			(struct pair_options){.shards = 1, .client_udp_checksum = cases[i].asked});
		assert_int_equal(port_info(pair.client).no_udp_checksum, !cases[i].has_v4);
		assert_int_equal(arrives_with_a_checksum(&pair, "192.0.2.1", 0), cases[i].has_v4);
		assert_true(arrives_with_a_checksum(&pair, "2001:db8::1", 1));
		free_pair(&pair);
	}
}

static void the_wrong_queue_hands_over(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 2});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT + 1, 0);
	struct port_hooks hooks = {.wake = note_wake};
	struct port_datagram datagram;

	assert_int_equal(port_info(pair.server).queue_count, 2);
	assert_false(port_info(pair.server).steering);
	port_queue_attach(pair.shards[0], &hooks, NULL);
	woken_shards = 0;
	/* The client sends on its queue 0, which ends at queue 0. */
	assert_int_equal(world_send(pair.one, &to, "for one", 7, pair.shards), 0);
	assert_false(world_await(pair.shards[0], &datagram, 1));
	assert_int_equal(woken_shards, 2);
	assert_false(port_sleep(pair.shards[1]));
	datagram = await(pair.shards[1]);
	assert_datagram(&datagram, "for one");
	/* Its owner answers on its own queue, from its own UDP port. */
	assert_int_equal(
		port_send(pair.shards[1], &datagram.from, "yes", 3, NULL, 0, world_now_ns()), 0);
	port_release(pair.shards[1], datagram.packet);
	assert_int_equal(counted(pair.shards[0], handed_over), 1);
	assert_int_equal(counted(pair.shards[1], handed_over_in), 1);
	assert_int_equal(counted(pair.shards[0], handed_over_dropped), 0);
	assert_int_equal(port_turn(pair.shards[1], world_now_ns()), 1);
	assert_int_equal(counted(pair.shards[1], sent), 1);
	free_pair(&pair);
}

static void a_full_ring_to_a_shard_drops_and_recovers(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 2});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT + 1, 0);
	struct port_datagram datagram;
	unsigned taken = 0;

	assert_int_equal(world_send(pair.one, &to, "first", 5, pair.shards), 0);
	for (unsigned i = 0; i < 700; i++) {
		assert_int_equal(port_send(pair.one, &to, "more", 4, NULL, 0, world_now_ns()), 0);
		port_turn(pair.one, world_now_ns());
		assert_false(world_await(pair.shards[0], &datagram, 0));
	}
	assert_false(world_await(pair.shards[0], &datagram, 1)); /* the last of them */
	while (world_await(pair.shards[1], &datagram, 1)) {
		port_release(pair.shards[1], datagram.packet);
		taken++;
	}
	uint64_t dropped = counted(pair.shards[0], handed_over_dropped);
	assert_true(dropped > 0 && taken > 400);
	assert_int_equal(taken + dropped, 701);
	assert_int_equal(counted(pair.shards[0], handed_over), taken);
	assert_int_equal(world_send(pair.one, &to, "again", 5, pair.shards), 0);
	assert_false(world_await(pair.shards[0], &datagram, 1));
	datagram = await(pair.shards[1]);
	assert_datagram(&datagram, "again");
	port_release(pair.shards[1], datagram.packet);
	free_pair(&pair);
}

static void a_shard_without_a_queue_goes_through_another(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 3, .queues_max = 1});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT + 2, 0);
	struct port_datagram datagram;

	assert_int_equal(port_info(pair.server).queue_count, 1);
	assert_int_equal(world_send(pair.one, &to, "third", 5, pair.shards), 0);
	assert_false(world_await(pair.shards[0], &datagram, 1));
	datagram = await(pair.shards[2]);
	assert_datagram(&datagram, "third");
	assert_int_equal(
		port_send(pair.shards[2], &datagram.from, "back", 4, NULL, 0, world_now_ns()), 0);
	port_release(pair.shards[2], datagram.packet);
	assert_int_equal(port_turn(pair.shards[2], world_now_ns()), 1);
	assert_false(world_await(pair.one, &datagram, 1));
	assert_false(port_sleep(pair.shards[0])); /* there is a frame to be sent */
	assert_true(port_turn(pair.shards[0], world_now_ns()) > 0);
	datagram = await(pair.one);
	assert_datagram(&datagram, "back");
	assert_int_equal(datagram.from.port, WORLD_UDP_PORT + 2);
	port_release(pair.one, datagram.packet);
	assert_int_equal(counted(pair.shards[2], send_through_peer), 1);
	assert_int_equal(port_sleep_ns_max(pair.shards[2]), UINT64_MAX);
	free_pair(&pair);
}

/* ---- attached payload ---- */

static int references; /* held */

static void hold(void *context, void *reference)
{
	assert_ptr_equal(context, &references);
	++*(int *)reference;
	references++;
}

static void release(void *context, void *reference)
{
	assert_ptr_equal(context, &references);
	--*(int *)reference;
	references--;
}

static const struct port_hooks holding = {.hold = hold, .release = release};

static void large_pieces_are_attached_until_the_receiver_is_done(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	char large[700];
	int large_held = 0;
	int small_held = 0;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)('a' + i % 26);
	references = 0;
	port_queue_attach(pair.one, &holding, &references);
	meet(&pair, &to);
	struct port_piece pieces[] = {
		{"small", &small_held, 5},
		{large, &large_held, sizeof(large)},
		{"tail", NULL, 4},
		{large + 1, &large_held, sizeof(large) - 1},
	};
	assert_true(port_info(pair.client).zero_copy);
	assert_int_equal(port_send(pair.one, &to, "head", 4, pieces, 4, world_now_ns()), 0);
	port_turn(pair.one, world_now_ns());
	assert_int_equal(large_held, 2);
	assert_int_equal(small_held, 0);
	assert_int_equal(port_queue_held(pair.one), 2);
	struct port_datagram datagram = await(pair.shards[0]);
	assert_int_equal(datagram.length, 4 + 5 + 700 + 4 + 699);
	assert_memory_equal(datagram.data, "headsmall", 9);
	assert_memory_equal(datagram.data + 9, large, 700);
	assert_memory_equal(datagram.data + 709, "tail", 4);
	assert_memory_equal(datagram.data + 713, large + 1, 699);
	assert_int_equal(counted(pair.shards[0], received_linearised), 1);
	port_release(pair.shards[0], datagram.packet);
	/* The receiver freed it; the owner hears of it in its own turn. */
	assert_int_equal(references, 2);
	port_turn(pair.one, world_now_ns());
	assert_int_equal(references, 0);
	assert_int_equal(port_queue_held(pair.one), 0);
	assert_int_equal(counted(pair.one, sent_attached), 2);
	free_pair(&pair);
	assert_int_equal(references, 0);
}

static void with_all_attachments_out_pieces_are_copied(void **state)
{
	struct pair pair =
		make_pair((struct pair_options){.shards = 1, .client_copy_bytes_max = 100});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	static char large[300];
	int held = 0;
	struct port_piece piece = {large, &held, sizeof(large)};
	struct port_piece pieces[4] = {piece, piece, piece, piece};
	struct port_datagram datagram;
	unsigned received = 0;

	references = 0;
	port_queue_attach(pair.one, &holding, &references);
	meet(&pair, &to);
	/* 255 frames stay in the ring with what they hold, then 45 in the port. */
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(port_send(pair.one, &to, "h", 1, pieces, 4, world_now_ns()), 0);
		port_turn(pair.one, world_now_ns());
	}
	assert_int_equal(references, 1024);
	assert_int_equal(counted(pair.one, sent_attached), 1024);
	assert_int_equal(counted(pair.one, sent_no_attachment), 4 * 300 - 1024);
	assert_int_equal(counted(pair.one, sent_copied_bytes), (4 * 300 - 1024) * sizeof(large));
	while (port_receive(pair.shards[0], &datagram, 1, world_now_ns())) {
		assert_int_equal(datagram.length, 1 + sizeof(pieces) / sizeof(piece) * 300);
		port_release(pair.shards[0], datagram.packet);
		received++;
	}
	assert_int_equal(received, 255);
	/* The port ends with frames in it: what they held is released all the same. */
	free_pair(&pair);
	assert_int_equal(references, 0);
}

/* ---- shortage ---- */

static void no_mbuf_refuses_counts_and_recovers(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1, .client_tx_mbufs = 127});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	struct port_datagram held[200];
	unsigned count = 0;
	int rc = 0;

	meet(&pair, &to);
	/* The server keeps what it gets, so the client's buffers do not come back. */
	for (unsigned i = 0; i < 200 && rc == 0; i++) {
		rc = port_send(pair.one, &to, "keep", 4, NULL, 0, world_now_ns());
		port_turn(pair.one, world_now_ns());
		if (rc == 0)
			held[count++] = await(pair.shards[0]);
	}
	assert_int_equal(rc, -ENOBUFS);
	assert_true(count > 100 && count <= 127);
	assert_int_equal(counted(pair.one, send_no_mbuf), 1);
	while (count)
		port_release(pair.shards[0], held[--count].packet);
	assert_int_equal(port_send(pair.one, &to, "again", 5, NULL, 0, world_now_ns()), 0);
	port_turn(pair.one, world_now_ns());
	struct port_datagram datagram = await(pair.shards[0]);
	assert_datagram(&datagram, "again");
	port_release(pair.shards[0], datagram.packet);
	free_pair(&pair);
}

static void a_device_that_takes_nothing_refuses_and_recovers(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	struct port_datagram datagram;
	uint64_t now_ns = world_now_ns();
	unsigned sent = 0;

	meet(&pair, &to);
	port_turn(pair.one, now_ns);
	while (port_send(pair.one, &to, "more", 4, NULL, 0, now_ns) == 0 && sent < 1000)
		sent++;
	assert_int_equal(sent, RING_SLOTS - 1 + 64);
	assert_int_equal(counted(pair.one, send_full), 1);
	assert_int_equal(port_turn(pair.one, now_ns), 0);
	assert_false(port_sleep(pair.one));
	/* After a while the rest is given up: there is no link. */
	port_turn(pair.one, now_ns + NS_PER_SECOND);
	assert_int_equal(counted(pair.one, send_refused), 64);
	unsigned received = 0;
	while (port_receive(pair.shards[0], &datagram, 1, now_ns)) {
		port_release(pair.shards[0], datagram.packet);
		received++;
	}
	assert_int_equal(received, RING_SLOTS - 1);
	assert_int_equal(port_send(pair.one, &to, "again", 5, NULL, 0, now_ns), 0);
	port_turn(pair.one, now_ns + NS_PER_SECOND);
	datagram = await(pair.shards[0]);
	assert_datagram(&datagram, "again");
	port_release(pair.shards[0], datagram.packet);
	free_pair(&pair);
}

static void what_cannot_be_sent_is_refused(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	struct port_address six = world_address("2001:db8::1", WORLD_UDP_PORT, 1);
	static char large[MTU];
	struct port_piece pieces[PORT_PIECES_MAX + 1] = {{0}};
	uint64_t now_ns = world_now_ns();

	meet(&pair, &to);
	meet(&pair, &six);
	assert_int_equal(port_info(pair.client).payload_bytes_max, MTU - 48);
	assert_int_equal(port_send(pair.one, &to, large, MTU - 28, NULL, 0, now_ns), 0);
	assert_int_equal(port_send(pair.one, &to, large, MTU - 27, NULL, 0, now_ns), -EMSGSIZE);
	assert_int_equal(port_send(pair.one, &six, large, MTU - 48, NULL, 0, now_ns), 0);
	assert_int_equal(port_send(pair.one, &six, large, MTU - 47, NULL, 0, now_ns), -EMSGSIZE);
	pieces[0] = (struct port_piece){large, NULL, UINT32_MAX};
	pieces[1] = pieces[0];
	assert_int_equal(port_send(pair.one, &to, large, 1, pieces, 2, now_ns), -EMSGSIZE);
	assert_int_equal(port_send(pair.one, &to, large, 1, pieces, PORT_PIECES_MAX + 1, now_ns),
			 -EINVAL);
	to.local = 2;
	assert_int_equal(port_send(pair.one, &to, large, 1, NULL, 0, now_ns), -EINVAL);
	free_pair(&pair);
}

static void jumbo_frames_are_one_buffer(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1, .client_mtu = 9000});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	static char large[9000 - 28];
	struct port_datagram datagram;

	memset(large, 'j', sizeof(large));
	meet(&pair, &to);
	assert_int_equal(port_send(pair.one, &to, large, sizeof(large), NULL, 0, world_now_ns()),
			 0);
	port_turn(pair.one, world_now_ns());
	datagram = await(pair.shards[0]);
	assert_int_equal(datagram.length, sizeof(large));
	assert_memory_equal(datagram.data, large, sizeof(large));
	assert_int_equal(((struct rte_mbuf *)datagram.packet)->nb_segs, 1);
	port_release(pair.shards[0], datagram.packet);
	free_pair(&pair);
}

/* ---- what is not ours ---- */

static void inject(struct pair *pair, const uint8_t *frame, uint16_t bytes)
{
	static struct rte_mempool *pool;
	uint16_t id = port_info(pair->client).id;

	if (!pool)
		pool = rte_pktmbuf_pool_create("inject", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					       SOCKET_ID_ANY);
	assert_non_null(pool);
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);
	assert_non_null(mbuf);
	memcpy(rte_pktmbuf_append(mbuf, bytes), frame, bytes);
	assert_int_equal(rte_eth_tx_burst(id, 0, &mbuf, 1), 1);
}

static void drops_are_counted_by_reason_and_leak_nothing(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 1});
	uint8_t frame[64] = {[12] = 8, [14] = 0x55, [6] = 2};
	struct port_datagram datagram;

	for (unsigned i = 0; i < 200; i++) { /* more than the pool has */
		inject(&pair, frame, i % 2 ? 64 : 9);
		assert_int_equal(port_receive(pair.shards[0], &datagram, 1, world_now_ns()), 0);
	}
	assert_int_equal(counted(pair.shards[0], drops[PACKET_DROP_ETHERNET_SHORT]), 100);
	assert_int_equal(counted(pair.shards[0], drops[PACKET_DROP_IPV4_VERSION]), 100);
	assert_int_equal(counted(pair.shards[0], received_dropped), 200);
	frame[12] = 0x88;
	frame[13] = 0xcc;
	inject(&pair, frame, 64);
	assert_int_equal(port_receive(pair.shards[0], &datagram, 1, world_now_ns()), 0);
	assert_int_equal(counted(pair.shards[0], kernel_dropped), 1);
	free_pair(&pair);
}

static void null_devices_start_and_stop(void **state)
{
	struct port_ip addresses[2];
	struct world_port what = {"net_null0", 2, {"192.0.2.1/24"}};
	struct port_options options = world_options(&what, addresses);
	struct port *port = world_port(&options);
	struct port_datagram datagram;

	/* It receives frames of zeros without end: nobody's EtherType. */
	assert_int_equal(port_receive(port_queue(port, 0), &datagram, 1, world_now_ns()), 0);
	assert_true(counted(port_queue(port, 0), received) > 0);
	assert_int_equal(counted(port_queue(port, 0), received),
			 counted(port_queue(port, 0), kernel_dropped));
	port_stop(port);
}

static void what_does_not_exist_is_refused(void **state)
{
	struct port_ip addresses[2];
	struct world_port what = {"net_none7", 1, {"192.0.2.1/24"}};
	struct port_options options = world_options(&what, addresses);
	struct port *port = NULL;
	char why[256] = "";

	assert_int_equal(port_start(&port, &options, why, sizeof(why)), -ENODEV);
	assert_null(port);
	assert_non_null(strstr(why, "net_none7"));
	options.device = "net_null1";
	options.address_count = 0;
	assert_int_equal(port_start(&port, &options, why, sizeof(why)), -EADDRNOTAVAIL);
	options.address_count = 1;
	options.udp_port_first = 65535;
	options.shard_count = 2;
	assert_int_equal(port_start(&port, &options, why, sizeof(why)), -EINVAL);
	assert_null(port);
}

static void addresses_as_text(void **state)
{
	static const char *const bad[] = {"",           "1.2.3",      "1.2.3.4/", "1.2.3.4/33",
					  "1.2.3.4/-1", "1.2.3.4/8x", "::1/129",  "::ffff:1.2.3.4",
					  "a/24",       "/24"};
	struct port_ip ip;

	for (size_t i = 0; i < array_count(bad); i++)
		assert_int_equal(port_ip_parse(&ip, bad[i]), -EINVAL);
	assert_int_equal(port_ip_parse(&ip, "10.1.2.3/0"), 0);
	assert_int_equal(ip.prefix_bits, 0);
	assert_int_equal(port_ip_parse(&ip, "fe80::1"), 0);
	assert_int_equal(ip.prefix_bits, 128);
}

/* ---- telemetry ---- */

static int telemetry_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char greeting[1024];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/dpdk_telemetry.v2",
		 rte_eal_get_runtime_dir());
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(recv(fd, greeting, sizeof(greeting), 0) > 0);
	return fd;
}

static void ask(int fd, const char *question, char *answer, size_t bytes)
{
	assert_int_equal(send(fd, question, strlen(question), 0), strlen(question));
	ssize_t length = recv(fd, answer, bytes - 1, 0);
	assert_true(length > 0);
	answer[length] = 0;
}

static void telemetry_tells_ports_and_queues(void **state)
{
	struct pair pair = make_pair((struct pair_options){.shards = 2});
	struct port_address to = world_address("192.0.2.1", WORLD_UDP_PORT, 0);
	char answer[16384];
	char question[128];
	char name[64];

	meet(&pair, &to);
	int fd = telemetry_connect();
	assert_int_equal(rte_eth_dev_get_name_by_port(port_info(pair.server).id, name), 0);
	ask(fd, "/sluice/ports", answer, sizeof(answer));
	assert_non_null(strstr(answer, name));
	snprintf(question, sizeof(question), "/sluice/port,%s", name);
	ask(fd, question, answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"received_ours\":1"));
	assert_non_null(strstr(answer, "\"drop_UDP_CHECKSUM\":0"));
	assert_non_null(strstr(answer, "\"driver\":\"net_ring\""));
	snprintf(question, sizeof(question), "/sluice/queue,%s,1", name);
	ask(fd, question, answer, sizeof(answer));
	assert_non_null(strstr(answer, "\"received_ours\":0"));
	snprintf(question, sizeof(question), "/sluice/queue,%s,2", name);
	ask(fd, question, answer, sizeof(answer));
	assert_null(strstr(answer, "received_ours"));
	free_pair(&pair);
	ask(fd, "/sluice/ports", answer, sizeof(answer));
	assert_null(strstr(answer, name));
	close(fd);
}

int main(void)
{
	static const char *const vdevs[] = {"net_null0", "net_null1"};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_and_its_answer),
		cmocka_unit_test(udp_checksums_are_left_out_over_ipv4_within_the_host_only),
		cmocka_unit_test(the_wrong_queue_hands_over),
		cmocka_unit_test(a_full_ring_to_a_shard_drops_and_recovers),
		cmocka_unit_test(a_shard_without_a_queue_goes_through_another),
		cmocka_unit_test(large_pieces_are_attached_until_the_receiver_is_done),
		cmocka_unit_test(with_all_attachments_out_pieces_are_copied),
		cmocka_unit_test(no_mbuf_refuses_counts_and_recovers),
		cmocka_unit_test(a_device_that_takes_nothing_refuses_and_recovers),
		cmocka_unit_test(what_cannot_be_sent_is_refused),
		cmocka_unit_test(jumbo_frames_are_one_buffer),
		cmocka_unit_test(drops_are_counted_by_reason_and_leak_nothing),
		cmocka_unit_test(null_devices_start_and_stop),
		cmocka_unit_test(what_does_not_exist_is_refused),
		cmocka_unit_test(addresses_as_text),
		cmocka_unit_test(telemetry_tells_ports_and_queues),
	};

	world_start(vdevs, array_count(vdevs), true);
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return rc;
}
