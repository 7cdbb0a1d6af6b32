/* InitProducerId: a producer takes a transactional id over.
 *
 *     no such id            -> a new producer id, epoch 0
 *     empty or complete     -> the next epoch, or a new producer id where the epochs are used up
 *     ongoing               -> its producer is fenced, the transaction aborted: come again
 *     prepared              -> come again
 *
 * With a producer id and epoch (KIP-360) it is the present producer, who wants to begin afresh
 * after an error: it gets the next epoch, or once more what it was given and did not hear of. */
#include "control/transactions/transactions_internal.h"

#include "base/errors.h"
#include "control/config.h"
#include "dataplane/transaction_ask.h"

#include <errno.h>

#define REQUEST struct kafka_init_producer_id_request

static bool known_producer(const REQUEST *asked)
{
	return asked->producer_id >= 0;
}

/* Its epoch is looked at later. */
static bool may_be_present(const struct transaction_value *value, const REQUEST *asked)
{
	return asked->producer_id == value->producer_id ||
	       (asked->producer_id == value->previous_producer_id &&
		producer_epoch_exhausted(asked->producer_epoch));
}

/* It was given the current epoch, and asks again as it has not heard of it. */
static bool is_retry(const struct transaction_value *value, const REQUEST *asked)
{
	return known_producer(asked) && asked->producer_epoch == value->last_producer_epoch;
}

/* Why it cannot be taken over (now): -ERR_PRODUCER_FENCED, -ERR_CONCURRENT_TXNS. */
static int check_present(const struct transaction *transaction, const REQUEST *asked)
{
	const struct transaction_value *value = &transaction->value;

	if (known_producer(asked)) {
		bool current = asked->producer_id == value->producer_id &&
			       asked->producer_epoch == value->producer_epoch;
		/* Who has begun a transaction has heard of its epoch: then it is no retry but an
		 * old request. */
		bool retry = is_retry(value, asked) && value->state != TRANSACTION_ONGOING;
		if (!may_be_present(value, asked) || (!current && !retry))
			return -ERR_PRODUCER_FENCED;
	}
	return transaction_prepared(transaction) ? -ERR_CONCURRENT_TXNS : 0;
}

static void answer(struct transactions *transactions, struct control_request *request,
		   const struct transaction *transaction)
{
	const REQUEST *asked = request->request;
	struct kafka_init_producer_id_response *response = request->response;

	response->producer_id = transaction->value.producer_id;
	response->producer_epoch = transaction->value.producer_epoch;
	transactions_answer(transactions, &asked->transactional_id, request);
}

/* Epoch 0 of a new producer id.  False: `request` waits for one. */
static bool rotate(struct transactions *transactions, struct control_request *request,
		   struct transaction_value *value)
{
	const REQUEST *asked = request->request;
	int64_t former = value->producer_id;

	if (!producer_id_take(transactions, request, &value->producer_id))
		return false;
	value->previous_producer_id = former;
	value->last_producer_epoch = known_producer(asked) ? asked->producer_epoch : -1;
	value->producer_epoch = 0;
	return true;
}

/* `value` is stored, and told. */
static int begin_afresh(struct transactions *transactions, struct control_request *request,
			struct transaction *transaction, struct transaction_value value)
{
	const REQUEST *asked = request->request;

	value.state = TRANSACTION_EMPTY;
	value.client_version = 0;
	value.timeout_ms = asked->transaction_timeout_ms;
	value.start_ms = -1;
	int rc = transaction_store(transaction, value);
	if (rc == 0)
		answer(transactions, request, transaction);
	return rc;
}

/* 0: `request` is answered, or waits. */
static int make(struct transactions *transactions, struct control_request *request)
{
	const REQUEST *asked = request->request;
	int64_t producer_id;

	if (transactions->count >= (size_t)transactions->options.config->transactional_ids_max ||
	    asked->transactional_id.length > TRANSACTIONAL_ID_BYTES_MAX)
		return -ERR_LIMIT;
	if (!producer_id_take(transactions, request, &producer_id))
		return 0;
	struct transaction *transaction = transaction_obtain(transactions,
							     &asked->transactional_id);
	if (!transaction)
		return -ENOMEM;
	struct transaction_value value = transaction->value;
	value.producer_id = producer_id;
	value.producer_epoch = 0;
	int rc = begin_afresh(transactions, request, transaction, value);
	if (rc < 0)
		transaction_drop(transaction);
	return rc;
}

/* Of one that is empty or complete, likewise. */
static int take_over(struct transactions *transactions, struct control_request *request,
		     struct transaction *transaction)
{
	const REQUEST *asked = request->request;
	struct transaction_value value = transaction->value;

	if (is_retry(&value, asked) && value.producer_epoch <= PRODUCER_EPOCH_LAST)
		return begin_afresh(transactions, request, transaction, value);
	if (producer_epoch_exhausted(value.producer_epoch)) {
		if (!rotate(transactions, request, &value))
			return 0;
	} else {
		value.last_producer_epoch = known_producer(asked) ? value.producer_epoch : -1;
		value.producer_epoch++;
	}
	return begin_afresh(transactions, request, transaction, value);
}

static int handle(struct transactions *transactions, struct control_request *request)
{
	const REQUEST *asked = request->request;
	struct transaction *transaction = transaction_find(transactions, &asked->transactional_id);

	if (!transaction)
		return make(transactions, request);
	int rc = check_present(transaction, asked);
	if (rc < 0)
		return rc;
	if (transaction->value.state != TRANSACTION_ONGOING)
		return take_over(transactions, request, transaction);
	/* The present producer, should it be the one, comes again with its old epoch. */
	rc = transaction_fence(transaction,
			       known_producer(asked) ? transaction->value.producer_epoch : -1);
	return rc < 0 ? rc : -ERR_CONCURRENT_TXNS;
}

void transactions_init_producer_id(struct transactions *transactions,
				   struct control_request *request)
{
	const REQUEST *asked = request->request;
	int64_t timeout_max = transactions->options.config->transaction_max_timeout_ms;
	int rc;

	if (asked->transaction_timeout_ms <= 0 || asked->transaction_timeout_ms > timeout_max) {
		transactions_refuse_now(transactions, request, KAFKA_INVALID_TRANSACTION_TIMEOUT);
		return;
	}
	if ((asked->producer_id < 0) != (asked->producer_epoch < 0))
		rc = -ERR_BAD_REQUEST;
	else
		rc = handle(transactions, request);
	if (rc < 0)
		transactions_answer_rc(transactions, &asked->transactional_id, request, rc);
}
