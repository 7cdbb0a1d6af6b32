/* tests/control/transaction_producers.h: producers with transactional ids, as their clients are:
 * one request at a time, its answer or the error in it. */
#pragma once
#include "tests/control/transactions_world.h"

struct producer {
	struct world *world;
	const char *id;
	bool version_2; /* of transaction.version */
	int64_t producer_id;
	int16_t epoch;
};

/* Each returns the answer's error, of the row where it has one. */

/* Takes over what it is given; `again` tells the broker which producer it is (KIP-360). */
int16_t producer_init(struct producer *producer, bool again);
/* A partition becomes the transaction's: by AddPartitionsToTxn and a question of the owner, or by
 * the question alone. */
int16_t producer_add(struct producer *producer, const char *topic, int32_t partition);
int16_t producer_add_offsets(struct producer *producer, const char *group);
/* TxnOffsetCommit; NONE: it went to the groups. */
int16_t producer_commit_offsets(struct producer *producer, const char *group);
/* Takes over the epoch that it is given. */
int16_t producer_end(struct producer *producer, bool commit);

/* The same in parts, for what is answered later. */
struct world_request *producer_ask_init(struct producer *producer, bool again);
struct world_request *producer_ask_add(struct producer *producer, const char *topic,
				       int32_t partition);
struct world_request *producer_ask_end(struct producer *producer, bool commit);
int16_t producer_inited(struct producer *producer, struct world_request *ask);
int16_t producer_added(struct world_request *ask);
int16_t producer_ended(struct producer *producer, struct world_request *ask);
/* The owner of a partition asks in its name: transaction_ask.rc. */
int producer_question(struct producer *producer, const char *topic, int32_t partition, bool add);
void producer_send_question(struct producer *producer, struct world_ask *ask, const char *topic,
			    int32_t partition, bool add);

/* What DescribeTransactions says; "" where there is none. */
const char *world_state(struct world *world, const char *id);
/* How often the partition was told of this producer id's outcome. */
size_t world_times_told(const struct world *world, const char *topic, int32_t partition,
			int64_t producer_id, bool commit);
