/* What brokers are asked for the assigned partitions: offsets where they are to be looked up
 * (ListOffsets, on the main connection), records elsewhere (Fetch, on a connection of its own, one
 * at a time for each broker, waiting there for records to come).
 *
 * Answers name topic and partition; the generation noted in the request tells whether the user has
 * moved the partition meanwhile. */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/consumer_internal.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	FETCH_VERSION_MAX = 12, /* later ones name topics by id */
	LIST_OFFSETS_VERSION_MAX = 7,
	TOPIC_TEXT_BYTES = 256,
};

/* One assignment in a request. */
struct asked {
	struct topic *topic;
	int32_t partition;
	unsigned generation;
};

struct ask {
	struct sluice_client *client;
	struct broker *broker;
	struct asked *asked;
	size_t count;
	size_t capacity;
};

static void ask_free(struct ask *ask)
{
	if (!ask)
		return;
	free(ask->asked);
	free(ask);
}

/* The assignment that an answer is for; null: gone, moved, or never asked for. */
static struct assignment *answered(struct ask *ask, const struct kafka_string *topic,
				   int32_t partition)
{
	char name[TOPIC_TEXT_BYTES];

	if (topic->length < 0 || (size_t)topic->length >= sizeof(name))
		return NULL;
	memcpy(name, topic->data, (size_t)topic->length);
	name[topic->length] = 0;
	struct assignment *assignment = consumer_find(ask->client, name, partition);
	for (size_t i = 0; assignment && i < ask->count; i++) {
		if (ask->asked[i].topic == assignment->topic &&
		    ask->asked[i].partition == partition)
			return ask->asked[i].generation == assignment->generation ? assignment
										  : NULL;
	}
	return NULL;
}

static void back_off(struct sluice_client *client, struct assignment *assignment)
{
	uint64_t pause_ms = (uint64_t)client->options.retry_backoff_ms;
	uint64_t most_ms = (uint64_t)client->options.retry_backoff_max_ms;

	for (unsigned i = 0; i < assignment->failures && pause_ms < most_ms; i++)
		pause_ms *= 2;
	assignment->failures++;
	assignment->not_before_ns = loop_now() +
				    (pause_ms < most_ms ? pause_ms : most_ms) * NS_PER_MS;
}

/* `error` in the user's space. */
static void failed(struct sluice_client *client, struct assignment *assignment, int error)
{
	bool unknown = error == -SLUICE_KAFKA(KAFKA_UNKNOWN_TOPIC_OR_PARTITION);

	back_off(client, assignment);
	cluster_refresh(client, unknown ? NULL : assignment->topic);
	/* What may pass is told only when it lasts. */
	if (!client_retriable(error) || assignment->failures > 1)
		consumer_trouble(client, assignment, error);
}

static void succeeded(struct assignment *assignment)
{
	assignment->failures = 0;
	assignment->told = 0;
}

/* ---- looking up offsets ---- */

static void take_offset(
	struct ask *ask, struct assignment *assignment,
	const struct kafka_list_offsets_response_list_offsets_partition_response *answer)
{
	int error = client_kafka_error(answer->error_code);

	assignment->asking = false;
	if (error) {
		failed(ask->client, assignment, error);
		return;
	}
	if (answer->offset < 0) {
		/* No record as late as that: from the end on. */
		consumer_look_up(assignment, SLUICE_LATEST);
		return;
	}
	succeeded(assignment);
	assignment->looking_up = false;
	assignment->fetch_offset = answer->offset;
	assignment->position = answer->offset;
}

/* The connection failed: every one of them is asked anew. */
static void ask_failed(struct ask *ask, int rc)
{
	for (size_t i = 0; i < ask->count; i++) {
		struct assignment *assignment = consumer_find(
			ask->client, ask->asked[i].topic->name, ask->asked[i].partition);
		if (!assignment || assignment->generation != ask->asked[i].generation)
			continue;
		assignment->asking = false;
		failed(ask->client, assignment, rc);
	}
}

