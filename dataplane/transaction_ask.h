/* dataplane/transaction_ask.h: how the owner of a partition asks the transaction coordinator
 * whether a producer may begin to write there in its transaction (KIP-890).
 *
 * Asked by message before the first batch of a transaction in a partition is appended.  While
 * the transaction is open there nothing is asked.  The answer leaves the coordinator before any
 * marker that ends this transaction, and both come to the owner in that order.
 *
 * Between: the object is the coordinator's. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/kafka/wire.h"
#include "dataplane/message.h"

/* Nobody is given a longer one: an owner keeps it for each of its partitions that is asked for. */
enum { TRANSACTIONAL_ID_BYTES_MAX = 2048 };

struct transaction_ask {
	struct message message;
	void (*done)(struct message *message, void *shard); /* in: handle on the way back */
	unsigned shard_index;                               /* in */
	struct kafka_string transactional_id;               /* in; lies still until it is back */
	int64_t producer_id;                                /* in */
	int16_t producer_epoch;                             /* in */
	struct kafka_string topic;                          /* in; likewise */
	int32_t partition;                                  /* in */
	/* In: the partition becomes one of the transaction's, which begins with it where there is
	 * none (Produce from version 12 on); else it must be one by AddPartitionsToTxn. */
	bool add;
	/* Out: 0: it is one, durably; -ERR_TXN_STATE: it is not, or there is no transaction;
	 * -ERR_PRODUCER_EPOCH, -ERR_PRODUCER_ID: another producer has the transactional id;
	 * -ERR_LIMIT: it has as many partitions as a transaction may have;
	 * -ERR_CONCURRENT_TXNS, -ERR_LOADING, -ERR_NO_COORDINATOR, -ENOMEM: ask again. */
	int rc;
};
