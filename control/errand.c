/* A stack that any thread pushes to and the control plane takes whole; what it takes it turns
 * around, so that the oldest runs first.  The end is a mark on the stack that stays. */
#include "control/errand.h"

#include <stddef.h>

static struct errand the_end;

void errands_send(struct errands *errands, struct errand *errand)
{
	struct errand *newest = atomic_load_explicit(&errands->newest, memory_order_acquire);

	do {
		if (newest == &the_end) {
			errand->run(errand, NULL);
			return;
		}
		errand->next = newest;
		/* Release pairs with the acquire in take: what the errand holds is seen by who runs
		 * it. */
	} while (!atomic_compare_exchange_weak_explicit(
		&errands->newest, &newest, errand, memory_order_release, memory_order_acquire));
}

static void take(struct errands *errands, struct errand *in_its_place, struct control *control)
{
	struct errand *newest = atomic_exchange_explicit(&errands->newest, in_its_place,
							 memory_order_acq_rel);
	struct errand *oldest = NULL;

	while (newest && newest != &the_end) {
		struct errand *next = newest->next;
		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest) {
		struct errand *next = oldest->next; /* `run` gives the errand back */
		oldest->run(oldest, control);
		oldest = next;
	}
}

void errands_turn(struct errands *errands, struct control *control)
{
	if (atomic_load_explicit(&errands->newest, memory_order_relaxed))
		take(errands, NULL, control);
}

void errands_end(struct errands *errands)
{
	take(errands, &the_end, NULL);
}
