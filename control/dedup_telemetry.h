/* control/dedup_telemetry.h: what the topics' dedup windows hold, on DPDK's telemetry socket. */
#pragma once
#include <stddef.h>

#include "dataplane/shard_dedup.h"
#include "dataplane/topics.h"

struct dedup_row {
	char topic[TOPIC_NAME_MAX + 1];
	struct shard_dedup_topic sums; /* of all its partitions */
};

struct dedup_picture { /* on the heap */
	size_t count;
	struct dedup_row rows[]; /* topics with a window, by name */
};

/* Once, after EAL is up. */
void dedup_telemetry_start(void);
/* What is told from now on, which becomes ours; null: nothing.  The control plane's thread; never
 * waits. */
void dedup_telemetry_publish(struct dedup_picture *picture);
/* By whoever else wants to look, on any thread: null when there is none; then put_back all the
 * same. */
const struct dedup_picture *dedup_telemetry_take(void);
void dedup_telemetry_put_back(const struct dedup_picture *picture);
