/* Batches out, answers in.
 *
 * A request takes at most one batch of each partition that its broker leads.  A partition may have
 * several under way; when one of them fails and may be sent again, the partition drains: nothing
 * more is sent until all are back, and then they go again in their order.  That keeps the order
 * where all of a connection's requests fail together; a broker that fails one of several by itself
 * can still turn two batches around, unless they are numbered (enable.idempotence) or
 * max.in.flight.requests.per.connection is 1.  Over the datagram transport requests may overtake
 * one another, so there a partition has one batch under way at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "storage/compressor.h"
#include "client/producer_internal.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	PRODUCE_VERSION_MAX = 12, /* later ones name topics by id */
	BATCHES_FIRST = 16,
	REQUEST_OVERHEAD_BYTES = 64,
};

struct produce_request {
	struct sluice_client *client;
	struct broker *broker;
	struct produce_batch **batches;
	size_t count;
	size_t capacity;
	size_t bytes;
};

/* ---- answers ---- */

static uint64_t backoff_ns(const struct sluice_client *client, unsigned attempts)
{
	uint64_t pause_ms = (uint64_t)client->options.retry_backoff_ms;
	uint64_t most_ms = (uint64_t)client->options.retry_backoff_max_ms;

	for (unsigned i = 1; i < attempts && pause_ms < most_ms; i++)
		pause_ms *= 2;
	return (pause_ms < most_ms ? pause_ms : most_ms) * NS_PER_MS;
}

static void retry(struct sluice_client *client, struct produce_batch *batch, int error)
{
	struct partition *partition = batch->partition;

	client_fail(client, error, "%s/%d: sent again after: %s", partition->topic->name,
		    partition->index, sluice_error_text(client_error_of(error)));
	partition->draining = partition->in_flight > 0;
	partition->not_before_ns = loop_now() + backoff_ns(client, batch->attempts);
	produce_batch_enqueue(batch);
	cluster_refresh(client, partition->topic);
}

/* `answer` null: none came. */
static void batch_done(struct sluice_client *client, struct produce_batch *batch, int error,
		       const struct kafka_produce_response_partition_produce_response *answer)
{
	struct partition *partition = batch->partition;

	if (--partition->in_flight == 0)
		partition->draining = false;
	if (answer) {
		error = client_kafka_error(answer->error_code);
		batch->base_offset = answer->base_offset;
		batch->append_time_ms = answer->log_append_time_ms;
	}
	/* A retry of what was stored already: a success whose offset is not told. */
	if (error == -SLUICE_KAFKA(46)) {
		batch->base_offset = -1;
		error = 0;
	}
	if (error && client_retriable(error) && !client->closing &&
	    batch->attempts <= (uint64_t)client->options.retries)
		retry(client, batch, error);
	else
		produce_batch_decide(client, batch, error);
}

/* Answers come in the order of the request, so the search begins where the last one ended. */
static struct produce_batch *take_batch(struct produce_request *pr, size_t *at,
					const struct kafka_string *topic, int32_t index)
{
	for (size_t i = 0; i < pr->count; i++) {
		size_t place = (*at + i) % pr->count;
		struct produce_batch *batch = pr->batches[place];
		if (!batch || batch->partition->index != index)
			continue;
		struct kafka_string name = kafka_string_of(batch->partition->topic->name);
		if (!kafka_string_equal(&name, topic))
			continue;
		pr->batches[place] = NULL;
		*at = place + 1;
		return batch;
	}
	return NULL;
}

static void take_answers(struct produce_request *pr, const struct kafka_produce_response *response)
{
	size_t at = 0;

	for (int32_t i = 0; i < response->responses_count; i++) {
		const struct kafka_produce_response_topic_produce_response *topic =
			&response->responses[i];
		for (int32_t j = 0; j < topic->partition_responses_count; j++) {
			struct produce_batch *batch = take_batch(
				pr, &at, &topic->name, topic->partition_responses[j].index);
			if (batch)
				batch_done(pr->client, batch, 0, &topic->partition_responses[j]);
		}
	}
}

