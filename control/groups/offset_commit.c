/* OffsetCommit.  Rows of topics and partitions that are not there say so whatever becomes of the
 * others, as in Kafka, where they do not reach the coordinator. */
#include "control/groups/groups_internal.h"

#include "control/config.h"
#include "dataplane/topics.h"

#include <errno.h>

#define REQUEST(name) struct kafka_offset_commit_request_offset_commit_request_##name
#define RESPONSE(name) struct kafka_offset_commit_response_offset_commit_response_##name

enum { FIRST_WITH_TOPIC_IDS = 10, FIRST_WITH_GROUP_ID_NOT_FOUND = 9 };

static int make_rows(struct arena *arena, const REQUEST(topic) * asked, RESPONSE(topic) * rows)
{
	kafka_offset_commit_response_offset_commit_response_topic_init(rows);
	rows->name = asked->name;
	rows->topic_id = asked->topic_id;
	rows->partitions = arena_calloc(arena, (size_t)asked->partitions_count,
					sizeof(*rows->partitions));
	if (!rows->partitions)
		return -ENOMEM;
	rows->partitions_count = asked->partitions_count;
	return 0;
}

int offset_commit_rows(struct control_request *request, enum kafka_error error)
{
	const struct kafka_offset_commit_request *asked = request->request;
	struct kafka_offset_commit_response *response = request->response;

	response->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
					sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = asked->topics_count;
	for (int32_t i = 0; i < asked->topics_count; i++) {
		RESPONSE(topic) *rows = &response->topics[i];
		int rc = make_rows(request->arena, &asked->topics[i], rows);
		if (rc < 0)
			return rc;
		for (int32_t j = 0; j < rows->partitions_count; j++) {
			rows->partitions[j].partition_index =
				asked->topics[i].partitions[j].partition_index;
			rows->partitions[j].error_code = (int16_t)error;
		}
	}
	return 0;
}

static const struct topic *topic_of(const struct groups *groups,
				    const struct control_request *request,
				    const REQUEST(topic) * asked)
{
	if (request->version < FIRST_WITH_TOPIC_IDS)
		return groups_topic(groups, &asked->name);
	return groups->topics ? topics_find_id(groups->topics, &asked->topic_id) : NULL;
}

static enum kafka_error check_partition(const struct control_request *request,
					const struct topic *topic, int32_t partition)
{
	if (!topic && request->version >= FIRST_WITH_TOPIC_IDS)
		return KAFKA_UNKNOWN_TOPIC_ID;
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return KAFKA_NONE;
}

/* Which rows cannot be committed whoever asks; returns how many can. */
static int32_t check_topics(const struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_commit_request *asked = request->request;
	const struct kafka_offset_commit_response *response = request->response;
	int32_t good = 0;

	for (int32_t i = 0; i < asked->topics_count; i++) {
		const struct topic *topic = topic_of(groups, request, &asked->topics[i]);
		for (int32_t j = 0; j < asked->topics[i].partitions_count; j++) {
			RESPONSE(partition) *row = &response->topics[i].partitions[j];
			row->error_code = (int16_t)check_partition(request, topic,
								   row->partition_index);
			good += !row->error_code;
		}
	}
	return good;
}

/* Every row that had no error. */
static void fail_rows(struct control_request *request, enum kafka_error error)
{
	struct kafka_offset_commit_response *response = request->response;

	for (int32_t i = 0; i < response->topics_count; i++) {
		for (int32_t j = 0; j < response->topics[i].partitions_count; j++) {
			RESPONSE(partition) *row = &response->topics[i].partitions[j];
			if (!row->error_code)
				row->error_code = (int16_t)error;
		}
	}
}

static struct group_claim claim_of(const struct control_request *request)
{
	const struct kafka_offset_commit_request *asked = request->request;

	return (struct group_claim){
		.member_id = asked->member_id,
		.instance_id = asked->group_instance_id,
		.epoch = asked->generation_id_or_member_epoch,
		.version = request->version,
	};
}

