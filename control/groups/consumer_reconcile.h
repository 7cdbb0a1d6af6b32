/* control/groups/consumer_reconcile.h: one member's way from what it has to what it is to have.
 *
 *            something has to go                  it reports to own none of it
 *   stable ---------------------> unrevoked ---------------------------+
 *     ^  \                          ^                                   |
 *     |   \ nothing has to go       | something has to go               v
 *     |    +--> all it lacks is free? --- yes --> stable       (the next such decision,
 *     |                          \------- no ---> unreleased    one epoch on)
 *     +--- what it lacks has become free --- unreleased
 *
 * While unrevoked it keeps its epoch; in the other two it has the target's.  Partitions to be
 * revoked stay its own until it has confirmed (KIP-848, "Member assignment state"). */
#pragma once
#include <stdint.h>

#include "control/groups/consumer_partitions.h"

struct arena;
struct consumer_member;
struct owners;

enum member_state { /* as the records have it */
		    MEMBER_STABLE = 0,
		    MEMBER_UNREVOKED_PARTITIONS = 1,
		    MEMBER_UNRELEASED_PARTITIONS = 2,
};

/* What a member has: stored as CurrentMemberAssignment. */
struct member_assignment {
	int32_t epoch;
	int32_t previous_epoch;
	enum member_state state;
	struct partition_set assigned;
	struct partition_set revoking; /* its own still; it has been told to let go */
};

struct reconciliation {
	const struct consumer_member *member; /* whose partitions are free to it */
	const struct member_assignment *current;
	const struct partition_set *target;
	int32_t target_epoch;
	const struct partition_set *owned; /* as it reports; null: it does not say */
	const struct owners *owners;
};

/* *ret's sets are in the arena, or those of `current`.  Nothing to do: *ret is `current`.
 * -ENOMEM. */
int consumer_reconcile(const struct reconciliation *reconciliation, struct arena *arena,
		       struct member_assignment *ret);
