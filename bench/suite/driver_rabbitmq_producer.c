/* A producer over librabbitmq.  The library sends each frame by itself, three a record; the socket
 * is corked meanwhile, so that records leave together, as many as came between two polls or
 * lingered. They are confirmed by their number on the channel, many by one confirm. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_rabbitmq.h"
#include "bench/suite/window.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PERSISTENT = 2 };

struct driver_producer {
	amqp_connection_state_t connection;
	char *url;
	struct window window; /* the broker's number is the sequence plus one */
	struct topics topics;
	driver_delivered *delivered;
	void *context;
	bool unacknowledged;
	bool corked;
	unsigned linger_us;
	uint64_t due_us; /* when the cork is to be drawn */
	int failure;
	bool complained;
};

/* ---- opening ---- */

static int configure(struct driver_producer *producer, const struct driver_target *target)
{
	int rc = driver_settings_check(&driver_rabbitmq, target->settings, rabbitmq_settings);

	if (rc == 0)
		rc = driver_no_compression(&driver_rabbitmq, target);
	if (rc < 0)
		return rc;
	producer->unacknowledged = target->acks == DRIVER_ACKS_NONE;
	producer->linger_us = target->linger_us;
	producer->url = strdup(target->url);
	return producer->url ? window_init(&producer->window, target->window) : -ENOMEM;
}

int rabbitmq_producer_new(const struct driver_target *target, driver_delivered *delivered,
			  void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));
	int rc;

	if (!producer)
		return -ENOMEM;
	producer->delivered = delivered;
	producer->context = context;
	rc = configure(producer, target);
	if (rc == 0)
		rc = rabbitmq_open(target->url, &producer->connection);
	if (rc == 0 && !producer->unacknowledged) {
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
	topics_fini(&producer->topics);
	window_fini(&producer->window);
	free(producer->url);
	free(producer);
}

/* ---- produce ---- */

/* On a connection of its own: an error would close the channel that the records are on. */
static int find_topic(struct driver_producer *producer, const char *name, struct topic **ret)
{
	amqp_connection_state_t connection;
	int rc;

	*ret = topics_find(&producer->topics, name);
	if (*ret)
		return 0;
	rc = rabbitmq_open(producer->url, &connection);
	if (rc < 0)
		return rc;
	rc = rabbitmq_topic(connection, &producer->topics, name, ret);
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
	if (corked && producer->linger_us)
		producer->due_us = driver_now_us() + producer->linger_us;
}

int rabbitmq_produce(struct driver_producer *producer, const struct driver_record *record,
		     uint64_t tag)
{
	amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
					      .delivery_mode = PERSISTENT};
	struct topic *topic = NULL;
	unsigned partition = 0;
	int status, rc = producer->failure;

	if (rc < 0)
		return rc;
	if (window_full(&producer->window))
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
		producer->failure = rabbitmq_failed(record->topic, status);
		return producer->failure;
	}
	window_add(&producer->window, tag);
	return 0;
}

/* ---- what comes back ---- */

static int end_all(struct driver_producer *producer, int rc)
{
	return window_end_before(&producer->window, producer->window.next, producer->delivered,
				 producer->context, rc);
}

static int end(struct driver_producer *producer, uint64_t number, bool multiple, int rc)
{
	uint64_t tag;

	/* Of a multiple one 0 means all. */
	if (multiple)
		return window_end_before(&producer->window, number ? number : producer->window.next,
					 producer->delivered, producer->context, rc);
	if (window_end(&producer->window, number - 1, &tag) < 0)
		return 0;
	producer->delivered(producer->context, tag, rc);
	return 1;
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
		if (!producer->complained)
			driver_complain(&driver_rabbitmq, "not stored: the broker refused it");
		producer->complained = true;
		return end(producer, nack->delivery_tag, nack->multiple, -EPROTO);
	}
	producer->failure = rabbitmq_ended(frame);
	return 0;
}

/* Confirms that come within the time: it is waited for the first one only. */
static int take_all(struct driver_producer *producer, unsigned timeout_us)
{
	struct timeval timeout = {.tv_sec = timeout_us / 1000000, .tv_usec = timeout_us % 1000000};
	amqp_frame_t frame;
	int status, count = 0;

	while (!producer->failure) {
		amqp_maybe_release_buffers(producer->connection);
		status = amqp_simple_wait_frame_noblock(producer->connection, &frame, &timeout);
		if (status == AMQP_STATUS_TIMEOUT)
			break;
		if (status != AMQP_STATUS_OK)
			producer->failure = rabbitmq_failed("confirms", status);
		else
			count += take(producer, &frame);
		timeout = (struct timeval){0};
	}
	return count;
}

static int turn(struct driver_producer *producer, unsigned timeout_us, bool hurry)
{
	unsigned linger_us = hurry || !producer->corked ? 0 : driver_left_us(producer->due_us);
	int count = 0;

	if (!linger_us)
		cork(producer, false);
	else if (linger_us < timeout_us)
		timeout_us = linger_us;
	if (!producer->unacknowledged)
		count = take_all(producer, timeout_us);
	if (producer->unacknowledged || producer->failure)
		count += end_all(producer, producer->failure);
	return count ? count : producer->failure;
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
	return window_flush(&producer->window, producer, hurry, timeout_ms);
}
