#include "bench/suite/run_watch.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"

enum {
	TICK_MS = 1000,
	LOOK_MS = 20,           /* how often it looks whether something has ended */
	SILENCE_MS_MAX = 20000, /* the default */
	DRAIN_MS_MAX = 60000,
	DRAIN_SILENCE_SHARE = 4, /* of a silence: then what is missing is lost */
};

static void nap_until(uint64_t until_ns)
{
	struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
				 .tv_nsec = (long)(until_ns % NS_PER_SECOND)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

void run_nap(void)
{
	nap_until(run_now_ns() + LOOK_MS * NS_PER_MS);
}

/* ---- silence ---- */

struct silence {
	uint64_t moved; /* when last seen */
	uint64_t since_ns;
};

/* Who owes nothing may be silent. */
static bool is_silent(struct silence *silence, const struct run_totals *totals, bool owes,
		      unsigned limit_ms)
{
	uint64_t moved = totals->stored + totals->failed + totals->received;

	if (!owes || moved != silence->moved || !silence->since_ns) {
		silence->moved = moved;
		silence->since_ns = totals->at_ns;
	}
	return totals->at_ns - silence->since_ns > limit_ms * NS_PER_MS;
}

static unsigned silence_ms_max(const struct run *run)
{
	return run->options->silence_ms_max ? run->options->silence_ms_max : SILENCE_MS_MAX;
}

/* Acknowledgements, or what a backlog still has for its readers. */
static bool owes(const struct run_totals *totals, const struct run_goal *goal)
{
	return totals->sent > totals->stored + totals->failed || totals->slowest < goal->received;
}

static int fail_silent(struct run *run)
{
	driver_complain(run->options->driver, "nothing came for %.1f s: giving up",
			silence_ms_max(run) / 1000.0);
	run_fail(run, -ETIMEDOUT);
	return -ETIMEDOUT;
}

/* ---- watching ---- */

static void tell(const struct run *run, const struct sample *sample, bool warming_up)
{
	uint64_t now_ns = run_now_ns();
	uint64_t begin_ns = run_counted(&run->begin_ns);
	uint64_t end_ns = run_counted(&run->end_ns);
	/* While a backlog is made nobody knows how long that will take. */
	bool is_known = begin_ns && begin_ns < now_ns;

	if (run->options->progress)
		run->options->progress(run->options->context, sample,
				       is_known ? (unsigned)((now_ns - begin_ns) / NS_PER_MS) : 0,
				       is_known ? (unsigned)((end_ns - begin_ns) / NS_PER_MS) : 0,
				       warming_up);
}

static bool is_reached(const struct run_totals *totals, const struct run_goal *goal)
{
	return (goal->until_ns && totals->at_ns >= goal->until_ns) ||
	       (goal->stored && totals->stored >= goal->stored) ||
	       (goal->received && totals->slowest >= goal->received) ||
	       (goal->settled && totals->stored + totals->failed == totals->sent);
}

int run_watch(struct run *run, struct run_meter *meter, const struct run_goal *goal,
	      bool warming_up)
{
	struct silence silence = {0};
	struct run_totals totals;
	struct sample sample;
	uint64_t tick_ns = run_now_ns() + TICK_MS * NS_PER_MS;

	for (;;) {
		run_totals_of(run, &totals);
		if (is_reached(&totals, goal) || run_was_interrupted() || run_error(run))
			return run_error(run);
		if (totals.at_ns >= tick_ns) {
			tick_ns += TICK_MS * NS_PER_MS;
			int rc = run_meter_sample(meter, &sample);
			if (rc < 0)
				return rc;
			tell(run, &sample, warming_up);
		}
		if (is_silent(&silence, &totals, owes(&totals, goal), silence_ms_max(run)))
			return fail_silent(run);
		uint64_t look_ns = totals.at_ns + LOOK_MS * NS_PER_MS;
		nap_until(goal->until_ns && goal->until_ns < look_ns ? goal->until_ns : look_ns);
	}
}

void run_drain(const struct run *run)
{
	struct silence silence = {0};
	struct run_totals totals;
	uint64_t end_ns = run_now_ns() + DRAIN_MS_MAX * NS_PER_MS;

	do {
		run_nap();
		run_totals_of(run, &totals);
	} while (totals.slowest < totals.stored && totals.at_ns < end_ns && !run_error(run) &&
		 !is_silent(&silence, &totals, true, silence_ms_max(run) / DRAIN_SILENCE_SHARE));
}
