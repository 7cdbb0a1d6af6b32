/* Single behaviours of an endpoint: handshake, terms, time, limits, ends. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "dataplane/transport/transport_internal.h"
#include "tests/dataplane/transport_pair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- handshake ---- */

static void a_session_is_open_after_two_round_trips(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);
	uint64_t begun_ns = pair->net.now_ns;

	(void)state;
	pair_connect(pair);
	while (!pair->opened && net_step(&pair->net, begun_ns + NS_PER_SECOND))
		;
	assert_true(pair->opened);
	assert_int_equal(pair->net.now_ns - begun_ns, 4 * 50000);
	assert_int_equal(pair->client->sent, 2);
	assert_int_equal(pair->server->sent, 2);
	assert_int_equal(transport_session_rtt_ns(pair->session), 100000);
	pair_free(pair);
}

static void the_smaller_of_both_terms_holds(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();

	(void)state;
	server.slots = 4;
	server.message_bytes_max = 100000;
	server.datagram_bytes = 1232;
	server.shard = 3;
	client.slots = 8;
	client.message_bytes_max = 5000;
	client.idle_ms = 7000;
	struct pair *pair = pair_new(&server, &client);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	assert_true(pair->opened);
	assert_int_equal(transport_session_slots(pair->session), 4);
	assert_int_equal(transport_session_datagram_bytes(pair->session), 1232);
	assert_int_equal(transport_session_datagram_bytes(pair->accepted), 1232);
	assert_int_equal(transport_session_message_bytes_max(pair->session), 100000);
	assert_int_equal(transport_session_message_bytes_max(pair->accepted), 5000);
	assert_int_equal(transport_session_shard(pair->session), 3);
	assert_int_equal(pair->accepted->idle_ms, 7000);
	pair_echo(pair, 7, 5000);
	pair_free(pair);
}

static void nobody_there_is_told_in_time(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);
	struct pair_call *call;

	(void)state;
	net_stop(pair->server);
	pair_connect(pair);
	call = pair_call_new(pair, 1, 10, 60 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, config.connect_ms - 1);
	assert_int_equal(pair->closed, 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->closed, 1);
	assert_int_equal(pair->reason, TRANSPORT_REASON_UNREACHABLE);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ETIMEDOUT);
	assert_true(pair->client->sent < 30);
	pair_call_free(call);
	pair_free(pair);
}

static void a_full_table_refuses(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();

	(void)state;
	server.sessions_max = 2;
	struct pair *pair = pair_new(&server, &client);
	for (unsigned i = 0; i < 2; i++) {
		pair_connect(pair);
		pair_run_ms(pair, 1);
		assert_true(pair->opened);
	}
	pair_connect(pair);
	pair_run_ms(pair, 1);
	assert_false(pair->opened);
	assert_int_equal(pair->reason, TRANSPORT_REASON_FULL);
	assert_int_equal(transport_statistics(pair->server->transport)->sessions_refused, 1);
	pair_free(pair);
}

static bool drop_opened(struct net_node *node, const struct transport_address *to,
			const uint8_t *data, size_t length)
{
	(void)node;
	(void)to;
	(void)length;
	return (data[0] & 15) == PACKET_OPENED;
}

static void open_may_be_repeated(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);

	(void)state;
	pair->server->tap = drop_opened;
	pair_connect(pair);
	pair_run_ms(pair, 500);
	assert_false(pair->opened);
	assert_int_equal(transport_sessions(pair->server->transport), 1);
	pair->server->tap = NULL;
	pair_run_ms(pair, 2000);
	assert_true(pair->opened);
	assert_int_equal(transport_statistics(pair->server->transport)->sessions_opened, 1);
	/* It fell back to smaller datagrams meanwhile, and both ends agree. */
	assert_int_equal(transport_session_datagram_bytes(pair->session),
			 transport_session_datagram_bytes(pair->accepted));
	pair_echo(pair, 1, 20000);
	pair_free(pair);
}

