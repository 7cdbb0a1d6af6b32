/* A new last segment while the shard goes on: appends wait for it, nothing is lost with it, and a
 * log that fails or goes meanwhile leaves no file of it. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

enum {
	REGION_BYTES = 16 << 20,
	SEGMENT_BYTES = 1 << 20,
	VALUE_BYTES = 300000, /* three batches a segment */
};

/* The disk fails the operations of this kind, or none: -1. */
struct world {
	struct rig rig;
	int failing;
};

static int fault(void *context, enum io_op op, uint64_t offset, size_t length)
{
	const struct world *world = context;

	(void)offset;
	(void)length;
	return (int)op == world->failing ? -EIO : 0;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	check(world);
	world->failing = -1;
	rig_init(&world->rig, NULL, sim_new(1), REGION_BYTES);
	world->rig.config.segment_bytes = SEGMENT_BYTES;
	rig_keep_jobs(&world->rig);
	rig_restart(&world->rig);
	rig_open(&world->rig);
	sim_options(world->rig.io)->fault = fault;
	sim_options(world->rig.io)->context = world;
	sim_options(world->rig.io)->slowness = 1;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct io_backend *io = world->rig.io;

	world->failing = -1;
	rig_keep_no_jobs(&world->rig);
	rig_fini(&world->rig);
	io_free(io);
	free(world);
	return 0;
}

static int start(struct world *world, struct rig_append *append)
{
	struct made_batch made = make_batch(1, VALUE_BYTES, 1000, 1);
	int rc = rig_start_append(&world->rig, &made, ACK_DURABLE, append);

	free(made.data);
	return rc;
}

static void turn_while_making(struct world *world)
{
	for (unsigned i = 0; i < 100 && world->rig.log->making; i++)
		rig_turn(&world->rig);
	assert_null(world->rig.log->making);
}

static bool has_segment(const struct world *world, const char *name)
{
	char path[256];

	rig_path(&world->rig, name, path);
	return file_exists(path);
}

static void the_first_append_waits_and_the_caller_does_not(void **state)
{
	struct world *world = *state;
	struct rig_append append;

	assert_int_equal(start(world, &append), -ENOBUFS);
	assert_int_equal(start(world, &append), -ENOBUFS);
	assert_null(world->rig.log->active);
	assert_int_equal(sim_queued(world->rig.io, IO_WRITE), 1);
	turn_while_making(world);
	assert_int_equal(start(world, &append), 0);
	while (!append.done)
		rig_turn(&world->rig);
	assert_int_equal(append.rc, 0);
	assert_int_equal(rig_check_all(&world->rig), 1);
}

static void what_is_full_stays_the_last_until_the_next_is_made(void **state)
{
	struct world *world = *state;
	struct rig_append append;

	rig_fill(&world->rig, 3, VALUE_BYTES, 1000);
	const struct segment *full = world->rig.log->active;
	assert_int_equal(start(world, &append), -ENOBUFS);
	assert_ptr_equal(world->rig.log->active, full);
	/* Not even one that would fit goes in. */
	struct made_batch small = make_batch(1, 10, 1000, 2);
	assert_int_equal(rig_start_append(&world->rig, &small, ACK_DURABLE, &append), -ENOBUFS);
	free(small.data);
	turn_while_making(world);
	assert_ptr_not_equal(world->rig.log->active, full);
	assert_int_equal(world->rig.log->active->base_offset, 3);
	rig_fill(&world->rig, 3, VALUE_BYTES, 1000);
	assert_int_equal(rig_check_all(&world->rig), 6);
}

static void a_log_whose_segment_cannot_be_made_fails_and_is_repaired(void **state)
{
	struct world *world = *state;
	struct rig_append append;

	rig_fill(&world->rig, 3, VALUE_BYTES, 1000);
	world->failing = IO_FLUSH;
	assert_int_equal(start(world, &append), -ENOBUFS);
	turn_while_making(world);
	assert_true(log_failed(world->rig.log));
	assert_false(has_segment(world, "00000000000000000003.log"));
	world->failing = -1;
	rig_pass_time(&world->rig, 60000);
	store_housekeep(world->rig.store);
	assert_false(log_failed(world->rig.log));
	rig_fill(&world->rig, 1, VALUE_BYTES, 1000);
	assert_int_equal(rig_check_all(&world->rig), 4);
}

static void a_log_that_is_closed_waits_for_its_segment(void **state)
{
	struct world *world = *state;
	struct rig_append append;

	assert_int_equal(start(world, &append), -ENOBUFS);
	rig_close(&world->rig);
	assert_true(has_segment(world, "00000000000000000000.log"));
	rig_open(&world->rig);
	rig_fill(&world->rig, 1, VALUE_BYTES, 1000);
	assert_int_equal(rig_check_all(&world->rig), 1);
}

static void closed(void *context)
{
	*(bool *)context = true;
}

static void a_log_that_is_removed_takes_its_segment_with_it(void **state)
{
	struct world *world = *state;
	struct rig_append append;
	bool is_closed = false;

	assert_int_equal(start(world, &append), -ENOBUFS);
	log_close(world->rig.log, true, closed, &is_closed);
	world->rig.log = NULL;
	assert_false(is_closed);
	while (!is_closed)
		rig_turn(&world->rig);
	rig_run_job(&world->rig);
	assert_false(has_segment(world, "00000000000000000000.log"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_append_waits_and_the_caller_does_not),
		TEST(what_is_full_stays_the_last_until_the_next_is_made),
		TEST(a_log_whose_segment_cannot_be_made_fails_and_is_repaired),
		TEST(a_log_that_is_closed_waits_for_its_segment),
		TEST(a_log_that_is_removed_takes_its_segment_with_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
