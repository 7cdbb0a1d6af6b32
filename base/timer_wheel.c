/* Level 0 has a slot a tick, level 1 a slot every 64 ticks, and so on.  A timer lies at the lowest
 * level where its tick and the wheel's differ in the slot's number alone:
 *
 *     bits of a tick    ... | 23-18 | 17-12 | 11-6 | 5-0 |
 *     level                     3       2       1     0
 *
 * So everything at a level comes before everything at the next one, and behind the slot that the
 * wheel is in; when the wheel enters a slot of a higher level, its timers go further down.  The
 * highest level wraps: a timer beyond its span lies in the slot that its bits say and goes round
 * until its time is near.
 *
 * Invariant: but for the highest level, the slot of a higher level that the wheel is in is empty.
 */
#include "base/timer_wheel.h"

#include "base/bytes.h"
#include "base/check.h"

#include <assert.h>

enum { SLOT_BITS = 6, TOP = WHEEL_LEVELS - 1 };

static_assert(WHEEL_SLOTS == 1 << SLOT_BITS, "a slot's number has SLOT_BITS bits");

static unsigned shift_of(unsigned level)
{
	return level * SLOT_BITS;
}

static unsigned slot_of(uint64_t tick, unsigned level)
{
	return (unsigned)(tick >> shift_of(level)) % WHEEL_SLOTS;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns, uint64_t tick_ns)
{
	check(tick_ns > 0);
	wheel->tick_ns = tick_ns;
	wheel->now_tick = now_ns / tick_ns;
	wheel->count = 0;
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&wheel->slots[level][slot]);
	}
}

static void place(struct timer_wheel *wheel, struct wheel_timer *timer)
{
	uint64_t differing = (wheel->now_tick ^ timer->due_tick) | (WHEEL_SLOTS - 1);
	unsigned level = (63 - (unsigned)__builtin_clzll(differing)) / SLOT_BITS;

	if (level > TOP)
		level = TOP;
	list_push_back(&wheel->slots[level][slot_of(timer->due_tick, level)], &timer->link);
}

void timer_wheel_arm(struct timer_wheel *wheel, struct wheel_timer *timer, uint64_t due_ns)
{
	uint64_t due_tick = due_ns / wheel->tick_ns + (due_ns % wheel->tick_ns != 0);

	timer_wheel_disarm(wheel, timer);
	timer->due_tick = due_tick < wheel->now_tick ? wheel->now_tick : due_tick;
	place(wheel, timer);
	wheel->count++;
}

void timer_wheel_disarm(struct timer_wheel *wheel, struct wheel_timer *timer)
{
	if (!list_linked(&timer->link))
		return;
	list_remove(&timer->link);
	wheel->count--;
}

/* The next tick, the wheel's own included, at which a slot expires (*ret_level 0) or is to be dealt
 * out to lower levels.  UINT64_MAX: nothing is armed. */
static uint64_t next_tick(const struct timer_wheel *wheel, unsigned *ret_level)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		unsigned own = slot_of(wheel->now_tick, level);
		unsigned from = level ? own + 1 : own;
		unsigned to = level == TOP ? own + 1 + WHEEL_SLOTS : WHEEL_SLOTS;
		uint64_t first = (wheel->now_tick >> shift_of(level)) - own;
		for (unsigned slot = from; slot < to; slot++) {
			if (list_empty(&wheel->slots[level][slot % WHEEL_SLOTS]))
				continue;
			*ret_level = level;
			return (first + slot) << shift_of(level);
		}
	}
	return UINT64_MAX;
}

/* Nothing lies between the wheel's tick and `tick`.  The slots that begin there are dealt out. */
static void advance(struct timer_wheel *wheel, uint64_t tick)
{
	wheel->now_tick = tick;
	for (unsigned level = TOP; level > 0; level--) {
		struct list dealt;
		struct list *node;
		if (tick & ((UINT64_C(1) << shift_of(level)) - 1))
			continue;
		list_init(&dealt);
		list_move_all(&dealt, &wheel->slots[level][slot_of(tick, level)]);
		while ((node = list_pop_front(&dealt)))
			place(wheel, container_of(node, struct wheel_timer, link));
	}
}

/* Everything in the slot of the wheel's tick, which is passed first: what `expired` arms for now or
 * earlier waits for the next tick. */
static unsigned expire(struct timer_wheel *wheel)
{
	struct list due;
	struct list *node;
	unsigned ran = 0;

	list_init(&due);
	list_move_all(&due, &wheel->slots[0][slot_of(wheel->now_tick, 0)]);
	advance(wheel, wheel->now_tick + 1);
	while ((node = list_pop_front(&due))) {
		struct wheel_timer *timer = container_of(node, struct wheel_timer, link);
		wheel->count--;
		timer->expired(timer);
		ran++;
	}
	return ran;
}

unsigned timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ns)
{
	uint64_t last = now_ns / wheel->tick_ns;
	unsigned ran = 0;

	while (wheel->now_tick <= last) {
		unsigned level = 0;
		uint64_t next = next_tick(wheel, &level);
		if (next > last) {
			advance(wheel, last + 1);
			break;
		}
		advance(wheel, next);
		if (level == 0)
			ran += expire(wheel);
	}
	return ran;
}

uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel)
{
	unsigned level;
	uint64_t tick = next_tick(wheel, &level);

	return tick > UINT64_MAX / wheel->tick_ns ? UINT64_MAX : tick * wheel->tick_ns;
}
