/* DescribeTransactions, ListTransactions. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "control/groups/consumer_regex.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int copy_text(struct arena *arena, const struct kafka_string *text, struct kafka_string *ret)
{
	char *copy = arena_strndup(arena, text->data, (size_t)text->length);

	*ret = (struct kafka_string){copy, text->length};
	return copy ? 0 : -ENOMEM;
}

/* ---- DescribeTransactions ---- */

#define DESCRIBED(what) struct kafka_describe_transactions_response_##what

static int describe_topic(const struct partitions_of_topic *topic, struct arena *arena,
			  DESCRIBED(topic_data) * ret)
{
	const struct kafka_string name = {topic->name, topic->name_length};
	size_t bytes = (size_t)topic->count * sizeof(topic->partitions[0]);

	ret->partitions = arena_alloc(arena, bytes);
	if (!ret->partitions)
		return -ENOMEM;
	memcpy(ret->partitions, topic->partitions, bytes);
	ret->partitions_count = topic->count;
	return copy_text(arena, &name, &ret->topic);
}

static int describe_partitions(const struct topic_partitions *set, struct arena *arena,
			       DESCRIBED(transaction_state) * ret)
{
	int rc = 0;

	ret->topics = arena_calloc(arena, set->topic_count, sizeof(*ret->topics));
	if (!ret->topics)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < set->topic_count; i++)
		rc = describe_topic(set->topics[i], arena, &ret->topics[ret->topics_count++]);
	return rc;
}

static int describe_one(const struct transactions *transactions, struct control_request *request,
			const struct kafka_string *id, DESCRIBED(transaction_state) * ret)
{
	int rc = id->length <= 0 ? -ERR_BAD_REQUEST : transactions_ready(transactions, id);
	const struct transaction *transaction = rc < 0 ? NULL : transaction_find(transactions, id);

	kafka_describe_transactions_response_transaction_state_init(ret);
	ret->transactional_id = *id;
	ret->error_code = (int16_t)transaction_error(request, rc);
	if (rc == 0 && !transaction)
		ret->error_code = KAFKA_TRANSACTIONAL_ID_NOT_FOUND;
	if (!transaction)
		return 0;
	ret->transaction_state = kafka_string_of(transaction_state_name(transaction->value.state));
	ret->transaction_timeout_ms = transaction->value.timeout_ms;
	ret->transaction_start_time_ms = transaction->value.start_ms;
	ret->producer_id = transaction->value.producer_id;
	ret->producer_epoch = transaction->value.producer_epoch;
	return describe_partitions(&transaction->partitions, request->arena, ret);
}

void transactions_describe(struct transactions *transactions, struct control_request *request)
{
	const struct kafka_describe_transactions_request *asked = request->request;
	struct kafka_describe_transactions_response *response = request->response;
	int32_t count = asked->transactional_ids_count;

	response->transaction_states = arena_calloc(request->arena, (size_t)count,
						    sizeof(*response->transaction_states));
	request->rc = response->transaction_states ? 0 : -ENOMEM;
	for (int32_t i = 0; request->rc == 0 && i < count; i++)
		request->rc = describe_one(
			transactions, request, &asked->transactional_ids[i],
			&response->transaction_states[response->transaction_states_count++]);
	transactions_answer_all(transactions, request);
}

/* ---- ListTransactions ---- */

struct filter {
	const struct kafka_list_transactions_request *asked;
	bool states[TRANSACTION_STATES];
	int64_t *producers;    /* ascending */
	struct regex *pattern; /* null: any */
	int64_t steps;
	int64_t now_ms;
};

static int find_state(const struct kafka_string *name)
{
	for (int state = 0; state < TRANSACTION_STATES; state++) {
		struct kafka_string known = kafka_string_of(transaction_state_name(state));
		if (kafka_string_equal(&known, name))
			return state;
	}
	return -1;
}

/* Names that are none of a state are given back. */
static int read_states(struct filter *filter, struct control_request *request)
{
	struct kafka_list_transactions_response *response = request->response;
	const struct kafka_list_transactions_request *asked = filter->asked;
	int32_t count = asked->state_filters_count;

	response->unknown_state_filters = arena_calloc(request->arena,
						       (size_t)(count > 0 ? count : 0),
						       sizeof(*response->unknown_state_filters));
	if (!response->unknown_state_filters)
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++) {
		int state = find_state(&asked->state_filters[i]);
		if (state >= 0)
			filter->states[state] = true;
		else
			response->unknown_state_filters[response->unknown_state_filters_count++] =
				asked->state_filters[i];
	}
	return 0;
}

