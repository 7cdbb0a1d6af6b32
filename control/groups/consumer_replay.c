/* Replay of a consumer group's records.
 *
 * A compacted log has the last record of each key, so a member's records come in any order; whoever
 * is named first is made, and what is still without details at the end is no member. */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/consumer.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/consumer_regex.h"
#include "control/groups/group_records.h"
#include "control/groups/groups_internal.h"

#include <errno.h>

/* All keys begin with the group's id; those of members go on with the member's. */
struct replay {
	struct groups *groups;
	const struct group_record *record;
	const struct kafka_string *group_id;
	const struct kafka_string *member_id; /* null: the record is not about one */
};

/* A tombstone makes nothing: *ret may be null. */
static int find_group(const struct replay *replay, struct consumer_group **ret)
{
	struct group *group;
	int rc = replay_find_group(replay->groups, replay->group_id, replay->record->value,
				   &consumer_kind, consumer_begin, &group);

	*ret = group ? consumer_of(group) : NULL;
	return rc;
}

static int find_member(const struct replay *replay, struct consumer_member **ret)
{
	struct consumer_group *consumer;

	if (replay->member_id->length <= 0)
		return -ERR_CORRUPT;
	int rc = find_group(replay, &consumer);
	*ret = NULL;
	if (rc < 0 || !consumer)
		return rc;
	*ret = consumer_find(consumer, replay->member_id);
	if (!*ret && replay->record->value) {
		*ret = consumer_add(consumer, replay->member_id);
		rc = *ret ? 0 : -ENOMEM;
	}
	return rc;
}

static int replay_group(const struct replay *replay)
{
	const struct record_consumer_group_metadata_value *value = replay->record->value;
	struct consumer_group *consumer;

	if (value && !replay_epoch_sound(value->epoch))
		return -ERR_CORRUPT;
	int rc = find_group(replay, &consumer);
	if (rc < 0 || !consumer)
		return rc;
	if (!value) {
		struct group *group = consumer->group;
		consumer_kind.forget(group, KAFKA_NOT_COORDINATOR);
		group->kind = NULL;
		return 0;
	}
	consumer->epoch = value->epoch;
	consumer->topics_hash = value->metadata_hash;
	return 0;
}

static int replay_assignment_epoch(const struct replay *replay)
{
	const struct record_consumer_group_target_assignment_metadata_value *value =
		replay->record->value;
	struct consumer_group *consumer;

	if (value && !replay_epoch_sound(value->assignment_epoch))
		return -ERR_CORRUPT;
	int rc = find_group(replay, &consumer);
	if (rc == 0 && consumer)
		consumer->assignment_epoch = value ? value->assignment_epoch : 0;
	return rc;
}

static int load_details(struct consumer_member *member,
			const struct record_consumer_group_member_metadata_value *value)
{
	struct subscriptions *subscriptions = &member->consumer->subscriptions;
	struct subscribed_regex *regex = NULL;
	struct member_details details = {
		.instance_id = value->instance_id,
		.rack_id = value->rack_id,
		.client_id = value->client_id,
		.client_host = value->client_host,
		.assignor = value->server_assignor,
		.rebalance_timeout_ms = value->rebalance_timeout_ms,
	};
	struct subscription *subscription;
	char why[REGEX_WHY_BYTES];

	/* One that was accepted is kept, even where this version does not compile it. */
	if (value->subscribed_topic_regex.length > 0) {
		regex = subscriptions_regex(subscriptions, &value->subscribed_topic_regex);
		if (!regex)
			return -ENOMEM;
	}
	int rc = subscription_acquire(
		subscriptions, value->subscribed_topic_names,
		(size_t)value->subscribed_topic_names_count, &value->subscribed_topic_regex,
		&member->consumer->group->groups->scratch, &subscription, why, sizeof(why));
	if (rc < 0)
		return rc;
	rc = consumer_classic_load(member, value);
	if (rc == 0)
		rc = consumer_set_details(member, &details, subscription);
	if (rc < 0)
		subscription_release(subscriptions, subscription);
	else
		member->details_stored = true;
	return rc;
}

