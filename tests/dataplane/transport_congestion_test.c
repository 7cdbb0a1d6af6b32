#include "dataplane/transport/congestion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { DATAGRAM = 1000, US = 1000, MS = 1000000 };

static void it_begins_with_32_packets_or_the_most_allowed(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	assert_int_equal(c.window, 32 * DATAGRAM);
	congestion_init(&c, DATAGRAM, 8);
	assert_int_equal(c.window, 8 * DATAGRAM);
	congestion_init(&c, DATAGRAM, 1);
	assert_int_equal(c.window, 2 * DATAGRAM);
}

static void slow_start_grows_by_what_is_acknowledged(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	congestion_acked(&c, 5000, 1, c.window);
	assert_int_equal(c.window, 37 * DATAGRAM);
}

static void a_window_that_is_not_used_does_not_grow(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	congestion_acked(&c, 5000, 1, c.window / 2 - 1);
	assert_int_equal(c.window, 32 * DATAGRAM);
}

static void it_never_grows_past_what_the_peer_takes(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 40);
	for (int i = 0; i < 100; i++)
		congestion_acked(&c, 5000, 1, c.window);
	assert_int_equal(c.window, 40 * DATAGRAM);
}

static void a_loss_halves_once_a_round_trip(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	assert_true(congestion_lost(&c, 10 * MS, 20 * MS));
	assert_int_equal(c.window, 16 * DATAGRAM);
	/* Sent before the halving: the same event. */
	assert_false(congestion_lost(&c, 15 * MS, 21 * MS));
	assert_int_equal(c.window, 16 * DATAGRAM);
	assert_true(congestion_lost(&c, 25 * MS, 30 * MS));
	assert_int_equal(c.window, 8 * DATAGRAM);
}

static void it_never_falls_below_two_packets(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	for (uint64_t i = 1; i < 20; i++)
		congestion_lost(&c, i * 10 * MS, i * 10 * MS + 1);
	assert_int_equal(c.window, 2 * DATAGRAM);
	congestion_init(&c, DATAGRAM, 1024);
	congestion_collapsed(&c);
	assert_int_equal(c.window, 2 * DATAGRAM);
}

static void avoidance_grows_by_one_packet_a_window(void **state)
{
	struct congestion c;

	(void)state;
	congestion_init(&c, DATAGRAM, 1024);
	congestion_lost(&c, 10 * MS, 20 * MS);
	/* Not for what was sent before the loss was known. */
	congestion_acked(&c, 16 * DATAGRAM, 15 * MS, c.window);
	assert_int_equal(c.window, 16 * DATAGRAM);
	for (int i = 0; i < 16; i++)
		congestion_acked(&c, DATAGRAM, 25 * MS, c.window);
	assert_int_equal(c.window, 17 * DATAGRAM);
}

static void a_burst_leaves_at_once_and_the_rest_at_five_quarters_of_the_window(void **state)
{
	struct pacer pacer;
	uint64_t due_ns = 0;
	uint64_t now_ns = 1000 * MS;
	uint32_t window = 100 * DATAGRAM;
	unsigned sent = 0;

	(void)state;
	pacer_init(&pacer, DATAGRAM);
	while (pacer_take(&pacer, DATAGRAM, window, 10 * MS, now_ns, &due_ns))
		sent++;
	assert_int_equal(sent, PACER_BURST_PACKETS);
	assert_true(due_ns > now_ns);
	/* 100 packets in 8 ms: 80 us each. */
	assert_in_range(due_ns - now_ns, 79 * US, 81 * US);
	sent = 0;
	for (uint64_t end_ns = now_ns + 8 * MS; now_ns < end_ns; now_ns = due_ns) {
		while (pacer_take(&pacer, DATAGRAM, window, 10 * MS, now_ns, &due_ns))
			sent++;
	}
	assert_in_range(sent, 98, 101);
}

static void asking_often_does_not_slow_it_down(void **state)
{
	struct pacer pacer;
	uint64_t due_ns;
	unsigned sent = 0;

	(void)state;
	pacer_init(&pacer, DATAGRAM);
	/* A window of two packets in 100 ms: a byte in 40 us, asked for each microsecond. */
	for (uint64_t now_ns = 1000 * MS; now_ns < 1800 * MS; now_ns += US)
		sent += pacer_take(&pacer, DATAGRAM, 2 * DATAGRAM, 100 * MS, now_ns, &due_ns);
	assert_in_range(sent, 34, 38); /* 16 at once and 20 over time */
}

static void what_did_not_leave_can_leave_later(void **state)
{
	struct pacer pacer;
	uint64_t due_ns;

	(void)state;
	pacer_init(&pacer, DATAGRAM);
	for (int i = 0; i < 100; i++) {
		assert_true(pacer_take(&pacer, DATAGRAM, 10000, 10 * MS, 1000 * MS, &due_ns));
		pacer_return(&pacer, DATAGRAM);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_with_32_packets_or_the_most_allowed),
		cmocka_unit_test(slow_start_grows_by_what_is_acknowledged),
		cmocka_unit_test(a_window_that_is_not_used_does_not_grow),
		cmocka_unit_test(it_never_grows_past_what_the_peer_takes),
		cmocka_unit_test(a_loss_halves_once_a_round_trip),
		cmocka_unit_test(it_never_falls_below_two_packets),
		cmocka_unit_test(avoidance_grows_by_one_packet_a_window),
		cmocka_unit_test(
			a_burst_leaves_at_once_and_the_rest_at_five_quarters_of_the_window),
		cmocka_unit_test(asking_often_does_not_slow_it_down),
		cmocka_unit_test(what_did_not_leave_can_leave_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
