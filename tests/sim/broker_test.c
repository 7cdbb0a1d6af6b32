/* The whole broker on the simulated disk, with nobody who asks anything of it. */
#include "base/bytes.h"
#include "tests/sim/broker.h"
#include "tests/sim/calls.h"
#include "tests/sim/descriptors.h"
#include "tests/sim/log_lines.h"
#include "tests/sim/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct disk *disk;
static struct broker_options options;

static void set_up(uint64_t seed, unsigned shards, bool plain_io)
{
	struct random random = {seed};

	schedule_init(random_split(&random, "schedule"));
	calls_set_random(random_split(&random, "calls"));
	network_init(random_split(&random, "network"));
	log_lines_reset();
	disk_free(disk);
	disk = disk_new(random_split(&random, "disk"));
	sim_set_disk(disk);
	options = (struct broker_options){.shards = shards, .plain_io = plain_io};
}

static bool ready_or_gone(void *context)
{
	(void)context;
	return broker_ready() || !broker_running();
}

static bool gone(void *context)
{
	(void)context;
	return !broker_running();
}

static bool turns_reached(void *context)
{
	return schedule_turns() >= *(uint64_t *)context;
}

static void start(void)
{
	broker_start(&options);
	assert_true(schedule_run(ready_or_gone, NULL));
	if (!broker_ready()) {
		log_lines_print(stderr);
		fail_msg("not ready: %s", broker_failure());
	}
}

static void stop(void)
{
	broker_stop();
	assert_true(schedule_run(gone, NULL));
	assert_null(broker_failure());
}

static void starts_and_stops(unsigned shards, bool plain_io)
{
	set_up(shards, shards, plain_io);
	for (int i = 0; i < 3; i++) {
		start();
		stop();
	}
}

static void one_shard_starts_says_ready_and_stops(void **state)
{
	(void)state;
	starts_and_stops(1, false);
}

static void three_shards_start_say_ready_and_stop(void **state)
{
	(void)state;
	starts_and_stops(3, false);
}

static void three_shards_on_plain_system_calls_start_say_ready_and_stop(void **state)
{
	(void)state;
	starts_and_stops(3, true);
}

/* A broker that has not said ready yet: each turn of a start is a place where it may end. */
static void is_cut_and_starts_again(bool plain_io, bool power)
{
	uint64_t turns = 0;
	bool ended = false;

	for (uint64_t at = 1; !ended; at += 1 + at / 8) {
		set_up(at, 3, plain_io);
		broker_start(&options);
		turns = at;
		schedule_run(turns_reached, &turns);
		ended = broker_ready();
		broker_kill();
		if (power)
			disk_power_cut(disk);
		start();
		stop();
	}
}

static void a_broker_killed_anywhere_starts_again(void **state)
{
	(void)state;
	is_cut_and_starts_again(false, false);
	is_cut_and_starts_again(true, false);
}

static void a_broker_starts_again_after_a_power_cut_anywhere(void **state)
{
	(void)state;
	is_cut_and_starts_again(false, true);
	is_cut_and_starts_again(true, true);
}

static void a_broker_that_cannot_start_says_why(void **state)
{
	static const char *const settings[] = {"listen=nonsense", NULL};

	(void)state;
	set_up(1, 1, false);
	options.settings = settings;
	broker_start(&options);
	assert_true(schedule_run(ready_or_gone, NULL));
	assert_false(broker_ready());
	assert_non_null(broker_failure());
}

static uint64_t course_of(uint64_t seed)
{
	set_up(seed, 3, seed % 2);
	start();
	broker_kill();
	disk_power_cut(disk);
	start();
	stop();
	return schedule_digest() ^ schedule_turns();
}

static void the_same_seed_gives_the_same_course(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		assert_true(course_of(seed) == course_of(seed));
	assert_true(course_of(1) != course_of(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_shard_starts_says_ready_and_stops),
		cmocka_unit_test(three_shards_start_say_ready_and_stop),
		cmocka_unit_test(three_shards_on_plain_system_calls_start_say_ready_and_stop),
		cmocka_unit_test(a_broker_killed_anywhere_starts_again),
		cmocka_unit_test(a_broker_starts_again_after_a_power_cut_anywhere),
		cmocka_unit_test(a_broker_that_cannot_start_says_why),
		cmocka_unit_test(the_same_seed_gives_the_same_course),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
