/* control/http/metrics.h: the body of /metrics.
 *
 * What is exported stands in metrics.def; every sample comes from a picture, so it is a second old
 * at most (of groups and dedup windows five), and asking disturbs no shard.  Any thread.
 *
 * Labels are bounded: of pairs of group and topic the METRICS_GROUPS_MAX with the most lag are
 * told, of topics with a dedup window the METRICS_TOPICS_MAX with the most entries. */
#pragma once
#include <stddef.h>

#include "control/http/exposition.h"

struct broker_picture;
struct dedup_picture;
struct lag_picture;

enum { METRICS_GROUPS_MAX = 100, METRICS_TOPICS_MAX = 100 };
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Any may be null: there is none (yet). */
struct metrics_sources {
	const char *version;
	const struct broker_picture *broker;
	const struct lag_picture *lag;
	const struct dedup_picture *dedup;
};

/* On success *ret is the caller's, of the heap.  -ENOMEM. */
int metrics_write(const struct metrics_sources *sources, char **ret, size_t *ret_bytes);

/* All that is ever exported, in order; for the documentation and tests. */
const struct metric_family *metrics_families(size_t *ret_count);
