/* A producer over libnats: what the library's asynchronous publish does, without its thread.
 *
 * Each record is published with a reply subject of its own, "INBOX.sequence", below one
 * subscription; the sequence is the window's, and JetStream answers there. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_nats.h"
#include "bench/suite/sending.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_BYTES_DEFAULT = 64 << 10,
	UNSENT_BYTES_MAX = 1 << 20,
	WINDOW_DEFAULT = 4000, /* as the Go client has it; a server refuses from 10,000 a stream */
	SUBJECT_BYTES = 96,
};

struct driver_producer {
	struct sending sending;
	struct nats_link link;
	natsSubscription *answers;
	char inbox[SUBJECT_BYTES - 24]; /* with its dot */
	size_t inbox_length;
	bool dedup;
	size_t batch_bytes;
	size_t queued_bytes; /* since it was last sent */
};

/* ---- opening ---- */

static void configure(struct driver_producer *producer, const struct driver_target *target)
{
	producer->dedup = target->dedup;
	producer->batch_bytes = target->batch_bytes_max ? target->batch_bytes_max
							: BATCH_BYTES_DEFAULT;
}

static int subscribe(struct driver_producer *producer)
{
	char subject[SUBJECT_BYTES];
	natsInbox *inbox = NULL;
	natsStatus status = natsInbox_Create(&inbox);

	if (status == NATS_OK) {
		producer->inbox_length = (size_t)snprintf(producer->inbox, sizeof(producer->inbox),
							  "%s.", (const char *)inbox);
		snprintf(subject, sizeof(subject), "%s*", producer->inbox);
		status = natsConnection_SubscribeSync(&producer->answers, producer->link.connection,
						      subject);
	}
	natsInbox_Destroy(inbox);
	/* Read at once whenever they come: the window is the limit. */
	if (status == NATS_OK)
		status = natsSubscription_SetPendingLimits(producer->answers, -1, -1);
	return status == NATS_OK ? nats_link_send(&producer->link)
				 : nats_failed("subscribe", status);
}

int nats_producer_new(const struct driver_target *target, driver_delivered *delivered,
		      void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));
	int rc;

	if (!producer)
		return -ENOMEM;
	rc = sending_init(&producer->sending, &driver_nats, target, nats_settings, WINDOW_DEFAULT,
			  delivered, context);
	configure(producer, target);
	if (rc == 0)
		rc = nats_link_open(&producer->link, target);
	if (rc == 0)
		rc = subscribe(producer);
	if (rc < 0) {
		nats_producer_free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

void nats_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	natsSubscription_Destroy(producer->answers);
	nats_link_close(&producer->link);
	sending_fini(&producer->sending);
	free(producer);
}

/* ---- produce ---- */

static int find_topic(struct driver_producer *producer, const char *name, struct topic **ret)
{
	struct nats_admin admin;
	int rc;

	*ret = topics_find(&producer->sending.topics, name);
	if (*ret)
		return 0;
	rc = nats_admin_open(&admin, producer->sending.url);
	if (rc == 0)
		rc = nats_topic(&admin, &producer->sending.topics, name, ret);
	nats_admin_close(&admin);
	return rc;
}

static natsStatus publish_with_id(struct driver_producer *producer, const char *subject,
				  const char *reply, const struct driver_record *record)
{
	natsMsg *message = NULL;
	char id[24];
	natsStatus status = natsMsg_Create(&message, subject, reply, record->value,
					   (int)record->value_bytes);

	snprintf(id, sizeof(id), "%" PRIx64, record->id);
	if (status == NATS_OK)
		status = natsMsgHeader_Set(message, "Nats-Msg-Id", id);
	if (status == NATS_OK)
		status = natsConnection_PublishMsg(producer->link.connection, message);
	natsMsg_Destroy(message);
	return status;
}

/* The inbox and a number, by hand: printf would be a good part of what a record costs. */
static void reply_write(const struct driver_producer *producer, uint64_t sequence, char *reply)
{
	char digits[24];
	size_t length = sizeof(digits);

	digits[--length] = '\0';
	do {
		digits[--length] = (char)('0' + sequence % 10);
		sequence /= 10;
	} while (sequence);
	memcpy(reply, producer->inbox, producer->inbox_length);
	memcpy(reply + producer->inbox_length, digits + length, sizeof(digits) - length);
}

