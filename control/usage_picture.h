/* control/usage_picture.h: what every partition holds, for /metrics/detailed.
 *
 * Asked of the shards every ten seconds, a few rows at a time, by the control plane's thread; what
 * is taken is the taker's, on any thread, until it is put back. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "dataplane/shard_usage.h"
#include "dataplane/topics.h"

struct usage_topic {
	char name[TOPIC_NAME_MAX + 1];
	size_t first; /* its rows */
	size_t count;
};

struct usage_picture { /* on the heap, one block */
	size_t topic_count;
	struct usage_topic *topics; /* by name */
	size_t row_count;
	struct shard_usage_row rows[]; /* of a topic by index */
};

/* Null: there is none yet; put_back is due all the same. */
const struct usage_picture *usage_picture_take(void);
void usage_picture_put_back(const struct usage_picture *picture);
