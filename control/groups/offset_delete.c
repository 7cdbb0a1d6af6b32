/* OffsetDelete: forgets offsets of topics that no member reads, those of open transactions too. */
#include "control/groups/offset_rows.h"

#include "control/groups/pending_offsets.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <string.h>

#define REQUEST(name) struct kafka_offset_delete_request_offset_delete_request_##name
#define RESPONSE(name) struct kafka_offset_delete_response_offset_delete_response_##name

/* Only of members that speak the consumers' protocol is it known what they read. */
static enum kafka_error admit(const struct group *group)
{
	if (!group)
		return KAFKA_GROUP_ID_NOT_FOUND;
	if (!group_empty(group) && strcmp(group->kind->protocol_type(group), "consumer") != 0)
		return KAFKA_NON_EMPTY_GROUP;
	return KAFKA_NONE;
}

static int forget(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		  int32_t partition)
{
	return offsets_get(offsets, topic, partition)
		       ? offsets_forget(group, offsets, topic, partition)
		       : 0;
}

static enum kafka_error delete_one(struct group *group, const struct topic *topic,
				   int32_t partition)
{
	enum kafka_error error = offset_partition_check(topic, partition);

	if (error)
		return error;
	if (!group_empty(group) && group->kind->subscribed(group, topic))
		return KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
	struct kafka_string name = kafka_string_of(topic->name);
	int rc = forget(group, &group->offsets, &name, partition);
	list_foreach_safe(node, after, &group->pending) {
		struct pending_offsets *pending = container_of(node, struct pending_offsets, link);
		if (rc == 0)
			rc = forget(group, &pending->offsets, &name, partition);
		pending_offsets_free_if_empty(pending);
	}
	return rc < 0 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE;
}

static int delete_topic(struct group *group, struct arena *arena, const REQUEST(topic) * asked,
			RESPONSE(topic) * ret)
{
	const struct topic *topic = groups_topic(group->groups, &asked->name);

	ret->name = asked->name;
	ret->partitions = arena_calloc(arena, (size_t)asked->partitions_count,
				       sizeof(*ret->partitions));
	if (!ret->partitions)
		return -ENOMEM;
	ret->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		int32_t index = asked->partitions[i].partition_index;
		ret->partitions[i].partition_index = index;
		ret->partitions[i].error_code = (int16_t)delete_one(group, topic, index);
	}
	return 0;
}

static int delete_topics(struct group *group, struct control_request *request)
{
	const struct kafka_offset_delete_request *asked = request->request;
	struct kafka_offset_delete_response *response = request->response;
	int rc = 0;

	response->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
					sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = asked->topics_count;
	for (int32_t i = 0; rc == 0 && i < asked->topics_count; i++)
		rc = delete_topic(group, request->arena, &asked->topics[i], &response->topics[i]);
	return rc;
}

void offset_delete(struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_delete_request *asked = request->request;
	struct kafka_offset_delete_response *response = request->response;
	struct group *group = group_find(groups, &asked->group_id);

	response->error_code = (int16_t)admit(group);
	if (!response->error_code) {
		request->rc = delete_topics(group, request);
		if (!group->kind)
			group_delete_if_idle(group);
	}
	groups_answer(groups, group_partition_of(&asked->group_id, groups->partition_count),
		      request);
}
