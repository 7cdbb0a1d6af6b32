/* A producer over librdkafka: the tag is the message's opaque pointer, the window is the library's
 * own queue limit, and delivery reports come as events, many in one. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_kafka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPEN_MS = 10000,
	FLUSH_SLICE_MS = 5,
	POLL_EVENTS_MAX = 16, /* a call's; the library puts up to a queue's length into one */
};

struct topic {
	char *name;
	rd_kafka_topic_t *handle;
};

struct driver_producer {
	rd_kafka_t *client;
	rd_kafka_queue_t *events;
	int signal;
	struct topic *topics;
	size_t topic_count;
	size_t topic_last; /* most ask for the same one again */
	driver_delivered *delivered;
	void *context;
	bool dedup;
	int failure;                    /* to be returned by poll */
	rd_kafka_resp_err_t complained; /* an outage is one sentence, not one a record */
};

static int conf_of(const struct driver_target *target, rd_kafka_conf_t **ret)
{
	char window[16], batch[16], linger[24];
	const struct kafka_setting own[] = {
		{"acks", driver_acks_text(target->acks)},
		{"queue.buffering.max.messages", target->window ? window : NULL},
		{"queue.buffering.max.kbytes", "2097151"}, /* the window alone limits */
		{"batch.size", target->batch_bytes_max ? batch : NULL},
		{"linger.ms", target->linger_us ? linger : NULL},
		{"compression.type",
		 target->compression && *target->compression ? target->compression : NULL},
		{"message.max.bytes", "17825792"}, /* batch.size bounds what is sent at once */
		{"message.timeout.ms", "30000"},
		{NULL, NULL},
	};
	int rc;

	snprintf(window, sizeof(window), "%u", target->window);
	snprintf(batch, sizeof(batch), "%u", target->batch_bytes_max);
	snprintf(linger, sizeof(linger), "%.3f", target->linger_us / 1000.0);
	rc = kafka_conf_new(target, own, ret);
	if (rc == 0)
		rd_kafka_conf_set_events(*ret, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
	return rc;
}

/* So that a wrong address is an error now and not that of every record. */
static int reach(rd_kafka_t *client, const char *url)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, NULL, &metadata, OPEN_MS);

	if (error) {
		driver_complain(&driver_kafka, "%s: %s", url, rd_kafka_err2str(error));
		return kafka_rc(error);
	}
	rd_kafka_metadata_destroy(metadata);
	return 0;
}

int kafka_producer_new(const struct driver_target *target, driver_delivered *delivered,
		       void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));
	rd_kafka_conf_t *conf;
	int rc;

	if (!producer)
		return -ENOMEM;
	*producer = (struct driver_producer){
		.signal = -1, .delivered = delivered, .context = context, .dedup = target->dedup};
	rc = conf_of(target, &conf);
	if (rc == 0)
		rc = kafka_client_new(RD_KAFKA_PRODUCER, conf, &producer->client);
	if (rc == 0)
		rc = reach(producer->client, target->url);
	if (rc == 0) {
		producer->events = rd_kafka_queue_get_main(producer->client);
		rc = kafka_signal_open(producer->events, &producer->signal);
	}
	if (rc < 0) {
		kafka_producer_free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

void kafka_producer_free(struct driver_producer *producer)
{
	size_t i;

	if (!producer)
		return;
	if (producer->client)
		rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE |
							 RD_KAFKA_PURGE_F_INFLIGHT |
							 RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (i = 0; i < producer->topic_count; i++) {
		rd_kafka_topic_destroy(producer->topics[i].handle);
		free(producer->topics[i].name);
	}
	free(producer->topics);
	if (producer->events) {
		rd_kafka_queue_io_event_enable(producer->events, -1, NULL, 0);
		rd_kafka_queue_destroy(producer->events);
	}
	if (producer->client)
		rd_kafka_destroy(producer->client);
	if (producer->signal >= 0)
		close(producer->signal);
	free(producer);
}

/* ---- produce ---- */

static int topic_add(struct driver_producer *producer, const char *name)
{
	struct topic *topics = reallocarray(producer->topics, producer->topic_count + 1,
					    sizeof(*topics));
	struct topic *topic;

	if (!topics)
		return -ENOMEM;
	producer->topics = topics;
	topic = &topics[producer->topic_count];
	topic->handle = rd_kafka_topic_new(producer->client, name, NULL);
	if (!topic->handle) {
		driver_complain(&driver_kafka, "topic %s: %s", name,
				rd_kafka_err2str(rd_kafka_last_error()));
		return -EINVAL;
	}
	topic->name = strdup(name);
	if (!topic->name) {
		rd_kafka_topic_destroy(topic->handle);
		return -ENOMEM;
	}
	producer->topic_last = producer->topic_count++;
	return 0;
}

static int topic_find(struct driver_producer *producer, const char *name, rd_kafka_topic_t **ret)
{
	size_t i = producer->topic_last;
	int rc = 0;

	if (i >= producer->topic_count || strcmp(producer->topics[i].name, name) != 0) {
		for (i = 0; i < producer->topic_count; i++)
			if (!strcmp(producer->topics[i].name, name))
				break;
		producer->topic_last = i;
		if (i == producer->topic_count)
			rc = topic_add(producer, name);
	}
	if (rc == 0)
		*ret = producer->topics[producer->topic_last].handle;
	return rc;
}

/* With the id as a header, which the plain call cannot carry. */
static rd_kafka_resp_err_t produce_with_id(struct driver_producer *producer,
					   rd_kafka_topic_t *topic,
					   const struct driver_record *record, uint64_t tag)
{
	uint64_t id = record->id;
	rd_kafka_vu_t values[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		{.vtype = RD_KAFKA_VTYPE_KEY,
		 .u.mem = {.ptr = (void *)(uintptr_t)record->key, .size = record->key_bytes}},
		{.vtype = RD_KAFKA_VTYPE_VALUE,
		 .u.mem = {.ptr = (void *)(uintptr_t)record->value, .size = record->value_bytes}},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)(uintptr_t)tag},
		{.vtype = RD_KAFKA_VTYPE_HEADER,
		 .u.header = {.name = "dedup-id", .val = &id, .size = sizeof(id)}},
	};
	rd_kafka_error_t *error = rd_kafka_produceva(producer->client, values,
						     sizeof(values) / sizeof(values[0]));
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);

	rd_kafka_error_destroy(error);
	return code;
}

