/* Result files: the text of one, of ours or of the OpenMessaging Benchmark's. */
#include "base/check.h"
#include "bench/suite/report.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/* No figure lies above the largest duration, and all are in order. */
static void check_figures(const struct histogram *histogram)
{
	struct histogram_figures figures = histogram_figures_of(histogram);

	check(figures.p50 <= figures.p75);
	check(figures.p75 <= figures.p99);
	check(figures.p99 <= figures.p9999);
	check(figures.p9999 <= figures.max);
}

static void check_texts(const struct result *result)
{
	check(memchr(result->label, '\0', sizeof(result->label)));
	check(memchr(result->caveats, '\0', sizeof(result->caveats)));
	check(!strpbrk(result->caveats, "\033\n\r"));
}

static void check_result(const struct result *result)
{
	check(result->sample_count == 0 || result->samples);
	check_figures(result->publish);
	check_figures(result->delay);
	check_figures(result->end_to_end);
	check_texts(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result *results;
	size_t count;
	char why[256] = "";
	char *text = NULL;
	size_t bytes = 0;

	if (result_parse((const char *)data, size, &results, &count, why, sizeof(why)) < 0) {
		check(why[0]);
		return 0;
	}
	FILE *out = open_memstream(&text, &bytes);
	check(out);
	for (size_t i = 0; i < count; i++)
		check_result(&results[i]);
	report_summary(out, results, count);
	fclose(out);
	check(bytes > 0);
	free(text);
	result_free(results, count);
	return 0;
}
