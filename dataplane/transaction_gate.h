/* dataplane/transaction_gate.h: batches of transactions on their way into a partition's log.
 *
 * The first of a transaction in a partition waits until the coordinator has said that it may be
 * there (transaction_ask.h); later ones of its producer wait behind it, so order is kept.  Those of
 * a transaction that is open in the log, or that the log refuses or knows, pass at once, unless
 * others wait for buffers there.
 *
 * Owner: the partition's shard. */
#pragma once
#include <stdbool.h>

#include "dataplane/kafka/wire.h"
#include "dataplane/partition_append.h"

struct transaction_append {
	struct list waiting;                  /* the gate's */
	struct partition_append *append;      /* in: a batch with a producer id */
	struct kafka_string transactional_id; /* in: lies still until append->done */
	bool add;                             /* in: as transaction_ask has it */
};

/* As partition_append.  append->done also gets what the coordinator refuses with (transaction_ask),
 * and -ERR_TXN_ABORTABLE where the partition is none of the transaction's; -ERR_CONCURRENT_TXNS and
 * -ERR_LOADING only after having asked for a while. */
void transaction_gate_append(struct partition *partition, struct transaction_append *append);
/* The partition is closing: those that wait are told -ERR_CLOSING. */
void transaction_gate_fail(struct partition *partition);
