/* The coordinator's topics: which state machine each is the memory of, and what holds for both. */
#include "control/coordinator_internal.h"

#include "base/bytes.h"
#include "control/config.h"
#include "control/groups/groups.h"
#include "control/transactions/transactions.h"
#include "dataplane/topics.h"

#include <string.h>

/* ---- the state machines as a log sees them ---- */

static void groups_load_begins(void *groups, int32_t partition)
{
	groups_begin_load(groups, partition);
}

static int groups_record(void *groups, int32_t partition, const struct record *record,
			 int64_t timestamp_ms, char *why, size_t why_bytes)
{
	return groups_replay(groups, partition, record, timestamp_ms, why, why_bytes);
}

static void groups_load_ends(void *groups, int32_t partition)
{
	groups_end_load(groups, partition);
}

static int groups_write_anew(void *groups, int32_t partition)
{
	return groups_rewrite(groups, partition);
}

static size_t groups_records(const void *groups, int32_t partition)
{
	return groups_live_records(groups, partition);
}

static void transactions_load_begins(void *transactions, int32_t partition)
{
	transactions_begin_load(transactions, partition);
}

static int transactions_record(void *transactions, int32_t partition, const struct record *record,
			       int64_t timestamp_ms, char *why, size_t why_bytes)
{
	return transactions_replay(transactions, partition, record, timestamp_ms, why, why_bytes);
}

static void transactions_load_ends(void *transactions, int32_t partition)
{
	transactions_end_load(transactions, partition);
}

static int transactions_write_anew(void *transactions, int32_t partition)
{
	return transactions_rewrite(transactions, partition);
}

static size_t transactions_records(const void *transactions, int32_t partition)
{
	return transactions_live_records(transactions, partition);
}

void coordinator_topics_start(struct coordinator *coordinator)
{
	const struct coordinator_log_state states[] = {
		[INTERNAL_OFFSETS] =
			{
				.begin_load = groups_load_begins,
				.replay = groups_record,
				.end_load = groups_load_ends,
				.rewrite = groups_write_anew,
				.live_records = groups_records,
				.context = coordinator->groups,
			},
		[INTERNAL_TRANSACTIONS] =
			{
				.begin_load = transactions_load_begins,
				.replay = transactions_record,
				.end_load = transactions_load_ends,
				.rewrite = transactions_write_anew,
				.live_records = transactions_records,
				.context = coordinator->transactions,
			},
	};

	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		coordinator_log_start(coordinator->topics[i].log, &states[i],
				      coordinator->options.topics[i].exists);
}

/* ---- what a log needs ---- */

static void send_to_shard(void *context, unsigned shard, struct message *message)
{
	struct state_topic *topic = context;

	coordinator_send(topic->coordinator, shard, message);
}

static void wish_granted(struct message *message, void *receiver)
{
	struct state_topic *topic = container_of(message, struct state_topic, wish.message);

	(void)receiver;
	topic->wishing = false;
	if (topic->wish.rc < 0)
		coordinator_log_refused(topic->log, topic->wish.rc);
}

static void wish_for_topic(void *context)
{
	struct state_topic *topic = context;
	struct coordinator *coordinator = topic->coordinator;

	/* A picture that was on its way has come before: its own is still to come. */
	if (topic->wishing)
		return;
	topic->wishing = true;
	topic->wish = (struct coordinator_wish){
		.message.handle = coordinator->options.wish,
		.granted = wish_granted,
		.topic = topic->topic,
	};
	coordinator_send(coordinator, mesh_control(coordinator->options.mesh),
			 &topic->wish.message);
}

static int open_topic(struct coordinator *coordinator, enum internal_topic which,
		      int64_t rewrite_bytes)
{
	const struct coordinator_options *options = &coordinator->options;
	struct state_topic *topic = &coordinator->topics[which];
	const struct coordinator_log_options log_options = {
		.clock = coordinator->clock,
		.topic = internal_topic_name(which),
		.partition_count = options->topics[which].partition_count,
		.rewrite_bytes_min = (uint64_t)rewrite_bytes,
		.shard_count = options->shard_count,
		.sender = coordinator->self,
		.send = send_to_shard,
		.create_topic = wish_for_topic,
		.context = topic,
	};

	topic->coordinator = coordinator;
	topic->topic = which;
	return coordinator_log_new(&topic->log, &log_options);
}

int coordinator_topics_open(struct coordinator *coordinator)
{
	const struct config *config = coordinator->options.config;
	int rc = open_topic(coordinator, INTERNAL_OFFSETS, config->offsets_topic_rewrite_bytes);

	if (rc == 0)
		rc = open_topic(coordinator, INTERNAL_TRANSACTIONS,
				config->transaction_state_log_rewrite_bytes);
	return rc;
}

/* ---- of all ---- */

void coordinator_topics_set(struct coordinator *coordinator, const struct topics *topics)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++) {
		const char *name = internal_topic_name(i);
		coordinator_log_set_topic(coordinator->topics[i].log,
					  topics_find(topics, name, strlen(name)));
	}
}

void coordinator_topics_call_end(struct coordinator *coordinator)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		coordinator_log_call_end(coordinator->topics[i].log);
}

uint64_t coordinator_topics_turn(struct coordinator *coordinator)
{
	uint64_t due_ns = UINT64_MAX;

	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++) {
		uint64_t log_ns = coordinator_log_turn(coordinator->topics[i].log);
		due_ns = log_ns < due_ns ? log_ns : due_ns;
	}
	return due_ns;
}

void coordinator_topics_stop(struct coordinator *coordinator)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		coordinator_log_stop(coordinator->topics[i].log);
}

bool coordinator_topics_idle(const struct coordinator *coordinator)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++) {
		if (!coordinator_log_idle(coordinator->topics[i].log))
			return false;
	}
	return true;
}

void coordinator_topics_abandon(struct coordinator *coordinator)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		coordinator_log_abandon(coordinator->topics[i].log);
}

void coordinator_topics_free(struct coordinator *coordinator)
{
	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		coordinator_log_free(coordinator->topics[i].log);
}
