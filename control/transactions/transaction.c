/* The table of transactional ids: chains by hash of the id.  One is in the list of its partition
 * too. */
#include "control/transactions/transaction.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/group.h"
#include "control/transactions/transactions_internal.h"

#include <stdlib.h>
#include <xxhash.h>

enum { TABLE_SIZE_MIN = 64 };

const char *transaction_state_name(enum transaction_state state)
{
	static const char *const names[TRANSACTION_STATES] = {
		[TRANSACTION_EMPTY] = "Empty",
		[TRANSACTION_ONGOING] = "Ongoing",
		[TRANSACTION_PREPARE_COMMIT] = "PrepareCommit",
		[TRANSACTION_PREPARE_ABORT] = "PrepareAbort",
		[TRANSACTION_COMPLETE_COMMIT] = "CompleteCommit",
		[TRANSACTION_COMPLETE_ABORT] = "CompleteAbort",
		[TRANSACTION_DEAD] = "Dead",
		[TRANSACTION_PREPARE_EPOCH_FENCE] = "PrepareEpochFence",
	};
	return names[state];
}

/* ---- the table ---- */

static struct transaction **place_of(const struct transactions *transactions, const char *id,
				     size_t length)
{
	uint64_t hash = XXH3_64bits_withSeed(id, length, transactions->hash_seed);

	return &transactions->table[hash % transactions->table_size];
}

/* Where that fails the chains stay longer. */
static void grow(struct transactions *transactions)
{
	struct transactions larger = *transactions;
	size_t former = transactions->table_size;

	larger.table_size = former ? former * 2 : TABLE_SIZE_MIN;
	larger.table = calloc(larger.table_size, sizeof(struct transaction *));
	if (!larger.table)
		return;
	for (size_t i = 0; i < former; i++) {
		while (transactions->table[i]) {
			struct transaction *moved = transactions->table[i];
			struct transaction **place = place_of(&larger, moved->id, moved->id_length);
			transactions->table[i] = moved->chain;
			moved->chain = *place;
			*place = moved;
		}
	}
	free(transactions->table);
	transactions->table = larger.table;
	transactions->table_size = larger.table_size;
}

struct kafka_string transaction_id(const struct transaction *transaction)
{
	return (struct kafka_string){transaction->id, (int32_t)transaction->id_length};
}

struct transaction *transaction_find(const struct transactions *transactions,
				     const struct kafka_string *id)
{
	if (!transactions->table_size || id->length < 0)
		return NULL;
	struct transaction *found = *place_of(transactions, id->data, (size_t)id->length);
	for (; found; found = found->chain) {
		struct kafka_string own = transaction_id(found);
		if (kafka_string_equal(&own, id))
			break;
	}
	return found;
}

static struct transaction *make(struct transactions *transactions, const struct kafka_string *id)
{
	size_t length = (size_t)id->length;
	struct transaction *transaction = calloc(1, sizeof(*transaction));
	char *copy = malloc(length + 1);

	if (transactions->count >= transactions->table_size)
		grow(transactions);
	if (!transaction || !copy || !transactions->table_size) {
		free(transaction);
		free(copy);
		return NULL;
	}
	bytes_copy(copy, id->data, length);
	transaction->transactions = transactions;
	transaction->id = copy;
	transaction->id_length = length;
	transaction->partition = group_partition_of(id, transactions->partition_count);
	transaction->value = (struct transaction_value){
		.state = TRANSACTION_EMPTY,
		.producer_id = -1,
		.previous_producer_id = -1,
		.next_producer_id = -1,
		.producer_epoch = -1,
		.last_producer_epoch = -1,
		.start_ms = -1,
	};
	struct transaction **place = place_of(transactions, copy, length);
	transaction->chain = *place;
	*place = transaction;
	list_push_back(&transactions->partitions[transaction->partition].transactions,
		       &transaction->link);
	transactions->count++;
	return transaction;
}

struct transaction *transaction_obtain(struct transactions *transactions,
				       const struct kafka_string *id)
{
	struct transaction *found = transaction_find(transactions, id);

	return found ? found : make(transactions, id);
}

void transaction_drop(struct transaction *transaction)
{
	struct transactions *transactions = transaction->transactions;
	struct transaction **place = place_of(transactions, transaction->id,
					      transaction->id_length);

	check(!list_linked(&transaction->prepared.link));
	while (*place != transaction)
		place = &(*place)->chain;
	*place = transaction->chain;
	list_remove(&transaction->link);
	transactions->count--;
	timer_wheel_disarm(&transactions->wheel, &transaction->timer);
	markers_forget(transaction);
	topic_partitions_clear(&transaction->partitions);
	free(transaction->id);
	free(transaction);
}

/* ---- who asks ---- */

int transaction_claim(const struct transaction *transaction, int64_t producer_id, int16_t epoch)
{
	if (!transaction || transaction->value.producer_id != producer_id)
		return -ERR_PRODUCER_ID;
	/* The largest epoch is what fences the last producer: nobody has it. */
	if (transaction->value.producer_epoch != epoch || epoch > PRODUCER_EPOCH_LAST)
		return -ERR_PRODUCER_FENCED;
	return 0;
}
