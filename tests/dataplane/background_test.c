/* The background thread: a short job does not wait for a long one, a pause is no work, and who is
 * to give up does so in the middle of one.  This thread plays the shards. */
#include "dataplane/background.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "dataplane/dpdk/eal.h"
#include "storage/io.h"
#include "storage/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

enum { SHARDS = 2, THREADS = SHARDS + 3, LONG_STEPS = 1000 };
static const uint64_t hour_ns = 3600 * NS_PER_SECOND;

struct test_job {
	struct store_job job;
	struct background_job work;
	unsigned steps_left;
	uint64_t pause_ns; /* after each but the last */
	unsigned steps;    /* taken */
	bool back;
};

static struct mesh *mesh;
static struct io_backend *backends[SHARDS];
static struct background *background;

static uint64_t step(struct store_job *base)
{
	struct test_job *job = container_of(base, struct test_job, job);

	job->steps++;
	if (atomic_load(&base->give_up) || --job->steps_left == 0)
		return STORE_JOB_DONE;
	return job->pause_ns;
}

static void came_back(struct message *message, void *receiver)
{
	container_of(message, struct test_job, work.message)->back = true;
}

static int setup(void **state)
{
	const struct io_options io = {.depth = 8};

	check(mesh_new(&mesh, THREADS) == 0);
	for (unsigned i = 0; i < SHARDS; i++) {
		check(io_sync_new(&backends[i], &io) == 0);
		mesh_attach(mesh, i, backends[i], NULL);
	}
	const struct background_options options = {
		.mesh = mesh,
		.shard_count = SHARDS,
		.sync_io = true,
		.clock = clock_system(),
	};
	check(background_start(&background, &options) == 0);
	return 0;
}

static int teardown(void **state)
{
	background_end(background);
	mesh_free(mesh);
	for (unsigned i = 0; i < SHARDS; i++)
		io_free(backends[i]);
	return 0;
}

static void send_job(unsigned shard, struct test_job *job)
{
	job->job.step = step;
	job->work = (struct background_job){
		.message.handle = background_take,
		.finished = came_back,
		.job = &job->job,
		.shard_index = shard,
	};
	mesh_send(mesh, shard, mesh_background(mesh), &job->work.message);
}

/* Of this shard.  Bounded by the test's own time limit. */
static void await(unsigned shard, const struct test_job *job)
{
	while (!job->back) {
		mesh_flush(mesh, shard);
		assert_true(io_turn(backends[shard], NS_PER_SECOND) >= 0);
		mesh_receive(mesh, shard);
	}
}

static void give_up(struct test_job *job)
{
	atomic_store(&job->job.give_up, true);
	mesh_wake(mesh, mesh_background(mesh));
}

static void a_job_comes_back_after_its_last_step(void **state)
{
	struct test_job job = {.steps_left = 7};

	send_job(0, &job);
	await(0, &job);
	assert_int_equal(job.steps, 7);
}

/* Both are sent in one go, so the thread has the long one when it begins. */
static void a_short_job_does_not_wait_for_a_long_one_of_its_shard(void **state)
{
	struct test_job longer = {.steps_left = UINT32_MAX};
	struct test_job shorter = {.steps_left = 2};

	send_job(0, &longer);
	send_job(0, &shorter);
	await(0, &shorter);
	assert_false(longer.back);
	give_up(&longer);
	await(0, &longer);
}

static void a_shard_with_one_job_does_not_wait_for_all_of_another(void **state)
{
	static struct test_job many[LONG_STEPS];
	struct test_job one = {.steps_left = 3};
	unsigned begun = 0;

	for (unsigned i = 0; i < LONG_STEPS; i++) {
		many[i] = (struct test_job){.steps_left = UINT32_MAX};
		send_job(0, &many[i]);
	}
	mesh_flush(mesh, 0);
	send_job(1, &one);
	await(1, &one);
	assert_int_equal(one.steps, 3);
	for (unsigned i = 0; i < LONG_STEPS; i++) {
		give_up(&many[i]);
		await(0, &many[i]);
		begun += many[i].steps > 0;
	}
	assert_int_equal(begun, LONG_STEPS);
}

static void a_pause_ends_by_itself(void **state)
{
	struct test_job job = {.steps_left = 3, .pause_ns = NS_PER_MS};
	uint64_t begin_ns = clock_monotonic_ns(clock_system());

	send_job(0, &job);
	await(0, &job);
	assert_int_equal(job.steps, 3);
	assert_true(clock_monotonic_ns(clock_system()) - begin_ns >= 2 * NS_PER_MS);
}

static void others_go_on_during_a_pause_and_giving_up_ends_it(void **state)
{
	struct test_job pausing = {.steps_left = 2, .pause_ns = hour_ns};
	struct test_job other = {.steps_left = 50};

	send_job(0, &pausing);
	send_job(0, &other);
	await(0, &other);
	assert_int_equal(pausing.steps, 1);
	give_up(&pausing);
	await(0, &pausing);
	assert_int_equal(pausing.steps, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_job_comes_back_after_its_last_step),
		T(a_short_job_does_not_wait_for_a_long_one_of_its_shard),
		T(a_shard_with_one_job_does_not_wait_for_all_of_another),
		T(a_pause_ends_by_itself),
		T(others_go_on_during_a_pause_and_giving_up_ends_it),
#undef T
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
