#include "control/groups/consumer_partitions.h"

#include "base/arena.h"
#include "kafka_messages.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LAID_OUT_ALIKE(generated)                                                                  \
	static_assert(sizeof(struct generated) == sizeof(struct wire_topic) &&                     \
			      offsetof(struct generated, topic_id) ==                              \
				      offsetof(struct wire_topic, topic_id) &&                     \
			      offsetof(struct generated, partitions) ==                            \
				      offsetof(struct wire_topic, partitions) &&                   \
			      offsetof(struct generated, partitions_count) ==                      \
				      offsetof(struct wire_topic, partitions_count),               \
		      "the arrays of topics and partitions are read as one type")

LAID_OUT_ALIKE(kafka_consumer_group_heartbeat_request_topic_partitions);
LAID_OUT_ALIKE(kafka_consumer_group_heartbeat_response_topic_partitions);
LAID_OUT_ALIKE(record_consumer_group_target_assignment_member_value_topic_partition);
LAID_OUT_ALIKE(record_consumer_group_current_member_assignment_value_assigned_partition);
LAID_OUT_ALIKE(record_consumer_group_current_member_assignment_value_pending_partition);
LAID_OUT_ALIKE(kafka_share_group_heartbeat_response_topic_partitions);
LAID_OUT_ALIKE(record_share_group_target_assignment_member_value_topic_partition);
LAID_OUT_ALIKE(record_share_group_current_member_assignment_value_assigned_partition);

static int compare(const struct topic_partition *a, const struct topic_partition *b)
{
	int by_topic = memcmp(&a->topic, &b->topic, sizeof(a->topic));

	return by_topic ? by_topic : (a->index > b->index) - (a->index < b->index);
}

static int compare_items(const void *a, const void *b)
{
	return compare(a, b);
}

void partition_set_sort(struct partition_set *set)
{
	size_t kept = 0;

	if (set->count == 0)
		return;
	qsort(set->items, set->count, sizeof(*set->items), compare_items);
	for (size_t i = 1; i < set->count; i++) {
		if (compare(&set->items[i], &set->items[kept]) != 0)
			set->items[++kept] = set->items[i];
	}
	set->count = kept + 1;
}

bool partition_set_has(const struct partition_set *set, const struct topic_partition *partition)
{
	return set->count &&
	       bsearch(partition, set->items, set->count, sizeof(*set->items), compare_items);
}

bool partition_set_equal(const struct partition_set *a, const struct partition_set *b)
{
	return a->count == b->count &&
	       (a->count == 0 || memcmp(a->items, b->items, a->count * sizeof(*a->items)) == 0);
}

/* How many items of `a` are in `b`; `ret`, unless null, gets those that are (or are not). */
static size_t sift(const struct partition_set *a, const struct partition_set *b, bool in,
		   struct topic_partition *ret)
{
	size_t sifted = 0;
	size_t j = 0;

	for (size_t i = 0; i < a->count; i++) {
		while (j < b->count && compare(&b->items[j], &a->items[i]) < 0)
			j++;
		bool found = j < b->count && compare(&b->items[j], &a->items[i]) == 0;
		if (found != in)
			continue;
		if (ret)
			ret[sifted] = a->items[i];
		sifted++;
	}
	return sifted;
}

bool partition_set_within(const struct partition_set *part, const struct partition_set *whole)
{
	return sift(part, whole, false, NULL) == 0;
}

bool partition_set_overlap(const struct partition_set *a, const struct partition_set *b)
{
	return sift(a, b, true, NULL) > 0;
}

static int room_for(size_t count, struct arena *arena, struct partition_set *ret)
{
	*ret = (struct partition_set){
		.items = arena_calloc(arena, count, sizeof(*ret->items)),
	};
	return ret->items ? 0 : -ENOMEM;
}

int partition_set_common(const struct partition_set *a, const struct partition_set *b,
			 struct arena *arena, struct partition_set *ret)
{
	struct partition_set made;
	int rc = room_for(a->count, arena, &made);

	if (rc < 0)
		return rc;
	made.count = sift(a, b, true, made.items);
	*ret = made;
	return 0;
}

int partition_set_minus(const struct partition_set *a, const struct partition_set *b,
			struct arena *arena, struct partition_set *ret)
{
	struct partition_set made;
	int rc = room_for(a->count, arena, &made);

	if (rc < 0)
		return rc;
	made.count = sift(a, b, false, made.items);
	*ret = made;
	return 0;
}

int partition_set_union(const struct partition_set *a, const struct partition_set *b,
			struct arena *arena, struct partition_set *ret)
{
	struct partition_set made;
	size_t i = 0, j = 0;
	int rc = room_for(a->count + b->count, arena, &made);

	if (rc < 0)
		return rc;
	while (i < a->count || j < b->count) {
		int order = i == a->count   ? 1
			    : j == b->count ? -1
					    : compare(&a->items[i], &b->items[j]);
		made.items[made.count++] = order <= 0 ? a->items[i] : b->items[j];
		i += order <= 0;
		j += order >= 0;
	}
	*ret = made;
	return 0;
}

int partition_set_of_wire(const void *topics, int32_t count, struct arena *arena,
			  struct partition_set *ret)
{
	const struct wire_topic *wire = topics;
	struct partition_set made;
	size_t total = 0;

	for (int32_t i = 0; i < count; i++)
		total += (size_t)wire[i].partitions_count;
	int rc = room_for(total, arena, &made);
	if (rc < 0)
		return rc;
	for (int32_t i = 0; i < count; i++) {
		for (int32_t p = 0; p < wire[i].partitions_count; p++)
			made.items[made.count++] = (struct topic_partition){
				.topic = wire[i].topic_id,
				.index = wire[i].partitions[p],
			};
	}
	partition_set_sort(&made);
	*ret = made;
	return 0;
}

static size_t topics_of(const struct partition_set *set)
{
	size_t topics = 0;

	for (size_t i = 0; i < set->count; i++)
		topics += i == 0 || !uuid_equal(&set->items[i].topic, &set->items[i - 1].topic);
	return topics;
}

int partition_set_to_wire(const struct partition_set *set, struct arena *arena,
			  struct wire_topic **ret_topics, int32_t *ret_count)
{
	struct wire_topic *topics = arena_calloc(arena, topics_of(set), sizeof(*topics));
	int32_t *indices = arena_calloc(arena, set->count, sizeof(*indices));
	int32_t count = 0;

	if (!topics || !indices)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++) {
		if (i == 0 || !uuid_equal(&set->items[i].topic, &set->items[i - 1].topic))
			topics[count++] = (struct wire_topic){.topic_id = set->items[i].topic,
							      .partitions = &indices[i]};
		indices[i] = set->items[i].index;
		topics[count - 1].partitions_count++;
	}
	*ret_topics = topics;
	*ret_count = count;
	return 0;
}

int partition_set_copy(const struct partition_set *from, struct partition_set *ret)
{
	struct partition_set made = {.count = from->count};

	if (from->count) {
		made.items = malloc(from->count * sizeof(*made.items));
		if (!made.items)
			return -ENOMEM;
		memcpy(made.items, from->items, from->count * sizeof(*made.items));
	}
	*ret = made;
	return 0;
}

void partition_set_fini(struct partition_set *set)
{
	free(set->items);
	*set = (struct partition_set){0};
}