static bool drop_all(struct net_node *node, const struct transport_address *to, const uint8_t *data,
		     size_t length)
{
	(void)node;
	(void)to;
	(void)data;
	(void)length;
	return true;
}

static void silence_is_not_taken_for_a_narrow_path(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);

	(void)state;
	pair->client->tap = drop_all;
	pair_connect(pair);
	pair_run_ms(pair, 2000);
	pair->client->tap = NULL;
	pair_run_ms(pair, 2000);
	assert_true(pair->opened);
	assert_int_equal(transport_session_datagram_bytes(pair->session), config.datagram_bytes);
	pair_free(pair);
}

/* Two sizes do not pass, with four tries each. */
static void a_narrow_path_is_known_soon(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.datagram_bytes = 8952;
	struct pair *pair = pair_new(&config, &config);
	pair->net.faults.mtu = 1232;
	pair_connect(pair);
	pair_run_ms(pair, 160);
	assert_true(pair->opened);
	assert_int_equal(transport_session_datagram_bytes(pair->session), 1232);
	pair_echo(pair, 1, 20000);
	pair_free(pair);
}

/* Of each kind, at most three in a row. */
static bool drop_three_of_four(struct net_node *node, const struct transport_address *to,
			       const uint8_t *data, size_t length)
{
	static unsigned seen[16];
	unsigned type = data[0] & 15;

	(void)node;
	(void)to;
	(void)length;
	return (type == PACKET_COOKIE || type == PACKET_OPENED) && seen[type]++ % 4 < 3;
}

static void losses_are_not_taken_for_a_narrow_path(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair;

	(void)state;
	config.datagram_bytes = 8952;
	pair = pair_new(&config, &config);
	pair->server->tap = drop_three_of_four;
	pair_connect(pair);
	pair_run_ms(pair, 1000);
	assert_true(pair->opened);
	assert_int_equal(transport_session_datagram_bytes(pair->session), 8952);
	pair->server->tap = NULL;
	pair_echo(pair, 1, 20000);
	pair_free(pair);
}

static void cookies_survive_one_change_of_secret(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.secret_ms = config.cookie_ms;
	struct pair *pair = pair_new(&config, &config);
	for (unsigned i = 0; i < 5; i++) {
		pair_run_ms(pair, config.secret_ms);
		pair_connect(pair);
		pair_run_ms(pair, 1);
		assert_true(pair->opened);
	}
	assert_int_equal(transport_statistics(pair->server->transport)->dropped_cookie, 0);
	pair_free(pair);
}

/* ---- messages ---- */

static void messages_of_every_edge_size_pass(void **state)
{
	static const uint32_t sizes[] = {0,    1,    2,    47,    1423,  1424,    1425,
					 2847, 2848, 2849, 91136, 91137, 1000000, 5000000};
	struct pair *pair = pair_open();

	(void)state;
	for (size_t i = 0; i < array_count(sizes); i++)
		pair_echo(pair, (uint8_t)(i + 1), sizes[i]);
	assert_in_range(pair->released, array_count(sizes) - 1, array_count(sizes));
	/* Every buffer came home, and one of each side at a time was enough. */
	assert_int_equal(pair->server->buffers + pair->client->buffers, 0);
	assert_int_equal(pair->server->buffers_peak, 1);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->released, array_count(sizes));
	pair_free(pair);
}

static void small_messages_take_no_buffer(void **state)
{
	struct pair *pair = pair_open();

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		pair_echo(pair, 1, 1424);
	assert_int_equal(pair->server->buffers_peak, 0);
	assert_int_equal(pair->client->buffers_peak, 0);
	pair_free(pair);
}

