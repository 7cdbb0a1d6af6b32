/* bench/suite/report_html_charts.c: what charts the page has of a workload.
 *
 * Over time a label's typical run is drawn; over percentiles the others are there too, faintly. */
#include "bench/suite/report_chart.h"
#include "bench/suite/report_html_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- over percentiles ---- */

enum latency { OF_PUBLISH, OF_END_TO_END };

static void add_ladder(struct curve *curve, const struct histogram *histogram)
{
	struct histogram_rung rungs[HISTOGRAM_RUNGS_MAX];
	size_t count = histogram_ladder(histogram, rungs);

	for (size_t i = 0; i < count; i++)
		curve_add(curve, rungs[i].share, (double)rungs[i].ns / 1e6);
}

static const struct histogram *histogram_of(const struct result *result, enum latency latency)
{
	return latency == OF_PUBLISH ? result->publish : result->end_to_end;
}

static void percentiles_draw(const struct page *page, const struct series *series, size_t count,
			     const char *title, enum latency latency)
{
	struct chart chart = {title, "percentile", "ms", SCALE_NINES, SCALE_LOG, NULL, 0, 0};

	for (size_t i = 0; i < count; i++) {
		const struct result *typical = series_typical(&series[i]);
		unsigned color = page_color(page, series[i].label);

		for (size_t j = 0; j < series[i].count; j++) {
			const struct result *run = series[i].runs[j];
			if (run != typical)
				add_ladder(chart_add(&chart, series[i].label, color, CURVE_FAINT),
					   histogram_of(run, latency));
		}
		add_ladder(chart_add(&chart, series[i].label, color, CURVE_PLAIN),
			   histogram_of(typical, latency));
	}
	chart_draw(&chart, page->out);
	chart_fini(&chart);
}

/* ---- over time ---- */

typedef double sample_value(const struct sample *sample);

static double published(const struct sample *sample)
{
	return sample->published_per_s;
}

static double consumed(const struct sample *sample)
{
	return sample->consumed_per_s;
}

static double p99_ms(const struct sample *sample)
{
	const struct histogram_figures *figures = sample->end_to_end.max ? &sample->end_to_end
									 : &sample->publish;

	return figures->max ? (double)figures->p99 / 1e6 : (double)NAN;
}

static double backlog(const struct sample *sample)
{
	return sample->backlog;
}

static double broker_cpu(const struct sample *sample)
{
	return sample->broker_cpu;
}

static double resident_mb(const struct sample *sample)
{
	return (double)sample->broker_resident_bytes / 1e6;
}

static void add_samples(struct curve *curve, const struct result *result, sample_value *value)
{
	for (size_t i = 0; i < result->sample_count; i++)
		curve_add(curve, (double)result->samples[i].at_ms / 1e3,
			  value(&result->samples[i]));
}

/* Is there anything besides zeros? */
static bool has_samples(const struct result *result, sample_value *value)
{
	for (size_t i = 0; i < result->sample_count; i++) {
		if (value(&result->samples[i]) > 0)
			return true;
	}
	return false;
}

static void add_over_time(struct chart *chart, const struct page *page, const struct series *series,
			  size_t count, sample_value *value, enum curve_style style)
{
	for (size_t i = 0; i < count; i++) {
		const struct result *run = series_typical(&series[i]);

		if (has_samples(run, value))
			add_samples(chart_add(chart, series[i].label,
					      page_color(page, series[i].label), style),
				    run, value);
	}
}

static void over_time_draw(const struct page *page, const struct series *series, size_t count,
			   const char *title, const char *unit, enum chart_scale scale,
			   sample_value *value, sample_value *dashed)
{
	struct chart chart = {title, "s", unit, SCALE_LINEAR, scale, NULL, 0, 0};

	add_over_time(&chart, page, series, count, value, CURVE_PLAIN);
	if (dashed)
		add_over_time(&chart, page, series, count, dashed, CURVE_DASHED);
	chart_draw(&chart, page->out);
	chart_fini(&chart);
}

void page_charts(const struct page *page, const struct series *series, size_t count)
{
	fputs("<div class=\"charts\">\n", page->out);
	percentiles_draw(page, series, count, "End to end latency by percentile", OF_END_TO_END);
	percentiles_draw(page, series, count, "Publish latency by percentile", OF_PUBLISH);
	over_time_draw(page, series, count, "Throughput over time <small>dashed: consumed</small>",
		       "records/s", SCALE_LINEAR, published, consumed);
	over_time_draw(page, series, count, "p99 over time", "ms", SCALE_LOG, p99_ms, NULL);
	over_time_draw(page, series, count, "Broker&#39;s CPU over time", "cores", SCALE_LINEAR,
		       broker_cpu, NULL);
	over_time_draw(page, series, count, "Broker&#39;s memory over time", "MB", SCALE_LINEAR,
		       resident_mb, NULL);
	over_time_draw(page, series, count, "Not yet consumed", "records", SCALE_LINEAR, backlog,
		       NULL);
	fputs("</div>\n", page->out);
}

/* ---- runs side by side ---- */

static double *values_of(const struct series *series, const struct figure *figure)
{
	double *values = calloc(series->count, sizeof(*values));

	for (size_t i = 0; values && i < series->count; i++)
		values[i] = figure->of(series->runs[i]);
	return values;
}

static void figure_bars(const struct page *page, const struct series *series, size_t count,
			const char *title, const char *name)
{
	const struct figure *figure = figure_find(name);
	struct bar *bars = calloc(count, sizeof(*bars));
	double **values = calloc(count, sizeof(*values));

	for (size_t i = 0; bars && values && i < count; i++) {
		values[i] = values_of(&series[i], figure);
		bars[i] = (struct bar){
			.label = series[i].label,
			.color = page_color(page, series[i].label),
			.median = series_figure(&series[i], figure).median,
			.values = values[i],
			.count = values[i] ? series[i].count : 0,
		};
	}
	if (bars && values)
		bars_draw(title, figure->unit, bars, count, page->out);
	for (size_t i = 0; values && i < count; i++)
		free(values[i]);
	free(values);
	free(bars);
}

void page_bars(const struct page *page, const struct series *series, size_t count)
{
	bool publishes = series_typical(&series[0])->published > 0;

	fputs("<div class=\"bars\">\n", page->out);
	figure_bars(page, series, count, publishes ? "Published" : "Consumed",
		    publishes ? "published_per_s" : "consumed_per_s");
	figure_bars(page, series, count, "End to end p99", "end_to_end_p99_ms");
	figure_bars(page, series, count, "Publish p99", "publish_p99_ms");
	figure_bars(page, series, count, "Broker&#39;s CPU", "broker_cpu_s_per_million");
	figure_bars(page, series, count, "Broker&#39;s memory", "broker_resident_mb");
	fputs("</div>\n", page->out);
}
