/* Sessions: who is not heard of for as long as it asked for is gone; Heartbeat and LeaveGroup. */
#include "control/groups/classic_internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>

void classic_session_begin(struct classic_member *member, int32_t timeout_ms)
{
	struct groups *groups = member->classic->group->groups;

	timer_wheel_arm(&groups->wheel, &member->session,
			groups_now_ns(groups) + (uint64_t)timeout_ms * NS_PER_MS);
}

void classic_session_renew(struct classic_member *member)
{
	if (!member->fresh)
		classic_session_begin(member, member->session_timeout_ms);
}

void classic_session_expired(struct wheel_timer *timer)
{
	struct classic_member *member = container_of(timer, struct classic_member, session);
	struct classic *classic = member->classic;

	if (classic_member_pending(member)) {
		classic_members_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
		classic_forget_if_unused(classic);
		return;
	}
	/* Who waits for an answer is not silent: its session begins with the answer. */
	if (!member->fresh && (member->join || member->sync))
		return;
	classic_members_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
	classic_members_changed(classic, "a member's session has ended");
}

static enum kafka_error heartbeat(const struct group *group,
				  const struct kafka_heartbeat_request *message)
{
	const struct classic *classic = group->state;
	struct classic_member *member;
	enum kafka_error error = classic_members_identify(classic, &message->member_id,
							  &message->group_instance_id, &member);

	if (error != KAFKA_NONE)
		return error;
	if (message->generation_id != classic->generation)
		return KAFKA_ILLEGAL_GENERATION;
	classic_session_renew(member);
	return classic->state == CLASSIC_PREPARING ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

void classic_heartbeat(struct groups *groups, struct control_request *request)
{
	const struct kafka_heartbeat_request *message = request->request;
	struct kafka_heartbeat_response *response = request->response;

	if (consumer_classic_heartbeat(groups, request))
		return;
	const struct group *group = classic_find_group(groups, &message->group_id);
	if (!group) {
		groups_refuse(groups, request, KAFKA_UNKNOWN_MEMBER_ID);
		return;
	}
	response->error_code = (int16_t)heartbeat(group, message);
	groups_answer(groups, group->partition, request);
}

/* ---- LeaveGroup ---- */

/* An administrator names instance ids alone.  Null with UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID. */
static enum kafka_error find_leaving(const struct classic *classic,
				     const struct kafka_string *member_id,
				     const struct kafka_string *instance_id,
				     struct classic_member **ret)
{
	if (member_id->length > 0) {
		*ret = classic_members_find(classic, member_id);
		if (*ret && classic_member_pending(*ret))
			return KAFKA_NONE;
		return classic_members_identify(classic, member_id, instance_id, ret);
	}
	*ret = instance_id->length >= 0 ? classic_members_find_static(classic, instance_id) : NULL;
	return *ret ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
}

/* Whether a member went, and not only an id that was given out, is added to *left. */
static enum kafka_error leave(struct group *group, const struct kafka_string *member_id,
			      const struct kafka_string *instance_id, bool *left)
{
	struct classic_member *member;

	if (!group)
		return KAFKA_UNKNOWN_MEMBER_ID;
	enum kafka_error error = find_leaving(group->state, member_id, instance_id, &member);
	if (error != KAFKA_NONE)
		return error;
	if (!classic_member_pending(member))
		*left = true;
	classic_members_remove(member, KAFKA_UNKNOWN_MEMBER_ID);
	return KAFKA_NONE;
}

static void leave_each(struct group *group, struct control_request *request, bool *left)
{
	const struct kafka_leave_group_request *message = request->request;
	struct kafka_leave_group_response *response = request->response;
	static const struct kafka_string no_instance = {.length = -1};

	if (request->version < 3) {
		response->error_code = (int16_t)leave(group, &message->member_id, &no_instance,
						      left);
		return;
	}
	response->members = arena_calloc(request->arena, (size_t)message->members_count,
					 sizeof(*response->members));
	if (!response->members) {
		request->rc = -ENOMEM;
		return;
	}
	for (int32_t i = 0; i < message->members_count; i++) {
		const struct kafka_leave_group_request_member_identity *who = &message->members[i];

		if (group)
			classic_log_reason(group->state, "leave", &who->reason);
		response->members[response->members_count++] =
			(struct kafka_leave_group_response_member_response){
				.member_id = who->member_id,
				.group_instance_id = who->group_instance_id,
				.error_code = (int16_t)leave(group, &who->member_id,
							     &who->group_instance_id, left),
			};
	}
}

void classic_leave(struct groups *groups, struct control_request *request)
{
	const struct kafka_leave_group_request *message = request->request;
	bool left = false;

	if (consumer_classic_leave(groups, request))
		return;
	struct group *group = classic_find_group(groups, &message->group_id);
	leave_each(group, request, &left);
	if (!group) {
		groups_answer(groups,
			      group_partition_of(&message->group_id, groups->partition_count),
			      request);
		return;
	}
	const int32_t partition = group->partition;
	if (left)
		classic_members_changed(group->state, "members left");
	else
		classic_forget_if_unused(group->state);
	groups_answer(groups, partition, request);
}
