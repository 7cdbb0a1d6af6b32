/* A server over a source that does nothing by itself: what the end of a shard relies on. */
#include "dataplane/datagram/server.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/datagram/packet_source.h"
#include "dataplane/shard_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

/* As a port whose device keeps frames until later: `stop` is true once `turn` has given them up. */
struct slow_source {
	struct packet_source source;
	unsigned turns;
	unsigned turns_needed;
	unsigned sleeps;
	bool freed;
};

static struct slow_source *slow_of(struct packet_source *source)
{
	return container_of(source, struct slow_source, source);
}

static unsigned slow_receive(struct packet_source *source, struct packet_view *ret, unsigned max,
			     uint64_t now_ns)
{
	return 0;
}

static unsigned slow_turn(struct packet_source *source, uint64_t now_ns)
{
	slow_of(source)->turns++;
	return 0;
}

static uint64_t slow_sleep(struct packet_source *source)
{
	slow_of(source)->sleeps++;
	return UINT64_MAX;
}

static void slow_woken(struct packet_source *source)
{
}

static bool slow_stop(struct packet_source *source)
{
	return slow_of(source)->turns >= slow_of(source)->turns_needed;
}

static void slow_free(struct packet_source *source)
{
	slow_of(source)->freed = true;
}

static const struct packet_source_ops slow_ops = {
	.name = "slow",
	.receive = slow_receive,
	.turn = slow_turn,
	.sleep = slow_sleep,
	.woken = slow_woken,
	.stop = slow_stop,
	.free = slow_free,
};

static void the_source_goes_on_while_the_server_stops(void **state)
{
	struct slow_source slow = {.source.ops = &slow_ops, .turns_needed = 5};
	struct shard shard = {
		.options = {.shard_count = 1,
			    .request_bytes_max = 1 << 20,
			    .inflight_bytes_max = 16 << 20},
		.now_ns = NS_PER_SECOND,
	};
	struct datagram_server *server;

	assert_int_equal(datagram_server_new(&server, &shard, &slow.source), 0);
	assert_int_equal(datagram_server_receive(server), 0);
	datagram_server_turn(server);
	datagram_server_drain(server);
	for (unsigned turns = 0; !datagram_server_stop(server); turns++) {
		assert_true(turns < 20);
		/* It may sleep for a while, without arming what `stop` has disarmed. */
		assert_in_range(datagram_server_sleep(server), 1, NS_PER_SECOND);
		datagram_server_woken(server);
		shard.now_ns += NS_PER_SECOND;
		datagram_server_turn(server);
	}
	assert_int_equal(slow.turns, slow.turns_needed);
	assert_int_equal(slow.sleeps, 0);
	datagram_server_free(server);
	assert_true(slow.freed);
	frame_pool_fini(&shard.frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_source_goes_on_while_the_server_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
