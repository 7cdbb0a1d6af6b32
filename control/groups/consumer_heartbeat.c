/* ConsumerGroupHeartbeat: what is checked before a group is looked at, leaving, and the answer.
 * consumer_step.c has what is between. */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "control/config.h"
#include "control/groups/assignors.h"
#include "control/groups/classic.h"
#include "control/groups/consumer.h"
#include "control/groups/groups_internal.h"
#include "control/groups/migration.h"
#include "control/groups/legible.h"
#include "kafka_messages.h"

#include <errno.h>
#include <stdio.h>

enum { FIRST_WITH_CLIENT_MADE_IDS = 1 };

struct heartbeat {
	struct groups *groups;
	struct control_request *request;
	const struct kafka_consumer_group_heartbeat_request *message;
	struct kafka_consumer_group_heartbeat_response *response;
	const char *why; /* with an error */
};

static int refuse(struct heartbeat *heartbeat, enum kafka_error error, const char *why)
{
	heartbeat->why = why;
	return error;
}

/* ---- the request by itself ---- */

static int check_joining(struct heartbeat *heartbeat)
{
	const struct kafka_consumer_group_heartbeat_request *message = heartbeat->message;

	if (message->rebalance_timeout_ms < 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST,
			      "RebalanceTimeoutMs must be provided in first request.");
	if (message->topic_partitions_count != 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST,
			      "TopicPartitions must be empty when (re-)joining.");
	if (message->subscribed_topic_names_count < 0 && message->subscribed_topic_regex.length < 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST,
			      "Either SubscribedTopicNames or SubscribedTopicRegex must be "
			      "non-null when (re-)joining.");
	return 0;
}

static int check_strings(struct heartbeat *heartbeat)
{
	const struct kafka_consumer_group_heartbeat_request *message = heartbeat->message;
	bool needs_id = heartbeat->request->version >= FIRST_WITH_CLIENT_MADE_IDS ||
			message->member_epoch != EPOCH_JOIN;

	if (needs_id && message->member_id.length == 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "MemberId can't be empty.");
	if (message->instance_id.length == 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "InstanceId can't be empty.");
	if (message->rack_id.length == 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "RackId can't be empty.");
	if (message->member_epoch == EPOCH_LEAVE_STATIC && message->instance_id.length < 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "InstanceId can't be null.");
	return 0;
}

static int check_assignor(struct heartbeat *heartbeat)
{
	const struct kafka_string *name = &heartbeat->message->server_assignor;
	const size_t size = 200;
	char *why;

	if (name->length < 0 || assignor_find(name))
		return 0;
	why = arena_alloc(heartbeat->request->arena, size);
	if (!why)
		return -ENOMEM;
	snprintf(why, size, "ServerAssignor %.100s is not supported. Supported assignors: %s.",
		 arena_strndup(heartbeat->request->arena, name->data, (size_t)name->length),
		 assignor_names);
	return refuse(heartbeat, KAFKA_UNSUPPORTED_ASSIGNOR, why);
}

static int check_request(struct heartbeat *heartbeat)
{
	int rc = check_strings(heartbeat);

	if (rc == 0 && heartbeat->message->member_epoch < EPOCH_LEAVE_STATIC)
		rc = refuse(heartbeat, KAFKA_INVALID_REQUEST, "MemberEpoch is below -2.");
	if (rc == 0 && heartbeat->message->member_epoch == EPOCH_JOIN)
		rc = check_joining(heartbeat);
	return rc == 0 ? check_assignor(heartbeat) : rc;
}

/* ---- leaving ---- */

/* Its partitions stay its own until it is back or its session ends. */
static int go_away(struct consumer_member *member, struct arena *arena)
{
	struct member_assignment away = {
		.epoch = EPOCH_LEAVE_STATIC,
		.previous_epoch = member->current.epoch,
		.state = MEMBER_STABLE,
		.assigned = member->current.assigned,
	};
	int rc = consumer_set_current(member, &away, arena);

	if (rc == 0)
		consumer_time_rebalance(member);
	return rc;
}

static int leave(struct heartbeat *heartbeat)
{
	const struct kafka_consumer_group_heartbeat_request *message = heartbeat->message;
	struct group *group = group_find(heartbeat->groups, &message->group_id);
	struct consumer_member *member;

	if (!group || group->kind != &consumer_kind)
		return refuse(heartbeat, KAFKA_GROUP_ID_NOT_FOUND,
			      "There is no consumer group of this id.");
	enum kafka_error error = consumer_known(consumer_of(group), &message->member_id,
						&message->instance_id, &member, &heartbeat->why);
	if (error)
		return error;
	int rc = message->member_epoch == EPOCH_LEAVE_STATIC
			 ? go_away(member, heartbeat->request->arena)
			 : consumer_fence(member);
	if (rc == 0)
		rc = consumer_store_regexes(consumer_of(group));
	migration_settle(group);
	heartbeat->response->member_id = message->member_id;
	heartbeat->response->member_epoch = message->member_epoch;
	return rc;
}

/* ---- joining and being alive ---- */

