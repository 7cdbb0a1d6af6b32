/* tests/sim/clients/batches.h: records as simulated clients make and read them.
 *
 * A value is the record's id, "PRODUCER:NUMBER", a space, and bytes that follow from the number, so
 * that every reader can tell whose it is (tests/history/README.md). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/batch_build.h"
#include "tests/sim/clients/asks.h"

enum { ID_BYTES = 48 };

struct outgoing {
	const char *producer;
	unsigned number;
	size_t payload_bytes;
	const char *key;   /* null: none */
	const char *dedup; /* message id; null: none */
	bool tombstone;    /* no value: its id is in a header, so it has no message id */
};

/* Adds it to the batch; returns the hash that the history tells. */
uint32_t batches_add(struct batch_build *build, const struct outgoing *record,
		     int64_t timestamp_ms);
void batches_begin(struct batch_build *build); /* empty again */

/* The id that a value begins with; "": none. */
void batches_read_id(char ret[static ID_BYTES], const uint8_t *value, size_t length);

struct incoming {
	int64_t offset;
	char id[ID_BYTES];
	uint32_t hash;
};
/* Walks what was fetched, from `from` on, as a client of this isolation does: no markers, and where
 * it is read_committed none of what was aborted.  *ret_next: where to fetch next.  False: malformed
 * or its checksum is wrong. */
bool batches_read(const struct fetched *fetched, int64_t from, enum isolation isolation,
		  void (*given)(void *context, const struct incoming *record), void *context,
		  int64_t *ret_next);
