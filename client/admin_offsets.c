/* What the leaders of partitions are asked: where logs begin and end, and to begin them later.
 *
 * Many partitions go with one request to each leader in turn.  A leader that no longer is one is
 * looked up again until default.api.timeout.ms is over; what else goes wrong with a partition is
 * its own affair and told in its place. */
#include <errno.h>

#include "base/arena.h"
#include "base/clock.h"
#include "client/places.h"
#include "client/question.h"
#include "dataplane/kafka/kafka_errors.h"

enum { LIST_OFFSETS_VERSION_MAX = 7 };

struct leader_question {
	int16_t api;
	int16_t version_max;
	int (*fill)(struct request *request, const struct places *places, int32_t timeout_ms);
	void (*read)(const void *response, const struct places *places);
	const char *what;
};

struct leader_ask {
	const struct leader_question *asked;
	const struct places *places;
	int32_t timeout_ms;
};

static int ask_fill(struct request *request, void *user)
{
	const struct leader_ask *ask = user;

	return ask->asked->fill(request, ask->places, ask->timeout_ms);
}

static int ask_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct leader_ask *ask = user;

	ask->asked->read(request->response, ask->places);
	return 0;
}

/* The places of one leader.  Its own failure is theirs; -EINTR, -EDEADLK and -ENOMEM are ours. */
static int ask_leader(struct sluice_client *client, const struct leader_question *asked,
		      const struct places *places)
{
	struct leader_ask user = {asked, places, (int32_t)client->options.request_timeout_ms};
	const struct question question = {
		.api = asked->api,
		.version_max = asked->version_max,
		.broker = &places->routes->leader,
		.fill = ask_fill,
		.read = ask_read,
		.user = &user,
		.what = asked->what,
		.about = places->routes->place->topic,
	};

	/* What the answer leaves out stays so. */
	places_fail(places, -EPROTO);
	int rc = question_ask(client, &question);
	if (rc == -EINTR || rc == -EDEADLK || rc == -ENOMEM)
		return rc;
	if (rc < 0)
		places_fail(places, rc);
	return 0;
}

static int ask_all(struct sluice_client *client, const struct leader_question *asked,
		   struct places *places)
{
	int rc = places_route(client, places);

	for (size_t from = 0; rc == 0 && from < places->count;) {
		struct places run = places_request(places, from);
		if (run.routes->leader != CLIENT_NOBODY)
			rc = ask_leader(client, asked, &run);
		from += run.count;
	}
	return rc;
}

static void keep_misrouted(struct places *places)
{
	size_t kept = 0;

	for (size_t i = 0; i < places->count; i++) {
		if (places->routes[i].place->error ==
		    client_kafka_error(KAFKA_NOT_LEADER_OR_FOLLOWER))
			places->routes[kept++] = places->routes[i];
	}
	places->count = kept;
}

static int ask_leaders(struct sluice_client *client, const struct leader_question *asked,
		       struct sluice_place *places, size_t count)
{
	uint64_t deadline_ns = client_deadline(client->options.api_timeout_ms);
	struct places all;
	int rc = client->depth > 0 ? -EDEADLK : places_init(&all, places, count);

	if (rc < 0)
		return rc;
	while (rc == 0 && all.count > 0) {
		rc = ask_all(client, asked, &all);
		keep_misrouted(&all);
		if (loop_now() >= deadline_ns)
			break;
		if (rc == 0 && all.count > 0)
			rc = question_pause(client);
	}
	places_fini(&all);
	return rc;
}

/* ---- listing offsets ---- */

static int list_fill(struct request *request, const struct places *places, int32_t timeout_ms)
{
	struct kafka_list_offsets_request *message = request->message;
	struct kafka_list_offsets_request_list_offsets_partition *rows =
		arena_calloc(&request->arena, places->count, sizeof(*rows));
	size_t from = 0;

	message->topics_count = (int32_t)places_topic_count(places);
	message->topics = arena_calloc(&request->arena, (size_t)message->topics_count,
				       sizeof(*message->topics));
	if (!rows || !message->topics)
		return -ENOMEM;
	message->replica_id = -1;
	for (int32_t t = 0; t < message->topics_count; t++) {
		struct places topic = places_topic(places, from);
		message->topics[t].name = kafka_string_of(topic.routes->place->topic);
		message->topics[t].partitions = &rows[from];
		message->topics[t].partitions_count = (int32_t)topic.count;
		from += topic.count;
	}
	for (size_t i = 0; i < places->count; i++) {
		const struct sluice_place *place = places->routes[i].place;
		rows[i].partition_index = place->partition;
		rows[i].current_leader_epoch = -1;
		rows[i].timestamp = place->timestamp_ms;
	}
	return 0;
}

