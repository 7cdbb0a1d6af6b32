/* The native driver: one libsluice client for each producer and consumer.
 *
 * Settings are libsluice's options; and consumer.url, where consumers go, as a process has one
 * client of a DPDK port at a time: producers over it, consumers over TCP.
 *
 * libsluice hands one pointer to a delivery, so what a producer has under way lies in a pool of
 * slots, as many as its window has. */
#include "bench/suite/driver_common.h"
#include "bench/suite/window.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client/sluice.h"

enum {
	BATCHES_A_POLL = 16,
	SPIN_US_MAX = 1000,
	TOPIC_CONFIGS_MAX = 64,
	SERVED_US_MAX = 20000000, /* after a topic was made */
	SERVED_LOOK_MS = 10,
};

static const char consumer_url[] = "consumer.url";

struct slot {
	struct driver_producer *producer;
	uint64_t tag;
	struct slot *next; /* free too */
};

struct driver_producer {
	struct sluice_client *client;
	driver_delivered *delivered;
	void *context;
	bool dedup;
	bool spins;       /* over a port of DPDK, which is asked for what has come */
	size_t under_way; /* records */
	int ran;          /* callbacks in this call */
	struct slot *free_slots;
	size_t fresh; /* slots from here on were never taken, and their memory never touched */
	size_t window;
	struct slot slots[];
};

struct driver_consumer {
	struct sluice_client *client;
	driver_received *received;
	void *context;
	bool in_trouble; /* said so already */
};

/* ---- clients ---- */

static int set(struct sluice_options *options, const char *name, const char *value)
{
	int rc = sluice_options_set(options, name, value);

	if (rc < 0)
		driver_complain(&driver_sluice, "%s", sluice_options_error(options));
	return rc;
}

static int set_number(struct sluice_options *options, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return set(options, name, text);
}

static int set_text(struct sluice_options *options, const char *setting)
{
	char name[128];
	const char *value;
	int rc = driver_setting_split(&driver_sluice, setting, name, sizeof(name), &value);

	return rc < 0 ? rc : set(options, name, value);
}

static bool is_consumer_url(const char *setting)
{
	size_t length = sizeof(consumer_url) - 1;

	return strncmp(setting, consumer_url, length) == 0 && setting[length] == '=';
}

static int set_all(struct sluice_options *options, const struct driver_target *target)
{
	static const char *const acks[] = {
		[DRIVER_ACKS_NONE] = "0", [DRIVER_ACKS_ONE] = "1", [DRIVER_ACKS_ALL] = "all"};
	int rc = set(options, "acks", acks[target->acks]);

	if (rc == 0)
		rc = set(options, "client.id", "sluice-bench");
	/* Who waits for a report wants to know sooner than a service. */
	if (rc == 0)
		rc = set(options, "default.api.timeout.ms", "15000");
	if (rc == 0 && target->batch_bytes_max)
		rc = set_number(options, "batch.size", target->batch_bytes_max);
	if (rc == 0 && target->linger_us)
		rc = set_number(options, "linger.ms", target->linger_us / 1000);
	if (rc == 0 && target->compression && *target->compression)
		rc = set(options, "compression.type", target->compression);
	for (const char *const *at = target->settings; rc == 0 && at && *at; at++) {
		if (!is_consumer_url(*at))
			rc = set_text(options, *at);
	}
	return rc;
}

static int client_new(const struct driver_target *target, const char *url,
		      struct sluice_client **ret)
{
	struct sluice_options *options;
	int rc = sluice_options_new(&options);

	if (rc < 0)
		return rc;
	rc = set_all(options, target);
	if (rc == 0) {
		rc = sluice_open(ret, url, options);
		if (rc < 0)
			driver_complain(&driver_sluice, "%s", sluice_open_error());
	}
	sluice_options_free(options);
	return rc;
}

/* The broker's own answers have no errno. */
static int errno_of(int rc)
{
	return rc <= -SLUICE_KAFKA(-1) ? -EPROTO : rc;
}

static int complain_of(struct sluice_client *client, const char *what, int rc)
{
	const char *story = sluice_last_error(client);

	driver_complain(&driver_sluice, "%s: %s", what, *story ? story : sluice_error_text(rc));
	return errno_of(rc);
}

