/* dataplane/transport/acks.h: which numbers of the peer's packets have come, and what is owed for
 * them.
 *
 * The state is exactly what an acknowledgement carries: the largest number and a bit for each of
 * the 64 before it.  What is older is forgotten: such a packet is dropped, and its sender sends its
 * contents again under a new number.  Numbers travel as 32 bits and are kept as 64, so that they
 * may wrap.  Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct acks {
	uint64_t largest;
	uint64_t bitmap; /* bit i: largest - 1 - i has come */
	uint64_t largest_ns;
	uint32_t owed; /* packets since an acknowledgement last went out */
};

enum {
	ACKS_OWED_MAX = 16,
	ACKS_AHEAD_MAX = 1 << 16, /* no sender loses that many in a row and lives */
};

enum acks_kind {
	ACKS_NEXT,  /* in order */
	ACKS_GAP,   /* new, and something before it is missing */
	ACKS_AGAIN, /* has come before */
	ACKS_OLD,   /* before all that is remembered */
	ACKS_FAR,   /* further ahead than any sender can be */
};

static inline enum acks_kind acks_kind(const struct acks *acks, uint32_t number)
{
	int32_t ahead = (int32_t)(number - (uint32_t)acks->largest);

	if (ahead == 1)
		return ACKS_NEXT;
	if (ahead > 0)
		return ahead <= ACKS_AHEAD_MAX ? ACKS_GAP : ACKS_FAR;
	if (ahead == 0)
		return ACKS_AGAIN;
	uint64_t behind = -(int64_t)ahead;
	if (behind > 64 || behind >= acks->largest)
		return ACKS_OLD;
	return acks->bitmap >> (behind - 1) & 1 ? ACKS_AGAIN : ACKS_GAP;
}

/* Of a number whose kind is ACKS_NEXT or ACKS_GAP. */
static inline void acks_note(struct acks *acks, uint32_t number, uint64_t now_ns)
{
	int32_t ahead = (int32_t)(number - (uint32_t)acks->largest);

	acks->owed++;
	if (ahead < 0) {
		acks->bitmap |= UINT64_C(1) << (-ahead - 1);
		return;
	}
	/* The old largest becomes a bit too.  Number 0 does not exist, as a start or after a wrap.
	 */
	if (ahead < 64)
		acks->bitmap = acks->bitmap << ahead | UINT64_C(1) << (ahead - 1);
	else
		acks->bitmap = ahead == 64 ? UINT64_C(1) << 63 : 0;
	if (!acks->largest)
		acks->bitmap = 0;
	acks->largest += (uint64_t)ahead;
	acks->largest_ns = now_ns;
}
