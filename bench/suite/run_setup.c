/* What a run is made of, from what its workload says: topics, producers, consumers, and the threads
 * that share them out. */
#include "bench/suite/run_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 /* of either kind, unless more are asked for */ };

/* Of what has cache lines of its own. */
static void *array_new(size_t count, size_t bytes)
{
	/* One at least: null is out of memory. */
	void *array = aligned_alloc(RUN_LINE, (count ? count : 1) * bytes);

	return array ? memset(array, 0, (count ? count : 1) * bytes) : NULL;
}

/* Histograms that nothing is added to stay untouched, as the kernel made them. */
static struct run_thread *threads_new(unsigned count)
{
	return calloc(count ? count : 1, sizeof(struct run_thread));
}

static int name_topics(struct run *run)
{
	unsigned count = run->workload->topics;
	unsigned unique = (unsigned)(run_now_ns() >> 10) ^ (unsigned)getpid() << 16;

	run->topics = calloc(count, sizeof(*run->topics));
	if (!run->topics)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		snprintf(run->topics[i], sizeof(run->topics[i]), "sluice-bench-%08x-%u", unique, i);
	return 0;
}

static void fill_target(struct run *run)
{
	const struct workload *workload = run->workload;

	run->target = (struct driver_target){
		.url = run->options->url,
		.settings = (const char *const *)workload->client_settings,
		.acks = workload->acks,
		.batch_bytes_max = workload->batch_bytes_max,
		.linger_us = workload->linger_us,
		.window = workload->window,
		.compression = workload->compression,
		.dedup = workload->dedup,
	};
}

/* ---- threads ---- */

/* They share `count` things that begin at `first`. */
static void threads_init(struct run *run, struct run_thread *threads, unsigned thread_count,
			 unsigned first, unsigned count)
{
	for (unsigned i = 0; i < thread_count; i++) {
		threads[i].run = run;
		threads[i].first = first + i;
		threads[i].step = thread_count;
		threads[i].count = count / thread_count + (i < count % thread_count);
	}
}

static unsigned threads_for(const struct run *run, unsigned count)
{
	unsigned most = run->options->threads ? run->options->threads : THREADS_MAX;

	return count < most ? count : most;
}

/* ---- producers ---- */

static int producers_new(struct run *run)
{
	const struct workload *workload = run->workload;
	unsigned count = workload->topics * workload->producers_per_topic;
	unsigned threads = threads_for(run, count);

	run->producers = array_new(count, sizeof(*run->producers));
	run->producer_threads = threads_new(threads);
	if (!run->producers || !run->producer_threads)
		return -ENOMEM;
	run->producer_count = count;
	run->producer_thread_count = threads;
	for (unsigned i = 0; i < count; i++) {
		run->producers[i].index = i;
		run->producers[i].topic = run->topics[i % workload->topics];
	}
	threads_init(run, run->producer_threads, threads, 0, count);
	return 0;
}

/* ---- consumers ---- */

static void consumer_init(struct run *run, struct run_consumer *consumer, unsigned topic,
			  unsigned subscription, unsigned share)
{
	const struct workload *workload = run->workload;
	bool is_tail = subscription == RUN_TAIL;

	consumer->subscription = subscription;
	consumer->topics[0] = run->topics[topic];
	consumer->measures = is_tail || !workload->tail_consumers;
	consumer->options = (struct driver_consumer_options){
		.topics = consumer->topics,
		.share_index = share,
		.share_count = is_tail ? workload->tail_consumers
				       : workload->consumers_per_subscription,
		.from_earliest = workload->backlog_bytes && !is_tail,
	};
	if (!workload->grouped || is_tail)
		return;
	snprintf(consumer->group, sizeof(consumer->group), "%s-%u", run->topics[topic],
		 subscription);
	consumer->options.group = consumer->group;
	/* The last member of each group. */
	if (workload->rebalance_ms && share + 1 == workload->consumers_per_subscription)
		consumer->leaves_ns = 1;
}

static void consumers_init(struct run *run)
{
	const struct workload *workload = run->workload;
	struct run_consumer *next = run->consumers;

	for (unsigned s = 0; s < workload->subscriptions_per_topic; s++) {
		for (unsigned c = 0; c < workload->consumers_per_subscription; c++) {
			for (unsigned t = 0; t < workload->topics; t++)
				consumer_init(run, next++, t, s, c);
		}
	}
	for (unsigned c = 0; c < workload->tail_consumers; c++) {
		for (unsigned t = 0; t < workload->topics; t++)
			consumer_init(run, next++, t, RUN_TAIL, c);
	}
}

static int consumers_new(struct run *run)
{
	const struct workload *workload = run->workload;
	unsigned tail = workload->topics * workload->tail_consumers;
	unsigned others = workload->topics * workload->subscriptions_per_topic *
			  workload->consumers_per_subscription;
	/* A member has to be polled while others join. */
	unsigned threads = workload->grouped ? others : threads_for(run, others);
	unsigned tail_threads = threads_for(run, tail);

	run->consumers = array_new(others + tail, sizeof(*run->consumers));
	run->consumer_threads = threads_new(threads + tail_threads);
	if (!run->consumers || !run->consumer_threads)
		return -ENOMEM;
	run->consumer_count = others + tail;
	run->consumer_thread_count = threads + tail_threads;
	run->tail_thread_count = tail_threads;
	consumers_init(run);
	threads_init(run, run->consumer_threads, threads, 0, others);
	threads_init(run, run->consumer_threads + threads, tail_threads, others, tail);
	return 0;
}

int run_init(struct run *run, const struct workload *workload, const struct run_options *options)
{
	run->workload = workload;
	run->options = options;
	run->measure_ns = UINT64_MAX;
	run->end_ns = UINT64_MAX;
	fill_target(run);
	int rc = name_topics(run);
	if (rc == 0)
		rc = producers_new(run);
	return rc < 0 ? rc : consumers_new(run);
}

void run_fini(struct run *run)
{
	free(run->topics);
	free(run->producers);
	free(run->producer_threads);
	free(run->consumers);
	free(run->consumer_threads);
}