static void what_is_too_large_is_refused_here(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();
	struct pair_call *call;

	(void)state;
	server.message_bytes_max = 1000;
	client.message_bytes_max = 500;
	struct pair *pair = pair_new(&server, &client);
	pair_connect(pair);
	/* Not known yet: it fails when it is. */
	call = pair_call_new(pair, 1, 1001, NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ERR_TOO_LARGE);
	pair_call_free(call);
	call = pair_call_new(pair, 1, 1001, NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), -ERR_TOO_LARGE);
	pair_call_free(call);
	call = pair_call_new(pair, 1, 1000, NS_PER_SECOND);
	pair->keep = true;
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair_respond(pair, 0, 501), -ERR_TOO_LARGE);
	assert_int_equal(pair->released, 0);
	assert_int_equal(pair_respond(pair, 0, 500), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(call->rc, 0);
	assert_int_equal(call->length, 500);
	pair_call_free(call);
	pair_free(pair);
}

static void too_many_pieces_are_refused(void **state)
{
	struct transport_piece pieces[TRANSPORT_PIECES_MAX + 1] = {0};
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 1, NS_PER_SECOND);

	(void)state;
	call->call.pieces = pieces;
	call->call.piece_count = TRANSPORT_PIECES_MAX + 1;
	assert_int_equal(pair_call_begin(call), -EINVAL);
	call->call.piece_count = TRANSPORT_PIECES_MAX;
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(call->rc, 0);
	pair_call_free(call);
	pair_free(pair);
}

static void a_request_is_answered_once(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 10, NS_PER_SECOND);

	(void)state;
	pair->keep = true;
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->request_count, 1);
	assert_int_equal(pair_respond(pair, 0, 10), 0);
	assert_int_equal(pair_respond(pair, 0, 10), -ERR_CLOSING);
	pair_run_ms(pair, 1);
	assert_int_equal(call->done, 1);
	assert_int_equal(pair->released, 1);
	assert_ptr_equal(pair->released_owner, pair);
	pair_call_free(call);
	pair_free(pair);
}

static void a_response_is_released_by_the_next_request_even_without_an_acknowledgement(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.slots = 1;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	for (unsigned i = 0; i < 50; i++)
		pair_echo(pair, 1, 100);
	assert_in_range(pair->released, 49, 50);
	pair_free(pair);
}

/* ---- time ---- */

static void a_slow_answer_is_waited_for(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 10, 300 * NS_PER_SECOND);

	(void)state;
	pair->keep = true;
	assert_int_equal(pair_call_begin(call), 0);
	/* Four times the idle time: signs of life keep the session open. */
	pair_run_ms(pair, 120000);
	assert_int_equal(pair->closed, 0);
	assert_int_equal(call->done, 0);
	assert_int_equal(pair_respond(pair, 0, 10), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(call->rc, 0);
	assert_true(pair->client->sent < 200);
	pair_call_free(call);
	pair_free(pair);
}

static void an_idle_session_ends_at_both_ends(void **state)
{
	struct pair *pair = pair_open();

	(void)state;
	pair_echo(pair, 1, 10);
	pair_run_ms(pair, 29000);
	assert_int_equal(pair->closed + pair->server_closed, 0);
	pair_run_ms(pair, 2000);
	assert_int_equal(pair->closed, 1);
	assert_int_equal(pair->server_closed, 1);
	assert_int_equal(pair->reason, TRANSPORT_REASON_IDLE);
	assert_int_equal(transport_sessions(pair->server->transport), 0);
	pair_free(pair);
}

static void a_session_to_be_kept_alive_is(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();

	(void)state;
	client.keep_alive = true;
	struct pair *pair = pair_new(&server, &client);
	pair_connect(pair);
	pair_run_ms(pair, 200000);
	assert_true(pair->opened);
	assert_int_equal(pair->closed, 0);
	assert_in_range(pair->client->sent, 10, 40);
	pair_echo(pair, 1, 10);
	pair_free(pair);
}

static void an_idle_endpoint_wants_nothing(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);

	(void)state;
	assert_int_equal(transport_turn(pair->server->transport, pair->net.now_ns), UINT64_MAX);
	pair_free(pair);
}

