/* A thread of consumers: takes records and subtracts the time they carry. */
#include "bench/suite/run_internal.h"

#include "bench/suite/payload.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

static void received(void *context, const char *topic, const void *value, size_t value_bytes)
{
	struct run_consumer *consumer = context;
	const struct run *run = consumer->thread->run;
	uint64_t now_ns = run_now_ns();

	if (value_bytes != run->workload->message_bytes) {
		run_count(&consumer->foreign, 1);
		return;
	}
	uint64_t intended_ns = payload_intended_ns(value);
	run_count(&consumer->received, 1);
	run_count(&consumer->received_sum, run_mix(intended_ns));
	if (consumer->measures && run_measures(run, intended_ns) && intended_ns <= now_ns)
		histogram_add(&consumer->thread->end_to_end, now_ns - intended_ns);
}

static struct run_consumer *consumer_at(const struct run_thread *thread, unsigned i)
{
	return &thread->run->consumers[thread->first + (size_t)i * thread->step];
}

static void nap(void)
{
	struct timespec time = {.tv_nsec = RUN_SHARED_POLL_US * 1000L};

	nanosleep(&time, NULL);
}

static int open_one(struct run_consumer *consumer)
{
	struct run *run = consumer->thread->run;

	consumer->options.received = received;
	consumer->options.context = consumer;
	return run->options->driver->consumer_new(&run->target, &consumer->options,
						  &consumer->driver);
}

/* A member leaves, and comes back half a period later. */
static int come_and_go(struct run_consumer *consumer, uint64_t now_ns)
{
	struct run *run = consumer->thread->run;
	uint64_t half_ns = run->workload->rebalance_ms * NS_PER_MS / 2;

	if (!consumer->leaves_ns || now_ns < consumer->leaves_ns || run_phase_of(run) != RUN_GOING)
		return 0;
	consumer->leaves_ns = now_ns + half_ns;
	if (!consumer->driver)
		return open_one(consumer);
	run->options->driver->consumer_free(consumer->driver);
	consumer->driver = NULL;
	return 0;
}

static int poll_one(struct run_consumer *consumer, unsigned wait_us)
{
	const struct driver *driver = consumer->thread->run->options->driver;
	int rc = consumer->leaves_ns ? come_and_go(consumer, run_now_ns()) : 0;

	if (rc < 0)
		return rc;
	if (!consumer->driver) {
		nap();
		return 0;
	}
	return driver->consumer_poll(consumer->driver, wait_us);
}

static int turn(struct run_thread *thread)
{
	struct run_consumer *first = consumer_at(thread, 0);
	int ran = 0;

	if (thread->count == 1)
		return poll_one(first, RUN_POLL_US);
	for (unsigned i = 0; i < thread->count; i++) {
		struct run_consumer *consumer = consumer_at(thread, i);
		int rc = poll_one(consumer, 0);
		if (rc < 0)
			return rc;
		ran += rc;
	}
	return ran ? ran : poll_one(first, RUN_SHARED_POLL_US);
}

/* While others open theirs the backlog lies untouched; but members of a group are polled from the
 * beginning, or the others could not join. */
static void stand_still(const struct run_thread *thread)
{
	const struct driver_consumer_options *options = &consumer_at(thread, 0)->options;

	while (options->from_earliest && !options->group && run_phase_of(thread->run) < RUN_GOING)
		nap();
}

static int open_all(struct run_thread *thread)
{
	int rc = 0;

	for (unsigned i = 0; i < thread->count; i++) {
		struct run_consumer *consumer = consumer_at(thread, i);
		consumer->thread = thread;
		if (rc >= 0)
			rc = open_one(consumer);
	}
	return rc;
}

void *run_consume(void *user)
{
	struct run_thread *thread = user;
	struct run *run = thread->run;
	int rc = open_all(thread);

	if (rc >= 0) {
		atomic_store(&thread->ready, true);
		stand_still(thread);
	}
	while (rc >= 0 && run_phase_of(run) != RUN_OVER)
		rc = turn(thread);
	for (unsigned i = 0; i < thread->count; i++)
		run->options->driver->consumer_free(consumer_at(thread, i)->driver);
	if (rc < 0)
		run_fail(run, rc);
	return NULL;
}
