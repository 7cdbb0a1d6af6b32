/* ShareGroupDescribe.  What is said is copied: the group may be gone before the answer is sent. */
#include "control/groups/groups_internal.h"
#include "control/groups/share.h"
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"

#include <errno.h>
#include <string.h>

#define DESCRIBED struct kafka_share_group_describe_response_described_group
#define MEMBER struct kafka_share_group_describe_response_member
#define NAMED_TOPIC struct kafka_share_group_describe_response_topic_partitions

/* Topics that are gone have no name to be told by. */
static int describe_partitions(const struct groups *groups, const struct partition_set *set,
			       struct arena *arena, MEMBER *ret)
{
	struct wire_topic *topics;
	int32_t count;
	int rc = partition_set_to_wire(set, arena, &topics, &count);
	NAMED_TOPIC *rows = rc == 0 ? arena_calloc(arena, (size_t)count, sizeof(*rows)) : NULL;

	if (!rows)
		return -ENOMEM;
	ret->assignment.topic_partitions = rows;
	for (int32_t i = 0; i < count; i++) {
		const struct topic *topic =
			groups->topics ? topics_find_id(groups->topics, &topics[i].topic_id) : NULL;
		if (!topic)
			continue;
		NAMED_TOPIC *row = &rows[ret->assignment.topic_partitions_count++];
		const struct kafka_string name = kafka_string_of(topic->name);
		row->topic_id = topics[i].topic_id;
		row->partitions = topics[i].partitions;
		row->partitions_count = topics[i].partitions_count;
		if (groups_copy_text(arena, &name, &row->topic_name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int describe_member(const struct share_member *member, struct arena *arena, MEMBER *ret)
{
	const struct share_details *details = &member->details;
	int rc = groups_copy_text(arena, &member->id, &ret->member_id);

	if (rc == 0)
		rc = groups_copy_text(arena, &details->rack_id, &ret->rack_id);
	if (rc == 0)
		rc = groups_copy_text(arena, &details->client_id, &ret->client_id);
	if (rc == 0)
		rc = groups_copy_text(arena, &details->client_host, &ret->client_host);
	ret->member_epoch = member->epoch;
	ret->subscribed_topic_names = arena_calloc(arena, details->name_count,
						   sizeof(*ret->subscribed_topic_names));
	if (!ret->subscribed_topic_names)
		return -ENOMEM;
	ret->subscribed_topic_names_count = (int32_t)details->name_count;
	for (size_t i = 0; i < details->name_count && rc == 0; i++)
		rc = groups_copy_text(arena, &details->names[i], &ret->subscribed_topic_names[i]);
	if (rc == 0)
		rc = describe_partitions(member->share->group->groups, &member->assigned, arena,
					 ret);
	return rc;
}

static int describe_group(const struct group *group, struct arena *arena, DESCRIBED *ret)
{
	const struct share_group *share = share_of(group);
	int rc = 0;

	ret->group_state = kafka_string_of(group->kind->state(group));
	ret->group_epoch = share->epoch;
	ret->assignment_epoch = share->assignment_epoch;
	ret->assignor_name = kafka_string_of("simple");
	ret->members = arena_calloc(arena, share->member_count, sizeof(*ret->members));
	if (!ret->members)
		return -ENOMEM;
	ret->members_count = (int32_t)share->member_count;
	for (size_t i = 0; i < share->member_count && rc == 0; i++) {
		kafka_share_group_describe_response_member_init(&ret->members[i]);
		rc = describe_member(share->members[i], arena, &ret->members[i]);
	}
	return rc;
}

static int describe_one(const struct groups *groups, struct arena *arena,
			const struct kafka_string *id, DESCRIBED *row)
{
	enum kafka_error error = id->length ? groups_ready(groups, id) : KAFKA_INVALID_GROUP_ID;

	kafka_share_group_describe_response_described_group_init(row);
	row->group_id = *id;
	row->error_code = (int16_t)error;
	if (error)
		return 0;
	const struct group *group = group_find(groups, id);
	if (group && group->kind == &share_kind)
		return describe_group(group, arena, row);
	row->error_code = KAFKA_GROUP_ID_NOT_FOUND;
	row->error_message = kafka_string_of("There is no share group of this id.");
	return 0;
}

void share_describe(struct groups *groups, struct control_request *request)
{
	const struct kafka_share_group_describe_request *message = request->request;
	struct kafka_share_group_describe_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)message->group_ids_count,
					sizeof(*response->groups));
	request->rc = response->groups ? 0 : -ENOMEM;
	for (int32_t i = 0; request->rc == 0 && i < message->group_ids_count; i++) {
		request->rc = describe_one(groups, request->arena, &message->group_ids[i],
					   &response->groups[i]);
		response->groups_count++;
	}
	groups_answer_ids(groups, message->group_ids, sizeof(message->group_ids[0]),
			  message->group_ids_count, request);
}
