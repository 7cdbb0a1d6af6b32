/* tests/sim/clients/producer.h: a client that sends records, without transactions. */
#pragma once
#include "tests/sim/clients/asks.h"
#include "tests/sim/clients/batches.h"

enum { PRODUCER_TOPICS_MAX = 5 };

struct producer_options {
	int acks;        /* -1 or 1 */
	bool idempotent; /* a request without an answer is sent again, the same */
	bool dedup;      /* likewise, and now and then what was sent long ago */
	bool single;     /* one record a request */
	unsigned records_max;
	unsigned payload_max;
	unsigned pause_max_ms; /* between two requests */
	const struct topic *topics[PRODUCER_TOPICS_MAX];
	unsigned topic_count;
};

struct producer {
	struct client client; /* first */
	struct producer_options options;
	struct transactional identity;
	int32_t sequences[PRODUCER_TOPICS_MAX][PARTITIONS_MAX];
	unsigned next_number;
	struct batch_build build;
};

void producer_start(struct producer *producer, struct world *world, const char *name,
		    struct random *random, const struct producer_options *options);
