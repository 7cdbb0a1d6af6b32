/* tests/sim/clients/reader.h: a client that reads logs from their beginning to their end, and then
 * again. */
#pragma once
#include "tests/sim/clients/asks.h"

struct reader {
	struct client client; /* first */
	enum isolation isolation;
	bool final; /* it reads once, when nobody writes any more, and what groups have committed */
};

void reader_start(struct reader *reader, struct world *world, const char *name,
		  struct random *random, enum isolation isolation, bool final);

/* ---- for others that read ---- */

/* Fetches at *position, tells what it was given, and moves on.  *ret_at_end: there was no more; in
 * PHASE_FINAL also none that only waits for the end of a transaction, as all have been ended.
 * Where the log begins later, *position does too.  As ask_fetch. */
int reader_fetch(struct client *client, struct topic *topic, unsigned partition,
		 enum isolation isolation, int64_t *position, bool *ret_at_end);
