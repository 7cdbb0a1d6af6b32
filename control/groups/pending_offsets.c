#include "control/groups/pending_offsets.h"

#include "base/check.h"
#include "control/groups/groups_internal.h"

#include <stdlib.h>

struct pending_offsets *pending_offsets_of(const struct groups *groups, int64_t producer_id)
{
	return map64_get(&groups->pending, (uint64_t)producer_id);
}

struct pending_offsets *pending_offsets_find(const struct group *group, int64_t producer_id)
{
	struct pending_offsets *pending = pending_offsets_of(group->groups, producer_id);

	while (pending && pending->group != group)
		pending = pending->chain;
	return pending;
}

struct pending_offsets *pending_offsets_obtain(struct group *group, int64_t producer_id)
{
	struct pending_offsets *pending = pending_offsets_find(group, producer_id);
	struct map64 *map = &group->groups->pending;

	check(producer_id >= 0);
	if (pending)
		return pending;
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return NULL;
	pending->group = group;
	pending->chain = pending_offsets_of(group->groups, producer_id);
	offsets_init(&pending->offsets);
	pending->offsets.producer_id = producer_id;
	if (map64_put(map, (uint64_t)producer_id, pending) < 0) {
		free(pending);
		return NULL;
	}
	list_push_back(&group->pending, &pending->link);
	return pending;
}

static void unchain(struct pending_offsets *pending)
{
	struct map64 *map = &pending->group->groups->pending;
	uint64_t key = (uint64_t)pending->offsets.producer_id;
	struct pending_offsets *first = map64_remove(map, key);
	struct pending_offsets **place = &first;

	while (*place != pending)
		place = &(*place)->chain;
	*place = pending->chain;
	if (first)
		map64_put(map, key, first); /* in the place of what was removed: cannot fail */
}

void pending_offsets_free(struct pending_offsets *pending)
{
	unchain(pending);
	list_remove(&pending->link);
	pending->group->groups->pending_count -= pending->offsets.count;
	offsets_fini(&pending->offsets);
	free(pending);
}

void pending_offsets_free_if_empty(struct pending_offsets *pending)
{
	if (pending->offsets.count == 0)
		pending_offsets_free(pending);
}

int64_t pending_offsets_latest(const struct group *group, const struct kafka_string *topic,
			       int32_t partition)
{
	int64_t latest = 0;

	list_foreach(node, &group->pending) {
		const struct offsets *offsets =
			&container_of(node, struct pending_offsets, link)->offsets;
		const struct committed_offset *one = offsets_get(offsets, topic, partition);
		if (one && one->order > latest &&
		    !offsets_gone(group->groups, offsets_topic(offsets, topic)))
			latest = one->order;
	}
	return latest;
}

size_t pending_offsets_count(const struct group *group)
{
	size_t count = 0;

	list_foreach(node, &group->pending)
		count += container_of(node, struct pending_offsets, link)->offsets.count;
	return count;
}
