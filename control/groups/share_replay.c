/* Replay of a share group's records.  As a compacted log has the last record of each key, they come
 * in any order: whoever is named first is made, and who is without details at the end is no member.
 */
#include "control/groups/group_records.h"
#include "control/groups/groups_internal.h"
#include "control/groups/share.h"
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>

struct replay {
	struct groups *groups;
	const struct group_record *record;
	const struct kafka_string *group_id;
	const struct kafka_string *member_id; /* null: the record is not about one */
};

/* A tombstone makes nothing: *ret may be null. */
static int find_group(const struct replay *replay, struct share_group **ret)
{
	struct group *group;
	int rc = replay_find_group(replay->groups, replay->group_id, replay->record->value,
				   &share_kind, share_begin, &group);

	*ret = group ? share_of(group) : NULL;
	return rc;
}

static int find_member(const struct replay *replay, struct share_member **ret)
{
	struct share_group *share;

	if (replay->member_id->length <= 0)
		return -ERR_CORRUPT;
	int rc = find_group(replay, &share);
	*ret = NULL;
	if (rc < 0 || !share)
		return rc;
	*ret = share_member_find(share, replay->member_id);
	if (!*ret && replay->record->value) {
		*ret = share_member_add(share, replay->member_id);
		rc = *ret ? 0 : -ENOMEM;
	}
	return rc;
}

static int replay_group(const struct replay *replay)
{
	const struct record_share_group_metadata_value *value = replay->record->value;
	struct share_group *share;

	if (value && !replay_epoch_sound(value->epoch))
		return -ERR_CORRUPT;
	int rc = find_group(replay, &share);
	if (rc < 0 || !share)
		return rc;
	if (!value) {
		struct group *group = share->group;
		share_kind.forget(group, KAFKA_NOT_COORDINATOR);
		group->kind = NULL;
		return 0;
	}
	share->epoch = value->epoch;
	share->topics_hash = value->metadata_hash;
	return 0;
}

static int replay_assignment_epoch(const struct replay *replay)
{
	const struct record_share_group_target_assignment_metadata_value *value =
		replay->record->value;
	struct share_group *share;

	if (value && !replay_epoch_sound(value->assignment_epoch))
		return -ERR_CORRUPT;
	int rc = find_group(replay, &share);
	if (rc == 0 && share)
		share->assignment_epoch = value ? value->assignment_epoch : 0;
	return rc;
}

static int replay_details(const struct replay *replay)
{
	const struct record_share_group_member_metadata_value *value = replay->record->value;
	struct share_member *member;
	int rc = find_member(replay, &member);

	if (rc < 0 || !member)
		return rc;
	if (!value) {
		share_member_remove(member);
		return 0;
	}
	const struct share_details details = {
		.rack_id = value->rack_id,
		.client_id = value->client_id,
		.client_host = value->client_host,
		.names = value->subscribed_topic_names,
		.name_count = (size_t)value->subscribed_topic_names_count,
	};
	return share_set_details(member, &details);
}

static int load_set(const struct replay *replay, const void *topics, int32_t count,
		    struct partition_set *set)
{
	struct partition_set scratch, copied;
	int rc = partition_set_of_wire(topics, count, &replay->groups->scratch, &scratch);

	if (rc == 0)
		rc = partition_set_copy(&scratch, &copied);
	if (rc < 0)
		return rc;
	partition_set_fini(set);
	*set = copied;
	return 0;
}

static int replay_target(const struct replay *replay)
{
	const struct record_share_group_target_assignment_member_value *value =
		replay->record->value;
	struct share_member *member;
	int rc = find_member(replay, &member);

	if (rc < 0 || !member)
		return rc;
	if (!value) {
		partition_set_fini(&member->target);
		return 0;
	}
	return load_set(replay, value->topic_partitions, value->topic_partitions_count,
			&member->target);
}

static int replay_current(const struct replay *replay)
{
	const struct record_share_group_current_member_assignment_value *value =
		replay->record->value;
	struct share_member *member;

	if (value && !replay_epoch_sound(value->member_epoch))
		return -ERR_CORRUPT;
	int rc = find_member(replay, &member);
	if (rc < 0 || !member)
		return rc;
	if (!value) {
		partition_set_fini(&member->assigned);
		member->epoch = member->previous_epoch = 0;
		return 0;
	}
	rc = load_set(replay, value->assigned_partitions, value->assigned_partitions_count,
		      &member->assigned);
	if (rc == 0) {
		member->epoch = value->member_epoch;
		member->previous_epoch = value->previous_member_epoch;
	}
	return rc;
}

/* Whether the runs can be is the owner's to say, which knows its limits. */
static int load_kept(struct share_group *share, const struct replay *replay)
{
	const struct record_share_partition_key *key = replay->record->key;
	const struct record_share_partition_value *value = replay->record->value;
	struct share_kept next = {
		.topic_id = key->topic_id,
		.partition = key->partition,
		.start = value->start_offset,
		.run_count = (size_t)value->state_batches_count,
	};

	next.runs = arena_alloc_array(&replay->groups->scratch, next.run_count + 1,
				      sizeof(*next.runs));
	if (!next.runs)
		return -ENOMEM;
	for (size_t i = 0; i < next.run_count; i++) {
		const struct record_share_partition_value_state_batch *batch =
			&value->state_batches[i];
		next.runs[i] = (struct share_run){
			.first = batch->first_offset,
			.last = batch->last_offset,
			.state = (uint8_t)batch->delivery_state,
			.deliveries = (uint16_t)batch->delivery_count,
		};
	}
	return share_keep(share, &next) ? 0 : -ENOMEM;
}

static int replay_kept(const struct replay *replay)
{
	const struct record_share_partition_key *key = replay->record->key;
	const struct record_share_partition_value *value = replay->record->value;
	struct share_group *share;

	if (value && value->start_offset < 0)
		return -ERR_CORRUPT;
	int rc = find_group(replay, &share);
	if (rc < 0 || !share)
		return rc;
	if (value)
		return load_kept(share, replay);
	struct share_kept *kept = share_kept_find(share, &key->topic_id, key->partition);
	if (kept)
		share_kept_free(share, kept);
	return 0;
}

int share_replay(struct groups *groups, const struct group_record *record)
{
	/* The keys of members are laid out alike, and all begin with the group's id. */
	const struct record_share_group_member_metadata_key *key = record->key;
	struct replay replay = {.groups = groups, .record = record, .group_id = &key->group_id};

	switch ((int)record->type) {
	case RECORD_SHARE_GROUP_METADATA:
		return replay_group(&replay);
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA:
		return replay_assignment_epoch(&replay);
	case RECORD_SHARE_PARTITION:
		return replay_kept(&replay);
	default:
		replay.member_id = &key->member_id;
		break;
	}
	switch ((int)record->type) {
	case RECORD_SHARE_GROUP_MEMBER_METADATA:
		return replay_details(&replay);
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER:
		return replay_target(&replay);
	case RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT:
		return replay_current(&replay);
	default:
		return -ERR_FORMAT;
	}
}
