/* tests/sim/clients/transactor.h: a client that makes records from others, and commits both the
 * records and how far it has come in one transaction. */
#pragma once
#include "tests/sim/clients/asks.h"
#include "tests/sim/clients/batches.h"

enum { TRANSACTION_RECORDS_MAX = 8 };

struct transactor_options {
	const char *id;       /* transactional */
	const char *group;    /* which has no members: offsets are all that it is for */
	struct topic *source; /* of its partitions those from `first` on, each `step`-th */
	unsigned first, step;
	const struct topic *sink;
	bool implicit; /* see struct transactional */
	unsigned abort_percent;
};

struct transactor {
	struct client client; /* first */
	struct transactor_options options;
	struct transactional identity;
	int64_t positions[PARTITIONS_MAX]; /* in the source */
	int32_t sequences[PARTITIONS_MAX]; /* of the sink, in this epoch */
	unsigned next_number;
	struct batch_build build;
	int64_t sources[TRANSACTION_RECORDS_MAX]; /* offsets of what it makes records from now */
	unsigned source_count;
};

void transactor_start(struct transactor *transactor, struct world *world, const char *name,
		      struct random *random, const struct transactor_options *options);
