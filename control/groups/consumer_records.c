/* What is stored of a consumer group: one record for the group, one for its assignment epoch, three
 * for each member, and those of consumer_matches.c.  Replay is in consumer_replay.c. */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>

#define RECORD_BYTES_MAX ((size_t)256 << 20)

/* ---- the group ---- */

int consumer_append_group(const struct consumer_group *consumer, int32_t epoch, int64_t topics_hash)
{
	struct record_consumer_group_metadata_key key = {.group_id = group_id(consumer->group)};
	struct record_consumer_group_metadata_value value = {.epoch = epoch,
							     .metadata_hash = topics_hash};

	return groups_append(consumer->group, RECORD_CONSUMER_GROUP_METADATA, &key, &value);
}

int consumer_append_assignment_epoch(const struct consumer_group *consumer, int32_t epoch)
{
	struct record_consumer_group_target_assignment_metadata_key key = {
		.group_id = group_id(consumer->group),
	};
	struct record_consumer_group_target_assignment_metadata_value value = {
		.assignment_epoch = epoch,
	};

	return groups_append(consumer->group, RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA,
			     &key, &value);
}

/* ---- members ---- */

/* The three keys of a member are laid out alike, but are of three types. */
int consumer_append_details(const struct consumer_member *member)
{
	const struct member_details *details = &member->details;
	const struct subscription *subscription = member->subscription;
	struct record_consumer_group_member_metadata_key key = {
		.group_id = group_id(member->consumer->group),
		.member_id = member->id,
	};
	struct record_consumer_group_member_metadata_value value;

	record_consumer_group_member_metadata_value_init(&value);
	value.instance_id = details->instance_id;
	value.rack_id = details->rack_id;
	value.client_id = details->client_id;
	value.client_host = details->client_host;
	value.subscribed_topic_names = subscription->names;
	value.subscribed_topic_names_count = (int32_t)subscription->name_count;
	value.subscribed_topic_regex = subscription->regex ? subscription->regex->text
							   : kafka_string_of(NULL);
	value.rebalance_timeout_ms = details->rebalance_timeout_ms;
	value.server_assignor = details->assignor;
	consumer_classic_describe(member, &value);
	return groups_append(member->consumer->group, RECORD_CONSUMER_GROUP_MEMBER_METADATA, &key,
			     &value);
}

int consumer_append_target(const struct consumer_member *member, const struct partition_set *target,
			   struct arena *arena)
{
	struct record_consumer_group_target_assignment_member_key key = {
		.group_id = group_id(member->consumer->group),
		.member_id = member->id,
	};
	struct record_consumer_group_target_assignment_member_value value;
	struct wire_topic *topics;

	record_consumer_group_target_assignment_member_value_init(&value);
	int rc = partition_set_to_wire(target, arena, &topics, &value.topic_partitions_count);
	if (rc < 0)
		return rc;
	value.topic_partitions = (void *)topics;
	return groups_append(member->consumer->group,
			     RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, &key, &value);
}

int consumer_append_current(const struct consumer_member *member,
			    const struct member_assignment *current, struct arena *arena)
{
	struct record_consumer_group_current_member_assignment_key key = {
		.group_id = group_id(member->consumer->group),
		.member_id = member->id,
	};
	struct record_consumer_group_current_member_assignment_value value;
	struct wire_topic *assigned = NULL, *revoking = NULL;

	record_consumer_group_current_member_assignment_value_init(&value);
	value.member_epoch = current->epoch;
	value.previous_member_epoch = current->previous_epoch;
	value.state = (int8_t)current->state;
	int rc = partition_set_to_wire(&current->assigned, arena, &assigned,
				       &value.assigned_partitions_count);
	if (rc == 0)
		rc = partition_set_to_wire(&current->revoking, arena, &revoking,
					   &value.partitions_pending_revocation_count);
	if (rc < 0)
		return rc;
	value.assigned_partitions = (void *)assigned;
	value.partitions_pending_revocation = (void *)revoking;
	return groups_append(member->consumer->group,
			     RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, &key, &value);
}

int consumer_erase_member(const struct consumer_member *member)
{
	const struct group *group = member->consumer->group;
	struct kafka_string id = group_id(group);
	struct record_consumer_group_current_member_assignment_key current = {id, member->id};
	struct record_consumer_group_target_assignment_member_key target = {id, member->id};
	struct record_consumer_group_member_metadata_key details = {id, member->id};
	int rc = groups_append(group, RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT, &current,
			       NULL);

	if (rc == 0)
		rc = groups_append(group, RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, &target,
				   NULL);
	if (rc == 0)
		rc = groups_append(group, RECORD_CONSUMER_GROUP_MEMBER_METADATA, &details, NULL);
	return rc;
}

/* ---- all of it ---- */

static int rewrite_members(const struct consumer_group *consumer, struct arena *arena)
{
	for (size_t i = 0; i < consumer->member_count; i++) {
		const struct consumer_member *member = consumer->members[i];
		arena_reset(arena);
		int rc = consumer_append_details(member);
		if (rc == 0)
			rc = consumer_append_target(member, &member->target, arena);
		if (rc == 0)
			rc = consumer_append_current(member, &member->current, arena);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int consumer_rewrite(struct group *group)
{
	struct consumer_group *consumer = consumer_of(group);
	struct arena arena;
	int rc = consumer_append_group(consumer, consumer->epoch, consumer->topics_hash);

	arena_init(&arena, RECORD_BYTES_MAX);
	if (rc == 0)
		rc = consumer_rewrite_regexes(consumer);
	if (rc == 0)
		rc = rewrite_members(consumer, &arena);
	if (rc == 0)
		rc = consumer_append_assignment_epoch(consumer, consumer->assignment_epoch);
	arena_fini(&arena);
	return rc;
}

size_t consumer_live_records(const struct group *group)
{
	const struct consumer_group *consumer = consumer_of(group);
	size_t count = 2 + 3 * consumer->member_count;

	list_foreach(node, &consumer->subscriptions.regexes)
		count += container_of(node, struct subscribed_regex, link)->stored != NULL;
	return count;
}

int consumer_erase(struct group *group)
{
	const struct consumer_group *consumer = consumer_of(group);
	struct record_consumer_group_target_assignment_metadata_key target = {
		.group_id = group_id(group),
	};
	struct record_consumer_group_metadata_key key = {.group_id = group_id(group)};
	int rc = 0;

	for (size_t i = 0; i < consumer->member_count && rc == 0; i++)
		rc = consumer_erase_member(consumer->members[i]);
	if (rc == 0)
		rc = consumer_erase_regexes(consumer);
	if (rc == 0)
		rc = groups_append(group, RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA, &target,
				   NULL);
	if (rc == 0)
		rc = groups_append(group, RECORD_CONSUMER_GROUP_METADATA, &key, NULL);
	return rc;
}