static int replay_details(const struct replay *replay)
{
	const struct record_consumer_group_member_metadata_value *value = replay->record->value;
	struct consumer_member *member;

	if (value && value->rebalance_timeout_ms < 0)
		return -ERR_CORRUPT;
	int rc = find_member(replay, &member);
	if (rc < 0 || !member)
		return rc;
	if (value)
		return load_details(member, value);
	consumer_remove(member);
	return 0;
}

static int replay_target(const struct replay *replay)
{
	const struct record_consumer_group_target_assignment_member_value *value =
		replay->record->value;
	struct partition_set target = {0};
	struct consumer_member *member;
	int rc = find_member(replay, &member);

	if (rc < 0 || !member)
		return rc;
	if (value)
		rc = partition_set_of_wire(value->topic_partitions, value->topic_partitions_count,
					   &replay->groups->scratch, &target);
	return rc < 0 ? rc : consumer_load_target(member, &target);
}

static bool plausible(const struct record_consumer_group_current_member_assignment_value *value)
{
	return value->state >= MEMBER_STABLE && value->state <= MEMBER_UNRELEASED_PARTITIONS &&
	       (replay_epoch_sound(value->member_epoch) ||
		value->member_epoch == EPOCH_LEAVE_STATIC);
}

static int replay_current(const struct replay *replay)
{
	const struct record_consumer_group_current_member_assignment_value *value =
		replay->record->value;
	struct arena *scratch = &replay->groups->scratch;
	struct member_assignment current = {0};
	struct consumer_member *member;

	if (value && !plausible(value))
		return -ERR_CORRUPT;
	int rc = find_member(replay, &member);
	if (rc < 0 || !member)
		return rc;
	if (!value)
		return consumer_load_current(member, &current);
	current.epoch = value->member_epoch;
	current.previous_epoch = value->previous_member_epoch;
	current.state = (enum member_state)value->state;
	rc = partition_set_of_wire(value->assigned_partitions, value->assigned_partitions_count,
				   scratch, &current.assigned);
	if (rc == 0)
		rc = partition_set_of_wire(value->partitions_pending_revocation,
					   value->partitions_pending_revocation_count, scratch,
					   &current.revoking);
	return rc < 0 ? rc : consumer_load_current(member, &current);
}

static int replay_regex(const struct replay *replay)
{
	const struct record_consumer_group_regular_expression_key *key = replay->record->key;
	struct consumer_group *consumer;
	int rc = find_group(replay, &consumer);

	if (rc < 0 || !consumer)
		return rc;
	return consumer_load_regex(consumer, &key->regular_expression, replay->record->value);
}

int consumer_replay(struct groups *groups, const struct group_record *record)
{
	/* The keys of members are laid out alike. */
	const struct record_consumer_group_member_metadata_key *key = record->key;
	struct replay replay = {.groups = groups, .record = record, .group_id = &key->group_id};

	switch (record->type) {
	case RECORD_CONSUMER_GROUP_METADATA:
		return replay_group(&replay);
	case RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA:
		return replay_assignment_epoch(&replay);
	case RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION:
		return replay_regex(&replay);
	case RECORD_CONSUMER_GROUP_MEMBER_METADATA:
		replay.member_id = &key->member_id;
		return replay_details(&replay);
	case RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER:
		replay.member_id = &key->member_id;
		return replay_target(&replay);
	case RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT:
		replay.member_id = &key->member_id;
		return replay_current(&replay);
	case RECORD_OFFSET_COMMIT:
	case RECORD_PENDING_OFFSET:
	case RECORD_TRANSACTION:
	case RECORD_GROUP_METADATA:
	case RECORD_SHARE_GROUP_MEMBER_METADATA:
	case RECORD_SHARE_GROUP_METADATA:
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA:
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER:
	case RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT:
	case RECORD_SHARE_PARTITION:
		break;
	}
	return -ERR_FORMAT;
}
