/* bench/suite/topics.h: topics of a broker that has no partitions: what stands for each, by name.
 *
 * A topic of N partitions is N streams or queues, "topic:0", "topic:1", ...; how many there are is
 * asked of the broker once and kept here. */
#pragma once
#include "bench/suite/driver.h"

struct topic {
	char *name; /* owned; so too below */
	char **partitions;
	unsigned partition_count;
	unsigned turn; /* of records that say nothing */
};

struct topics {
	struct topic *topics;
	size_t count;
	size_t last; /* most ask for the same one again */
};

/* Null: it is to be added. */
struct topic *topics_find(struct topics *topics, const char *name);
/* -ENOMEM, -EINVAL: no partitions; -ENAMETOOLONG; complained.  Moves those that were found. */
int topics_add(struct topics *topics, const struct driver *driver, const char *name, char separator,
	       unsigned partition_count, struct topic **ret);
/* Where the record goes.  -ENOENT: the topic has no such partition. */
int topic_route(struct topic *topic, const struct driver_record *record, unsigned *ret_partition);
void topics_fini(struct topics *topics);
