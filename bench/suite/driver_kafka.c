/* Any Kafka broker over librdkafka: topics, and what both halves are opened with.
 *
 *     driver_kafka.c          configuration, topics through the admin API
 *     driver_kafka_producer.c one client and one queue of delivery reports a producer
 *     driver_kafka_consumer.c partitions assigned (no group at all), or a member of a group
 *
 * Sluice and its peers are measured with the same client.  README.md says which of its settings
 * differ from its defaults, and why. */
#include "bench/suite/driver_kafka.h"
#include "bench/suite/driver_common.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	OPEN_MS = 10000,
	ADMIN_MS = 30000,
};

int kafka_rc(rd_kafka_resp_err_t error)
{
	static const struct {
		rd_kafka_resp_err_t error;
		int rc;
	} known[] = {
		{RD_KAFKA_RESP_ERR_NO_ERROR, 0},
		{RD_KAFKA_RESP_ERR__QUEUE_FULL, -EAGAIN},
		{RD_KAFKA_RESP_ERR__TIMED_OUT, -ETIMEDOUT},
		{RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, -ETIMEDOUT},
		{RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, -ETIMEDOUT},
		{RD_KAFKA_RESP_ERR__TRANSPORT, -ENOTCONN},
		{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, -ENOTCONN},
		{RD_KAFKA_RESP_ERR__RESOLVE, -EHOSTUNREACH},
		{RD_KAFKA_RESP_ERR__INVALID_ARG, -EINVAL},
		{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, -EMSGSIZE},
		{RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, -EEXIST},
		{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, -ENOENT},
		{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, -ENOENT},
		{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, -ENOENT},
		{RD_KAFKA_RESP_ERR__PURGE_QUEUE, -ECANCELED},
		{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, -ECANCELED},
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].error == error)
			return known[i].rc;
	return -EPROTO;
}

/* ---- configuration ---- */

/* What it would log are retries; what is final comes as an error. */
static void log_nothing(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
}

static int conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];

	if (!value || rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
		return 0;
	driver_complain(&driver_kafka, "%s", why);
	return -EINVAL;
}

int kafka_conf_new(const struct driver_target *target, const struct kafka_setting *own,
		   rd_kafka_conf_t **ret)
{
	const char *scheme_end = strstr(target->url, "://");
	const char *const *setting = target->settings;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	const char *value;
	char name[128];
	int rc;

	rd_kafka_conf_set_log_cb(conf, log_nothing);
	rc = conf_set(conf, "bootstrap.servers", scheme_end ? scheme_end + 3 : target->url);
	for (; rc == 0 && own->name; own++)
		rc = conf_set(conf, own->name, own->value);
	for (; rc == 0 && setting && *setting; setting++) {
		rc = driver_setting_split(&driver_kafka, *setting, name, sizeof(name), &value);
		if (rc == 0)
			rc = conf_set(conf, name, value);
	}
	if (rc < 0) {
		rd_kafka_conf_destroy(conf);
		return rc;
	}
	*ret = conf;
	return 0;
}

int kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret)
{
	char why[256];
	rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));

	if (client) {
		*ret = client;
		return 0;
	}
	rd_kafka_conf_destroy(conf);
	driver_complain(&driver_kafka, "%s", why);
	return -EINVAL;
}

int kafka_signal_open(rd_kafka_queue_t *queue, int *ret_fd)
{
	uint64_t one = 1;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0) {
		driver_complain(&driver_kafka, "eventfd: %s", strerror(errno));
		return -errno;
	}
	rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof(one));
	*ret_fd = fd;
	return 0;
}

int kafka_signal_wait(int fd, unsigned timeout_us)
{
	int events = driver_wait(fd, POLLIN, timeout_us);
	uint64_t count;

	if (events > 0 && read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	return events;
}

/* ---- topics ---- */

int kafka_partitions(rd_kafka_t *client, const char *name, unsigned timeout_ms)
{
	const struct rd_kafka_metadata *metadata;
	const struct rd_kafka_metadata_topic *answer;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, name, NULL);
	rd_kafka_resp_err_t error;
	int i, rc;

	if (!topic)
		return -EINVAL;
	error = rd_kafka_metadata(client, 0, topic, &metadata, (int)timeout_ms);
	rd_kafka_topic_destroy(topic);
	if (error)
		return kafka_rc(error);
	answer = metadata->topics;
	rc = metadata->topic_cnt == 1 ? kafka_rc(answer->err) : -ENOENT;
	for (i = 0; rc == 0 && i < answer->partition_cnt; i++)
		if (answer->partitions[i].leader < 0)
			rc = -EAGAIN;
	if (rc == 0)
		rc = answer->partition_cnt ? answer->partition_cnt : -EAGAIN;
	rd_kafka_metadata_destroy(metadata);
	return rc;
}

