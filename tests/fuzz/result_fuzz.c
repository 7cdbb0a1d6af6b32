/* Result files: the text of one, of ours or of the OpenMessaging Benchmark's. */
#include "base/check.h"
#include "bench/suite/report.h"
#include "bench/suite/report_html_internal.h"
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

/* What a result says is no element of the page. */
static void check_page(const struct result *results, size_t count)
{
	struct series *series;
	size_t series_count;
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	check(out);
	check(series_of(results, count, &series, &series_count) == 0);
	report_html_print(out, series, series_count);
	series_free(series, series_count);
	fclose(out);
	check(!strcasestr(text, "<script"));
	free(text);
}

static void check_texts_made(const struct result *results, size_t count)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	check(out);
	report_summary(out, results, count);
	report_compare(out, results, count, results, count, NULL, 0);
	fclose(out);
	check(bytes > 0 && !strchr(text, '\033'));
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result *results;
	size_t count;
	char why[256] = "";

	if (result_parse((const char *)data, size, &results, &count, why, sizeof(why)) < 0) {
		check(why[0]);
		return 0;
	}
	for (size_t i = 0; i < count; i++)
		check_result(&results[i]);
	check_texts_made(results, count);
	check_page(results, count);
	result_free(results, count);
	return 0;
}
