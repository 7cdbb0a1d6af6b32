/* control/http/workers.h: a few threads for requests that wait, so that the server's own never
 * does.
 *
 * Each has a client of the broker (admin_client.h), closed after a minute without work.  Phases:
 * started -> ended -> freed. */
#pragma once
#include <stdbool.h>

#include "base/list.h"

struct admin_client;
struct workers;

struct work {
	struct list link;
	/* By a worker.  `client` null: the workers have ended, do nothing. */
	void (*run)(struct work *work, struct admin_client *client);
};

/* `urls` as in admin_client_init.  -ENOMEM, -errno. */
int workers_start(struct workers **ret, const char *urls);
/* What has not begun is run without a client, what waits for the broker is interrupted; returns
 * when all threads have ended. */
void workers_end(struct workers *workers);
void workers_free(struct workers *workers); /* after the end; null is fine */
/* So much waits that no more is to be sent; or they have ended.  Any thread. */
bool workers_full(struct workers *workers);
/* Any thread; after the end `run` is called at once, by this thread. */
void workers_send(struct workers *workers, struct work *work);
