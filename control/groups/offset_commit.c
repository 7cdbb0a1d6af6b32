/* What OffsetCommit and TxnOffsetCommit have in common, and the words of the former.  Rows of
 * topics and partitions that are not there say so whatever becomes of the others, as in Kafka,
 * where they do not reach the coordinator. */
#include "control/groups/offset_rows.h"

#include "control/config.h"
#include "control/groups/pending_offsets.h"
#include "dataplane/topics.h"

#include <errno.h>

/* ---- who ---- */

/* Which rows cannot be committed whoever asks; returns how many can. */
static size_t check_rows(const struct offset_commit *commit)
{
	size_t good = 0;

	for (size_t i = 0; i < commit->rows.count; i++) {
		const struct offset_row *row = &commit->rows.rows[i];
		*row->error = (int16_t)(row->topic
						? offset_partition_check(row->topic, row->partition)
						: commit->unknown_topic);
		good += !*row->error;
	}
	return good;
}

/* Whether this member may commit, and the group, made where there was none and anyone may. */
static enum kafka_error admit(struct groups *groups, const struct offset_commit *commit,
			      struct group **ret)
{
	const struct group_claim *claim = &commit->claim;
	struct group *group = group_find(groups, commit->group_id);
	enum kafka_error error = KAFKA_NONE;

	if (!group && claim->epoch >= 0)
		return commit->unknown_group;
	if (!group)
		group = group_obtain(groups, commit->group_id, &error);
	else if (group->kind)
		error = group->kind->may_commit(group, claim);
	else if (claim->epoch >= 0)
		error = KAFKA_UNKNOWN_MEMBER_ID;
	if (!error)
		*ret = group;
	return error;
}

/* ---- what ---- */

static int64_t expiry_of(const struct offset_commit *commit, int64_t now_ms)
{
	int64_t at;

	if (commit->retention_ms < 0)
		return -1;
	return __builtin_add_overflow(now_ms, commit->retention_ms, &at) ? INT64_MAX : at;
}

/* Later than all that is there. */
static int64_t order_of(const struct group *group, bool in_transaction,
			const struct kafka_string *topic, int32_t partition)
{
	int64_t pending = pending_offsets_latest(group, topic, partition);

	if (!in_transaction)
		return pending ? pending + 1 : 0;
	const struct committed_offset *committed = offsets_get(&group->offsets, topic, partition);
	return (committed && committed->order > pending ? committed->order : pending) + 1;
}

static enum kafka_error commit_row(struct group *group, struct offsets *offsets,
				   const struct offset_commit *commit, const struct offset_row *row)
{
	struct kafka_string name = kafka_string_of(row->topic->name);
	int64_t now_ms = groups_wall_ms(group->groups);
	struct committed_offset committed = {
		/* Anything below is "none" to every client. */
		.offset = row->offset < -1 ? -1 : row->offset,
		.leader_epoch = row->leader_epoch,
		.commit_ms = now_ms,
		.expire_ms = expiry_of(commit, now_ms),
		.order = order_of(group, commit->claim.in_transaction, &name, row->partition),
	};

	if (row->metadata.length > group->groups->options.config->offset_metadata_max_bytes)
		return KAFKA_OFFSET_METADATA_TOO_LARGE;
	int rc = committed_offset_set_metadata(&committed, &row->metadata);
	if (rc == 0)
		rc = offsets_put(group, offsets, &name, &row->topic->id, row->partition,
				 &committed);
	committed_offset_fini(&committed);
	return rc < 0 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE;
}

static void commit_rows(struct group *group, struct offsets *offsets,
			const struct offset_commit *commit)
{
	for (size_t i = 0; i < commit->rows.count; i++) {
		const struct offset_row *row = &commit->rows.rows[i];
		if (!*row->error)
			*row->error = (int16_t)commit_row(group, offsets, commit, row);
	}
}

