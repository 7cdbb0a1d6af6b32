/* How long one small produce request takes through libsluice, over each of some addresses.
 *
 *   request_latency CPU REQUESTS BYTES TOPIC URL...
 *
 * One record a request, acks=1, one request under way.  Rounds over the addresses alternate, so
 * that what else the machine does falls on all of them alike; the first round is not counted.  The
 * thread is bound to processor CPU (-1: any).  Prints microseconds; request_latency.py starts the
 * broker. */
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "client/sluice.h"

enum { ROUNDS = 10, URLS_MAX = 8, BYTES_MAX = 65536 };

struct target {
	struct sluice_client *client;
	uint64_t *took_ns;
	size_t count;
};

static int fail(const char *what, const char *text)
{
	fprintf(stderr, "request_latency: %s: %s\n", what, text);
	return 1;
}

static int open_target(struct target *target, const char *url, size_t requests)
{
	struct sluice_options *options;

	if (sluice_options_new(&options) < 0)
		return fail(url, "no memory");
	check(sluice_options_set(options, "acks", "1") == 0);
	check(sluice_options_set(options, "linger.ms", "0") == 0);
	int rc = sluice_open(&target->client, url, options);
	sluice_options_free(options);
	target->took_ns = calloc(requests, sizeof(uint64_t));
	if (rc < 0)
		return fail(url, sluice_open_error());
	return target->took_ns ? 0 : fail(url, "no memory");
}

static int measure(struct target *target, const struct sluice_record *record, size_t requests,
		   bool counts)
{
	for (size_t i = 0; i < requests; i++) {
		uint64_t begin_ns = clock_monotonic_ns(clock_system());
		int rc = sluice_produce_sync(target->client, record, NULL);
		if (rc < 0)
			return fail("produce", sluice_error_text(rc));
		if (counts)
			target->took_ns[target->count++] = clock_monotonic_ns(clock_system()) -
							   begin_ns;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Microseconds at `share` of the sorted times. */
static double at(const struct target *target, double share)
{
	size_t index = (size_t)(share * (double)target->count);

	return (double)target->took_ns[index < target->count ? index : target->count - 1] / 1e3;
}

static void print(struct target *target, const char *url)
{
	qsort(target->took_ns, target->count, sizeof(uint64_t), compare);
	printf("%-5.*s %9zu %8.1f %8.1f %8.1f %8.1f %8.1f %9.1f\n", (int)strcspn(url, ":"), url,
	       target->count, at(target, 0), at(target, 0.1), at(target, 0.5), at(target, 0.99),
	       at(target, 0.999), at(target, 1));
}

static int run(struct target *targets, int count, const struct sluice_record *record,
	       size_t requests)
{
	for (int round = -1; round < ROUNDS; round++) {
		for (int i = 0; i < count; i++) {
			int failed = measure(&targets[i], record, requests / ROUNDS, round >= 0);
			if (failed)
				return failed;
		}
	}
	return 0;
}

static int bind_to(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	static uint8_t value[BYTES_MAX];
	struct target targets[URLS_MAX] = {0};
	int count = argc - 5;
	int failed = 0;

	if (count < 1 || count > URLS_MAX) {
		fprintf(stderr, "request_latency CPU REQUESTS BYTES TOPIC URL...\n");
		return 2;
	}
	size_t requests = strtoul(argv[2], NULL, 10);
	const struct sluice_record record = {
		.topic = argv[4], .value = value, .value_length = strtoul(argv[3], NULL, 10)};
	if (requests < ROUNDS || record.value_length > BYTES_MAX)
		return fail("arguments", "at least 10 requests, at most 65536 bytes");
	for (int i = 0; i < count && !failed; i++)
		failed = open_target(&targets[i], argv[5 + i], requests);
	/* After the opening: DPDK's environment chooses processors of its own. */
	if (!failed && bind_to((int)strtol(argv[1], NULL, 10)) < 0)
		failed = fail("processor", argv[1]);
	if (!failed)
		failed = run(targets, count, &record, requests);
	if (!failed)
		puts("        requests      min      p10      p50      p99    p99.9       max   microseconds");
	for (int i = 0; i < count; i++) {
		if (!failed)
			print(&targets[i], argv[5 + i]);
		sluice_close(targets[i].client);
		free(targets[i].took_ns);
	}
	return failed;
}
