/* The wheel against a model that is a list of times, and what the model cannot say. */
#include "base/timer_wheel.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

enum { TICK_NS = 1000, TIMERS = 100, STEPS = 4000 };

struct counted {
	struct wheel_timer timer;
	struct timer_wheel *wheel;
	struct counted *other; /* disarmed when this one expires */
	unsigned expired;
	uint64_t due_ns;   /* the model: when; UINT64_MAX: not armed */
	uint64_t again_ns; /* not 0: armed anew for then */
};

static uint64_t now_ns;
static uint64_t state_of_random;

static uint64_t next_random(void)
{
	state_of_random = state_of_random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return state_of_random >> 20;
}

static void expired(struct wheel_timer *timer)
{
	struct counted *counted = container_of(timer, struct counted, timer);

	counted->expired++;
	assert_true(counted->due_ns <= now_ns);
	counted->due_ns = UINT64_MAX;
	if (counted->other)
		timer_wheel_disarm(counted->wheel, &counted->other->timer);
	if (counted->again_ns) {
		counted->due_ns = counted->again_ns;
		timer_wheel_arm(counted->wheel, timer, counted->again_ns);
	}
}

static void init(struct timer_wheel *wheel, struct counted *counted, size_t count)
{
	timer_wheel_init(wheel, now_ns, TICK_NS);
	for (size_t i = 0; i < count; i++)
		counted[i] = (struct counted){
			.timer.expired = expired, .wheel = wheel, .due_ns = UINT64_MAX};
}

/* From the next tick to beyond the span of all levels. */
static uint64_t random_distance(void)
{
	return next_random() % ((uint64_t)TICK_NS << (next_random() % 28));
}

static void check_model(const struct timer_wheel *wheel, const struct counted *counted)
{
	uint64_t next_ns = UINT64_MAX;
	size_t armed = 0;

	for (size_t i = 0; i < TIMERS; i++) {
		if (counted[i].due_ns != UINT64_MAX)
			assert_true(counted[i].due_ns + TICK_NS > now_ns);
		armed += counted[i].due_ns != UINT64_MAX;
		next_ns = counted[i].due_ns < next_ns ? counted[i].due_ns : next_ns;
	}
	assert_int_equal(wheel->count, armed);
	if (armed == 0)
		assert_true(timer_wheel_next_ns(wheel) == UINT64_MAX);
	else if (next_ns > now_ns)
		assert_true(timer_wheel_next_ns(wheel) < next_ns + TICK_NS);
}

static void run_at(struct timer_wheel *wheel, uint64_t at_ns)
{
	now_ns = at_ns;
	timer_wheel_run(wheel, now_ns);
}

static void random_steps(uint64_t seed)
{
	struct counted *counted = calloc(TIMERS, sizeof(*counted));
	struct timer_wheel wheel;

	assert_non_null(counted);
	state_of_random = seed;
	now_ns = next_random();
	init(&wheel, counted, TIMERS);
	for (int i = 0; i < STEPS; i++) {
		struct counted *one = &counted[next_random() % TIMERS];
		switch (next_random() % 8) {
		case 0:
			timer_wheel_disarm(&wheel, &one->timer);
			one->due_ns = UINT64_MAX;
			break;
		case 1:
			run_at(&wheel, now_ns + random_distance());
			check_model(&wheel, counted);
			break;
		case 2: /* as the owner sleeps: to when something may be due */
			if (wheel.count)
				run_at(&wheel, timer_wheel_next_ns(&wheel));
			break;
		default:
			one->due_ns = now_ns + 1 + random_distance();
			timer_wheel_arm(&wheel, &one->timer, one->due_ns);
		}
	}
	for (int i = 0; wheel.count; i++) {
		assert_true(i < 100000);
		run_at(&wheel, timer_wheel_next_ns(&wheel));
	}
	for (size_t i = 0; i < TIMERS; i++)
		assert_true(counted[i].due_ns == UINT64_MAX);
	free(counted);
}

static void timers_expire_once_not_early_and_at_most_a_tick_late(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		random_steps(seed);
	}
}

