#include "control/group_lag.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/map64.h"
#include "control/groups/groups_internal.h"
#include "control/groups/lag.h"
#include "dataplane/shard_log.h"

#include <errno.h>
#include <stdlib.h>

#define EVERY_NS (5 * NS_PER_SECOND)

/* What one shard is asked. */
struct lag_ask {
	struct shard_watermarks asked;
	struct group_lag *lag;
};

struct group_lag {
	struct group_lag_options options;
	struct map64 wanted; /* by partition_key: struct shard_watermark, in an ask */
	struct lag_ask *asks;
	unsigned out;
	uint64_t next_ns;
	bool stopped;
};

int group_lag_new(struct group_lag **ret, const struct group_lag_options *options)
{
	struct group_lag *lag = calloc(1, sizeof(*lag));
	struct lag_ask *asks = calloc(options->shard_count, sizeof(*asks));

	if (!lag || !asks) {
		free(lag);
		free(asks);
		return -ENOMEM;
	}
	lag->options = *options;
	lag->asks = asks;
	*ret = lag;
	return 0;
}

static void forget_answers(struct group_lag *lag)
{
	for (unsigned i = 0; i < lag->options.shard_count; i++) {
		free(lag->asks[i].asked.rows);
		lag->asks[i].asked.rows = NULL;
		lag->asks[i].asked.count = 0;
	}
	map64_fini(&lag->wanted);
	lag->wanted = (struct map64){0};
}

void group_lag_free(struct group_lag *lag)
{
	if (!lag)
		return;
	forget_answers(lag);
	free(lag->asks);
	free(lag);
}

/* ---- which partitions ---- */

static bool want_topic(struct group_lag *lag, const struct offset_topic *committed)
{
	static struct shard_watermark placeholder;
	struct kafka_string name = {committed->name, committed->name_length};
	const struct topic *topic = groups_topic(lag->options.groups, &name);

	for (size_t i = 0; topic && i < committed->count; i++) {
		int32_t partition = committed->partitions[i].index;
		uint64_t key = partition_key(topic->number, partition);
		unsigned shard = partition_shard(topic, partition, lag->options.shard_count);
		if (map64_get(&lag->wanted, key))
			continue;
		if (map64_put(&lag->wanted, key, &placeholder) < 0)
			return false;
		lag->asks[shard].asked.count++;
	}
	return true;
}

static bool want_group(struct group_lag *lag, const struct group *group)
{
	for (size_t i = 0; i < group->offsets.topic_count; i++) {
		if (!want_topic(lag, group->offsets.topics[i]))
			return false;
	}
	return true;
}

/* Counts each shard's partitions: each once, however many groups read it. */
static bool collect(struct group_lag *lag)
{
	const struct groups *groups = lag->options.groups;

	for (int32_t i = 0; i < groups->partition_count; i++) {
		list_foreach(node, &groups->partitions[i].groups) {
			if (!want_group(lag, container_of(node, struct group, link)))
				return false;
		}
	}
	return true;
}

static bool make_rows(struct group_lag *lag)
{
	check(lag->options.shard_count > 0);
	for (unsigned i = 0; i < lag->options.shard_count; i++) {
		struct shard_watermarks *asked = &lag->asks[i].asked;
		asked->rows = calloc(asked->count ? asked->count : 1, sizeof(*asked->rows));
		asked->count = 0;
		if (!asked->rows)
			return false;
	}
	/* The map's slots keep their places: only values change. */
	for (size_t i = 0; i < lag->wanted.capacity; i++) {
		struct map64_slot *slot = &lag->wanted.slots[i];
		if (!slot->value)
			continue;
		const struct topic topic = {.number = (uint32_t)(slot->key >> 32)};
		int32_t partition = (int32_t)(slot->key & UINT32_MAX);
		struct shard_watermarks *asked =
			&lag->asks[partition_shard(&topic, partition, lag->options.shard_count)]
				 .asked;
		struct shard_watermark *row = &asked->rows[asked->count++];
		row->topic_number = topic.number;
		row->partition = partition;
		slot->value = row;
	}
	return true;
}

/* ---- asking ---- */

static int64_t watermark_of(const void *context, uint32_t topic_number, int32_t partition)
{
	const struct group_lag *lag = context;
	const struct shard_watermark *row = map64_get(&lag->wanted,
						      partition_key(topic_number, partition));

	return row && row->rc == 0 ? row->high_watermark : -1;
}

static void draw(struct group_lag *lag)
{
	struct lag_picture *picture = lag_picture_new(lag->options.groups, watermark_of, lag);

	if (picture)
		lag->options.publish(lag->options.context, picture);
	forget_answers(lag);
}

static void come_back(struct group_lag *lag)
{
	if (--lag->out > 0)
		return;
	if (lag->stopped)
		forget_answers(lag);
	else
		draw(lag);
}

static void asked_done(struct message *message, void *receiver)
{
	struct lag_ask *ask = container_of(message, struct lag_ask, asked.log.message);

	/* Where the whole request failed its rows say nothing. */
	for (size_t i = 0; ask->asked.log.rc < 0 && i < ask->asked.count; i++)
		ask->asked.rows[i].rc = ask->asked.log.rc;
	come_back(ask->lag);
}

static void ask_shards(struct group_lag *lag)
{
	lag->out = 1; /* or an answer that comes at once would be the last */
	for (unsigned i = 0; i < lag->options.shard_count; i++) {
		struct lag_ask *ask = &lag->asks[i];
		if (!ask->asked.count)
			continue;
		ask->lag = lag;
		ask->asked.log = (struct shard_log){
			.message.handle = shard_watermarks_handle,
			.done = asked_done,
		};
		lag->out++;
		lag->options.send(lag->options.context, i, &ask->asked.log);
	}
	come_back(lag);
}

uint64_t group_lag_turn(struct group_lag *lag)
{
	uint64_t now_ns = clock_monotonic_ns(lag->options.clock);

	if (lag->stopped)
		return UINT64_MAX;
	if (now_ns < lag->next_ns)
		return lag->next_ns;
	lag->next_ns = now_ns + EVERY_NS;
	if (lag->out > 0)
		return lag->next_ns;
	if (collect(lag) && make_rows(lag))
		ask_shards(lag);
	else
		forget_answers(lag); /* no memory: next time */
	return lag->next_ns;
}

void group_lag_stop(struct group_lag *lag)
{
	lag->stopped = true;
}

bool group_lag_idle(const struct group_lag *lag)
{
	return lag->out == 0;
}
