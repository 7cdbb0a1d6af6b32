#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { WITH_GROUPS = 8, WITH_IDS = 10 };

static struct uuid id_of(const struct world *world, const char *name)
{
	static const struct uuid unknown = {{0xff}};
	const struct topic *topic = topics_find(&world->topics, name, strlen(name));

	return topic ? topic->id : unknown;
}

/* Whether a row's topic is the one meant. */
static bool same(const struct world_request *ask, const struct kafka_string *name,
		 const struct uuid *id, const char *wanted)
{
	struct kafka_string text = kafka_string_of(wanted);
	struct uuid wanted_id = id_of(ask->world, wanted);

	return id && ask->request.version >= WITH_IDS ? uuid_equal(id, &wanted_id)
						      : kafka_string_equal(name, &text);
}

static const char *text_of(struct world_request *ask, const struct kafka_string *text)
{
	return text->length < 0 ? NULL
				: arena_strndup(&ask->arena, text->data, (size_t)text->length);
}

/* ---- commit ---- */

#define COMMIT(name) struct kafka_offset_commit_request_offset_commit_request_##name
#define COMMITTED(name) struct kafka_offset_commit_response_offset_commit_response_##name

struct world_request *commit_ask(struct world *world, int16_t version, const char *group)
{
	struct world_request *ask = world_ask(world, KAFKA_OFFSET_COMMIT, version);
	struct kafka_offset_commit_request *message = ask->message;

	message->group_id = kafka_string_of(group);
	message->topics = world_alloc(ask, ROWS_MAX, sizeof(*message->topics));
	return ask;
}

void commit_as(struct world_request *ask, const char *member, int32_t epoch)
{
	struct kafka_offset_commit_request *message = ask->message;

	message->member_id = kafka_string_of(member);
	message->generation_id_or_member_epoch = epoch;
}

void commit_add(struct world_request *ask, const char *topic, int32_t partition, int64_t offset,
		const char *metadata)
{
	struct kafka_offset_commit_request *message = ask->message;
	COMMIT(topic) *row = &message->topics[message->topics_count++];

	assert_in_range(message->topics_count, 1, ROWS_MAX);
	row->name = kafka_string_of(topic);
	row->topic_id = id_of(ask->world, topic);
	row->partitions_count = 1;
	row->partitions = world_alloc(ask, 1, sizeof(*row->partitions));
	row->partitions[0] = (COMMIT(partition)){partition, offset, 5, kafka_string_of(metadata)};
}

int16_t commit_error(struct world_request *ask, const char *topic, int32_t partition)
{
	const struct kafka_offset_commit_response *answer = world_answer(ask);

	for (int32_t i = 0; i < answer->topics_count; i++) {
		const COMMITTED(topic) *rows = &answer->topics[i];
		if (same(ask, &rows->name, &rows->topic_id, topic) &&
		    rows->partitions[0].partition_index == partition)
			return rows->partitions[0].error_code;
	}
	fail_msg("no row for %s-%d", topic, partition);
	return 0;
}

int16_t commit_one(struct world *world, int16_t version, const char *group, const char *topic,
		   int32_t partition, int64_t offset)
{
	struct world_request *ask = commit_ask(world, version, group);

	commit_add(ask, topic, partition, offset, NULL);
	world_send(ask);
	return commit_error(ask, topic, partition);
}

/* ---- commit in a transaction ---- */

#define TXN(name) struct kafka_txn_offset_commit_request_txn_offset_commit_request_##name
#define TXN_ANSWER(name) struct kafka_txn_offset_commit_response_txn_offset_commit_response_##name

struct world_request *txn_ask(struct world *world, int16_t version, const char *group,
			      int64_t producer_id)
{
	struct world_request *ask = world_ask(world, KAFKA_TXN_OFFSET_COMMIT, version);
	struct kafka_txn_offset_commit_request *message = ask->message;

	message->transactional_id = kafka_string_of("transactional");
	message->group_id = kafka_string_of(group);
	message->producer_id = producer_id;
	message->topics = world_alloc(ask, ROWS_MAX, sizeof(*message->topics));
	return ask;
}

void txn_as(struct world_request *ask, const char *member, const char *instance, int32_t generation)
{
	struct kafka_txn_offset_commit_request *message = ask->message;

	message->member_id = kafka_string_of(member);
	message->group_instance_id = kafka_string_of(instance);
	message->generation_id = generation;
}

