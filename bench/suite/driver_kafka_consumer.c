/* A consumer over librdkafka.
 *
 * Without a group it names no group to the broker at all: partitions are read by number, into one
 * queue.  "From now" is an offset that has been asked for, not the broker's idea of latest when the
 * first fetch arrives.
 *
 * In a group, positions are committed as soon as a partition is assigned for the first time:
 * whoever gets it in the next generation goes on from there, not from what is latest then. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_kafka.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPEN_MS = 10000,
	JOIN_MS = 60000, /* a group's first members are waited for, some seconds by default */
	BATCH_RECORDS = 1000,
};

struct topic {
	rd_kafka_topic_t *handle;
};

struct driver_consumer {
	rd_kafka_t *client;
	rd_kafka_queue_t *queue;
	int signal;
	struct topic *topics; /* whose partitions are read by number */
	size_t topic_count;
	rd_kafka_topic_partition_list_t *started;
	bool grouped;
	bool from_earliest;
	bool joined;
	int failure; /* to be returned by poll */
	driver_received *received;
	void *context;
	rd_kafka_message_t *messages[BATCH_RECORDS];
};

static void complain(const char *what, rd_kafka_resp_err_t error)
{
	driver_complain(&driver_kafka, "%s: %s", what, rd_kafka_err2str(error));
}

static int seek_ends(rd_kafka_t *client, rd_kafka_topic_partition_list_t *partitions)
{
	rd_kafka_resp_err_t error = kafka_seek_ends(client, partitions, OPEN_MS);

	if (error)
		complain("end offsets", error);
	return kafka_rc(error);
}

/* ---- without a group ---- */

static int choose_partitions(struct driver_consumer *consumer,
			     const struct driver_consumer_options *options)
{
	const char *const *topic;
	int p, count;

	for (topic = options->topics; *topic; topic++) {
		count = kafka_partitions(consumer->client, *topic, OPEN_MS);
		if (count < 0) {
			driver_complain(&driver_kafka, "topic %s: %s", *topic, strerror(-count));
			return count;
		}
		for (p = (int)options->share_index; p < count; p += (int)options->share_count)
			rd_kafka_topic_partition_list_add(consumer->started, *topic, p)->offset =
				options->from_earliest ? RD_KAFKA_OFFSET_BEGINNING
						       : RD_KAFKA_OFFSET_INVALID;
	}
	return options->from_earliest ? 0 : seek_ends(consumer->client, consumer->started);
}

static rd_kafka_topic_t *topic_of(struct driver_consumer *consumer, const char *name)
{
	size_t i;

	for (i = 0; i < consumer->topic_count; i++)
		if (!strcmp(rd_kafka_topic_name(consumer->topics[i].handle), name))
			return consumer->topics[i].handle;
	return NULL;
}

static int open_topics(struct driver_consumer *consumer, const char *const *names)
{
	rd_kafka_topic_t *topic;
	size_t count = 0;

	while (names[count])
		count++;
	consumer->topics = calloc(count + 1, sizeof(*consumer->topics));
	if (!consumer->topics)
		return -ENOMEM;
	for (; *names; names++) {
		topic = rd_kafka_topic_new(consumer->client, *names, NULL);
		if (!topic) {
			complain(*names, rd_kafka_last_error());
			return -EINVAL;
		}
		consumer->topics[consumer->topic_count++].handle = topic;
	}
	return 0;
}

static int start(struct driver_consumer *consumer, const struct driver_consumer_options *options)
{
	rd_kafka_topic_partition_t *partition;
	int i, rc = open_topics(consumer, options->topics);

	if (rc < 0)
		return rc;
	consumer->started = rd_kafka_topic_partition_list_new(16);
	rc = choose_partitions(consumer, options);
	for (i = 0; rc == 0 && i < consumer->started->cnt; i++) {
		partition = &consumer->started->elems[i];
		if (rd_kafka_consume_start_queue(topic_of(consumer, partition->topic),
						 partition->partition, partition->offset,
						 consumer->queue) < 0) {
			complain(partition->topic, rd_kafka_last_error());
			rc = kafka_rc(rd_kafka_last_error());
		}
	}
	return rc;
}

static void stop(struct driver_consumer *consumer)
{
	rd_kafka_topic_partition_t *partition;
	size_t t;
	int i;

	for (i = 0; consumer->started && i < consumer->started->cnt; i++) {
		partition = &consumer->started->elems[i];
		rd_kafka_consume_stop(topic_of(consumer, partition->topic), partition->partition);
	}
	for (t = 0; t < consumer->topic_count; t++)
		rd_kafka_topic_destroy(consumer->topics[t].handle);
	if (consumer->started)
		rd_kafka_topic_partition_list_destroy(consumer->started);
	free(consumer->topics);
}

/* ---- in a group ---- */

/* New partitions start where the group left off, else at the end, which is committed at once. */
static void assign(struct driver_consumer *consumer, rd_kafka_topic_partition_list_t *partitions)
{
	rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool new = false;
	int i;

	if (partitions->cnt && !consumer->from_earliest) {
		error = rd_kafka_committed(consumer->client, partitions, OPEN_MS);
		for (i = 0; i < partitions->cnt; i++)
			new = new || partitions->elems[i].offset < 0;
	}
	if (!error && new) {
		consumer->failure = seek_ends(consumer->client, partitions);
		if (consumer->failure == 0)
			error = rd_kafka_commit(consumer->client, partitions, 0);
	}
	if (!error)
		error = rd_kafka_assign(consumer->client, partitions);
	if (error) {
		complain("assigned partitions", error);
		consumer->failure = kafka_rc(error);
	}
	consumer->joined = true;
	rd_kafka_yield(consumer->client);
}

