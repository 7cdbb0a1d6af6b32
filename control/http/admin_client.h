/* control/http/admin_client.h: a client of the broker's own, over loopback.
 *
 * What clients can ask for over the Kafka protocol, /v1 asks for so too: there is one handler a
 * request, whoever sends it.  Opened when first wanted.  Owner: one worker. */
#pragma once
#include <pthread.h>

struct sluice_client;

struct admin_client {
	const char *urls;             /* as sluice_open has them; lives as long */
	struct sluice_client *client; /* null: not open */
	pthread_mutex_t lock;         /* of its opening and closing, for interrupts */
};

int admin_client_init(struct admin_client *client, const char *urls); /* -errno */
void admin_client_fini(struct admin_client *client);
/* -errno as sluice_open. */
int admin_client_open(struct admin_client *client, struct sluice_client **ret);
/* Its connections end and its memory goes, until it is opened again. */
void admin_client_close(struct admin_client *client);
/* Any thread: ends what waits with -EINTR. */
void admin_client_interrupt(struct admin_client *client);
