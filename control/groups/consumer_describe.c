/* ConsumerGroupDescribe.  What is said is copied: the group may be gone before the answer is sent.
 */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "control/groups/assignors.h"
#include "control/groups/consumer.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define DESCRIBED struct kafka_consumer_group_describe_response_described_group
#define MEMBER struct kafka_consumer_group_describe_response_member
#define NAMED_TOPIC struct kafka_consumer_group_describe_response_assigned_topic

enum { MEMBER_TYPE_CLASSIC = 0, MEMBER_TYPE_CONSUMER = 1 };

static_assert(sizeof(NAMED_TOPIC) ==
		      sizeof(struct kafka_consumer_group_describe_response_target_topic),
	      "one is read as the other");

/* Topics that are gone have no name to be told by. */
static int describe_partitions(const struct groups *groups, const struct partition_set *set,
			       struct arena *arena, NAMED_TOPIC **ret, int32_t *ret_count)
{
	struct wire_topic *topics;
	int32_t count;
	int rc = partition_set_to_wire(set, arena, &topics, &count);
	NAMED_TOPIC *rows = rc == 0 ? arena_calloc(arena, (size_t)count, sizeof(*rows)) : NULL;

	if (!rows)
		return -ENOMEM;
	*ret = rows;
	*ret_count = 0;
	for (int32_t i = 0; i < count; i++) {
		const struct topic *topic =
			groups->topics ? topics_find_id(groups->topics, &topics[i].topic_id) : NULL;
		if (!topic)
			continue;
		NAMED_TOPIC *row = &rows[(*ret_count)++];
		kafka_consumer_group_describe_response_assigned_topic_init(row);
		row->topic_id = topics[i].topic_id;
		row->topic_name =
			kafka_string_of(arena_strndup(arena, topic->name, strlen(topic->name)));
		row->partitions = topics[i].partitions;
		row->partitions_count = topics[i].partitions_count;
		if (row->topic_name.length < 0)
			return -ENOMEM;
	}
	return 0;
}

static int describe_subscription(const struct subscription *subscription, struct arena *arena,
				 MEMBER *ret)
{
	struct kafka_string none = kafka_string_of(NULL);
	int rc = groups_copy_text(arena, subscription->regex ? &subscription->regex->text : &none,
				  &ret->subscribed_topic_regex);

	ret->subscribed_topic_names = arena_calloc(arena, subscription->name_count,
						   sizeof(*ret->subscribed_topic_names));
	if (!ret->subscribed_topic_names)
		return -ENOMEM;
	ret->subscribed_topic_names_count = (int32_t)subscription->name_count;
	for (size_t i = 0; i < subscription->name_count && rc == 0; i++)
		rc = groups_copy_text(arena, &subscription->names[i],
				      &ret->subscribed_topic_names[i]);
	return rc;
}

static int describe_identity(const struct consumer_member *member, struct arena *arena, MEMBER *ret)
{
	const struct member_details *details = &member->details;
	int rc = groups_copy_text(arena, &member->id, &ret->member_id);

	if (rc == 0)
		rc = groups_copy_text(arena, &details->instance_id, &ret->instance_id);
	if (rc == 0)
		rc = groups_copy_text(arena, &details->rack_id, &ret->rack_id);
	if (rc == 0)
		rc = groups_copy_text(arena, &details->client_id, &ret->client_id);
	if (rc == 0)
		rc = groups_copy_text(arena, &details->client_host, &ret->client_host);
	return rc;
}

static int describe_member(const struct consumer_member *member, struct arena *arena, MEMBER *ret)
{
	const struct groups *groups = member->consumer->group->groups;
	NAMED_TOPIC *target;
	int rc;

	kafka_consumer_group_describe_response_member_init(ret);
	ret->member_epoch = member->current.epoch;
	ret->member_type = member->classic ? MEMBER_TYPE_CLASSIC : MEMBER_TYPE_CONSUMER;
	rc = describe_identity(member, arena, ret);
	if (rc == 0)
		rc = describe_subscription(member->subscription, arena, ret);
	if (rc == 0)
		rc = describe_partitions(groups, &member->current.assigned, arena,
					 &ret->assignment.topic_partitions,
					 &ret->assignment.topic_partitions_count);
	if (rc == 0)
		rc = describe_partitions(groups, &member->target, arena, &target,
					 &ret->target_assignment.topic_partitions_count);
	if (rc == 0)
		ret->target_assignment.topic_partitions = (void *)target;
	return rc;
}

static int describe_group(const struct group *group, struct arena *arena, DESCRIBED *ret)
{
	const struct consumer_group *consumer = consumer_of(group);
	int rc = 0;

	ret->group_state = kafka_string_of(group->kind->state(group));
	ret->group_epoch = consumer->epoch;
	ret->assignment_epoch = consumer->assignment_epoch;
	ret->assignor_name = kafka_string_of(consumer_assignor(consumer)->name);
	ret->members = arena_calloc(arena, consumer->member_count, sizeof(*ret->members));
	if (!ret->members)
		return -ENOMEM;
	ret->members_count = (int32_t)consumer->member_count;
	for (size_t i = 0; i < consumer->member_count && rc == 0; i++)
		rc = describe_member(consumer->members[i], arena, &ret->members[i]);
	return rc;
}

static int describe_one(const struct groups *groups, struct arena *arena,
			const struct kafka_string *id, DESCRIBED *row)
{
	enum kafka_error error = id->length ? groups_ready(groups, id) : KAFKA_INVALID_GROUP_ID;
	const struct group *group;

	kafka_consumer_group_describe_response_described_group_init(row);
	row->group_id = *id;
	row->error_code = (int16_t)error;
	if (error)
		return 0;
	group = group_find(groups, id);
	if (group && group->kind == &consumer_kind)
		return describe_group(group, arena, row);
	row->error_code = KAFKA_GROUP_ID_NOT_FOUND;
	row->error_message = kafka_string_of("There is no consumer group of this id.");
	return 0;
}

void consumer_describe(struct groups *groups, struct control_request *request)
{
	const struct kafka_consumer_group_describe_request *message = request->request;
	struct kafka_consumer_group_describe_response *response = request->response;

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
