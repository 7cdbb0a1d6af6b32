/* JoinGroup: a member enters a group, or enters it again because a new generation begins.
 *
 *     no member id      4 and above: the id is all it gets, so that a client that gives up and
 *                       begins anew leaves an id behind and not a member (KIP-394)
 *     an instance id    it is the member of that name, whatever member id that had (KIP-345)
 *     a member id       pending: it becomes a member; else its state decides, see rejoin
 */
#include "control/groups/classic_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/uuid.h"
#include "control/config.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/groups_internal.h"
#include "control/groups/legible.h"

#include <errno.h>
#include <stdlib.h>

static const struct kafka_string no_id = {"", 0};

static void answer(struct group *group, struct control_request *request)
{
	groups_answer(group->groups, group->partition, request);
}

static void refuse(struct group *group, struct control_request *request, enum kafka_error error,
		   const struct kafka_string *member_id)
{
	classic_fill_join_error(request, error, member_id);
	answer(group, request);
}

/* Before 1 there was one timeout for both. */
int32_t classic_join_timeout_ms(const struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;

	return request->version < 1 || message->rebalance_timeout_ms < 0
		       ? message->session_timeout_ms
		       : message->rebalance_timeout_ms;
}

/* What the request asks for.  -ENOMEM: the member is as before. */
static int update(struct classic_member *member, const struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	struct classic_protocols *protocols = classic_protocols_copy(message);

	if (!protocols)
		return -ENOMEM;
	free(member->protocols);
	member->protocols = protocols;
	member->session_timeout_ms = message->session_timeout_ms;
	member->rebalance_timeout_ms = classic_join_timeout_ms(request);
	return 0;
}

/* `<prefix>-<what nobody else has>`. */
static struct kafka_string make_id(const struct control_request *request,
				   const struct kafka_string *prefix)
{
	const struct uuid uuid = uuid_random();
	const size_t length = (size_t)prefix->length;
	char *id = arena_alloc(request->arena, length + 1 + UUID_HEX_BYTES);

	if (!id)
		return (struct kafka_string){.length = -1};
	bytes_copy(id, prefix->data, length);
	id[length] = '-';
	uuid_hex(&uuid, id + length + 1);
	return (struct kafka_string){id, (int32_t)(length + UUID_HEX_BYTES)};
}

/* Null: out of memory. */
static struct classic_member *make(const struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	const struct kafka_string client = legible(request->arena, &request->client_id);
	const struct kafka_string prefix = message->group_instance_id.length < 0
						   ? client
						   : legible(request->arena,
							     &message->group_instance_id);
	struct classic_identity identity = {
		.instance_id = message->group_instance_id,
		.client_id = client,
		.client_host = request->client_host,
	};

	if (!client.data || !prefix.data)
		return NULL;
	identity.id = make_id(request, &prefix);
	return identity.id.data ? classic_member_new(&identity) : NULL;
}

/* ---- new members ---- */

/* The first one says what kind of clients these are. */
static int set_type_of_first(struct classic *classic, const struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;

	return classic->member_count
		       ? 0
		       : classic_set_text(&classic->protocol_type, &message->protocol_type);
}

/* `member` is in the group's list. */
static void enter(struct classic_member *member, struct control_request *request)
{
	struct classic *classic = member->classic;

	member->fresh = true;
	classic->member_added = true;
	classic_session_begin(member, CLASSIC_FIRST_JOIN_MS);
	classic_park_join(member, request);
	classic_rebalance(classic, "a member joins");
}

static int join_new(struct classic *classic, struct control_request *request)
{
	struct classic_member *member = make(request);
	int rc = member ? update(member, request) : -ENOMEM;

	if (rc == 0)
		rc = set_type_of_first(classic, request);
	if (rc == 0)
		rc = classic_members_add(classic, member);
	if (rc < 0) {
		classic_member_free(member);
		return rc;
	}
	enter(member, request);
	return 0;
}

static int join_pending(struct classic_member *member, struct control_request *request)
{
	int rc = set_type_of_first(member->classic, request);

	if (rc == 0)
		rc = update(member, request);
	if (rc < 0)
		return rc;
	classic_members_admit(member);
	enter(member, request);
	return 0;
}

