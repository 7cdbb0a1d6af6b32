/* bench/suite/report_percentiles.c: distributions in the text that HdrHistogram prints and its
 * plotters read, one file a label and latency:
 *
 *        Value     Percentile TotalCount 1/(1-Percentile)
 *
 *        0.402 0.500000000000      25000           2.00
 *
 * Values are milliseconds, of all runs together. */
#include "bench/suite/report.h"

#include "bench/suite/replace_file.h"
#include "bench/suite/report_figures.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static double deviation_ms(const struct histogram *histogram, double mean_ns)
{
	double sum = 0;

	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			double count = (double)histogram->counts[power][step];
			double from_mean = (double)histogram_step_ns(power, step) - mean_ns;
			sum += count * from_mean * from_mean;
		}
	}
	return sqrt(sum / (double)histogram->total) / 1e6;
}

void report_percentiles_print(FILE *out, const struct histogram *histogram)
{
	struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];
	struct histogram_figures figures = histogram_figures_of(histogram);
	size_t count = histogram_ladder(histogram, rungs);

	fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
		"1/(1-Percentile)");
	for (size_t i = 0; i < count; i++) {
		fprintf(out, "%12.6f %2.12f %10llu", (double)rungs[i].ns / 1e6, rungs[i].share,
			(unsigned long long)rungs[i].seen);
		if (rungs[i].share < 1)
			fprintf(out, " %14.2f", 1 / (1 - rungs[i].share));
		fputc('\n', out);
	}
	fprintf(out, "#[Mean    = %12.6f, StdDeviation   = %12.6f]\n", figures.mean / 1e6,
		count ? deviation_ms(histogram, figures.mean) : 0);
	fprintf(out, "#[Max     = %12.6f, Total count    = %12llu]\n", (double)figures.max / 1e6,
		(unsigned long long)figures.count);
	fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", HISTOGRAM_POWERS,
		HISTOGRAM_STEPS);
}

/* ---- files ---- */

static const struct histogram *publish_of(const struct result *result)
{
	return result->publish;
}

static const struct histogram *end_to_end_of(const struct result *result)
{
	return result->end_to_end;
}

/* Letters, digits and what a file's name may well have. */
static void name_part(const char *text, char *part, size_t bytes)
{
	snprintf(part, bytes, "%s", text);
	for (char *c = part; *c; c++)
		*c = isalnum((unsigned char)*c) || *c == '_' ? *c : '-';
}

/* No file where nothing was measured. */
static int write_one(const char *folder, const struct series *series, const char *what,
		     const struct histogram *(*of)(const struct result *result))
{
	struct histogram *all = calloc(1, sizeof(*all));
	char workload[WORKLOAD_NAME_BYTES], label[64], path[PATH_MAX];
	struct replace_file file;
	int rc = all ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < series->count; i++) {
		if (of(series->runs[i]))
			histogram_merge(all, of(series->runs[i]));
	}
	if (rc == 0 && all->total) {
		name_part(series->workload, workload, sizeof(workload));
		name_part(series->label, label, sizeof(label));
		if (snprintf(path, sizeof(path), "%s/%s.%s.%s.hgrm", folder, workload, label,
			     what) >= PATH_MAX)
			rc = -ENAMETOOLONG;
		if (rc == 0)
			rc = replace_file_open(&file, path);
		if (rc == 0) {
			report_percentiles_print(file.out, all);
			rc = replace_file_close(&file, true);
		}
	}
	free(all);
	return rc;
}

int report_percentiles_begin(const char *folder)
{
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return -errno;
	return access(folder, W_OK | X_OK) == 0 ? 0 : -errno;
}

int report_percentiles(const char *folder, const struct result *results, size_t count)
{
	struct series *series = NULL;
	size_t series_count = 0;
	int rc = report_percentiles_begin(folder);

	if (rc == 0)
		rc = series_of(results, count, &series, &series_count);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < series_count; i++) {
		rc = write_one(folder, &series[i], "publish", publish_of);
		if (rc == 0)
			rc = write_one(folder, &series[i], "end-to-end", end_to_end_of);
	}
	series_free(series, series_count);
	return rc;
}