/* Whether this member may commit, and the group, made where there was none and anyone may. */
static enum kafka_error admit(struct groups *groups, const struct control_request *request,
			      struct group **ret)
{
	const struct kafka_offset_commit_request *asked = request->request;
	struct group_claim claim = claim_of(request);
	struct group *group = group_find(groups, &asked->group_id);
	enum kafka_error error = KAFKA_NONE;

	if (!group && claim.epoch >= 0)
		return request->version >= FIRST_WITH_GROUP_ID_NOT_FOUND ? KAFKA_GROUP_ID_NOT_FOUND
									 : KAFKA_ILLEGAL_GENERATION;
	if (!group)
		group = group_obtain(groups, &asked->group_id, &error);
	else if (group->kind)
		error = group->kind->may_commit(group, &claim);
	else if (claim.epoch >= 0)
		error = KAFKA_UNKNOWN_MEMBER_ID;
	if (!error)
		*ret = group;
	return error;
}

static int64_t expiry_of(const struct control_request *request, int64_t now_ms)
{
	const struct kafka_offset_commit_request *asked = request->request;
	int64_t at;

	if (asked->retention_time_ms < 0)
		return -1;
	return __builtin_add_overflow(now_ms, asked->retention_time_ms, &at) ? INT64_MAX : at;
}

/* In memory and in the log, or in neither. */
static int put(struct group *group, const struct topic *topic, int32_t partition,
	       struct committed_offset *committed)
{
	struct kafka_string name = kafka_string_of(topic->name);
	int rc = offsets_exchange(&group->offsets, &name, &topic->id, partition, committed);

	if (rc < 0)
		return rc;
	rc = offsets_append(group, &name, &topic->id, partition,
			    offsets_get(&group->offsets, &name, partition));
	if (rc < 0 && committed->offset == OFFSET_NONE)
		offsets_remove(&group->offsets, &name, partition);
	else if (rc < 0)
		offsets_exchange(&group->offsets, &name, &topic->id, partition, committed);
	return rc;
}

static enum kafka_error commit_one(struct group *group, const struct control_request *request,
				   const struct topic *topic, const REQUEST(partition) * asked)
{
	int64_t now_ms = groups_wall_ms(group->groups);
	struct committed_offset committed = {
		/* Anything below is "none" to every client. */
		.offset = asked->committed_offset < -1 ? -1 : asked->committed_offset,
		.leader_epoch = asked->committed_leader_epoch,
		.commit_ms = now_ms,
		.expire_ms = expiry_of(request, now_ms),
	};

	if (asked->committed_metadata.length >
	    group->groups->options.config->offset_metadata_max_bytes)
		return KAFKA_OFFSET_METADATA_TOO_LARGE;
	int rc = committed_offset_set_metadata(&committed, &asked->committed_metadata);
	if (rc == 0)
		rc = put(group, topic, asked->partition_index, &committed);
	committed_offset_fini(&committed);
	return rc < 0 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE;
}

static void commit_rows(struct groups *groups, struct group *group, struct control_request *request)
{
	const struct kafka_offset_commit_request *asked = request->request;
	struct kafka_offset_commit_response *response = request->response;

	for (int32_t i = 0; i < asked->topics_count; i++) {
		const struct topic *topic = topic_of(groups, request, &asked->topics[i]);
		for (int32_t j = 0; j < asked->topics[i].partitions_count; j++) {
			RESPONSE(partition) *row = &response->topics[i].partitions[j];
			if (!row->error_code)
				row->error_code = (int16_t)commit_one(
					group, request, topic, &asked->topics[i].partitions[j]);
		}
	}
}

void offset_commit(struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_commit_request *asked = request->request;
	int32_t partition = group_partition_of(&asked->group_id, groups->partition_count);
	struct group *group = NULL;
	enum kafka_error error = KAFKA_NONE;

	request->rc = offset_commit_rows(request, KAFKA_NONE);
	if (request->rc == 0 && check_topics(groups, request) > 0)
		error = admit(groups, request, &group);
	if (error)
		fail_rows(request, error);
	if (group) {
		struct group_claim claim = claim_of(request);
		commit_rows(groups, group, request);
		if (group->kind && group->kind->seen)
			group->kind->seen(group, &claim);
		if (!group->kind)
			group_delete_if_idle(group);
	}
	groups_answer(groups, partition, request);
}
