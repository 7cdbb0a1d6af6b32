/* control/groups/consumer.h: groups whose partitions the broker assigns, by one heartbeat
 * (KIP-848).
 *
 * The handlers are declared in groups_internal.h; this is what the rest of the folder asks of the
 * kind.  Owner: the coordinator's thread. */
#pragma once
#include "control/groups/group.h"

extern const struct group_kind consumer_kind;

/* Makes a group without members a consumer group; what was stored of its former kind is erased.
 * -ENOMEM: it is what it was, or of no kind. */
int consumer_adopt(struct group *group);
