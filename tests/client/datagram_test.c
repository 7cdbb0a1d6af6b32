/* Channels over datagrams, by what a broker sees of them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"

enum { NARROW_BYTES = 1232 };

static atomic_bool close_next; /* the session that asks for metadata */

static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	return api->key == KAFKA_METADATA && atomic_exchange(&close_next, false) ? FAKE_CLOSE
										 : FAKE_DEFAULT;
}

static struct sluice_client *open_client(const struct fake_broker *fake)
{
	struct sluice_client *client = NULL;
	char url[64];

	snprintf(url, sizeof(url), "udp://127.0.0.1:%d", fake->port);
	if (sluice_open(&client, url, NULL) < 0)
		fail_msg("%s", sluice_open_error());
	return client;
}

static int ask(struct sluice_client *client)
{
	struct sluice_metadata *metadata = NULL;
	int rc = sluice_metadata(client, NULL, 0, &metadata);

	sluice_metadata_free(metadata);
	return rc;
}

static void what_passes_is_found_out_once(void **state)
{
	struct fake_broker fake = {.partitions = 1,
				   .handle = handle,
				   .datagram = true,
				   .datagram_bytes_max = NARROW_BYTES};

	fake_broker_start(&fake);
	struct sluice_client *client = open_client(&fake);
	assert_int_equal(ask(client), 0);
	unsigned too_large = fake.too_large;
	unsigned connected = fake.requests[KAFKA_API_VERSIONS];
	assert_true(too_large > 0);
	close_next = true;
	ask(client); /* it may be this, or what the client itself wants to know */
	assert_int_equal(ask(client), 0);
	assert_true(fake.requests[KAFKA_API_VERSIONS] > connected);
	assert_int_equal(fake.too_large, too_large);
	sluice_close(client);
	fake_broker_stop(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_passes_is_found_out_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