void txn_add(struct world_request *ask, const char *topic, int32_t partition, int64_t offset,
	     const char *metadata)
{
	struct kafka_txn_offset_commit_request *message = ask->message;
	TXN(topic) *row = &message->topics[message->topics_count++];

	assert_in_range(message->topics_count, 1, ROWS_MAX);
	row->name = kafka_string_of(topic);
	row->partitions_count = 1;
	row->partitions = world_alloc(ask, 1, sizeof(*row->partitions));
	row->partitions[0] = (TXN(partition)){partition, offset, 5, kafka_string_of(metadata)};
}

int16_t txn_error(struct world_request *ask, const char *topic, int32_t partition)
{
	const struct kafka_txn_offset_commit_response *answer = world_answer(ask);

	for (int32_t i = 0; i < answer->topics_count; i++) {
		const TXN_ANSWER(topic) *rows = &answer->topics[i];
		if (same(ask, &rows->name, NULL, topic) &&
		    rows->partitions[0].partition_index == partition)
			return rows->partitions[0].error_code;
	}
	fail_msg("no row for %s-%d", topic, partition);
	return 0;
}

int16_t txn_one(struct world *world, const char *group, int64_t producer_id, const char *topic,
		int32_t partition, int64_t offset)
{
	struct world_request *ask = txn_ask(world, 5, group, producer_id);

	txn_add(ask, topic, partition, offset, NULL);
	world_send(ask);
	return txn_error(ask, topic, partition);
}

static void end_done(struct state_wait *wait, int rc)
{
	struct ending *ending = container_of(wait, struct ending, wait);

	assert_false(ending->done);
	ending->done = true;
	ending->rc = rc;
}

int txn_end_at(struct world *world, int32_t partition, int64_t producer_id, bool commit,
	       struct ending *ret)
{
	*ret = (struct ending){.wait.done = end_done};
	return groups_end_transaction(world->groups, partition, producer_id, commit, &ret->wait);
}

int txn_end_begin(struct world *world, const char *group, int64_t producer_id, bool commit,
		  struct ending *ret)
{
	struct kafka_string id = kafka_string_of(group);

	return txn_end_at(world, groups_partition_of(world->groups, &id), producer_id, commit, ret);
}

int txn_end(struct world *world, const char *group, int64_t producer_id, bool commit)
{
	struct ending ending;
	int rc = txn_end_begin(world, group, producer_id, commit, &ending);

	assert_int_equal(ending.done, rc == 0);
	assert_int_equal(ending.rc, 0);
	return rc;
}

/* ---- fetch ---- */

#define FETCH(name) struct kafka_offset_fetch_request_offset_fetch_request_##name
#define FETCHED(name) struct kafka_offset_fetch_response_offset_fetch_response_##name

struct world_request *fetch_ask(struct world *world, int16_t version, const char *group)
{
	struct world_request *ask = world_ask(world, KAFKA_OFFSET_FETCH, version);
	struct kafka_offset_fetch_request *message = ask->message;

	message->group_id = kafka_string_of(group);
	message->topics = world_alloc(ask, ROWS_MAX, sizeof(*message->topics));
	message->topics_count = version >= 2 ? -1 : 0;
	message->groups = world_alloc(ask, 1, sizeof(*message->groups));
	message->groups_count = 1;
	message->groups[0].group_id = kafka_string_of(group);
	message->groups[0].member_id = kafka_string_of(NULL);
	message->groups[0].member_epoch = -1;
	message->groups[0].topics = world_alloc(ask, ROWS_MAX, sizeof(FETCH(topics)));
	message->groups[0].topics_count = -1;
	return ask;
}

void fetch_as(struct world_request *ask, const char *member, int32_t epoch)
{
	struct kafka_offset_fetch_request *message = ask->message;

	message->groups[0].member_id = kafka_string_of(member);
	message->groups[0].member_epoch = epoch;
}

void fetch_add(struct world_request *ask, const char *topic, int32_t partition)
{
	struct kafka_offset_fetch_request *message = ask->message;
	FETCH(group) *group = &message->groups[0];
	int32_t *index = world_alloc(ask, 1, sizeof(*index));

	*index = partition;
	if (group->topics_count < 0)
		group->topics_count = message->topics_count = 0;
	assert_true(group->topics_count < ROWS_MAX);
	group->topics[group->topics_count++] = (FETCH(topics)){kafka_string_of(topic),
							       id_of(ask->world, topic), index, 1};
	message->topics[message->topics_count++] = (FETCH(topic)){kafka_string_of(topic), index, 1};
}

