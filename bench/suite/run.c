/* A run from its topics' creation to their deletion: starts the threads, says when each phase
 * begins, and takes the samples. */
#include "bench/suite/idle.h"
#include "bench/suite/run_watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

enum {
	STACK_BYTES = 1 << 20, /* there may be a thousand */
	HEAD_START_MS = 20,    /* from the decision to begin to the first record */
};

static volatile sig_atomic_t interrupted;

bool run_was_interrupted(void)
{
	return interrupted;
}

uint64_t run_now_ns(void)
{
	return clock_monotonic_ns(clock_system());
}

void run_fail(struct run *run, int rc)
{
	int none = 0;

	atomic_compare_exchange_strong(&run->error, &none, rc);
}

static void set_phase(struct run *run, enum run_phase phase)
{
	atomic_store_explicit(&run->phase, phase, memory_order_release);
}

/* ---- topics ---- */

static int make_topics(struct run *run, unsigned *ret_made)
{
	const struct workload *workload = run->workload;
	const char *const *configs = (const char *const *)workload->topic_configs;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < workload->topics; i++) {
		rc = run->options->driver->topic_create(&run->target, run->topics[i],
							workload->partitions_per_topic, configs);
		if (rc == 0)
			*ret_made = i + 1;
	}
	return rc;
}

static void delete_topics(struct run *run, unsigned made)
{
	for (unsigned i = 0; i < made && !run->options->keep_topics; i++)
		run->options->driver->topic_delete(&run->target, run->topics[i]);
}

/* ---- threads ---- */

static bool goes_on(const struct run *run)
{
	return !run_error(run) && !interrupted;
}

/* Waits until they are ready, or one of them has failed. */
static int start(struct run *run, struct run_thread *threads, unsigned count,
		 void *(*function)(void *))
{
	pthread_attr_t attributes;
	int rc = pthread_attr_init(&attributes);

	if (rc == 0)
		rc = pthread_attr_setstacksize(&attributes, STACK_BYTES);
	for (unsigned i = 0; rc == 0 && i < count; i++) {
		rc = pthread_create(&threads[i].id, &attributes, function, &threads[i]);
		threads[i].started = rc == 0;
	}
	pthread_attr_destroy(&attributes);
	if (rc)
		return -rc;
	for (unsigned i = 0; i < count; i++) {
		while (!atomic_load(&threads[i].ready) && goes_on(run))
			run_nap();
	}
	return interrupted ? -EINTR : run_error(run);
}

static void join(struct run_thread *threads, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (threads[i].started)
			pthread_join(threads[i].id, NULL);
		threads[i].started = false;
	}
}

static int start_consumers(struct run *run)
{
	return start(run, run->consumer_threads,
		     run->consumer_thread_count - run->tail_thread_count, run_consume);
}

static int start_tail(struct run *run)
{
	return start(run,
		     run->consumer_threads + run->consumer_thread_count - run->tail_thread_count,
		     run->tail_thread_count, run_consume);
}

/* ---- phases ---- */

/* Until no producer can add to the backlog: else the tail might begin behind what it is due. */
static void end_filling(struct run *run)
{
	set_phase(run, RUN_FILLED);
	for (unsigned i = 0; i < run->producer_thread_count; i++) {
		while (!atomic_load(&run->producer_threads[i].filled) && goes_on(run))
			run_nap();
	}
}

/* Returns the number of its records, or an error. */
static int64_t make_backlog(struct run *run, struct run_meter *meter)
{
	const struct workload *workload = run->workload;
	const struct run_goal filled = {
		.stored = (workload->backlog_bytes + workload->message_bytes - 1) /
			  workload->message_bytes};
	const struct run_goal settled = {.settled = true};
	struct run_totals totals;

	set_phase(run, RUN_FILLING);
	int rc = run_watch(run, meter, &filled, true);
	end_filling(run);
	if (rc == 0)
		rc = run_watch(run, meter, &settled, true);
	if (rc == 0 && run_was_interrupted())
		rc = -EINTR;
	run_totals_of(run, &totals);
	return rc < 0 ? rc : (int64_t)totals.stored;
}

/* Records are due from `head_start_ms` on, and count after the warm-up. */
static void begin(struct run *run, unsigned head_start_ms, unsigned warm_up_ms)
{
	uint64_t begin_ns = run_now_ns() + head_start_ms * NS_PER_MS;
	uint64_t measure_ns = begin_ns + warm_up_ms * NS_PER_MS;

	atomic_store(&run->begin_ns, begin_ns);
	atomic_store(&run->measure_ns, measure_ns);
	atomic_store(&run->end_ns, measure_ns + run->workload->duration_ms * NS_PER_MS);
	set_phase(run, RUN_GOING);
}

/* Begins to measure when the warm-up is over. */
static int warm_up(struct run *run, struct run_meter *meter)
{
	begin(run, HEAD_START_MS, run->workload->warm_up_ms);
	const struct run_goal warm = {.until_ns = run_counted(&run->measure_ns)};
	int rc = run_watch(run, meter, &warm, true);
	if (rc == 0 && run_was_interrupted())
		rc = -EINTR; /* nothing has been measured */
	if (rc == 0)
		run_meter_begin(meter);
	return rc;
}