static natsStatus publish(struct driver_producer *producer, const char *subject,
			  const struct driver_record *record, uint64_t sequence)
{
	char reply[SUBJECT_BYTES];

	reply_write(producer, sequence, reply);
	if (producer->dedup)
		return publish_with_id(producer, subject,
				       producer->sending.unacknowledged ? NULL : reply, record);
	if (producer->sending.unacknowledged)
		return natsConnection_Publish(producer->link.connection, subject, record->value,
					      (int)record->value_bytes);
	return natsConnection_PublishRequest(producer->link.connection, subject, reply,
					     record->value, (int)record->value_bytes);
}

static int send_queued(struct driver_producer *producer)
{
	producer->queued_bytes = 0;
	return nats_link_send(&producer->link);
}

int nats_produce(struct driver_producer *producer, const struct driver_record *record, uint64_t tag)
{
	struct topic *topic = NULL;
	unsigned partition = 0;
	natsStatus status;
	int rc = producer->sending.failure;

	if (rc < 0)
		return rc;
	if (window_full(&producer->sending.window) || producer->link.unsent >= UNSENT_BYTES_MAX)
		return -EAGAIN;
	rc = find_topic(producer, record->topic, &topic);
	if (rc == 0)
		rc = topic_route(topic, record, &partition);
	if (rc < 0)
		return rc;
	status = publish(producer, topic->partitions[partition], record,
			 producer->sending.window.next);
	if (status != NATS_OK)
		return nats_failed(record->topic, status);
	window_add(&producer->sending.window, tag);
	if (!producer->queued_bytes && producer->sending.linger_us)
		producer->sending.due_us = driver_now_us() + producer->sending.linger_us;
	producer->queued_bytes += record->value_bytes + SUBJECT_BYTES;
	if (producer->queued_bytes >= producer->batch_bytes)
		producer->sending.failure = send_queued(producer);
	return 0;
}

/* ---- what comes back ---- */

/* {"error":{...}} or {"stream":...}; a stream that is not there is nobody who answers. */
static int rc_of(struct driver_producer *producer, natsMsg *answer)
{
	static const char error[] = "{\"error\"";
	const char *data = natsMsg_GetData(answer);
	int bytes = natsMsg_GetDataLength(answer);
	bool nobody = natsMsg_IsNoResponders(answer);

	if (!nobody && (bytes < (int)sizeof(error) || memcmp(data, error, sizeof(error) - 1) != 0))
		return 0;
	if (nobody)
		sending_not_stored(&producer->sending, "no such stream", INT_MAX);
	else
		sending_not_stored(&producer->sending, data, bytes);
	return nobody ? -ENOENT : -EPROTO;
}

static int end_one(struct driver_producer *producer, natsMsg *answer)
{
	const char *subject = natsMsg_GetSubject(answer);
	uint64_t sequence = strtoull(subject + producer->inbox_length, NULL, 10);

	return sending_end(&producer->sending, sequence, rc_of(producer, answer));
}

/* Answers that have been read; where there are none, what has been sent. */
static int serve(struct driver_producer *producer)
{
	natsMsg *answer = NULL;
	int count = 0;

	if (producer->sending.failure)
		return sending_end_all(&producer->sending, producer->sending.failure);
	if (producer->sending.unacknowledged)
		return producer->queued_bytes || producer->link.unsent
			       ? 0
			       : sending_end_all(&producer->sending, 0);
	while (natsSubscription_NextMsg(&answer, producer->answers, 0) == NATS_OK) {
		count += end_one(producer, answer);
		natsMsg_Destroy(answer);
	}
	return count;
}

static int turn(struct driver_producer *producer, unsigned timeout_us, bool hurry)
{
	unsigned linger_us = hurry || !producer->queued_bytes
				     ? 0
				     : driver_left_us(producer->sending.due_us);
	int count;

	if (!producer->sending.failure && producer->queued_bytes && !linger_us)
		producer->sending.failure = send_queued(producer);
	count = serve(producer);
	if (count || !timeout_us || producer->sending.failure)
		return count ? count : producer->sending.failure;
	if (linger_us && linger_us < timeout_us)
		timeout_us = linger_us;
	producer->sending.failure = nats_link_wait(&producer->link, true, timeout_us);
	count = serve(producer);
	return count ? count : producer->sending.failure;
}

int nats_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, false);
}

static int hurry(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, true);
}

int nats_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	return window_flush(&producer->sending.window, producer, hurry, timeout_ms);
}
