/* All groups: the phases of their partitions, and from a request to its handler.
 *
 *     groups_handle -> is its group's partition loaded? -> the handler of its API
 *     groups_replay -> the stored record -> the store of its type
 *     groups_turn   -> the wheel: sessions, rebalances, expiry of offsets
 *
 * Answers leave by answers.c, when what they rest on is durable; refusals.c makes them of an error
 * alone. */
#include "control/groups/groups_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "control/config.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TICK_NS NS_PER_MS
#define SCRATCH_BYTES_MAX ((size_t)256 << 20)

/* ---- life ---- */

int groups_new(struct groups **ret, const struct groups_options *options)
{
	struct groups *groups = calloc(1, sizeof(*groups));
	struct uuid random = uuid_random();

	if (!groups)
		return -ENOMEM;
	groups->options = *options;
	groups->hash_seed = load_be64(random.bytes);
	arena_init(&groups->scratch, SCRATCH_BYTES_MAX);
	timer_wheel_init(&groups->wheel, groups_now_ns(groups), TICK_NS);
	offset_expiry_start(groups);
	*ret = groups;
	return 0;
}

static void drop_partition(struct group_partition *partition, enum kafka_error error)
{
	list_foreach_safe(node, after, &partition->groups)
		group_drop(container_of(node, struct group, link), error);
}

void groups_stop(struct groups *groups)
{
	groups->stopping = true;
	for (int32_t i = 0; i < groups->partition_count; i++)
		drop_partition(&groups->partitions[i], KAFKA_COORDINATOR_NOT_AVAILABLE);
}

void groups_free(struct groups *groups)
{
	if (!groups)
		return;
	groups_stop(groups);
	arena_fini(&groups->scratch);
	map64_fini(&groups->pending);
	free(groups->partitions);
	free(groups->table);
	free(groups);
}

int64_t groups_wall_ms(const struct groups *groups)
{
	return clock_wall_ms(groups->options.clock);
}

uint64_t groups_now_ns(const struct groups *groups)
{
	return clock_monotonic_ns(groups->options.clock);
}

uint64_t groups_turn(struct groups *groups)
{
	if (groups->stopping)
		return UINT64_MAX;
	timer_wheel_run(&groups->wheel, groups_now_ns(groups));
	return timer_wheel_next_ns(&groups->wheel);
}

/* ---- topics ---- */

const struct topic *groups_topic(const struct groups *groups, const struct kafka_string *name)
{
	if (!groups->topics || name->length < 0)
		return NULL;
	return topics_find(groups->topics, name->data, (size_t)name->length);
}

static void follow_topics(struct group *group)
{
	const struct groups *groups = group->groups;

	if (groups->topics) {
		offsets_follow_topics(group);
		if (group->kind && group->kind->topics_changed)
			group->kind->topics_changed(group);
	}
	if (!group->kind)
		group_delete_if_idle(group);
}

void groups_set_config(struct groups *groups, const struct config *config)
{
	groups->options.config = config;
}

void groups_set_topics(struct groups *groups, const struct topics *topics)
{
	groups->topics = topics;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		struct group_partition *partition = &groups->partitions[i];
		if (partition->phase != GROUP_PARTITION_LOADED)
			continue;
		list_foreach_safe(node, after, &partition->groups)
			follow_topics(container_of(node, struct group, link));
	}
}

/* ---- the partitions of __consumer_offsets ---- */

int groups_set_partitions(struct groups *groups, int32_t count)
{
	check(count > 0);
	check(!groups->partitions);
	groups->partitions = calloc((size_t)count, sizeof(struct group_partition));
	if (!groups->partitions)
		return -ENOMEM;
	groups->partition_count = count;
	for (int32_t i = 0; i < count; i++)
		list_init(&groups->partitions[i].groups);
	return 0;
}

void groups_begin_load(struct groups *groups, int32_t partition)
{
	groups->partitions[partition].phase = GROUP_PARTITION_LOADING;
	drop_partition(&groups->partitions[partition], KAFKA_NOT_COORDINATOR);
}

void groups_end_load(struct groups *groups, int32_t index)
{
	struct group_partition *partition = &groups->partitions[index];

	check(partition->phase == GROUP_PARTITION_LOADING);
	partition->phase = GROUP_PARTITION_LOADED;
	list_foreach_safe(node, after, &partition->groups)
		follow_topics(container_of(node, struct group, link));
	list_foreach_safe(node, after, &partition->groups) {
		struct group *group = container_of(node, struct group, link);
		if (group->kind && group->kind->loaded)
			group->kind->loaded(group);
	}
}

/* ---- requests ---- */

struct handler {
	int16_t key;
	void (*handle)(struct groups *groups, struct control_request *request);
	/* Of the request's group_id, or NO_GROUP where it names none or several. */
	size_t group_id_at;
	enum kafka_error empty_id; /* what an empty group id is answered; NONE: it is an id */
};

