/* The transport whole, on networks of every kind.  Each test is deterministic; the seed that fails
 * is printed. */
#include "base/clock.h"
#include "tests/dataplane/transport_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define PERCENT(n) ((n)*10000u)

static void show(const char *what, const struct world_options *o, const struct world_result *r)
{
	print_message("  %s seed %llu: %u answered, %u cancelled, %u failed, %.3f s, %.1f MB/s, "
		      "%llu datagrams, %llu sessions, %llu + %llu retransmitted\n",
		      what, (unsigned long long)o->seed, r->answered, r->cancelled, r->failed,
		      (double)r->took_ns / 1e9, (double)r->bytes * 1e3 / (double)r->took_ns,
		      (unsigned long long)r->datagrams, (unsigned long long)r->sessions_opened,
		      (unsigned long long)r->client.segments_retransmitted,
		      (unsigned long long)r->server.segments_retransmitted);
}

static void small_calls_on_a_good_network_cost_two_packets_each(void **state)
{
	struct world_options options = world_options_default(1);
	struct world_result result;

	(void)state;
	options.calls = 5000;
	options.request_bytes_max = 200;
	options.response_bytes_max = 200;
	options.under_way = 16;
	result = world_run(&options);
	show("small", &options, &result);
	assert_int_equal(result.answered, options.calls);
	assert_int_equal(result.client.segments_retransmitted, 0);
	assert_int_equal(result.server.segments_retransmitted, 0);
	/* And a handshake, and the last acknowledgements. */
	assert_true(result.datagrams <= 2 * options.calls + 16);
}

static void megabytes_both_ways_fill_the_network(void **state)
{
	struct world_options options = world_options_default(2);
	struct world_result result;

	(void)state;
	options.calls = 40;
	options.request_bytes_max = 4 << 20;
	options.response_bytes_max = 4 << 20;
	options.under_way = 4;
	result = world_run(&options);
	show("large", &options, &result);
	assert_int_equal(result.answered, options.calls);
	assert_int_equal(result.client.segments_retransmitted, 0);
	/* A window of 128 packets of 1472 bytes each round trip of 100 us would be 1880 MB/s each
	 * way. */
	assert_true(result.bytes * 1000 / result.took_ns > 500);
	/* At least 12 in 16 packets of payload per acknowledgement. */
	assert_true(result.datagrams < result.bytes / 1424 * 5 / 4 + 1000);
}

static void on_a_network(const char *what, struct net_faults faults, unsigned calls,
			 uint32_t bytes_max, unsigned seeds)
{
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct world_options options = world_options_default(seed);
		struct world_result result;

		options.faults = faults;
		options.calls = calls;
		options.clients = 2;
		options.sessions = 2;
		options.think_ns_max = 2 * NS_PER_MS;
		options.request_bytes_max = bytes_max;
		options.response_bytes_max = bytes_max;
		result = world_run(&options);
		show(what, &options, &result);
		assert_int_equal(result.answered, options.calls);
		assert_int_equal(result.sessions_opened, 2 * 4);
		/* Bounded work: losses cost retransmissions, not storms. */
		double through = 1 - faults.loss / 1e6 - faults.flip / 1e6;
		double segments = (double)result.bytes / 1424 + 2 * options.calls;
		assert_true((double)result.datagrams < 4 * segments / (through * through) + 2000);
	}
}

static void nothing_is_lost_or_doubled_at_1_percent_loss(void **state)
{
	(void)state;
	on_a_network("1 % loss", (struct net_faults){.delay_ns = 50000, .loss = PERCENT(1)}, 400,
		     50000, 3);
}

static void nothing_is_lost_or_doubled_at_5_percent_loss(void **state)
{
	(void)state;
	on_a_network("5 % loss", (struct net_faults){.delay_ns = 50000, .loss = PERCENT(5)}, 400,
		     50000, 3);
}

static void nothing_is_lost_or_doubled_at_20_percent_loss(void **state)
{
	(void)state;
	on_a_network("20 % loss", (struct net_faults){.delay_ns = 50000, .loss = PERCENT(20)}, 400,
		     50000, 3);
}

static void duplicates_are_executed_once(void **state)
{
	(void)state;
	on_a_network("duplicates",
		     (struct net_faults){
			     .delay_ns = 50000, .duplicate = PERCENT(30), .jitter_ns = 200000},
		     400, 50000, 3);
}

static void reordering_and_jitter_are_survived(void **state)
{
	(void)state;
	on_a_network(
		"reordering",
		(struct net_faults){.delay_ns = 50000, .reorder = PERCENT(10), .jitter_ns = 400000},
		400, 50000, 3);
}

static void flipped_bits_are_losses(void **state)
{
	(void)state;
	on_a_network("bit flips", (struct net_faults){.delay_ns = 50000, .flip = PERCENT(5)}, 400,
		     50000, 3);
}

