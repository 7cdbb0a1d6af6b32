#include "base/bytes.h"
#include "tests/sim/schedule.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
	char text[256]; /* what the fibers wrote, in order */
	unsigned ended;
	struct waiting door;
	struct process *process;
} world;

static void say(const char *word)
{
	size_t used = strlen(world.text);

	snprintf(world.text + used, sizeof(world.text) - used, "%s", word);
}

static int begin_world(void **state)
{
	struct random random = {*state ? *(uint64_t *)*state : 1};

	memset(&world, 0, sizeof(world));
	schedule_init(random);
	world.process = process_new("test");
	return 0;
}

static bool never(void *context)
{
	(void)context;
	return false;
}

static bool when_ended(void *context)
{
	return world.ended == *(unsigned *)context;
}

static void *yields_and_says(void *context)
{
	for (int i = 0; i < 10; i++) {
		say(context);
		fiber_yield();
	}
	world.ended++;
	return NULL;
}

static void run_three(uint64_t seed, char text[static 256], uint64_t *ret_digest)
{
	void *state = &seed;
	unsigned three = 3;

	begin_world(&state);
	fiber_spawn(world.process, "a", yields_and_says, (void *)(uintptr_t) "a");
	fiber_spawn(world.process, "b", yields_and_says, (void *)(uintptr_t) "b");
	fiber_spawn(world.process, "c", yields_and_says, (void *)(uintptr_t) "c");
	assert_true(schedule_run(when_ended, &three));
	memcpy(text, world.text, 256);
	*ret_digest = schedule_digest();
}

static void the_same_seed_gives_the_same_turns_and_another_gives_others(void **state)
{
	char first[256], second[256], other[256];
	uint64_t digests[3];

	(void)state;
	run_three(7, first, &digests[0]);
	run_three(7, second, &digests[1]);
	run_three(8, other, &digests[2]);
	assert_string_equal(first, second);
	assert_true(digests[0] == digests[1]);
	assert_string_not_equal(first, other);
	assert_true(digests[0] != digests[2]);
}

static void *sleeps(void *context)
{
	fiber_sleep_until(sim_now_ns() + *(uint64_t *)context);
	say(fiber_name(fiber_current()));
	world.ended++;
	return NULL;
}

static void time_jumps_to_whoever_sleeps_least(void **state)
{
	uint64_t hour_ns = UINT64_C(3600000000000), minute_ns = hour_ns / 60;
	uint64_t before_ns = sim_now_ns();
	int64_t before_ms = sim_wall_ms();
	unsigned two = 2;

	(void)state;
	fiber_spawn(world.process, "hour", sleeps, &hour_ns);
	fiber_spawn(world.process, "minute", sleeps, &minute_ns);
	assert_true(schedule_run(when_ended, &two));
	assert_string_equal(world.text, "minutehour");
	assert_in_range(sim_now_ns() - before_ns, hour_ns, hour_ns + 10000);
	assert_in_range(sim_wall_ms() - before_ms, 3600000, 3600001);
}

static void *waits_at_the_door(void *context)
{
	bool woken = waiting_block(&world.door, sim_now_ns() + *(uint64_t *)context);

	say(woken ? "woken " : "late ");
	world.ended++;
	return NULL;
}

static void *opens_the_door(void *context)
{
	fiber_sleep_until(sim_now_ns() + *(uint64_t *)context);
	say("open ");
	waiting_wake(&world.door);
	return NULL;
}

static void who_waits_is_woken_or_runs_out_of_time(void **state)
{
	uint64_t short_ns = 1000000, middle_ns = 2000000, long_ns = 3000000;
	unsigned two = 2;

	(void)state;
	fiber_spawn(world.process, "short", waits_at_the_door, &short_ns);
	fiber_spawn(world.process, "long", waits_at_the_door, &long_ns);
	fiber_spawn(world.process, "opens", opens_the_door, &middle_ns);
	assert_true(schedule_run(when_ended, &two));
	assert_string_equal(world.text, "late open woken ");
}

static void *waits_for_ever(void *context)
{
	(void)context;
	waiting_block(&world.door, UINT64_MAX);
	say("woken ");
	return NULL;
}

static void a_world_in_which_nothing_can_happen_is_told(void **state)
{
	(void)state;
	fiber_spawn(world.process, "waits", waits_for_ever, NULL);
	assert_false(schedule_run(never, NULL));
}

static void *gives_back(void *context)
{
	fiber_yield();
	return context;
}

static void *joins(void *context)
{
	struct fiber *fiber = fiber_spawn(world.process, "gives", gives_back, context);

	if (fiber_join(fiber) == context)
		say("joined");
	world.ended++;
	return NULL;
}

static void a_joined_fiber_gives_its_result(void **state)
{
	unsigned one = 1;

	(void)state;
	fiber_spawn(world.process, "joins", joins, &one);
	assert_true(schedule_run(when_ended, &one));
	assert_string_equal(world.text, "joined");
}