static void offsets_done(struct request *request, int rc)
{
	struct ask *ask = request->user;
	const struct kafka_list_offsets_response *response = request->response;

	if (rc < 0 && !ask->client->closing)
		ask_failed(ask, client_error_of(rc));
	for (int32_t i = 0; rc == 0 && i < response->topics_count; i++) {
		const struct kafka_list_offsets_response_list_offsets_topic_response *topic =
			&response->topics[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			struct assignment *assignment =
				answered(ask, &topic->name, topic->partitions[j].partition_index);
			if (assignment)
				take_offset(ask, assignment, &topic->partitions[j]);
		}
	}
	ask_free(ask);
	request_free(request);
}

static int fill_offsets(struct ask *ask, struct request *request)
{
	struct kafka_list_offsets_request *message = request->message;
	struct kafka_list_offsets_request_list_offsets_topic *topics =
		arena_calloc(&request->arena, ask->count, sizeof(*topics));
	struct kafka_list_offsets_request_list_offsets_partition *partitions =
		arena_calloc(&request->arena, ask->count, sizeof(*partitions));

	if (!topics || !partitions)
		return -ENOMEM;
	message->replica_id = -1;
	message->topics = topics;
	for (size_t i = 0; i < ask->count; i++) {
		const struct asked *asked = &ask->asked[i];
		struct assignment *assignment = consumer_find(ask->client, asked->topic->name,
							      asked->partition);
		/* Neighbours of one topic share an entry. */
		if (i == 0 || asked->topic != ask->asked[i - 1].topic) {
			topics[message->topics_count].name = kafka_string_of(asked->topic->name);
			topics[message->topics_count++].partitions = &partitions[i];
		}
		topics[message->topics_count - 1].partitions_count++;
		partitions[i].partition_index = asked->partition;
		partitions[i].current_leader_epoch = -1;
		partitions[i].timestamp = assignment->look_up_ms;
		assignment->asking = true;
	}
	return 0;
}

/* ---- fetching ---- */

/* Whole batches of one partition, into the queue.  Returns how many; -ERR_CORRUPT. */
static int take_batches(struct sluice_client *client, struct assignment *assignment,
			struct channel_buffer *frame, const struct kafka_records *records,
			int64_t high_watermark)
{
	const uint8_t *at = records->data;
	size_t left = records->length > 0 ? (size_t)records->length : 0;
	struct batch header;
	int taken = 0;

	while (left > 0) {
		int rc = batch_parse(&header, at, left);
		/* The last one may be cut short. */
		if (rc == -EMSGSIZE || left < BATCH_HEADER_BYTES)
			break;
		if (rc < 0)
			return rc;
		int64_t next = header.base_offset + header.last_offset_delta + 1;
		bool wanted = next > assignment->fetch_offset;
		if (wanted && !(header.attributes & BATCH_CONTROL)) {
			struct sluice_batch *batch = calloc(1, sizeof(*batch));
			if (!batch)
				return -ENOMEM;
			*batch = (struct sluice_batch){
				.client = client,
				.assignment = assignment,
				.topic = assignment->topic,
				.partition = assignment->partition,
				.high_watermark = high_watermark,
				.first_offset = assignment->fetch_offset,
				.frame = frame,
				.data = at,
				.header = header,
			};
			channel_buffer_acquire(frame);
			list_push_back(&client->consumer.fetched, &batch->link);
			assignment->queued_bytes += header.size;
			taken++;
		}
		if (wanted)
			assignment->fetch_offset = next;
		at += header.size;
		left -= header.size;
	}
	return taken;
}

static void out_of_range(struct sluice_client *client, struct assignment *assignment, int error)
{
	switch (client->options.offset_reset) {
	case CLIENT_RESET_EARLIEST:
		consumer_look_up(assignment, SLUICE_EARLIEST);
		break;
	case CLIENT_RESET_LATEST:
		consumer_look_up(assignment, SLUICE_LATEST);
		break;
	default:
		failed(client, assignment, error);
	}
}

