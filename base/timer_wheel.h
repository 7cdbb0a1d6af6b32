/* base/timer_wheel.h: very many timers that are mostly moved or disarmed before they expire, such
 * as sessions: arming and disarming cost the same whatever their number.
 *
 * A hashed hierarchical wheel (Varghese and Lauck, 1987) of embedded timers on the monotonic clock.
 * A timer expires at or after its time, within one tick.  Owner thread only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct wheel_timer {
	struct list link; /* zeroed: not armed */
	uint64_t due_tick;
	void (*expired)(struct wheel_timer *timer);
};

enum { WHEEL_LEVELS = 4, WHEEL_SLOTS = 64 };

struct timer_wheel {
	uint64_t tick_ns;
	uint64_t now_tick; /* everything due before it has expired */
	size_t count;
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns, uint64_t tick_ns);
/* Arms or moves `timer` (its `expired` set).  Cannot fail; beyond the wheel's span it is looked at
 * again on the way. */
void timer_wheel_arm(struct timer_wheel *wheel, struct wheel_timer *timer, uint64_t due_ns);
void timer_wheel_disarm(struct timer_wheel *wheel, struct wheel_timer *timer); /* or not armed */
/* Runs what is due; `expired` may arm and disarm any timer.  Returns how many ran. */
unsigned timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ns);
/* No timer expires before; UINT64_MAX when none is armed. */
uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel);
