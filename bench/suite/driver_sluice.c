/* The native driver: one libsluice client for each producer and consumer.
 *
 * Settings are libsluice's options; and consumer.url, where consumers go, as a process has one
 * client of a DPDK port at a time: producers over it, consumers over TCP. */
#include "bench/suite/driver_sluice.h"

#include "bench/suite/driver_common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOPIC_CONFIGS_MAX = 64,
	SERVED_US_MAX = 20000000, /* after a topic was made */
	SERVED_LOOK_MS = 10,
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
	return strncmp(setting, NATIVE_CONSUMER_URL "=", sizeof(NATIVE_CONSUMER_URL)) == 0;
}

static int set_all(struct sluice_options *options, const struct driver_target *target)
{
	int rc = set(options, "acks", driver_acks_text(target->acks));

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

int native_client_new(const struct driver_target *target, const char *url,
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
int native_rc(int rc)
{
	return rc <= -SLUICE_KAFKA(-1) ? -EPROTO : rc;
}

int native_complain(struct sluice_client *client, const char *what, int rc)
{
	const char *story = sluice_last_error(client);

	driver_complain(&driver_sluice, "%s: %s", what, *story ? story : sluice_error_text(rc));
	return native_rc(rc);
}

static int native_version(const struct driver_target *target, char *text, size_t bytes)
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
	return rc < 0 ? native_complain(client, "topic", rc) : rc ? 0 : -ETIMEDOUT;
}

static int native_topic_create(const struct driver_target *target, const char *topic,
			       unsigned partitions, const char *const *configs)
{
	struct sluice_config settings[TOPIC_CONFIGS_MAX];
	char names[4096];
	struct sluice_client *client = NULL;
	size_t count;
	int rc = read_configs(target, configs, settings, &count, names, sizeof(names));

	if (rc == 0)
		rc = native_client_new(target, target->url, &client);
	if (rc < 0)
		return rc;
	rc = sluice_topic_create(client, topic, (int32_t)partitions, -1, settings, count);
	rc = rc < 0 ? native_complain(client, "topic", rc)
		    : wait_until_served(client, topic, partitions);
	sluice_close(client);
	return rc;
}

static int native_topic_delete(const struct driver_target *target, const char *topic)
{
	struct sluice_client *client = NULL;
	int rc = native_client_new(target, target->url, &client);

	if (rc < 0)
		return rc;
	rc = sluice_topic_delete(client, topic);
	if (rc < 0)
		rc = native_complain(client, "topic", rc);
	sluice_close(client);
	return rc;
}

const struct driver driver_sluice = {
	.name = "sluice",
	.help = "Sluice or any Kafka broker by libsluice: tcp://, udp:// or dpdk: URLs",
	.default_url = "tcp://127.0.0.1:9092",
	.version = native_version,
	.topic_create = native_topic_create,
	.topic_delete = native_topic_delete,
	.producer_new = native_producer_new,
	.produce = native_produce,
	.producer_poll = native_producer_poll,
	.producer_flush = native_producer_flush,
	.producer_free = native_producer_free,
	.consumer_new = native_consumer_new,
	.consumer_poll = native_consumer_poll,
	.consumer_free = native_consumer_free,
	.hello = &driver_hello_kafka,
};