static int become_consumer(struct heartbeat *heartbeat, struct group *group)
{
	if (group->kind == &classic_kind && !group_empty(group))
		return migration_upgrade(group, &heartbeat->why);
	if (!group_vacant(group))
		return refuse(heartbeat, KAFKA_GROUP_ID_NOT_FOUND,
			      "The group of this id is not a consumer group.");
	int rc = consumer_adopt(group);
	if (rc < 0)
		group_delete_if_idle(group);
	return rc;
}

static int find_group(struct heartbeat *heartbeat, struct group **ret)
{
	const struct kafka_string *id = &heartbeat->message->group_id;
	bool join = heartbeat->message->member_epoch == EPOCH_JOIN;
	enum kafka_error error = KAFKA_GROUP_ID_NOT_FOUND;
	struct group *group = join ? group_obtain(heartbeat->groups, id, &error)
				   : group_find(heartbeat->groups, id);

	if (!group)
		return refuse(heartbeat, error,
			      join ? "The broker can not have one more group."
				   : "There is no consumer group of this id.");
	if (group->kind != &consumer_kind) {
		if (!join)
			return refuse(heartbeat, KAFKA_GROUP_ID_NOT_FOUND,
				      "The group of this id is not a consumer group.");
		int rc = become_consumer(heartbeat, group);
		if (rc != 0)
			return rc;
	}
	*ret = group;
	return 0;
}

static int member_id_of(const struct heartbeat *heartbeat, struct kafka_string *ret)
{
	char text[UUID_TEXT_BYTES];

	*ret = heartbeat->message->member_id;
	if (ret->length > 0)
		return 0;
	struct uuid id = uuid_random();
	uuid_text(&id, text);
	*ret = kafka_string_of(arena_strndup(heartbeat->request->arena, text, UUID_TEXT_BYTES - 1));
	return ret->length < 0 ? -ENOMEM : 0;
}

/* Who said all that can be said has forgotten, or never knew, what it had. */
static bool is_full(const struct kafka_consumer_group_heartbeat_request *message)
{
	return message->member_epoch == EPOCH_JOIN ||
	       (message->rebalance_timeout_ms >= 0 && message->topic_partitions_count >= 0 &&
		(message->subscribed_topic_names_count >= 0 ||
		 message->subscribed_topic_regex.length >= 0));
}

static int fill(struct heartbeat *heartbeat, const struct consumer_step *step)
{
	struct kafka_consumer_group_heartbeat_response *response = heartbeat->response;
	const struct config *config = heartbeat->groups->options.config;
	struct wire_topic *topics;

	response->member_id = step->member_id;
	response->member_epoch = step->member->current.epoch;
	response->heartbeat_interval_ms = (int32_t)config->group_consumer_heartbeat_interval_ms;
	response->has_assignment = step->reassigned || is_full(heartbeat->message);
	if (!response->has_assignment)
		return 0;
	int rc = partition_set_to_wire(&step->member->current.assigned, heartbeat->request->arena,
				       &topics, &response->assignment.topic_partitions_count);
	if (rc == 0)
		response->assignment.topic_partitions = (void *)topics;
	return rc;
}

/* A group that nobody could join is none. */
static void forget_if_unused(struct group *group)
{
	const struct consumer_group *consumer = consumer_of(group);

	if (group->kind != &consumer_kind || consumer->member_count || consumer->epoch)
		return;
	consumer_kind.forget(group, KAFKA_GROUP_ID_NOT_FOUND);
	group->kind = NULL;
	group_delete_if_idle(group);
}

static int live(struct heartbeat *heartbeat)
{
	struct consumer_step step = {
		.message = heartbeat->message,
		.client_id = legible(heartbeat->request->arena, &heartbeat->request->client_id),
		.client_host = heartbeat->request->client_host,
		.arena = heartbeat->request->arena,
	};
	struct group *group = NULL;
	int rc = step.client_id.data ? member_id_of(heartbeat, &step.member_id) : -ENOMEM;

	if (rc == 0)
		rc = find_group(heartbeat, &group);
	if (rc != 0 || !group)
		return rc;
	step.consumer = consumer_of(group);
	rc = consumer_step(&step);
	heartbeat->why = step.why;
	if (rc == 0)
		return fill(heartbeat, &step);
	/* It may have been upgraded for a member that then was refused. */
	migration_settle(group);
	forget_if_unused(group);
	return rc;
}

void consumer_heartbeat(struct groups *groups, struct control_request *request)
{
	struct heartbeat heartbeat = {
		.groups = groups,
		.request = request,
		.message = request->request,
		.response = request->response,
	};
	int rc = 0;

	/* Without the topics every group would lose what it has. */
	if (!groups->topics)
		rc = KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	if (rc == 0)
		rc = check_request(&heartbeat);
	if (rc == 0)
		rc = heartbeat.message->member_epoch < EPOCH_JOIN ? leave(&heartbeat)
								  : live(&heartbeat);
	if (rc < 0)
		request->rc = rc;
	if (rc > 0) {
		heartbeat.response->error_code = (int16_t)rc;
		heartbeat.response->error_message = kafka_string_of(heartbeat.why);
	}
	groups_answer(groups,
		      group_partition_of(&heartbeat.message->group_id, groups->partition_count),
		      request);
}
