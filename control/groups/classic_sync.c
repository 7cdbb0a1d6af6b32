/* SyncGroup: the leader gives everyone's assignment, each member takes its own. */
#include "control/groups/classic_internal.h"

#include "control/groups/consumer_classic.h"
#include "control/groups/groups_internal.h"

#include <errno.h>

/* KIP-559: clients that disagree about what they talk are told so.  They have to say it from 5 on.
 */
static bool agrees(const struct control_request *request, const struct kafka_string *said,
		   const struct kafka_string *known)
{
	return said->length < 0 ? request->version < 5 : kafka_string_equal(said, known);
}

static enum kafka_error check_request(const struct classic *classic,
				      const struct control_request *request,
				      struct classic_member **ret)
{
	const struct kafka_sync_group_request *message = request->request;
	enum kafka_error error = classic_members_identify(classic, &message->member_id,
							  &message->group_instance_id, ret);

	if (error != KAFKA_NONE)
		return error;
	if (message->generation_id != classic->generation)
		return KAFKA_ILLEGAL_GENERATION;
	if (!agrees(request, &message->protocol_type, &classic->protocol_type) ||
	    !agrees(request, &message->protocol_name, &classic->protocol))
		return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	return classic->state == CLASSIC_PREPARING ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

/* Whom the leader left out gets nothing; of whom it names twice the last counts.  -ENOMEM: some
 * have theirs, and `stored` names none. */
static int assign(struct classic *classic, const struct kafka_sync_group_request *message)
{
	static const struct kafka_bytes nothing;

	list_foreach(link, &classic->members) {
		classic_member_at(link)->stored = false;
		classic_member_assign(classic_member_at(link), &nothing);
	}
	for (int32_t i = 0; i < message->assignments_count; i++) {
		struct classic_member *member =
			classic_members_find(classic, &message->assignments[i].member_id);

		if (member && !classic_member_pending(member) &&
		    classic_member_assign(member, &message->assignments[i].assignment) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* The answers leave when the record is durable. */
static void stabilise(struct classic *classic, const struct kafka_sync_group_request *message)
{
	classic_enter(classic, CLASSIC_STABLE);
	if (assign(classic, message) < 0 || classic_store(classic) < 0) {
		list_foreach(link, &classic->members)
			classic_refuse_sync(classic_member_at(link),
					    KAFKA_COORDINATOR_NOT_AVAILABLE);
		classic_rebalance(classic, "the assignment could not be stored");
		return;
	}
	list_foreach(link, &classic->members) {
		struct classic_member *member = classic_member_at(link);

		if (member->sync)
			classic_session_renew(member);
		classic_answer_sync(member);
	}
}

static void sync_member(struct classic_member *member, struct control_request *request)
{
	struct classic *classic = member->classic;

	classic_session_renew(member);
	classic_synced(member);
	if (classic->state == CLASSIC_STABLE) {
		classic_fill_sync(member, request);
		groups_answer(classic->group->groups, classic->group->partition, request);
		return;
	}
	classic_park_sync(member, request);
	if (classic->leader == member)
		stabilise(classic, request->request);
}

void classic_sync(struct groups *groups, struct control_request *request)
{
	const struct kafka_sync_group_request *message = request->request;
	struct kafka_sync_group_response *response = request->response;
	struct classic_member *member;

	if (consumer_classic_sync(groups, request))
		return;
	const struct group *group = classic_find_group(groups, &message->group_id);

	if (!group) {
		groups_refuse(groups, request, KAFKA_UNKNOWN_MEMBER_ID);
		return;
	}
	enum kafka_error error = check_request(group->state, request, &member);
	if (error == KAFKA_NONE) {
		sync_member(member, request);
		return;
	}
	response->error_code = (int16_t)error;
	groups_answer(groups, group->partition, request);
}
