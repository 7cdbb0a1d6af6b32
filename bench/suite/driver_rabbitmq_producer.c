/* A producer over librabbitmq.  The library sends each frame by itself, three a record; the socket
 * is corked meanwhile, so that records leave together, as many as came between two polls or
 * lingered. They are confirmed by their number on the channel, many by one confirm. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_rabbitmq.h"
#include "bench/suite/sending.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PERSISTENT = 2 };

struct driver_producer {
	struct sending sending; /* the broker's number is the sequence plus one */
	amqp_connection_state_t connection;
	bool corked;
};

/* ---- opening ---- */

int rabbitmq_producer_new(const struct driver_target *target, driver_delivered *delivered,
			  void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));
	int rc;

	if (!producer)
		return -ENOMEM;
	rc = sending_init(&producer->sending, &driver_rabbitmq, target, rabbitmq_settings, 0,
			  delivered, context);
	if (rc == 0)
		rc = rabbitmq_open(target->url, &producer->connection);
	if (rc == 0 && !producer->sending.unacknowledged) {
		amqp_confirm_select(producer->connection, RABBITMQ_CHANNEL);
		rc = rabbitmq_rc("confirms", amqp_get_rpc_reply(producer->connection));
	}
	if (rc < 0) {
		rabbitmq_producer_free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

void rabbitmq_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	rabbitmq_close(producer->connection);
	sending_fini(&producer->sending);
	free(producer);
}

/* ---- produce ---- */

/* On a connection of its own: an error would close the channel that the records are on. */
static int find_topic(struct driver_producer *producer, const char *name, struct topic **ret)
{
	amqp_connection_state_t connection;
	int rc;

	*ret = topics_find(&producer->sending.topics, name);
	if (*ret)
		return 0;
	rc = rabbitmq_open(producer->sending.url, &connection);
	if (rc < 0)
		return rc;
	rc = rabbitmq_topic(connection, &producer->sending.topics, name, ret);
	rabbitmq_close(connection);
	return rc;
}

static amqp_bytes_t bytes_of(const void *data, size_t bytes)
{
	/* It is only read: the library's type lacks the const. */
	return (amqp_bytes_t){.len = bytes, .bytes = (void *)(uintptr_t)data};
}

/* What fails here fails again with the next write, and says why. */
static void cork(struct driver_producer *producer, bool corked)
{
	int on = corked;

	if (producer->corked == corked)
		return;
	setsockopt(amqp_get_sockfd(producer->connection), IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
	producer->corked = corked;
	if (corked && producer->sending.linger_us)
		producer->sending.due_us = driver_now_us() + producer->sending.linger_us;
}

int rabbitmq_produce(struct driver_producer *producer, const struct driver_record *record,
		     uint64_t tag)
{
	amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
					      .delivery_mode = PERSISTENT};
	struct topic *topic = NULL;
	unsigned partition = 0;
	int status, rc = producer->sending.failure;

	if (rc < 0)
		return rc;
	if (window_full(&producer->sending.window))
		return -EAGAIN;
	rc = find_topic(producer, record->topic, &topic);
	if (rc == 0)
		rc = topic_route(topic, record, &partition);
	if (rc < 0)
		return rc;
	if (record->key) {
		properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
		properties.message_id = bytes_of(record->key, record->key_bytes);
	}
	cork(producer, true);
	status = amqp_basic_publish(producer->connection, RABBITMQ_CHANNEL, amqp_empty_bytes,
				    amqp_cstring_bytes(topic->partitions[partition]), 0, 0,
				    &properties, bytes_of(record->value, record->value_bytes));
	if (status != AMQP_STATUS_OK) {
		producer->sending.failure = rabbitmq_failed(record->topic, status);
		return producer->sending.failure;
	}
	window_add(&producer->sending.window, tag);
	return 0;
}

/* ---- what comes back ---- */

static int end(struct driver_producer *producer, uint64_t number, bool multiple, int rc)
{
	struct sending *sending = &producer->sending;

	if (!multiple)
		return sending_end(sending, number - 1, rc);
	/* Of a multiple one 0 means all. */
	return number ? sending_end_before(sending, number, rc) : sending_end_all(sending, rc);
}

static int take(struct driver_producer *producer, const amqp_frame_t *frame)
{
	const amqp_basic_nack_t *nack = frame->payload.method.decoded;
	const amqp_basic_ack_t *ack = frame->payload.method.decoded;

	if (frame->frame_type == AMQP_FRAME_METHOD &&
	    frame->payload.method.id == AMQP_BASIC_ACK_METHOD)
		return end(producer, ack->delivery_tag, ack->multiple, 0);
	if (frame->frame_type == AMQP_FRAME_METHOD &&
	    frame->payload.method.id == AMQP_BASIC_NACK_METHOD) {
		sending_not_stored(&producer->sending, "the broker refused it", INT_MAX);
		return end(producer, nack->delivery_tag, nack->multiple, -EPROTO);
	}
	producer->sending.failure = rabbitmq_ended(frame);
	return 0;
}

/* Confirms that come within the time: it is waited for the first one only. */
static int take_all(struct driver_producer *producer, unsigned timeout_us)
{
	struct timeval timeout = {.tv_sec = timeout_us / 1000000, .tv_usec = timeout_us % 1000000};
	amqp_frame_t frame;
	int status, count = 0;

	while (!producer->sending.failure) {
		amqp_maybe_release_buffers(producer->connection);
		status = amqp_simple_wait_frame_noblock(producer->connection, &frame, &timeout);
		if (status == AMQP_STATUS_TIMEOUT)
			break;
		if (status != AMQP_STATUS_OK)
			producer->sending.failure = rabbitmq_failed("confirms", status);
		else
			count += take(producer, &frame);
		timeout = (struct timeval){0};
	}
	return count;
}

static int turn(struct driver_producer *producer, unsigned timeout_us, bool hurry)
{
	unsigned linger_us = hurry || !producer->corked ? 0
							: driver_left_us(producer->sending.due_us);
	int count = 0;

	if (!linger_us)
		cork(producer, false);
	else if (linger_us < timeout_us)
		timeout_us = linger_us;
	if (!producer->sending.unacknowledged)
		count = take_all(producer, timeout_us);
	if (producer->sending.unacknowledged || producer->sending.failure)
		count += sending_end_all(&producer->sending, producer->sending.failure);
	return count ? count : producer->sending.failure;
}

int rabbitmq_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, false);
}

static int hurry(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, true);
}

int rabbitmq_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	return window_flush(&producer->sending.window, producer, hurry, timeout_ms);
}
