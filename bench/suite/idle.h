/* bench/suite/idle.h: connections that do nothing, beside the load.  One thread. */
#pragma once
#include "bench/suite/driver.h"

struct idle;

/* Sockets on which the broker has answered the driver's hello, so that each is a client's to it and
 * costs next to nothing here; of a driver that has no hello, producers.  `count` 0: *ret is null.
 * -EMFILE: more than the system allows; -ETIMEDOUT: no answer; -errno; driver_complain has said
 * why. */
int idle_open(const struct driver *driver, const struct driver_target *target, unsigned count,
	      struct idle **ret);
/* How many the broker has closed by now; of producers nobody knows. */
unsigned idle_lost(struct idle *idle);
/* Null is fine, here and above. */
void idle_close(struct idle *idle);
