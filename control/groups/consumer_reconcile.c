#include "control/groups/consumer_reconcile.h"

#include "base/arena.h"
#include "control/groups/consumer_owners.h"

/* Leaves of what it lacks what it can be given now. */
static void drop_unreleased(const struct reconciliation *r, struct partition_set *lacking)
{
	size_t kept = 0;

	for (size_t i = 0; i < lacking->count; i++) {
		const struct consumer_member *owner = owners_get(r->owners, &lacking->items[i]);
		if (!owner || owner == r->member)
			lacking->items[kept++] = lacking->items[i];
	}
	lacking->count = kept;
}

static bool owns_any(const struct reconciliation *r, const struct partition_set *set)
{
	return !r->owned || partition_set_overlap(r->owned, set);
}

/* The epoch that the member may still be in, if it has not got the last answer. */
static int32_t previous_of(const struct reconciliation *r, int32_t epoch)
{
	return epoch == r->current->epoch ? r->current->previous_epoch : r->current->epoch;
}

/* On from `epoch`, with nothing left of what was to be revoked before. */
static int decide(const struct reconciliation *r, int32_t epoch, struct arena *arena,
		  struct member_assignment *ret)
{
	struct partition_set kept = {0}, revoking = {0}, lacking = {0};
	int rc = partition_set_common(&r->current->assigned, r->target, arena, &kept);

	if (rc == 0)
		rc = partition_set_minus(&r->current->assigned, r->target, arena, &revoking);
	if (rc == 0)
		rc = partition_set_minus(r->target, &kept, arena, &lacking);
	if (rc < 0)
		return rc;

	if (revoking.count && owns_any(r, &revoking)) {
		*ret = (struct member_assignment){.epoch = epoch,
						  .previous_epoch = previous_of(r, epoch),
						  .state = MEMBER_UNREVOKED_PARTITIONS,
						  .assigned = kept,
						  .revoking = revoking};
		return 0;
	}
	size_t wanted = lacking.count;
	drop_unreleased(r, &lacking);
	struct member_assignment next = {
		.epoch = r->target_epoch,
		.previous_epoch = previous_of(r, r->target_epoch),
		.state = lacking.count < wanted ? MEMBER_UNRELEASED_PARTITIONS : MEMBER_STABLE,
	};
	rc = partition_set_union(&kept, &lacking, arena, &next.assigned);
	if (rc == 0)
		*ret = next;
	return rc;
}

int consumer_reconcile(const struct reconciliation *r, struct arena *arena,
		       struct member_assignment *ret)
{
	const struct member_assignment *current = r->current;

	switch (current->state) {
	case MEMBER_STABLE:
		if (current->epoch == r->target_epoch)
			break;
		return decide(r, current->epoch, arena, ret);
	case MEMBER_UNREVOKED_PARTITIONS:
		if (owns_any(r, &current->revoking))
			break;
		/* The target's epoch is later than this one: one epoch on is not past it. */
		return decide(r, current->epoch + 1, arena, ret);
	case MEMBER_UNRELEASED_PARTITIONS:
		return decide(r, current->epoch, arena, ret);
	}
	*ret = *current;
	return 0;
}
