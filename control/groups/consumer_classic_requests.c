/* JoinGroup, SyncGroup, Heartbeat and LeaveGroup of members of a consumer group.
 *
 * A member that has to come again (Heartbeat said so), or that has come and has to ask for its
 * assignment, has its rebalance timeout for that, as in a classic group.  No member leads: nobody
 * is asked for an assignment. */
#include "control/groups/consumer_classic.h"

#include "base/arena.h"
#include "base/clock.h"
#include "control/groups/classic_internal.h"
#include "control/groups/consumer.h"
#include "control/groups/consumer_internal.h"
#include "control/groups/consumer_protocol.h"
#include "control/groups/groups_internal.h"
#include "control/groups/legible.h"
#include "control/groups/migration.h"
#include "kafka_messages.h"

#include <errno.h>

enum { FIRST_WITH_KNOWN_IDS = 4, FIRST_WITH_PROTOCOL_IN_SYNC = 5, FIRST_WITH_LEAVING_LIST = 3 };

static const struct kafka_string consumer_type = {"consumer", 8};
static const struct kafka_string nobody = {"", 0};

/* Null: the group is none of ours, or its members are gathered by the classic protocol now. */
static struct group *find(const struct groups *groups, const struct kafka_string *id)
{
	struct group *group = group_find(groups, id);

	if (!group || group->kind != &consumer_kind)
		return NULL;
	migration_settle(group);
	return group->kind == &consumer_kind && !group_empty(group) ? group : NULL;
}

static void answer(const struct group *group, struct control_request *request)
{
	groups_answer(group->groups, group->partition, request);
}

/* Who speaks the other protocol is nobody here. */
static enum kafka_error identify(const struct group *group, const struct kafka_string *member_id,
				 const struct kafka_string *instance_id,
				 struct consumer_member **ret)
{
	const char *why;
	enum kafka_error error = consumer_known(consumer_of(group), member_id, instance_id, ret,
						&why);

	return error == KAFKA_NONE && !(*ret)->classic ? KAFKA_UNKNOWN_MEMBER_ID : error;
}

/* ---- the wait for the next request ---- */

static void wait_anew(struct consumer_member *member)
{
	struct groups *groups = member->consumer->group->groups;

	timer_wheel_arm(&groups->wheel, &member->classic->wait,
			groups_now_ns(groups) +
				(uint64_t)member->details.rebalance_timeout_ms * NS_PER_MS);
}

static void wait_on(struct consumer_member *member)
{
	if (!member->classic->wait.link.next)
		wait_anew(member);
}

static void wait_no_more(struct consumer_member *member)
{
	timer_wheel_disarm(&member->consumer->group->groups->wheel, &member->classic->wait);
}

/* ---- JoinGroup ---- */

static bool all_offer(const struct consumer_group *consumer, const struct kafka_string *name)
{
	for (size_t i = 0; i < consumer->member_count; i++) {
		const struct consumer_classic *classic = consumer->members[i]->classic;
		if (classic && !classic_protocols_find(classic->protocols, name))
			return false;
	}
	return true;
}

/* They must be able to agree on an assignor, should the group become a classic one. */
static bool supported(const struct consumer_group *consumer,
		      const struct kafka_join_group_request *message)
{
	if (!kafka_string_equal(&message->protocol_type, &consumer_type))
		return false;
	for (int32_t i = 0; i < message->protocols_count; i++) {
		if (all_offer(consumer, &message->protocols[i].name))
			return true;
	}
	return false;
}

static void refuse_join(const struct group *group, struct control_request *request,
			enum kafka_error error, const struct kafka_string *member_id)
{
	classic_fill_join_error(request, error, member_id);
	answer(group, request);
}

/* The static member whose place it takes, if the group is a classic one then.  Null: none. */
static struct consumer_member *last_consumer(const struct consumer_group *consumer,
					     const struct kafka_join_group_request *message)
{
	struct consumer_member *holder;

	if (message->group_instance_id.length < 0 || message->member_id.length > 0)
		return NULL;
	holder = consumer_find_instance(consumer, &message->group_instance_id);
	return holder && !holder->classic && migration_due_without(holder) ? holder : NULL;
}

static int make_id(const struct control_request *request, struct kafka_string *ret)
{
	const struct uuid id = uuid_random();
	char text[UUID_TEXT_BYTES];

	uuid_text(&id, text);
	*ret = kafka_string_of(arena_strndup(request->arena, text, UUID_TEXT_BYTES - 1));
	return ret->length < 0 ? -ENOMEM : 0;
}

/* NONE: *ret is who it is, which may be somebody new. */
static enum kafka_error check_id(const struct consumer_group *consumer,
				 const struct kafka_join_group_request *message)
{
	struct consumer_member *member;
	const char *why;

	/* Ids of dynamic members are not kept when they are given out. */
	if (message->member_id.length == 0 || message->group_instance_id.length < 0)
		return KAFKA_NONE;
	return consumer_known(consumer, &message->member_id, &message->group_instance_id, &member,
			      &why);
}

