/* What is stored of a share group: one record for the group, one for its assignment epoch, three
 * for each member, one for each partition that it has begun to read.  Replay is in share_replay.c.
 */
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>

#define RECORD_BYTES_MAX ((size_t)256 << 20)

enum { STATE_STABLE = 0 }; /* Kafka's MemberState; members of share groups have no other */

/* ---- the group ---- */

int share_append_group(const struct share_group *share, int32_t epoch, int64_t topics_hash)
{
	struct record_share_group_metadata_key key = {.group_id = group_id(share->group)};
	struct record_share_group_metadata_value value = {.epoch = epoch,
							  .metadata_hash = topics_hash};

	return groups_append(share->group, RECORD_SHARE_GROUP_METADATA, &key, &value);
}

int share_append_assignment_epoch(const struct share_group *share, int32_t epoch)
{
	struct record_share_group_target_assignment_metadata_key key = {
		.group_id = group_id(share->group),
	};
	struct record_share_group_target_assignment_metadata_value value = {
		.assignment_epoch = epoch,
	};

	return groups_append(share->group, RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA, &key,
			     &value);
}

/* ---- members ---- */

int share_append_details(const struct share_member *member)
{
	const struct share_details *details = &member->details;
	struct record_share_group_member_metadata_key key = {
		.group_id = group_id(member->share->group),
		.member_id = member->id,
	};
	struct record_share_group_member_metadata_value value = {
		.rack_id = details->rack_id,
		.client_id = details->client_id,
		.client_host = details->client_host,
		.subscribed_topic_names = details->names,
		.subscribed_topic_names_count = (int32_t)details->name_count,
	};

	return groups_append(member->share->group, RECORD_SHARE_GROUP_MEMBER_METADATA, &key,
			     &value);
}

int share_append_target(const struct share_member *member, const struct partition_set *target,
			struct arena *arena)
{
	struct record_share_group_target_assignment_member_key key = {
		.group_id = group_id(member->share->group),
		.member_id = member->id,
	};
	struct record_share_group_target_assignment_member_value value = {0};
	struct wire_topic *topics;

	int rc = partition_set_to_wire(target, arena, &topics, &value.topic_partitions_count);
	if (rc < 0)
		return rc;
	value.topic_partitions = (void *)topics;
	return groups_append(member->share->group, RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER,
			     &key, &value);
}

int share_append_current(const struct share_member *member, int32_t epoch, int32_t previous_epoch,
			 const struct partition_set *assigned, struct arena *arena)
{
	struct record_share_group_current_member_assignment_key key = {
		.group_id = group_id(member->share->group),
		.member_id = member->id,
	};
	struct record_share_group_current_member_assignment_value value = {
		.member_epoch = epoch,
		.previous_member_epoch = previous_epoch,
		.state = STATE_STABLE,
	};
	struct wire_topic *topics;

	int rc = partition_set_to_wire(assigned, arena, &topics, &value.assigned_partitions_count);
	if (rc < 0)
		return rc;
	value.assigned_partitions = (void *)topics;
	return groups_append(member->share->group, RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT,
			     &key, &value);
}

int share_erase_member(const struct share_member *member)
{
	const struct group *group = member->share->group;
	struct kafka_string id = group_id(group);
	struct record_share_group_current_member_assignment_key current = {id, member->id};
	struct record_share_group_target_assignment_member_key target = {id, member->id};
	struct record_share_group_member_metadata_key details = {id, member->id};
	int rc = groups_append(group, RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT, &current, NULL);

	if (rc == 0)
		rc = groups_append(group, RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER, &target,
				   NULL);
	if (rc == 0)
		rc = groups_append(group, RECORD_SHARE_GROUP_MEMBER_METADATA, &details, NULL);
	return rc;
}

/* ---- partitions ---- */

static struct record_share_partition_key kept_key(const struct share_group *share,
						  const struct share_kept *kept)
{
	return (struct record_share_partition_key){
		.group_id = group_id(share->group),
		.topic_id = kept->topic_id,
		.partition = kept->partition,
	};
}

int share_append_kept(const struct share_group *share, const struct share_kept *kept,
		      struct arena *arena)
{
	struct record_share_partition_key key = kept_key(share, kept);
	struct record_share_partition_value_state_batch *batches =
		arena_alloc_array(arena, kept->run_count + 1, sizeof(*batches));

	if (!batches)
		return -ENOMEM;
	for (size_t i = 0; i < kept->run_count; i++)
		batches[i] = (struct record_share_partition_value_state_batch){
			.first_offset = kept->runs[i].first,
			.last_offset = kept->runs[i].last,
			.delivery_state = (int8_t)kept->runs[i].state,
			.delivery_count = (int16_t)kept->runs[i].deliveries,
		};
	struct record_share_partition_value value = {
		.start_offset = kept->start,
		.state_batches = batches,
		.state_batches_count = (int32_t)kept->run_count,
	};
	return groups_append(share->group, RECORD_SHARE_PARTITION, &key, &value);
}

int share_erase_kept(const struct share_group *share, const struct share_kept *kept)
{
	struct record_share_partition_key key = kept_key(share, kept);

	return groups_append(share->group, RECORD_SHARE_PARTITION, &key, NULL);
}

/* ---- all of it ---- */

static int rewrite_members(const struct share_group *share, struct arena *arena)
{
	int rc = 0;

	for (size_t i = 0; i < share->member_count && rc == 0; i++) {
		const struct share_member *member = share->members[i];
		arena_reset(arena);
		rc = share_append_details(member);
		if (rc == 0)
			rc = share_append_target(member, &member->target, arena);
		if (rc == 0)
			rc = share_append_current(member, member->epoch, member->previous_epoch,
						  &member->assigned, arena);
	}
	return rc;
}

static int rewrite_kept(const struct share_group *share, struct arena *arena)
{
	int rc = 0;

	list_foreach(node, &share->kept) {
		arena_reset(arena);
		if (rc == 0)
			rc = share_append_kept(share, container_of(node, struct share_kept, link),
					       arena);
	}
	return rc;
}

int share_rewrite(struct group *group)
{
	const struct share_group *share = share_of(group);
	struct arena arena;
	int rc = share_append_group(share, share->epoch, share->topics_hash);

	arena_init(&arena, RECORD_BYTES_MAX);
	if (rc == 0)
		rc = rewrite_members(share, &arena);
	if (rc == 0)
		rc = share_append_assignment_epoch(share, share->assignment_epoch);
	if (rc == 0)
		rc = rewrite_kept(share, &arena);
	arena_fini(&arena);
	return rc;
}

size_t share_live_records(const struct group *group)
{
	const struct share_group *share = share_of(group);

	return 2 + 3 * share->member_count + share->kept_count;
}

int share_erase(struct group *group)
{
	const struct share_group *share = share_of(group);
	struct record_share_group_target_assignment_metadata_key target = {
		.group_id = group_id(group),
	};
	struct record_share_group_metadata_key key = {.group_id = group_id(group)};
	int rc = 0;

	for (size_t i = 0; i < share->member_count && rc == 0; i++)
		rc = share_erase_member(share->members[i]);
	list_foreach(node, &share->kept) {
		if (rc == 0)
			rc = share_erase_kept(share, container_of(node, struct share_kept, link));
	}
	if (rc == 0)
		rc = groups_append(group, RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA, &target,
				   NULL);
	if (rc == 0)
		rc = groups_append(group, RECORD_SHARE_GROUP_METADATA, &key, NULL);
	return rc;
}
