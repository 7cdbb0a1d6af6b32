/* Classic groups: the clients assign the partitions, the group brings them together.
 *
 *                 a member joins                      all are there, or time is up
 *     Empty ----------------------> PreparingRebalance ----------------------> CompletingRebalance
 *       ^                              ^   |      ^                                  |       |
 *       |      all left                |   |      | a member joins with news,        |       |
 *       +------------------------------|---+      | leaves or is not heard of        |       |
 *                                      |          +----------------------------------+       |
 *                                      +--------------------------- Stable <-----------------+
 *                                                                         the leader's SyncGroup
 *
 * JoinGroup requests are parked while preparing, the followers' SyncGroup requests while
 * completing.  Dead is a group that does not exist any more; it has no struct classic.
 *
 * Reading order: classic_internal.h, classic_join.c, classic_rebalance.c, classic_sync.c,
 * classic_session.c; classic_members.c and classic_protocols.c say who takes part and what they
 * agree on, classic_answers.c what they are told, classic_records.c what survives a restart.
 *
 * Invariants: a generation's number only rises while the group lives; a group with members has a
 * leader, one of them; an instance id is one member's.  Ids that were given out and not used yet
 * (pending) hold nobody up. */
#include "control/groups/classic_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>

int classic_set_text(struct kafka_string *text, const struct kafka_string *value)
{
	char *copy = malloc((size_t)value->length + 1);

	if (!copy)
		return -ENOMEM;
	bytes_copy(copy, value->data, (size_t)value->length);
	copy[value->length] = 0;
	classic_clear_text(text);
	*text = (struct kafka_string){copy, value->length};
	return 0;
}

void classic_clear_text(struct kafka_string *text)
{
	/* Ours, though views are of constant characters. */
	free((void *)(uintptr_t)text->data);
	*text = (struct kafka_string){.length = -1};
}

/* ---- life ---- */

struct group *classic_find_group(const struct groups *groups, const struct kafka_string *id)
{
	struct group *group = group_find(groups, id);

	return group && group->kind == &classic_kind ? group : NULL;
}

struct classic *classic_new(struct group *group)
{
	struct classic *classic = calloc(1, sizeof(*classic));

	if (!classic)
		return NULL;
	classic->group = group;
	classic->state_since_ms = groups_wall_ms(group->groups);
	classic->protocol_type.length = -1;
	classic->protocol.length = -1;
	list_init(&classic->members);
	list_init(&classic->pending);
	classic->join_timer.expired = classic_join_expired;
	classic->sync_timer.expired = classic_sync_expired;
	return classic;
}

int classic_adopt(struct group *group)
{
	if (group->kind == &classic_kind)
		return 0;
	if (group->kind) {
		int rc = group->kind->erase(group);
		if (rc < 0)
			return rc;
		group->kind->forget(group, KAFKA_UNKNOWN_MEMBER_ID);
		group->kind = NULL;
	}
	group->state = classic_new(group);
	if (!group->state)
		return -ENOMEM;
	group->kind = &classic_kind;
	return 0;
}

void classic_forget_if_unused(struct classic *classic)
{
	if (classic->state == CLASSIC_EMPTY && classic->pending_count == 0 && !classic->stored)
		group_delete_if_idle(classic->group);
}

void classic_free(struct classic *classic, enum kafka_error error)
{
	struct timer_wheel *wheel = &classic->group->groups->wheel;

	classic_members_clear(classic, error);
	timer_wheel_disarm(wheel, &classic->join_timer);
	timer_wheel_disarm(wheel, &classic->sync_timer);
	classic_clear_text(&classic->protocol_type);
	classic_clear_text(&classic->protocol);
	free(classic);
}

static void forget(struct group *group, enum kafka_error error)
{
	classic_free(group->state, error);
	group->state = NULL;
}

/* ---- what is asked of a group ---- */

static const char *state_name(const struct group *group)
{
	static const char *const names[] = {"Empty", "PreparingRebalance", "CompletingRebalance",
					    "Stable"};
	const struct classic *classic = group->state;

	return names[classic->state];
}

static const char *protocol_type(const struct group *group)
{
	const struct classic *classic = group->state;

	return classic->protocol_type.length < 0 ? "" : classic->protocol_type.data;
}

static size_t member_count(const struct group *group)
{
	const struct classic *classic = group->state;

	return classic->member_count;
}

/* Who names neither a generation nor a member is no member: an administrator, or a consumer that
 * chose its partitions itself.  It may commit while nobody else does. */
static enum kafka_error may_commit(const struct group *group, const struct group_claim *claim)
{
	const struct classic *classic = group->state;
	struct classic_member *member;

