#include "bench/suite/topics.h"

#include "bench/suite/driver_common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct topic *topics_find(struct topics *topics, const char *name)
{
	size_t i;

	if (topics->last < topics->count && !strcmp(topics->topics[topics->last].name, name))
		return &topics->topics[topics->last];
	for (i = 0; i < topics->count; i++)
		if (!strcmp(topics->topics[i].name, name)) {
			topics->last = i;
			return &topics->topics[i];
		}
	return NULL;
}

static void topic_fini(struct topic *topic)
{
	unsigned p;

	for (p = 0; topic->partitions && p < topic->partition_count; p++)
		free(topic->partitions[p]);
	free(topic->partitions);
	free(topic->name);
}

static int topic_init(struct topic *topic, const struct driver *driver, const char *name,
		      char separator, unsigned partition_count)
{
	char text[DRIVER_PARTITION_NAME_BYTES];
	unsigned p;
	int rc = 0;

	*topic = (struct topic){.partition_count = partition_count};
	topic->name = strdup(name);
	topic->partitions = calloc(partition_count, sizeof(*topic->partitions));
	if (!topic->name || !topic->partitions)
		return -ENOMEM;
	for (p = 0; rc == 0 && p < partition_count; p++) {
		rc = driver_partition_name(driver, name, separator, p, text, sizeof(text));
		if (rc < 0)
			break;
		topic->partitions[p] = strdup(text);
		if (!topic->partitions[p])
			rc = -ENOMEM;
	}
	return rc;
}

int topics_add(struct topics *topics, const struct driver *driver, const char *name, char separator,
	       unsigned partition_count, struct topic **ret)
{
	struct topic *grown;
	int rc;

	if (!partition_count) {
		driver_complain(driver, "topic %s has no partitions", name);
		return -EINVAL;
	}
	grown = reallocarray(topics->topics, topics->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	topics->topics = grown;
	rc = topic_init(&grown[topics->count], driver, name, separator, partition_count);
	if (rc < 0) {
		topic_fini(&grown[topics->count]);
		return rc;
	}
	topics->last = topics->count++;
	*ret = &grown[topics->last];
	return 0;
}

int topic_route(struct topic *topic, const struct driver_record *record, unsigned *ret_partition)
{
	unsigned partition = driver_partition_of(record, topic->partition_count, &topic->turn);

	if (partition >= topic->partition_count)
		return -ENOENT;
	*ret_partition = partition;
	return 0;
}

void topics_fini(struct topics *topics)
{
	size_t i;

	for (i = 0; i < topics->count; i++)
		topic_fini(&topics->topics[i]);
	free(topics->topics);
	*topics = (struct topics){0};
}
