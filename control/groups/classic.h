/* control/groups/classic.h: groups whose members assign partitions themselves: JoinGroup,
 * SyncGroup, Heartbeat, LeaveGroup (KIP-62, 134, 345, 394, 429, 559, 800, 814).
 *
 * The handlers are declared in groups_internal.h; this is what the rest of the folder asks of the
 * kind.  Owner: the coordinator's thread. */
#pragma once
#include "control/groups/group.h"

extern const struct group_kind classic_kind;

/* Makes a group without members a classic one; what was stored of its former kind is erased.
 * -ENOMEM: it is of no kind. */
int classic_adopt(struct group *group);
