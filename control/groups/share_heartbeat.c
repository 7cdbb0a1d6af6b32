/* ShareGroupHeartbeat: a member joins, is alive, leaves.
 *
 *     locate -> take_news -> share_follow_topics -> share_retarget -> catch_up
 *
 * A heartbeat that has nothing to say in a group that is quiet appends nothing. */
#include "control/groups/groups_internal.h"
#include "control/groups/legible.h"
#include "control/groups/share.h"
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "control/config.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"

#include <errno.h>

struct heartbeat {
	struct groups *groups;
	struct control_request *request;
	const struct kafka_share_group_heartbeat_request *message;
	struct kafka_share_group_heartbeat_response *response;
	struct share_member *member;
	bool reassigned;
	const char *why; /* with an error */
};

static int refuse(struct heartbeat *heartbeat, enum kafka_error error, const char *why)
{
	heartbeat->why = why;
	return error;
}

static bool joins(const struct heartbeat *heartbeat)
{
	return heartbeat->message->member_epoch == SHARE_EPOCH_JOIN;
}

static int check_request(struct heartbeat *heartbeat)
{
	const struct kafka_share_group_heartbeat_request *message = heartbeat->message;

	if (message->member_id.length <= 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "MemberId can't be empty.");
	if (message->rack_id.length == 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "RackId can't be empty.");
	if (message->member_epoch < SHARE_EPOCH_LEAVE)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST, "MemberEpoch is below -1.");
	if (joins(heartbeat) && message->subscribed_topic_names_count <= 0)
		return refuse(heartbeat, KAFKA_INVALID_REQUEST,
			      "SubscribedTopicNames must be set in first request.");
	return 0;
}

/* ---- who it is ---- */

static int find_group(struct heartbeat *heartbeat, struct group **ret)
{
	const struct kafka_string *id = &heartbeat->message->group_id;
	enum kafka_error error = KAFKA_GROUP_ID_NOT_FOUND;
	struct group *group = joins(heartbeat) ? group_obtain(heartbeat->groups, id, &error)
					       : group_find(heartbeat->groups, id);

	if (!group)
		return refuse(heartbeat, error,
			      joins(heartbeat) ? "The broker can not have one more group."
					       : "There is no share group of this id.");
	if (group->kind != &share_kind) {
		if (!joins(heartbeat) || !group_vacant(group))
			return refuse(heartbeat, KAFKA_GROUP_ID_NOT_FOUND,
				      "The group of this id is not a share group.");
		int rc = share_adopt(group);
		if (rc < 0) {
			group_delete_if_idle(group);
			return rc;
		}
	}
	*ret = group;
	return 0;
}

static int locate_known(struct heartbeat *heartbeat, struct share_group *share)
{
	int32_t epoch = heartbeat->message->member_epoch;
	struct share_member *member = share_member_find(share, &heartbeat->message->member_id);

	if (!member)
		return refuse(heartbeat, KAFKA_UNKNOWN_MEMBER_ID,
			      "The group has no member of this id.");
	/* One behind: the answer that made the epoch rise was lost. */
	if (epoch > 0 && epoch != member->epoch && epoch != member->previous_epoch)
		return refuse(heartbeat, KAFKA_FENCED_MEMBER_EPOCH,
			      "The member epoch is not the one the member has here.");
	heartbeat->member = member;
	return 0;
}

static int locate_joining(struct heartbeat *heartbeat, struct share_group *share)
{
	const struct config *config = heartbeat->groups->options.config;

	heartbeat->member = share_member_find(share, &heartbeat->message->member_id);
	if (heartbeat->member)
		return 0;
	if (share->member_count >= (size_t)config->group_share_max_size)
		return refuse(heartbeat, KAFKA_GROUP_MAX_SIZE_REACHED,
			      "The group has as many members as group.share.max.size allows.");
	heartbeat->member = share_member_add(share, &heartbeat->message->member_id);
	return heartbeat->member ? 0 : -ENOMEM;
}

/* ---- what it says ---- */

static struct share_details details_said(const struct heartbeat *heartbeat)
{
	const struct kafka_share_group_heartbeat_request *message = heartbeat->message;
	const struct share_member *member = heartbeat->member;
	struct share_details details = member->details;

	details.client_id = legible(heartbeat->request->arena, &heartbeat->request->client_id);
	details.client_host = heartbeat->request->client_host;
	if (message->rack_id.length > 0 || joins(heartbeat))
		details.rack_id = message->rack_id;
	if (message->subscribed_topic_names_count >= 0) {
		details.names = message->subscribed_topic_names;
		details.name_count = (size_t)message->subscribed_topic_names_count;
	}
	return details;
}

