/* Transactional ids as records of __transaction_state, in Kafka's format: written, read again,
 * written anew. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/group.h"
#include "control/groups/group_records.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdio.h>

#define STORED_TOPIC struct record_transaction_value_transaction_topic

/* ---- written ---- */

static int draw_partitions(const struct topic_partitions *set, struct arena *arena,
			   struct record_transaction_value *ret)
{
	ret->partitions = arena_calloc(arena, set->topic_count, sizeof(STORED_TOPIC));
	if (!ret->partitions)
		return -ENOMEM;
	ret->partitions_count = (int32_t)set->topic_count;
	for (size_t i = 0; i < set->topic_count; i++) {
		const struct partitions_of_topic *topic = set->topics[i];
		ret->partitions[i] = (STORED_TOPIC){
			.topic = {topic->name, topic->name_length},
			.partition_ids = topic->partitions,
			.partition_ids_count = topic->count,
		};
	}
	return 0;
}

static bool has_partitions(enum transaction_state state)
{
	return state == TRANSACTION_ONGOING || state == TRANSACTION_PREPARE_COMMIT ||
	       state == TRANSACTION_PREPARE_ABORT;
}

static int append(struct transaction *transaction, const struct record_transaction_value *value)
{
	struct transactions *transactions = transaction->transactions;
	struct record_transaction_key key = {transaction_id(transaction)};
	struct group_record record = {RECORD_TRANSACTION, transactions_wall_ms(transactions), &key,
				      value};

	return group_record_append(transactions->options.log, transaction->partition,
				   &transactions->scratch, &record);
}

static int append_value(struct transaction *transaction, const struct transaction_value *value)
{
	struct arena *draft = &transaction->transactions->draft;
	static const struct topic_partitions none;
	struct record_transaction_value stored;
	int rc = 0;

	arena_reset(draft);
	record_transaction_value_init(&stored);
	stored.producer_id = value->producer_id;
	stored.previous_producer_id = value->previous_producer_id;
	stored.next_producer_id = value->next_producer_id;
	stored.producer_epoch = value->producer_epoch;
	stored.timeout_ms = value->timeout_ms;
	stored.status = (int8_t)value->state;
	stored.last_update_ms = value->update_ms;
	stored.start_ms = value->start_ms;
	stored.client_transaction_version = value->client_version;
	stored.partitions_count = -1; /* which Kafka expects of one that is empty */
	if (value->state != TRANSACTION_EMPTY)
		rc = draw_partitions(has_partitions(value->state) ? &transaction->partitions
								  : &none,
				     draft, &stored);
	return rc < 0 ? rc : append(transaction, &stored);
}

int transaction_store(struct transaction *transaction, struct transaction_value value)
{
	bool was_ongoing = transaction->value.state == TRANSACTION_ONGOING;

	value.update_ms = transactions_wall_ms(transaction->transactions);
	int rc = append_value(transaction, &value);
	if (rc < 0)
		return rc;
	transaction->value = value;
	/* What is added to it does not put a transaction's end off. */
	if (!was_ongoing || value.state != TRANSACTION_ONGOING)
		transaction_arm(transaction);
	return 0;
}

int transaction_store_tombstone(struct transaction *transaction)
{
	return append(transaction, NULL);
}

int transactions_rewrite(struct transactions *transactions, int32_t partition)
{
	int rc = 0;

	list_foreach(node, &transactions->partitions[partition].transactions) {
		struct transaction *transaction = container_of(node, struct transaction, link);
		if (rc == 0)
			rc = append_value(transaction, &transaction->value);
	}
	return rc;
}

size_t transactions_live_records(const struct transactions *transactions, int32_t partition)
{
	size_t count = 0;

	list_foreach(node, &transactions->partitions[partition].transactions)
		count++;
	return count;
}

/* ---- read ---- */

static bool sound_value(const struct record_transaction_value *value)
{
	return value->status >= TRANSACTION_EMPTY && value->status <= TRANSACTION_COMPLETE_ABORT &&
	       value->producer_id >= 0 && value->previous_producer_id >= -1 &&
	       value->next_producer_id >= -1 && value->producer_epoch >= 0 &&
	       value->timeout_ms > 0 && value->client_transaction_version >= 0;
}

static int read_partitions(const struct record_transaction_value *value,
			   struct topic_partitions *ret)
{
	for (int32_t i = 0; i < value->partitions_count; i++) {
		const STORED_TOPIC *topic = &value->partitions[i];
		if (!topic_name_legal(topic->topic.data, (size_t)topic->topic.length))
			return -ERR_CORRUPT;
		for (int32_t j = 0; j < topic->partition_ids_count; j++) {
			if (topic->partition_ids[j] < 0)
				return -ERR_CORRUPT;
			int rc = topic_partitions_add(ret, &topic->topic, topic->partition_ids[j]);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static void take_over(struct transaction *transaction, const struct record_transaction_value *value,
		      const struct topic_partitions *partitions)
{
	transaction->value = (struct transaction_value){
		.state = (enum transaction_state)value->status,
		.producer_id = value->producer_id,
		.previous_producer_id = value->previous_producer_id,
		.next_producer_id = value->next_producer_id,
		.producer_epoch = value->producer_epoch,
		.last_producer_epoch = -1,
		.client_version = value->client_transaction_version,
		.timeout_ms = value->timeout_ms,
		.start_ms = value->start_ms,
		.update_ms = value->last_update_ms,
	};
	topic_partitions_clear(&transaction->partitions);
	transaction->partitions = *partitions;
}

static int replay_value(struct transactions *transactions, const struct kafka_string *id,
			const struct record_transaction_value *value)
{
	struct topic_partitions partitions = {0};

	if (!sound_value(value))
		return -ERR_CORRUPT;
	int rc = has_partitions((enum transaction_state)value->status)
			 ? read_partitions(value, &partitions)
			 : 0;
	struct transaction *transaction = rc < 0 ? NULL : transaction_obtain(transactions, id);
	if (transaction) {
		take_over(transaction, value, &partitions);
		return 0;
	}
	topic_partitions_clear(&partitions);
	return rc < 0 ? rc : -ENOMEM;
}

static int replay(struct transactions *transactions, int32_t partition,
		  const struct group_record *record)
{
	const struct record_transaction_key *key = record->key;
	const struct kafka_string *id = &key->transactional_id;

	if (id->length <= 0 || group_partition_of(id, transactions->partition_count) != partition)
		return -ERR_CORRUPT;
	if (record->value)
		return replay_value(transactions, id, record->value);
	struct transaction *gone = transaction_find(transactions, id);
	if (gone)
		transaction_drop(gone);
	return 0;
}

int transactions_replay(struct transactions *transactions, int32_t partition,
			const struct record *record, int64_t timestamp_ms, char *why,
			size_t why_bytes)
{
	struct group_record decoded;

	check(transactions->partitions[partition].phase == TRANSACTIONS_LOADING);
	arena_reset(&transactions->scratch);
	int rc = group_record_decode(record, timestamp_ms, &transactions->scratch, &decoded);
	if (rc == 0 && decoded.type != RECORD_TRANSACTION)
		rc = -ERR_FORMAT;
	if (rc < 0) {
		snprintf(why, why_bytes, "%s", error_text(rc));
		return rc;
	}
	rc = replay(transactions, partition, &decoded);
	if (rc < 0) {
		const struct record_transaction_key *key = decoded.key;
		snprintf(why, why_bytes, "transactional id \"%.*s\" in partition %d: %s",
			 key->transactional_id.length, key->transactional_id.data, partition,
			 error_text(rc));
	}
	return rc;
}
