/* control/groups/share_assignor.h: which member of a share group reads which partition; pure.
 *
 * Every partition that somebody subscribes to has a reader, every member has about as many as
 * others, and where there are more members than partitions each still has one.  What a member had
 * it keeps where that allows. */
#pragma once
#include <stddef.h>

#include "control/groups/consumer_partitions.h"

struct share_subscriber {
	struct uuid *topics; /* ascending (memcmp), no doubles */
	size_t topic_count;
	struct partition_set previous;
	struct partition_set target; /* out; of the arena */
};

/* `all`: every partition of the topics that anybody subscribes to.  -ENOMEM. */
int share_assign(const struct partition_set *all, struct share_subscriber *members, size_t count,
		 struct arena *arena);
