/* A thread of producers: sends what is due, waits for answers until more is, and sleeps when
 * nothing is.  What was due and was kept waiting, by a full window or a library that blocks, is
 * charged from when it was due. */
#include "bench/suite/run_internal.h"

#include "bench/suite/payload.h"

#include <errno.h>
#include <sys/prctl.h>

#include "base/clock.h"

enum {
	BURST = 128, /* of one producer, then its answers are looked at */
	PASSED_MAX = 1000,
	GRACE_MS = 1000,          /* to send what was due before the end */
	CHARGED_MAX = 1 << 20,    /* one by one; of more each stands for several */
	NAP_US_MIN = 50,          /* what is due in less is sent together */
	TIMER_SLACK_NS = 1000,    /* a nap is to end when it should */
	DEDUP_SEQUENCE_BITS = 40, /* of an id; the rest is the producer's index */
};

static void delivered(void *context, uint64_t tag, int rc)
{
	struct run_producer *producer = context;
	struct run *run = producer->thread->run;

	if (rc < 0) {
		run_count(&producer->failed, 1);
		return;
	}
	run_count(&producer->stored, 1);
	run_count(&producer->stored_sum, run_mix(tag));
	if (run_measures(run, tag))
		histogram_add(&producer->thread->publish, run_now_ns() - tag);
}

static int send_one(struct run_producer *producer, uint64_t due_ns)
{
	struct payload *payload = producer->thread->payload;
	struct driver_record record = {
		.topic = producer->topic,
		.partition = -1,
		.value = payload_value(payload, due_ns),
		.value_bytes = producer->thread->run->workload->message_bytes,
		.id = (uint64_t)producer->index << DEDUP_SEQUENCE_BITS | producer->sequence,
	};

	record.key = payload_key(payload, &record.key_bytes);
	return producer->thread->run->options->driver->produce(producer->driver, &record, due_ns);
}

/* 1: there is more that is due. */
static int send_due(struct run_producer *producer, uint64_t now_ns, uint64_t end_ns)
{
	struct run *run = producer->thread->run;

	producer->full = false;
	for (unsigned i = 0; i < BURST; i++) {
		uint64_t due_ns = pace_next_ns(&producer->pace, now_ns);
		if (due_ns > now_ns || due_ns >= end_ns)
			return 0;
		int rc = send_one(producer, due_ns);
		if (rc == -EAGAIN) {
			producer->full = true;
			return 0;
		}
		if (rc < 0)
			return rc;
		pace_take(&producer->pace);
		producer->sequence++;
		run_count(&producer->sent, 1);
		if (run_measures(run, due_ns))
			histogram_add(&producer->thread->delay, now_ns - due_ns);
	}
	return 1;
}

/* ---- the thread ---- */

static struct run_producer *producer_at(const struct run_thread *thread, unsigned i)
{
	return &thread->run->producers[thread->first + (size_t)i * thread->step];
}

static void set_pace(struct run_thread *thread, uint64_t rate, uint64_t begin_ns)
{
	struct run *run = thread->run;

	for (unsigned i = 0; i < thread->count; i++) {
		struct run_producer *producer = producer_at(thread, i);
		pace_init(&producer->pace, rate, producer->index, run->producer_count, begin_ns);
	}
}

/* Sends; *ret_wait_us is how long nothing more can be sent. */
static int send_round(struct run_thread *thread, uint64_t end_ns, unsigned *ret_wait_us)
{
	uint64_t now_ns = run_now_ns();
	uint64_t next_ns = now_ns + RUN_POLL_US * UINT64_C(1000);

	for (unsigned i = 0; i < thread->count; i++) {
		struct run_producer *producer = producer_at(thread, i);
		int rc = send_due(producer, now_ns, end_ns);
		if (rc < 0)
			return rc;
		/* One that is full goes on when an answer comes. */
		uint64_t due_ns = rc || producer->full ? now_ns
						       : pace_next_ns(&producer->pace, now_ns);
		if (!producer->full && due_ns < next_ns)
			next_ns = due_ns;
	}
	now_ns = run_now_ns();
	*ret_wait_us = next_ns > now_ns ? (unsigned)((next_ns - now_ns) / 1000) : 0;
	return 0;
}

static bool is_waiting(const struct run_producer *producer)
{
	return run_counted(&producer->sent) >
	       run_counted(&producer->stored) + run_counted(&producer->failed);
}

/* Looks at answers; waits up to `wait_us` for some when there are none. */
static int poll_round(struct run_thread *thread, unsigned wait_us)
{
	const struct driver *driver = thread->run->options->driver;
	struct run_producer *first = producer_at(thread, 0);
	int ran = 0;

	if (wait_us && wait_us < NAP_US_MIN)
		wait_us = NAP_US_MIN;
	if (thread->count == 1)
		return driver->producer_poll(first->driver, wait_us);
	for (unsigned i = 0; i < thread->count; i++) {
		struct run_producer *producer = producer_at(thread, i);
		/* Those that wait for nothing are spared, but keep house now and then. */
		if (!is_waiting(producer) && ++producer->passed < PASSED_MAX)
			continue;
		producer->passed = 0;
		int rc = driver->producer_poll(producer->driver, 0);
		if (rc < 0)
			return rc;
		ran += rc;
	}
	if (ran || !wait_us)
		return ran;
	return driver->producer_poll(first->driver,
				     wait_us < RUN_SHARED_POLL_US ? wait_us : RUN_SHARED_POLL_US);
}

