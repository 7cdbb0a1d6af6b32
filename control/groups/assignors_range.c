/* The range assignor: of each topic every subscriber has a contiguous range, sizes differing by one
 * at most.
 *
 * Topics with as many partitions and the same subscribers are one class, cut at the same places.
 * Within a class members stand in the order of the ranges that they have already, so that ranges
 * shrink, grow and shift rather than change places; those that have none stand behind, static
 * members by instance id, then others by member id. */
#include "control/groups/assignors_internal.h"

#include "base/arena.h"
#include "control/groups/consumer_names.h"

#include <errno.h>
#include <stdlib.h>

struct candidate {
	const struct assignor_member *member;
	uint32_t index;
	int32_t position; /* of the first partition it has; INT32_MAX: none */
};

/* ---- classes ---- */

static int compare_class(const struct audience *a, const struct audience *b)
{
	if (a->partition_count != b->partition_count)
		return a->partition_count < b->partition_count ? -1 : 1;
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	return memcmp(a->members, b->members, a->count * sizeof(*a->members));
}

static int compare_topics(const void *a, const void *b)
{
	const struct audience *one = a, *other = b;
	int order = compare_class(one, other);

	return order ? order : (one->topic > other->topic) - (one->topic < other->topic);
}

/* ---- order within a class ---- */

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *one = a, *other = b;
	bool is_static = one->member->instance_id.length >= 0;

	if (one->position != other->position)
		return one->position < other->position ? -1 : 1;
	if (is_static != (other->member->instance_id.length >= 0))
		return is_static ? -1 : 1;
	return is_static ? name_compare(&one->member->instance_id, &other->member->instance_id)
			 : name_compare(&one->member->id, &other->member->id);
}

/* `before` has the owners so far, in a row like `row`. */
static void line_up(const struct partition_row *row, const int32_t *before,
		    const struct audience *topics, size_t count, int32_t *positions,
		    struct candidate *ret)
{
	for (size_t i = 0; i < topics->count; i++)
		positions[topics->members[i]] = INT32_MAX;
	for (size_t t = 0; t < count; t++) {
		for (int32_t p = 0; p < topics[t].partition_count; p++) {
			int32_t owner = before[row->first[topics[t].topic] + (size_t)p];
			if (owner != NO_MEMBER && p < positions[owner])
				positions[owner] = p;
		}
	}
	for (size_t i = 0; i < topics->count; i++) {
		uint32_t index = topics->members[i];
		ret[i] = (struct candidate){.member = &row->assignment->members[index],
					    .index = index,
					    .position = positions[index]};
	}
	qsort(ret, topics->count, sizeof(*ret), compare_candidates);
}

static void cut(struct partition_row *row, const struct audience *topic,
		const struct candidate *candidates)
{
	size_t number = row->first[topic->topic];
	size_t quota = (size_t)topic->partition_count / topic->count;
	size_t extras = (size_t)topic->partition_count % topic->count;

	for (size_t i = 0; i < topic->count; i++) {
		for (size_t taken = 0; taken < quota + (i < extras); taken++)
			partition_row_give(row, number++, (int32_t)candidates[i].index);
	}
}

/* Who has each partition now, of those that still subscribe. */
static int32_t *recall(const struct partition_row *row, struct arena *arena)
{
	const struct assignment *assignment = row->assignment;
	size_t total = row->first[assignment->topic_count];
	int32_t *before = arena_calloc(arena, total, sizeof(*before));
	size_t topic, number;

	if (!before)
		return NULL;
	for (size_t i = 0; i < total; i++)
		before[i] = NO_MEMBER;
	for (size_t m = 0; m < assignment->member_count; m++) {
		const struct assignor_member *member = &assignment->members[m];
		for (size_t i = 0; i < member->current.count; i++) {
			if (partition_row_find(row, &member->current.items[i], &topic, &number) &&
			    assignor_member_subscribed(member, topic))
				before[number] = (int32_t)m;
		}
	}
	return before;
}

int assign_range(struct assignment *assignment, struct arena *arena)
{
	size_t member_count = assignment->member_count;
	struct audience *topics = find_audiences(assignment, arena);
	struct candidate *candidates = arena_calloc(arena, member_count, sizeof(*candidates));
	int32_t *positions = arena_calloc(arena, member_count, sizeof(*positions));
	struct partition_row row;

	if (!topics || !candidates || !positions || partition_row_init(&row, assignment, arena) < 0)
		return -ENOMEM;
	int32_t *before = recall(&row, arena);
	if (!before)
		return -ENOMEM;
	qsort(topics, assignment->topic_count, sizeof(*topics), compare_topics);
	for (size_t begin = 0, end; begin < assignment->topic_count; begin = end) {
		for (end = begin + 1; end < assignment->topic_count &&
				      compare_class(&topics[begin], &topics[end]) == 0;)
			end++;
		if (topics[begin].count == 0)
			continue;
		line_up(&row, before, &topics[begin], end - begin, positions, candidates);
		for (size_t t = begin; t < end; t++)
			cut(&row, &topics[t], candidates);
	}
	return partition_row_finish(&row, assignment, arena);
}
