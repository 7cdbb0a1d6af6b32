/* tests/sim/clients/rude.h: clients that behave badly towards the broker's TCP listener.
 *
 * They leave in the middle of a request, close one half of a connection, ask and do not read, or
 * send what is no request.  The broker owes them little: what it answers is answers, in the order
 * asked, and a half-closed connection comes to its end.  That others are not harmed is for the rest
 * of the world to say. */
#pragma once
#include "tests/sim/clients/client.h"

enum { RUDE_BYTES_MAX = 64 << 10 };

struct rude {
	struct client client; /* first */
	/* Requests, one after another as they are sent. */
	uint8_t out[RUDE_BYTES_MAX];
	size_t length;
	int32_t next_correlation_id;
	int32_t next_answer;
};

void rude_start(struct rude *rude, struct world *world, const char *name, struct random *random);