static void everything_at_once_is_survived(void **state)
{
	(void)state;
	on_a_network("everything",
		     (struct net_faults){.delay_ns = 80000,
					 .loss = PERCENT(5),
					 .duplicate = PERCENT(5),
					 .reorder = PERCENT(5),
					 .flip = PERCENT(2),
					 .jitter_ns = 300000},
		     400, 50000, 4);
}

static void a_long_way_is_survived(void **state)
{
	(void)state;
	on_a_network("far",
		     (struct net_faults){.delay_ns = 40 * NS_PER_MS,
					 .jitter_ns = 10 * NS_PER_MS,
					 .loss = PERCENT(1)},
		     200, 50000, 2);
}

static void megabytes_pass_at_5_percent_loss(void **state)
{
	struct world_options options = world_options_default(7);
	struct world_result result;

	(void)state;
	options.calls = 12;
	options.request_bytes_max = 3 << 20;
	options.response_bytes_max = 3 << 20;
	options.under_way = 2;
	options.faults.loss = PERCENT(5);
	result = world_run(&options);
	show("large, 5 % loss", &options, &result);
	assert_int_equal(result.answered, options.calls);
	assert_true(result.bytes * 1000 / result.took_ns > 10); /* MB/s; NewReno is timid there */
}

static void a_black_hole_for_large_datagrams_is_found_by_the_handshake(void **state)
{
	(void)state;
	for (uint32_t mtu = 1300; mtu <= 9000; mtu += 1540) {
		struct world_options options = world_options_default(mtu);
		struct world_result result;

		options.config.datagram_bytes = 8952;
		options.faults.mtu = mtu;
		options.request_bytes_max = 100000;
		options.response_bytes_max = 100000;
		result = world_run(&options);
		show("black hole", &options, &result);
		assert_int_equal(result.answered, options.calls);
		assert_int_equal(result.sessions_opened, 2);
	}
}

static void many_slots_and_sessions_share_an_endpoint(void **state)
{
	struct world_options options = world_options_default(11);
	struct world_result result;

	(void)state;
	options.servers = 2;
	options.clients = 3;
	options.sessions = 6;
	options.calls = 4000;
	options.config.slots = 64;
	options.config.window = 1024;
	options.under_way = 80; /* more than slots: some wait */
	options.think_ns_max = NS_PER_MS;
	options.faults.loss = PERCENT(1);
	result = world_run(&options);
	show("many", &options, &result);
	assert_int_equal(result.answered, options.calls);
	assert_int_equal(result.sessions_opened, 2 * 36);
}

static void a_window_of_one_packet_works(void **state)
{
	struct world_options options = world_options_default(12);
	struct world_result result;

	(void)state;
	options.config.window = 1;
	options.faults.loss = PERCENT(2);
	options.request_bytes_max = 20000;
	options.response_bytes_max = 20000;
	result = world_run(&options);
	show("window 1", &options, &result);
	assert_int_equal(result.answered, options.calls);
}

static void calls_that_are_given_up_free_their_slots(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct world_options options = world_options_default(seed);
		struct world_result result;

		options.calls = 1000;
		options.cancel = PERCENT(40);
		options.under_way = 32;
		options.request_bytes_max = 60000;
		options.response_bytes_max = 60000;
		options.think_ns_max = NS_PER_MS;
		options.faults.loss = PERCENT(5);
		options.faults.jitter_ns = 100000;
		result = world_run(&options);
		show("given up", &options, &result);
		assert_true(result.failed > 100 && result.answered > 300);
		assert_int_equal(result.sessions_opened, 2);
	}
}

static void a_server_that_restarts_fails_calls_and_serves_again(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct world_options options = world_options_default(seed);
		struct world_result result;

		options.calls = 2000;
		options.sessions = 2;
		options.think_ns_max = 2 * NS_PER_MS;
		options.restart_server_ns = 20 * NS_PER_MS;
		options.timeout_ns = 5 * NS_PER_SECOND;
		options.faults.loss = PERCENT(2);
		result = world_run(&options);
		show("server restarts", &options, &result);
		assert_true(result.answered > options.calls / 2 && result.failed > 0);
		assert_true(result.sessions_opened > 8);
		/* A RESET tells the client long before its calls time out. */
		assert_true(result.took_ns < 4 * NS_PER_SECOND);
	}
}

static void a_client_that_restarts_leaves_nothing_behind(void **state)
{
	struct world_options options = world_options_default(21);
	struct world_result result;

	(void)state;
	options.calls = 2000;
	options.clients = 3;
	options.think_ns_max = 2 * NS_PER_MS;
	options.restart_client_ns = 8 * NS_PER_MS;
	options.faults.loss = PERCENT(2);
	result = world_run(&options);
	show("client restarts", &options, &result);
	assert_true(result.answered > options.calls / 2);
	assert_true(result.server.sessions_opened > 10);
}

