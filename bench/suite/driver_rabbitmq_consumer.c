/* A consumer over librabbitmq: one AMQP consumer a queue on one channel.  Acknowledgements are a
 * stream's credit, nothing more: they leave for many records at once. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_rabbitmq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PREFETCH_DEFAULT = 1000,
	POLL_RECORDS_MAX = 1000,
};

struct driver_consumer {
	amqp_connection_state_t connection;
	struct topics topics;
	const char **sources; /* of which topic, by the number that is the consumer's tag */
	size_t source_count;
	unsigned prefetch;
	unsigned unacknowledged;
	int failure;
	driver_received *received;
	void *context;
};

static int consume(struct driver_consumer *consumer, const struct topic *topic, unsigned partition,
		   bool from_earliest)
{
	amqp_table_entry_t offset = {
		.key = amqp_cstring_bytes("x-stream-offset"),
		.value = {.kind = AMQP_FIELD_KIND_UTF8,
			  .value.bytes = amqp_cstring_bytes(from_earliest ? "first" : "next")}};
	amqp_table_t arguments = {.num_entries = 1, .entries = &offset};
	char tag[24];

	snprintf(tag, sizeof(tag), "%zu", consumer->source_count);
	consumer->sources[consumer->source_count++] = topic->name;
	amqp_basic_consume(consumer->connection, RABBITMQ_CHANNEL,
			   amqp_cstring_bytes(topic->partitions[partition]),
			   amqp_cstring_bytes(tag), 0, 0, 0, arguments);
	return rabbitmq_rc(topic->partitions[partition], amqp_get_rpc_reply(consumer->connection));
}

static int consume_topic(struct driver_consumer *consumer, const struct topic *topic,
			 const struct driver_consumer_options *options)
{
	const char **sources = reallocarray(consumer->sources,
					    consumer->source_count + topic->partition_count,
					    sizeof(*sources));
	unsigned p;
	int rc = 0;

	if (!sources)
		return -ENOMEM;
	consumer->sources = sources;
	for (p = options->share_index; rc == 0 && p < topic->partition_count;
	     p += options->share_count)
		rc = consume(consumer, topic, p, options->from_earliest);
	return rc;
}

/* All are looked for before the prefetch is set: that ends with the channel, and so with the first
 * queue that is not there. */
static int consume_all(struct driver_consumer *consumer,
		       const struct driver_consumer_options *options)
{
	const char *const *name;
	struct topic *topic;
	int rc = 0;

	for (name = options->topics; rc == 0 && *name; name++)
		rc = rabbitmq_topic(consumer->connection, &consumer->topics, *name, &topic);
	if (rc < 0)
		return rc;
	amqp_basic_qos(consumer->connection, RABBITMQ_CHANNEL, 0, (uint16_t)consumer->prefetch, 0);
	rc = rabbitmq_rc("prefetch", amqp_get_rpc_reply(consumer->connection));
	for (name = options->topics; rc == 0 && *name; name++)
		rc = consume_topic(consumer, topics_find(&consumer->topics, *name), options);
	return rc;
}

static int configure(struct driver_consumer *consumer, const struct driver_target *target,
		     const struct driver_consumer_options *options)
{
	uint64_t prefetch = 0;
	int rc = driver_settings_check(&driver_rabbitmq, target->settings, rabbitmq_settings);

	if (rc == 0)
		rc = driver_setting_number(&driver_rabbitmq, target, "prefetch", PREFETCH_DEFAULT,
					   1, UINT16_MAX, &prefetch);
	if (rc == 0 && options->group) {
		driver_complain(&driver_rabbitmq,
				"a stream gives each consumer all of its records: no groups");
		rc = -EOPNOTSUPP;
	}
	if (rc < 0)
		return rc;
	consumer->prefetch = (unsigned)prefetch;
	consumer->received = options->received;
	consumer->context = options->context;
	return 0;
}

int rabbitmq_consumer_new(const struct driver_target *target,
			  const struct driver_consumer_options *options,
			  struct driver_consumer **ret)
{
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	int rc;

	if (!consumer)
		return -ENOMEM;
	rc = configure(consumer, target, options);
	if (rc == 0)
		rc = rabbitmq_open(target->url, &consumer->connection);
	if (rc == 0)
		rc = consume_all(consumer, options);
	if (rc < 0) {
		rabbitmq_consumer_free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

void rabbitmq_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	rabbitmq_close(consumer->connection);
	topics_fini(&consumer->topics);
	free(consumer->sources);
	free(consumer);
}

/* ---- records ---- */

/* Each of the queues has a prefetch of its own: half of one, taken from all, leaves none dry. */
static int acknowledge(struct driver_consumer *consumer, uint64_t number)
{
	int status;

	if (++consumer->unacknowledged < (consumer->prefetch + 1) / 2)
		return 0;
	consumer->unacknowledged = 0;
	status = amqp_basic_ack(consumer->connection, RABBITMQ_CHANNEL, number, 1);
	return status == AMQP_STATUS_OK ? 0 : rabbitmq_failed("acknowledge", status);
}

static int take(struct driver_consumer *consumer, const amqp_envelope_t *envelope)
{
	char tag[24] = "";
	size_t source;

	if (envelope->consumer_tag.len < sizeof(tag))
		memcpy(tag, envelope->consumer_tag.bytes, envelope->consumer_tag.len);
	source = strtoul(tag, NULL, 10);
	if (!*tag || source >= consumer->source_count) {
		driver_complain(&driver_rabbitmq, "a record for consumer '%s'", tag);
		consumer->failure = -EPROTO;
		return 0;
	}
	consumer->received(consumer->context, consumer->sources[source],
			   envelope->message.body.bytes, envelope->message.body.len);
	consumer->failure = acknowledge(consumer, envelope->delivery_tag);
	return 1;
}

/* What is no delivery ends the consumer. */
static int unexpected(struct driver_consumer *consumer)
{
	amqp_frame_t frame;
	int status = amqp_simple_wait_frame(consumer->connection, &frame);

	return status == AMQP_STATUS_OK ? rabbitmq_ended(&frame)
					: rabbitmq_failed("consume", status);
}

/* 0: none came in time. */
static int receive(struct driver_consumer *consumer, struct timeval *timeout)
{
	amqp_envelope_t envelope;
	amqp_rpc_reply_t reply;
	int count;

	amqp_maybe_release_buffers(consumer->connection);
	reply = amqp_consume_message(consumer->connection, &envelope, timeout, 0);
	if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
		count = take(consumer, &envelope);
		amqp_destroy_envelope(&envelope);
		return count;
	}
	if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
	    reply.library_error == AMQP_STATUS_TIMEOUT)
		return 0;
	consumer->failure = reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
					    reply.library_error == AMQP_STATUS_UNEXPECTED_STATE
				    ? unexpected(consumer)
				    : rabbitmq_rc("consume", reply);
	return 0;
}

int rabbitmq_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	struct timeval timeout = {.tv_sec = timeout_us / 1000000, .tv_usec = timeout_us % 1000000};
	int count = 0;

	while (!consumer->failure && count < POLL_RECORDS_MAX && receive(consumer, &timeout)) {
		timeout = (struct timeval){0};
		count++;
	}
	return count ? count : consumer->failure;
}
