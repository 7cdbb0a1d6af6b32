/* A log read from its file by one reader after the other, each where the last one ended: what comes
 * next is read before it is asked for. */
#include "base/check.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

enum {
	REGION_BYTES = 32 << 20,
	BATCHES = 60,
	VALUE_BYTES = 100000,
	STEP_BYTES = 1000000, /* nine batches */
};

/* A log whose tail is not in memory, and where the next reader goes on. */
struct world {
	struct rig rig;
	int64_t offset;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	check(world);
	rig_init(&world->rig, NULL, sim_new(1), REGION_BYTES);
	world->rig.config.segment_bytes = 64 << 20;
	rig_open(&world->rig);
	rig_fill(&world->rig, BATCHES, VALUE_BYTES, 1000);
	rig_reopen(&world->rig);
	sim_options(world->rig.io)->slowness = 1;
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	struct io_backend *io = world->rig.io;

	rig_fini(&world->rig);
	io_free(io);
	free(world);
	return 0;
}

static struct waited_read next_step(const struct world *world)
{
	return (struct waited_read){
		.read = {.offset = world->offset,
			 .bytes_max = STEP_BYTES,
			 .done = waited_read_done},
	};
}

/* It has whole batches of one record each, the first at the world's offset. */
static void take(struct world *world, struct waited_read *waited)
{
	struct batch batch;

	assert_true(waited->done);
	assert_int_equal(waited->rc, 0);
	assert_int_equal(waited->read.vector_count, 1);
	const uint8_t *data = waited->read.vectors[0].iov_base;
	for (size_t at = 0; at < waited->read.bytes; at += batch.size) {
		assert_int_equal(batch_parse(&batch, data + at, waited->read.bytes - at), 0);
		assert_true(batch_crc_valid(&batch, data + at));
		assert_int_equal(batch.base_offset, world->offset++);
	}
	log_read_release(world->rig.store, &waited->read);
}

static void step(struct world *world)
{
	struct waited_read waited = next_step(world);

	log_read(world->rig.log, &waited.read);
	while (!waited.done)
		rig_turn(&world->rig);
	take(world, &waited);
}

static unsigned reads_queued(const struct world *world)
{
	return sim_queued(world->rig.io, IO_READ);
}

static void who_reads_once_has_nothing_read_ahead(void **state)
{
	struct world *world = *state;

	step(world);
	assert_int_equal(reads_queued(world), 0);
}

static void what_comes_next_is_read_when_a_reader_has_gone_on(void **state)
{
	struct world *world = *state;

	step(world);
	step(world);
	assert_int_equal(reads_queued(world), 1);
	while (reads_queued(world))
		rig_turn(&world->rig);

	uint64_t reads = store_stats(world->rig.store)->reads;
	struct waited_read waited = next_step(world);
	log_read(world->rig.log, &waited.read);
	take(world, &waited); /* at once, and the next is on its way */
	assert_int_equal(store_stats(world->rig.store)->reads, reads);
	assert_int_equal(reads_queued(world), 1);
}

static void a_reader_waits_for_what_is_read_ahead(void **state)
{
	struct world *world = *state;

	step(world);
	step(world);
	struct waited_read waited = next_step(world);
	log_read(world->rig.log, &waited.read);
	assert_false(waited.done);
	assert_int_equal(reads_queued(world), 1);
	while (!waited.done)
		rig_turn(&world->rig);
	take(world, &waited);
}

static void all_of_a_log_is_read_so(void **state)
{
	struct world *world = *state;

	while (world->offset < BATCHES)
		step(world);
	assert_int_equal(world->offset, BATCHES);
	assert_int_equal(reads_queued(world), 0);
}

static void another_reader_elsewhere_is_served_meanwhile(void **state)
{
	struct world *world = *state;

	step(world);
	step(world);
	struct rig_read other = rig_read(&world->rig, BATCHES / 2, STEP_BYTES, true);
	assert_int_equal(other.rc, 0);
	assert_true(other.size > 0);
	free(other.data);
	while (world->offset < BATCHES)
		step(world);
}

static void a_log_is_closed_while_something_is_read_ahead(void **state)
{
	struct world *world = *state;

	step(world);
	step(world);
	assert_int_equal(reads_queued(world), 1);
	rig_close(&world->rig);
	rig_open(&world->rig);
	assert_int_equal(rig_check_all(&world->rig), BATCHES);
}

static void little_memory_is_not_spent_on_it(void **state)
{
	struct world *world = *state;
	struct buffer *held = buffer_heap(world->rig.region, REGION_BYTES / 2 - (3 << 20));

	assert_non_null(held);
	step(world);
	step(world);
	assert_int_equal(reads_queued(world), 0);
	buffer_release(world->rig.region, held);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(who_reads_once_has_nothing_read_ahead),
		TEST(what_comes_next_is_read_when_a_reader_has_gone_on),
		TEST(a_reader_waits_for_what_is_read_ahead),
		TEST(all_of_a_log_is_read_so),
		TEST(another_reader_elsewhere_is_served_meanwhile),
		TEST(a_log_is_closed_while_something_is_read_ahead),
		TEST(little_memory_is_not_spent_on_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