static int measure(struct run *run, struct run_meter *meter, uint64_t drain, struct result *result)
{
	run_busy_begin(run);
	const struct run_goal end = {.until_ns = run_counted(&run->end_ns), .received = drain};
	struct sample last;
	int rc = run_watch(run, meter, &end, false);
	uint64_t now_ns = run_now_ns();

	/* Ended early: what was due later does not count. */
	if (now_ns < run_counted(&run->end_ns))
		atomic_store(&run->end_ns, now_ns);
	if (rc == 0)
		rc = run_meter_sample(meter, &last);
	run->sent_in_time = run_meter_end(meter, result);
	run->busiest = run_busy_end(run, result->seconds);
	set_phase(run, RUN_STOPPING);
	return rc;
}

static int open_all(struct run *run)
{
	int rc = idle_open(run->options->driver, &run->target, run->workload->idle_connections,
			   &run->idle);

	if (rc == 0 && !run->workload->backlog_bytes)
		rc = start_consumers(run);
	return rc < 0 ? rc
		      : start(run, run->producer_threads, run->producer_thread_count, run_produce);
}

static int measure_backlog(struct run *run, struct run_meter *meter, struct result *result)
{
	int64_t drain = make_backlog(run, meter);
	int rc = drain < 0 ? (int)drain : 0;

	/* The tail begins behind the backlog: one that lags would not see what is measured. */
	run->tail_from = (uint64_t)drain;
	if (rc == 0)
		rc = start_tail(run);
	if (rc == 0)
		rc = start_consumers(run);
	if (rc < 0)
		return rc;
	/* First, as the consumers go when it begins. */
	run_meter_begin(meter);
	begin(run, 0, 0);
	rc = measure(run, meter, (uint64_t)drain, result);
	struct run_totals totals;
	run_totals_of(run, &totals);
	if (rc == 0 && totals.slowest < (uint64_t)drain)
		run_caveat(result, "The backlog was not drained in the time.");
	return rc;
}

static int go(struct run *run, struct run_meter *meter, struct result *result)
{
	int rc = open_all(run);

	if (rc == 0 && run->workload->backlog_bytes) {
		rc = measure_backlog(run, meter, result);
	} else if (rc == 0) {
		rc = warm_up(run, meter);
		if (rc == 0)
			rc = measure(run, meter, 0, result);
	}
	if (rc < 0)
		run_fail(run, rc);
	set_phase(run, RUN_STOPPING);
	join(run->producer_threads, run->producer_thread_count);
	if (rc == 0)
		run_drain(run);
	set_phase(run, RUN_OVER);
	join(run->consumer_threads, run->consumer_thread_count);
	if (rc == 0 && idle_lost(run->idle))
		run_caveat(result, "The broker closed %u of the idle connections.",
			   idle_lost(run->idle));
	idle_close(run->idle);
	return rc < 0 ? rc : run_error(run);
}

/* ---- the whole ---- */

static void on_interrupt(int number)
{
	interrupted = 1;
}

static void describe(const struct run *run, struct result *result)
{
	time_t now = time(NULL);
	struct tm utc;

	snprintf(result->driver, sizeof(result->driver), "%s", run->options->driver->name);
	snprintf(result->label, sizeof(result->label), "%s", run->options->driver->name);
	snprintf(result->url, sizeof(result->url), "%s", run->options->url);
	strftime(result->started, sizeof(result->started), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&now, &utc));
	if (run->options->driver->version(&run->target, result->client_version,
					  sizeof(result->client_version)) < 0)
		result->client_version[0] = 0;
	result->open_loop = run->workload->producer_rate > 0;
	result->asked_per_s = (double)run->workload->producer_rate;
}

static int run_it(struct run *run, struct result *result)
{
	struct run_meter *meter = NULL;
	unsigned made = 0;
	int rc = run_meter_new(run, &meter);

	if (rc == 0)
		rc = workload_copy(run->workload, &result->workload);
	if (rc == 0)
		describe(run, result);
	if (rc == 0)
		rc = make_topics(run, &made);
	if (rc == 0)
		rc = go(run, meter, result);
	if (rc == 0)
		rc = run_meter_give(meter, result);
	if (rc == 0 && interrupted)
		run_caveat(result, "Ended early, by a signal.");
	if (rc == 0)
		run_judge(run, result);
	delete_topics(run, made);
	run_meter_free(meter);
	return rc;
}

int run_workload(const struct workload *workload, const struct run_options *options,
		 struct result *ret)
{
	/* The second signal ends the program. */
	struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
	struct sigaction before_interrupt;
	struct sigaction before_end;
	struct run run = {0};
	struct result result = {0};

	interrupted = 0;
	sigaction(SIGINT, &action, &before_interrupt);
	sigaction(SIGTERM, &action, &before_end);
	int rc = run_init(&run, workload, options);
	if (rc == 0)
		rc = run_it(&run, &result);
	sigaction(SIGINT, &before_interrupt, NULL);
	sigaction(SIGTERM, &before_end, NULL);
	run_fini(&run);
	if (rc < 0)
		result_fini(&result);
	else
		*ret = result;
	return rc;
}