static int sluice_driver_version(const struct driver_target *target, char *text, size_t bytes)
{
	snprintf(text, bytes, "libsluice %s", sluice_version());
	return 0;
}

/* ---- topics ---- */

/* `names` is room for the configs' names, one after the other. */
static int read_configs(const struct driver_target *target, const char *const *configs,
			struct sluice_config *ret, size_t *ret_count, char *names, size_t bytes)
{
	size_t count = 0;

	if (target->dedup)
		ret[count++] = (struct sluice_config){.name = "dedup.enable", .value = "true"};
	for (; configs && *configs; configs++, count++) {
		const char *value;
		if (count == TOPIC_CONFIGS_MAX) {
			driver_complain(&driver_sluice, "more than %d settings of a topic",
					TOPIC_CONFIGS_MAX);
			return -ERANGE;
		}
		int rc = driver_setting_split(&driver_sluice, *configs, names, bytes, &value);
		if (rc < 0)
			return rc;
		ret[count] = (struct sluice_config){.name = names, .value = value};
		bytes -= strlen(names) + 1;
		names += strlen(names) + 1;
	}
	*ret_count = count;
	return 0;
}

/* 1: all partitions have leaders; 0: not yet. */
static int is_served(struct sluice_client *client, const char *topic, unsigned partitions)
{
	struct sluice_metadata *metadata;
	unsigned served = 0;
	int rc = sluice_metadata(client, &topic, 1, &metadata);

	if (rc < 0)
		return rc;
	for (size_t t = 0; t < metadata->topic_count; t++) {
		const struct sluice_topic *found = &metadata->topics[t];
		for (size_t p = 0; p < found->partition_count; p++)
			served += !found->partitions[p].error;
	}
	sluice_metadata_free(metadata);
	return served == partitions;
}

/* Kafka says that a topic is made before its brokers know. */
static int wait_until_served(struct sluice_client *client, const char *topic, unsigned partitions)
{
	uint64_t deadline_us = driver_now_us() + SERVED_US_MAX;
	int rc;

	while ((rc = is_served(client, topic, partitions)) == 0 && driver_left_us(deadline_us))
		sluice_process(client, SERVED_LOOK_MS);
	if (rc == 0)
		driver_complain(&driver_sluice, "topic %s: its partitions have no leaders", topic);
	return rc < 0 ? complain_of(client, "topic", rc) : rc ? 0 : -ETIMEDOUT;
}

static int sluice_driver_topic_create(const struct driver_target *target, const char *topic,
				      unsigned partitions, const char *const *configs)
{
	struct sluice_config settings[TOPIC_CONFIGS_MAX];
	char names[4096];
	struct sluice_client *client = NULL;
	size_t count;
	int rc = read_configs(target, configs, settings, &count, names, sizeof(names));

	if (rc == 0)
		rc = client_new(target, target->url, &client);
	if (rc < 0)
		return rc;
	rc = sluice_topic_create(client, topic, (int32_t)partitions, -1, settings, count);
	rc = rc < 0 ? complain_of(client, "topic", rc)
		    : wait_until_served(client, topic, partitions);
	sluice_close(client);
	return rc;
}

static int sluice_driver_topic_delete(const struct driver_target *target, const char *topic)
{
	struct sluice_client *client = NULL;
	int rc = client_new(target, target->url, &client);

	if (rc < 0)
		return rc;
	rc = sluice_topic_delete(client, topic);
	if (rc < 0)
		rc = complain_of(client, "topic", rc);
	sluice_close(client);
	return rc;
}

/* ---- producers ---- */

/* Null: the window is full. */
static struct slot *slot_get(struct driver_producer *producer)
{
	struct slot *slot = producer->free_slots;

	if (slot)
		producer->free_slots = slot->next;
	else if (producer->fresh < producer->window)
		slot = &producer->slots[producer->fresh++];
	if (slot)
		producer->under_way++;
	return slot;
}

static void slot_put(struct slot *slot)
{
	slot->next = slot->producer->free_slots;
	slot->producer->free_slots = slot;
	slot->producer->under_way--;
}

