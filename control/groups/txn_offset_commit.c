/* Offsets that are committed with a transaction: TxnOffsetCommit, and the transaction's end.
 *
 * Until then they are pending.  At the end each becomes a committed one, unless something else was
 * committed to its partition after it, or goes.  One call appends both records of each, so that a
 * restart finds it pending or settled; where it ends in the middle for want of memory, the next
 * attempt goes on from there. */
#include "control/groups/offset_rows.h"

#include "base/errors.h"
#include "control/groups/pending_offsets.h"
#include "dataplane/topics.h"

#include <errno.h>

#define REQUEST(name) struct kafka_txn_offset_commit_request_txn_offset_commit_request_##name
#define RESPONSE(name) struct kafka_txn_offset_commit_response_txn_offset_commit_response_##name

/* ---- TxnOffsetCommit ---- */

static int add_rows(struct arena *arena, const struct topics *topics, const REQUEST(topic) * asked,
		    RESPONSE(topic) * answered, struct offset_rows *rows)
{
	const struct topic *topic =
		topics ? topics_find(topics, asked->name.data, (size_t)asked->name.length) : NULL;

	answered->name = asked->name;
	answered->partitions = arena_calloc(arena, (size_t)asked->partitions_count,
					    sizeof(*answered->partitions));
	if (!answered->partitions)
		return -ENOMEM;
	answered->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		const REQUEST(partition) *one = &asked->partitions[i];
		answered->partitions[i].partition_index = one->partition_index;
		rows->rows[rows->count++] = (struct offset_row){
			.topic = topic,
			.partition = one->partition_index,
			.offset = one->committed_offset,
			.leader_epoch = one->committed_leader_epoch,
			.metadata = one->committed_metadata,
			.error = &answered->partitions[i].error_code,
		};
	}
	return 0;
}

static int make_rows(struct control_request *request, const struct topics *topics,
		     struct offset_rows *ret)
{
	const struct kafka_txn_offset_commit_request *asked = request->request;
	struct kafka_txn_offset_commit_response *response = request->response;
	size_t count = 0;
	int rc = 0;

	for (int32_t i = 0; i < asked->topics_count; i++)
		count += (size_t)asked->topics[i].partitions_count;
	ret->rows = arena_calloc(request->arena, count, sizeof(*ret->rows));
	response->topics = arena_calloc(request->arena, (size_t)asked->topics_count,
					sizeof(*response->topics));
	if (!ret->rows || !response->topics)
		return -ENOMEM;
	response->topics_count = asked->topics_count;
	for (int32_t i = 0; rc == 0 && i < asked->topics_count; i++)
		rc = add_rows(request->arena, topics, &asked->topics[i], &response->topics[i], ret);
	return rc;
}

int txn_offset_commit_refuse(struct control_request *request, enum kafka_error error)
{
	struct offset_rows rows = {0};
	int rc = make_rows(request, NULL, &rows);

	offset_rows_fail(&rows, error);
	return rc;
}

void txn_offset_commit(struct groups *groups, struct control_request *request)
{
	const struct kafka_txn_offset_commit_request *asked = request->request;
	struct offset_commit commit = {
		.group_id = &asked->group_id,
		.claim = {.member_id = asked->member_id,
			  .instance_id = asked->group_instance_id,
			  .epoch = asked->generation_id,
			  .version = request->version,
			  .in_transaction = true},
		.producer_id = asked->producer_id,
		.retention_ms = -1,
		.unknown_topic = KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
		.unknown_group = KAFKA_ILLEGAL_GENERATION,
	};

	if (asked->producer_id < 0) {
		groups_refuse(groups, request, KAFKA_INVALID_PRODUCER_ID_MAPPING);
		return;
	}
	request->rc = make_rows(request, groups->topics, &commit.rows);
	offset_commit_run(groups, request, &commit);
}

/* ---- the end ---- */

/* Of what was committed to a partition the latest counts. */
static bool counts(const struct group *group, const struct offset_topic *topic,
		   const struct offset_partition *pending)
{
	struct kafka_string name = {topic->name, topic->name_length};
	const struct committed_offset *committed = offsets_get(&group->offsets, &name,
							       pending->index);

	return !offsets_gone(group->groups, topic) &&
	       (!committed || pending->committed.order > committed->order);
}

static int make_valid(struct group *group, const struct offset_topic *topic,
		      const struct offset_partition *pending)
{
	struct kafka_string name = {topic->name, topic->name_length};
	struct kafka_string metadata = committed_offset_metadata(&pending->committed);
	struct committed_offset committed = pending->committed;

	committed.metadata = NULL;
	int rc = committed_offset_set_metadata(&committed, &metadata);
	if (rc == 0)
		rc = offsets_put(group, &group->offsets, &name, &topic->id, pending->index,
				 &committed);
	committed_offset_fini(&committed);
	return rc;
}

static int end_last(struct group *group, struct offsets *offsets, bool commit)
{
	const struct offset_topic *topic = offsets->topics[offsets->topic_count - 1];
	const struct offset_partition *pending = &topic->partitions[topic->count - 1];
	struct kafka_string name = {topic->name, topic->name_length};
	int rc = 0;

	if (commit && counts(group, topic, pending))
		rc = make_valid(group, topic, pending);
	return rc < 0 ? rc : offsets_forget(group, offsets, &name, pending->index);
}

static int end_in_group(struct pending_offsets *pending, bool commit)
{
	struct group *group = pending->group;
	int rc = 0;

	while (rc == 0 && pending->offsets.count > 0)
		rc = end_last(group, &pending->offsets, commit);
	pending_offsets_free_if_empty(pending);
	if (rc == 0 && !group->kind)
		group_delete_if_idle(group);
	return rc;
}

int groups_end_transaction(struct groups *groups, int32_t partition, int64_t producer_id,
			   bool commit, struct state_wait *wait)
{
	struct pending_offsets *pending = pending_offsets_of(groups, producer_id);
	int rc = 0;

	if (groups->stopping || !groups->partitions)
		return -ERR_LOADING;
	if (partition < 0 || partition >= groups->partition_count) {
		wait->done(wait, 0); /* where no group lives there is nothing to end */
		return 0;
	}
	if (groups->partitions[partition].phase != GROUP_PARTITION_LOADED)
		return -ERR_LOADING;
	while (rc == 0 && pending) {
		struct pending_offsets *next = pending->chain;
		if (pending->group->partition == partition)
			rc = end_in_group(pending, commit);
		pending = next;
	}
	if (rc == 0)
		groups->options.log->ops->after(groups->options.log, partition, wait);
	return rc;
}

int32_t groups_partition_of(const struct groups *groups, const struct kafka_string *group_id)
{
	return groups->partitions ? group_partition_of(group_id, groups->partition_count) : -1;
}
