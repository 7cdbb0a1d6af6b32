#include "bench/suite/run_measure.h"

#include "bench/suite/usage.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define SAMPLE_S_MIN 0.1

struct latencies {
	struct histogram publish;
	struct histogram delay;
	struct histogram end_to_end;
};

struct usages {
	bool broker_known;
	struct usage_total broker;
	struct usage_total client;
};

struct run_meter {
	const struct run *run;
	bool keeps; /* samples */
	struct run_totals begin;
	struct run_totals last;
	struct usages begin_usages;
	struct usages last_usages;
	uint64_t broker_resident_max; /* seen since measuring began; so too the next */
	uint64_t client_resident_max;
	struct latencies *now; /* these two change places */
	struct latencies *before;
	struct latencies latencies[2];
	struct histogram difference;
	struct sample *samples;
	size_t sample_count;
	size_t sample_room;
};

/* ---- counts ---- */

uint64_t run_received(const struct run *run, unsigned subscription, uint64_t *ret_sum)
{
	uint64_t received = 0;
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->consumer_count; i++) {
		const struct run_consumer *consumer = &run->consumers[i];
		if (consumer->subscription != subscription)
			continue;
		received += run_counted(&consumer->received);
		sum += run_counted(&consumer->received_sum);
	}
	if (ret_sum)
		*ret_sum = sum;
	return received;
}

void run_totals_of(const struct run *run, struct run_totals *ret)
{
	struct run_totals totals = {.at_ns = run_now_ns(), .slowest = UINT64_MAX};

	/* What was received first: a record is never seen to have come before it was stored. */
	for (unsigned i = 0; i < run->consumer_count; i++) {
		const struct run_consumer *consumer = &run->consumers[i];
		totals.received += run_counted(&consumer->received);
		totals.foreign += run_counted(&consumer->foreign);
	}
	for (unsigned i = 0; i < run->workload->subscriptions_per_topic; i++) {
		uint64_t received = run_received(run, i, NULL);
		if (received < totals.slowest)
			totals.slowest = received;
	}
	if (run->tail_thread_count) {
		uint64_t received = run->tail_from + run_received(run, RUN_TAIL, NULL);
		if (received < totals.slowest)
			totals.slowest = received;
	}
	for (unsigned i = 0; i < run->producer_count; i++) {
		const struct run_producer *producer = &run->producers[i];
		totals.sent += run_counted(&producer->sent);
		totals.stored += run_counted(&producer->stored);
		totals.stored_sum += run_counted(&producer->stored_sum);
		totals.failed += run_counted(&producer->failed);
	}
	*ret = totals;
}

static double per_second(uint64_t now, uint64_t before, double seconds)
{
	return seconds > 0 ? (double)(now - before) / seconds : 0;
}

static double seconds_between(const struct run_totals *from, const struct run_totals *to)
{
	return (double)(to->at_ns - from->at_ns) / (double)NS_PER_SECOND;
}

/* ---- usage ---- */

static void usages_of(const struct run *run, struct usages *ret)
{
	const struct run_options *options = run->options;
	pid_t self = getpid();

	*ret = (struct usages){0};
	ret->broker_known = options->broker_pid_count &&
			    usage_of(options->broker_pids, options->broker_pid_count,
				     &ret->broker) == 0;
	if (usage_of(&self, 1, &ret->client) < 0)
		ret->client = (struct usage_total){0};
}

static double cores(const struct usage_total *from, const struct usage_total *to, double seconds)
{
	struct usage_total used = usage_between(from, to);

	return seconds > 0 ? (used.user_s + used.system_s) / seconds : 0;
}

static void see_memory(struct run_meter *meter, const struct usages *usages)
{
	if (usages->broker.resident_bytes_max > meter->broker_resident_max)
		meter->broker_resident_max = usages->broker.resident_bytes_max;
	if (usages->client.resident_bytes_max > meter->client_resident_max)
		meter->client_resident_max = usages->client.resident_bytes_max;
}

static void sample_usage(struct run_meter *meter, double seconds, struct sample *sample)
{
	struct usages now;

	usages_of(meter->run, &now);
	if (now.broker_known && meter->last_usages.broker_known) {
		sample->broker_cpu = cores(&meter->last_usages.broker, &now.broker, seconds);
		sample->broker_resident_bytes = now.broker.resident_bytes_max;
	}
	sample->client_cpu = cores(&meter->last_usages.client, &now.client, seconds);
	see_memory(meter, &now);
	meter->last_usages = now;
}

static void give_usage(const struct run_meter *meter, struct result *result)
{
	const struct usages *begin = &meter->begin_usages;
	const struct usages *end = &meter->last_usages;

	result->broker_known = begin->broker_known && end->broker_known;
	if (result->broker_known) {
		result->broker = usage_between(&begin->broker, &end->broker);
		result->broker.resident_bytes_max = meter->broker_resident_max;
	}
	result->client = usage_between(&begin->client, &end->client);
	result->client.resident_bytes_max = meter->client_resident_max;
}

/* ---- the meter ---- */