static void a_call_that_times_out_is_done_and_its_slot_comes_back(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.slots = 1;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	pair->keep = true;
	struct pair_call *call = pair_call_new(pair, 1, 10, 100 * NS_PER_MS);
	struct pair_call *next = pair_call_new(pair, 2, 10, 10 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	assert_int_equal(pair_call_begin(next), 0);
	pair_run_ms(pair, 102);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ETIMEDOUT);
	/* The server still executes: the slot is not used until it has answered. */
	assert_int_equal(pair->request_count, 1);
	assert_int_equal(pair_respond(pair, 0, 10), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->request_count, 2);
	assert_int_equal(pair->requests[1].first, 2);
	assert_int_equal(pair_respond(pair, 1, 10), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(next->rc, 0);
	pair_call_free(call);
	pair_call_free(next);
	pair_free(pair);
}

static void a_request_given_up_half_way_is_withdrawn(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.slots = 1;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	struct pair_call *call = pair_call_new(pair, 1, 3000000, 60 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	net_run(&pair->net, pair->net.now_ns + 300000);
	assert_int_equal(pair->server->buffers, 1);
	transport_cancel(pair->session, &call->call, pair->net.now_ns);
	net_touched(pair->client);
	assert_int_equal(call->rc, -ETIMEDOUT);
	pair_run_ms(pair, 2);
	assert_int_equal(pair->server->buffers, 0);
	assert_int_equal(pair->request_count, 0);
	pair_echo(pair, 5, 100);
	pair_call_free(call);
	pair_free(pair);
}

static void a_refused_request_is_known_not_to_have_run(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.slots = 1;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	pair->keep = true;
	struct pair_call *call = pair_call_new(pair, 1, 10, 10 * NS_PER_SECOND);
	struct pair_call *next = pair_call_new(pair, 2, 10, 10 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	assert_int_equal(pair_call_begin(next), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->request_count, 1);
	const struct transport_request refused = pair->requests[0].handle;
	assert_int_equal(transport_refuse(pair->server->transport, refused, pair->net.now_ns), 0);
	assert_int_equal(transport_refuse(pair->server->transport, refused, pair->net.now_ns),
			 -ERR_CLOSING);
	assert_int_equal(pair_respond(pair, 0, 10), -ERR_CLOSING);
	net_touched(pair->server);
	pair_run_ms(pair, 1);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ECANCELED);
	/* The slot goes on. */
	assert_int_equal(pair->request_count, 2);
	assert_int_equal(pair_respond(pair, 1, 10), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(next->rc, 0);
	assert_int_equal(pair->released, 1);
	assert_int_equal(transport_statistics(pair->server->transport)->requests_refused, 1);
	pair_call_free(call);
	pair_call_free(next);
	pair_free(pair);
}

static void a_partial_request_expires_and_is_known_not_to_have_run(void **state)
{
	struct transport_config config = pair_config();

	(void)state;
	config.partial_ms = 500;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	struct pair_call *call = pair_call_new(pair, 1, 3000000, 60 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	net_run(&pair->net, pair->net.now_ns + 300000);
	assert_int_equal(pair->server->buffers, 1);
	pair->net.faults.loss = 1000000;
	pair_run_ms(pair, 700);
	assert_int_equal(pair->server->buffers, 0);
	pair->net.faults.loss = 0;
	pair_run_ms(pair, 3000);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ECANCELED);
	assert_int_equal(pair->request_count, 0);
	assert_int_equal(transport_statistics(pair->server->transport)->messages_expired, 1);
	pair_call_free(call);
	pair_free(pair);
}

static void absence_is_not_taken_for_a_long_way(void **state)
{
	struct pair *pair = pair_open();
	uint64_t rtt_ns = transport_session_rtt_ns(pair->session);
	struct pair_call *call = pair_call_new(pair, 1, 10, 60 * NS_PER_SECOND);

	(void)state;
	assert_int_equal(pair_call_begin(call), 0);
	/* The answer has left, and waits where it has come. */
	net_run(&pair->net, pair->net.now_ns + rtt_ns / 4 * 3);
	pair->net.now_ns += 2 * NS_PER_SECOND;
	pair_run_ms(pair, 1);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, 0);
	assert_true(transport_session_rtt_ns(pair->session) <= 2 * rtt_ns);
	pair_call_free(call);
	pair_free(pair);
}

/* ---- ends ---- */

static void closing_tells_the_peer(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 10, 10 * NS_PER_SECOND);

	(void)state;
	pair->keep = true;
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	transport_close(pair->accepted, TRANSPORT_REASON_SHUTDOWN, pair->net.now_ns);
	net_touched(pair->server);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->closed, 1);
	assert_int_equal(pair->reason, TRANSPORT_REASON_SHUTDOWN);
	assert_int_equal(call->rc, -ERR_CLOSING);
	/* Its answer comes too late. */
	assert_int_equal(pair_respond(pair, 0, 10), -ERR_CLOSING);
	assert_int_equal(pair->released, 0);
	pair_call_free(call);
	pair_free(pair);
}