static void produce_request_free(struct produce_request *pr)
{
	free(pr->batches);
	free(pr);
}

static void produce_done(struct request *request, int rc)
{
	struct produce_request *pr = request->user;
	struct sluice_client *client = pr->client;

	pr->broker->produce_in_flight--;
	client->producer.in_flight--;
	if (rc == 0 && request->response)
		take_answers(pr, request->response);
	else if (rc == 0) /* acks=0: the bytes have left */
		rc = -ENOMSG;
	else
		rc = client_error_of(rc);
	for (size_t i = 0; i < pr->count; i++) {
		if (pr->batches[i])
			batch_done(client, pr->batches[i],
				   rc == -ENOMSG ? 0
				   : rc          ? rc
						 : -EPROTO,
				   NULL);
	}
	produce_request_free(pr);
	request_free(request);
}

/* ---- requests ---- */

/* Not by where they lie in memory: the same records make the same requests. */
static int by_topic(const void *a, const void *b)
{
	const struct topic *one = (*(struct produce_batch *const *)a)->partition->topic;
	const struct topic *other = (*(struct produce_batch *const *)b)->partition->topic;

	return one == other ? 0 : strcmp(one->name, other->name);
}

static int fill_message(struct produce_request *pr, struct request *request)
{
	static const int16_t acks[] = {
		[CLIENT_ACKS_0] = 0, [CLIENT_ACKS_1] = 1, [CLIENT_ACKS_ALL] = -1};
	struct kafka_produce_request *message = request->message;
	struct kafka_produce_request_partition_produce_data *data =
		arena_calloc(&request->arena, pr->count, sizeof(*data));

	message->topic_data = arena_calloc(&request->arena, pr->count,
					   sizeof(*message->topic_data));
	if (!data || !message->topic_data)
		return -ENOMEM;
	message->transactional_id = kafka_string_of(NULL);
	message->acks = acks[pr->client->options.acks];
	message->timeout_ms = (int32_t)pr->client->options.request_timeout_ms;
	qsort(pr->batches, pr->count, sizeof(struct produce_batch *), by_topic);
	const struct topic *topic = NULL;
	for (size_t i = 0; i < pr->count; i++) {
		struct produce_batch *batch = pr->batches[i];
		if (batch->partition->topic != topic) {
			topic = batch->partition->topic;
			struct kafka_produce_request_topic_produce_data *entry =
				&message->topic_data[message->topic_data_count++];
			entry->name = kafka_string_of(topic->name);
			entry->partition_data = &data[i];
		}
		message->topic_data[message->topic_data_count - 1].partition_data_count++;
		data[i].index = batch->partition->index;
		data[i].records = (struct kafka_records){.data = batch->builder.data,
							 .length = (int32_t)batch->builder.size};
	}
	return 0;
}

/* Sends what was gathered for one broker. */
static void send_request(struct produce_request *pr)
{
	struct sluice_client *client = pr->client;
	struct request *request = request_new(KAFKA_PRODUCE, produce_done, pr);

	if (!request || fill_message(pr, request) < 0) {
		request_free(request);
		for (size_t i = 0; i < pr->count; i++)
			batch_done(client, pr->batches[i], -ENOMEM, NULL);
		produce_request_free(pr);
		return;
	}
	request->version_max = PRODUCE_VERSION_MAX;
	if (client->options.acks == CLIENT_ACKS_0)
		request->flags = CHANNEL_NO_RESPONSE;
	pr->broker->produce_in_flight++;
	client->producer.in_flight++;
	peer_send(&pr->broker->peers[BROKER_MAIN], request, 0);
}

