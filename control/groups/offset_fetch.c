/* OffsetFetch.  Versions before 8 ask for one group in words of their own; they are put into those
 * of the later ones, answered, and put back.
 *
 * What has never been committed is no error: offset -1.  Every partition that was asked for has its
 * row; where the request wants stable offsets and some are pending, it is UNSTABLE_OFFSET_COMMIT.
 * Who asks for all gets what is committed, and such rows in between. */
#include "control/groups/groups_internal.h"

#include "control/groups/pending_offsets.h"
#include "dataplane/topics.h"

#include <errno.h>

#define REQUEST(name) struct kafka_offset_fetch_request_offset_fetch_request_##name
#define RESPONSE(name) struct kafka_offset_fetch_response_offset_fetch_response_##name

enum { FIRST_WITH_GROUPS = 8, FIRST_WITH_TOPIC_IDS = 10 };

/* ---- one partition, one topic, one group ---- */

static bool unstable(const struct control_request *request, const struct group *group,
		     const struct kafka_string *topic, int32_t partition)
{
	const struct kafka_offset_fetch_request *asked = request->request;

	return asked->require_stable && pending_offsets_latest(group, topic, partition) > 0;
}

/* `committed` null: there is none. */
static int fill_row(struct control_request *request, const struct group *group,
		    const struct kafka_string *topic, int32_t partition,
		    const struct committed_offset *committed, RESPONSE(partitions) * row)
{
	*row = (RESPONSE(partitions)){
		.partition_index = partition,
		.committed_offset = -1,
		.committed_leader_epoch = -1,
		.metadata = kafka_string_of(""),
	};
	if (group && unstable(request, group, topic, partition)) {
		row->error_code = KAFKA_UNSTABLE_OFFSET_COMMIT;
		return 0;
	}
	if (!committed)
		return 0;
	struct kafka_string metadata = committed_offset_metadata(committed);
	row->committed_offset = committed->offset;
	row->committed_leader_epoch = committed->leader_epoch;
	return groups_copy_text(request->arena, &metadata, &row->metadata);
}

static RESPONSE(partitions) * make_rows(struct arena *arena, RESPONSE(topics) * topic, size_t count)
{
	topic->partitions = arena_calloc(arena, count, sizeof(*topic->partitions));
	topic->partitions_count = topic->partitions ? (int32_t)count : 0;
	return topic->partitions;
}

/* What is still to be forgotten is told to nobody. */
static bool has_committed(const struct groups *groups, const struct group *group,
			  const struct kafka_string *name)
{
	const struct offset_topic *committed = group ? offsets_topic(&group->offsets, name) : NULL;

	return committed && !offsets_gone(groups, committed);
}

/* `group` null: nothing is committed. */
static int fetch_topic(const struct groups *groups, const struct group *group,
		       struct control_request *request, const REQUEST(topics) * asked,
		       RESPONSE(topics) * ret)
{
	bool by_id = request->version >= FIRST_WITH_TOPIC_IDS;
	const struct topic *topic = by_id && groups->topics
					    ? topics_find_id(groups->topics, &asked->topic_id)
					    : NULL;
	struct kafka_string name = topic ? kafka_string_of(topic->name) : asked->name;
	size_t count = (size_t)asked->partition_indexes_count;
	bool unknown = by_id && !topic;
	bool any = !unknown && has_committed(groups, group, &name);

	ret->name = asked->name;
	ret->topic_id = asked->topic_id;
	if (!make_rows(request->arena, ret, count))
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int32_t index = asked->partition_indexes[i];
		int rc = fill_row(request, unknown ? NULL : group, &name, index,
				  any ? offsets_get(&group->offsets, &name, index) : NULL,
				  &ret->partitions[i]);
		if (rc < 0)
			return rc;
		if (unknown)
			ret->partitions[i].error_code = KAFKA_UNKNOWN_TOPIC_ID;
	}
	return 0;
}

