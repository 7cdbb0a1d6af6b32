/* control/groups/consumer_owners.h: who has a partition, of the members of one consumer group.
 *
 * A partition has one owner from when it is in a member's assignment until that member has let go
 * of it, is fenced or has left; only then may another be given it. */
#pragma once
#include "control/groups/consumer_partitions.h"

struct consumer_member;

enum { OWNERS_INDEX_MAX = 1000000 }; /* of a partition: what config.def lets all topics have */

struct owned_topic {
	struct uuid id;
	const struct consumer_member **owners; /* null: nobody */
	size_t owners_count;
};

struct owners {
	struct owned_topic *topics; /* ascending by id */
	size_t topic_count;
	size_t topic_capacity;
};

void owners_fini(struct owners *owners); /* a zeroed one is fine */
/* Null: nobody. */
const struct consumer_member *owners_get(const struct owners *owners,
					 const struct topic_partition *partition);
/* Makes room for the partitions, so that taking them cannot fail.  -ENOMEM; -ERR_CORRUPT: an index
 * outside of 0..OWNERS_INDEX_MAX. */
int owners_reserve(struct owners *owners, const struct partition_set *set);
/* Those of the set that are free are the member's from now on; others stay whose they are.
 * Reserved before. */
void owners_take(struct owners *owners, const struct partition_set *set,
		 const struct consumer_member *member);
/* Those of the set that are the member's are free from now on. */
void owners_release(struct owners *owners, const struct partition_set *set,
		    const struct consumer_member *member);
