/* control/transactions/transaction.h: one transactional id, and where its transaction stands.
 *
 * The value changes in memory together with the record that says so (transaction_store); who is
 * told of it is told when that is durable.  So the next request finds the value as it will be, and
 * nobody has to come again only because a record is on its way. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timer_wheel.h"
#include "control/state_log.h"
#include "control/transactions/topic_partitions.h"

struct markers;
struct transactions;

/* Kafka's names, with the numbers that are stored. */
enum transaction_state {
	TRANSACTION_EMPTY = 0,
	TRANSACTION_ONGOING = 1,
	TRANSACTION_PREPARE_COMMIT = 2,
	TRANSACTION_PREPARE_ABORT = 3,
	TRANSACTION_COMPLETE_COMMIT = 4,
	TRANSACTION_COMPLETE_ABORT = 5,
	/* Kafka has them while a record is on its way; they are never stored, nor do we need them.
	 * Requests may name them. */
	TRANSACTION_DEAD = 6,
	TRANSACTION_PREPARE_EPOCH_FENCE = 7,
};
enum { TRANSACTION_STATES = 8 };

/* All that is stored but for the partitions. */
struct transaction_value {
	enum transaction_state state;
	int64_t producer_id;
	int64_t previous_producer_id; /* -1: none; whose epochs were used up */
	int64_t next_producer_id;     /* -1: none; from the complete state on */
	int16_t producer_epoch;       /* -1: just made, not stored yet */
	/* The epoch before, where its producer was told of the current one and might not have heard
	 * it; -1: none.  Not stored, as in Kafka. */
	int16_t last_producer_epoch;
	int16_t client_version; /* transaction.version of the client that ended it last */
	int32_t timeout_ms;
	int64_t start_ms; /* wall clock; -1: no transaction yet */
	int64_t update_ms;
};

struct transaction {
	struct transactions *transactions;
	struct list link;          /* its partition's */
	struct transaction *chain; /* the next of its place in the table */
	char *id;                  /* id_length bytes */
	size_t id_length;
	int32_t partition; /* of __transaction_state */
	struct transaction_value value;
	struct topic_partitions partitions; /* while ongoing and while prepared */
	/* Ongoing: it has run for too long.  Prepared: memory was short, go on.  Else: nobody has
	 * used the id for long. */
	struct wheel_timer timer;
	struct state_wait prepared; /* what its markers rest on; end.c */
	struct markers *markers;    /* null: none are being sent */
};

enum { TRANSACTION_VERSION_2 = 2 }; /* KIP-890: an epoch for each transaction */
/* The last epoch that a producer is given; the one above fences it. */
enum { PRODUCER_EPOCH_LAST = INT16_MAX - 1 };

const char *transaction_state_name(enum transaction_state state);
static inline bool transaction_prepared(const struct transaction *transaction)
{
	return transaction->value.state == TRANSACTION_PREPARE_COMMIT ||
	       transaction->value.state == TRANSACTION_PREPARE_ABORT;
}
/* It has partitions. */
static inline bool transaction_open(const struct transaction *transaction)
{
	return transaction->value.state == TRANSACTION_ONGOING || transaction_prepared(transaction);
}
static inline bool producer_epoch_exhausted(int16_t epoch)
{
	return epoch >= PRODUCER_EPOCH_LAST;
}
/* What fences `epoch`; never beyond the largest, which no producer has. */
static inline int16_t producer_epoch_bumped(int16_t epoch)
{
	return epoch < INT16_MAX ? (int16_t)(epoch + 1) : epoch;
}

struct kafka_string transaction_id(const struct transaction *transaction);
/* Null when there is none. */
struct transaction *transaction_find(const struct transactions *transactions,
				     const struct kafka_string *id);
/* Finds or makes one, empty and not stored.  Null: no memory. */
struct transaction *transaction_obtain(struct transactions *transactions,
				       const struct kafka_string *id);
/* Gone from memory; its markers on the way come home to nobody. */
void transaction_drop(struct transaction *transaction);

/* ---- records.c ---- */
/* Appends `value`, as of now, with the partitions where it has some, and takes it over.  -ENOMEM:
 * nothing changed. */
int transaction_store(struct transaction *transaction, struct transaction_value value);
int transaction_store_tombstone(struct transaction *transaction); /* -ENOMEM */

/* Whether a request comes from the producer that has the id: -ERR_PRODUCER_ID,
 * -ERR_PRODUCER_FENCED.  `transaction` null: nobody has. */
int transaction_claim(const struct transaction *transaction, int64_t producer_id, int16_t epoch);

/* ---- end.c ---- */
/* The end begins: `value` is of a prepared state, markers follow when it is durable.  -ENOMEM. */
int transaction_prepare(struct transaction *transaction, struct transaction_value value);
/* Aborts an ongoing one whose producer is not heard any more; `last_epoch` as in the value.
 * -ENOMEM. */
int transaction_fence(struct transaction *transaction, int16_t last_epoch);
/* Sends the markers of a prepared one. */
void transaction_go_on(struct transaction *transaction);
/* All markers are back. */
void transaction_complete(struct transaction *transaction);

/* ---- timeouts.c ---- */
/* The state is what it is from now on. */
void transaction_arm(struct transaction *transaction);
/* The state has been read. */
void transaction_arm_loaded(struct transaction *transaction);
/* Something could not be done for want of memory. */
void transaction_arm_retry(struct transaction *transaction);

/* ---- markers.c ---- */
/* transaction_complete when all have been taken or have become pointless.  -ENOMEM. */
int markers_send(struct transaction *transaction);
void markers_forget(struct transaction *transaction); /* those on the way too */