static int fetch_whole_topic(struct control_request *request, const struct group *group,
			     const struct offset_topic *topic, const struct uuid *id,
			     RESPONSE(topics) * ret)
{
	struct kafka_string name = {topic->name, topic->name_length};

	if (groups_copy_text(request->arena, &name, &ret->name) < 0 ||
	    !make_rows(request->arena, ret, topic->count))
		return -ENOMEM;
	ret->topic_id = *id;
	for (size_t i = 0; i < topic->count; i++) {
		const struct offset_partition *one = &topic->partitions[i];
		int rc = fill_row(request, group, &name, one->index, &one->committed,
				  &ret->partitions[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* All that the group has committed.  A topic without an id cannot be told to those who want ids. */
static int fetch_all(const struct groups *groups, const struct group *group,
		     struct control_request *request, RESPONSE(group) * ret)
{
	size_t count = group ? group->offsets.topic_count : 0;

	ret->topics = arena_calloc(request->arena, count, sizeof(*ret->topics));
	if (!ret->topics)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const struct offset_topic *committed = group->offsets.topics[i];
		struct kafka_string name = {committed->name, committed->name_length};
		const struct topic *topic = groups_topic(groups, &name);
		struct uuid id = topic ? topic->id : committed->id;
		if (offsets_gone(groups, committed) ||
		    (request->version >= FIRST_WITH_TOPIC_IDS && uuid_zero(&id)))
			continue;
		int rc = fetch_whole_topic(request, group, committed, &id,
					   &ret->topics[ret->topics_count]);
		if (rc < 0)
			return rc;
		ret->topics_count++;
	}
	return 0;
}

static int fetch_topics(const struct groups *groups, const struct group *group,
			struct control_request *request, const REQUEST(group) * asked,
			RESPONSE(group) * ret)
{
	ret->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
				   sizeof(*ret->topics));
	if (!ret->topics)
		return -ENOMEM;
	ret->topics_count = asked->topics_count;
	for (int32_t i = 0; i < asked->topics_count; i++) {
		int rc = fetch_topic(groups, group, request, &asked->topics[i], &ret->topics[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static enum kafka_error admit(const struct groups *groups, const struct control_request *request,
			      const REQUEST(group) * asked, const struct group **ret)
{
	struct group_claim claim = {
		.member_id = asked->member_id,
		.instance_id = {.length = -1},
		.epoch = asked->member_epoch,
		.version = request->version,
	};
	enum kafka_error error = groups_ready(groups, &asked->group_id);

	if (error)
		return error;
	const struct group *group = group_find(groups, &asked->group_id);
	if (group && group->kind)
		error = group->kind->may_fetch(group, &claim);
	if (!error)
		*ret = group;
	return error;
}

static int fetch_group(const struct groups *groups, struct control_request *request,
		       const REQUEST(group) * asked, RESPONSE(group) * ret)
{
	const struct group *group = NULL;
	enum kafka_error error = admit(groups, request, asked, &group);

	kafka_offset_fetch_response_offset_fetch_response_group_init(ret);
	ret->group_id = asked->group_id;
	ret->error_code = (int16_t)error;
	if (error)
		return 0;
	if (asked->topics_count < 0)
		return fetch_all(groups, group, request, ret);
	return fetch_topics(groups, group, request, asked, ret);
}

/* ---- the words of version 1 to 7 ---- */

static int group_of_old(struct control_request *request, REQUEST(group) * ret)
{
	const struct kafka_offset_fetch_request *asked = request->request;

	kafka_offset_fetch_request_offset_fetch_request_group_init(ret);
	ret->group_id = asked->group_id;
	ret->topics_count = asked->topics_count;
	if (asked->topics_count < 0)
		return 0;
	ret->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
				   sizeof(*ret->topics));
	if (!ret->topics)
		return -ENOMEM;
	for (int32_t i = 0; i < asked->topics_count; i++) {
		ret->topics[i].name = asked->topics[i].name;
		ret->topics[i].partition_indexes = asked->topics[i].partition_indexes;
		ret->topics[i].partition_indexes_count = asked->topics[i].partition_indexes_count;
	}
	return 0;
}

static int old_of_topic(struct arena *arena, const RESPONSE(topics) * topic, RESPONSE(topic) * ret)
{
	ret->name = topic->name;
	ret->partitions = arena_calloc(arena, (size_t)topic->partitions_count,
				       sizeof(*ret->partitions));
	if (!ret->partitions)
		return -ENOMEM;
	ret->partitions_count = topic->partitions_count;
	for (int32_t i = 0; i < topic->partitions_count; i++) {
		const RESPONSE(partitions) *row = &topic->partitions[i];
		ret->partitions[i] = (RESPONSE(partition)){
			.partition_index = row->partition_index,
			.committed_offset = row->committed_offset,
			.committed_leader_epoch = row->committed_leader_epoch,
			.metadata = row->metadata,
			.error_code = row->error_code,
		};
	}
	return 0;
}

static int old_of_group(struct control_request *request, const RESPONSE(group) * group)
{
	struct kafka_offset_fetch_response *response = request->response;

	response->error_code = group->error_code;
	response->topics = arena_calloc(request->arena, (size_t)group->topics_count,
					sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = group->topics_count;
	for (int32_t i = 0; i < group->topics_count; i++) {
		int rc = old_of_topic(request->arena, &group->topics[i], &response->topics[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Version 1 has no place for an error but the rows.  In later ones aiokafka (0.14) looks nowhere
 * else: it takes missing rows for offsets that were never committed, and reads from the beginning.
 * Who has asked for all is told above the rows alone. */
static int rows_of_error(struct control_request *request, const REQUEST(group) * asked,
			 RESPONSE(group) * ret)
{
	if (asked->topics_count < 0)
		return 0;
	int rc = fetch_topics(NULL, NULL, request, asked, ret);
	for (int32_t i = 0; rc == 0 && i < ret->topics_count; i++) {
		for (int32_t j = 0; j < ret->topics[i].partitions_count; j++)
			ret->topics[i].partitions[j].error_code = ret->error_code;
	}
	return rc;
}

static int fetch_old(struct groups *groups, struct control_request *request)
{
	REQUEST(group) asked;
	RESPONSE(group) answered = {0};
	int rc = group_of_old(request, &asked);

	if (rc == 0)
		rc = fetch_group(groups, request, &asked, &answered);
	if (rc == 0 && answered.error_code)
		rc = rows_of_error(request, &asked, &answered);
	return rc < 0 ? rc : old_of_group(request, &answered);
}

/* ---- the request ---- */

static int make_groups(struct control_request *request)
{
	const struct kafka_offset_fetch_request *asked = request->request;
	struct kafka_offset_fetch_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)asked->groups_count,
					sizeof(*response->groups));
	if (!response->groups)
		return -ENOMEM;
	response->groups_count = asked->groups_count;
	return 0;
}

int offset_fetch_refuse(struct control_request *request, enum kafka_error error)
{
	const struct kafka_offset_fetch_request *asked = request->request;
	const struct kafka_offset_fetch_response *response = request->response;
	RESPONSE(group) answered = {.error_code = (int16_t)error};
	REQUEST(group) old;

	if (request->version < FIRST_WITH_GROUPS) {
		int rc = group_of_old(request, &old);
		if (rc == 0)
			rc = rows_of_error(request, &old, &answered);
		return rc < 0 ? rc : old_of_group(request, &answered);
	}
	int rc = make_groups(request);
	for (int32_t i = 0; rc == 0 && i < asked->groups_count; i++) {
		response->groups[i].group_id = asked->groups[i].group_id;
		response->groups[i].error_code = (int16_t)error;
	}
	return rc;
}

static int fetch_groups(struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_fetch_request *asked = request->request;
	const struct kafka_offset_fetch_response *response = request->response;
	int rc = make_groups(request);

	for (int32_t i = 0; rc == 0 && i < asked->groups_count; i++)
		rc = fetch_group(groups, request, &asked->groups[i], &response->groups[i]);
	return rc;
}

void offset_fetch(struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_fetch_request *asked = request->request;

	if (request->version < FIRST_WITH_GROUPS) {
		request->rc = fetch_old(groups, request);
		groups_answer_ids(groups, &asked->group_id, sizeof(asked->group_id), 1, request);
	} else {
		request->rc = fetch_groups(groups, request);
		groups_answer_ids(groups, asked->groups ? &asked->groups[0].group_id : NULL,
				  sizeof(asked->groups[0]), asked->groups_count, request);
	}
}
