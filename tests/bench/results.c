#include "tests/bench/results.h"

#include "base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SECONDS = 5, RATE = 10000 };

/* Most are short, one in ten thousand takes a hundred times as long. */
static void add_latencies(struct histogram *histogram, double median_ns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		double share = ((double)i + 0.5) / (double)count;
		histogram_add(histogram, (uint64_t)(median_ns * pow(0.5 / (1 - share), 0.5)));
	}
}

static struct histogram *latencies(double median_ns)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));

	check(histogram);
	add_latencies(histogram, median_ns, SECONDS * RATE);
	return histogram;
}

static struct histogram_figures second_of(double median_ns, unsigned second)
{
	struct histogram histogram = {0};

	add_latencies(&histogram, median_ns * (1 + 0.1 * second), RATE);
	return histogram_figures_of(&histogram);
}

static void make_samples(struct result *result, double factor)
{
	result->samples = calloc(SECONDS, sizeof(*result->samples));
	check(result->samples);
	result->sample_count = SECONDS;
	for (unsigned i = 0; i < SECONDS; i++) {
		result->samples[i] = (struct sample){
			.at_ms = 1000 * (i + 1),
			.published_per_s = RATE / factor + 100 * i,
			.publish_errors_per_s = i == 2,
			.consumed_per_s = RATE / factor,
			.backlog = 100 * i,
			.publish = second_of(200e3 * factor, i),
			.delay = second_of(5e3, i),
			.end_to_end = second_of(400e3 * factor, i),
			.broker_cpu = 0.25 * factor,
			.broker_resident_bytes = 50000000 + 1000000 * i,
			.client_cpu = 0.5,
		};
	}
}

static void make_workload(struct workload *workload)
{
	workload_init(workload);
	snprintf(workload->name, sizeof(workload->name), "latency");
	snprintf(workload->help, sizeof(workload->help), "How long it takes");
	workload->partitions_per_topic = 16;
	workload->producers_per_topic = 4;
	workload->producer_rate = RATE;
	workload->warm_up_ms = 2000;
	workload->duration_ms = 1000 * SECONDS;
}

static void make_host(struct host *host)
{
	*host = (struct host){
		.cpu = "Example 7 <fast> & \"cheap\"",
		.cores = 8,
		.kernel = "Linux 6.1.0",
		.distribution = "Debian GNU/Linux 12",
		.memory_bytes = 16000000000,
		.governor = "performance",
		.disk = "nvme0n1, Example SSD, ext4",
		.nic = "lo",
		.load_average = 0.25,
	};
}

void results_make(struct result *ret, const char *label, double factor)
{
	*ret = (struct result){
		.driver = "sluice",
		.client_version = "libsluice 0.1.0",
		.url = "tcp://127.0.0.1:9092",
		.started = "2026-01-02T03:04:05Z",
		.commit = "0123456789ab",
		.command = "sluice-bench run --workload latency",
		.seconds = SECONDS,
		.open_loop = true,
		.asked_per_s = RATE / factor,
		.published_per_s = RATE / factor,
		.consumed_per_s = RATE / factor,
		.published = (uint64_t)(SECONDS * RATE / factor),
		.publish_errors = 1,
		.consumed = (uint64_t)(SECONDS * RATE / factor),
		.bytes = (uint64_t)(SECONDS * RATE / factor) * 1024,
		.publish = latencies(200e3 * factor),
		.delay = latencies(5e3),
		.end_to_end = latencies(400e3 * factor),
		.broker_known = true,
		.broker = {1.0 * factor, 0.5 * factor, 54000000, 4096, 51200000, 60000},
		.client = {2.0, 1.5, 9000000, 0, 0, 80000},
		.caveats = "The machine was busy: load average 3.1 on 8 cores.",
	};
	make_workload(&ret->workload);
	snprintf(ret->label, sizeof(ret->label), "%s", label);
	make_samples(ret, factor);
	make_host(&ret->host);
}

char *results_printed(void (*write)(FILE *out, const void *context), const void *context)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	check(out);
	write(out, context);
	fclose(out);
	return text;
}

void assert_golden(const char *name, const char *text)
{
	char path[512], golden[65536];
	bool writes = getenv("SLUICE_WRITE_GOLDEN");

	snprintf(path, sizeof(path), "%s/bench/golden/%s", getenv("SLUICE_TESTS"), name);
	FILE *file = fopen(path, writes ? "w" : "r");
	assert_non_null(file);
	if (writes)
		fputs(text, file);
	size_t length = writes ? 0 : fread(golden, 1, sizeof(golden) - 1, file);
	fclose(file);
	golden[length] = '\0';
	if (!writes)
		assert_string_equal(text, golden);
}
