/* control/groups/share.h: groups whose members share partitions record by record (KIP-932).
 *
 * Who reads what is decided here, as for consumer groups but without handing over: a partition may
 * have several readers.  Who has which record is the business of the partition's owner
 * (dataplane/share/); what it must not forget is kept with the group (share_kept.c).
 *
 * Owner: the coordinator's thread. */
#pragma once
#include "control/groups/group.h"

extern const struct group_kind share_kind;

/* Makes a group without members and without anything to keep a share group; what was stored of its
 * former kind is erased.  -ENOMEM: it is what it was, or of no kind. */
int share_adopt(struct group *group);
