#include "tests/sim/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PORT = 9092 };

static void begin(uint64_t seed, const struct network_faults *faults)
{
	schedule_init((struct random){seed});
	network_init((struct random){seed + 1000});
	if (faults)
		network_set_faults(faults);
}

static const struct network_faults no_faults = {.delay_ns_min = 1000, .delay_ns_max = 50000};

static bool never(void *context)
{
	(void)context;
	return false;
}

/* Until nothing is under way any more. */
static void settle(void)
{
	schedule_run(never, NULL);
}

static struct socket_state *listener_at(uint16_t port, bool shared)
{
	struct socket_state *listener = socket_new(SOCKET_STREAM);

	if (shared)
		socket_share_port(listener);
	assert_int_equal(socket_bind(listener, &port), 0);
	assert_int_equal(socket_listen(listener), 0);
	return listener;
}

static void connect_pair(struct socket_state *listener, struct socket_state **ret_client,
			 struct socket_state **ret_server)
{
	*ret_client = socket_new(SOCKET_STREAM);
	assert_int_equal(socket_connect(*ret_client, PORT), -EINPROGRESS);
	settle();
	assert_int_equal(socket_error(*ret_client), 0);
	assert_true(socket_writable(*ret_client));
	assert_int_equal(socket_accept(listener, ret_server), 0);
}

struct pair {
	struct socket_state *listener, *client, *server;
};

static struct pair pair_new(uint64_t seed, const struct network_faults *faults)
{
	struct pair pair;

	begin(seed, faults);
	pair.listener = listener_at(PORT, false);
	connect_pair(pair.listener, &pair.client, &pair.server);
	return pair;
}

static void pair_close(struct pair *pair)
{
	socket_close(pair->client);
	socket_close(pair->server);
	socket_close(pair->listener);
}

static struct socket_state *datagrams_at(uint16_t port)
{
	struct socket_state *socket = socket_new(SOCKET_DATAGRAM);

	assert_int_equal(socket_bind(socket, &port), 0);
	return socket;
}

/* ---- streams ---- */

static void bytes_arrive_once_and_in_order_in_pieces_of_any_size(void **state)
{
	static uint8_t sent[300000], got[sizeof(sent)];
	unsigned pieces = 0;

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7 + i / 251);
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct pair pair = pair_new(seed, &no_faults);
		size_t out = 0;
		size_t in = 0;
		while (in < sizeof(got)) {
			int64_t rc = socket_send(pair.client, sent + out, sizeof(sent) - out);
			assert_true(rc >= 0 || rc == -EAGAIN);
			out += rc > 0 ? (size_t)rc : 0;
			uint64_t until_ns = sim_now_ns();
			settle();
			assert_true(sim_now_ns() > until_ns);
			rc = socket_receive(pair.server, got + in, sizeof(got) - in, false);
			assert_true(rc > 0);
			in += (size_t)rc;
			pieces++;
		}
		assert_memory_equal(sent, got, sizeof(sent));
		assert_int_equal(socket_bytes_acked(pair.client), sizeof(sent));
		pair_close(&pair);
	}
	assert_true(pieces > 20);
}

static void a_reader_that_stalls_makes_the_sender_unwritable_until_it_reads(void **state)
{
	static uint8_t data[8 << 20];
	struct pair pair = pair_new(3, &no_faults);
	int64_t window = socket_send(pair.client, data, sizeof(data));

	assert_in_range(window, 4096, 4 << 20);
	assert_int_equal(socket_send(pair.client, data, 1), -EAGAIN);
	settle();
	assert_false(socket_writable(pair.client));
	assert_int_equal(socket_receive(pair.server, data, 1, false), 1);
	assert_false(socket_writable(pair.client));
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), window - 1);
	assert_true(socket_writable(pair.client));
	pair_close(&pair);
}

static void a_port_where_nobody_listens_refuses(void **state)
{
	begin(1, &no_faults);
	struct socket_state *client = socket_new(SOCKET_STREAM);
	assert_int_equal(socket_connect(client, PORT), -EINPROGRESS);
	assert_false(socket_writable(client));
	settle();
	assert_true(socket_writable(client));
	assert_true(socket_broken(client));
	assert_int_equal(socket_error(client), -ECONNREFUSED);
	assert_int_equal(socket_error(client), 0);
	socket_close(client);
}

