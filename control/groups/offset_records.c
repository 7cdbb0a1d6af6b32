/* Offsets as records, committed and pending ones: written, read again, written anew.  What order
 * they have among one another is in them, so a rewrite may have any and end anywhere. */
#include "control/groups/groups_internal.h"

#include "base/errors.h"
#include "control/groups/group_records.h"
#include "control/groups/pending_offsets.h"

#include <errno.h>

/* No partition is committed to as often; beyond, the next order could not be told. */
#define ORDER_STORED_MAX (INT64_C(1) << 62)

/* ---- in memory ---- */

static bool pending(const struct offsets *offsets)
{
	return offsets->producer_id != NO_PRODUCER;
}

static int exchange(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		    const struct uuid *id, int32_t partition, struct committed_offset *committed)
{
	size_t before = offsets->count;
	int rc = offsets_exchange(offsets, topic, id, partition, committed);

	if (pending(offsets))
		group->groups->pending_count += offsets->count - before;
	return rc;
}

static void drop(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		 int32_t partition)
{
	size_t before = offsets->count;

	offsets_remove(offsets, topic, partition);
	if (pending(offsets))
		group->groups->pending_count -= before - offsets->count;
}

/* ---- written ---- */

static int append_committed(const struct group *group, const struct kafka_string *topic,
			    const struct uuid *id, int32_t partition,
			    const struct committed_offset *committed)
{
	struct record_offset_commit_key key = {group_id(group), *topic, partition};
	struct record_offset_commit_value value;

	if (!committed)
		return groups_append(group, RECORD_OFFSET_COMMIT, &key, NULL);
	record_offset_commit_value_init(&value);
	value.offset = committed->offset;
	value.leader_epoch = committed->leader_epoch;
	value.metadata = committed_offset_metadata(committed);
	value.commit_timestamp = committed->commit_ms;
	value.topic_id = *id;
	value.expire_after = committed->expire_ms;
	value.order = committed->order;
	return groups_append(group, RECORD_OFFSET_COMMIT, &key, &value);
}

static int append_pending(const struct group *group, int64_t producer_id,
			  const struct kafka_string *topic, const struct uuid *id,
			  int32_t partition, const struct committed_offset *committed)
{
	struct record_pending_offset_key key = {group_id(group), producer_id, *topic, partition};
	struct record_pending_offset_value value;

	if (!committed)
		return groups_append(group, RECORD_PENDING_OFFSET, &key, NULL);
	record_pending_offset_value_init(&value);
	value.order = committed->order;
	value.offset = committed->offset;
	value.leader_epoch = committed->leader_epoch;
	value.metadata = committed_offset_metadata(committed);
	value.commit_timestamp = committed->commit_ms;
	value.topic_id = *id;
	return groups_append(group, RECORD_PENDING_OFFSET, &key, &value);
}

/* `committed` null: a tombstone. */
static int append(const struct group *group, const struct offsets *offsets,
		  const struct kafka_string *topic, const struct uuid *id, int32_t partition,
		  const struct committed_offset *committed)
{
	return pending(offsets) ? append_pending(group, offsets->producer_id, topic, id, partition,
						 committed)
				: append_committed(group, topic, id, partition, committed);
}

int offsets_put(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		const struct uuid *id, int32_t partition, struct committed_offset *committed)
{
	int rc = exchange(group, offsets, topic, id, partition, committed);

	if (rc < 0)
		return rc;
	rc = append(group, offsets, topic, id, partition, offsets_get(offsets, topic, partition));
	if (rc < 0 && committed->offset == OFFSET_NONE)
		drop(group, offsets, topic, partition);
	else if (rc < 0)
		exchange(group, offsets, topic, id, partition, committed);
	return rc;
}

int offsets_forget(struct group *group, struct offsets *offsets, const struct kafka_string *topic,
		   int32_t partition)
{
	int rc = append(group, offsets, topic, NULL, partition, NULL);

	if (rc == 0)
		drop(group, offsets, topic, partition);
	return rc;
}

static int erase(struct group *group, struct offsets *offsets)
{
	int rc = 0;

	while (rc == 0 && offsets->topic_count > 0) {
		const struct offset_topic *topic = offsets->topics[offsets->topic_count - 1];
		struct kafka_string name = {topic->name, topic->name_length};
		rc = offsets_forget(group, offsets, &name,
				    topic->partitions[topic->count - 1].index);
	}
	return rc;
}