void fetch_stable(struct world_request *ask)
{
	((struct kafka_offset_fetch_request *)ask->message)->require_stable = true;
}

/* Calls `visit` for each row, in the words of the latest version. */
static int walk(struct world_request *ask,
		bool (*wanted)(struct world_request *ask, const FETCHED(topics) * topic,
			       const char *name),
		const char *name, int32_t partition, FETCHED(partitions) * ret)
{
	const struct kafka_offset_fetch_response *answer = world_answer(ask);
	bool old = ask->request.version < WITH_GROUPS;
	int32_t count = old ? answer->topics_count : answer->groups[0].topics_count;
	int rows = 0;

	for (int32_t i = 0; i < count; i++) {
		FETCHED(topics)
		topic = old ? (FETCHED(topics)){.name = answer->topics[i].name}
			    : answer->groups[0].topics[i];
		int32_t partitions = old ? answer->topics[i].partitions_count
					 : topic.partitions_count;
		for (int32_t j = 0; j < partitions; j++) {
			FETCHED(partitions) row;
			/* The two structs have the same fields. */
			if (old)
				memcpy(&row, &answer->topics[i].partitions[j], sizeof(row));
			else
				row = topic.partitions[j];
			rows++;
			if (wanted && row.partition_index == partition && wanted(ask, &topic, name))
				*ret = row;
		}
	}
	return rows;
}

static bool wanted_topic(struct world_request *ask, const FETCHED(topics) * topic, const char *name)
{
	return same(ask, &topic->name, &topic->topic_id, name);
}

struct fetched fetch_row(struct world_request *ask, const char *topic, int32_t partition)
{
	FETCHED(partitions) row = {.partition_index = -2};

	walk(ask, wanted_topic, topic, partition, &row);
	if (row.partition_index == -2)
		fail_msg("no row for %s-%d", topic, partition);
	return (struct fetched){row.committed_offset, row.committed_leader_epoch,
				text_of(ask, &row.metadata), row.error_code};
}

int fetch_row_count(struct world_request *ask)
{
	return walk(ask, NULL, NULL, 0, NULL);
}

int16_t fetch_error(struct world_request *ask)
{
	const struct kafka_offset_fetch_response *answer = world_answer(ask);

	return ask->request.version < WITH_GROUPS ? answer->error_code
						  : answer->groups[0].error_code;
}

struct fetched fetch_one(struct world *world, int16_t version, const char *group, const char *topic,
			 int32_t partition)
{
	struct world_request *ask = fetch_ask(world, version, group);

	fetch_add(ask, topic, partition);
	world_send(ask);
	assert_int_equal(fetch_error(ask), KAFKA_NONE);
	return fetch_row(ask, topic, partition);
}

struct fetched stable_one(struct world *world, int16_t version, const char *group,
			  const char *topic, int32_t partition)
{
	struct world_request *ask = fetch_ask(world, version, group);

	fetch_add(ask, topic, partition);
	fetch_stable(ask);
	world_send(ask);
	return fetch_row(ask, topic, partition);
}

/* ---- delete ---- */

struct world_request *delete_ask(struct world *world, const char *group)
{
	struct world_request *ask = world_ask(world, KAFKA_OFFSET_DELETE, 0);
	struct kafka_offset_delete_request *message = ask->message;

	message->group_id = kafka_string_of(group);
	message->topics = world_alloc(ask, ROWS_MAX, sizeof(*message->topics));
	return ask;
}

void delete_add(struct world_request *ask, const char *topic, int32_t partition)
{
	struct kafka_offset_delete_request *message = ask->message;
	struct kafka_offset_delete_request_offset_delete_request_topic *row =
		&message->topics[message->topics_count++];

	assert_in_range(message->topics_count, 1, ROWS_MAX);
	row->name = kafka_string_of(topic);
	row->partitions_count = 1;
	row->partitions = world_alloc(ask, 1, sizeof(*row->partitions));
	row->partitions[0].partition_index = partition;
}

int16_t delete_error(struct world_request *ask, const char *topic, int32_t partition)
{
	const struct kafka_offset_delete_response *answer = world_answer(ask);

	for (int32_t i = 0; i < answer->topics_count; i++) {
		if (same(ask, &answer->topics[i].name, NULL, topic) &&
		    answer->topics[i].partitions[0].partition_index == partition)
			return answer->topics[i].partitions[0].error_code;
	}
	fail_msg("no row for %s-%d", topic, partition);
	return 0;
}
