#include "control/transactions/topic_partitions.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 4 };

static int compare(const struct partitions_of_topic *topic, const struct kafka_string *name)
{
	int32_t common = topic->name_length < name->length ? topic->name_length : name->length;
	int order = memcmp(topic->name, name->data, (size_t)common);

	return order ? order
		     : (topic->name_length > name->length) - (topic->name_length < name->length);
}

/* Where the topic is, or would be. */
static size_t topic_place(const struct topic_partitions *set, const struct kafka_string *name,
			  bool *ret_found)
{
	size_t low = 0, high = set->topic_count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(set->topics[middle], name);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int32_t partition_place(const struct partitions_of_topic *topic, int32_t partition,
			       bool *ret_found)
{
	int32_t low = 0, high = topic->count;

	while (low < high) {
		int32_t middle = low + (high - low) / 2;
		if (topic->partitions[middle] < partition)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = low < topic->count && topic->partitions[low] == partition;
	return low;
}

static void topic_free(struct partitions_of_topic *topic)
{
	if (!topic)
		return;
	free(topic->partitions);
	free(topic->name);
	free(topic);
}

/* Without partitions. */
static struct partitions_of_topic *topic_new(const struct kafka_string *name)
{
	struct partitions_of_topic *topic = calloc(1, sizeof(*topic));
	size_t length = (size_t)name->length;

	if (!topic)
		return NULL;
	topic->name = malloc(length + 1);
	if (!topic->name) {
		free(topic);
		return NULL;
	}
	bytes_copy(topic->name, name->data, length);
	topic->name_length = name->length;
	return topic;
}

static int topic_add(struct partitions_of_topic *topic, int32_t partition)
{
	bool found;
	int32_t place = partition_place(topic, partition, &found);

	if (found)
		return 0;
	if (topic->count == topic->capacity) {
		int32_t capacity = topic->capacity ? 2 * topic->capacity : FIRST_CAPACITY;
		int32_t *larger = realloc(topic->partitions, (size_t)capacity * sizeof(*larger));
		if (!larger)
			return -ENOMEM;
		topic->partitions = larger;
		topic->capacity = capacity;
	}
	memmove(&topic->partitions[place + 1], &topic->partitions[place],
		(size_t)(topic->count - place) * sizeof(topic->partitions[0]));
	topic->partitions[place] = partition;
	topic->count++;
	return 1;
}

static int reserve_topic(struct topic_partitions *set)
{
	if (set->topic_count < set->topic_capacity)
		return 0;
	size_t capacity = set->topic_capacity ? 2 * set->topic_capacity : FIRST_CAPACITY;
	struct partitions_of_topic **larger =
		realloc(set->topics, capacity * sizeof(struct partitions_of_topic *));
	if (!larger)
		return -ENOMEM;
	set->topics = larger;
	set->topic_capacity = capacity;
	return 0;
}

static int insert_topic(struct topic_partitions *set, size_t place, const struct kafka_string *name,
			int32_t partition)
{
	if (reserve_topic(set) < 0)
		return -ENOMEM;
	struct partitions_of_topic *topic = topic_new(name);
	if (!topic || topic_add(topic, partition) < 0) {
		topic_free(topic);
		return -ENOMEM;
	}
	memmove(&set->topics[place + 1], &set->topics[place],
		(set->topic_count - place) * sizeof(struct partitions_of_topic *));
	set->topics[place] = topic;
	set->topic_count++;
	return 1;
}

int topic_partitions_add(struct topic_partitions *set, const struct kafka_string *topic,
			 int32_t partition)
{
	bool found;
	size_t place = topic_place(set, topic, &found);
	int rc = found ? topic_add(set->topics[place], partition)
		       : insert_topic(set, place, topic, partition);

	set->count += rc > 0;
	return rc;
}

bool topic_partitions_has(const struct topic_partitions *set, const struct kafka_string *topic,
			  int32_t partition)
{
	bool found;
	size_t place = topic_place(set, topic, &found);

	if (found)
		partition_place(set->topics[place], partition, &found);
	return found;
}

void topic_partitions_remove(struct topic_partitions *set, const struct kafka_string *name,
			     int32_t partition)
{
	bool found;
	size_t place = topic_place(set, name, &found);

	if (!found)
		return;
	struct partitions_of_topic *topic = set->topics[place];
	int32_t at = partition_place(topic, partition, &found);
	if (!found)
		return;
	topic->count--;
	set->count--;
	memmove(&topic->partitions[at], &topic->partitions[at + 1],
		(size_t)(topic->count - at) * sizeof(topic->partitions[0]));
	if (topic->count > 0)
		return;
	topic_free(topic);
	set->topic_count--;
	memmove(&set->topics[place], &set->topics[place + 1],
		(set->topic_count - place) * sizeof(struct partitions_of_topic *));
}

void topic_partitions_clear(struct topic_partitions *set)
{
	for (size_t i = 0; i < set->topic_count; i++)
		topic_free(set->topics[i]);
	free(set->topics);
	*set = (struct topic_partitions){0};
}