rd_kafka_resp_err_t kafka_seek_ends(rd_kafka_t *client, rd_kafka_topic_partition_list_t *partitions,
				    unsigned timeout_ms)
{
	rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(partitions->cnt);
	rd_kafka_topic_partition_t *partition;
	rd_kafka_resp_err_t error;
	int i;

	for (i = 0; i < partitions->cnt; i++) {
		partition = &partitions->elems[i];
		rd_kafka_topic_partition_list_add(ends, partition->topic, partition->partition)
			->offset = RD_KAFKA_OFFSET_END;
	}
	error = ends->cnt ? rd_kafka_offsets_for_times(client, ends, (int)timeout_ms)
			  : RD_KAFKA_RESP_ERR_NO_ERROR;
	for (i = 0; !error && i < ends->cnt; i++) {
		error = ends->elems[i].err;
		if (!error && partitions->elems[i].offset < 0)
			partitions->elems[i].offset = ends->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(ends);
	return error;
}

/* Does the leader of each partition answer for it? */
static bool topic_serves(rd_kafka_t *client, const char *name, int partitions)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
	bool serves;
	int p;

	for (p = 0; p < partitions; p++)
		rd_kafka_topic_partition_list_add(list, name, p);
	serves = !kafka_seek_ends(client, list, OPEN_MS);
	rd_kafka_topic_partition_list_destroy(list);
	return serves;
}

/* Kafka says that a topic is made before its leaders know. */
static int topic_wait(rd_kafka_t *client, const char *name)
{
	uint64_t deadline_us = driver_now_us() + ADMIN_MS * UINT64_C(1000);
	int partitions;

	do {
		partitions = kafka_partitions(client, name, OPEN_MS);
		if (partitions > 0 && topic_serves(client, name, partitions))
			return 0;
		usleep(10000);
	} while (driver_left_us(deadline_us));
	driver_complain(&driver_kafka, "topic %s was made, but not all of it can be used", name);
	return -ETIMEDOUT;
}

struct admin {
	rd_kafka_t *client;
	rd_kafka_queue_t *answers;
	rd_kafka_AdminOptions_t *options;
};

static void admin_close(struct admin *admin)
{
	if (admin->options)
		rd_kafka_AdminOptions_destroy(admin->options);
	if (admin->answers)
		rd_kafka_queue_destroy(admin->answers);
	if (admin->client)
		rd_kafka_destroy(admin->client);
}

static int admin_open(const struct driver_target *target, struct admin *ret)
{
	static const struct kafka_setting none[] = {{NULL, NULL}};
	struct admin admin = {0};
	rd_kafka_conf_t *conf;
	char why[256];
	int rc = kafka_conf_new(target, none, &conf);

	if (rc < 0)
		return rc;
	rc = kafka_client_new(RD_KAFKA_PRODUCER, conf, &admin.client);
	if (rc < 0)
		return rc;
	admin.answers = rd_kafka_queue_new(admin.client);
	admin.options = rd_kafka_AdminOptions_new(admin.client, RD_KAFKA_ADMIN_OP_ANY);
	/* The broker answers when all partitions are there. */
	if (rd_kafka_AdminOptions_set_request_timeout(admin.options, ADMIN_MS, why, sizeof(why)) ||
	    rd_kafka_AdminOptions_set_operation_timeout(admin.options, ADMIN_MS, why,
							sizeof(why))) {
		driver_complain(&driver_kafka, "%s", why);
		admin_close(&admin);
		return -EINVAL;
	}
	*ret = admin;
	return 0;
}