/* Ids that nobody comes back with do not add up: the oldest makes room. */
static int give_id(struct classic *classic, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	const int64_t limit = classic->group->groups->options.config->group_max_size;
	struct classic_member *member = make(request);
	int rc = member ? classic_members_add_pending(classic, member) : -ENOMEM;

	if (rc < 0) {
		classic_member_free(member);
		return rc;
	}
	classic_session_begin(member, message->session_timeout_ms);
	refuse(classic->group, request, KAFKA_MEMBER_ID_REQUIRED, &member->id);
	if (classic->pending_count > (size_t)limit)
		classic_members_remove(classic_member_at(classic->pending.next),
				       KAFKA_UNKNOWN_MEMBER_ID);
	return 0;
}

/* ---- static members that come back ---- */

/* Up to 8 the one who led is told the id that it had then: it does not take itself for the leader
 * and computes no assignment that nobody would get.  From 9 on it is told to skip that (KIP-814).
 */
static void fill_unchanged(const struct classic_member *member, struct control_request *request,
			   const struct kafka_string *leader_before)
{
	struct kafka_join_group_response *response = request->response;
	const bool leads = member->classic->leader == member;

	classic_fill_join(member, request);
	if (request->version >= 9) {
		response->skip_assignment = leads;
		return;
	}
	response->leader = *leader_before;
	response->members_count = 0;
}

/* The member's place is taken while its assignment holds.  Stored, as the new id has to hold after
 * a restart; an id that could not be stored was told to nobody. */
static void continue_stable(struct classic_member *member, struct control_request *request,
			    const struct kafka_string *leader_before)
{
	struct classic *classic = member->classic;

	if (!kafka_string_equal(classic_members_vote(classic), &classic->protocol)) {
		classic_park_join(member, request);
		classic_rebalance(classic, "a static member came back with other protocols");
		return;
	}
	if (classic_store(classic) < 0) {
		refuse(classic->group, request, KAFKA_COORDINATOR_NOT_AVAILABLE, &no_id);
		return;
	}
	fill_unchanged(member, request, leader_before);
	answer(classic->group, request);
}

static int rejoin_static(struct classic_member *member, struct control_request *request)
{
	struct classic *classic = member->classic;
	struct classic_copies copies = {.arena = request->arena};
	const struct kafka_string leader = classic_copy_string(&copies, &classic->leader->id);
	struct classic_member *next = make(request);
	int rc = next && copies.rc == 0 ? update(next, request) : -ENOMEM;

	if (rc == 0)
		rc = classic_members_replace(member, next);
	if (rc < 0) {
		classic_member_free(next);
		return rc;
	}
	classic_session_renew(next);
	if (classic->state == CLASSIC_STABLE) {
		continue_stable(next, request, &leader);
		return 0;
	}
	/* While completing, the leader may have been told of the id that is gone. */
	classic_park_join(next, request);
	classic_rebalance(classic, "a static member came back");
	return 0;
}

/* ---- members that come again ---- */

static int rejoin(struct classic_member *member, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	struct classic *classic = member->classic;
	const bool same = classic_protocols_equal(member->protocols, message);

	/* Its answer got lost, or it only wants to know. */
	if (same && (classic->state == CLASSIC_COMPLETING ||
		     (classic->state == CLASSIC_STABLE && classic->leader != member))) {
		classic_session_renew(member);
		classic_fill_join(member, request);
		answer(classic->group, request);
		return 0;
	}
	int rc = update(member, request);
	if (rc < 0)
		return rc;
	classic_park_join(member, request);
	/* A leader comes again when the topics have changed, with the same metadata. */
	classic_rebalance(classic, same ? "the leader joins again" : "a member's metadata changed");
	return 0;
}

/* ---- who may ---- */

static enum kafka_error check_request(const struct groups *groups,
				      const struct kafka_join_group_request *message)
{
	const struct config *config = groups->options.config;

	if (message->session_timeout_ms < config->group_min_session_timeout_ms ||
	    message->session_timeout_ms > config->group_max_session_timeout_ms)
		return KAFKA_INVALID_SESSION_TIMEOUT;
	if (message->protocol_type.length == 0 || message->protocols_count == 0)
		return KAFKA_INCONSISTENT_GROUP_PROTOCOL;
	return message->protocols_count > CLASSIC_PROTOCOLS_MAX ? KAFKA_INVALID_REQUEST
								: KAFKA_NONE;
}