	if (claim->epoch < 0 && classic->state == CLASSIC_EMPTY)
		return KAFKA_NONE;
	if (claim->epoch < 0 && claim->member_id.length <= 0 && claim->instance_id.length < 0)
		return claim->in_transaction ? KAFKA_NONE : KAFKA_UNKNOWN_MEMBER_ID;
	enum kafka_error error = classic_members_identify(classic, &claim->member_id,
							  &claim->instance_id, &member);
	if (error != KAFKA_NONE)
		return error;
	if (claim->epoch != classic->generation)
		return KAFKA_ILLEGAL_GENERATION;
	/* It knows of the new generation, and may not own what it owned before.  To transactions
	 * that does not matter, as in Kafka. */
	return classic->state == CLASSIC_COMPLETING && !claim->in_transaction
		       ? KAFKA_REBALANCE_IN_PROGRESS
		       : KAFKA_NONE;
}

static enum kafka_error may_fetch(const struct group *group, const struct group_claim *claim)
{
	(void)group;
	(void)claim;
	return KAFKA_NONE;
}

static void seen(struct group *group, const struct group_claim *claim)
{
	struct classic_member *member;

	if (classic_members_identify(group->state, &claim->member_id, &claim->instance_id,
				     &member) == KAFKA_NONE)
		classic_session_renew(member);
}

/* ---- ConsumerProtocolSubscription ---- */

static bool is_consumer(const struct classic *classic)
{
	const struct kafka_string consumer = kafka_string_of("consumer");

	return kafka_string_equal(&classic->protocol_type, &consumer);
}

/* Version, topics, and more in later versions, each of which begins as the first one.  1 or 0: it
 * names the topic or does not; -ERR_BAD_REQUEST: nobody can tell. */
static int names_topic(const struct kafka_bytes *metadata, const struct kafka_string *topic)
{
	struct wire_reader r = wire_reader_over(metadata->data, (size_t)metadata->length, NULL);
	bool found = false;

	wire_get_i16(&r);
	const int32_t count = wire_get_i32(&r);
	for (int32_t i = 0; i < count && wire_ok(&r); i++) {
		const struct kafka_string name = wire_get_string(&r, false, false);

		found = found || (wire_ok(&r) && kafka_string_equal(&name, topic));
	}
	return wire_ok(&r) && count >= 0 ? found : -ERR_BAD_REQUEST;
}

/* Other types of clients assign other things than topics. */
static bool subscribed(const struct group *group, const struct topic *topic)
{
	const struct classic *classic = group->state;
	const struct kafka_string name = kafka_string_of(topic->name);

	if (!is_consumer(classic))
		return false;
	list_foreach(link, &classic->members) {
		const struct kafka_bytes *metadata = classic_metadata(classic_member_at(link));

		if (!metadata || names_topic(metadata, &name) != 0)
			return true;
	}
	return false;
}

/* ---- DescribeGroups ---- */

/* Between two generations members may not even have metadata for the assignor of the last one. */
static void describe_member(const struct classic_member *member, struct classic_copies *copies,
			    struct kafka_describe_groups_response_described_group_member *ret)
{
	const bool stable = member->classic->state == CLASSIC_STABLE;

	ret->member_id = classic_copy_string(copies, &member->id);
	ret->group_instance_id = classic_copy_string(copies, &member->instance_id);
	ret->client_id = classic_copy_string(copies, &member->client_id);
	ret->client_host = classic_copy_string(copies, &member->client_host);
	ret->member_metadata = classic_copy_bytes(copies, stable ? classic_metadata(member) : NULL);
	ret->member_assignment = classic_copy_bytes(copies, &member->assignment);
}

int classic_describe(const struct group *group, struct arena *arena,
		     struct kafka_describe_groups_response_described_group *ret)
{
	const struct classic *classic = group->state;
	struct classic_copies copies = {.arena = arena};

	ret->members = arena_calloc(arena, classic->member_count, sizeof(*ret->members));
	if (!ret->members)
		return -ENOMEM;
	if (classic->state == CLASSIC_STABLE)
		ret->protocol_data = classic_copy_string(&copies, &classic->protocol);
	list_foreach(link, &classic->members)
		describe_member(classic_member_at(link), &copies,
				&ret->members[ret->members_count++]);
	return copies.rc;
}

const struct group_kind classic_kind = {
	.type = "classic",
	.state = state_name,
	.protocol_type = protocol_type,
	.member_count = member_count,
	.may_commit = may_commit,
	.may_fetch = may_fetch,
	.subscribed = subscribed,
	.seen = seen,
	.loaded = classic_loaded,
	.rewrite = classic_rewrite,
	.live_records = classic_live_records,
	.erase = classic_erase,
	.forget = forget,
};
