/* Which partitions are a transaction's: AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, and
 * the question of a partition's owner.
 *
 * The first partition begins the transaction.  Each change is stored as a whole record, as Kafka
 * has it; the log takes what comes in one turn together. */
#include "control/transactions/transactions_internal.h"

#include "base/errors.h"
#include "control/config.h"
#include "dataplane/topics.h"
#include "dataplane/transaction_ask.h"

#include <errno.h>

/* A partition that is to become the transaction's. */
struct addition {
	struct kafka_string topic;
	int32_t partition;
	bool added; /* by add_all, which takes it back where it fails */
};

static void take_back(struct transaction *transaction, struct addition *additions, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (additions[i].added)
			topic_partitions_remove(&transaction->partitions, &additions[i].topic,
						additions[i].partition);
	}
}

/* How many are new; -ENOMEM: none was added. */
static int add_all(struct transaction *transaction, struct addition *additions, size_t count)
{
	int added = 0;

	for (size_t i = 0; i < count; i++) {
		int rc = topic_partitions_add(&transaction->partitions, &additions[i].topic,
					      additions[i].partition);
		if (rc < 0) {
			take_back(transaction, additions, i);
			return rc;
		}
		additions[i].added = rc > 0;
		added += rc;
	}
	return added;
}

static int store_added(struct transaction *transaction, int16_t client_version)
{
	struct transactions *transactions = transaction->transactions;
	size_t most = (size_t)transactions->options.config->transaction_partitions_max;
	struct transaction_value value = transaction->value;

	if (transaction->partitions.count > most)
		return -ERR_LIMIT;
	if (value.state != TRANSACTION_ONGOING) {
		value.state = TRANSACTION_ONGOING;
		value.start_ms = transactions_wall_ms(transactions);
	}
	value.client_version = client_version;
	return transaction_store(transaction, value);
}

/* `transaction` (null: there is none) gets the partitions, and is begun where it was not.  As
 * transaction_claim; -ERR_CONCURRENT_TXNS, -ERR_LIMIT, -ENOMEM. */
static int add(struct transaction *transaction, int64_t producer_id, int16_t epoch,
	       struct addition *additions, size_t count, int16_t client_version)
{
	int rc = transaction_claim(transaction, producer_id, epoch);

	if (rc < 0)
		return rc;
	if (transaction_prepared(transaction))
		return -ERR_CONCURRENT_TXNS;
	rc = add_all(transaction, additions, count);
	if (rc <= 0)
		return rc;
	rc = store_added(transaction, client_version);
	if (rc < 0)
		take_back(transaction, additions, count);
	return rc;
}

/* It is the transaction's already; else as above, or -ERR_TXN_STATE. */
static int verify(const struct transaction *transaction, int64_t producer_id, int16_t epoch,
		  const struct addition *wanted)
{
	int rc = transaction_claim(transaction, producer_id, epoch);

	if (rc < 0)
		return rc;
	if (transaction_prepared(transaction))
		return -ERR_CONCURRENT_TXNS;
	return topic_partitions_has(&transaction->partitions, &wanted->topic, wanted->partition)
		       ? 0
		       : -ERR_TXN_STATE;
}

/* ---- the owner of a partition asks ---- */

void transactions_ask(struct transactions *transactions, struct transaction_ask *ask)
{
	struct addition wanted = {.topic = ask->topic, .partition = ask->partition};
	int rc = transactions_ready(transactions, &ask->transactional_id);

	if (rc == 0) {
		struct transaction *transaction = transaction_find(transactions,
								   &ask->transactional_id);
		rc = ask->add ? add(transaction, ask->producer_id, ask->producer_epoch, &wanted, 1,
				    TRANSACTION_VERSION_2)
			      : verify(transaction, ask->producer_id, ask->producer_epoch, &wanted);
	}
	if (rc == -ERR_PRODUCER_FENCED) /* which Produce does not know */
		rc = -ERR_PRODUCER_EPOCH;
	transactions_answer_ask(transactions, ask, rc);
}

/* ---- AddPartitionsToTxn ---- */

#define RESULT(what)                                                                               \
	struct kafka_add_partitions_to_txn_response_add_partitions_to_txn_##what##_result

static enum kafka_error check_row(const struct topic *topic, int32_t partition)
{
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	/* The offsets of groups come by AddOffsetsToTxn. */
	return topic->internal ? KAFKA_INVALID_TOPIC_EXCEPTION : KAFKA_NONE;
}

