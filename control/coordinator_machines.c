/* The groups and the transactions of the coordinator: what they are told, and what they ask for.
 *
 * Whatever calls them ends with coordinator_topics_call_end: the records of a call are stored
 * together. */
#include "control/coordinator_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/group_lag.h"
#include "control/groups/groups.h"
#include "control/transactions/transactions.h"
#include "dataplane/shard.h"
#include "dataplane/share/share_ask.h"
#include "dataplane/transaction_ask.h"
#include "kafka_messages.h"

/* ---- what they answer and ask for ---- */

static void answer(void *context, struct control_request *request)
{
	request->message.handle = request->answered;
	coordinator_send(context, request->shard_index, &request->message);
}

static void share_answer(void *context, struct share_ask *ask)
{
	ask->message.handle = ask->done;
	coordinator_send(context, ask->shard_index, &ask->message);
}

static void transaction_answer(void *context, struct transaction_ask *ask)
{
	ask->message.handle = ask->done;
	coordinator_send(context, ask->shard_index, &ask->message);
}

static void send_marker(void *context, unsigned shard, struct message *message)
{
	coordinator_send(context, shard, message);
}

static void ids_given(struct message *message, void *receiver)
{
	const struct coordinator_ids *ids = container_of(message, struct coordinator_ids, message);
	struct coordinator *coordinator = receiver;

	coordinator->wants_ids = false;
	transactions_give_producer_ids(coordinator->transactions, ids->first, ids->count, ids->rc);
	coordinator_topics_call_end(coordinator);
}

static void want_ids(void *context)
{
	struct coordinator *coordinator = context;

	if (coordinator->wants_ids)
		return;
	coordinator->wants_ids = true;
	coordinator->ids = (struct coordinator_ids){
		.message.handle = coordinator->options.ids,
		.given = ids_given,
	};
	coordinator_send(coordinator, mesh_control(coordinator->options.mesh),
			 &coordinator->ids.message);
}

static int32_t offsets_partition(void *context, const struct kafka_string *group_id)
{
	const struct coordinator *coordinator = context;

	return groups_partition_of(coordinator->groups, group_id);
}

static int end_offsets(void *context, int32_t partition, int64_t producer_id, bool commit,
		       struct state_wait *wait)
{
	struct coordinator *coordinator = context;

	return groups_end_transaction(coordinator->groups, partition, producer_id, commit, wait);
}

static struct state_log *log_of(struct coordinator *coordinator, enum internal_topic topic)
{
	return coordinator_log_seam(coordinator->topics[topic].log);
}

static int open_groups(struct coordinator *coordinator)
{
	const struct groups_options options = {
		.config = coordinator->options.config,
		.clock = coordinator->clock,
		.log = log_of(coordinator, INTERNAL_OFFSETS),
		.answer = answer,
		.share_answer = share_answer,
		.context = coordinator,
	};
	int32_t count = coordinator->options.topics[INTERNAL_OFFSETS].partition_count;
	int rc = groups_new(&coordinator->groups, &options);

	return rc < 0 ? rc : groups_set_partitions(coordinator->groups, count);
}

static int open_transactions(struct coordinator *coordinator)
{
	const struct transactions_options options = {
		.config = coordinator->options.config,
		.clock = coordinator->clock,
		.log = log_of(coordinator, INTERNAL_TRANSACTIONS),
		.shard_count = coordinator->options.shard_count,
		.sender = coordinator->self,
		.send = send_marker,
		.answer = answer,
		.ask_answer = transaction_answer,
		.want_producer_ids = want_ids,
		.offsets_partition = offsets_partition,
		.end_offsets = end_offsets,
		.context = coordinator,
	};
	int32_t count = coordinator->options.topics[INTERNAL_TRANSACTIONS].partition_count;
	int rc = transactions_new(&coordinator->transactions, &options);

	return rc < 0 ? rc : transactions_set_partitions(coordinator->transactions, count);
}

