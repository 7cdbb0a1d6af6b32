#include "control/groups/assignors_internal.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>

const char assignor_names[] = "uniform, range";

const struct assignor assignors[ASSIGNOR_COUNT] = {
	{"uniform", assign_uniform},
	{"range", assign_range},
};

const struct assignor *assignor_find(const struct kafka_string *name)
{
	for (size_t i = 0; i < ASSIGNOR_COUNT; i++) {
		struct kafka_string known = kafka_string_of(assignors[i].name);
		if (kafka_string_equal(name, &known))
			return &assignors[i];
	}
	return NULL;
}

int partition_row_init(struct partition_row *row, const struct assignment *assignment,
		       struct arena *arena)
{
	size_t total = 0;

	row->assignment = assignment;
	row->first = arena_calloc(arena, assignment->topic_count + 1, sizeof(*row->first));
	if (!row->first)
		return -ENOMEM;
	for (size_t t = 0; t < assignment->topic_count; t++) {
		row->first[t] = total;
		total += (size_t)assignment->topics[t].partition_count;
	}
	row->first[assignment->topic_count] = total;
	row->owners = arena_calloc(arena, total, sizeof(*row->owners));
	row->loads = arena_calloc(arena, assignment->member_count, sizeof(*row->loads));
	if (!row->owners || !row->loads)
		return -ENOMEM;
	for (size_t i = 0; i < total; i++)
		row->owners[i] = NO_MEMBER;
	return 0;
}

void partition_row_give(struct partition_row *row, size_t number, int32_t member)
{
	if (row->owners[number] != NO_MEMBER)
		row->loads[row->owners[number]]--;
	row->owners[number] = member;
	row->loads[member]++;
}

static int compare_topic(const void *key, const void *topic)
{
	return memcmp(key, &((const struct assignor_topic *)topic)->id, sizeof(struct uuid));
}

bool partition_row_find(const struct partition_row *row, const struct topic_partition *partition,
			size_t *ret_topic, size_t *ret_number)
{
	const struct assignment *assignment = row->assignment;
	const struct assignor_topic *topic =
		assignment->topic_count
			? bsearch(&partition->topic, assignment->topics, assignment->topic_count,
				  sizeof(*topic), compare_topic)
			: NULL;

	if (!topic || partition->index < 0 || partition->index >= topic->partition_count)
		return false;
	*ret_topic = (size_t)(topic - assignment->topics);
	*ret_number = row->first[*ret_topic] + (size_t)partition->index;
	return true;
}

static int compare_index(const void *key, const void *index)
{
	size_t topic = *(const size_t *)key;
	uint32_t other = *(const uint32_t *)index;

	return (topic > other) - (topic < other);
}

bool assignor_member_subscribed(const struct assignor_member *member, size_t topic)
{
	return member->topic_count && bsearch(&topic, member->topics, member->topic_count,
					      sizeof(*member->topics), compare_index);
}

struct audience *find_audiences(const struct assignment *assignment, struct arena *arena)
{
	struct audience *audiences = arena_calloc(arena, assignment->topic_count,
						  sizeof(*audiences));

	if (!audiences)
		return NULL;
	for (size_t m = 0; m < assignment->member_count; m++) {
		for (size_t i = 0; i < assignment->members[m].topic_count; i++)
			audiences[assignment->members[m].topics[i]].count++;
	}
	for (size_t t = 0; t < assignment->topic_count; t++) {
		struct audience *audience = &audiences[t];
		audience->topic = t;
		audience->partition_count = assignment->topics[t].partition_count;
		audience->members = arena_calloc(arena, audience->count,
						 sizeof(*audience->members));
		if (!audience->members)
			return NULL;
		audience->count = 0;
	}
	for (size_t m = 0; m < assignment->member_count; m++) {
		for (size_t i = 0; i < assignment->members[m].topic_count; i++) {
			struct audience *audience = &audiences[assignment->members[m].topics[i]];
			audience->members[audience->count++] = (uint32_t)m;
		}
	}
	return audiences;
}

int partition_row_finish(const struct partition_row *row, struct assignment *assignment,
			 struct arena *arena)
{
	for (size_t m = 0; m < assignment->member_count; m++) {
		struct partition_set *assigned = &assignment->members[m].assigned;
		assigned->count = 0;
		assigned->items = arena_calloc(arena, row->loads[m], sizeof(*assigned->items));
		if (!assigned->items)
			return -ENOMEM;
	}
	/* Topics and partitions ascend, and so does what each member gets of them. */
	for (size_t t = 0; t < assignment->topic_count; t++) {
		for (size_t number = row->first[t]; number < row->first[t + 1]; number++) {
			if (row->owners[number] == NO_MEMBER)
				continue;
			struct partition_set *assigned =
				&assignment->members[row->owners[number]].assigned;
			assigned->items[assigned->count++] = (struct topic_partition){
				.topic = assignment->topics[t].id,
				.index = (int32_t)(number - row->first[t]),
			};
		}
	}
	return 0;
}