/* While members are gathered those count that are there already, so that of a group that is too
 * large the last to come are turned away. */
static bool has_room(const struct classic *classic, const struct classic_member *member)
{
	const size_t limit = (size_t)classic->group->groups->options.config->group_max_size;
	const bool known = member && !classic_member_pending(member);

	switch (classic->state) {
	case CLASSIC_EMPTY:
		return true;
	case CLASSIC_PREPARING:
		return (known && member->join) || classic->joining_count < limit;
	case CLASSIC_COMPLETING:
	case CLASSIC_STABLE:
		return known || classic->member_count < limit;
	}
	return false;
}

/* By its instance id where that is all it knows of itself.  Null: nobody. */
static struct classic_member *find(const struct classic *classic,
				   const struct kafka_join_group_request *message)
{
	if (message->member_id.length > 0)
		return classic_members_find(classic, &message->member_id);
	return message->group_instance_id.length < 0
		       ? NULL
		       : classic_members_find_static(classic, &message->group_instance_id);
}

static void turn_away(struct classic *classic, struct classic_member *member,
		      struct control_request *request)
{
	const bool leaves = member && !classic_member_pending(member);

	refuse(classic->group, request, KAFKA_GROUP_MAX_SIZE_REACHED, &no_id);
	if (member)
		classic_members_remove(member, KAFKA_GROUP_MAX_SIZE_REACHED);
	if (leaves)
		classic_members_changed(classic, "the group is full");
}

/* A negative return: the request is not answered. */
static int join_known(struct classic *classic, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	struct classic_member *member = classic_members_find(classic, &message->member_id);

	if (member && classic_member_pending(member) && message->group_instance_id.length < 0)
		return join_pending(member, request);
	enum kafka_error error = classic_members_identify(classic, &message->member_id,
							  &message->group_instance_id, &member);
	if (error == KAFKA_NONE)
		return rejoin(member, request);
	refuse(classic->group, request, error, &message->member_id);
	return 0;
}

static int join(struct classic *classic, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	struct classic_member *member = find(classic, message);

	classic_log_reason(classic, "join", &message->reason);
	if (!has_room(classic, member)) {
		turn_away(classic, member, request);
		return 0;
	}
	if (!classic_members_support(classic, message)) {
		refuse(classic->group, request, KAFKA_INCONSISTENT_GROUP_PROTOCOL,
		       &message->member_id);
		return 0;
	}
	if (message->member_id.length > 0)
		return join_known(classic, request);
	if (member)
		return rejoin_static(member, request);
	if (message->group_instance_id.length < 0 && request->version >= 4)
		return give_id(classic, request);
	return join_new(classic, request);
}

/* A member id is of no use to a group that does not know it: only newcomers make one.  Null: the
 * error says why not. */
static struct group *obtain(struct groups *groups, const struct kafka_join_group_request *message,
			    enum kafka_error *ret_error)
{
	struct group *group = group_find(groups, &message->group_id);
	const bool classic = group && group->kind == &classic_kind;

	if (classic)
		return group;
	if (group && !group_vacant(group)) {
		*ret_error = KAFKA_INCONSISTENT_GROUP_PROTOCOL;
		return NULL;
	}
	if (message->member_id.length > 0) {
		*ret_error = KAFKA_UNKNOWN_MEMBER_ID;
		return NULL;
	}
	group = group_obtain(groups, &message->group_id, ret_error);
	if (group && classic_adopt(group) < 0) {
		*ret_error = KAFKA_COORDINATOR_NOT_AVAILABLE;
		group_delete_if_idle(group);
		return NULL;
	}
	return group;
}

void classic_join(struct groups *groups, struct control_request *request)
{
	const struct kafka_join_group_request *message = request->request;
	enum kafka_error error = check_request(groups, message);

	if (error == KAFKA_NONE && consumer_classic_join(groups, request))
		return;
	struct group *group = error == KAFKA_NONE ? obtain(groups, message, &error) : NULL;
	if (!group) {
		groups_refuse(groups, request, error);
		return;
	}
	if (join(group->state, request) < 0) {
		groups_refuse(groups, request, KAFKA_COORDINATOR_NOT_AVAILABLE);
		classic_forget_if_unused(group->state);
	}
}
