/* bench/suite/figures.c: what histograms say, as figures and as a ladder.
 *
 * Both are HdrHistogram's: a share of all durations is told as the largest duration of the step in
 * which it lies.  The ladder halves what is left to the longest again and again, with the same
 * number of rungs to each half, so that the tail is as legible as the rest:
 *
 *     share 0      0.5         0.75  0.875 ..  1
 *           |--------------------|----------|-----|--|-|
 */
#include "bench/suite/result.h"

#include <assert.h>
#include <math.h>

enum {
	RUNGS_PER_HALF = 10,
	HALVES = 64, /* no total has more */
	STEPS = HISTOGRAM_POWERS * HISTOGRAM_STEPS,
};

static const double named_shares[] = {0.50, 0.75, 0.95, 0.99, 0.999, 0.9999, 0.99999};
enum { NAMED_COUNT = sizeof(named_shares) / sizeof(named_shares[0]) };

static_assert(HALVES * RUNGS_PER_HALF + NAMED_COUNT + 1 <= HISTOGRAM_RUNGS_MAX, "room");

/* ---- walking over the steps ---- */

struct walk {
	const struct histogram *histogram;
	unsigned index; /* of all steps; the next one */
	uint64_t ns;    /* the largest duration of the last one that had any */
	uint64_t seen;  /* in it and before */
};

static uint64_t step_largest_ns(const struct histogram *histogram, unsigned index)
{
	uint64_t ns = histogram_step_end_ns(index / HISTOGRAM_STEPS, index % HISTOGRAM_STEPS) - 1;

	return ns < histogram->max_ns ? ns : histogram->max_ns;
}

/* How many durations the part `share` of all is; at least one. */
static uint64_t share_count(uint64_t total, double share)
{
	double count = ceil(share * (double)total - 1e-6);

	if (count < 1)
		return 1;
	return count < (double)total ? (uint64_t)count : total;
}

static uint64_t walk_to(struct walk *walk, double share)
{
	uint64_t wanted = share_count(walk->histogram->total, share);

	for (; walk->seen < wanted && walk->index < STEPS; walk->index++) {
		uint64_t count = walk->histogram->counts[walk->index / HISTOGRAM_STEPS]
							[walk->index % HISTOGRAM_STEPS];
		if (count)
			walk->ns = step_largest_ns(walk->histogram, walk->index);
		walk->seen += count;
	}
	return walk->ns;
}

struct histogram_figures histogram_figures_of(const struct histogram *histogram)
{
	struct histogram_figures figures = {0};
	uint64_t *const named[NAMED_COUNT] = {&figures.p50,   &figures.p75,  &figures.p95,
					      &figures.p99,   &figures.p999, &figures.p9999,
					      &figures.p99999};
	struct walk walk = {.histogram = histogram};

	if (!histogram || !histogram->total)
		return figures;
	for (unsigned i = 0; i < NAMED_COUNT; i++)
		*named[i] = walk_to(&walk, named_shares[i]);
	figures.count = histogram->total;
	figures.mean = (double)histogram->sum_ns / (double)histogram->total;
	figures.max = histogram->max_ns;
	return figures;
}

/* ---- the ladder ---- */

static double rung_share(unsigned index)
{
	double left = ldexp(1, -(int)(index / RUNGS_PER_HALF));

	return 1 - left + left / 2 * (index % RUNGS_PER_HALF) / RUNGS_PER_HALF;
}

size_t histogram_ladder(const struct histogram *histogram, struct histogram_rung *rungs)
{
	struct walk walk = {.histogram = histogram};
	unsigned named = 0;
	size_t count = 0;

	if (!histogram || !histogram->total)
		return 0;
	for (unsigned i = 0; i < HALVES * RUNGS_PER_HALF;) {
		double share = rung_share(i);

		if (named < NAMED_COUNT && named_shares[named] < share + 1e-12) {
			i += share - named_shares[named] < 1e-12; /* it is this rung */
			share = named_shares[named++];
		} else {
			i++;
		}
		uint64_t ns = walk_to(&walk, share);
		if (walk.seen >= histogram->total)
			break; /* the rest is the last rung */
		rungs[count++] = (struct histogram_rung){share, ns, walk.seen};
	}
	rungs[count++] = (struct histogram_rung){1, histogram->max_ns, histogram->total};
	return count;
}

void histogram_from_ladder(struct histogram *ret, const struct histogram_rung *rungs, size_t count,
			   uint64_t total, double mean_ns)
{
	for (size_t i = 0; i < count && total; i++) {
		uint64_t upto = share_count(total, rungs[i].share);

		if (upto > ret->total)
			histogram_add_many(ret, rungs[i].ns, upto - ret->total);
	}
	double sum_ns = mean_ns * (double)ret->total;
	ret->sum_ns = sum_ns < 0x1p64 ? (uint64_t)sum_ns : UINT64_MAX;
}