static rd_kafka_resp_err_t produce_plain(rd_kafka_topic_t *topic,
					 const struct driver_record *record, uint64_t tag)
{
	/* It is copied: the library's parameter only lacks the const. */
	int rc = rd_kafka_produce(topic, record->partition, RD_KAFKA_MSG_F_COPY,
				  (void *)(uintptr_t)record->value, record->value_bytes,
				  record->key, record->key_bytes, (void *)(uintptr_t)tag);

	return rc < 0 ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
}

int kafka_produce(struct driver_producer *producer, const struct driver_record *record,
		  uint64_t tag)
{
	rd_kafka_topic_t *topic = NULL;
	rd_kafka_resp_err_t error;
	int rc = topic_find(producer, record->topic, &topic);

	if (rc < 0)
		return rc;
	error = producer->dedup ? produce_with_id(producer, topic, record, tag)
				: produce_plain(topic, record, tag);
	rc = kafka_rc(error);
	if (rc < 0 && rc != -EAGAIN && error != producer->complained) {
		producer->complained = error;
		driver_complain(&driver_kafka, "produce to %s: %s", record->topic,
				rd_kafka_err2str(error));
	}
	return rc;
}

/* ---- what comes back ---- */

static int deliver(struct driver_producer *producer, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;
	int count = 0;

	while ((message = rd_kafka_event_message_next(event))) {
		if (message->err && message->err != producer->complained) {
			producer->complained = message->err;
			driver_complain(&driver_kafka, "not delivered: %s",
					rd_kafka_err2str(message->err));
		}
		producer->delivered(producer->context, (uint64_t)(uintptr_t)message->_private,
				    kafka_rc(message->err));
		count++;
	}
	return count;
}

/* The library tries again by itself: only what it says of all brokers is our caller's matter. */
static void outage(struct driver_producer *producer, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t error = rd_kafka_event_error(event);

	if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && error != RD_KAFKA_RESP_ERR__FATAL)
		return;
	if (error != producer->complained)
		driver_complain(&driver_kafka, "%s", rd_kafka_event_error_string(event));
	producer->complained = error;
	producer->failure = kafka_rc(error);
}

/* Events that are there. */
static int serve(struct driver_producer *producer)
{
	rd_kafka_event_t *event;
	int count = 0;
	int i;

	for (i = 0; i < POLL_EVENTS_MAX; i++) {
		event = rd_kafka_queue_poll(producer->events, 0);
		if (!event)
			break;
		if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
			count += deliver(producer, event);
		else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
			outage(producer, event);
		rd_kafka_event_destroy(event);
	}
	return count;
}

static int failure_take(struct driver_producer *producer)
{
	int rc = producer->failure;

	producer->failure = 0;
	return rc;
}

int kafka_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	int count = serve(producer);
	int rc;

	if (!count && timeout_us && !producer->failure) {
		rc = kafka_signal_wait(producer->signal, timeout_us);
		if (rc < 0)
			return rc;
		count = serve(producer);
	}
	return count ? count : failure_take(producer);
}

int kafka_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	uint64_t deadline_us = driver_now_us() + (uint64_t)timeout_ms * 1000;

	/* The library's flush waits for those who read its events: for us. */
	while (rd_kafka_outq_len(producer->client) > 0) {
		serve(producer);
		if (!driver_left_us(deadline_us))
			return rd_kafka_outq_len(producer->client) ? -ETIMEDOUT : 0;
		rd_kafka_flush(producer->client, FLUSH_SLICE_MS);
	}
	return 0;
}
