/* tests/client/fake_broker.h: a broker that does what a test tells it, on loopback, in a thread.
 *
 * It answers ApiVersions and Metadata (itself as the only node, every topic with `partitions`)
 * unless the handler does.  The handler runs on its thread, one request at a time. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "dataplane/kafka/kafka.h"
#include "kafka_messages.h"

enum fake_answer {
	FAKE_DEFAULT,   /* as said above; other requests get an empty response */
	FAKE_ANSWER,    /* the response that was filled */
	FAKE_SILENCE,   /* over datagrams an answer of no bytes */
	FAKE_STUCK,     /* not even that */
	FAKE_CLOSE,     /* the connection ends */
	FAKE_CLOSE_ALL, /* all of them */
	FAKE_GARBAGE,   /* an answer to nothing that was asked */
};

struct fake_broker {
	int port;
	int32_t partitions;
	enum fake_answer (*handle)(struct fake_broker *fake, const struct kafka_api *api,
				   int16_t version, const void *request, void *response,
				   struct arena *arena);
	void *user;
	bool datagram;     /* over the datagram transport instead of TCP */
	unsigned per_cent; /* datagrams that are lost, and as many doubled, in each direction */
	size_t datagram_bytes_max; /* larger ones do not arrive; 0: all do */
	/* Leads the odd partitions: as a node of its own, or as a shard of ours over datagrams. */
	struct fake_broker *other;
	atomic_uint requests[128]; /* by API key */
	atomic_uint lost;
	atomic_uint too_large;
	/* Private. */
	int listener;
	int stop[2];
	unsigned long thread;
};

/* Private to fake_broker*.c.  Answers a frame; with FAKE_ANSWER, _DEFAULT and _GARBAGE `writer` has
 * the answer, size included. */
enum fake_answer fake_broker_answer(struct fake_broker *fake, const uint8_t *frame, size_t length,
				    struct arena *arena, struct wire_writer *writer);
/* The thread of a datagram broker. */
void *fake_broker_run_datagrams(void *argument);

void fake_broker_start(struct fake_broker *fake);
void fake_broker_stop(struct fake_broker *fake);