int offsets_erase(struct group *group)
{
	int rc = erase(group, &group->offsets);

	list_foreach_safe(node, after, &group->pending) {
		struct pending_offsets *one = container_of(node, struct pending_offsets, link);
		if (rc == 0)
			rc = erase(group, &one->offsets);
		pending_offsets_free_if_empty(one);
	}
	return rc;
}

static int rewrite(const struct group *group, const struct offsets *offsets)
{
	int rc = 0;

	for (size_t i = 0; i < offsets->topic_count; i++) {
		const struct offset_topic *topic = offsets->topics[i];
		struct kafka_string name = {topic->name, topic->name_length};
		for (size_t j = 0; rc == 0 && j < topic->count; j++)
			rc = append(group, offsets, &name, &topic->id, topic->partitions[j].index,
				    &topic->partitions[j].committed);
	}
	return rc;
}

int offsets_rewrite(const struct group *group)
{
	int rc = rewrite(group, &group->offsets);

	list_foreach(node, &group->pending) {
		if (rc == 0)
			rc = rewrite(group,
				     &container_of(node, struct pending_offsets, link)->offsets);
	}
	return rc;
}

/* ---- read ---- */

static int replay_value(struct group *group, struct offsets *offsets,
			const struct kafka_string *topic, const struct uuid *id, int32_t partition,
			struct committed_offset *committed, const struct kafka_string *metadata)
{
	int rc = committed_offset_set_metadata(committed, metadata);

	if (rc == 0)
		rc = exchange(group, offsets, topic, id, partition, committed);
	committed_offset_fini(committed);
	return rc;
}

static int replay_committed(struct group *group, const struct record_offset_commit_key *key,
			    const struct record_offset_commit_value *value)
{
	struct committed_offset committed = {
		.offset = value->offset,
		.leader_epoch = value->leader_epoch,
		.commit_ms = value->commit_timestamp,
		.expire_ms = value->expire_after != -1 ? value->expire_after
						       : value->expire_timestamp,
		.order = value->order,
	};

	return replay_value(group, &group->offsets, &key->topic, &value->topic_id, key->partition,
			    &committed, &value->metadata);
}

static int replay_pending(struct group *group, const struct record_pending_offset_key *key,
			  const struct record_pending_offset_value *value)
{
	struct pending_offsets *one = pending_offsets_obtain(group, key->producer_id);
	struct committed_offset committed = {
		.offset = value->offset,
		.leader_epoch = value->leader_epoch,
		.commit_ms = value->commit_timestamp,
		.expire_ms = -1,
		.order = value->order,
	};

	if (!one)
		return -ENOMEM;
	int rc = replay_value(group, &one->offsets, &key->topic, &value->topic_id, key->partition,
			      &committed, &value->metadata);
	pending_offsets_free_if_empty(one);
	return rc;
}

static void replay_tombstone(struct group *group, const struct group_record *record)
{
	const struct record_offset_commit_key *committed = record->key;
	const struct record_pending_offset_key *key = record->key;

	if (record->type == RECORD_OFFSET_COMMIT) {
		drop(group, &group->offsets, &committed->topic, committed->partition);
	} else {
		struct pending_offsets *one = pending_offsets_find(group, key->producer_id);
		if (one) {
			drop(group, &one->offsets, &key->topic, key->partition);
			pending_offsets_free_if_empty(one);
		}
	}
	if (!group->kind && !group_has_offsets(group))
		group_drop(group, KAFKA_NONE);
}

static bool sound(const struct group_record *record)
{
	const struct record_pending_offset_key *key = record->key;
	const struct record_offset_commit_value *committed = record->value;
	const struct record_pending_offset_value *value = record->value;

	if (record->type == RECORD_OFFSET_COMMIT)
		return !value || (committed->order >= 0 && committed->order <= ORDER_STORED_MAX);
	return key->producer_id >= 0 &&
	       (!value || (value->order >= 1 && value->order <= ORDER_STORED_MAX));
}

int offsets_replay(struct groups *groups, const struct group_record *record)
{
	const struct kafka_string *id = record->key; /* first in both keys; see replay.c */
	struct group *group = group_find(groups, id);
	enum kafka_error error;

	if (!sound(record))
		return -ERR_CORRUPT;
	if (!record->value) {
		if (group)
			replay_tombstone(group, record);
		return 0;
	}
	if (!group)
		group = group_obtain(groups, id, &error);
	if (!group)
		return -ENOMEM;
	return record->type == RECORD_OFFSET_COMMIT
		       ? replay_committed(group, record->key, record->value)
		       : replay_pending(group, record->key, record->value);
}
