/* What a reader of the figures has to know before believing them. */
#include "bench/suite/run_measure.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RATE_REACHED 0.99
#define LATE_S 0.1 /* at the end is a matter of who had the processor */
#define LOAD_PER_CORE 0.5

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

static void about_rate(const struct run *run, struct result *result)
{
	uint64_t unsent = run_counted(&run->unsent);
	double due = result->asked_per_s * result->seconds;
	double sent = (double)run->sent_in_time;

	if (!result->open_loop)
		return;
	if (sent < RATE_REACHED * due && sent < due - LATE_S * result->asked_per_s)
		run_caveat(result, "Sent %.1f %% of what was asked: not to be compared.",
			   100 * sent / due);
	if (unsent)
		run_caveat(result,
			   "%" PRIu64 " records that were due could not be sent; they count with "
			   "what they had waited at the end.",
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

void run_judge(const struct run *run, double load_average, struct result *result)
{
	struct run_totals totals;
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
	if (load_average > LOAD_PER_CORE * cores)
		run_caveat(result, "The machine was busy before: load average %.1f on %.0f cores.",
			   load_average, cores);
}
