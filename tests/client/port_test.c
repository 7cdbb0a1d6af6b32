/* Clients over ports of DPDK that lead nowhere: who may have one, and what becomes of it.  Over a
 * memif with a broker: tests/broker/datagram_memif_test.py. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/sluice.h"

#define PORT(number) "dpdk:net_null" #number "?address=10.77.0.2/24&peer=10.77.0.1:9092"

enum { PATIENCE_MS = 10000 };

static struct sluice_client *open_client(const char *url)
{
	struct sluice_client *client = NULL;

	if (sluice_open(&client, url, NULL) < 0)
		fail_msg("%s", sluice_open_error());
	return client;
}

static void one_client_at_a_time_has_the_port(void **state)
{
	struct sluice_client *client = open_client(PORT(0));
	struct sluice_client *other;
	struct sluice_client *tcp = open_client("tcp://127.0.0.1:1");

	assert_int_equal(sluice_open(&other, PORT(0), NULL), -EBUSY);
	assert_non_null(strstr(sluice_open_error(), "another client"));
	sluice_close(tcp);
	sluice_close(client);
}

static void after_it_another_may_have_the_same_or_another(void **state)
{
	for (int i = 0; i < 3; i++) {
		sluice_close(open_client(PORT(0)));
		sluice_close(open_client(PORT(1)));
	}
}

static void a_port_that_fails_is_given_back(void **state)
{
	struct sluice_client *client;

	assert_true(sluice_open(&client, "dpdk:net_nothing0?address=10.77.0.2/24&peer=10.77.0.1",
				NULL) < 0);
	assert_int_equal(sluice_open(&client, "dpdk:net_null0?peer=10.77.0.1", NULL),
			 -EADDRNOTAVAIL);
	sluice_close(open_client(PORT(0)));
}

static void told(void *user, const struct sluice_delivery *delivery)
{
	*(int *)user = delivery->error;
}

/* Nobody ever answers, so this is all timers, driven by the descriptor alone. */
static void a_client_is_driven_by_its_descriptor(void **state)
{
	const struct sluice_record record = {
		.topic = "greetings", .value = "hello", .value_length = 5};
	struct sluice_options *options;
	struct sluice_client *client;
	int error = 0;

	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "delivery.timeout.ms", "300"), 0);
	assert_int_equal(sluice_open(&client, PORT(0), options), 0);
	sluice_options_free(options);
	assert_int_equal(sluice_produce(client, &record, told, &error), 0);
	struct pollfd fd = {.fd = sluice_fd(client), .events = POLLIN};
	while (!error) {
		assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
		assert_true(sluice_process(client, 0) >= 0);
	}
	assert_int_equal(error, -ETIMEDOUT);
	sluice_close(client);
}

static void a_peer_of_a_version_without_an_address_is_not_reached(void **state)
{
	struct sluice_options *options;
	struct sluice_client *client;
	const struct sluice_record record = {.topic = "greetings"};

	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "delivery.timeout.ms", "200"), 0);
	assert_int_equal(sluice_open(&client,
				     "dpdk:net_null0?address=10.77.0.2/24&peer=[fd00::1]:9092",
				     options),
			 0);
	sluice_options_free(options);
	assert_true(sluice_produce_sync(client, &record, NULL) < 0);
	assert_non_null(strstr(sluice_last_error(client), "fd00::1"));
	sluice_close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_client_at_a_time_has_the_port),
		cmocka_unit_test(after_it_another_may_have_the_same_or_another),
		cmocka_unit_test(a_port_that_fails_is_given_back),
		cmocka_unit_test(a_client_is_driven_by_its_descriptor),
		cmocka_unit_test(a_peer_of_a_version_without_an_address_is_not_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
