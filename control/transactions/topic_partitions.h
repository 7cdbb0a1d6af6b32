/* control/transactions/topic_partitions.h: the partitions of one transaction, by topic name.
 *
 * Both levels are sorted arrays: what is drawn of them does not depend on the order in which they
 * came.  Names stay where they are while the set is not cleared. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/kafka/wire.h"

struct partitions_of_topic {
	char *name; /* name_length bytes, not terminated */
	int32_t name_length;
	int32_t count;
	int32_t capacity;
	int32_t *partitions; /* ascending, at least one */
};

struct topic_partitions {
	struct partitions_of_topic **topics; /* by name, ascending */
	size_t topic_count;
	size_t topic_capacity;
	size_t count; /* of partitions, all topics */
};

/* 1: added; 0: it was there; -ENOMEM: nothing changed. */
int topic_partitions_add(struct topic_partitions *set, const struct kafka_string *topic,
			 int32_t partition);
bool topic_partitions_has(const struct topic_partitions *set, const struct kafka_string *topic,
			  int32_t partition);
/* Harmless when it is not there.  The topic goes with its last partition. */
void topic_partitions_remove(struct topic_partitions *set, const struct kafka_string *topic,
			     int32_t partition);
/* Empty again, without memory.  A zeroed set is empty. */
void topic_partitions_clear(struct topic_partitions *set);