static void a_port_is_taken_unless_all_share_it(void **state)
{
	uint16_t port = PORT;

	begin(1, &no_faults);
	struct socket_state *first = listener_at(PORT, true);
	struct socket_state *selfish = socket_new(SOCKET_STREAM);
	assert_int_equal(socket_bind(selfish, &port), -EADDRINUSE);
	struct socket_state *second = listener_at(PORT, true);
	socket_close(first);
	socket_close(second);
	assert_int_equal(socket_bind(selfish, &port), 0);
	socket_close(selfish);
}

static void all_listeners_of_a_port_get_connections(void **state)
{
	struct socket_state *listeners[2], *clients[32], *accepted;
	unsigned counts[2] = {0};

	begin(1, &no_faults);
	listeners[0] = listener_at(PORT, true);
	listeners[1] = listener_at(PORT, true);
	for (unsigned i = 0; i < 32; i++) {
		clients[i] = socket_new(SOCKET_STREAM);
		assert_int_equal(socket_connect(clients[i], PORT), -EINPROGRESS);
	}
	settle();
	assert_int_equal(network_accepted(), 32);
	for (unsigned i = 0; i < 2; i++) {
		while (socket_accept(listeners[i], &accepted) == 0) {
			counts[i]++;
			socket_close(accepted);
		}
		socket_close(listeners[i]);
	}
	assert_int_equal(counts[0] + counts[1], 32);
	assert_int_equal(network_accepted(), 0);
	assert_true(counts[0] > 0);
	assert_true(counts[1] > 0);
	for (unsigned i = 0; i < 32; i++)
		socket_close(clients[i]);
}

static void the_end_comes_after_the_last_byte_and_the_other_way_stays_open(void **state)
{
	char data[8] = {0};
	struct pair pair = pair_new(4, &no_faults);

	assert_int_equal(socket_send(pair.client, "last", 4), 4);
	assert_int_equal(socket_shutdown_write(pair.client), 0);
	assert_int_equal(socket_send(pair.client, "x", 1), -EPIPE);
	settle();
	assert_true(socket_peer_ended(pair.server));
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), 4);
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), 0);
	assert_int_equal(socket_send(pair.server, "answer", 6), 6);
	settle();
	assert_int_equal(socket_receive(pair.client, data, sizeof(data), false), 6);
	pair_close(&pair);
}

static void sending_to_a_peer_that_has_closed_is_answered_with_a_reset(void **state)
{
	char data[8];
	struct pair pair = pair_new(5, &no_faults);

	socket_close(pair.client);
	settle();
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), 0);
	assert_int_equal(socket_send(pair.server, "x", 1), 1);
	settle();
	assert_true(socket_broken(pair.server));
	assert_int_equal(socket_send(pair.server, "x", 1), -ECONNRESET);
	assert_int_equal(socket_send(pair.server, "x", 1), -EPIPE);
	socket_close(pair.server);
	socket_close(pair.listener);
}

static void a_close_that_leaves_data_unread_resets(void **state)
{
	char data[8];
	struct pair pair = pair_new(6, &no_faults);

	assert_int_equal(socket_send(pair.client, "unread", 6), 6);
	settle();
	socket_close(pair.server);
	settle();
	assert_int_equal(socket_receive(pair.client, data, sizeof(data), false), -ECONNRESET);
	socket_close(pair.client);
	socket_close(pair.listener);
}

static void what_a_dead_process_had_sent_arrives_whole_or_in_part_then_a_reset_or_the_end(void **s)
{
	static uint8_t data[4000];
	bool whole = false;
	bool part = false;
	bool reset = false;
	bool end = false;

	for (uint64_t seed = 0; seed < 40; seed++) {
		struct pair pair = pair_new(seed, &no_faults);
		assert_int_equal(socket_send(pair.server, data, sizeof(data)), sizeof(data));
		socket_reset(pair.server);
		settle();
		int64_t got = socket_receive(pair.client, data, sizeof(data), false);
		whole |= got == sizeof(data);
		part |= got > 0 && got < (int64_t)sizeof(data);
		int64_t rc = got > 0 ? socket_receive(pair.client, data, 1, false) : got;
		reset |= rc == -ECONNRESET;
		end |= rc == 0;
		socket_close(pair.client);
		socket_close(pair.listener);
	}
	assert_true(whole);
	assert_true(part);
	assert_true(reset);
	assert_true(end);
}

