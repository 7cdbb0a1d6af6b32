/* An answer waits, in its request's memory, until what it says is durable. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "control/groups/group.h"
#include "dataplane/transaction_ask.h"

#include <errno.h>
#include <stdlib.h>

struct answer {
	struct state_wait wait;
	struct transactions *transactions;
	struct control_request *request;
	int32_t next; /* the next partition that it rests on, up to: */
	int32_t end;
	void (*durable)(void *context, struct control_request *request);
};

static void wait_on(struct answer *answer);

static void wait_done(struct state_wait *wait, int rc)
{
	struct answer *answer = container_of(wait, struct answer, wait);

	if (rc < 0)
		transactions_refuse_now(answer->transactions, answer->request,
					KAFKA_NOT_COORDINATOR);
	else
		wait_on(answer);
}

/* One partition after the other: there is no haste where there are several. */
static void wait_on(struct answer *answer)
{
	struct transactions *transactions = answer->transactions;
	struct state_log *log = transactions->options.log;

	while (answer->next < answer->end) {
		int32_t partition = answer->next++;
		if (transactions->partitions[partition].phase != TRANSACTIONS_LOADED)
			continue;
		log->ops->after(log, partition, &answer->wait);
		return;
	}
	answer->durable(transactions->options.context, answer->request);
}

static void answer_after(struct transactions *transactions, int32_t first, int32_t end,
			 struct control_request *request,
			 void (*durable)(void *context, struct control_request *request))
{
	struct answer *answer = arena_calloc(request->arena, 1, sizeof(*answer));

	if (!answer) {
		request->rc = -ENOMEM;
		transactions->options.answer(transactions->options.context, request);
		return;
	}
	*answer = (struct answer){
		.wait.done = wait_done,
		.transactions = transactions,
		.request = request,
		.next = first,
		.end = end,
		.durable = durable,
	};
	wait_on(answer);
}

void transactions_pass_on(struct transactions *transactions, const struct kafka_string *id,
			  struct control_request *request,
			  void (*durable)(void *context, struct control_request *request))
{
	int32_t partition = group_partition_of(id, transactions->partition_count);

	answer_after(transactions, partition, partition + 1, request, durable);
}

void transactions_answer(struct transactions *transactions, const struct kafka_string *id,
			 struct control_request *request)
{
	transactions_pass_on(transactions, id, request, transactions->options.answer);
}

void transactions_answer_all(struct transactions *transactions, struct control_request *request)
{
	answer_after(transactions, 0, transactions->partition_count, request,
		     transactions->options.answer);
}

void transactions_answer_rc(struct transactions *transactions, const struct kafka_string *id,
			    struct control_request *request, int rc)
{
	transaction_refusal_fill(request, transaction_error(request, rc));
	if (transactions_ready(transactions, id) < 0)
		transactions->options.answer(transactions->options.context, request);
	else
		transactions_answer(transactions, id, request);
}

void transactions_refuse_now(struct transactions *transactions, struct control_request *request,
			     enum kafka_error error)
{
	transaction_refusal_fill(request, error);
	transactions->options.answer(transactions->options.context, request);
}

/* ---- asks ---- */

struct ask_wait {
	struct state_wait wait;
	struct transactions *transactions;
	struct transaction_ask *ask;
};

static void answer_ask_now(struct transactions *transactions, struct transaction_ask *ask, int rc)
{
	ask->rc = rc;
	transactions->options.ask_answer(transactions->options.context, ask);
}

static void ask_durable(struct state_wait *wait, int rc)
{
	struct ask_wait *waiting = container_of(wait, struct ask_wait, wait);
	struct transactions *transactions = waiting->transactions;
	struct transaction_ask *ask = waiting->ask;

	free(waiting);
	answer_ask_now(transactions, ask, rc < 0 ? -ERR_LOADING : ask->rc);
}

void transactions_answer_ask(struct transactions *transactions, struct transaction_ask *ask, int rc)
{
	struct state_log *log = transactions->options.log;

	if (transactions_ready(transactions, &ask->transactional_id) < 0) {
		answer_ask_now(transactions, ask, rc);
		return;
	}
	struct ask_wait *waiting = malloc(sizeof(*waiting));
	if (!waiting) {
		answer_ask_now(transactions, ask, -ENOMEM);
		return;
	}
	*waiting = (struct ask_wait){
		.wait.done = ask_durable, .transactions = transactions, .ask = ask};
	ask->rc = rc;
	log->ops->after(log,
			group_partition_of(&ask->transactional_id, transactions->partition_count),
			&waiting->wait);
}