static void record_delivered(void *user, const struct sluice_delivery *delivery)
{
	struct slot *slot = user;
	struct driver_producer *producer = slot->producer;
	uint64_t tag = slot->tag;

	slot_put(slot);
	producer->ran++;
	producer->delivered(producer->context, tag, errno_of(delivery->error));
}

/* So that it is connected, and a broker that is not there is known now. */
static int connect_now(struct sluice_client *client)
{
	struct sluice_metadata *metadata;
	const char *none = NULL;
	int rc = sluice_metadata(client, &none, 0, &metadata);

	if (rc < 0)
		return complain_of(client, "connection", rc);
	sluice_metadata_free(metadata);
	return 0;
}

static int sluice_driver_producer_new(const struct driver_target *target,
				      driver_delivered *delivered, void *context,
				      struct driver_producer **ret)
{
	size_t window = target->window ? target->window : WINDOW_CAPACITY_DEFAULT;
	struct driver_producer *producer = calloc(1,
						  sizeof(*producer) + window * sizeof(struct slot));

	if (!producer)
		return -ENOMEM;
	producer->delivered = delivered;
	producer->context = context;
	producer->dedup = target->dedup;
	producer->spins = strncmp(target->url, "dpdk:", 5) == 0;
	producer->window = window;
	int rc = client_new(target, target->url, &producer->client);
	if (rc == 0)
		rc = connect_now(producer->client);
	if (rc < 0) {
		sluice_close(producer->client);
		free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

static int sluice_driver_produce(struct driver_producer *producer,
				 const struct driver_record *record, uint64_t tag)
{
	struct slot *slot = slot_get(producer);
	const struct sluice_header id = {.name = "dedup-id",
					 .name_length = 8,
					 .value = &record->id,
					 .value_length = sizeof(record->id)};
	struct sluice_record told = {
		.topic = record->topic,
		.partition = record->partition < 0 ? SLUICE_PARTITION_ANY : record->partition,
		.key = record->key,
		.key_length = record->key_bytes,
		.value = record->value,
		.value_length = record->value_bytes,
	};

	if (!slot)
		return -EAGAIN;
	if (producer->dedup) {
		told.headers = &id;
		told.header_count = 1;
	}
	slot->producer = producer;
	slot->tag = tag;
	int rc = sluice_produce(producer->client, &told, record_delivered, slot);
	if (rc < 0)
		slot_put(slot);
	if (rc < 0 && rc != -EAGAIN)
		return complain_of(producer->client, "produce", rc);
	return rc;
}

/* Its descriptor would only tell when the next look is due, and answers come sooner. */
static int spin(struct driver_producer *producer, unsigned timeout_us)
{
	unsigned spin_us = timeout_us < SPIN_US_MAX ? timeout_us : SPIN_US_MAX;
	uint64_t end_us = driver_now_us() + spin_us;
	int rc = 0;

	while (rc >= 0 && !producer->ran && producer->under_way && driver_left_us(end_us))
		rc = sluice_process(producer->client, 0);
	return rc < 0 ? rc : 0;
}

static int sluice_driver_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	int rc = 0;

	producer->ran = 0;
	if (producer->spins)
		rc = spin(producer, timeout_us);
	if (rc == 0 && !producer->ran && timeout_us)
		rc = driver_wait(sluice_fd(producer->client), POLLIN, timeout_us);
	if (rc >= 0)
		rc = sluice_process(producer->client, 0);
	if (rc < 0 && rc != -EINTR)
		return complain_of(producer->client, "poll", rc);
	return producer->ran;
}

static int sluice_driver_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	int rc = sluice_flush(producer->client, (int)timeout_ms);

	return rc < 0 && rc != -ETIMEDOUT ? complain_of(producer->client, "flush", rc) : rc;
}

static void sluice_driver_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	sluice_close(producer->client);
	free(producer);
}

/* ---- consumers ---- */

static int assign(struct sluice_client *client, const struct driver_consumer_options *options,
		  const char *topic, int32_t partition)
{
	int64_t offset = SLUICE_EARLIEST;
	int64_t timestamp_ms;
	int rc = 0;

	if ((unsigned)partition % options->share_count != options->share_index)
		return 0;
	/* Looked up now: what is produced from now on lies behind it. */
	if (!options->from_earliest)
		rc = sluice_list_offset(client, topic, partition, SLUICE_LATEST, &offset,
					&timestamp_ms);
	return rc < 0 ? rc : sluice_assign(client, topic, partition, offset);
}

