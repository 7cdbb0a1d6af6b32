#include "bench/suite/pace.h"

#include "base/check.h"
#include "base/clock.h"

void pace_init(struct pace *pace, uint64_t rate, unsigned index, unsigned count, uint64_t begin_ns)
{
	check(index < count);
	check(begin_ns > 0);
	*pace = (struct pace){.first_ns = (double)begin_ns};
	if (!rate)
		return;
	pace->period_ns = (double)NS_PER_SECOND * count / (double)rate;
	pace->first_ns += pace->period_ns * index / count;
	pace->due_ns = pace_due_at(pace, 0);
}

uint64_t pace_left(const struct pace *pace, uint64_t end_ns)
{
	uint64_t left = 0;

	if (!pace->due_ns || pace->due_ns >= end_ns)
		return 0;
	left = (uint64_t)(((double)end_ns - pace->first_ns) / pace->period_ns) - pace->taken;
	/* Rounding may have left one out, or taken one too many. */
	while (pace_due_at(pace, pace->taken + left) < end_ns)
		left++;
	while (left > 0 && pace_due_at(pace, pace->taken + left - 1) >= end_ns)
		left--;
	return left;
}
