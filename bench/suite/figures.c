#include "bench/suite/result.h"

/* HdrHistogram's way: the largest duration of the step in which the wanted one lies. */
static uint64_t quantile_ns(const struct histogram *histogram, double share)
{
	double wanted = share * (double)histogram->total;
	uint64_t seen = 0;

	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			seen += histogram->counts[power][step];
			if (seen > 0 && (double)seen >= wanted) {
				uint64_t ns = histogram_step_end_ns(power, step) - 1;
				return ns < histogram->max_ns ? ns : histogram->max_ns;
			}
		}
	}
	return histogram->max_ns;
}

struct histogram_figures histogram_figures_of(const struct histogram *histogram)
{
	struct histogram_figures figures = {0};

	if (!histogram || !histogram->total)
		return figures;
	figures.count = histogram->total;
	figures.mean = (double)histogram->sum_ns / (double)histogram->total;
	figures.p50 = quantile_ns(histogram, 0.5);
	figures.p75 = quantile_ns(histogram, 0.75);
	figures.p95 = quantile_ns(histogram, 0.95);
	figures.p99 = quantile_ns(histogram, 0.99);
	figures.p999 = quantile_ns(histogram, 0.999);
	figures.p9999 = quantile_ns(histogram, 0.9999);
	figures.max = histogram->max_ns;
	return figures;
}
