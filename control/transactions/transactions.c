/* All transactional ids: the phases of their partitions, and from a request to its handler.
 *
 *     transactions_handle -> is its id's partition loaded? -> the handler of its API
 *     transactions_ask    -> partitions.c
 *     transactions_replay -> records.c
 *     transactions_turn   -> the wheel: time-outs, markers that are sent again
 *
 * Answers leave by answers.c, when what they rest on is durable; refusals.c makes them of an error
 * alone. */
#include "control/transactions/transactions_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/uuid.h"
#include "control/groups/group.h"

#include <errno.h>
#include <stdlib.h>

#define TICK_NS NS_PER_MS
#define SCRATCH_BYTES_MAX ((size_t)64 << 20)

/* ---- life ---- */

int transactions_new(struct transactions **ret, const struct transactions_options *options)
{
	struct transactions *transactions = calloc(1, sizeof(*transactions));
	struct uuid random = uuid_random();

	if (!transactions)
		return -ENOMEM;
	transactions->shards = calloc(options->shard_count, sizeof(struct marker_shard));
	if (!transactions->shards) {
		free(transactions);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < options->shard_count; i++)
		list_init(&transactions->shards[i].waiting);
	transactions->options = *options;
	transactions->hash_seed = load_be64(random.bytes);
	list_init(&transactions->id_waits);
	arena_init(&transactions->scratch, SCRATCH_BYTES_MAX);
	arena_init(&transactions->draft, SCRATCH_BYTES_MAX);
	timer_wheel_init(&transactions->wheel, transactions_now_ns(transactions), TICK_NS);
	*ret = transactions;
	return 0;
}

static void drop_partition(struct transaction_partition *partition)
{
	list_foreach_safe(node, after, &partition->transactions)
		transaction_drop(container_of(node, struct transaction, link));
}

/* Ids stay in memory until transactions_free: their records may still be on the way. */
void transactions_stop(struct transactions *transactions)
{
	transactions->stopping = true;
	producer_ids_stop(transactions);
}

bool transactions_idle(const struct transactions *transactions)
{
	return transactions->in_flight == 0;
}

void transactions_free(struct transactions *transactions)
{
	if (!transactions)
		return;
	check(transactions_idle(transactions));
	check(list_empty(&transactions->id_waits));
	for (int32_t i = 0; i < transactions->partition_count; i++)
		drop_partition(&transactions->partitions[i]);
	arena_fini(&transactions->scratch);
	arena_fini(&transactions->draft);
	free(transactions->partitions);
	free(transactions->table);
	free(transactions->shards);
	free(transactions);
}

int64_t transactions_wall_ms(const struct transactions *transactions)
{
	return clock_wall_ms(transactions->options.clock);
}

uint64_t transactions_now_ns(const struct transactions *transactions)
{
	return clock_monotonic_ns(transactions->options.clock);
}

uint64_t transactions_turn(struct transactions *transactions)
{
	if (transactions->stopping)
		return UINT64_MAX;
	timer_wheel_run(&transactions->wheel, transactions_now_ns(transactions));
	return timer_wheel_next_ns(&transactions->wheel);
}

void transactions_set_topics(struct transactions *transactions, const struct topics *topics)
{
	transactions->topics = topics;
}

void transactions_set_config(struct transactions *transactions, const struct config *config)
{
	transactions->options.config = config;
}

/* ---- the partitions of __transaction_state ---- */

int transactions_set_partitions(struct transactions *transactions, int32_t count)
{
	check(count > 0);
	check(!transactions->partitions);
	transactions->partitions = calloc((size_t)count, sizeof(struct transaction_partition));
	if (!transactions->partitions)
		return -ENOMEM;
	transactions->partition_count = count;
	for (int32_t i = 0; i < count; i++)
		list_init(&transactions->partitions[i].transactions);
	return 0;
}

void transactions_begin_load(struct transactions *transactions, int32_t partition)
{
	transactions->partitions[partition].phase = TRANSACTIONS_LOADING;
	drop_partition(&transactions->partitions[partition]);
}

void transactions_end_load(struct transactions *transactions, int32_t index)
{
	struct transaction_partition *partition = &transactions->partitions[index];

	check(partition->phase == TRANSACTIONS_LOADING);
	partition->phase = TRANSACTIONS_LOADED;
	list_foreach_safe(node, after, &partition->transactions) {
		struct transaction *transaction = container_of(node, struct transaction, link);
		if (transaction_prepared(transaction))
			transaction_go_on(transaction);
		else
			transaction_arm_loaded(transaction);
	}
}

/* ---- requests ---- */

struct handler {
	int16_t key;
	void (*handle)(struct transactions *transactions, struct control_request *request);
	size_t id_at; /* of the request's transactional_id, or NO_ID where it names several */
};

#define NO_ID SIZE_MAX
#define ONE_ID(api) offsetof(struct kafka_##api##_request, transactional_id)

static const struct handler handlers[] = {
	{KAFKA_INIT_PRODUCER_ID, transactions_init_producer_id, ONE_ID(init_producer_id)},
	{KAFKA_ADD_PARTITIONS_TO_TXN, transactions_add_partitions, ONE_ID(add_partitions_to_txn)},
	{KAFKA_ADD_OFFSETS_TO_TXN, transactions_add_offsets, ONE_ID(add_offsets_to_txn)},
	{KAFKA_END_TXN, transactions_end, ONE_ID(end_txn)},
	{KAFKA_DESCRIBE_TRANSACTIONS, transactions_describe, NO_ID},
	{KAFKA_LIST_TRANSACTIONS, transactions_list, NO_ID},
};

static const struct handler *handler_of(const struct control_request *request)
{
	for (size_t i = 0; i < array_count(handlers); i++) {
		if (handlers[i].key == request->api->key)
			return &handlers[i];
	}
	check(!"an API is described as served by the coordinator but has no handler");
	return NULL;
}

int transactions_ready(const struct transactions *transactions, const struct kafka_string *id)
{
	if (transactions->stopping || !transactions->partitions)
		return -ERR_NO_COORDINATOR;
	int32_t partition = group_partition_of(id, transactions->partition_count);
	return transactions->partitions[partition].phase == TRANSACTIONS_LOADED ? 0 : -ERR_LOADING;
}

void transactions_handle(struct transactions *transactions, struct control_request *request)
{
	const struct handler *handler = handler_of(request);
	int rc = transactions->stopping ? -ERR_NO_COORDINATOR : 0;

	if (rc == 0 && handler->id_at != NO_ID) {
		const struct kafka_string *id =
			(const void *)((const char *)request->request + handler->id_at);
		rc = id->length <= 0 ? -ERR_BAD_REQUEST : transactions_ready(transactions, id);
	}
	if (rc < 0)
		transactions_refuse_now(transactions, request, transaction_error(request, rc));
	else
		handler->handle(transactions, request);
}