static void a_vanished_server_ends_calls_by_silence(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 100000, 100 * NS_PER_SECOND);

	(void)state;
	net_stop(pair->server);
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 31000);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, -ETIMEDOUT);
	assert_int_equal(pair->reason, TRANSPORT_REASON_IDLE);
	/* One window, then probes that back off to one pair a second. */
	assert_true(pair->client->sent < 200);
	pair_call_free(call);
	pair_free(pair);
}

static void a_server_that_forgot_says_so(void **state)
{
	struct pair *pair = pair_open();
	struct transport_config config = pair_config();
	struct transport_hooks hooks = pair->server->transport->hooks;
	struct pair_call *call = pair_call_new(pair, 1, 10, 10 * NS_PER_SECOND);

	(void)state;
	net_stop(pair->server);
	net_start(pair->server, &config, &hooks);
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->closed, 1);
	assert_int_equal(pair->reason, TRANSPORT_REASON_RESET);
	assert_int_equal(call->rc, -ERR_CLOSING);
	pair_call_free(call);
	pair_free(pair);
}

static void an_id_is_never_used_again(void **state)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);
	uint64_t ids[50];

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		pair_connect(pair);
		pair_run_ms(pair, 1);
		ids[i] = pair->accepted->id;
		for (unsigned j = 0; j < i; j++)
			assert_int_not_equal(ids[i], ids[j]);
		transport_close(pair->session, TRANSPORT_REASON_NONE, pair->net.now_ns);
		net_touched(pair->client);
		pair_run_ms(pair, 1);
		assert_int_equal(transport_sessions(pair->server->transport), 0);
	}
	assert_true(pair->server->transport->session_used <= 2);
	pair_free(pair);
}

/* ---- the peer breaks a rule ---- */

static void violate(uint32_t sequence, bool executing)
{
	struct pair *pair = pair_open();
	struct packet packet = {.type = PACKET_DATA,
				.session = pair->accepted->id,
				.number = 1,
				.sequence = 1,
				.window = 8};
	uint8_t header[PACKET_HEADER_BYTES_MAX];

	pair->keep = true;
	if (executing) {
		packet_seal(header, packet_encode(header, &packet), NULL, 0);
		net_inject(pair->server, &pair->client->address, header, PACKET_DATA_BYTES);
		packet.number++;
	}
	packet.sequence = sequence;
	packet_seal(header, packet_encode(header, &packet), NULL, 0);
	net_inject(pair->server, &pair->client->address, header, PACKET_DATA_BYTES);
	assert_int_equal(pair->server_closed, 1);
	assert_int_equal(pair->server_reason, TRANSPORT_REASON_PROTOCOL);
	pair_run_ms(pair, 1);
	assert_int_equal(pair->closed, 1);
	assert_int_equal(pair->reason, TRANSPORT_REASON_PROTOCOL);
	pair_free(pair);
}