/* Gives each row that is refused its error; whether there is none. */
static bool check_rows(const struct transactions *transactions, struct control_request *request)
{
	struct kafka_add_partitions_to_txn_response *response = request->response;
	bool good = true;

	for (int32_t i = 0; i < response->topics_count; i++) {
		RESULT(topic) *rows = &response->topics[i];
		const struct topic *topic = transactions->topics
						    ? topics_find(transactions->topics,
								  rows->name.data,
								  (size_t)rows->name.length)
						    : NULL;
		for (int32_t j = 0; j < rows->partitions_count; j++) {
			RESULT(partition) *row = &rows->partitions[j];
			enum kafka_error error = check_row(topic, row->partition_index);
			if (error)
				row->error_code = (int16_t)error;
			good = good && !error;
		}
	}
	return good;
}

/* Null: no memory. */
static struct addition *additions_of(struct control_request *request, size_t *ret_count)
{
	const struct kafka_add_partitions_to_txn_request *asked = request->request;
	size_t count = 0;

	for (int32_t i = 0; i < asked->topics_count; i++)
		count += (size_t)asked->topics[i].partitions_count;
	struct addition *additions = arena_calloc(request->arena, count, sizeof(*additions));
	*ret_count = 0;
	for (int32_t i = 0; additions && i < asked->topics_count; i++) {
		for (int32_t j = 0; j < asked->topics[i].partitions_count; j++)
			additions[(*ret_count)++] = (struct addition){
				.topic = asked->topics[i].name,
				.partition = asked->topics[i].partitions[j],
			};
	}
	return additions;
}

void transactions_add_partitions(struct transactions *transactions, struct control_request *request)
{
	const struct kafka_add_partitions_to_txn_request *asked = request->request;
	const struct kafka_string *id = &asked->transactional_id;
	size_t count;

	transaction_refusal_fill(request, KAFKA_OPERATION_NOT_ATTEMPTED);
	if (request->rc < 0 || !check_rows(transactions, request)) {
		transactions_answer(transactions, id, request);
		return;
	}
	struct addition *additions = additions_of(request, &count);
	int rc = additions ? add(transaction_find(transactions, id), asked->producer_id,
				 asked->producer_epoch, additions, count, 0)
			   : -ENOMEM;
	transactions_answer_rc(transactions, id, request, rc);
}

/* ---- the offsets of groups ---- */

static struct addition offsets_of(const struct transactions *transactions,
				  const struct kafka_string *group_id)
{
	return (struct addition){
		.topic = kafka_string_of(OFFSETS_TOPIC),
		.partition = transactions->options.offsets_partition(transactions->options.context,
								     group_id),
	};
}

void transactions_add_offsets(struct transactions *transactions, struct control_request *request)
{
	const struct kafka_add_offsets_to_txn_request *asked = request->request;
	const struct kafka_string *id = &asked->transactional_id;
	struct addition offsets = offsets_of(transactions, &asked->group_id);
	int rc = add(transaction_find(transactions, id), asked->producer_id, asked->producer_epoch,
		     &offsets, 1, 0);

	transactions_answer_rc(transactions, id, request, rc);
}

enum { FIRST_THAT_ADDS = 5 };

static int admit(struct transactions *transactions, const struct control_request *request)
{
	const struct kafka_txn_offset_commit_request *asked = request->request;
	const struct kafka_string *id = &asked->transactional_id;

	if (id->length <= 0)
		return -ERR_BAD_REQUEST;
	int rc = transactions_ready(transactions, id);
	if (rc < 0)
		return rc;
	struct addition offsets = offsets_of(transactions, &asked->group_id);
	struct transaction *transaction = transaction_find(transactions, id);
	return request->version >= FIRST_THAT_ADDS
		       ? add(transaction, asked->producer_id, asked->producer_epoch, &offsets, 1,
			     TRANSACTION_VERSION_2)
		       : verify(transaction, asked->producer_id, asked->producer_epoch, &offsets);
}

void transactions_admit_offsets(struct transactions *transactions, struct control_request *request,
				void (*admitted)(void *context, struct control_request *request))
{
	const struct kafka_txn_offset_commit_request *asked = request->request;
	int rc = admit(transactions, request);

	if (rc < 0)
		transactions_answer_rc(transactions, &asked->transactional_id, request, rc);
	else
		transactions_pass_on(transactions, &asked->transactional_id, request, admitted);
}
