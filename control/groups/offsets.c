#include "control/groups/offsets.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int committed_offset_set_metadata(struct committed_offset *committed,
				  const struct kafka_string *metadata)
{
	char *copy = NULL;

	if (metadata->length > 0) {
		copy = malloc((size_t)metadata->length);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, metadata->data, (size_t)metadata->length);
	}
	free(committed->metadata);
	committed->metadata = copy;
	committed->metadata_length = copy ? (uint16_t)metadata->length : 0;
	return 0;
}

struct kafka_string committed_offset_metadata(const struct committed_offset *committed)
{
	return (struct kafka_string){
		.data = committed->metadata ? committed->metadata : "",
		.length = committed->metadata_length,
	};
}

void committed_offset_fini(struct committed_offset *committed)
{
	free(committed->metadata);
	committed->metadata = NULL;
	committed->metadata_length = 0;
}

void offsets_init(struct offsets *offsets)
{
	*offsets = (struct offsets){.producer_id = NO_PRODUCER};
}

static void topic_free(struct offset_topic *topic)
{
	for (size_t i = 0; i < topic->count; i++)
		committed_offset_fini(&topic->partitions[i].committed);
	free(topic->partitions);
	free(topic->name);
	free(topic);
}

void offsets_fini(struct offsets *offsets)
{
	for (size_t i = 0; i < offsets->topic_count; i++)
		topic_free(offsets->topics[i]);
	free(offsets->topics);
	offsets_init(offsets);
}

/* ---- places in the arrays ---- */

static int compare_names(const struct kafka_string *name, const struct offset_topic *topic)
{
	int32_t shorter = name->length < topic->name_length ? name->length : topic->name_length;
	int order = bytes_compare(name->data, topic->name, (size_t)shorter);

	return order ? order : (name->length > shorter) - (topic->name_length > shorter);
}