static void a_gap_in_a_slots_sequence_closes_the_session(void **state)
{
	(void)state;
	violate(2, false);
}

static void a_request_while_one_executes_closes_the_session(void **state)
{
	(void)state;
	violate(2, true);
}

/* ---- flow ---- */

static void a_port_that_is_full_is_tried_again(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call = pair_call_new(pair, 1, 20000, 10 * NS_PER_SECOND);

	(void)state;
	pair->client->emit_full = true;
	assert_int_equal(pair_call_begin(call), 0);
	net_run(&pair->net, pair->net.now_ns + 20000);
	assert_true(transport_statistics(pair->client->transport)->emit_refused > 0);
	pair->client->emit_full = false;
	pair->server->emit_full = true;
	net_run(&pair->net, pair->net.now_ns + 200000);
	assert_int_equal(pair->request_count, 1);
	pair->server->emit_full = false;
	pair_run_ms(pair, 1);
	assert_int_equal(call->rc, 0);
	assert_int_equal(transport_statistics(pair->client->transport)->segments_retransmitted, 0);
	pair_call_free(call);
	pair_free(pair);
}

static void a_window_of_zero_holds_the_peer_until_it_opens(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *call;

	(void)state;
	transport_set_window(pair->server->transport, 0);
	pair_echo(pair, 1, 100); /* tells the client */
	call = pair_call_new(pair, 2, 100000, 100 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 5000);
	assert_int_equal(pair->request_count, 1);
	assert_true(transport_statistics(pair->client->transport)->probes_sent > 0);
	assert_true(pair->client->sent < 60);
	transport_set_window(pair->server->transport, 128);
	pair_run_ms(pair, 2000);
	assert_int_equal(call->done, 1);
	assert_int_equal(call->rc, 0);
	pair_call_free(call);
	pair_free(pair);
}

static void the_peers_window_is_never_exceeded(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();

	(void)state;
	server.window = 3;
	struct pair *pair = pair_new(&server, &client);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	struct pair_call *call = pair_call_new(pair, 1, 200000, 10 * NS_PER_SECOND);
	assert_int_equal(pair_call_begin(call), 0);
	while (!call->done && net_step(&pair->net, UINT64_MAX - 1))
		assert_true(!pair->session || pair->session->sent.count <= 3);
	assert_int_equal(call->rc, 0);
	pair_call_free(call);
	pair_free(pair);
}

static void a_client_divides_the_servers_buffers_among_its_requests(void **state)
{
	struct transport_config server = pair_config();
	struct transport_config client = pair_config();
	struct pair_call *calls[8];

	(void)state;
	server.message_bytes_max = 100000;
	server.session_bytes_max = 250000;
	struct pair *pair = pair_new(&server, &client);
	pair_connect(pair);
	pair_run_ms(pair, 1);
	for (unsigned i = 0; i < 8; i++) {
		calls[i] = pair_call_new(pair, (uint8_t)i, 100000, 60 * NS_PER_SECOND);
		assert_int_equal(pair_call_begin(calls[i]), 0);
	}
	pair_run_ms(pair, 30000);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(calls[i]->done, 1);
		assert_int_equal(calls[i]->rc, 0);
		pair_call_free(calls[i]);
	}
	assert_int_equal(pair->server->buffers_peak, 2);
	assert_int_equal(transport_statistics(pair->server->transport)->messages_over_budget, 0);
	assert_int_equal(transport_statistics(pair->client->transport)->segments_retransmitted, 0);
	pair_free(pair);
}