static void a_cut_breaks_both_ends_and_loses_what_was_under_way(void **state)
{
	struct network_faults faults = no_faults;
	char data[8];
	struct pair pair = pair_new(7, &faults);

	assert_int_equal(socket_send(pair.client, "come", 4), 4);
	settle();
	faults.cut = 1000000;
	network_set_faults(&faults);
	assert_int_equal(socket_send(pair.client, "lost", 4), 4);
	settle();
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), 4);
	assert_memory_equal(data, "come", 4);
	assert_int_equal(socket_receive(pair.server, data, sizeof(data), false), -ECONNRESET);
	assert_int_equal(socket_error(pair.client), -ECONNRESET);
	pair_close(&pair);
}

static void connections_in_the_queue_of_a_listener_that_closes_are_reset(void **state)
{
	begin(8, &no_faults);
	struct socket_state *listener = listener_at(PORT, false);
	struct socket_state *client = socket_new(SOCKET_STREAM);
	assert_int_equal(socket_connect(client, PORT), -EINPROGRESS);
	settle();
	socket_close(listener);
	settle();
	assert_int_equal(socket_error(client), -ECONNRESET);
	socket_close(client);
}

/* ---- datagrams ---- */

enum { DATAGRAMS = 200 };

/* Sends DATAGRAMS numbers to PORT; fills in what came, returns how many. */
static unsigned send_numbers(uint64_t seed, const struct network_faults *faults,
			     unsigned ret[static 2 * DATAGRAMS])
{
	unsigned count = 0;

	begin(seed, faults);
	struct socket_state *from = datagrams_at(1);
	struct socket_state *to = datagrams_at(PORT);
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		assert_int_equal(socket_send_to(from, &i, sizeof(i), PORT), sizeof(i));
		if (i % 16 == 0)
			settle();
	}
	settle();
	uint16_t port = 0;
	while (socket_receive_from(to, &ret[count], sizeof(ret[0]), &port) == sizeof(ret[0])) {
		assert_int_equal(port, 1);
		count++;
	}
	socket_close(from);
	socket_close(to);
	return count;
}

static void datagrams_without_faults_come_once_and_in_order(void **state)
{
	unsigned got[2 * DATAGRAMS];

	assert_int_equal(send_numbers(1, &no_faults, got), DATAGRAMS);
	for (unsigned i = 0; i < DATAGRAMS; i++)
		assert_int_equal(got[i], i);
}

static void datagrams_are_dropped_doubled_and_overtaken(void **state)
{
	struct network_faults faults = no_faults;
	unsigned got[2 * DATAGRAMS];

	faults.drop = 200000;
	assert_in_range(send_numbers(1, &faults, got), DATAGRAMS / 2, DATAGRAMS - 1);
	faults.drop = 0;
	faults.duplicate = 200000;
	assert_in_range(send_numbers(1, &faults, got), DATAGRAMS + 1, 2 * DATAGRAMS);
	faults.duplicate = 0;
	faults.overtake = 200000;
	assert_int_equal(send_numbers(1, &faults, got), DATAGRAMS);
	unsigned overtaken = 0;
	for (unsigned i = 1; i < DATAGRAMS; i++)
		overtaken += got[i] < got[i - 1];
	assert_true(overtaken > 0);
}

static void a_garbled_datagram_comes_with_another_byte(void **state)
{
	struct network_faults faults = no_faults;
	unsigned got[2 * DATAGRAMS];
	unsigned wrong = 0;

	faults.garble = 200000;
	assert_int_equal(send_numbers(1, &faults, got), DATAGRAMS);
	for (unsigned i = 0; i < DATAGRAMS; i++)
		wrong += got[i] != i;
	assert_in_range(wrong, 1, DATAGRAMS / 2);
}

static void a_narrow_path_loses_long_datagrams_alone(void **state)
{
	struct network_faults faults = no_faults;
	uint8_t data[1500] = {0};

	faults.datagram_bytes_max = 1200;
	begin(1, &faults);
	struct socket_state *from = datagrams_at(1);
	struct socket_state *to = datagrams_at(PORT);
	assert_int_equal(socket_send_to(from, data, 1201, PORT), 1201);
	assert_int_equal(socket_send_to(from, data, 1200, PORT), 1200);
	settle();
	assert_int_equal(socket_receive_from(to, data, sizeof(data), NULL), 1200);
	assert_int_equal(socket_receive_from(to, data, sizeof(data), NULL), -EAGAIN);
	socket_close(from);
	socket_close(to);
}