static unsigned worlds = 40;

static uint32_t pick(uint64_t *random, uint32_t count)
{
	*random = *random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(*random >> 33) % count;
}

/* Terms, traffic and faults all follow from the seed. */
static struct world_options random_world(uint64_t seed)
{
	static const uint16_t sizes[] = {512, 1232, 1472, 8952};
	struct world_options o = world_options_default(seed);
	uint64_t random = seed * 77;

	o.servers = 1 + pick(&random, 2);
	o.clients = 1 + pick(&random, 3);
	o.sessions = 1 + pick(&random, 3);
	o.calls = 100 + pick(&random, 400);
	o.under_way = 1 + pick(&random, 40);
	o.request_bytes_max = 1u << pick(&random, 18);
	o.response_bytes_max = 1u << pick(&random, 18);
	o.think_ns_max = pick(&random, 2) * pick(&random, 5000000);
	o.timeout_ns = (pick(&random, 4) ? 60 : 1) * NS_PER_SECOND;
	o.until_ns = 600 * NS_PER_SECOND;
	o.restart_server_ns = pick(&random, 5) ? 0 : (30 + pick(&random, 300)) * NS_PER_MS;
	o.restart_client_ns = pick(&random, 5) ? 0 : (30 + pick(&random, 300)) * NS_PER_MS;
	o.cancel = pick(&random, 3) ? 0 : PERCENT(pick(&random, 50));
	o.faults.delay_ns = 1000 + pick(&random, 2) * pick(&random, 5000000);
	o.faults.jitter_ns = pick(&random, 2) * pick(&random, 1000000);
	o.faults.loss = pick(&random, 2) * PERCENT(pick(&random, 25));
	o.faults.duplicate = pick(&random, 2) * PERCENT(pick(&random, 25));
	o.faults.reorder = pick(&random, 2) * PERCENT(pick(&random, 15));
	o.faults.flip = pick(&random, 2) * PERCENT(pick(&random, 8));
	o.config.datagram_bytes = sizes[pick(&random, 4)];
	o.config.slots = (uint16_t)(1 + pick(&random, 64));
	o.config.window = (uint16_t)(1 + pick(&random, pick(&random, 2) ? 1024 : 16));
	o.config.ack_delay_us = 1 + pick(&random, 200);
	o.config.keep_alive = pick(&random, 2);
	o.config.message_bytes_max = 1 << 18;
	o.config.session_bytes_max = (1 << 18) + 4096 + pick(&random, 1 << 20);
	return o;
}

static void random_worlds_keep_their_promises(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= worlds; seed++) {
		struct world_options options = random_world(seed);
		struct world_result result = world_run(&options);

		show("random", &options, &result);
		assert_int_equal(result.answered + result.cancelled + result.failed, options.calls);
	}
}

static void the_same_seed_gives_the_same_run(void **state)
{
	struct world_options options = world_options_default(31);
	struct world_result first;
	struct world_result second;

	(void)state;
	options.faults.loss = PERCENT(10);
	options.faults.jitter_ns = 100000;
	first = world_run(&options);
	second = world_run(&options);
	assert_memory_equal(&first, &second, sizeof(first));
}

/* With a number: that many random worlds. */
int main(int argc, char **argv)
{
	if (argc > 1)
		worlds = (unsigned)strtoul(argv[1], NULL, 10);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_calls_on_a_good_network_cost_two_packets_each),
		cmocka_unit_test(megabytes_both_ways_fill_the_network),
		cmocka_unit_test(nothing_is_lost_or_doubled_at_1_percent_loss),
		cmocka_unit_test(nothing_is_lost_or_doubled_at_5_percent_loss),
		cmocka_unit_test(nothing_is_lost_or_doubled_at_20_percent_loss),
		cmocka_unit_test(duplicates_are_executed_once),
		cmocka_unit_test(reordering_and_jitter_are_survived),
		cmocka_unit_test(flipped_bits_are_losses),
		cmocka_unit_test(everything_at_once_is_survived),
		cmocka_unit_test(a_long_way_is_survived),
		cmocka_unit_test(megabytes_pass_at_5_percent_loss),
		cmocka_unit_test(a_black_hole_for_large_datagrams_is_found_by_the_handshake),
		cmocka_unit_test(many_slots_and_sessions_share_an_endpoint),
		cmocka_unit_test(a_window_of_one_packet_works),
		cmocka_unit_test(calls_that_are_given_up_free_their_slots),
		cmocka_unit_test(a_server_that_restarts_fails_calls_and_serves_again),
		cmocka_unit_test(a_client_that_restarts_leaves_nothing_behind),
		cmocka_unit_test(random_worlds_keep_their_promises),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
