#include "control/groups/consumer_owners.h"

#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void owners_fini(struct owners *owners)
{
	for (size_t i = 0; i < owners->topic_count; i++)
		free(owners->topics[i].owners);
	free(owners->topics);
	*owners = (struct owners){0};
}

/* Where the topic is, or has to be. */
static size_t position(const struct owners *owners, const struct uuid *id)
{
	size_t low = 0, high = owners->topic_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(&owners->topics[middle].id, id, sizeof(*id)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct owned_topic *find(const struct owners *owners, const struct uuid *id)
{
	size_t at = position(owners, id);

	return at < owners->topic_count && uuid_equal(&owners->topics[at].id, id)
		       ? &owners->topics[at]
		       : NULL;
}

/* Null: nobody can have it yet. */
static const struct consumer_member **place(const struct owners *owners,
					    const struct topic_partition *partition)
{
	struct owned_topic *topic = find(owners, &partition->topic);

	if (!topic || partition->index < 0 || (size_t)partition->index >= topic->owners_count)
		return NULL;
	return &topic->owners[partition->index];
}

const struct consumer_member *owners_get(const struct owners *owners,
					 const struct topic_partition *partition)
{
	const struct consumer_member **owner = place(owners, partition);

	return owner ? *owner : NULL;
}

static int add_topic(struct owners *owners, const struct uuid *id, struct owned_topic **ret)
{
	size_t at = position(owners, id);

	if (owners->topic_count == owners->topic_capacity) {
		size_t capacity = owners->topic_capacity ? 2 * owners->topic_capacity : 4;
		struct owned_topic *topics = realloc(owners->topics, capacity * sizeof(*topics));
		if (!topics)
			return -ENOMEM;
		owners->topics = topics;
		owners->topic_capacity = capacity;
	}
	memmove(&owners->topics[at + 1], &owners->topics[at],
		(owners->topic_count - at) * sizeof(*owners->topics));
	owners->topics[at] = (struct owned_topic){.id = *id};
	owners->topic_count++;
	*ret = &owners->topics[at];
	return 0;
}

static int grow(struct owned_topic *topic, size_t count)
{
	const struct consumer_member **grown;

	if (count <= topic->owners_count)
		return 0;
	grown = realloc(topic->owners, count * sizeof(struct consumer_member *));
	if (!grown)
		return -ENOMEM;
	memset(&grown[topic->owners_count], 0,
	       (count - topic->owners_count) * sizeof(struct consumer_member *));
	topic->owners = grown;
	topic->owners_count = count;
	return 0;
}

int owners_reserve(struct owners *owners, const struct partition_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct topic_partition *last = &set->items[i];
		if (last->index < 0 || last->index > OWNERS_INDEX_MAX)
			return -ERR_CORRUPT;
		/* The topic's last partition makes room for all before it. */
		if (i + 1 < set->count && uuid_equal(&last->topic, &set->items[i + 1].topic))
			continue;
		struct owned_topic *topic = find(owners, &last->topic);
		int rc = topic ? 0 : add_topic(owners, &last->topic, &topic);
		if (rc == 0)
			rc = grow(topic, (size_t)last->index + 1);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void owners_take(struct owners *owners, const struct partition_set *set,
		 const struct consumer_member *member)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct consumer_member **owner = place(owners, &set->items[i]);
		check(owner);
		if (!*owner)
			*owner = member;
	}
}

void owners_release(struct owners *owners, const struct partition_set *set,
		    const struct consumer_member *member)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct consumer_member **owner = place(owners, &set->items[i]);
		if (owner && *owner == member)
			*owner = NULL;
	}
}