static void take_partition(struct ask *ask, struct assignment *assignment,
			   struct channel_buffer *frame,
			   const struct kafka_fetch_response_partition_data *answer)
{
	struct sluice_client *client = ask->client;
	int error = client_kafka_error(answer->error_code);

	if (answer->error_code == KAFKA_OFFSET_OUT_OF_RANGE) {
		out_of_range(client, assignment, error);
		return;
	}
	if (!error) {
		int rc = take_batches(client, assignment, frame, &answer->records,
				      answer->high_watermark);
		error = rc < 0 ? client_error_of(rc) : 0;
	}
	if (error)
		failed(client, assignment, error);
	else
		succeeded(assignment);
}

static void take_fetched(struct ask *ask, struct request *request)
{
	const struct kafka_fetch_response *response = request->response;

	for (int32_t i = 0; i < response->responses_count; i++) {
		const struct kafka_fetch_response_fetchable_topic_response *topic =
			&response->responses[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			struct assignment *assignment =
				answered(ask, &topic->topic, topic->partitions[j].partition_index);
			if (assignment && !assignment->looking_up)
				take_partition(ask, assignment, request->frame,
					       &topic->partitions[j]);
		}
	}
}

static void fetch_done(struct request *request, int rc)
{
	struct ask *ask = request->user;
	const struct kafka_fetch_response *response = request->response;

	ask->broker->fetching = false;
	if (rc == 0 && response->error_code)
		rc = client_kafka_error(response->error_code);
	if (rc == 0)
		take_fetched(ask, request);
	else if (!ask->client->closing)
		ask_failed(ask, client_error_of(rc));
	ask_free(ask);
	request_free(request);
}

/* What is assigned, moved or resumed while a fetch waits is left out until that ends: so none waits
 * for longer than all has been as it is. */
static int32_t wait_ms(const struct sluice_client *client)
{
	uint64_t settled_ms = (loop_now() - client->consumer.changed_ns) / NS_PER_MS;
	uint64_t most_ms = (uint64_t)client->options.fetch_max_wait_ms;

	return (int32_t)(settled_ms < most_ms ? settled_ms : most_ms);
}

static int fill_fetch(struct ask *ask, struct request *request)
{
	const struct sluice_options *options = &ask->client->options;
	struct kafka_fetch_request *message = request->message;
	struct kafka_fetch_request_fetch_topic *topics = arena_calloc(&request->arena, ask->count,
								      sizeof(*topics));
	struct kafka_fetch_request_fetch_partition *partitions =
		arena_calloc(&request->arena, ask->count, sizeof(*partitions));

	if (!topics || !partitions)
		return -ENOMEM;
	message->replica_id = -1;
	message->max_wait_ms = wait_ms(ask->client);
	message->min_bytes = (int32_t)options->fetch_min_bytes;
	message->max_bytes = (int32_t)options->fetch_max_bytes;
	message->session_epoch = -1; /* without a session */
	message->topics = topics;
	for (size_t i = 0; i < ask->count; i++) {
		const struct asked *asked = &ask->asked[i];
		struct assignment *assignment = consumer_find(ask->client, asked->topic->name,
							      asked->partition);
		if (i == 0 || asked->topic != ask->asked[i - 1].topic) {
			topics[message->topics_count].topic = kafka_string_of(asked->topic->name);
			topics[message->topics_count++].partitions = &partitions[i];
		}
		topics[message->topics_count - 1].partitions_count++;
		partitions[i].partition = asked->partition;
		partitions[i].current_leader_epoch = -1;
		partitions[i].last_fetched_epoch = -1;
		partitions[i].log_start_offset = -1;
		partitions[i].fetch_offset = assignment->fetch_offset;
		partitions[i].partition_max_bytes = (int32_t)options->partition_max_bytes;
	}
	return 0;
}

/* ---- what is to be asked ---- */

/* Why a partition cannot be asked about is told once; null then, and where there is nothing to ask.
 * *next_ns is lowered where only time is missing. */
