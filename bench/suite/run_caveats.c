/* What a reader of the figures has to know before believing them. */
#include "bench/suite/run_measure.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define RATE_REACHED 0.99
#define LATE_S 0.1 /* at the end is a matter of who had the processor */
#define LOAD_PER_CORE 0.5
#define BUSY 0.9 /* of a processor: such a thread has no time to wait for the broker */

void run_caveat(struct result *result, const char *format, ...)
{
	size_t used = strlen(result->caveats);
	va_list arguments;

	if (used && used + 1 < sizeof(result->caveats))
		result->caveats[used++] = ' ';
	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above. */
	vsnprintf(result->caveats + used, sizeof(result->caveats) - used, format, arguments);
	va_end(arguments);
}

/* ---- threads ---- */

/* 0 of one that has ended. */
static uint64_t cpu_ns_of(const struct run_thread *thread)
{
	struct timespec used;
	clockid_t clock;

	if (!thread->started || pthread_getcpuclockid(thread->id, &clock) ||
	    clock_gettime(clock, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * NS_PER_SECOND + (uint64_t)used.tv_nsec;
}

void run_busy_begin(struct run *run)
{
	for (unsigned i = 0; i < run->producer_thread_count; i++)
		run->producer_threads[i].cpu_ns = cpu_ns_of(&run->producer_threads[i]);
	for (unsigned i = 0; i < run->consumer_thread_count; i++)
		run->consumer_threads[i].cpu_ns = cpu_ns_of(&run->consumer_threads[i]);
}

static double busiest_of(const struct run_thread *threads, unsigned count)
{
	uint64_t most_ns = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t now_ns = cpu_ns_of(&threads[i]);
		if (now_ns > threads[i].cpu_ns + most_ns)
			most_ns = now_ns - threads[i].cpu_ns;
	}
	return (double)most_ns / (double)NS_PER_SECOND;
}

double run_busy_end(const struct run *run, double seconds)
{
	double producer_s = busiest_of(run->producer_threads, run->producer_thread_count);
	double consumer_s = busiest_of(run->consumer_threads, run->consumer_thread_count);
	double most_s = producer_s > consumer_s ? producer_s : consumer_s;

	return seconds > 0 ? most_s / seconds : 0;
}

/* ---- caveats ---- */

static void about_rate(const struct run *run, struct result *result)
{
	uint64_t unsent = run_counted(&run->unsent);
	double due = result->asked_per_s * result->seconds;
	double late = LATE_S * result->asked_per_s + 1;
	double enough = RATE_REACHED * due < due - late ? RATE_REACHED * due : due - late;
	double sent = (double)run->sent_in_time;
	double stored = (double)result->published;

	if (!result->open_loop)
		return;
	if (sent < enough)
		run_caveat(result, "Sent %.1f %% of what was asked: not to be compared.",
			   100 * sent / due);
	else if (stored < enough) /* windows took the rest */
		run_caveat(result,
			   "Of what was asked %.1f %% was stored in the time: not to be compared.",
			   100 * stored / due);
	if (unsent)
		run_caveat(result,
			   "%" PRIu64 " records that were due could not be sent; they count with "
			   "what they had waited at the end, but not end to end.",
			   unsent);
}

static void about_subscription(const struct run *run, const struct run_totals *totals,
			       unsigned subscription, struct result *result)
{
	uint64_t sum;
	uint64_t received = run_received(run, subscription, &sum);

	if (received < totals->stored)
		run_caveat(result,
			   "Subscription %u was given %" PRIu64 " of %" PRIu64
			   " stored records: %" PRIu64 " are missing.",
			   subscription, received, totals->stored, totals->stored - received);
	else if (received > totals->stored + totals->failed)
		run_caveat(result, "Subscription %u was given %" PRIu64 " records twice.",
			   subscription, received - totals->stored - totals->failed);
	else if (!totals->failed && sum != totals->stored_sum)
		run_caveat(result,
			   "Subscription %u was given as many records as were stored, but not the "
			   "same ones.",
			   subscription);
}

/* It has no part in what was stored before it began. */
static void about_tail(const struct run *run, const struct run_totals *totals,
		       struct result *result)
{
	uint64_t due = totals->stored - run->tail_from;
	uint64_t received = run_received(run, RUN_TAIL, NULL);

	if (run->tail_thread_count && received < due)
		run_caveat(result,
			   "The tail was given %" PRIu64 " of %" PRIu64 " stored records: %" PRIu64
			   " are missing.",
			   received, due, due - received);
}

void run_judge(const struct run *run, struct result *result)
{
	struct run_totals totals;
	double load_average = run->options->load_average;
	double cores = (double)sysconf(_SC_NPROCESSORS_ONLN);

	run_totals_of(run, &totals);
	about_rate(run, result);
	if (totals.failed)
		run_caveat(result, "%" PRIu64 " records could not be published.", totals.failed);
	for (unsigned i = 0; i < run->workload->subscriptions_per_topic; i++)
		about_subscription(run, &totals, i, result);
	about_tail(run, &totals, result);
	if (totals.foreign)
		run_caveat(result, "%" PRIu64 " records came that this run has not sent.",
			   totals.foreign);
	if (run->busiest > BUSY)
		run_caveat(result,
			   "A thread of the client was busy for %.0f %% of the time: the client "
			   "may be the limit.",
			   100 * run->busiest);
	if (load_average > LOAD_PER_CORE * cores)
		run_caveat(result, "The machine was busy before: load average %.1f on %.0f cores.",
			   load_average, cores);
}
