/* control/groups/migration.h: groups with members go from one protocol to the other (KIP-848,
 * "Upgrade" and "Downgrade").
 *
 *     classic group --- a member joins by ConsumerGroupHeartbeat ---> consumer group, in which
 *           ^                                                         both kinds are members
 *           +--- the last member that speaks the new protocol is gone ------+
 *
 * group.consumer.migration.policy says which of the two may happen.  Groups without members change
 * their kind whatever it says: consumer_adopt, classic_adopt.  Owner: the coordinator's thread. */
#pragma once
#include <stdbool.h>

struct consumer_member;
struct group;

/* A classic group with members becomes a consumer group with the same members and partitions; their
 * parked requests are answered REBALANCE_IN_PROGRESS.  An enum kafka_error: it may not or cannot,
 * *ret_why says why, nothing happened; -ENOMEM: nothing happened, or members are missing, who will
 * join anew. */
int migration_upgrade(struct group *group, const char **ret_why);
/* Where all members of a consumer group speak the classic protocol, and it is allowed: it becomes a
 * classic group whose members are gathered.  Out of memory: it is what it was, and the next request
 * tries again. */
void migration_settle(struct group *group);
/* Whether the group would become a classic one if this member were gone. */
bool migration_due_without(const struct consumer_member *leaving);