static void list_read(const void *answer, const struct places *places)
{
	const struct kafka_list_offsets_response *response = answer;

	for (int32_t t = 0; t < response->topics_count; t++) {
		for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
			const struct kafka_list_offsets_response_list_offsets_partition_response
				*told = &response->topics[t].partitions[p];
			struct sluice_place *place = places_tell(places, &response->topics[t].name,
								 told->partition_index,
								 told->error_code);
			if (!place)
				continue;
			place->offset = told->offset;
			place->timestamp_ms = told->timestamp;
		}
	}
}

int sluice_list_offsets(struct sluice_client *client, struct sluice_place *places, size_t count)
{
	static const struct leader_question asked = {
		.api = KAFKA_LIST_OFFSETS,
		.version_max = LIST_OFFSETS_VERSION_MAX,
		.fill = list_fill,
		.read = list_read,
		.what = "offsets of",
	};

	return ask_leaders(client, &asked, places, count);
}

int sluice_list_offset(struct sluice_client *client, const char *topic, int32_t partition,
		       int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_timestamp_ms)
{
	struct sluice_place place = {
		.topic = topic, .partition = partition, .timestamp_ms = timestamp_ms};
	int rc = sluice_list_offsets(client, &place, 1);

	if (rc < 0)
		return rc;
	if (place.error)
		return client_fail(client, place.error, "offsets of %s/%d: %s", topic, partition,
				   sluice_error_text(place.error));
	*ret_offset = place.offset;
	if (ret_timestamp_ms)
		*ret_timestamp_ms = place.timestamp_ms;
	return 0;
}

/* ---- deleting records ---- */

static int trim_fill(struct request *request, const struct places *places, int32_t timeout_ms)
{
	struct kafka_delete_records_request *message = request->message;
	struct kafka_delete_records_request_delete_records_partition *rows =
		arena_calloc(&request->arena, places->count, sizeof(*rows));
	size_t from = 0;

	message->topics_count = (int32_t)places_topic_count(places);
	message->topics = arena_calloc(&request->arena, (size_t)message->topics_count,
				       sizeof(*message->topics));
	if (!rows || !message->topics)
		return -ENOMEM;
	message->timeout_ms = timeout_ms;
	for (int32_t t = 0; t < message->topics_count; t++) {
		struct places topic = places_topic(places, from);
		message->topics[t].name = kafka_string_of(topic.routes->place->topic);
		message->topics[t].partitions = &rows[from];
		message->topics[t].partitions_count = (int32_t)topic.count;
		from += topic.count;
	}
	for (size_t i = 0; i < places->count; i++) {
		const struct sluice_place *place = places->routes[i].place;
		rows[i].partition_index = place->partition;
		rows[i].offset = place->offset;
	}
	return 0;
}

static void trim_read(const void *answer, const struct places *places)
{
	const struct kafka_delete_records_response *response = answer;

	for (int32_t t = 0; t < response->topics_count; t++) {
		for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
			const struct kafka_delete_records_response_delete_records_partition_result
				*told = &response->topics[t].partitions[p];
			struct sluice_place *place = places_tell(places, &response->topics[t].name,
								 told->partition_index,
								 told->error_code);
			if (place)
				place->offset = told->low_watermark;
		}
	}
}

int sluice_trim(struct sluice_client *client, struct sluice_place *places, size_t count)
{
	static const struct leader_question asked = {
		.api = KAFKA_DELETE_RECORDS,
		.fill = trim_fill,
		.read = trim_read,
		.what = "trim",
	};

	return ask_leaders(client, &asked, places, count);
}
