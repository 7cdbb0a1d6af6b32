/* Three passes over pairs of a member and a partition:
 *
 *     keep   what a member had, up to its fair number, up to the partition's fair number of readers
 *     cover  a partition that nobody has goes to the subscriber with the fewest
 *     busy   a member that has nothing joins the readers of the partition with the fewest */
#include "control/groups/share_assignor.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pair {
	uint32_t member;
	uint32_t partition;
};

struct assignment {
	const struct partition_set *all;
	struct share_subscriber *members;
	size_t member_count;
	size_t *loads;   /* of each member */
	size_t *readers; /* of each partition */
	struct pair *pairs;
	size_t pair_count;
};

static int compare_topics(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct uuid));
}

static bool subscribes(const struct share_subscriber *member, const struct uuid *topic)
{
	return member->topic_count &&
	       bsearch(topic, member->topics, member->topic_count, sizeof(*topic), compare_topics);
}

static void give(struct assignment *a, size_t member, size_t partition)
{
	a->pairs[a->pair_count++] = (struct pair){(uint32_t)member, (uint32_t)partition};
	a->loads[member]++;
	a->readers[partition]++;
}

static int compare_partitions(const void *a, const void *b)
{
	const struct topic_partition *x = a, *y = b;
	int by_topic = memcmp(&x->topic, &y->topic, sizeof(x->topic));

	return by_topic ? by_topic : (x->index > y->index) - (x->index < y->index);
}

static void keep(struct assignment *a)
{
	size_t partitions = a->all->count;
	size_t fair = partitions / a->member_count;
	size_t above = partitions % a->member_count; /* so many members may have one more */
	size_t readers_max = (a->member_count + partitions - 1) / partitions;

	for (size_t m = 0; m < a->member_count; m++) {
		const struct share_subscriber *member = &a->members[m];
		for (size_t i = 0; i < member->previous.count; i++) {
			const struct topic_partition *had = &member->previous.items[i];
			const struct topic_partition *found = bsearch(
				had, a->all->items, partitions, sizeof(*had), compare_partitions);
			if (!found || !subscribes(member, &had->topic))
				continue;
			size_t place = (size_t)(found - a->all->items);
			/* With more members than partitions the fair number is 0: one each. */
			size_t most = fair ? fair + (above > 0) : 1;
			if (a->loads[m] >= most || a->readers[place] >= readers_max)
				continue;
			if (fair && a->loads[m] == fair)
				above--;
			give(a, m, place);
		}
	}
}

static void cover(struct assignment *a)
{
	for (size_t p = 0; p < a->all->count; p++) {
		size_t best = a->member_count;
		if (a->readers[p])
			continue;
		for (size_t m = 0; m < a->member_count; m++) {
			if (subscribes(&a->members[m], &a->all->items[p].topic) &&
			    (best == a->member_count || a->loads[m] < a->loads[best]))
				best = m;
		}
		if (best < a->member_count)
			give(a, best, p);
	}
}

static void busy(struct assignment *a)
{
	for (size_t m = 0; m < a->member_count; m++) {
		size_t best = a->all->count;
		if (a->loads[m])
			continue;
		for (size_t p = 0; p < a->all->count; p++) {
			if (subscribes(&a->members[m], &a->all->items[p].topic) &&
			    (best == a->all->count || a->readers[p] < a->readers[best]))
				best = p;
		}
		if (best < a->all->count)
			give(a, m, best);
	}
}

static int hand_out(struct assignment *a, struct arena *arena)
{
	for (size_t m = 0; m < a->member_count; m++) {
		a->members[m].target.count = 0;
		a->members[m].target.items = arena_alloc_array(arena, a->loads[m] + 1,
							       sizeof(struct topic_partition));
		if (!a->members[m].target.items)
			return -ENOMEM;
	}
	for (size_t i = 0; i < a->pair_count; i++) {
		struct partition_set *target = &a->members[a->pairs[i].member].target;
		target->items[target->count++] = a->all->items[a->pairs[i].partition];
	}
	for (size_t m = 0; m < a->member_count; m++)
		partition_set_sort(&a->members[m].target);
	return 0;
}

int share_assign(const struct partition_set *all, struct share_subscriber *members, size_t count,
		 struct arena *arena)
{
	/* `keep` gives at most one reader too many a member, the others one each. */
	size_t pairs_max = 2 * (all->count + count);
	struct assignment a = {
		.all = all,
		.members = members,
		.member_count = count,
		.loads = arena_calloc(arena, count + 1, sizeof(size_t)),
		.readers = arena_calloc(arena, all->count + 1, sizeof(size_t)),
		.pairs = arena_alloc_array(arena, pairs_max + 1, sizeof(struct pair)),
	};

	if (!a.loads || !a.readers || !a.pairs)
		return -ENOMEM;
	if (all->count && count) {
		keep(&a);
		cover(&a);
		busy(&a);
	}
	return hand_out(&a, arena);
}
