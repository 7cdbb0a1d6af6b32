/* What is changed of a group from outside, while it has no members: what it has committed, and
 * whether it exists. */
#include <errno.h>

#include "base/arena.h"
#include "client/places.h"
#include "client/question.h"
#include "dataplane/kafka/kafka_errors.h"

enum {
	OFFSET_COMMIT_VERSION_MAX = 9, /* the last one with topics by name */
	GENERATION_NONE = -1,
};

/* ---- deleting ---- */

static int delete_fill(struct request *request, void *user)
{
	struct kafka_delete_groups_request *message = request->message;

	message->groups_names = arena_calloc(&request->arena, 1, sizeof(*message->groups_names));
	if (!message->groups_names)
		return -ENOMEM;
	message->groups_names_count = 1;
	message->groups_names[0] = kafka_string_of(user);
	return 0;
}

static int delete_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_delete_groups_response *response = request->response;

	if (response->results_count != 1)
		return -EPROTO;
	return client_kafka_error(response->results[0].error_code);
}

int sluice_group_delete(struct sluice_client *client, const char *group)
{
	const struct question question = {
		.api = KAFKA_DELETE_GROUPS,
		.group = group,
		.fill = delete_fill,
		.read = delete_read,
		.user = (void *)(uintptr_t)group,
		.what = "delete group",
		.about = group,
	};

	return question_ask(client, &question);
}

/* ---- offsets ---- */

struct change {
	const char *group;
	struct places places;
};

/* Where each place has it, the coordinator itself has moved or is not ready: ask again. */
static int moved(const struct places *places)
{
	int error = places->count ? places->routes->place->error : 0;

	return error == -SLUICE_KAFKA(KAFKA_NOT_COORDINATOR) ||
			       error == -SLUICE_KAFKA(KAFKA_COORDINATOR_LOAD_IN_PROGRESS) ||
			       error == -SLUICE_KAFKA(KAFKA_COORDINATOR_NOT_AVAILABLE)
		       ? error
		       : 0;
}

static int commit_fill(struct request *request, void *user)
{
	const struct change *change = user;
	const struct places *places = &change->places;
	struct kafka_offset_commit_request *message = request->message;
	struct kafka_offset_commit_request_offset_commit_request_partition *rows =
		arena_calloc(&request->arena, places->count, sizeof(*rows));
	size_t from = 0;

	message->topics_count = (int32_t)places_topic_count(places);
	message->topics = arena_calloc(&request->arena, (size_t)message->topics_count,
				       sizeof(*message->topics));
	if (!rows || !message->topics)
		return -ENOMEM;
	message->group_id = kafka_string_of(change->group);
	message->generation_id_or_member_epoch = GENERATION_NONE;
	message->member_id = kafka_string_of("");
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
		rows[i].committed_offset = place->offset;
		rows[i].committed_leader_epoch = -1;
		rows[i].committed_metadata = kafka_string_of("");
	}
	return 0;
}

static int commit_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_offset_commit_response *response = request->response;
	const struct places *places = &((const struct change *)user)->places;

	for (int32_t t = 0; t < response->topics_count; t++) {
		for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
			places_tell(places, &response->topics[t].name,
				    response->topics[t].partitions[p].partition_index,
				    response->topics[t].partitions[p].error_code);
	}
	return moved(places);
}

static int forget_fill(struct request *request, void *user)
{
	const struct change *change = user;
	const struct places *places = &change->places;
	struct kafka_offset_delete_request *message = request->message;
	struct kafka_offset_delete_request_offset_delete_request_partition *rows =
		arena_calloc(&request->arena, places->count, sizeof(*rows));
	size_t from = 0;

	message->topics_count = (int32_t)places_topic_count(places);
	message->topics = arena_calloc(&request->arena, (size_t)message->topics_count,
				       sizeof(*message->topics));
	if (!rows || !message->topics)
		return -ENOMEM;
	message->group_id = kafka_string_of(change->group);
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
	}
	return 0;
}

static int forget_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_offset_delete_response *response = request->response;
	const struct places *places = &((const struct change *)user)->places;

	if (response->error_code)
		return client_kafka_error(response->error_code);
	for (int32_t t = 0; t < response->topics_count; t++) {
		for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
			places_tell(places, &response->topics[t].name,
				    response->topics[t].partitions[p].partition_index,
				    response->topics[t].partitions[p].error_code);
	}
	return 0;
}

static int change_offsets(struct sluice_client *client, struct question *question,
			  const char *group, struct sluice_place *places, size_t count)
{
	struct change change = {.group = group};
	int rc = places_init(&change.places, places, count);

	if (rc < 0 || count == 0) {
		places_fini(&change.places);
		return rc;
	}
	/* What the answer leaves out stays so. */
	places_fail(&change.places, -EPROTO);
	question->group = group;
	question->about = group;
	question->user = &change;
	rc = question_ask(client, question);
	places_fini(&change.places);
	return rc;
}

int sluice_group_commit(struct sluice_client *client, const char *group,
			struct sluice_place *places, size_t count)
{
	struct question question = {
		.api = KAFKA_OFFSET_COMMIT,
		.version_max = OFFSET_COMMIT_VERSION_MAX,
		.fill = commit_fill,
		.read = commit_read,
		.what = "commit offsets of group",
	};

	return change_offsets(client, &question, group, places, count);
}

int sluice_group_forget(struct sluice_client *client, const char *group,
			struct sluice_place *places, size_t count)
{
	struct question question = {
		.api = KAFKA_OFFSET_DELETE,
		.fill = forget_fill,
		.read = forget_read,
		.what = "delete offsets of group",
	};

	return change_offsets(client, &question, group, places, count);
}
