/* Whose records stay in the tail cache when there is not room for all. */
#include "base/bytes.h"
#include "base/check.h"
#include "storage/store_internal.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

enum {
	REGION_BYTES = 16 << 20,
	QUIET = 20,
	QUIET_BYTES = 10000,
	FLOOD = 150,
	FLOOD_BYTES = 400000, /* nearly four regions in all */
};

/* The rig's log is the one that is quiet; another floods the store. */
struct world {
	struct rig rig;
	struct log *quiet;
	struct log *flooding;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct log_identity identity;
	char why[160];

	check(world);
	rig_init(&world->rig, "sync", NULL, REGION_BYTES);
	rig_open(&world->rig);
	world->quiet = world->rig.log;
	identity = world->rig.identity;
	identity.partition++;
	world->rig.config.segment_bytes = 64 << 20;
	check(log_open(&world->flooding, world->rig.store, &identity, &world->rig.config, why,
		       sizeof(why)) == 0);
	*state = world;
	return 0;
}

static void closed(void *context)
{
	*(bool *)context = true;
}

static int teardown(void **state)
{
	struct world *world = *state;
	bool is_closed = false;

	log_close(world->flooding, false, closed, &is_closed);
	while (!is_closed)
		rig_turn(&world->rig);
	world->rig.log = world->quiet;
	rig_fini(&world->rig);
	free(world);
	return 0;
}

static void flood(struct world *world)
{
	world->rig.log = world->flooding;
	rig_fill(&world->rig, FLOOD, FLOOD_BYTES, 1000);
	world->rig.log = world->quiet;
}

/* How many reads of files that takes. */
static uint64_t read_all(struct world *world, struct log *log)
{
	uint64_t before = store_stats(world->rig.store)->reads;

	world->rig.log = log;
	rig_check_all(&world->rig);
	world->rig.log = world->quiet;
	return store_stats(world->rig.store)->reads - before;
}

static void what_a_quiet_log_has_stays_while_another_floods(void **state)
{
	struct world *world = *state;

	rig_fill(&world->rig, QUIET, QUIET_BYTES, 1000);
	flood(world);
	assert_int_equal(read_all(world, world->quiet), 0);
	/* ... and one that is alone has all there is. */
	assert_true(world->flooding->tail_bytes > REGION_BYTES / 2);
}

static void a_reader_of_old_records_takes_nothing_from_the_tail(void **state)
{
	struct world *world = *state;

	flood(world);
	rig_fill(&world->rig, QUIET, QUIET_BYTES, 1000);
	size_t tail_bytes = world->flooding->tail_bytes;
	assert_true(read_all(world, world->flooding) > 0);
	assert_int_equal(world->flooding->tail_bytes, tail_bytes);
	assert_int_equal(read_all(world, world->quiet), 0);
}

static void a_log_that_had_all_gives_to_one_that_comes_later(void **state)
{
	struct world *world = *state;

	flood(world);
	rig_fill(&world->rig, FLOOD, FLOOD_BYTES, 1000);
	assert_true(world->quiet->tail_bytes > REGION_BYTES / 4);
	assert_true(world->flooding->tail_bytes > REGION_BYTES / 8);
}

static void what_is_counted_is_what_logs_have(void **state)
{
	struct world *world = *state;

	assert_int_equal(world->rig.store->tails, 0);
	flood(world);
	rig_fill(&world->rig, 1, QUIET_BYTES, 1000);
	assert_int_equal(world->rig.store->tails, 2);
	assert_int_equal(world->quiet->tail_bytes + world->flooding->tail_bytes,
			 store_stats(world->rig.store)->buffer_bytes);
	rig_close(&world->rig);
	assert_int_equal(world->rig.store->tails, 1);
	rig_open(&world->rig);
	world->quiet = world->rig.log;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_a_quiet_log_has_stays_while_another_floods),
		TEST(a_reader_of_old_records_takes_nothing_from_the_tail),
		TEST(a_log_that_had_all_gives_to_one_that_comes_later),
		TEST(what_is_counted_is_what_logs_have),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
