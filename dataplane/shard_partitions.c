/* A new picture of the topics: opens what is new and ours, applies configs, closes what is gone. */
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/partition_append.h"
#include "dataplane/share/share.h"
#include "dataplane/shard_internal.h"
#include "dataplane/tcp/conn.h"
#include "dataplane/transaction_gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int open_partition(struct shard *shard, const struct topics *topics,
			  const struct topic *topic, int32_t index, char *why, size_t why_bytes)
{
	struct partition *partition = calloc(1, sizeof(*partition));
	struct log_identity identity = {
		.topic_id = topic->id,
		.partition = index,
		.leader_epoch = topics->leader_epoch,
	};
	int rc = -ENOMEM;

	if (!partition)
		return rc;
	partition->shard = shard;
	partition->topic_id = topic->id;
	partition->topic_number = topic->number;
	partition->index = index;
	partition->config = topic->config;
	partition->seen = true;
	list_init(&partition->blocked);
	list_init(&partition->blocked_link);
	list_init(&partition->shares);
	list_init(&partition->gates);
	rc = map64_reserve(&shard->partitions);
	if (rc == 0)
		rc = log_open(&partition->log, shard->store, &identity, &topic->config.log, why,
			      why_bytes);
	if (rc < 0) {
		free(partition);
		return rc;
	}
	rc = map64_put(&shard->partitions, partition_key(topic->number, index), partition);
	check(rc == 0); /* room was reserved */
	return 0;
}

static int take_over_topic(struct shard *shard, const struct topics *topics,
			   const struct topic *topic, char *why, size_t why_bytes)
{
	int result = 0;

	for (int32_t i = 0; i < topic->partition_count; i++) {
		if (partition_shard(topic, i, shard->options.shard_count) != shard->options.index)
			continue;
		struct partition *partition = shard_partition(shard,
							      partition_key(topic->number, i));
		if (partition) {
			partition->seen = true;
			partition->config = topic->config;
			log_set_config(partition->log, &topic->config.log);
			continue;
		}
		char reason[160] = "";
		int rc = open_partition(shard, topics, topic, i, reason, sizeof(reason));
		if (rc == 0)
			continue;
		log_error("shard", "partition not opened topic=%s partition=%d error=\"%s\" %s",
			  topic->name, i, error_text(rc), reason);
		if (result == 0) {
			snprintf(why, why_bytes, "%.80s-%d: %s", topic->name, i,
				 reason[0] ? reason : error_text(rc));
			result = rc;
		}
	}
	return result;
}

static void partition_closed(void *context)
{
	struct partition *partition = context;

	partition->shard->partitions_closing--;
	free(partition);
}

static void close_partition(struct partition *partition, bool remove)
{
	struct shard *shard = partition->shard;

	map64_remove(&shard->partitions, partition_key(partition->topic_number, partition->index));
	transaction_gate_fail(partition);
	partition_append_fail(partition);
	share_drop_all(partition);
	shard->partitions_closing++;
	log_close(partition->log, remove, partition_closed, partition);
}

/* First they are gathered, as removing disturbs the iteration. */
static void close_those(struct shard *shard, bool seen_too, bool remove)
{
	size_t cursor = 0;
	struct partition *partition;
	struct list *node;
	struct list going;

	list_init(&going);
	while ((partition = map64_next(&shard->partitions, &cursor))) {
		if (seen_too || !partition->seen)
			list_push_back(&going, &partition->going);
	}
	while ((node = list_pop_front(&going)))
		close_partition(container_of(node, struct partition, going), remove);
}

static void close_gone(struct shard *shard)
{
	close_those(shard, false, true);
}

void shard_close_partitions(struct shard *shard)
{
	store_end_removals(shard->store);
	close_those(shard, true, false);
}

/* Opens and sets up what is ours in the picture; what is not in it stays unseen. */
static void take_over(struct shard *shard, struct shard_publish *publish)
{
	const struct topics *topics = publish->topics;
	size_t cursor = 0;
	struct partition *partition;

	while ((partition = map64_next(&shard->partitions, &cursor)))
		partition->seen = false;
	for (size_t i = 0; i < topics->count; i++) {
		char why[sizeof(publish->why)] = "";
		int rc = take_over_topic(shard, topics, topics->by_name[i], why, sizeof(why));
		if (publish->rc == 0 && topics->by_name[i]->number >= publish->new_from) {
			publish->rc = rc;
			memcpy(publish->why, why, sizeof(why));
		}
	}
}

void shard_publish_handle(struct message *message, void *receiver)
{
	struct shard_publish *publish = container_of(message, struct shard_publish, message);
	struct shard *shard = receiver;
	bool closing = shard->phase >=
		       SHARD_CLOSING; /* logs are on their way out: none comes back */

	publish->rc = 0;
	if (!closing)
		take_over(shard, publish);
	shard->topics = publish->topics;
	shard->last_named = (struct named_topic){0};
	if (!closing)
		close_gone(shard);
	if (shard->phase == SHARD_STARTING) {
		shard->phase = SHARD_SERVING;
		conn_accept_start(shard);
	}
	message->handle = publish->published;
	shard_send(shard, mesh_control(shard->mesh), message);
}