#define NO_GROUP SIZE_MAX
#define ONE_GROUP(api) offsetof(struct kafka_##api##_request, group_id)

static const struct handler handlers[] = {
	{KAFKA_JOIN_GROUP, classic_join, ONE_GROUP(join_group), KAFKA_INVALID_GROUP_ID},
	{KAFKA_SYNC_GROUP, classic_sync, ONE_GROUP(sync_group), KAFKA_INVALID_GROUP_ID},
	{KAFKA_HEARTBEAT, classic_heartbeat, ONE_GROUP(heartbeat), KAFKA_INVALID_GROUP_ID},
	{KAFKA_LEAVE_GROUP, classic_leave, ONE_GROUP(leave_group), KAFKA_INVALID_GROUP_ID},
	{KAFKA_OFFSET_COMMIT, offset_commit, ONE_GROUP(offset_commit), KAFKA_NONE},
	{KAFKA_TXN_OFFSET_COMMIT, txn_offset_commit, ONE_GROUP(txn_offset_commit),
	 KAFKA_INVALID_GROUP_ID},
	{KAFKA_OFFSET_FETCH, offset_fetch, NO_GROUP, KAFKA_NONE},
	{KAFKA_OFFSET_DELETE, offset_delete, ONE_GROUP(offset_delete), KAFKA_INVALID_GROUP_ID},
	{KAFKA_LIST_GROUPS, groups_list, NO_GROUP, KAFKA_NONE},
	{KAFKA_DESCRIBE_GROUPS, groups_describe, NO_GROUP, KAFKA_NONE},
	{KAFKA_DELETE_GROUPS, groups_delete, NO_GROUP, KAFKA_NONE},
	{KAFKA_CONSUMER_GROUP_HEARTBEAT, consumer_heartbeat, ONE_GROUP(consumer_group_heartbeat),
	 KAFKA_INVALID_REQUEST},
	{KAFKA_CONSUMER_GROUP_DESCRIBE, consumer_describe, NO_GROUP, KAFKA_NONE},
	{KAFKA_SHARE_GROUP_HEARTBEAT, share_heartbeat, ONE_GROUP(share_group_heartbeat),
	 KAFKA_INVALID_REQUEST},
	{KAFKA_SHARE_GROUP_DESCRIBE, share_describe, NO_GROUP, KAFKA_NONE},
};

static const struct handler *handler_of(const struct control_request *request)
{
	for (size_t i = 0; i < array_count(handlers); i++) {
		if (handlers[i].key == request->api->key)
			return &handlers[i];
	}
	check(!"an API is described as served by the coordinator but has no handler");
	return NULL;
}

enum kafka_error groups_ready(const struct groups *groups, const struct kafka_string *id)
{
	if (!groups->partitions)
		return KAFKA_COORDINATOR_NOT_AVAILABLE;
	int32_t partition = group_partition_of(id, groups->partition_count);
	return groups->partitions[partition].phase == GROUP_PARTITION_LOADED
		       ? KAFKA_NONE
		       : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
}

/* Clients do not expect to be told of loading everywhere: some end at it.  So a heartbeat is taken
 * on trust, a member that asks for its assignment joins again, and an old producer looks for its
 * coordinator again, as Kafka has it. */
static enum kafka_error while_loading(const struct control_request *request)
{
	switch (request->api->key) {
	case KAFKA_HEARTBEAT:
		return KAFKA_NONE;
	case KAFKA_SYNC_GROUP:
		return KAFKA_REBALANCE_IN_PROGRESS;
	case KAFKA_TXN_OFFSET_COMMIT:
		return request->version < 2 ? KAFKA_COORDINATOR_NOT_AVAILABLE
					    : KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	default:
		return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	}
}

/* Answers what must not be handled: there is no coordinator, not yet or no more. */
static bool turned_away(struct groups *groups, const struct handler *handler,
			struct control_request *request)
{
	enum kafka_error error = KAFKA_NONE;

	if (groups->stopping) {
		error = KAFKA_COORDINATOR_NOT_AVAILABLE;
	} else if (handler->group_id_at != NO_GROUP) {
		const struct kafka_string *id =
			(const void *)((const char *)request->request + handler->group_id_at);
		error = id->length == 0 ? handler->empty_id : KAFKA_NONE;
		if (!error)
			error = groups_ready(groups, id);
	}
	if (!error)
		return false;
	if (error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS)
		error = while_loading(request);
	groups_refuse(groups, request, error);
	return true;
}

void groups_handle(struct groups *groups, struct control_request *request)
{
	const struct handler *handler = handler_of(request);

	if (!turned_away(groups, handler, request))
		handler->handle(groups, request);
}