static int take_news(struct heartbeat *heartbeat)
{
	const struct kafka_share_group_heartbeat_request *message = heartbeat->message;
	struct share_member *member = heartbeat->member;
	struct share_details details = details_said(heartbeat);
	struct share_details before = member->details;
	void *memory = member->details_memory;

	if (memory && message->subscribed_topic_names_count < 0 && message->rack_id.length < 0)
		return 0;
	if (!details.client_id.data)
		return -ENOMEM;
	/* Sorted by the setting, so compared after it. */
	member->details_memory = NULL;
	int rc = share_set_details(member, &details);
	if (rc == 0 && memory && share_details_equal(&before, &member->details)) {
		free(memory);
		return 0;
	}
	if (rc == 0)
		rc = share_append_details(member);
	if (rc < 0) { /* as it was; the member tries again */
		free(member->details_memory);
		member->details_memory = memory;
		member->details = before;
		return rc;
	}
	free(memory);
	member->share->news = true;
	return 0;
}

/* ---- what it gets ---- */

/* A target is in force when its member has asked. */
static int catch_up(struct heartbeat *heartbeat)
{
	struct share_member *member = heartbeat->member;
	struct share_group *share = member->share;
	struct arena *arena = heartbeat->request->arena;
	struct partition_set assigned;

	heartbeat->reassigned = joins(heartbeat) ||
				heartbeat->message->member_epoch != member->epoch ||
				!partition_set_equal(&member->assigned, &member->target);
	if (member->epoch == share->assignment_epoch)
		return 0;
	int rc = partition_set_copy(&member->target, &assigned);
	if (rc < 0)
		return rc;
	rc = share_append_current(member, share->assignment_epoch, member->epoch, &assigned, arena);
	if (rc < 0) {
		partition_set_fini(&assigned);
		return rc;
	}
	partition_set_fini(&member->assigned);
	member->assigned = assigned;
	member->previous_epoch = member->epoch;
	member->epoch = share->assignment_epoch;
	return 0;
}

static int fill(struct heartbeat *heartbeat)
{
	struct kafka_share_group_heartbeat_response *response = heartbeat->response;
	const struct share_member *member = heartbeat->member;
	struct kafka_string id = group_id(member->share->group);
	struct wire_topic *topics;

	response->member_id = heartbeat->message->member_id;
	response->member_epoch = member->epoch;
	response->heartbeat_interval_ms = topics_share_settings(heartbeat->groups->topics, id.data,
								(size_t)id.length)
						  ->heartbeat_interval_ms;
	response->has_assignment = heartbeat->reassigned;
	if (!response->has_assignment)
		return 0;
	int rc = partition_set_to_wire(&member->assigned, heartbeat->request->arena, &topics,
				       &response->assignment.topic_partitions_count);
	if (rc == 0)
		response->assignment.topic_partitions = (void *)topics;
	return rc;
}

/* ---- the request ---- */

/* Who could not be made a member is none, and a group that nobody could join neither. */
static void undo(struct heartbeat *heartbeat, struct group *group)
{
	struct share_group *share = share_of(group);

	if (heartbeat->member && !heartbeat->member->details_memory)
		share_member_remove(heartbeat->member);
	if (share->member_count || share->epoch || share->kept_count)
		return;
	share_kind.forget(group, KAFKA_GROUP_ID_NOT_FOUND);
	group->kind = NULL;
	group_delete_if_idle(group);
}

static int live(struct heartbeat *heartbeat)
{
	struct group *group = NULL;
	int rc = find_group(heartbeat, &group);

	if (rc != 0 || !group)
		return rc;
	struct share_group *share = share_of(group);
	rc = joins(heartbeat) ? locate_joining(heartbeat, share) : locate_known(heartbeat, share);
	if (rc == 0)
		rc = take_news(heartbeat);
	if (rc == 0)
		rc = share_follow_topics(share);
	if (rc == 0)
		rc = share_retarget(share);
	if (rc == 0)
		rc = catch_up(heartbeat);
	if (rc == 0)
		rc = fill(heartbeat);
	if (rc != 0) {
		undo(heartbeat, group);
		return rc;
	}
	share_member_seen(heartbeat->member);
	return 0;
}

static int leave(struct heartbeat *heartbeat)
{
	struct group *group = NULL;
	int rc = find_group(heartbeat, &group);

	if (rc == 0 && group)
		rc = locate_known(heartbeat, share_of(group));
	if (rc == 0)
		rc = share_member_fence(heartbeat->member);
	heartbeat->response->member_id = heartbeat->message->member_id;
	heartbeat->response->member_epoch = heartbeat->message->member_epoch;
	return rc;
}

void share_heartbeat(struct groups *groups, struct control_request *request)
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
		rc = heartbeat.message->member_epoch == SHARE_EPOCH_LEAVE ? leave(&heartbeat)
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
