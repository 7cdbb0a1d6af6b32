#include "control/telemetry_slot.h"

#include <stdatomic.h>
#include <stddef.h>

/* Pairs with the exchange in put_back: what was written into a picture is seen by who takes it. */
static void *exchange(struct telemetry_slot *slot, void *in_its_place)
{
	return atomic_exchange_explicit(&slot->picture, in_its_place, memory_order_acq_rel);
}

void telemetry_slot_publish(struct telemetry_slot *slot, void *picture)
{
	slot->free(exchange(slot, picture));
}

void *telemetry_slot_take(struct telemetry_slot *slot)
{
	rte_spinlock_lock(&slot->among_commands);
	return exchange(slot, NULL);
}

void telemetry_slot_put_back(struct telemetry_slot *slot, void *picture)
{
	void *expected = NULL;

	if (picture &&
	    !atomic_compare_exchange_strong_explicit(&slot->picture, &expected, picture,
						     memory_order_acq_rel, memory_order_relaxed))
		slot->free(picture);
	rte_spinlock_unlock(&slot->among_commands);
}
