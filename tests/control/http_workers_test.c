/* The workers of the admin HTTP: how much may wait, and what becomes of it at the end.  No broker
 * is there: nothing here asks for one. */
#include "base/bytes.h"
#include "control/http/workers.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MANY = 100 };

struct job {
	struct work work;
	sem_t *begun;
	sem_t *go; /* null: does not wait */
	atomic_uint runs;
	bool ended;
};

static void run(struct work *work, struct admin_client *client)
{
	struct job *job = container_of(work, struct job, work);

	atomic_fetch_add(&job->runs, 1);
	job->ended = !client;
	sem_post(job->begun);
	if (client && job->go)
		sem_wait(job->go);
}

static struct job job_of(sem_t *begun, sem_t *go)
{
	return (struct job){.work.run = run, .begun = begun, .go = go};
}

static void what_is_sent_is_run_once(void **state)
{
	struct workers *workers;
	struct job jobs[MANY];
	sem_t begun;

	(void)state;
	sem_init(&begun, 0, 0);
	assert_int_equal(workers_start(&workers, "127.0.0.1:1"), 0);
	for (unsigned i = 0; i < MANY; i++) {
		jobs[i] = job_of(&begun, NULL);
		workers_send(workers, &jobs[i].work);
	}
	for (unsigned i = 0; i < MANY; i++)
		sem_wait(&begun);
	workers_end(workers);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(atomic_load(&jobs[i].runs), 1);
		assert_false(jobs[i].ended);
	}
	workers_free(workers);
	sem_destroy(&begun);
}

/* All workers are held up until the test lets them go. */
static void so_much_may_wait_and_no_more(void **state)
{
	struct workers *workers;
	struct job jobs[MANY];
	unsigned sent = 0;
	sem_t begun;
	sem_t go;

	(void)state;
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	assert_int_equal(workers_start(&workers, "127.0.0.1:1"), 0);
	for (; sent < 3; sent++) {
		jobs[sent] = job_of(&begun, &go);
		workers_send(workers, &jobs[sent].work);
	}
	for (unsigned i = 0; i < sent; i++)
		sem_wait(&begun);
	for (; !workers_full(workers); sent++) {
		assert_in_range(sent, 0, MANY - 1);
		jobs[sent] = job_of(&begun, NULL);
		workers_send(workers, &jobs[sent].work);
	}
	assert_int_equal(sent, 3 + 32);
	for (unsigned i = 0; i < 3; i++)
		sem_post(&go);
	for (unsigned i = 3; i < sent; i++)
		sem_wait(&begun);
	assert_false(workers_full(workers));
	workers_end(workers);
	workers_free(workers);
	sem_destroy(&go);
	sem_destroy(&begun);
}

static void after_the_end_nothing_is_begun(void **state)
{
	struct workers *workers;
	struct job job;
	sem_t begun;

	(void)state;
	sem_init(&begun, 0, 0);
	assert_int_equal(workers_start(&workers, "127.0.0.1:1"), 0);
	workers_end(workers);
	assert_true(workers_full(workers));
	job = job_of(&begun, NULL);
	workers_send(workers, &job.work);
	assert_int_equal(atomic_load(&job.runs), 1);
	assert_true(job.ended);
	workers_free(workers);
	workers_free(NULL);
	sem_destroy(&begun);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent_is_run_once),
		cmocka_unit_test(so_much_may_wait_and_no_more),
		cmocka_unit_test(after_the_end_nothing_is_begun),
	};

	return cmocka_run_group_tests_name("http workers", tests, NULL, NULL);
}
