/* From the records of a partition to its groups, and back: what replay reads, rewrite wrote. */
#include "control/groups/groups_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "control/groups/group_records.h"
#include "control/groups/pending_offsets.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

int groups_append(const struct group *group, enum kafka_record_type type, const void *key,
		  const void *value)
{
	struct groups *groups = group->groups;
	struct group_record record = {type, groups_wall_ms(groups), key, value};

	return group_record_append(groups->options.log, group->partition, &groups->scratch,
				   &record);
}

/* Every key begins with its group's id. */
static const struct kafka_string *group_of(const struct group_record *record)
{
	static_assert(offsetof(struct record_offset_commit_key, group) == 0, "first");
	static_assert(offsetof(struct record_pending_offset_key, group) == 0, "first");
	static_assert(offsetof(struct record_group_metadata_key, group) == 0, "first");
	static_assert(offsetof(struct record_consumer_group_metadata_key, group_id) == 0, "first");
	static_assert(offsetof(struct record_share_partition_key, group_id) == 0, "first");
	return record->key;
}

bool replay_epoch_sound(int32_t epoch)
{
	return epoch >= 0 && epoch <= EPOCH_STORED_MAX;
}

int replay_find_group(struct groups *groups, const struct kafka_string *id, bool make,
		      const struct group_kind *kind, int (*begin)(struct group *group),
		      struct group **ret)
{
	struct group *group = group_find(groups, id);
	enum kafka_error error;

	*ret = NULL;
	if (!group && make)
		group = group_obtain(groups, id, &error);
	if (!group)
		return make ? -ENOMEM : 0;
	if (group->kind != kind) {
		int rc = make ? begin(group) : 0;
		if (rc < 0 || !make)
			return rc;
	}
	*ret = group;
	return 0;
}

static int replay(struct groups *groups, const struct group_record *record)
{
	switch (record->type) {
	case RECORD_OFFSET_COMMIT:
	case RECORD_PENDING_OFFSET:
		return offsets_replay(groups, record);
	case RECORD_GROUP_METADATA:
		return classic_replay(groups, record);
	case RECORD_CONSUMER_GROUP_METADATA:
	case RECORD_CONSUMER_GROUP_MEMBER_METADATA:
	case RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA:
	case RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER:
	case RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT:
	case RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION:
		return consumer_replay(groups, record);
	case RECORD_SHARE_GROUP_MEMBER_METADATA:
	case RECORD_SHARE_GROUP_METADATA:
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA:
	case RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER:
	case RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT:
	case RECORD_SHARE_PARTITION:
		return share_replay(groups, record);
	case RECORD_TRANSACTION: /* of another topic */
		break;
	}
	return -ERR_FORMAT;
}

int groups_replay(struct groups *groups, int32_t partition, const struct record *record,
		  int64_t timestamp_ms, char *why, size_t why_bytes)
{
	struct group_record decoded;

	check(groups->partitions[partition].phase == GROUP_PARTITION_LOADING);
	arena_reset(&groups->scratch);
	int rc = group_record_decode(record, timestamp_ms, &groups->scratch, &decoded);
	if (rc < 0) {
		snprintf(why, why_bytes, "%s", error_text(rc));
		return rc;
	}
	const struct kafka_string *id = group_of(&decoded);
	int32_t home = group_partition_of(id, groups->partition_count);
	if (home != partition) {
		snprintf(why, why_bytes, "group \"%.*s\" belongs to partition %d", id->length,
			 id->data, home);
		return -ERR_CORRUPT;
	}
	rc = replay(groups, &decoded);
	if (rc < 0)
		snprintf(why, why_bytes, "group \"%.*s\", record of type %d: %s", id->length,
			 id->data, (int)decoded.type, error_text(rc));
	return rc;
}

int groups_rewrite(struct groups *groups, int32_t partition)
{
	int rc = 0;

	list_foreach(node, &groups->partitions[partition].groups) {
		struct group *group = container_of(node, struct group, link);
		if (rc == 0 && group->kind)
			rc = group->kind->rewrite(group);
		if (rc == 0)
			rc = offsets_rewrite(group);
	}
	return rc;
}

size_t groups_live_records(const struct groups *groups, int32_t partition)
{
	size_t count = 0;

	list_foreach(node, &groups->partitions[partition].groups) {
		const struct group *group = container_of(node, struct group, link);
		count += group->offsets.count + pending_offsets_count(group);
		if (group->kind)
			count += group->kind->live_records(group);
	}
	return count;
}
