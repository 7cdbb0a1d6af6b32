/* Prints what is in partition 0 of a topic and what comes, from an event loop of its own:
 *
 *   consumer HOST:PORT TOPIC COUNT
 *
 * The library's descriptor stands in poll() beside whatever else the program waits for. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <sluice.h>

/* Prints the records of one batch; returns how many, or an error. */
static long print_batch(struct sluice_batch *batch)
{
	struct sluice_batch_info info;
	struct sluice_message message;
	long count = 0;
	int rc;

	sluice_batch_info(batch, &info);
	if (info.error)
		return info.error;
	while ((rc = sluice_batch_next(batch, &message)) > 0) {
		printf("%lld %.*s\n", (long long)message.offset, (int)message.value_length,
		       (const char *)message.value);
		count++;
	}
	return rc < 0 ? rc : count;
}

/* All that is at hand. */
static long print_fetched(struct sluice_client *client)
{
	struct sluice_batch *batch;
	long count = 0;

	while (sluice_fetch(client, 0, &batch) > 0) {
		long printed = print_batch(batch);
		sluice_batch_free(batch);
		if (printed < 0)
			return printed;
		count += printed;
	}
	return count;
}

static int run(struct sluice_client *client, const char *topic, long count)
{
	struct pollfd fds = {.fd = sluice_fd(client), .events = POLLIN};
	int rc = sluice_assign(client, topic, 0, SLUICE_EARLIEST);

	while (rc >= 0 && count > 0) {
		poll(&fds, 1, -1);
		rc = sluice_process(client, 0);
		long printed = rc < 0 ? rc : print_fetched(client);
		if (printed < 0)
			rc = (int)printed;
		else
			count -= printed;
	}
	return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
	struct sluice_client *client;

	if (argc != 4) {
		fprintf(stderr, "usage: consumer HOST:PORT TOPIC COUNT\n");
		return 2;
	}
	if (sluice_open(&client, argv[1], NULL) < 0) {
		fprintf(stderr, "%s\n", sluice_open_error());
		return 2;
	}
	int rc = run(client, argv[2], strtol(argv[3], NULL, 10));
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", sluice_error_text(rc), sluice_last_error(client));
	sluice_close(client);
	return rc < 0;
}
