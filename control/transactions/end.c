/* The end of a transaction: EndTxn, and what follows from it or from a time-out.
 *
 *     ongoing -> prepared, stored -> durable: markers -> all are back: complete, stored
 *
 * Once `prepared` is durable the outcome stands; whatever happens then, the markers go to all
 * partitions, again after a restart.  With transaction.version 2 (EndTxn from version 5 on) every
 * end gives the producer its next epoch, which the markers have already: what it sent before and
 * comes late is refused by the partitions. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/errors.h"

/* ---- from prepared to complete ---- */

void transaction_go_on(struct transaction *transaction)
{
	if (transaction->transactions->stopping)
		return;
	if (markers_send(transaction) < 0)
		transaction_arm_retry(transaction);
}

static void prepared_durable(struct state_wait *wait, int rc)
{
	struct transaction *transaction = container_of(wait, struct transaction, prepared);

	if (rc == 0)
		transaction_go_on(transaction); /* else it will be read anew */
}

int transaction_prepare(struct transaction *transaction, struct transaction_value value)
{
	struct state_log *log = transaction->transactions->options.log;
	int rc = transaction_store(transaction, value);

	if (rc < 0)
		return rc;
	transaction->prepared.done = prepared_durable;
	log->ops->after(log, transaction->partition, &transaction->prepared);
	return 0;
}

int transaction_fence(struct transaction *transaction, int16_t last_epoch)
{
	struct transaction_value value = transaction->value;

	value.state = TRANSACTION_PREPARE_ABORT;
	value.producer_epoch = producer_epoch_bumped(value.producer_epoch);
	value.last_producer_epoch = last_epoch;
	/* Its producer did not end it: a late EndTxn is no retry of this. */
	value.client_version = 0;
	return transaction_prepare(transaction, value);
}

void transaction_complete(struct transaction *transaction)
{
	struct transaction_value value = transaction->value;

	/* After the stop nothing is stored: the next start tells the partitions once more. */
	if (transaction->transactions->stopping)
		return;
	value.state = value.state == TRANSACTION_PREPARE_COMMIT ? TRANSACTION_COMPLETE_COMMIT
								: TRANSACTION_COMPLETE_ABORT;
	if (value.next_producer_id >= 0) {
		value.previous_producer_id = value.producer_id;
		value.producer_id = value.next_producer_id;
		value.next_producer_id = -1;
		value.producer_epoch = 0;
	}
	/* The markers come again, which does no harm. */
	if (transaction_store(transaction, value) < 0)
		transaction_arm_retry(transaction);
	else
		topic_partitions_clear(&transaction->partitions);
}

/* ---- EndTxn ---- */

enum { FIRST_WITH_EPOCHS = 5 };

struct ending {
	const struct kafka_end_txn_request *asked;
	bool version_2; /* of transaction.version */
	bool ended;     /* asked before, and heard: only the answer was lost */
};

static bool is_complete(const struct transaction_value *value)
{
	return value->state == TRANSACTION_COMPLETE_COMMIT ||
	       value->state == TRANSACTION_COMPLETE_ABORT;
}

/* The request has been here before: the epoch is the one before that end. */
static bool has_ended(const struct transaction *transaction,
		      const struct kafka_end_txn_request *asked)
{
	const struct transaction_value *value = &transaction->value;
	bool complete = is_complete(value);

	if (value->client_version < TRANSACTION_VERSION_2 ||
	    !(complete || transaction_prepared(transaction)))
		return false;
	if (asked->producer_id == value->producer_id)
		return asked->producer_epoch < INT16_MAX &&
		       asked->producer_epoch + 1 == value->producer_epoch;
	return complete && asked->producer_id == value->previous_producer_id &&
	       asked->producer_epoch == PRODUCER_EPOCH_LAST && value->producer_epoch == 0;
}

/* Of a transaction that is over, or was never begun.  0: nothing remains to be done; 1: there is an
 * end of nothing to be stored, as a producer may abort without knowing whether anything of it was
 * added. */
