/* The answer that consists of one error, for every API and all that was asked; and which error of
 * the protocol each of ours is, as that depends on the API and its version. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/groups.h"

#include <errno.h>

/* ---- the codes ---- */

enum {
	FIRST_FENCED = 2,      /* AddPartitionsToTxn, AddOffsetsToTxn, EndTxn: PRODUCER_FENCED */
	FIRST_FENCED_INIT = 4, /* InitProducerId */
	FIRST_ABORTABLE = 4,   /* TxnOffsetCommit: TRANSACTION_ABORTABLE */
	FIRST_CONCURRENT = 5,  /* TxnOffsetCommit: CONCURRENT_TRANSACTIONS is tried again */
};

static enum kafka_error fenced(const struct control_request *request)
{
	int16_t first = FIRST_FENCED;

	if (request->api->key == KAFKA_INIT_PRODUCER_ID)
		first = FIRST_FENCED_INIT;
	if (request->api->key == KAFKA_TXN_OFFSET_COMMIT)
		first = INT16_MAX; /* a group's coordinator does not say so in any version */
	return request->version < first ? KAFKA_INVALID_PRODUCER_EPOCH : KAFKA_PRODUCER_FENCED;
}

enum kafka_error transaction_error(const struct control_request *request, int rc)
{
	bool offsets = request->api->key == KAFKA_TXN_OFFSET_COMMIT;

	if (rc == -ERR_PRODUCER_FENCED)
		return fenced(request);
	if (rc == -ENOMEM)
		return KAFKA_COORDINATOR_NOT_AVAILABLE;
	if (offsets && rc == -ERR_CONCURRENT_TXNS && request->version < FIRST_CONCURRENT)
		return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	if (offsets && rc == -ERR_TXN_STATE && request->version >= FIRST_ABORTABLE)
		return KAFKA_TRANSACTION_ABORTABLE;
	return (enum kafka_error)kafka_code_of(rc);
}

/* ---- the answers; each fills a response that has just been initialised.  -ENOMEM. ---- */

static int refuse_init_producer_id(struct control_request *request, enum kafka_error error)
{
	struct kafka_init_producer_id_response *response = request->response;

	response->error_code = (int16_t)error;
	response->producer_epoch = -1;
	return 0;
}

static int refuse_add_offsets(struct control_request *request, enum kafka_error error)
{
	((struct kafka_add_offsets_to_txn_response *)request->response)->error_code =
		(int16_t)error;
	return 0;
}

static int refuse_end(struct control_request *request, enum kafka_error error)
{
	((struct kafka_end_txn_response *)request->response)->error_code = (int16_t)error;
	return 0;
}

static int refuse_list(struct control_request *request, enum kafka_error error)
{
	struct kafka_list_transactions_response *response = request->response;

	/* It asks every broker for what it coordinates: none is the wrong one. */
	response->error_code = error == KAFKA_NOT_COORDINATOR ? KAFKA_COORDINATOR_NOT_AVAILABLE
							      : (int16_t)error;
	return 0;
}

static int refuse_describe(struct control_request *request, enum kafka_error error)
{
	const struct kafka_describe_transactions_request *asked = request->request;
	struct kafka_describe_transactions_response *response = request->response;
	int32_t count = asked->transactional_ids_count;

	response->transaction_states = arena_calloc(request->arena, (size_t)count,
						    sizeof(*response->transaction_states));
	if (!response->transaction_states)
		return -ENOMEM;
	response->transaction_states_count = count;
	for (int32_t i = 0; i < count; i++) {
		kafka_describe_transactions_response_transaction_state_init(
			&response->transaction_states[i]);
		response->transaction_states[i].transactional_id = asked->transactional_ids[i];
		response->transaction_states[i].error_code = (int16_t)error;
	}
	return 0;
}

#define ADDED(what)                                                                                \
	struct kafka_add_partitions_to_txn_response_add_partitions_to_txn_##what##_result

static int refuse_add_partitions(struct control_request *request, enum kafka_error error)
{
	const struct kafka_add_partitions_to_txn_request *asked = request->request;
	struct kafka_add_partitions_to_txn_response *response = request->response;

	response->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
					sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	for (int32_t i = 0; i < asked->topics_count; i++) {
		ADDED(topic) *rows = &response->topics[i];
		int32_t count = asked->topics[i].partitions_count;
		rows->name = asked->topics[i].name;
		rows->partitions = arena_calloc(request->arena, (size_t)count,
						sizeof(ADDED(partition)));
		if (!rows->partitions)
			return -ENOMEM;
		rows->partitions_count = count;
		for (int32_t j = 0; j < count; j++) {
			rows->partitions[j].partition_index = asked->topics[i].partitions[j];
			rows->partitions[j].error_code = (int16_t)error;
		}
		response->topics_count++;
	}
	return 0;
}

void transaction_refusal_fill(struct control_request *request, enum kafka_error error)
{
	static const struct {
		int16_t key;
		int (*fill)(struct control_request *request, enum kafka_error error);
	} refusals[] = {
		{KAFKA_INIT_PRODUCER_ID, refuse_init_producer_id},
		{KAFKA_ADD_PARTITIONS_TO_TXN, refuse_add_partitions},
		{KAFKA_ADD_OFFSETS_TO_TXN, refuse_add_offsets},
		{KAFKA_END_TXN, refuse_end},
		{KAFKA_TXN_OFFSET_COMMIT, txn_offset_commit_refuse},
		{KAFKA_DESCRIBE_TRANSACTIONS, refuse_describe},
		{KAFKA_LIST_TRANSACTIONS, refuse_list},
	};

	request->api->init_response(request->response);
	for (size_t i = 0; i < array_count(refusals); i++) {
		if (refusals[i].key == request->api->key) {
			request->rc = refusals[i].fill(request, error);
			return;
		}
	}
	check(!"an API of the coordinator has no way to be refused");
}