static int request_add(struct produce_request *pr, struct produce_batch *batch)
{
	if (pr->count == pr->capacity) {
		size_t capacity = pr->capacity ? pr->capacity * 2 : BATCHES_FIRST;
		struct produce_batch **batches = realloc(pr->batches,
							 capacity * sizeof(struct produce_batch *));
		if (!batches)
			return -ENOMEM;
		pr->batches = batches;
		pr->capacity = capacity;
	}
	pr->batches[pr->count++] = batch;
	pr->bytes += batch->builder.size + REQUEST_OVERHEAD_BYTES;
	return 0;
}

/* ---- what may be sent ---- */

static int make_ready(struct sluice_client *client, struct produce_batch *batch)
{
	struct producer *producer = &client->producer;
	struct partition *partition = batch->partition;

	if (!batch->compressed && client->options.codec != CODEC_NONE) {
		int rc = builder_compress(&batch->builder, producer->compressor,
					  (unsigned)client->options.codec);
		if (rc < 0)
			return rc;
	}
	if (!batch->compressed || (client->options.idempotence && batch->sequence < 0)) {
		if (client->options.idempotence) {
			batch->sequence = partition->next_sequence;
			partition->next_sequence = (int32_t)(((uint32_t)batch->sequence +
							      (uint32_t)batch->builder.count) &
							     INT32_MAX);
		}
		batch_build_seal(&batch->builder, producer->producer_id, producer->producer_epoch,
				 batch->sequence);
	}
	batch->compressed = true;
	return 0;
}

static struct produce_batch *first_ready(struct partition *partition)
{
	return list_empty(&partition->ready)
		       ? NULL
		       : container_of(partition->ready.next, struct produce_batch, link);
}

/* The broker that may be sent the partition's next batch now.  Null: none; *next_ns is then lowered
 * where only time is missing. */
static struct broker *sendable(struct sluice_client *client, struct partition *partition,
			       uint64_t now_ns, uint64_t *next_ns)
{
	unsigned most = (unsigned)client->options.in_flight_max;

	if (partition->draining || partition->in_flight >= most || list_empty(&partition->ready))
		return NULL;
	/* Until the new id only what has its numbers already. */
	if (client->producer.renew_id && first_ready(partition)->sequence < 0)
		return NULL;
	if (partition->not_before_ns > now_ns) {
		if (partition->not_before_ns < *next_ns)
			*next_ns = partition->not_before_ns;
		return NULL;
	}
	struct broker *broker = cluster_leader(client, partition);
	if (!broker) {
		cluster_refresh(client, NULL);
		return NULL;
	}
	/* Where requests overtake one another a partition has one batch under way. */
	if (partition->in_flight > 0 && !broker->peers[BROKER_MAIN].ops->ordered)
		return NULL;
	return broker->produce_in_flight < most ? broker : NULL;
}

static struct produce_request *request_for(struct sluice_client *client, struct broker *broker)
{
	if (!broker->gathering) {
		struct produce_request *pr = calloc(1, sizeof(*pr));
		if (!pr)
			return NULL;
		pr->client = client;
		pr->broker = broker;
		broker->gathering = pr;
	}
	return broker->gathering;
}

static void gather(struct sluice_client *client, struct broker *broker, struct partition *partition)
{
	struct produce_batch *batch = first_ready(partition);
	struct produce_request *pr = request_for(client, broker);

	if (!pr)
		return;
	/* Full: the batch comes along in the next round. */
	if (pr->count > 0 &&
	    pr->bytes + batch->builder.size > (size_t)client->options.request_bytes_max)
		return;
	int rc = make_ready(client, batch);
	if (rc == 0)
		rc = request_add(pr, batch);
	list_remove(&batch->link);
	if (rc < 0) {
		produce_batch_decide(client, batch, rc);
		return;
	}
	batch->attempts++;
	partition->in_flight++;
}

