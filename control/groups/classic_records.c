/* What survives a restart: one GroupMetadata record, of the last generation that had an assignment.
 *
 * Written when the leader has given the assignment, when the last member is gone, and when a static
 * member has come back under a new id.  What happens between is not: after a restart the members go
 * on as they were, and whoever was in the midst of a rebalance begins it anew.  So `stored` of the
 * group and of its members say what the record has, and a rewrite in the midst of a rebalance
 * writes just that: assignments stay with their members until the next one comes. */
#include "control/groups/classic_internal.h"

#include "base/arena.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/groups/group_records.h"
#include "control/groups/groups_internal.h"

#include <errno.h>
#include <stdlib.h>

/* ---- writing ---- */

static struct record_group_metadata_value_member describe(const struct classic_member *member)
{
	const struct kafka_bytes *metadata = classic_metadata(member);

	return (struct record_group_metadata_value_member){
		.member_id = member->id,
		.group_instance_id = member->instance_id,
		.client_id = member->client_id,
		.client_host = member->client_host,
		.rebalance_timeout = member->rebalance_timeout_ms,
		.session_timeout = member->session_timeout_ms,
		.subscription = metadata ? *metadata : (struct kafka_bytes){0},
		.assignment = member->assignment,
	};
}

/* The members that are `stored`, with this generation. */
static int append(const struct classic *classic, int32_t generation)
{
	const struct record_group_metadata_key key = {.group = group_id(classic->group)};
	struct record_group_metadata_value value = {
		.protocol_type = classic->protocol_type,
		.generation = generation,
		.protocol = {.length = -1},
		.leader = {.length = -1},
		.current_state_timestamp = classic->state_since_ms,
	};
	struct record_group_metadata_value_member *members =
		malloc((classic->member_count + 1) * sizeof(*members));

	if (!members)
		return -ENOMEM;
	value.members = members;
	list_foreach(link, &classic->members) {
		const struct classic_member *member = classic_member_at(link);

		if (!member->stored)
			continue;
		if (value.members_count == 0 || member == classic->leader)
			value.leader = member->id;
		members[value.members_count++] = describe(member);
	}
	if (value.members_count)
		value.protocol = classic->protocol;
	if (classic->rebalance_due)
		value.leader = (struct kafka_string){.length = -1};
	int rc = groups_append(classic->group, RECORD_GROUP_METADATA, &key, &value);
	free(members);
	return rc;
}

int classic_store(struct classic *classic)
{
	list_foreach(link, &classic->members)
		classic_member_at(link)->stored = true;
	int rc = append(classic, classic->generation);
	if (rc < 0) {
		list_foreach(link, &classic->members)
			classic_member_at(link)->stored = false;
		return rc;
	}
	classic->stored = true;
	classic->stored_generation = classic->generation;
	return 0;
}

int classic_rewrite(struct group *group)
{
	const struct classic *classic = group->state;

	return classic->stored ? append(classic, classic->stored_generation) : 0;
}

size_t classic_live_records(const struct group *group)
{
	const struct classic *classic = group->state;

	return classic->stored;
}

int classic_erase(struct group *group)
{
	struct classic *classic = group->state;
	const struct record_group_metadata_key key = {.group = group_id(group)};

	if (!classic->stored)
		return 0;
	int rc = groups_append(group, RECORD_GROUP_METADATA, &key, NULL);
	if (rc == 0)
		classic->stored = false;
	return rc;
}

/* ---- reading ---- */

static int restore_member(struct classic *classic, const struct record_group_metadata_value *value,
			  const struct record_group_metadata_value_member *stored)
{
	const struct classic_identity identity = {
		.id = stored->member_id,
		.instance_id = stored->group_instance_id,
		.client_id = stored->client_id,
		.client_host = stored->client_host,
	};
	struct classic_member *member = classic_member_new(&identity);
	int rc = -ENOMEM;

	if (!member)
		return rc;
	member->protocols = classic_protocols_one(&value->protocol, &stored->subscription);
	if (member->protocols)
		rc = classic_member_assign(member, &stored->assignment);
	if (rc == 0)
		rc = classic_members_add(classic, member);
	if (rc < 0) {
		classic_member_free(member);
		return rc == -EEXIST ? -ERR_CORRUPT : rc;
	}
	member->stored = true;
	member->session_timeout_ms = stored->session_timeout;
	member->rebalance_timeout_ms = stored->rebalance_timeout < 0 ? stored->session_timeout
								     : stored->rebalance_timeout;
	if (kafka_string_equal(&member->id, &value->leader))
		classic->leader = member;
	return 0;
}

static bool plausible(const struct record_group_metadata_value *value)
{
	if (value->generation < 0 || (value->members_count > 0 && value->protocol.length < 0))
		return false;
	for (int32_t i = 0; i < value->members_count; i++) {
		if (value->members[i].session_timeout < 0)
			return false;
	}
	return true;
}

static int restore(struct classic *classic, const struct record_group_metadata_value *value,
		   int64_t timestamp_ms)
{
	int rc = classic_set_text(&classic->protocol_type, &value->protocol_type);

	if (rc == 0 && value->protocol.length >= 0)
		rc = classic_set_text(&classic->protocol, &value->protocol);
	for (int32_t i = 0; rc == 0 && i < value->members_count; i++)
		rc = restore_member(classic, value, &value->members[i]);
	if (rc < 0)
		return rc;
	classic->rebalance_due = value->leader.length < 0 && value->members_count;
	classic->generation = value->generation;
	classic->state = value->members_count ? CLASSIC_STABLE : CLASSIC_EMPTY;
	classic->state_since_ms = value->current_state_timestamp < 0
					  ? timestamp_ms
					  : value->current_state_timestamp;
	if (!value->members_count)
		classic->group->empty_since_ms = classic->state_since_ms;
	classic->stored = true;
	classic->stored_generation = value->generation;
	return 0;
}

/* What a record of another kind, or an older one of this, has said of the group. */
static void discard(struct group *group)
{
	if (!group->kind)
		return;
	group->kind->forget(group, KAFKA_NOT_COORDINATOR);
	group->kind = NULL;
	group->empty_since_ms = 0;
}

int classic_replay(struct groups *groups, const struct group_record *record)
{
	const struct record_group_metadata_key *key = record->key;
	const struct record_group_metadata_value *value = record->value;
	enum kafka_error error;

	if (!value) {
		struct group *group = classic_find_group(groups, &key->group);
		if (group)
			discard(group);
		return 0;
	}
	if (!plausible(value))
		return -ERR_CORRUPT;
	struct group *group = group_obtain(groups, &key->group, &error);
	if (!group)
		return -ENOMEM;
	discard(group);
	int rc = classic_adopt(group);
	if (rc == 0)
		rc = restore(group->state, value, record->timestamp_ms);
	if (rc < 0)
		discard(group);
	return rc;
}

/* Goes on since when it did before the restart. */
static void go_on_gathering(struct classic *classic)
{
	const int64_t since_ms = classic->state_since_ms;

	classic_rebalance(classic, "the members speak the classic protocol now");
	classic->state_since_ms = since_ms;
}

/* The members have as long to be heard of as if they had been heard of just now.  A group that is
 * larger than it may be by now is gathered anew, and the last to come are turned away. */
void classic_loaded(struct group *group)
{
	struct classic *classic = group->state;
	const size_t limit = (size_t)group->groups->options.config->group_max_size;

	list_foreach(link, &classic->members)
		classic_session_renew(classic_member_at(link));
	if (classic->rebalance_due)
		go_on_gathering(classic);
	else if (classic->member_count > limit)
		classic_rebalance(classic, "the group is larger than it may be");
}