static int assign_all(struct sluice_client *client, const struct driver_consumer_options *options)
{
	struct sluice_metadata *metadata;
	size_t topics = 0;

	while (options->topics[topics])
		topics++;
	int rc = sluice_metadata(client, options->topics, topics, &metadata);
	if (rc < 0)
		return rc;
	for (size_t t = 0; rc == 0 && t < metadata->topic_count; t++) {
		const struct sluice_topic *topic = &metadata->topics[t];
		rc = topic->error;
		for (size_t p = 0; rc == 0 && p < topic->partition_count; p++)
			rc = assign(client, options, topic->name, topic->partitions[p].index);
	}
	sluice_metadata_free(metadata);
	return rc;
}

static int sluice_driver_consumer_new(const struct driver_target *target,
				      const struct driver_consumer_options *options,
				      struct driver_consumer **ret)
{
	const char *url = driver_setting(target, consumer_url);

	if (options->group) {
		driver_complain(&driver_sluice, "libsluice has no groups: use --driver kafka");
		return -EOPNOTSUPP;
	}
	check(options->share_index < options->share_count);
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	if (!consumer)
		return -ENOMEM;
	consumer->received = options->received;
	consumer->context = options->context;
	int rc = client_new(target, url ? url : target->url, &consumer->client);
	if (rc == 0) {
		rc = assign_all(consumer->client, options);
		if (rc < 0)
			rc = complain_of(consumer->client, "partitions", rc);
	}
	if (rc < 0) {
		sluice_close(consumer->client);
		free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

/* Returns the number of its records. */
static int hand_on(struct driver_consumer *consumer, struct sluice_batch *batch)
{
	struct sluice_batch_info info;
	struct sluice_message message;
	int ran = 0;
	int rc;

	sluice_batch_info(batch, &info);
	if (info.error && !consumer->in_trouble)
		complain_of(consumer->client, "fetch", info.error);
	consumer->in_trouble = info.error != 0;
	while ((rc = sluice_batch_next(batch, &message)) == 1) {
		consumer->received(consumer->context, message.topic, message.value,
				   message.value_length);
		ran++;
	}
	sluice_batch_free(batch);
	return rc < 0 && !info.error ? complain_of(consumer->client, "fetch", rc) : ran;
}

static int sluice_driver_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	struct sluice_batch *batch;
	int ran = 0;
	int rc = 0;

	/* sluice_fetch counts milliseconds. */
	if (timeout_us && timeout_us < 1000)
		rc = driver_wait(sluice_fd(consumer->client), POLLIN, timeout_us);
	if (rc >= 0)
		rc = sluice_fetch(consumer->client, (int)(timeout_us / 1000), &batch);
	for (unsigned i = 0; rc == 1; i++) {
		rc = hand_on(consumer, batch);
		if (rc < 0)
			return rc;
		ran += rc;
		if (i == BATCHES_A_POLL)
			break;
		rc = sluice_fetch(consumer->client, 0, &batch);
	}
	if (rc < 0 && rc != -EINTR)
		return complain_of(consumer->client, "fetch", rc);
	return ran;
}

static void sluice_driver_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	sluice_close(consumer->client);
	free(consumer);
}

const struct driver driver_sluice = {
	.name = "sluice",
	.help = "Sluice or any Kafka broker by libsluice: tcp://, udp:// or dpdk: URLs",
	.default_url = "tcp://127.0.0.1:9092",
	.version = sluice_driver_version,
	.topic_create = sluice_driver_topic_create,
	.topic_delete = sluice_driver_topic_delete,
	.producer_new = sluice_driver_producer_new,
	.produce = sluice_driver_produce,
	.producer_poll = sluice_driver_producer_poll,
	.producer_flush = sluice_driver_producer_flush,
	.producer_free = sluice_driver_producer_free,
	.consumer_new = sluice_driver_consumer_new,
	.consumer_poll = sluice_driver_consumer_poll,
	.consumer_free = sluice_driver_consumer_free,
	.hello = &driver_hello_kafka,
};