static struct broker *leader_of(struct sluice_client *client, struct assignment *assignment,
				uint64_t now_ns, uint64_t *next_ns)
{
	struct topic *topic = assignment->topic;

	if (assignment->not_before_ns > now_ns) {
		if (assignment->not_before_ns < *next_ns)
			*next_ns = assignment->not_before_ns;
		return NULL;
	}
	if (topic->error) {
		consumer_trouble(client, assignment, topic->error);
		back_off(client, assignment);
		cluster_refresh(client, topic);
		return NULL;
	}
	if (!topic->answered)
		return NULL;
	if (assignment->partition >= topic->partition_count) {
		failed(client, assignment, client_kafka_error(KAFKA_UNKNOWN_TOPIC_OR_PARTITION));
		return NULL;
	}
	struct broker *broker = cluster_leader(client, topic->partitions[assignment->partition]);
	if (!broker)
		cluster_refresh(client, NULL);
	return broker;
}

static bool has_room(const struct sluice_client *client, const struct assignment *assignment)
{
	return assignment->queued_bytes < (size_t)client->options.partition_max_bytes;
}

static bool to_be_asked(const struct sluice_client *client, const struct assignment *assignment,
			const struct broker *broker, bool offsets)
{
	if (offsets)
		return assignment->looking_up && !assignment->asking;
	return !assignment->looking_up && !assignment->paused && !broker->fetching &&
	       has_room(client, assignment);
}

static int ask_add(struct ask **ask, struct sluice_client *client, struct broker *broker,
		   const struct assignment *assignment)
{
	if (!*ask) {
		*ask = calloc(1, sizeof(**ask));
		if (!*ask)
			return -ENOMEM;
		(*ask)->client = client;
		(*ask)->broker = broker;
	}
	if ((*ask)->count == (*ask)->capacity) {
		size_t capacity = (*ask)->capacity ? (*ask)->capacity * 2 : 8;
		struct asked *asked = realloc((*ask)->asked, capacity * sizeof(*asked));
		if (!asked)
			return -ENOMEM;
		(*ask)->asked = asked;
		(*ask)->capacity = capacity;
	}
	(*ask)->asked[(*ask)->count++] = (struct asked){.topic = assignment->topic,
							.partition = assignment->partition,
							.generation = assignment->generation};
	return 0;
}

static void send_offsets(struct ask *ask)
{
	struct request *request = request_new(KAFKA_LIST_OFFSETS, offsets_done, ask);

	if (!request || fill_offsets(ask, request) < 0) {
		request_free(request);
		ask_free(ask);
		return;
	}
	request->version_max = LIST_OFFSETS_VERSION_MAX;
	peer_send(&ask->broker->peers[BROKER_MAIN], request, 0);
}

static void send_fetch(struct ask *ask)
{
	const struct sluice_options *options = &ask->client->options;
	struct request *request = request_new(KAFKA_FETCH, fetch_done, ask);

	if (!request || fill_fetch(ask, request) < 0) {
		request_free(request);
		ask_free(ask);
		return;
	}
	request->version_max = FETCH_VERSION_MAX;
	ask->broker->fetching = true;
	peer_send(&ask->broker->peers[BROKER_FETCH], request,
		  options->request_timeout_ms + options->fetch_max_wait_ms);
}

/* One request to `broker`, with all that is to be asked of it. */
static void ask_broker(struct sluice_client *client, struct broker *broker, bool offsets,
		       uint64_t now_ns, uint64_t *next_ns)
{
	struct ask *ask = NULL;

	list_foreach(node, &client->consumer.assigned) {
		struct assignment *assignment = container_of(node, struct assignment, link);
		if (to_be_asked(client, assignment, broker, offsets) &&
		    leader_of(client, assignment, now_ns, next_ns) == broker &&
		    ask_add(&ask, client, broker, assignment) < 0)
			break;
	}
	if (!ask || ask->count == 0)
		ask_free(ask);
	else if (offsets)
		send_offsets(ask);
	else
		send_fetch(ask);
}

uint64_t fetch_send(struct sluice_client *client, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	list_foreach(node, &client->cluster.brokers) {
		struct broker *broker = container_of(node, struct broker, link);
		ask_broker(client, broker, true, now_ns, &next_ns);
		ask_broker(client, broker, false, now_ns, &next_ns);
	}
	return next_ns;
}