/* One request a broker.  Returns whether any was sent. */
static bool send_round(struct sluice_client *client, uint64_t now_ns, uint64_t *next_ns)
{
	bool sent = false;

	list_foreach(node, &client->producer.active) {
		struct partition *partition = container_of(node, struct partition, active);
		struct broker *broker = sendable(client, partition, now_ns, next_ns);
		if (broker)
			gather(client, broker, partition);
	}
	list_foreach(node, &client->cluster.brokers) {
		struct broker *broker = container_of(node, struct broker, link);
		struct produce_request *pr = broker->gathering;
		broker->gathering = NULL;
		if (pr && pr->count > 0) {
			send_request(pr);
			sent = true;
		} else if (pr) {
			produce_request_free(pr);
		}
	}
	return sent;
}

/* ---- numbering ---- */

static void id_done(struct request *request, int rc)
{
	struct sluice_client *client = request->user;
	struct producer *producer = &client->producer;
	const struct kafka_init_producer_id_response *response = request->response;

	producer->asking_id = false;
	rc = rc < 0 ? client_error_of(rc) : client_kafka_error(response->error_code);
	if (rc < 0) {
		client_fail(client, rc, "no producer id: %s", sluice_error_text(rc));
		producer->id_not_before_ns = loop_now() + backoff_ns(client, ++producer->attempts);
	} else {
		producer->attempts = 0;
		producer->producer_id = response->producer_id;
		producer->producer_epoch = response->producer_epoch;
	}
	request_free(request);
}

static void ask_id(struct sluice_client *client)
{
	struct producer *producer = &client->producer;
	struct request *request = request_new(KAFKA_INIT_PRODUCER_ID, id_done, client);

	if (!request)
		return;
	struct kafka_init_producer_id_request *message = request->message;
	message->transactional_id = kafka_string_of(NULL);
	message->transaction_timeout_ms = INT32_MAX;
	message->producer_id = -1;
	message->producer_epoch = -1;
	producer->asking_id = true;
	peer_send(&cluster_any(client, producer->attempts)->peers[BROKER_MAIN], request, 0);
}

/* A batch that was sent may be stored: under other numbers it would be stored twice.  It keeps its
 * own until its fate is known, and those behind it wait. */
static bool any_numbered(struct sluice_client *client)
{
	list_foreach(node, &client->producer.active) {
		struct partition *partition = container_of(node, struct partition, active);
		struct produce_batch *batch = first_ready(partition);
		if (batch && batch->sequence >= 0)
			return true;
	}
	return false;
}

/* All numbers begin anew under the next epoch, as Kafka's clients do; nothing is under way,
 * or was.  What was given up, and the broker has yet to look at, is refused behind what is sent
 * from now on. */
static void forget_numbers(struct sluice_client *client)
{
	struct producer *producer = &client->producer;

	list_foreach(topic_node, &client->cluster.topics) {
		struct topic *topic = container_of(topic_node, struct topic, link);
		for (int32_t i = 0; i < topic->partition_count; i++) {
			struct partition *partition = topic->partitions[i];
			partition->next_sequence = 0;
		}
	}
	if (producer->producer_epoch < INT16_MAX - 1)
		producer->producer_epoch++;
	else
		producer->producer_id = -1;
	producer->renew_id = false;
}

/* Whether batches may be sent as far as their numbers are concerned. */
static bool numbers_ready(struct sluice_client *client, uint64_t now_ns, uint64_t *next_ns)
{
	struct producer *producer = &client->producer;

	if (!client->options.idempotence)
		return true;
	if (producer->renew_id) {
		if (any_numbered(client))
			return true;
		if (producer->in_flight > 0)
			return false;
		forget_numbers(client);
	}
	if (producer->producer_id >= 0)
		return true;
	if (producer->asking_id)
		return false;
	if (producer->id_not_before_ns > now_ns)
		*next_ns = producer->id_not_before_ns;
	else
		ask_id(client);
	return false;
}

uint64_t produce_send(struct sluice_client *client, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	if (!numbers_ready(client, now_ns, &next_ns))
		return next_ns;
	while (send_round(client, now_ns, &next_ns))
		;
	return next_ns;
}
