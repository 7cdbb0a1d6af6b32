/* Produces numbered records to a topic, as fast as the broker takes them:
 *
 *   producer HOST:PORT TOPIC COUNT
 *
 * Asynchronous: records go into batches and are reported through a callback; the loop only ever
 * waits when the memory for what is under way is full. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice.h>

struct tally {
	long delivered;
	long failed;
};

static void delivered(void *user, const struct sluice_delivery *delivery)
{
	struct tally *tally = user;

	if (delivery->error == 0) {
		tally->delivered++;
		return;
	}
	if (tally->failed++ == 0)
		fprintf(stderr, "not delivered: %s\n", sluice_error_text(delivery->error));
}

static int produce_all(struct sluice_client *client, const char *topic, long count,
		       struct tally *tally)
{
	for (long i = 0; i < count; i++) {
		char key[32];
		char value[64];
		struct sluice_record record = {
			.topic = topic,
			.partition = SLUICE_PARTITION_ANY,
			.key = key,
			.key_length = (size_t)snprintf(key, sizeof(key), "key-%ld", i % 100),
			.value = value,
			.value_length = (size_t)snprintf(value, sizeof(value), "record %ld", i),
		};
		int rc = sluice_produce_wait(client, &record, -1, delivered, tally);
		if (rc < 0)
			return rc;
	}
	return sluice_flush(client, -1);
}

int main(int argc, char **argv)
{
	struct sluice_client *client;
	struct tally tally = {0};

	if (argc != 4) {
		fprintf(stderr, "usage: producer HOST:PORT TOPIC COUNT\n");
		return 2;
	}
	if (sluice_open(&client, argv[1], NULL) < 0) {
		fprintf(stderr, "%s\n", sluice_open_error());
		return 2;
	}
	int rc = produce_all(client, argv[2], strtol(argv[3], NULL, 10), &tally);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", sluice_error_text(rc), sluice_last_error(client));
	sluice_close(client);
	printf("%ld delivered, %ld failed\n", tally.delivered, tally.failed);
	return rc < 0 || tally.failed > 0;
}