int coordinator_machines_open(struct coordinator *coordinator)
{
	int rc = open_groups(coordinator);

	return rc < 0 ? rc : open_transactions(coordinator);
}

/* ---- what they are told ---- */

static void to_groups(struct coordinator *coordinator, struct control_request *request)
{
	groups_handle(coordinator->groups, request);
}

static void to_transactions(struct coordinator *coordinator, struct control_request *request)
{
	transactions_handle(coordinator->transactions, request);
}

static void admitted(void *context, struct control_request *request)
{
	to_groups(context, request);
}

/* Both have their say: whether the transaction is open, and whether the group takes them. */
static void to_admission(struct coordinator *coordinator, struct control_request *request)
{
	transactions_admit_offsets(coordinator->transactions, request, admitted);
}

void coordinator_request_handle(struct message *message, void *receiver)
{
	static const struct {
		int16_t key;
		void (*handle)(struct coordinator *coordinator, struct control_request *request);
	} routes[] = {
		{KAFKA_INIT_PRODUCER_ID, to_transactions},
		{KAFKA_ADD_PARTITIONS_TO_TXN, to_transactions},
		{KAFKA_ADD_OFFSETS_TO_TXN, to_transactions},
		{KAFKA_END_TXN, to_transactions},
		{KAFKA_DESCRIBE_TRANSACTIONS, to_transactions},
		{KAFKA_LIST_TRANSACTIONS, to_transactions},
		{KAFKA_TXN_OFFSET_COMMIT, to_admission},
	};
	struct control_request *request = container_of(message, struct control_request, message);
	struct coordinator *coordinator = receiver;
	void (*handle)(struct coordinator *, struct control_request *) = to_groups;

	for (size_t i = 0; i < array_count(routes); i++) {
		if (routes[i].key == request->api->key)
			handle = routes[i].handle;
	}
	handle(coordinator, request);
	coordinator_topics_call_end(coordinator);
}

void coordinator_share_handle(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	groups_share(coordinator->groups, container_of(message, struct share_ask, message));
	coordinator_topics_call_end(coordinator);
}

void coordinator_transaction_handle(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	transactions_ask(coordinator->transactions,
			 container_of(message, struct transaction_ask, message));
	coordinator_topics_call_end(coordinator);
}

static void send_back(struct coordinator *coordinator, struct message *message,
		      void (*handle)(struct message *message, void *control))
{
	message->handle = handle;
	coordinator_send(coordinator, mesh_control(coordinator->options.mesh), message);
}

void coordinator_publish_handle(struct message *message, void *receiver)
{
	struct shard_publish *publish = container_of(message, struct shard_publish, message);
	struct coordinator *coordinator = receiver;

	groups_set_topics(coordinator->groups, publish->topics);
	transactions_set_topics(coordinator->transactions, publish->topics);
	coordinator_topics_call_end(coordinator);
	coordinator_topics_set(coordinator, publish->topics);
	send_back(coordinator, message, publish->published);
}

void coordinator_configure_handle(struct message *message, void *receiver)
{
	const struct coordinator_configure *configure =
		container_of(message, struct coordinator_configure, message);
	struct coordinator *coordinator = receiver;

	coordinator->options.config = configure->config;
	groups_set_config(coordinator->groups, configure->config);
	transactions_set_config(coordinator->transactions, configure->config);
	send_back(coordinator, message, configure->configured);
}

void coordinator_ping_handle(struct message *message, void *receiver)
{
	const struct shard_ping *ping = container_of(message, struct shard_ping, message);

	send_back(receiver, message, ping->turned);
}

void coordinator_stop_handle(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	coordinator->stop = container_of(message, struct coordinator_stop, message);
	coordinator->stop_ns = clock_monotonic_ns(coordinator->clock) +
			       coordinator->stop->drain_ms * NS_PER_MS;
	transactions_stop(coordinator->transactions);
	groups_stop(coordinator->groups);
	coordinator_topics_stop(coordinator);
	if (coordinator->lag)
		group_lag_stop(coordinator->lag);
}