static int end_over(const struct transaction_value *value, const struct ending *ending)
{
	enum transaction_state same = ending->asked->committed ? TRANSACTION_COMPLETE_COMMIT
							       : TRANSACTION_COMPLETE_ABORT;

	if (ending->version_2 && !ending->ended)
		return ending->asked->committed ? -ERR_TXN_STATE : 1;
	return value->state == same ? 0 : -ERR_TXN_STATE;
}

/* 1: it is to be ended now; 0: it has been; else why neither. */
static int may_end(const struct transaction *transaction, const struct ending *ending)
{
	const struct transaction_value *value = &transaction->value;
	enum transaction_state prepared = ending->asked->committed ? TRANSACTION_PREPARE_COMMIT
								   : TRANSACTION_PREPARE_ABORT;

	if (transaction_prepared(transaction))
		return value->state == prepared ? -ERR_CONCURRENT_TXNS : -ERR_TXN_STATE;
	return value->state == TRANSACTION_ONGOING ? 1 : end_over(value, ending);
}

/* False: `request` waits for a producer id. */
static bool next_epoch(struct transactions *transactions, struct control_request *request,
		       struct transaction_value *value)
{
	if (producer_epoch_exhausted(value->producer_epoch) &&
	    !producer_id_take(transactions, request, &value->next_producer_id))
		return false;
	value->last_producer_epoch = value->producer_epoch;
	value->producer_epoch = producer_epoch_bumped(value->producer_epoch);
	return true;
}

/* 1: prepared; 0: `request` waits. */
static int end_now(struct control_request *request, struct transaction *transaction,
		   const struct ending *ending)
{
	struct transactions *transactions = transaction->transactions;
	struct transaction_value value = transaction->value;

	if (value.state != TRANSACTION_ONGOING)
		value.start_ms = transactions_wall_ms(transactions);
	value.state = ending->asked->committed ? TRANSACTION_PREPARE_COMMIT
					       : TRANSACTION_PREPARE_ABORT;
	value.client_version = ending->version_2 ? TRANSACTION_VERSION_2 : 0;
	if (ending->version_2 && !next_epoch(transactions, request, &value))
		return 0;
	int rc = transaction_prepare(transaction, value);
	return rc < 0 ? rc : 1;
}

/* What the producer goes on with. */
static void answer(struct control_request *request, const struct transaction *transaction)
{
	const struct transaction_value *value = &transaction->value;
	const struct kafka_end_txn_request *asked = request->request;
	struct kafka_end_txn_response *response = request->response;
	bool other = value->next_producer_id >= 0;

	response->producer_id = other ? value->next_producer_id : value->producer_id;
	response->producer_epoch = other ? 0 : value->producer_epoch;
	transactions_answer(transaction->transactions, &asked->transactional_id, request);
}

static int end(struct control_request *request, struct transaction *transaction,
	       struct ending *ending)
{
	int rc = transaction_claim(transaction, ending->asked->producer_id,
				   ending->asked->producer_epoch);

	if (rc < 0 && transaction && ending->version_2 && has_ended(transaction, ending->asked)) {
		ending->ended = true;
		rc = 0;
	}
	if (rc == 0)
		rc = may_end(transaction, ending);
	if (rc > 0) {
		rc = end_now(request, transaction, ending);
		if (rc == 0)
			return 0;
	}
	if (rc >= 0)
		answer(request, transaction);
	return rc;
}

void transactions_end(struct transactions *transactions, struct control_request *request)
{
	struct ending ending = {
		.asked = request->request,
		.version_2 = request->version >= FIRST_WITH_EPOCHS,
	};
	const struct kafka_string *id = &ending.asked->transactional_id;
	int rc = end(request, transaction_find(transactions, id), &ending);

	if (rc < 0)
		transactions_answer_rc(transactions, id, request, rc);
}
