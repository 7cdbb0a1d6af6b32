/* Committed offsets as records: written, read again, written anew. */
#include "control/groups/groups_internal.h"

#include "control/groups/group_records.h"

#include <errno.h>

int offsets_append(const struct group *group, const struct kafka_string *topic,
		   const struct uuid *id, int32_t partition,
		   const struct committed_offset *committed)
{
	struct record_offset_commit_key key = {group_id(group), *topic, partition};
	struct record_offset_commit_value value;

	record_offset_commit_value_init(&value);
	value.offset = committed->offset;
	value.leader_epoch = committed->leader_epoch;
	value.metadata = committed_offset_metadata(committed);
	value.commit_timestamp = committed->commit_ms;
	value.topic_id = *id;
	value.expire_after = committed->expire_ms;
	return groups_append(group, RECORD_OFFSET_COMMIT, &key, &value);
}

int offsets_forget(struct group *group, const struct kafka_string *topic, int32_t partition)
{
	struct record_offset_commit_key key = {group_id(group), *topic, partition};
	int rc = groups_append(group, RECORD_OFFSET_COMMIT, &key, NULL);

	if (rc == 0)
		offsets_remove(&group->offsets, topic, partition);
	return rc;
}

int offsets_erase(struct group *group)
{
	int rc = 0;

	while (rc == 0 && group->offsets.topic_count > 0) {
		const struct offset_topic *topic =
			group->offsets.topics[group->offsets.topic_count - 1];
		struct kafka_string name = {topic->name, topic->name_length};
		rc = offsets_forget(group, &name, topic->partitions[topic->count - 1].index);
	}
	return rc;
}

int offsets_rewrite(struct group *group)
{
	int rc = 0;

	for (size_t i = 0; i < group->offsets.topic_count; i++) {
		const struct offset_topic *topic = group->offsets.topics[i];
		struct kafka_string name = {topic->name, topic->name_length};
		for (size_t j = 0; rc == 0 && j < topic->count; j++)
			rc = offsets_append(group, &name, &topic->id, topic->partitions[j].index,
					    &topic->partitions[j].committed);
	}
	return rc;
}

static int replay_commit(struct group *group, const struct record_offset_commit_key *key,
			 const struct record_offset_commit_value *value)
{
	struct committed_offset committed = {
		.offset = value->offset,
		.leader_epoch = value->leader_epoch,
		.commit_ms = value->commit_timestamp,
		.expire_ms = value->expire_after != -1 ? value->expire_after
						       : value->expire_timestamp,
	};
	int rc = committed_offset_set_metadata(&committed, &value->metadata);

	if (rc == 0)
		rc = offsets_exchange(&group->offsets, &key->topic, &value->topic_id,
				      key->partition, &committed);
	committed_offset_fini(&committed);
	return rc;
}

int offsets_replay(struct groups *groups, const struct group_record *record)
{
	const struct record_offset_commit_key *key = record->key;
	struct group *group = group_find(groups, &key->group);
	enum kafka_error error;

	if (record->value) {
		if (!group)
			group = group_obtain(groups, &key->group, &error);
		return group ? replay_commit(group, key, record->value) : -ENOMEM;
	}
	if (group) {
		offsets_remove(&group->offsets, &key->topic, key->partition);
		if (!group->kind && group->offsets.count == 0)
			group_drop(group, KAFKA_NONE);
	}
	return 0;
}