/* Waits for what was asked about one topic. */
static int admin_answer(struct admin *admin, const char *what, const char *topic)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(admin->answers, ADMIN_MS + 5000);
	const rd_kafka_topic_result_t **topics = NULL;
	const char *why = "no answer";
	size_t count = 0;
	int rc = -ETIMEDOUT;

	if (event) {
		rc = kafka_rc(rd_kafka_event_error(event));
		why = rd_kafka_event_error_string(event);
	}
	if (rc == 0 && rd_kafka_event_type(event) == RD_KAFKA_EVENT_CREATETOPICS_RESULT)
		topics = rd_kafka_CreateTopics_result_topics(
			rd_kafka_event_CreateTopics_result(event), &count);
	else if (rc == 0)
		topics = rd_kafka_DeleteTopics_result_topics(
			rd_kafka_event_DeleteTopics_result(event), &count);
	if (count) {
		rc = kafka_rc(rd_kafka_topic_result_error(topics[0]));
		why = rd_kafka_topic_result_error_string(topics[0]);
		if (rc < 0 && !why)
			why = rd_kafka_err2str(rd_kafka_topic_result_error(topics[0]));
	}
	if (rc < 0)
		driver_complain(&driver_kafka, "%s topic %s: %s", what, topic, why);
	if (event)
		rd_kafka_event_destroy(event);
	return rc;
}

static int topic_configure(rd_kafka_NewTopic_t *topic, const struct driver_target *target,
			   const char *const *configs)
{
	const char *value;
	char name[128];
	int rc;

	if (target->dedup)
		rd_kafka_NewTopic_set_config(topic, "dedup.enable", "true");
	for (; configs && *configs; configs++) {
		rc = driver_setting_split(&driver_kafka, *configs, name, sizeof(name), &value);
		if (rc < 0)
			return rc;
		rd_kafka_NewTopic_set_config(topic, name, value);
	}
	return 0;
}

static int kafka_topic_create(const struct driver_target *target, const char *name,
			      unsigned partitions, const char *const *configs)
{
	rd_kafka_NewTopic_t *topic;
	struct admin admin;
	char why[256];
	int rc = admin_open(target, &admin);

	if (rc < 0)
		return rc;
	topic = rd_kafka_NewTopic_new(name, (int)partitions, 1, why, sizeof(why));
	if (!topic) {
		driver_complain(&driver_kafka, "create topic %s: %s", name, why);
		admin_close(&admin);
		return -EINVAL;
	}
	rc = topic_configure(topic, target, configs);
	if (rc == 0) {
		rd_kafka_CreateTopics(admin.client, &topic, 1, admin.options, admin.answers);
		rc = admin_answer(&admin, "create", name);
	}
	if (rc == 0)
		rc = topic_wait(admin.client, name);
	rd_kafka_NewTopic_destroy(topic);
	admin_close(&admin);
	return rc;
}

static int kafka_topic_delete(const struct driver_target *target, const char *name)
{
	rd_kafka_DeleteTopic_t *topic;
	struct admin admin;
	int rc = admin_open(target, &admin);

	if (rc < 0)
		return rc;
	topic = rd_kafka_DeleteTopic_new(name);
	rd_kafka_DeleteTopics(admin.client, &topic, 1, admin.options, admin.answers);
	rc = admin_answer(&admin, "delete", name);
	rd_kafka_DeleteTopic_destroy(topic);
	admin_close(&admin);
	return rc;
}

/* The protocol does not tell a broker's version. */
static int kafka_version(const struct driver_target *target, char *text, size_t bytes)
{
	snprintf(text, bytes, "librdkafka %s", rd_kafka_version_str());
	return 0;
}

const struct driver driver_kafka = {
	.name = "kafka",
	.help = "any Kafka broker, Sluice too, with librdkafka and its settings",
	.default_url = "127.0.0.1:9092",
	.version = kafka_version,
	.topic_create = kafka_topic_create,
	.topic_delete = kafka_topic_delete,
	.producer_new = kafka_producer_new,
	.produce = kafka_produce,
	.producer_poll = kafka_producer_poll,
	.producer_flush = kafka_producer_flush,
	.producer_free = kafka_producer_free,
	.consumer_new = kafka_consumer_new,
	.consumer_poll = kafka_consumer_poll,
	.consumer_free = kafka_consumer_free,
	.hello = &driver_hello_kafka,
};