static int turn(struct run_thread *thread, uint64_t end_ns)
{
	unsigned wait_us;
	int rc = send_round(thread, end_ns, &wait_us);

	return rc < 0 ? rc : poll_round(thread, wait_us);
}

static int wait_until_going(struct run_thread *thread)
{
	struct run *run = thread->run;
	enum run_phase phase;
	bool filling = false;
	int rc = 0;

	while (rc >= 0 && (phase = run_phase_of(run)) < RUN_GOING) {
		if (phase == RUN_FILLING && !filling)
			set_pace(thread, 0, run_now_ns());
		filling = phase == RUN_FILLING;
		if (phase == RUN_FILLED)
			atomic_store(&thread->filled, true);
		rc = filling ? turn(thread, UINT64_MAX) : poll_round(thread, 1000);
	}
	return rc;
}

/* What was due and could not even be sent has waited at least until now. */
static void charge_unsent(struct run_thread *thread)
{
	struct run *run = thread->run;
	uint64_t end_ns = run_counted(&run->end_ns);
	uint64_t now_ns = run_now_ns();

	for (unsigned i = 0; i < thread->count; i++) {
		struct run_producer *producer = producer_at(thread, i);
		uint64_t left = pace_left(&producer->pace, end_ns);
		uint64_t step = left / CHARGED_MAX + 1;
		for (uint64_t n = 0; n < left; n += step) {
			uint64_t due_ns = pace_due_at(&producer->pace, producer->pace.taken + n);
			uint64_t times = left - n < step ? left - n : step;
			if (!run_measures(run, due_ns))
				continue;
			histogram_add_many(&thread->delay, now_ns - due_ns, times);
			histogram_add_many(&thread->publish, now_ns - due_ns, times);
		}
		atomic_fetch_add(&run->unsent, left);
	}
}

/* The time is over, and something was due before its end that may still be sent. */
static bool is_late(const struct run_thread *thread)
{
	const struct run *run = thread->run;
	uint64_t end_ns = run_counted(&run->end_ns);
	bool has_left = false;

	for (unsigned i = 0; i < thread->count; i++)
		has_left |= pace_left(&producer_at(thread, i)->pace, end_ns) > 0;
	return has_left && run_now_ns() < end_ns + GRACE_MS * NS_PER_MS &&
	       !atomic_load(&run->error);
}

static int go(struct run_thread *thread)
{
	struct run *run = thread->run;
	int rc = 0;

	if (run_phase_of(run) != RUN_GOING)
		return 0;
	/* A backlog alone is drained without anything beside it. */
	if (run->workload->backlog_bytes && !run->workload->producer_rate) {
		while (rc >= 0 && run_phase_of(run) == RUN_GOING)
			rc = poll_round(thread, RUN_POLL_US);
		return rc;
	}
	set_pace(thread, run->workload->producer_rate, run_counted(&run->begin_ns));
	while (rc >= 0 && (run_phase_of(run) == RUN_GOING || is_late(thread)))
		rc = turn(thread, run_counted(&run->end_ns));
	if (rc >= 0)
		charge_unsent(thread);
	return rc;
}

static int open_all(struct run_thread *thread)
{
	struct run *run = thread->run;
	int rc = payload_new(run->workload, run_now_ns() + thread->first, &thread->payload);

	for (unsigned i = 0; i < thread->count; i++) {
		struct run_producer *producer = producer_at(thread, i);
		if (rc < 0)
			break;
		producer->thread = thread;
		rc = run->options->driver->producer_new(&run->target, delivered, producer,
							&producer->driver);
	}
	return rc;
}

static void close_all(struct run_thread *thread)
{
	const struct driver *driver = thread->run->options->driver;

	for (unsigned i = 0; i < thread->count; i++)
		driver->producer_free(producer_at(thread, i)->driver);
	payload_free(thread->payload);
}

void *run_produce(void *user)
{
	struct run_thread *thread = user;
	const struct driver *driver = thread->run->options->driver;
	int rc = open_all(thread);

	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
	if (rc >= 0) {
		atomic_store(&thread->ready, true);
		rc = wait_until_going(thread);
	}
	if (rc >= 0)
		rc = go(thread);
	for (unsigned i = 0; rc >= 0 && !atomic_load(&thread->run->error) && i < thread->count; i++)
		rc = driver->producer_flush(producer_at(thread, i)->driver, RUN_FLUSH_MS);
	close_all(thread);
	if (rc < 0)
		run_fail(thread->run, rc);
	return NULL;
}