static int call_of(struct pair *pair, uint32_t bytes)
{
	struct pair_call *call = pair_call_new(pair, 1, bytes, 10 * NS_PER_SECOND);
	int rc;

	assert_int_equal(pair_call_begin(call), 0);
	pair_run_ms(pair, 20);
	assert_int_equal(call->done, 1);
	rc = call->rc;
	pair_call_free(call);
	return rc;
}

static void without_memory_new_work_is_refused_and_nothing_else_suffers(void **state)
{
	struct pair *pair = pair_open();

	(void)state;
	pair->server->take_fails = true;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(call_of(pair, 100000), -ECANCELED);
	assert_int_equal(pair->request_count, 0);
	assert_int_equal(transport_statistics(pair->server->transport)->messages_over_budget, 40);
	assert_int_equal(call_of(pair, 100), 0); /* what needs none passes */
	pair->server->take_fails = false;
	assert_int_equal(call_of(pair, 100000), 0);
	/* The other way it was executed. */
	pair->client->take_fails = true;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(call_of(pair, 100000), -ENOMEM);
	assert_int_equal(call_of(pair, 100), 0);
	pair->client->take_fails = false;
	assert_int_equal(call_of(pair, 100000), 0);
	pair_run_ms(pair, 10);
	assert_int_equal(pair->released, pair->request_count);
	pair_free(pair);
}

static void packet_numbers_and_sequences_wrap(void **state)
{
	struct pair *pair = pair_open();
	struct transport_session *ends[2] = {pair->session, pair->accepted};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct transport_session *peer = ends[1 - i];

		ends[i]->sent.next = ends[i]->sent.oldest = UINT32_MAX - 20;
		peer->acks = (struct acks){.largest = UINT32_MAX - 21, .bitmap = UINT64_MAX};
		for (unsigned slot = 0; slot < 16; slot++)
			ends[i]->slots[slot].sequence = UINT32_MAX - 5;
	}
	for (unsigned i = 0; i < 100; i++)
		pair_echo(pair, (uint8_t)i, i * 100);
	assert_true(pair->session->sent.next > UINT32_MAX);
	assert_int_equal(pair->closed, 0);
	assert_int_equal(transport_statistics(pair->client->transport)->segments_retransmitted, 0);
	pair_free(pair);
}

static void calls_without_a_slot_wait_in_order(void **state)
{
	struct transport_config config = pair_config();
	struct pair_call *calls[10];

	(void)state;
	config.slots = 2;
	struct pair *pair = pair_new(&config, &config);
	pair_connect(pair);
	for (unsigned i = 0; i < 10; i++) {
		calls[i] = pair_call_new(pair, (uint8_t)i, 10, NS_PER_SECOND);
		assert_int_equal(pair_call_begin(calls[i]), 0);
	}
	pair_run_ms(pair, 10);
	assert_int_equal(pair->request_count, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(pair->requests[i].first, i);
		assert_int_equal(calls[i]->rc, 0);
		pair_call_free(calls[i]);
	}
	pair_free(pair);
}

static void a_small_call_passes_a_large_one(void **state)
{
	struct pair *pair = pair_open();
	struct pair_call *large = pair_call_new(pair, 1, 8000000, 10 * NS_PER_SECOND);
	struct pair_call *small = pair_call_new(pair, 2, 10, 10 * NS_PER_SECOND);

	(void)state;
	assert_int_equal(pair_call_begin(large), 0);
	assert_int_equal(pair_call_begin(small), 0);
	while (!small->done && net_step(&pair->net, UINT64_MAX - 1))
		;
	assert_int_equal(large->done, 0);
	pair_run_ms(pair, 1000);
	assert_int_equal(large->rc, 0);
	pair_call_free(large);
	pair_call_free(small);
	pair_free(pair);
}