static void commit_pending(struct group *group, const struct offset_commit *commit)
{
	const struct groups *groups = group->groups;
	struct pending_offsets *pending = NULL;

	if (groups->pending_count + commit->rows.count <=
	    (size_t)groups->options.config->group_max_pending_offsets)
		pending = pending_offsets_obtain(group, commit->producer_id);
	if (!pending) {
		offset_rows_fail(&commit->rows, KAFKA_COORDINATOR_NOT_AVAILABLE);
		return;
	}
	commit_rows(group, &pending->offsets, commit);
	pending_offsets_free_if_empty(pending);
}

static void commit_to(struct group *group, const struct offset_commit *commit)
{
	if (commit->claim.in_transaction) {
		commit_pending(group, commit);
	} else {
		commit_rows(group, &group->offsets, commit);
		if (group->kind && group->kind->seen)
			group->kind->seen(group, &commit->claim);
	}
	if (!group->kind)
		group_delete_if_idle(group);
}

void offset_commit_run(struct groups *groups, struct control_request *request,
		       const struct offset_commit *commit)
{
	int32_t partition = group_partition_of(commit->group_id, groups->partition_count);
	struct group *group = NULL;
	enum kafka_error error = KAFKA_NONE;

	if (request->rc == 0 && check_rows(commit) > 0)
		error = admit(groups, commit, &group);
	if (error)
		offset_rows_fail(&commit->rows, error);
	if (group)
		commit_to(group, commit);
	groups_answer(groups, partition, request);
}

/* ---- OffsetCommit ---- */

#define REQUEST(name) struct kafka_offset_commit_request_offset_commit_request_##name
#define RESPONSE(name) struct kafka_offset_commit_response_offset_commit_response_##name

enum { FIRST_WITH_TOPIC_IDS = 10, FIRST_WITH_GROUP_ID_NOT_FOUND = 9 };

/* `topics` null: none are known. */
static const struct topic *topic_of(const struct topics *topics,
				    const struct control_request *request,
				    const REQUEST(topic) * asked)
{
	if (!topics)
		return NULL;
	return request->version < FIRST_WITH_TOPIC_IDS
		       ? topics_find(topics, asked->name.data, (size_t)asked->name.length)
		       : topics_find_id(topics, &asked->topic_id);
}

static int add_rows(struct control_request *request, const struct topics *topics,
		    const REQUEST(topic) * asked, RESPONSE(topic) * answered,
		    struct offset_rows *rows)
{
	const struct topic *topic = topic_of(topics, request, asked);

	kafka_offset_commit_response_offset_commit_response_topic_init(answered);
	answered->name = asked->name;
	answered->topic_id = asked->topic_id;
	answered->partitions = arena_calloc(request->arena, (size_t)asked->partitions_count,
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
	const struct kafka_offset_commit_request *asked = request->request;
	struct kafka_offset_commit_response *response = request->response;
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
		rc = add_rows(request, topics, &asked->topics[i], &response->topics[i], ret);
	return rc;
}

int offset_commit_refuse(struct control_request *request, enum kafka_error error)
{
	struct offset_rows rows = {0};
	int rc = make_rows(request, NULL, &rows);

	offset_rows_fail(&rows, error);
	return rc;
}

void offset_commit(struct groups *groups, struct control_request *request)
{
	const struct kafka_offset_commit_request *asked = request->request;
	struct offset_commit commit = {
		.group_id = &asked->group_id,
		.claim = {.member_id = asked->member_id,
			  .instance_id = asked->group_instance_id,
			  .epoch = asked->generation_id_or_member_epoch,
			  .version = request->version},
		.producer_id = NO_PRODUCER,
		.retention_ms = asked->retention_time_ms,
		.unknown_topic = request->version < FIRST_WITH_TOPIC_IDS
					 ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION
					 : KAFKA_UNKNOWN_TOPIC_ID,
		.unknown_group = request->version < FIRST_WITH_GROUP_ID_NOT_FOUND
					 ? KAFKA_ILLEGAL_GENERATION
					 : KAFKA_GROUP_ID_NOT_FOUND,
	};

	request->rc = make_rows(request, groups->topics, &commit.rows);
	offset_commit_run(groups, request, &commit);
}