static void who_connected_to_a_port_hears_that_nobody_is_there(void **state)
{
	begin(1, &no_faults);
	struct socket_state *from = socket_new(SOCKET_DATAGRAM);
	assert_int_equal(socket_connect(from, PORT), 0);
	assert_int_equal(socket_send(from, "x", 1), 1);
	settle();
	assert_true(socket_readable(from));
	assert_int_equal(socket_send(from, "x", 1), -ECONNREFUSED);
	socket_close(from);
}

static void a_connected_socket_takes_nothing_from_elsewhere(void **state)
{
	char data[2];

	begin(1, &no_faults);
	struct socket_state *client = socket_new(SOCKET_DATAGRAM);
	struct socket_state *stranger = datagrams_at(1);
	struct socket_state *server = datagrams_at(PORT);
	assert_int_equal(socket_connect(client, PORT), 0);
	assert_int_equal(socket_send_to(stranger, "s", 1, socket_port(client)), 1);
	assert_int_equal(socket_send_to(server, "p", 1, socket_port(client)), 1);
	settle();
	assert_int_equal(socket_receive_from(client, data, sizeof(data), NULL), 1);
	assert_int_equal(data[0], 'p');
	assert_int_equal(socket_receive_from(client, data, sizeof(data), NULL), -EAGAIN);
	socket_close(client);
	socket_close(stranger);
	socket_close(server);
}

static void a_sender_and_a_mailbox_hold_a_limited_number_of_bytes(void **state)
{
	static uint8_t data[60000];
	size_t sent = 0;
	size_t got = 0;

	begin(1, &no_faults);
	struct socket_state *from = datagrams_at(1);
	struct socket_state *to = datagrams_at(PORT);
	while (socket_send_to(from, data, sizeof(data), PORT) > 0)
		sent++;
	assert_false(socket_writable(from));
	for (unsigned i = 0; i < 100; i++) {
		settle();
		assert_true(socket_writable(from));
		assert_int_equal(socket_send_to(from, data, sizeof(data), PORT), sizeof(data));
	}
	settle();
	while (socket_receive_from(to, data, sizeof(data), NULL) > 0)
		got++;
	assert_in_range(sent, 1, (4 << 20) / sizeof(data));
	assert_in_range(got, 1, NETWORK_MAILBOX_BYTES / sizeof(data));
	socket_close(from);
	socket_close(to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_once_and_in_order_in_pieces_of_any_size),
		cmocka_unit_test(a_reader_that_stalls_makes_the_sender_unwritable_until_it_reads),
		cmocka_unit_test(a_port_where_nobody_listens_refuses),
		cmocka_unit_test(a_port_is_taken_unless_all_share_it),
		cmocka_unit_test(all_listeners_of_a_port_get_connections),
		cmocka_unit_test(the_end_comes_after_the_last_byte_and_the_other_way_stays_open),
		cmocka_unit_test(sending_to_a_peer_that_has_closed_is_answered_with_a_reset),
		cmocka_unit_test(a_close_that_leaves_data_unread_resets),
		cmocka_unit_test(
			what_a_dead_process_had_sent_arrives_whole_or_in_part_then_a_reset_or_the_end),
		cmocka_unit_test(a_cut_breaks_both_ends_and_loses_what_was_under_way),
		cmocka_unit_test(connections_in_the_queue_of_a_listener_that_closes_are_reset),
		cmocka_unit_test(datagrams_without_faults_come_once_and_in_order),
		cmocka_unit_test(datagrams_are_dropped_doubled_and_overtaken),
		cmocka_unit_test(a_garbled_datagram_comes_with_another_byte),
		cmocka_unit_test(a_narrow_path_loses_long_datagrams_alone),
		cmocka_unit_test(who_connected_to_a_port_hears_that_nobody_is_there),
		cmocka_unit_test(a_connected_socket_takes_nothing_from_elsewhere),
		cmocka_unit_test(a_sender_and_a_mailbox_hold_a_limited_number_of_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