/* The JoinGroup as a heartbeat that says everything. */
static int translate(const struct group *group, const struct control_request *request,
		     struct kafka_consumer_group_heartbeat_request *ret)
{
	const struct kafka_join_group_request *message = request->request;
	struct consumer_protocol_subscription subscription;
	struct wire_topic *owned;
	int rc = consumer_protocol_read_subscription(&message->protocols[0].metadata,
						     group->groups->topics, request->arena,
						     &subscription);

	if (rc < 0)
		return rc == -ENOMEM ? rc : KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	kafka_consumer_group_heartbeat_request_init(ret);
	ret->group_id = message->group_id;
	ret->member_epoch = EPOCH_JOIN;
	ret->instance_id = message->group_instance_id;
	ret->rack_id = subscription.rack_id;
	ret->rebalance_timeout_ms = classic_join_timeout_ms(request);
	ret->subscribed_topic_names = subscription.topics;
	ret->subscribed_topic_names_count = subscription.topic_count;
	rc = partition_set_to_wire(&subscription.owned, request->arena, &owned,
				   &ret->topic_partitions_count);
	ret->topic_partitions = (void *)owned;
	return rc;
}

static void fill_join(struct control_request *request, const struct consumer_step *step)
{
	const struct kafka_join_group_request *message = request->request;
	struct kafka_join_group_response *response = request->response;

	response->generation_id = step->member->current.epoch;
	response->protocol_type = consumer_type;
	response->protocol_name = message->protocols[0].name;
	response->leader = nobody;
	response->member_id = step->member_id;
}

/* 0: the response is filled; an enum kafka_error; -ENOMEM. */
static int join(struct group *group, struct control_request *request,
		const struct kafka_string *member_id)
{
	struct kafka_consumer_group_heartbeat_request heartbeat;
	struct consumer_step step = {
		.consumer = consumer_of(group),
		.message = &heartbeat,
		.member_id = *member_id,
		.client_id = legible(request->arena, &request->client_id),
		.client_host = request->client_host,
		.classic = request->request,
		.arena = request->arena,
	};
	int rc = step.client_id.data ? translate(group, request, &heartbeat) : -ENOMEM;

	if (rc == 0)
		rc = consumer_step(&step);
	if (rc != 0)
		return rc;
	wait_anew(step.member);
	fill_join(request, &step);
	return 0;
}

static void join_or_refuse(struct group *group, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	const struct consumer_group *consumer = consumer_of(group);
	struct kafka_string member_id = message->member_id;
	enum kafka_error error = supported(consumer, message) ? check_id(consumer, message)
							      : KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	int rc = 0;

	if (error == KAFKA_NONE && member_id.length == 0) {
		rc = make_id(request, &member_id);
		if (message->group_instance_id.length < 0 &&
		    request->version >= FIRST_WITH_KNOWN_IDS)
			error = KAFKA_MEMBER_ID_REQUIRED;
	}
	if (rc == 0 && error == KAFKA_NONE)
		rc = join(group, request, &member_id);
	if (rc > 0)
		error = (enum kafka_error)rc;
	if (rc < 0)
		refuse_join(group, request, KAFKA_COORDINATOR_NOT_AVAILABLE, &message->member_id);
	else if (error != KAFKA_NONE)
		refuse_join(group, request, error, &member_id);
	else
		answer(group, request);
}