int run_meter_new(const struct run *run, struct run_meter **ret)
{
	struct run_meter *meter = calloc(1, sizeof(*meter));

	if (!meter)
		return -ENOMEM;
	meter->run = run;
	meter->now = &meter->latencies[0];
	meter->before = &meter->latencies[1];
	run_totals_of(run, &meter->last);
	usages_of(run, &meter->last_usages);
	*ret = meter;
	return 0;
}

void run_meter_free(struct run_meter *meter)
{
	if (!meter)
		return;
	free(meter->samples);
	free(meter);
}

void run_meter_begin(struct run_meter *meter)
{
	/* First, as looking at processes takes its time. */
	run_totals_of(meter->run, &meter->begin);
	meter->last = meter->begin;
	usages_of(meter->run, &meter->begin_usages);
	meter->last_usages = meter->begin_usages;
	meter->keeps = true;
}

static void merge(const struct run *run, struct latencies *ret)
{
	*ret = (struct latencies){0};
	for (unsigned i = 0; i < run->producer_thread_count; i++) {
		const struct run_thread *thread = &run->producer_threads[i];
		histogram_merge(&ret->publish, &thread->publish);
		histogram_merge(&ret->delay, &thread->delay);
	}
	for (unsigned i = 0; i < run->consumer_thread_count; i++)
		histogram_merge(&ret->end_to_end, &run->consumer_threads[i].end_to_end);
}

static struct histogram_figures figures_since(struct run_meter *meter, const struct histogram *now,
					      const struct histogram *before)
{
	histogram_difference(&meter->difference, now, before);
	return histogram_figures_of(&meter->difference);
}

static void sample_latencies(struct run_meter *meter, struct sample *sample)
{
	struct latencies *swap = meter->before;

	meter->before = meter->now;
	meter->now = swap;
	merge(meter->run, meter->now);
	sample->publish = figures_since(meter, &meter->now->publish, &meter->before->publish);
	sample->delay = figures_since(meter, &meter->now->delay, &meter->before->delay);
	sample->end_to_end = figures_since(meter, &meter->now->end_to_end,
					   &meter->before->end_to_end);
}

static int keep(struct run_meter *meter, const struct sample *sample)
{
	if (meter->sample_count == meter->sample_room) {
		size_t room = meter->sample_room ? 2 * meter->sample_room : 64;
		struct sample *samples = realloc(meter->samples, room * sizeof(*samples));
		if (!samples)
			return -ENOMEM;
		meter->samples = samples;
		meter->sample_room = room;
	}
	meter->samples[meter->sample_count++] = *sample;
	return 0;
}

int run_meter_sample(struct run_meter *meter, struct sample *ret)
{
	struct run_totals now;

	run_totals_of(meter->run, &now);
	const struct run_totals *last = &meter->last;
	double seconds = seconds_between(last, &now);
	struct sample sample = {
		.published_per_s = per_second(now.stored, last->stored, seconds),
		.publish_errors_per_s = per_second(now.failed, last->failed, seconds),
		.consumed_per_s = per_second(now.received, last->received, seconds),
	};
	if (meter->keeps)
		sample.at_ms = (now.at_ns - meter->begin.at_ns) / NS_PER_MS;
	if (now.slowest < now.stored)
		sample.backlog = (double)(now.stored - now.slowest);
	sample_latencies(meter, &sample);
	sample_usage(meter, seconds, &sample);
	meter->last = now;
	*ret = sample;
	/* At an early end there may be next to nothing left, which has no rates. */
	bool is_long = seconds >= SAMPLE_S_MIN || meter->sample_count == 0;
	return meter->keeps && is_long ? keep(meter, &sample) : 0;
}

uint64_t run_meter_end(struct run_meter *meter, struct result *result)
{
	const struct run_totals *begin = &meter->begin;
	const struct run_totals *end = &meter->last;

	meter->keeps = false;
	give_usage(meter, result);
	result->seconds = seconds_between(begin, end);
	result->published = end->stored - begin->stored;
	result->publish_errors = end->failed - begin->failed;
	result->consumed = end->received - begin->received;
	result->bytes = result->published * meter->run->workload->message_bytes;
	result->published_per_s = per_second(end->stored, begin->stored, result->seconds);
	result->consumed_per_s = per_second(end->received, begin->received, result->seconds);
	return end->sent - begin->sent;
}

static int copy(const struct histogram *from, struct histogram **ret)
{
	if (!from->total)
		return 0;
	*ret = malloc(sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	**ret = *from;
	return 0;
}

int run_meter_give(struct run_meter *meter, struct result *result)
{
	merge(meter->run, meter->now);
	int rc = copy(&meter->now->publish, &result->publish);
	if (rc == 0)
		rc = copy(&meter->now->delay, &result->delay);
	if (rc == 0)
		rc = copy(&meter->now->end_to_end, &result->end_to_end);
	result->samples = meter->samples;
	result->sample_count = meter->sample_count;
	meter->samples = NULL;
	meter->sample_count = 0;
	return rc;
}