/* The first topic that is not before `name`; *ret_found: it is that one. */
static size_t topic_place(const struct offsets *offsets, const struct kafka_string *name,
			  bool *ret_found)
{
	size_t low = 0, high = offsets->topic_count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_names(name, offsets->topics[middle]);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static size_t partition_place(const struct offset_topic *topic, int32_t index, bool *ret_found)
{
	size_t low = 0, high = topic->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (topic->partitions[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < topic->count && topic->partitions[low].index == index;
	return low;
}

/* Room for one more element; -ENOMEM. */
static int make_room(void **elements, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return 0;
	size_t wanted = *capacity ? *capacity * 2 : 1;
	void *grown = realloc(*elements, wanted * size);
	if (!grown)
		return -ENOMEM;
	*elements = grown;
	*capacity = wanted;
	return 0;
}

/* ---- topics ---- */

static struct offset_topic *topic_new(const struct kafka_string *name, const struct uuid *id)
{
	struct offset_topic *topic = calloc(1, sizeof(*topic));

	if (!topic)
		return NULL;
	topic->name = malloc((size_t)name->length + 1);
	if (!topic->name) {
		free(topic);
		return NULL;
	}
	bytes_copy(topic->name, name->data, (size_t)name->length);
	topic->name[name->length] = 0;
	topic->name_length = name->length;
	topic->id = *id;
	return topic;
}

static int topic_insert(struct offsets *offsets, size_t place, struct offset_topic *topic)
{
	void *topics = offsets->topics;
	int rc = make_room(&topics, offsets->topic_count, &offsets->topic_capacity,
			   sizeof(struct offset_topic *));

	offsets->topics = topics;
	if (rc < 0)
		return rc;
	memmove(&offsets->topics[place + 1], &offsets->topics[place],
		(offsets->topic_count - place) * sizeof(struct offset_topic *));
	offsets->topics[place] = topic;
	offsets->topic_count++;
	return 0;
}

static void topic_remove(struct offsets *offsets, size_t place)
{
	offsets->count -= offsets->topics[place]->count;
	topic_free(offsets->topics[place]);
	offsets->topic_count--;
	memmove(&offsets->topics[place], &offsets->topics[place + 1],
		(offsets->topic_count - place) * sizeof(struct offset_topic *));
}

static int partition_insert(struct offset_topic *topic, size_t place, int32_t index,
			    const struct committed_offset *committed)
{
	void *partitions = topic->partitions;
	int rc = make_room(&partitions, topic->count, &topic->capacity,
			   sizeof(struct offset_partition));

	topic->partitions = partitions;
	if (rc < 0)
		return rc;
	memmove(&topic->partitions[place + 1], &topic->partitions[place],
		(topic->count - place) * sizeof(struct offset_partition));
	topic->partitions[place] = (struct offset_partition){index, *committed};
	topic->count++;
	return 0;
}

/* ---- the whole ---- */

static bool same_topic(const struct offset_topic *topic, const struct uuid *id)
{
	return uuid_zero(id) || uuid_zero(&topic->id) || uuid_equal(&topic->id, id);
}

/* A topic that was not there, with its first offset. */
static int put_first(struct offsets *offsets, size_t place, const struct kafka_string *name,
		     const struct uuid *id, int32_t partition,
		     const struct committed_offset *committed)
{
	struct offset_topic *topic = topic_new(name, id);

	if (!topic)
		return -ENOMEM;
	int rc = partition_insert(topic, 0, partition, committed);
	if (rc == 0)
		rc = topic_insert(offsets, place, topic);
	if (rc < 0) {
		topic->count = 0; /* the metadata stays the caller's */
		topic_free(topic);
		return rc;
	}
	offsets->count++;
	return 0;
}

int offsets_exchange(struct offsets *offsets, const struct kafka_string *name,
		     const struct uuid *id, int32_t partition, struct committed_offset *committed)
{
	static const struct committed_offset none = {.offset = OFFSET_NONE};
	bool found;
	size_t place = topic_place(offsets, name, &found);
	struct offset_topic *topic = found ? offsets->topics[place] : NULL;

	if (!topic || !same_topic(topic, id)) {
		int rc = put_first(offsets, place, name, id, partition, committed);
		if (rc == 0 && topic)
			topic_remove(offsets, place + 1);
		if (rc == 0)
			*committed = none;
		return rc;
	}
	place = partition_place(topic, partition, &found);
	if (found) {
		struct committed_offset former = topic->partitions[place].committed;
		topic->partitions[place].committed = *committed;
		*committed = former;
	} else {
		int rc = partition_insert(topic, place, partition, committed);
		if (rc < 0)
			return rc;
		offsets->count++;
		*committed = none;
	}
	if (uuid_zero(&topic->id))
		topic->id = *id;
	return 0;
}

const struct offset_topic *offsets_topic(const struct offsets *offsets,
					 const struct kafka_string *name)
{
	bool found;
	size_t place = topic_place(offsets, name, &found);

	return found ? offsets->topics[place] : NULL;
}

const struct committed_offset *offsets_get(const struct offsets *offsets,
					   const struct kafka_string *name, int32_t partition)
{
	const struct offset_topic *topic = offsets_topic(offsets, name);
	bool found = false;
	size_t place = topic ? partition_place(topic, partition, &found) : 0;

	return found ? &topic->partitions[place].committed : NULL;
}

void offsets_remove(struct offsets *offsets, const struct kafka_string *name, int32_t partition)
{
	bool found;
	size_t topic_at = topic_place(offsets, name, &found);

	if (!found)
		return;
	struct offset_topic *topic = offsets->topics[topic_at];
	size_t place = partition_place(topic, partition, &found);
	if (!found)
		return;
	if (topic->count == 1) {
		topic_remove(offsets, topic_at);
		return;
	}
	committed_offset_fini(&topic->partitions[place].committed);
	topic->count--;
	offsets->count--;
	memmove(&topic->partitions[place], &topic->partitions[place + 1],
		(topic->count - place) * sizeof(struct offset_partition));
}
