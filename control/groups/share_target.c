/* What the members of a share group subscribe to, and what each is to read of it. */
#include "control/groups/share_internal.h"

#include "base/arena.h"
#include "control/groups/groups_internal.h"
#include "control/groups/share_assignor.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define WORK_BYTES_MAX ((size_t)256 << 20)

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static size_t sort_ids(struct uuid *ids, size_t count)
{
	size_t kept = 0;

	if (!count)
		return 0;
	qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 1; i < count; i++) {
		if (!uuid_equal(&ids[i], &ids[kept]))
			ids[++kept] = ids[i];
	}
	return kept + 1;
}

/* The topics that exist of those the member names. */
static int topics_of(const struct share_member *member, struct arena *arena,
		     struct share_subscriber *ret)
{
	const struct groups *groups = member->share->group->groups;

	ret->topic_count = 0;
	ret->topics = arena_alloc_array(arena, member->details.name_count + 1, sizeof(struct uuid));
	if (!ret->topics)
		return -ENOMEM;
	for (size_t i = 0; i < member->details.name_count; i++) {
		const struct topic *topic = groups_topic(groups, &member->details.names[i]);
		if (topic)
			ret->topics[ret->topic_count++] = topic->id;
	}
	ret->topic_count = sort_ids(ret->topics, ret->topic_count);
	return 0;
}

static int subscribers_of(const struct share_group *share, struct arena *arena,
			  struct share_subscriber **ret)
{
	struct share_subscriber *subscribers = arena_calloc(arena, share->member_count + 1,
							    sizeof(*subscribers));
	int rc = subscribers ? 0 : -ENOMEM;

	for (size_t i = 0; i < share->member_count && rc == 0; i++) {
		rc = topics_of(share->members[i], arena, &subscribers[i]);
		subscribers[i].previous = share->members[i]->target;
	}
	*ret = subscribers;
	return rc;
}

/* Every partition that anybody subscribes to. */
static int universe_of(const struct share_group *share, const struct share_subscriber *subscribers,
		       struct arena *arena, struct partition_set *ret)
{
	const struct topics *topics = share->group->groups->topics;
	size_t id_count = 0, partition_count = 0;

	for (size_t i = 0; i < share->member_count; i++)
		id_count += subscribers[i].topic_count;
	struct uuid *ids = arena_alloc_array(arena, id_count + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	id_count = 0;
	for (size_t i = 0; i < share->member_count; i++) {
		for (size_t j = 0; j < subscribers[i].topic_count; j++)
			ids[id_count++] = subscribers[i].topics[j];
	}
	id_count = sort_ids(ids, id_count);
	for (size_t i = 0; i < id_count; i++)
		partition_count += (size_t)topics_find_id(topics, &ids[i])->partition_count;
	ret->count = 0;
	ret->items = arena_alloc_array(arena, partition_count + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	for (size_t i = 0; i < id_count; i++) {
		const struct topic *topic = topics_find_id(topics, &ids[i]);
		for (int32_t p = 0; p < topic->partition_count; p++)
			ret->items[ret->count++] = (struct topic_partition){topic->id, p};
	}
	return 0;
}

/* ---- do they still mean the same? ---- */

static int64_t hash_of(const struct partition_set *all)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < all->count; i++) {
		hash = XXH3_64bits_withSeed(&all->items[i].topic, sizeof(struct uuid), hash);
		hash = XXH3_64bits_withSeed(&all->items[i].index, sizeof(int32_t), hash);
	}
	return (int64_t)hash;
}

static int follow_topics(struct share_group *share, struct arena *arena)
{
	struct share_subscriber *subscribers;
	struct partition_set all = {0};
	int rc = subscribers_of(share, arena, &subscribers);

	if (rc == 0)
		rc = universe_of(share, subscribers, arena, &all);
	if (rc < 0)
		return rc;
	int64_t hash = hash_of(&all);
	if (share->news || hash != share->topics_hash) {
		rc = share_append_group(share, share->epoch + 1, hash);
		if (rc < 0)
			return rc;
		share->epoch++;
		share->topics_hash = hash;
	}
	share->news = false;
	share->topics_changed = false;
	return 0;
}

int share_follow_topics(struct share_group *share)
{
	struct arena arena;

	if (!share->news && !share->topics_changed)
		return 0;
	arena_init(&arena, WORK_BYTES_MAX);
	int rc = follow_topics(share, &arena);
	arena_fini(&arena);
	return rc;
}

/* ---- targets ---- */

static int set_target(struct share_member *member, const struct partition_set *target,
		      struct arena *arena)
{
	struct partition_set copied;

	if (partition_set_equal(&member->target, target))
		return 0;
	int rc = partition_set_copy(target, &copied);
	if (rc < 0)
		return rc;
	rc = share_append_target(member, &copied, arena);
	if (rc < 0) {
		partition_set_fini(&copied);
		return rc;
	}
	partition_set_fini(&member->target);
	member->target = copied;
	return 0;
}

static int retarget(struct share_group *share, struct arena *arena)
{
	struct share_subscriber *subscribers;
	struct partition_set all = {0};
	int rc = subscribers_of(share, arena, &subscribers);

	if (rc == 0)
		rc = universe_of(share, subscribers, arena, &all);
	if (rc == 0)
		rc = share_assign(&all, subscribers, share->member_count, arena);
	for (size_t i = 0; i < share->member_count && rc == 0; i++)
		rc = set_target(share->members[i], &subscribers[i].target, arena);
	if (rc == 0)
		rc = share_append_assignment_epoch(share, share->epoch);
	if (rc == 0)
		share->assignment_epoch = share->epoch;
	return rc;
}

int share_retarget(struct share_group *share)
{
	struct arena arena;

	if (share->assignment_epoch == share->epoch)
		return 0;
	arena_init(&arena, WORK_BYTES_MAX);
	int rc = retarget(share, &arena);
	arena_fini(&arena);
	return rc;
}
