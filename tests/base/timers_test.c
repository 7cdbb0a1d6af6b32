#include "base/timers.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

struct counted {
	struct timer timer;
	struct timers *timers;
	struct counted *other; /* disarmed when this one expires */
	unsigned expired;
	uint64_t again_ns; /* not 0: armed anew for then */
};

static uint64_t last_due_ns;

static void expired(struct timer *timer)
{
	struct counted *counted = container_of(timer, struct counted, timer);

	counted->expired++;
	assert_true(timer->due_ns >= last_due_ns);
	last_due_ns = timer->due_ns;
	if (counted->other)
		timers_disarm(counted->timers, &counted->other->timer);
	if (counted->again_ns)
		timers_arm(counted->timers, timer, counted->again_ns);
}

static void timers_expire_in_order_and_not_early(void **state)
{
	enum { COUNT = 1000 };
	struct timers timers = {0};
	struct counted *counted = calloc(COUNT, sizeof(*counted));
	uint64_t seed = 1;
	unsigned ran = 0;

	(void)state;
	assert_non_null(counted);
	assert_true(timers_next_ns(&timers) == UINT64_MAX);
	/* Armed, moved, and some taken back. */
	for (int i = 0; i < 5 * COUNT; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		struct counted *one = &counted[seed >> 33 & 1023 ? (seed >> 33) % COUNT : 0];
		one->timer.expired = expired;
		if ((seed >> 60) < 4)
			timers_disarm(&timers, &one->timer);
		else
			assert_int_equal(timers_arm(&timers, &one->timer, seed >> 40), 0);
	}
	size_t armed = timers.count;
	last_due_ns = 0;
	for (uint64_t now_ns = 0; timers.count; now_ns += 1 << 16) {
		ran += timers_run(&timers, now_ns);
		assert_true(last_due_ns <= now_ns);
		assert_true(timers_next_ns(&timers) > now_ns);
	}
	assert_int_equal(ran, armed);
	for (int i = 0; i < COUNT; i++) {
		assert_true(counted[i].expired <= 1);
		assert_int_equal(counted[i].timer.place, 0);
	}
	timers_fini(&timers);
	free(counted);
}

static void an_expired_timer_may_disarm_another(void **state)
{
	struct timers timers = {0};
	struct counted b = {.timer.expired = expired, .timers = &timers};
	struct counted a = {.timer.expired = expired, .timers = &timers, .other = &b};

	(void)state;
	last_due_ns = 0;
	timers_arm(&timers, &a.timer, 5);
	timers_arm(&timers, &b.timer, 6);
	assert_int_equal(timers_run(&timers, 10), 1);
	assert_int_equal(b.expired, 0);
	timers_disarm(&timers, &b.timer);
	timers_fini(&timers);
}

static void a_timer_that_arms_itself_does_not_hold_the_loop(void **state)
{
	struct timers timers = {0};
	struct counted a = {.timer.expired = expired, .timers = &timers, .again_ns = 10};

	(void)state;
	last_due_ns = 0;
	timers_arm(&timers, &a.timer, 5);
	assert_int_equal(timers_run(&timers, 10), 1);
	assert_int_equal(timers_run(&timers, 10), 1);
	a.again_ns = 0;
	assert_int_equal(timers_run(&timers, 10), 1);
	assert_int_equal(timers_run(&timers, 10), 0);
	timers_fini(&timers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_expire_in_order_and_not_early),
		cmocka_unit_test(an_expired_timer_may_disarm_another),
		cmocka_unit_test(a_timer_that_arms_itself_does_not_hold_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