static void died(void *context)
{
	say(context);
}

struct killing {
	struct event event;
	struct process *victim;
};

static void kill_it(struct event *event)
{
	process_kill(container_of(event, struct killing, event)->victim);
}

static void a_killed_process_stops_where_it_was_and_tells_the_last_first(void **state)
{
	struct killing killing = {.event.happens = kill_it, .victim = process_new("victim")};
	uint64_t long_ns = 3000000;
	unsigned one = 1;

	(void)state;
	fiber_spawn(killing.victim, "sleeps", sleeps, &long_ns);
	fiber_spawn(killing.victim, "waits", waits_for_ever, NULL);
	process_on_death(killing.victim, died, (void *)(uintptr_t) "first ");
	process_on_death(killing.victim, died, (void *)(uintptr_t) "last ");
	fiber_spawn(world.process, "other", sleeps, &long_ns);
	event_arm(&killing.event, sim_now_ns() + 1000000);
	assert_true(schedule_run(when_ended, &one));
	assert_string_equal(world.text, "last first other");
	assert_false(process_alive(killing.victim));
	waiting_wake(&world.door);
	assert_false(schedule_run(never, NULL));
}

static void *exits(void *context)
{
	(void)context;
	say("exits ");
	process_exit();
}

static void a_process_that_exits_takes_its_fibers_along(void **state)
{
	struct process *process = process_new("exits");

	(void)state;
	fiber_spawn(process, "waits", waits_for_ever, NULL);
	process_on_death(process, died, (void *)(uintptr_t) "dead");
	fiber_spawn(process, "exits", exits, NULL);
	assert_false(schedule_run(never, NULL));
	assert_string_equal(world.text, "exits dead");
}

struct counted {
	struct event event;
	char word[8];
};

static void count(struct event *event)
{
	say(container_of(event, struct counted, event)->word);
}

static void events_come_in_the_order_of_their_times_and_can_be_moved(void **state)
{
	struct counted counted[26];
	uint64_t now_ns = sim_now_ns();

	(void)state;
	for (unsigned i = 0; i < 26; i++) {
		counted[i] = (struct counted){.event.happens = count, .word = {(char)('a' + i)}};
		event_arm(&counted[i].event, now_ns + 1000 + (uint64_t)((i * 7) % 26));
	}
	for (unsigned i = 0; i < 26; i++) {
		if (i % 2)
			event_cancel(&counted[i].event);
		else
			event_arm(&counted[i].event, now_ns + 1000 - i);
	}
	assert_false(schedule_run(never, NULL));
	assert_string_equal(world.text, "ywusqomkigeca");
}

static void *fails_with(void *context)
{
	errno = *(int *)context;
	for (int i = 0; i < 5; i++)
		fiber_yield();
	if (errno == *(int *)context)
		world.ended++;
	return NULL;
}

static void errno_is_each_fibers_own(void **state)
{
	int io = EIO, space = ENOSPC;
	unsigned two = 2;

	(void)state;
	fiber_spawn(world.process, "io", fails_with, &io);
	fiber_spawn(world.process, "space", fails_with, &space);
	assert_true(schedule_run(when_ended, &two));
}

static void a_stalled_fiber_goes_on_later_and_was_woken_all_the_same(void **state)
{
	uint64_t short_ns = 1000000, long_ns = 2000000000, before_ns = sim_now_ns();
	unsigned one = 1;

	(void)state;
	schedule_set_stalls(500000, 100000000);
	fiber_spawn(world.process, "long", waits_at_the_door, &long_ns);
	fiber_spawn(world.process, "opens", opens_the_door, &short_ns);
	assert_true(schedule_run(when_ended, &one));
	assert_string_equal(world.text, "open woken ");
	assert_true(sim_now_ns() - before_ns > 2 * short_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_same_seed_gives_the_same_turns_and_another_gives_others,
				       begin_world),
		cmocka_unit_test_setup(time_jumps_to_whoever_sleeps_least, begin_world),
		cmocka_unit_test_setup(who_waits_is_woken_or_runs_out_of_time, begin_world),
		cmocka_unit_test_setup(a_world_in_which_nothing_can_happen_is_told, begin_world),
		cmocka_unit_test_setup(a_joined_fiber_gives_its_result, begin_world),
		cmocka_unit_test_setup(a_killed_process_stops_where_it_was_and_tells_the_last_first,
				       begin_world),
		cmocka_unit_test_setup(a_process_that_exits_takes_its_fibers_along, begin_world),
		cmocka_unit_test_setup(events_come_in_the_order_of_their_times_and_can_be_moved,
				       begin_world),
		cmocka_unit_test_setup(a_stalled_fiber_goes_on_later_and_was_woken_all_the_same,
				       begin_world),
		cmocka_unit_test_setup(errno_is_each_fibers_own, begin_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
