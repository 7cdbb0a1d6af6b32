/* control/service.h: what the service manager (systemd) is told of the broker: that it is ready,
 * reads its settings again, stops; a line of status; and, where the unit has WatchdogSec=, that it
 * is alive, which is that the control plane, the coordinator and every shard take their turns.
 *
 * Without a service manager (NOTIFY_SOCKET) all of this does nothing.  Owner: the control plane. */
#pragma once
#include <stdint.h>

struct control;
struct service;

/* The shards run.  -ENOMEM. */
int service_new(struct service **ret, struct control *control);
void service_free(struct service *service); /* no shard is left; null is fine */

void service_reloading(struct service *service); /* begins; the next turn tells of its end */
void service_stopping(struct service *service);
/* Every turn; the first when the broker is ready tells that. */
void service_turn(struct service *service);
/* How long the loop may sleep, at most `most_ns`. */
uint64_t service_sleep_ns(const struct service *service, uint64_t most_ns);
