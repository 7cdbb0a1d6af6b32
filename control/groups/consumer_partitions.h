/* control/groups/consumer_partitions.h: sets of partitions, as members are given them.
 *
 * Flat and sorted, so that what the protocol asks for all the time (what is kept, what has to go,
 * what is new, is this the same) is one walk over two arrays.  A set is never changed: the
 * operations make a new one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

struct arena;

struct topic_partition {
	struct uuid topic;
	int32_t index;
};

struct partition_set {
	struct topic_partition *items; /* ascending by topic (memcmp), then index; no doubles */
	size_t count;
};

/* What messages and records have for each topic; the generated structs are laid out alike, which
 * the source asserts. */
struct wire_topic {
	struct uuid topic_id;
	int32_t *partitions;
	int32_t partitions_count;
};

/* Sorts the items in place and drops doubles. */
void partition_set_sort(struct partition_set *set);
bool partition_set_has(const struct partition_set *set, const struct topic_partition *partition);
bool partition_set_equal(const struct partition_set *a, const struct partition_set *b);
/* Everything of `part` is in `whole`. */
bool partition_set_within(const struct partition_set *part, const struct partition_set *whole);
bool partition_set_overlap(const struct partition_set *a, const struct partition_set *b);

/* New sets in the arena.  -ENOMEM. */
int partition_set_common(const struct partition_set *a, const struct partition_set *b,
			 struct arena *arena, struct partition_set *ret);
int partition_set_minus(const struct partition_set *a, const struct partition_set *b,
			struct arena *arena, struct partition_set *ret);
int partition_set_union(const struct partition_set *a, const struct partition_set *b,
			struct arena *arena, struct partition_set *ret);
/* `topics` are `struct wire_topic`, or a generated struct of that layout. */
int partition_set_of_wire(const void *topics, int32_t count, struct arena *arena,
			  struct partition_set *ret);
int partition_set_to_wire(const struct partition_set *set, struct arena *arena,
			  struct wire_topic **ret_topics, int32_t *ret_count);

/* Sets that outlive a request are on the heap. */
int partition_set_copy(const struct partition_set *from, struct partition_set *ret); /* -ENOMEM */
void partition_set_fini(struct partition_set *set); /* a zeroed one is fine; it is empty then */
