/* A shard that stops while work of its storage is with the background thread.  This thread plays
 * the shard, with no partition and no connection, and the control plane. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "dataplane/background.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/shard_internal.h"
#include "storage/io.h"
#include "storage/log.h"
#include "tests/failing_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 4, PAUSE_NS = 1000000 };

struct bench {
	struct mesh *mesh;
	struct io_backend *io;
	struct background *background;
	char folder[64]; /* of the store, which has no log */
	struct store_region *region;
	struct shard shard;
	struct shard_stop stop;
	bool stopped;
};

struct test_job {
	struct store_job job;
	atomic_bool may_end;
	bool gave_up;
	bool done;
};

static uint64_t step(struct store_job *base)
{
	struct test_job *job = container_of(base, struct test_job, job);

	job->gave_up = atomic_load(&base->give_up);
	return job->gave_up || atomic_load(&job->may_end) ? STORE_JOB_DONE : PAUSE_NS;
}

static void job_done(struct store_job *base)
{
	container_of(base, struct test_job, job)->done = true;
}

static struct test_job new_job(void)
{
	return (struct test_job){.job = {.step = step, .done = job_done}};
}

static void stopped(struct message *message, void *receiver)
{
	container_of(message, struct bench, stop.message)->stopped = true;
}

static void open_store(struct bench *bench)
{
	struct store_options options = {.directory = bench->folder};

	snprintf(bench->folder, sizeof(bench->folder), "/tmp/shard-stop-XXXXXX");
	check(mkdtemp(bench->folder) != NULL);
	check(store_region_new(&bench->region, 1 << 20) == 0);
	check(store_new(&bench->shard.store, &options, bench->region, bench->io, clock_system()) ==
	      0);
}

static int setup(void **state)
{
	static struct bench bench;
	const struct io_options io = {.depth = 8};

	bench = (struct bench){.stop.stopped = stopped};
	check(mesh_new(&bench.mesh, THREADS) == 0);
	check(io_sync_new(&bench.io, &io) == 0);
	mesh_attach(bench.mesh, 0, bench.io, &bench.shard);
	mesh_attach(bench.mesh, mesh_control(bench.mesh), bench.io, &bench);
	const struct background_options options = {
		.mesh = bench.mesh, .shard_count = 1, .sync_io = true, .clock = clock_system()};
	check(background_start(&bench.background, &options) == 0);
	open_store(&bench);
	bench.shard.mesh = bench.mesh;
	bench.shard.options.shard_count = 1;
	bench.shard.phase = SHARD_QUIET;
	bench.shard.stop = &bench.stop;
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	background_end(bench->background);
	store_free(bench->shard.store);
	store_region_free(bench->region);
	rmdir(bench->folder);
	mesh_free(bench->mesh);
	io_free(bench->io);
	return 0;
}

/* A turn of the shard, then one of the control plane. */
static void turn(struct bench *bench)
{
	mesh_receive(bench->mesh, 0);
	shard_stop_step(&bench->shard);
	mesh_flush(bench->mesh, 0);
	mesh_receive(bench->mesh, mesh_control(bench->mesh));
}

static void without_jobs_it_stops_at_once(void **state)
{
	struct bench *bench = *state;

	turn(bench);
	assert_int_equal(bench->shard.phase, SHARD_STOPPED);
	assert_true(bench->stopped);
}

/* Bounded by the test's own time limit. */
static void with_a_job_out_it_stops_when_that_is_back(void **state)
{
	struct bench *bench = *state;
	struct test_job job = new_job();

	shard_offload(&bench->shard, &job.job);
	for (int i = 0; i < 10; i++) {
		turn(bench);
		io_turn(bench->io, PAUSE_NS);
	}
	assert_int_equal(bench->shard.phase, SHARD_CLOSING);
	assert_false(bench->stopped);
	assert_false(job.done);
	atomic_store(&job.may_end, true);
	while (!bench->stopped) {
		io_turn(bench->io, PAUSE_NS);
		turn(bench);
	}
	assert_true(job.done);
	assert_false(job.gave_up);
	assert_int_equal(bench->shard.jobs_out, 0);
}

static void of_two_jobs_it_waits_for_both(void **state)
{
	struct bench *bench = *state;
	struct test_job first = new_job(), second = new_job();

	shard_offload(&bench->shard, &first.job);
	shard_offload(&bench->shard, &second.job);
	atomic_store(&second.may_end, true);
	while (!second.done) {
		io_turn(bench->io, PAUSE_NS);
		turn(bench);
	}
	assert_false(bench->stopped);
	atomic_store(&first.may_end, true);
	while (!bench->stopped) {
		io_turn(bench->io, PAUSE_NS);
		turn(bench);
	}
	assert_true(first.done);
}

static void a_job_that_finds_no_memory_gives_up_here_and_now(void **state)
{
	struct bench *bench = *state;
	struct test_job job = new_job();

	memory_fail(1, false);
	shard_offload(&bench->shard, &job.job);
	memory_fail(0, false);
	assert_true(job.done);
	assert_true(job.gave_up);
	assert_int_equal(bench->shard.jobs_out, 0);
	turn(bench);
	assert_true(bench->stopped);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_jobs_it_stops_at_once),
		TEST(with_a_job_out_it_stops_when_that_is_back),
		TEST(of_two_jobs_it_waits_for_both),
		TEST(a_job_that_finds_no_memory_gives_up_here_and_now),
	};
	char why[160] = "";

	if (eal_start(THREADS, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