bool consumer_classic_join(struct groups *groups, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	struct group *group = find(groups, &message->group_id);
	struct consumer_member *last;

	if (!group)
		return false;
	if (!groups->topics) {
		groups_refuse(groups, request, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
		return true;
	}
	last = supported(consumer_of(group), message) ? last_consumer(consumer_of(group), message)
						      : NULL;
	if (last && consumer_fence(last) == 0 && !find(groups, &message->group_id))
		return false;
	join_or_refuse(group, request);
	return true;
}

/* ---- SyncGroup ---- */

/* It knows an earlier target; who is letting go of partitions goes on with that first. */
static bool has_to_join(const struct consumer_member *member)
{
	return member->consumer->epoch > member->current.epoch &&
	       member->current.state != MEMBER_UNREVOKED_PARTITIONS;
}

static bool agrees(const struct control_request *request, const struct kafka_string *said,
		   const struct kafka_string *known)
{
	return said->length < 0 ? request->version < FIRST_WITH_PROTOCOL_IN_SYNC
				: kafka_string_equal(said, known);
}

static enum kafka_error check_sync(const struct group *group, const struct control_request *request,
				   struct consumer_member **ret)
{
	const struct kafka_sync_group_request *message = request->request;
	enum kafka_error error = identify(group, &message->member_id, &message->group_instance_id,
					  ret);

	if (error != KAFKA_NONE)
		return error;
	if (message->generation_id != (*ret)->current.epoch)
		return KAFKA_ILLEGAL_GENERATION;
	if (!agrees(request, &message->protocol_type, &consumer_type) ||
	    !agrees(request, &message->protocol_name, &(*ret)->classic->protocols->items[0].name))
		return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	return has_to_join(*ret) ? KAFKA_REBALANCE_IN_PROGRESS : KAFKA_NONE;
}

/* The names are the request's: the member may be gone before the answer is sent. */
static void fill_sync(const struct consumer_member *member, struct control_request *request)
{
	const struct kafka_sync_group_request *message = request->request;
	struct kafka_sync_group_response *response = request->response;
	const struct kafka_bytes *metadata = &member->classic->protocols->items[0].metadata;

	response->protocol_type = message->protocol_type;
	response->protocol_name = message->protocol_name;
	request->rc = consumer_protocol_write_assignment(
		&member->current.assigned, consumer_protocol_version(metadata),
		member->consumer->group->groups->topics, request->arena, &response->assignment);
}

bool consumer_classic_sync(struct groups *groups, struct control_request *request)
{
	const struct kafka_sync_group_request *message = request->request;
	struct kafka_sync_group_response *response = request->response;
	const struct group *group = find(groups, &message->group_id);
	struct consumer_member *member;

	if (!group)
		return false;
	enum kafka_error error = check_sync(group, request, &member);
	response->error_code = (int16_t)error;
	if (error == KAFKA_NONE) {
		consumer_seen(member);
		wait_no_more(member);
		fill_sync(member, request);
	} else if (error == KAFKA_REBALANCE_IN_PROGRESS) {
		wait_on(member);
	}
	answer(group, request);
	return true;
}

/* ---- Heartbeat ---- */

/* What it is to have and has not, nobody else has either. */
static bool lacks_what_is_free(const struct consumer_member *member)
{
	const struct member_assignment *current = &member->current;

	for (size_t i = 0; i < member->target.count; i++) {
		const struct consumer_member *owner = owners_get(&member->consumer->owners,
								 &member->target.items[i]);
		if (owner && owner != member)
			return false;
	}
	return current->state == MEMBER_UNRELEASED_PARTITIONS;
}

static enum kafka_error heartbeat(const struct group *group,
				  const struct kafka_heartbeat_request *message)
{
	struct consumer_member *member;
	enum kafka_error error = identify(group, &message->member_id, &message->group_instance_id,
					  &member);

	if (error != KAFKA_NONE)
		return error;
	if (message->generation_id != member->current.epoch)
		return KAFKA_ILLEGAL_GENERATION;
	consumer_seen(member);
	if (!has_to_join(member) && member->current.state != MEMBER_UNREVOKED_PARTITIONS &&
	    !lacks_what_is_free(member))
		return KAFKA_NONE;
	wait_on(member);
	return KAFKA_REBALANCE_IN_PROGRESS;
}

bool consumer_classic_heartbeat(struct groups *groups, struct control_request *request)
{
	const struct kafka_heartbeat_request *message = request->request;
	struct kafka_heartbeat_response *response = request->response;
	const struct group *group = find(groups, &message->group_id);

	if (!group)
		return false;
	response->error_code = (int16_t)heartbeat(group, message);
	answer(group, request);
	return true;
}

/* ---- LeaveGroup ---- */

/* An administrator names instance ids alone, whatever protocol the member speaks. */
static enum kafka_error find_leaving(const struct group *group,
				     const struct kafka_string *member_id,
				     const struct kafka_string *instance_id,
				     struct consumer_member **ret)
{
	if (member_id->length > 0)
		return identify(group, member_id, instance_id, ret);
	*ret = instance_id->length >= 0 ? consumer_find_instance(consumer_of(group), instance_id)
					: NULL;
	return *ret ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
}

static enum kafka_error leave(const struct group *group, const struct kafka_string *member_id,
			      const struct kafka_string *instance_id)
{
	struct consumer_member *member;
	enum kafka_error error = find_leaving(group, member_id, instance_id, &member);

	if (error == KAFKA_NONE && consumer_fence(member) < 0)
		error = KAFKA_COORDINATOR_NOT_AVAILABLE;
	return error;
}

static void leave_each(const struct group *group, struct control_request *request)
{
	const struct kafka_leave_group_request *message = request->request;
	struct kafka_leave_group_response *response = request->response;
	static const struct kafka_string no_instance = {.length = -1};

	if (request->version < FIRST_WITH_LEAVING_LIST) {
		response->error_code = (int16_t)leave(group, &message->member_id, &no_instance);
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
		response->members[response->members_count++] =
			(struct kafka_leave_group_response_member_response){
				.member_id = who->member_id,
				.group_instance_id = who->group_instance_id,
				.error_code = (int16_t)leave(group, &who->member_id,
							     &who->group_instance_id),
			};
	}
}

bool consumer_classic_leave(struct groups *groups, struct control_request *request)
{
	const struct kafka_leave_group_request *message = request->request;
	struct group *group = find(groups, &message->group_id);

	if (!group)
		return false;
	leave_each(group, request);
	migration_settle(group);
	answer(group, request);
	return true;
}
