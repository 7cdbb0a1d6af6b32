/* A peer whose broker leaves requests without an answer: what that costs the others. */
#include "client/peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"
#include "client/options.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"

enum { SOON_MS = 200, LATER_MS = 60000, TURNS_MAX = 2000, TURN_MS = 10, PENDING = 1 };

/* Answers metadata and nothing else that is asked here. */
static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	return api->key == KAFKA_LIST_GROUPS ? FAKE_STUCK : FAKE_DEFAULT;
}

struct bench {
	struct fake_broker fake;
	struct loop loop;
	struct sluice_options *options;
	struct peer peer;
};

static void start(struct bench *bench, bool datagram)
{
	const char *at;
	char text[64], why[URL_WHY_BYTES];
	struct url url;

	*bench = (struct bench){.fake = {.partitions = 1, .handle = handle, .datagram = datagram}};
	fake_broker_start(&bench->fake);
	snprintf(text, sizeof(text), "%s://127.0.0.1:%d", datagram ? "udp" : "tcp",
		 bench->fake.port);
	at = text;
	assert_int_equal(url_next(&at, &url, why), 0);
	assert_int_equal(sluice_options_new(&bench->options), 0);
	assert_int_equal(loop_init(&bench->loop), 0);
	assert_int_equal(peer_init(&bench->peer, &bench->loop, bench->options, &url), 0);
}

static void stop(struct bench *bench)
{
	peer_fini(&bench->peer);
	loop_fini(&bench->loop);
	sluice_options_free(bench->options);
	fake_broker_stop(&bench->fake);
}

static void done(struct request *request, int rc)
{
	int *ret = request->user;

	*ret = rc;
	request_free(request);
}

/* *rc is PENDING until it is done. */
static void ask(struct bench *bench, int16_t api_key, int64_t timeout_ms, int *rc)
{
	struct request *request = request_new(api_key, done, rc);

	check(request);
	*rc = PENDING;
	peer_send(&bench->peer, request, timeout_ms);
}

static void wait_for(struct bench *bench, const int *rc)
{
	for (unsigned i = 0; i < TURNS_MAX && *rc == PENDING; i++)
		loop_turn(&bench->loop, TURN_MS);
}

static void connect_peer(struct bench *bench)
{
	int metadata;

	ask(bench, KAFKA_METADATA, LATER_MS, &metadata);
	wait_for(bench, &metadata);
	assert_int_equal(metadata, 0);
	assert_int_equal(bench->fake.requests[KAFKA_API_VERSIONS], 1);
}

static void over_datagrams_a_slow_request_fails_alone(void **state)
{
	struct bench bench;
	int slow, slower, metadata;

	start(&bench, true);
	connect_peer(&bench);
	ask(&bench, KAFKA_LIST_GROUPS, SOON_MS, &slow);
	ask(&bench, KAFKA_LIST_GROUPS, LATER_MS, &slower);
	wait_for(&bench, &slow);
	assert_int_equal(slow, -ETIMEDOUT);
	assert_int_equal(slower, PENDING);
	ask(&bench, KAFKA_METADATA, LATER_MS, &metadata);
	wait_for(&bench, &metadata);
	assert_int_equal(metadata, 0);
	assert_int_equal(slower, PENDING);
	assert_int_equal(bench.fake.requests[KAFKA_API_VERSIONS], 1);
	stop(&bench);
	assert_int_equal(slower, -ECANCELED);
}

static void who_answers_nothing_any_more_is_left(void **state)
{
	struct bench bench;
	int slow = 0, slower, metadata;

	start(&bench, true);
	connect_peer(&bench);
	ask(&bench, KAFKA_LIST_GROUPS, LATER_MS, &slower);
	for (unsigned i = 0; i < PEER_TIMEOUTS_MAX; i++) {
		ask(&bench, KAFKA_LIST_GROUPS, 1, &slow);
		wait_for(&bench, &slow);
		assert_int_equal(slow, -ETIMEDOUT);
	}
	assert_int_equal(slower, PENDING);
	ask(&bench, KAFKA_LIST_GROUPS, 1, &slow);
	wait_for(&bench, &slow);
	assert_int_equal(slow, -ETIMEDOUT);
	assert_int_equal(slower, -ETIMEDOUT);
	ask(&bench, KAFKA_METADATA, LATER_MS, &metadata);
	wait_for(&bench, &metadata);
	assert_int_equal(metadata, 0);
	stop(&bench);
}

static void who_is_alone_takes_the_session_along(void **state)
{
	struct bench bench;
	int slow, metadata;

	start(&bench, true);
	connect_peer(&bench);
	ask(&bench, KAFKA_LIST_GROUPS, SOON_MS, &slow);
	wait_for(&bench, &slow);
	assert_int_equal(slow, -ETIMEDOUT);
	ask(&bench, KAFKA_METADATA, LATER_MS, &metadata);
	wait_for(&bench, &metadata);
	assert_int_equal(metadata, 0);
	assert_int_equal(bench.fake.requests[KAFKA_API_VERSIONS], 2);
	stop(&bench);
}

static void over_a_stream_it_takes_the_others_along(void **state)
{
	struct bench bench;
	int slow, slower;

	start(&bench, false);
	connect_peer(&bench);
	ask(&bench, KAFKA_LIST_GROUPS, SOON_MS, &slow);
	ask(&bench, KAFKA_LIST_GROUPS, LATER_MS, &slower);
	wait_for(&bench, &slow);
	wait_for(&bench, &slower);
	assert_int_equal(slow, -ETIMEDOUT);
	assert_int_equal(slower, -ETIMEDOUT);
	stop(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_datagrams_a_slow_request_fails_alone),
		cmocka_unit_test(who_answers_nothing_any_more_is_left),
		cmocka_unit_test(who_is_alone_takes_the_session_along),
		cmocka_unit_test(over_a_stream_it_takes_the_others_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
