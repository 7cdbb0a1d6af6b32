/* bench/suite/usage.h: what processes have used, as /proc tells it. */
#pragma once
#include "bench/suite/result.h"

#include <sys/types.h>

/* Of the processes and all their descendants as they are now.  -ESRCH: none of them is there. */
int usage_of(const pid_t *pids, size_t count, struct usage_total *ret);
/* What was used between; the memory is the larger one. */
struct usage_total usage_between(const struct usage_total *from, const struct usage_total *to);