static void rebalanced(rd_kafka_t *client, rd_kafka_resp_err_t what,
		       rd_kafka_topic_partition_list_t *partitions, void *context)
{
	struct driver_consumer *consumer = context;

	if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
		assign(consumer, partitions);
	else
		rd_kafka_assign(client, NULL); /* commits what was read */
}

static int join(struct driver_consumer *consumer, const struct driver_consumer_options *options)
{
	rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
	uint64_t deadline_us = driver_now_us() + (uint64_t)JOIN_MS * 1000;
	const char *const *topic;
	rd_kafka_message_t *message;
	rd_kafka_resp_err_t error;

	for (topic = options->topics; *topic; topic++)
		rd_kafka_topic_partition_list_add(topics, *topic, RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(consumer->client, topics);
	rd_kafka_topic_partition_list_destroy(topics);
	while (!error && !consumer->joined && driver_left_us(deadline_us)) {
		message = rd_kafka_consumer_poll(consumer->client, 100);
		if (!message)
			continue;
		error = message->err; /* records come only to those who have joined */
		rd_kafka_message_destroy(message);
	}
	if (error) {
		complain(options->group, error);
		return kafka_rc(error);
	}
	if (!consumer->joined) {
		driver_complain(&driver_kafka, "group %s gave no assignment within %d s",
				options->group, JOIN_MS / 1000);
		return -ETIMEDOUT;
	}
	return consumer->failure;
}

/* ---- both ---- */

static void failed(rd_kafka_t *client, int error, const char *reason, void *context)
{
	struct driver_consumer *consumer = context;

	/* It tries one broker again by itself. */
	if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && error != RD_KAFKA_RESP_ERR__FATAL)
		return;
	if (!consumer->failure)
		driver_complain(&driver_kafka, "%s", reason);
	consumer->failure = kafka_rc((rd_kafka_resp_err_t)error);
}

static int open_client(struct driver_consumer *consumer, const struct driver_target *target,
		       const struct driver_consumer_options *options)
{
	const struct kafka_setting own[] = {
		{"group.id", options->group},
		{"enable.auto.commit", options->group ? "true" : "false"},
		{"enable.auto.offset.store", options->group ? "true" : "false"},
		{"auto.offset.reset", options->from_earliest ? "earliest" : "latest"},
		{NULL, NULL},
	};
	rd_kafka_conf_t *conf;
	int rc = kafka_conf_new(target, own, &conf);

	if (rc < 0)
		return rc;
	rd_kafka_conf_set_opaque(conf, consumer);
	rd_kafka_conf_set_error_cb(conf, failed);
	if (options->group)
		rd_kafka_conf_set_rebalance_cb(conf, rebalanced);
	rc = kafka_client_new(RD_KAFKA_CONSUMER, conf, &consumer->client);
	if (rc < 0)
		return rc;
	if (options->group)
		rd_kafka_poll_set_consumer(consumer->client);
	consumer->queue = options->group ? rd_kafka_queue_get_consumer(consumer->client)
					 : rd_kafka_queue_new(consumer->client);
	return kafka_signal_open(consumer->queue, &consumer->signal);
}

int kafka_consumer_new(const struct driver_target *target,
		       const struct driver_consumer_options *options, struct driver_consumer **ret)
{
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	int rc;

	if (!consumer)
		return -ENOMEM;
	consumer->signal = -1;
	consumer->grouped = options->group != NULL;
	consumer->from_earliest = options->from_earliest;
	consumer->received = options->received;
	consumer->context = options->context;
	rc = open_client(consumer, target, options);
	if (rc == 0)
		rc = consumer->grouped ? join(consumer, options) : start(consumer, options);
	if (rc < 0) {
		kafka_consumer_free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

void kafka_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	if (consumer->client && consumer->grouped)
		rd_kafka_consumer_close(consumer->client);
	stop(consumer);
	if (consumer->queue) {
		rd_kafka_queue_io_event_enable(consumer->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(consumer->queue);
	}
	if (consumer->client)
		rd_kafka_destroy(consumer->client);
	if (consumer->signal >= 0)
		close(consumer->signal);
	free(consumer);
}

/* What is there, without waiting. */
static int receive(struct driver_consumer *consumer)
{
	rd_kafka_message_t *message;
	int count = 0;
	ssize_t i, n = rd_kafka_consume_batch_queue(consumer->queue, 0, consumer->messages,
						    BATCH_RECORDS);

	for (i = 0; i < n; i++) {
		message = consumer->messages[i];
		if (!message->err) {
			consumer->received(consumer->context, rd_kafka_topic_name(message->rkt),
					   message->payload, message->len);
			count++;
		} else {
			complain("fetch", message->err);
			consumer->failure = kafka_rc(message->err);
		}
		rd_kafka_message_destroy(message);
	}
	if (!count && !consumer->grouped)
		rd_kafka_poll(consumer->client, 0); /* errors of the client as a whole */
	return count;
}

int kafka_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	int count = receive(consumer);
	int rc;

	if (!count && timeout_us && !consumer->failure) {
		rc = kafka_signal_wait(consumer->signal, timeout_us);
		if (rc < 0)
			return rc;
		count = receive(consumer);
	}
	if (count)
		return count;
	rc = consumer->failure;
	consumer->failure = 0;
	return rc;
}