static void nothing_is_due_where_nothing_is_armed(void **state)
{
	struct timer_wheel wheel;
	struct counted one;

	(void)state;
	now_ns = 0;
	init(&wheel, &one, 1);
	assert_true(timer_wheel_next_ns(&wheel) == UINT64_MAX);
	timer_wheel_disarm(&wheel, &one.timer);
	assert_int_equal(timer_wheel_run(&wheel, UINT64_C(1) << 60), 0);
	assert_int_equal(wheel.count, 0);
}

static void an_expired_timer_may_disarm_another_of_its_tick(void **state)
{
	struct timer_wheel wheel;
	struct counted two[2];

	(void)state;
	now_ns = 0;
	init(&wheel, two, 2);
	two[0].other = &two[1];
	two[0].due_ns = two[1].due_ns = 5 * TICK_NS;
	timer_wheel_arm(&wheel, &two[0].timer, two[0].due_ns);
	timer_wheel_arm(&wheel, &two[1].timer, two[1].due_ns);
	now_ns = 10 * TICK_NS;
	assert_int_equal(timer_wheel_run(&wheel, now_ns), 1);
	assert_int_equal(two[1].expired, 0);
	assert_int_equal(wheel.count, 0);
}

static void a_timer_that_arms_itself_for_the_past_waits_for_the_next_tick(void **state)
{
	struct timer_wheel wheel;
	struct counted one;

	(void)state;
	now_ns = 0;
	init(&wheel, &one, 1);
	one.due_ns = one.again_ns = 5 * TICK_NS;
	timer_wheel_arm(&wheel, &one.timer, one.due_ns);
	now_ns = 5 * TICK_NS;
	assert_int_equal(timer_wheel_run(&wheel, now_ns), 1);
	assert_int_equal(timer_wheel_run(&wheel, now_ns), 0);
	now_ns += TICK_NS;
	assert_int_equal(timer_wheel_run(&wheel, now_ns), 1);
	assert_int_equal(one.expired, 2);
}

static void a_timer_moved_again_and_again_expires_at_its_last_time(void **state)
{
	struct timer_wheel wheel;
	struct counted one;

	(void)state;
	now_ns = 7;
	init(&wheel, &one, 1);
	for (int i = 0; i < 1000; i++) {
		one.due_ns = now_ns + 10 * TICK_NS;
		timer_wheel_arm(&wheel, &one.timer, one.due_ns);
		now_ns += 9 * TICK_NS;
		assert_int_equal(timer_wheel_run(&wheel, now_ns), 0);
	}
	now_ns += 2 * TICK_NS;
	assert_int_equal(timer_wheel_run(&wheel, now_ns), 1);
}

static void a_time_beyond_the_span_is_waited_for(void **state)
{
	struct timer_wheel wheel;
	struct counted one;

	(void)state;
	now_ns = 123456789;
	init(&wheel, &one, 1);
	one.due_ns = now_ns + (UINT64_C(1) << 27) * TICK_NS + 1;
	timer_wheel_arm(&wheel, &one.timer, one.due_ns);
	uint64_t due_ns = one.due_ns;
	while (now_ns < due_ns) {
		assert_int_equal(one.expired, 0);
		uint64_t next_ns = timer_wheel_next_ns(&wheel);
		assert_true(next_ns > now_ns);
		now_ns = next_ns;
		timer_wheel_run(&wheel, now_ns);
	}
	assert_int_equal(one.expired, 1);
	assert_true(now_ns < due_ns + TICK_NS);
}

static void the_end_of_time_is_never_reached(void **state)
{
	struct timer_wheel wheel;
	struct counted one;

	(void)state;
	now_ns = 0;
	init(&wheel, &one, 1);
	timer_wheel_arm(&wheel, &one.timer, UINT64_MAX);
	assert_int_equal(timer_wheel_run(&wheel, UINT64_C(1) << 50), 0);
	assert_int_equal(wheel.count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_expire_once_not_early_and_at_most_a_tick_late),
		cmocka_unit_test(nothing_is_due_where_nothing_is_armed),
		cmocka_unit_test(an_expired_timer_may_disarm_another_of_its_tick),
		cmocka_unit_test(a_timer_that_arms_itself_for_the_past_waits_for_the_next_tick),
		cmocka_unit_test(a_timer_moved_again_and_again_expires_at_its_last_time),
		cmocka_unit_test(a_time_beyond_the_span_is_waited_for),
		cmocka_unit_test(the_end_of_time_is_never_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
