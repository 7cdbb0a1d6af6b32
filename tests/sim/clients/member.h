/* tests/sim/clients/member.h: a member of a group: reads what it owns, then commits that it has.
 *
 * How it joins and hears of what it owns is the group's protocol: member_classic.c and
 * member_consumer.c (KIP-848). */
#pragma once
#include "tests/sim/clients/asks.h"

struct member {
	struct client client; /* first */
	struct membership membership;
	struct topic *topic;
	bool owned[PARTITIONS_MAX];
	int64_t positions[PARTITIONS_MAX];
	int64_t committed[PARTITIONS_MAX]; /* by itself, since it owns it */
	uint64_t heartbeat_due_ns;
};

/* `consumer`: the newer protocol. */
void member_start(struct member *member, struct world *world, const char *name,
		  struct random *random, const char *group, struct topic *topic, bool consumer);

/* ---- for the two protocols ---- */

enum { MEMBER_SESSION_MS = 6000, MEMBER_HEARTBEAT_MS = 1000 };

static inline bool member_goes_on(const struct member *member)
{
	return client_goes_on(&member->client, PHASE_DRAIN);
}
/* Tells of what it owns from now on (none: all false). */
void member_owns(struct member *member, const bool *partitions);
void member_owns_nothing(struct member *member);
/* Where to begin with what it newly owns.  0, or as ask_committed. */
int member_find_positions(struct member *member, const bool *fresh);
/* Reads a little of each partition that it owns.  0, or an error of a commit. */
int member_process(struct member *member);
void member_fenced(struct member *member, int rc);
void *member_classic_run(void *context);
void *member_consumer_run(void *context);
