/* tests/control/metrics_pictures.h: pictures in which everything is there, for the metrics' tests.
 *
 * All that counters could confuse is different: the n-th counter of a shard is 1000 * shard + n. */
#pragma once
#include "control/http/metrics.h"

/* With `groups` groups, one behind by its number, and as many topics with a dedup window.  The
 * process ends where there is no memory. */
struct metrics_sources pictures_new(size_t groups);
void pictures_free(struct metrics_sources *sources);