static int compare_producers(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

/* There may be as many as a request has room for: each transaction finds its own. */
static int read_producers(struct filter *filter, struct control_request *request)
{
	int32_t count = filter->asked->producer_id_filters_count;

	if (count <= 0)
		return 0;
	filter->producers = arena_alloc(request->arena, (size_t)count * sizeof(int64_t));
	if (!filter->producers)
		return -ENOMEM;
	memcpy(filter->producers, filter->asked->producer_id_filters,
	       (size_t)count * sizeof(int64_t));
	qsort(filter->producers, (size_t)count, sizeof(int64_t), compare_producers);
	return 0;
}

static bool wanted_producer(const struct filter *filter, int64_t producer_id)
{
	return !filter->producers || bsearch(&producer_id, filter->producers,
					     (size_t)filter->asked->producer_id_filters_count,
					     sizeof(int64_t), compare_producers);
}

static bool runs_longer(const struct transaction *transaction, int64_t now_ms, int64_t than_ms)
{
	int64_t passed;

	return transaction_open(transaction) &&
	       !__builtin_sub_overflow(now_ms, transaction->value.start_ms, &passed) &&
	       passed > than_ms;
}

/* 1: it is to be listed; 0: not; -E2BIG: as regex_match. */
static int wanted(struct filter *filter, const struct transaction *transaction)
{
	const struct kafka_list_transactions_request *asked = filter->asked;

	if (asked->state_filters_count > 0 && !filter->states[transaction->value.state])
		return 0;
	if (!wanted_producer(filter, transaction->value.producer_id))
		return 0;
	if (asked->duration_filter >= 0 &&
	    !runs_longer(transaction, filter->now_ms, asked->duration_filter))
		return 0;
	return filter->pattern ? regex_match(filter->pattern, transaction->id,
					     transaction->id_length, &filter->steps)
			       : 1;
}

static int list_one(struct filter *filter, const struct transaction *transaction,
		    struct control_request *request)
{
	struct kafka_list_transactions_response *response = request->response;
	struct kafka_list_transactions_response_transaction_state *row =
		&response->transaction_states[response->transaction_states_count];
	struct kafka_string id = transaction_id(transaction);
	int rc = wanted(filter, transaction);

	if (rc <= 0)
		return rc;
	row->producer_id = transaction->value.producer_id;
	row->transaction_state = kafka_string_of(transaction_state_name(transaction->value.state));
	response->transaction_states_count++;
	return copy_text(request->arena, &id, &row->transactional_id);
}

static int list_all(const struct transactions *transactions, struct filter *filter,
		    struct control_request *request)
{
	struct kafka_list_transactions_response *response = request->response;
	int rc = 0;

	response->transaction_states = arena_calloc(request->arena, transactions->count,
						    sizeof(*response->transaction_states));
	if (!response->transaction_states)
		return -ENOMEM;
	for (int32_t i = 0; i < transactions->partition_count; i++) {
		list_foreach(node, &transactions->partitions[i].transactions) {
			if (rc == 0)
				rc = list_one(filter, container_of(node, struct transaction, link),
					      request);
		}
	}
	return rc;
}

/* An incomplete list would be taken for the whole. */
static int all_ready(const struct transactions *transactions)
{
	for (int32_t i = 0; i < transactions->partition_count; i++) {
		if (transactions->partitions[i].phase != TRANSACTIONS_LOADED)
			return -ERR_LOADING;
	}
	return transactions->partition_count ? 0 : -ERR_NO_COORDINATOR;
}

/* Negative: -ENOMEM; else the answer's error. */
static int list(struct transactions *transactions, struct control_request *request)
{
	struct filter filter = {
		.asked = request->request,
		.steps = REGEX_STEPS_MAX,
		.now_ms = transactions_wall_ms(transactions),
	};
	const struct kafka_string *pattern = &filter.asked->transactional_id_pattern;
	char why[REGEX_WHY_BYTES];
	int rc = all_ready(transactions);

	if (rc < 0)
		return transaction_error(request, rc);
	if (pattern->length > 0)
		rc = regex_compile(&filter.pattern, pattern, why, sizeof(why));
	if (rc == 0)
		rc = read_states(&filter, request);
	if (rc == 0)
		rc = read_producers(&filter, request);
	if (rc == 0)
		rc = list_all(transactions, &filter, request);
	regex_free(filter.pattern);
	return rc == -EINVAL || rc == -E2BIG ? KAFKA_INVALID_REGULAR_EXPRESSION : rc;
}

void transactions_list(struct transactions *transactions, struct control_request *request)
{
	int rc = list(transactions, request);

	if (rc > 0) {
		transactions_refuse_now(transactions, request, (enum kafka_error)rc);
		return;
	}
	request->rc = rc;
	transactions_answer_all(transactions, request);
}
