/* control/http/metrics.h: the bodies of /metrics and /metrics/detailed.
 *
 * What is exported stands in metrics.def; every sample comes from a picture, which is a second old
 * at most (of groups and dedup windows five, of partitions ten), so asking disturbs no shard.  Any
 * thread.
 *
 * Labels are bounded: of pairs of group and topic the METRICS_GROUPS_MAX with the most lag are
 * told, of topics with a dedup window the METRICS_TOPICS_MAX with the most entries; in detail whole
 * topics up to METRICS_PARTITIONS_MAX partitions, and as many of groups. */
#pragma once
#include <stddef.h>

#include "control/http/exposition.h"

struct broker_picture;
struct dedup_picture;
struct lag_picture;
struct usage_picture;

enum { METRICS_GROUPS_MAX = 100, METRICS_TOPICS_MAX = 100, METRICS_PARTITIONS_MAX = 10000 };
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Any may be null: there is none (yet). */
struct metrics_sources {
	const char *version;
	const struct broker_picture *broker;
	const struct lag_picture *lag;
	const struct dedup_picture *dedup;
	const struct usage_picture *usage;
};

/* On success *ret is the caller's, of the heap.  -ENOMEM. */
int metrics_write(const struct metrics_sources *sources, char **ret, size_t *ret_bytes);

/* Regular expressions that whole names match, as consumers subscribe with; null: everything. */
struct metrics_filter {
	const char *topic;
	const char *group;
};

/* By partition.  Likewise; -EINVAL: `why` says what is wrong with an expression. */
int metrics_write_detailed(const struct metrics_sources *sources,
			   const struct metrics_filter *filter, char **ret, size_t *ret_bytes,
			   char *why, size_t why_bytes);

/* All that is ever exported, in order; for the documentation and tests. */
const struct metric_family *metrics_families(size_t *ret_count);