static void limits_out_of_range_are_refused(void **state)
{
	struct transport_config config = pair_config();
	struct transport_hooks hooks = {0};
	struct transport *transport = NULL;

	(void)state;
	config.slots = 65;
	assert_int_equal(transport_new(&transport, &config, &hooks, 0), -EINVAL);
	config = pair_config();
	config.window = 1025;
	assert_int_equal(transport_new(&transport, &config, &hooks, 0), -EINVAL);
	config = pair_config();
	config.datagram_bytes = 9001;
	assert_int_equal(transport_new(&transport, &config, &hooks, 0), -EINVAL);
	assert_null(transport);
	transport_free(NULL);
}

static void every_counter_has_a_name_and_a_sentence(void **state)
{
	size_t count = 0;
	const struct transport_statistic_text *texts = transport_statistic_texts(&count);

	(void)state;
	assert_int_equal(count * sizeof(uint64_t), sizeof(struct transport_statistics));
	for (size_t i = 0; i < count; i++)
		assert_true(strlen(texts[i].name) > 3 && strlen(texts[i].help) > 10);
	assert_string_equal(texts[0].name, "datagrams_received");
	assert_string_equal(transport_reason_text((enum transport_reason)999), "unknown reason");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_open_after_two_round_trips),
		cmocka_unit_test(the_smaller_of_both_terms_holds),
		cmocka_unit_test(nobody_there_is_told_in_time),
		cmocka_unit_test(a_full_table_refuses),
		cmocka_unit_test(open_may_be_repeated),
		cmocka_unit_test(losses_are_not_taken_for_a_narrow_path),
		cmocka_unit_test(silence_is_not_taken_for_a_narrow_path),
		cmocka_unit_test(a_narrow_path_is_known_soon),
		cmocka_unit_test(cookies_survive_one_change_of_secret),
		cmocka_unit_test(messages_of_every_edge_size_pass),
		cmocka_unit_test(small_messages_take_no_buffer),
		cmocka_unit_test(what_is_too_large_is_refused_here),
		cmocka_unit_test(too_many_pieces_are_refused),
		cmocka_unit_test(a_request_is_answered_once),
		cmocka_unit_test(
			a_response_is_released_by_the_next_request_even_without_an_acknowledgement),
		cmocka_unit_test(a_slow_answer_is_waited_for),
		cmocka_unit_test(an_idle_session_ends_at_both_ends),
		cmocka_unit_test(a_session_to_be_kept_alive_is),
		cmocka_unit_test(an_idle_endpoint_wants_nothing),
		cmocka_unit_test(a_call_that_times_out_is_done_and_its_slot_comes_back),
		cmocka_unit_test(a_request_given_up_half_way_is_withdrawn),
		cmocka_unit_test(a_refused_request_is_known_not_to_have_run),
		cmocka_unit_test(a_partial_request_expires_and_is_known_not_to_have_run),
		cmocka_unit_test(absence_is_not_taken_for_a_long_way),
		cmocka_unit_test(closing_tells_the_peer),
		cmocka_unit_test(a_vanished_server_ends_calls_by_silence),
		cmocka_unit_test(a_server_that_forgot_says_so),
		cmocka_unit_test(an_id_is_never_used_again),
		cmocka_unit_test(a_gap_in_a_slots_sequence_closes_the_session),
		cmocka_unit_test(a_request_while_one_executes_closes_the_session),
		cmocka_unit_test(a_port_that_is_full_is_tried_again),
		cmocka_unit_test(a_window_of_zero_holds_the_peer_until_it_opens),
		cmocka_unit_test(the_peers_window_is_never_exceeded),
		cmocka_unit_test(a_client_divides_the_servers_buffers_among_its_requests),
		cmocka_unit_test(without_memory_new_work_is_refused_and_nothing_else_suffers),
		cmocka_unit_test(packet_numbers_and_sequences_wrap),
		cmocka_unit_test(calls_without_a_slot_wait_in_order),
		cmocka_unit_test(a_small_call_passes_a_large_one),
		cmocka_unit_test(limits_out_of_range_are_refused),
		cmocka_unit_test(every_counter_has_a_name_and_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
