/* bench/suite/run_internal.h: what run.c and its threads share.
 *
 * Phases, set by run.c's thread alone:
 *   opening    the threads open their producers and consumers, one kind after the other
 *   filling    producers make the backlog, as fast as they can; consumers stand still
 *   going      records are sent as the pace says; latencies count of what is due from measure_ns
 *              to end_ns
 *   stopping   producers flush and end, consumers take what is left
 *   over       consumers end
 *
 * Counts have one writer, the thread that owns them, and are read by run.c while they grow. */
#pragma once
#include "bench/histogram.h"
#include "bench/suite/pace.h"
#include "bench/suite/run.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum run_phase { RUN_OPENING, RUN_FILLING, RUN_FILLED, RUN_GOING, RUN_STOPPING, RUN_OVER };

enum {
	RUN_POLL_US = 100000,     /* longest wait, so that a new phase is seen */
	RUN_SHARED_POLL_US = 500, /* of one among several in a thread */
	RUN_FLUSH_MS = 30000,
	RUN_LINE = 64, /* of a cache */
};

struct run_producer {
	_Alignas(RUN_LINE) struct run_thread *thread;
	struct driver_producer *driver;
	const char *topic;
	struct pace pace;
	unsigned index; /* of all */
	uint64_t sequence;
	unsigned passed; /* rounds in which nobody looked for answers */
	bool full;       /* its window, when last tried */
	_Atomic uint64_t sent;
	_Atomic uint64_t stored; /* acknowledged */
	_Atomic uint64_t failed;
	_Atomic uint64_t stored_sum; /* of run_mix */
};

struct run_consumer {
	_Alignas(RUN_LINE) struct run_thread *thread;
	struct driver_consumer *driver;
	struct driver_consumer_options options;
	const char *topics[2];
	char group[96];
	unsigned subscription; /* RUN_TAIL: a tail consumer */
	uint64_t leaves_ns;    /* 0: never */
	bool measures;         /* its end to end latencies */
	_Atomic uint64_t received;
	_Atomic uint64_t received_sum; /* of run_mix */
	_Atomic uint64_t foreign;      /* records that are none of this run's */
};

#define RUN_TAIL UINT32_MAX

/* Of producers or of consumers. */
struct run_thread {
	struct run *run;
	pthread_t id;
	bool started;
	unsigned first; /* of run->producers or run->consumers, and every `step`th from there */
	unsigned step;
	unsigned count;
	_Atomic bool ready;  /* all are open */
	_Atomic bool filled; /* producers': none of them adds to the backlog any more */
	uint64_t cpu_ns;     /* used before it was measured */
	struct payload *payload;
	struct histogram publish; /* producers'; so too the next */
	struct histogram delay;
	struct histogram end_to_end; /* consumers' */
};

struct run {
	const struct workload *workload;
	const struct run_options *options;
	struct driver_target target;
	char (*topics)[64];
	struct run_producer *producers;
	unsigned producer_count;
	struct run_thread *producer_threads;
	unsigned producer_thread_count;
	struct run_consumer *consumers;
	unsigned consumer_count; /* the tail's come last */
	struct run_thread *consumer_threads;
	unsigned consumer_thread_count;
	unsigned tail_thread_count; /* the last ones of them */
	uint64_t tail_from;         /* records that were stored before the tail began */
	struct idle *idle;
	_Atomic int phase;
	_Atomic int error;         /* the first one of a thread */
	_Atomic uint64_t begin_ns; /* of pacing; all three are set before the phase begins */
	_Atomic uint64_t measure_ns;
	_Atomic uint64_t end_ns;
	double busiest;          /* thread while it measured: its share of a processor */
	uint64_t sent_in_time;   /* while it measured */
	_Atomic uint64_t unsent; /* due before end_ns, and never sent */
};

static inline void run_count(_Atomic uint64_t *count, uint64_t by)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + by,
			      memory_order_relaxed);
}

static inline uint64_t run_counted(const _Atomic uint64_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

/* Sums of these are alike when the same records were sent and received, in any order. */
static inline uint64_t run_mix(uint64_t intended_ns)
{
	uint64_t mixed = (intended_ns ^ intended_ns >> 31) * UINT64_C(0x9e3779b97f4a7c15);

	return (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

/* Does the latency of what was due then count? */
static inline bool run_measures(const struct run *run, uint64_t intended_ns)
{
	return intended_ns >= run_counted(&run->measure_ns) &&
	       intended_ns < run_counted(&run->end_ns);
}

/* Acquires what was set before the phase. */
static inline enum run_phase run_phase_of(const struct run *run)
{
	return (enum run_phase)atomic_load_explicit(&run->phase, memory_order_acquire);
}

static inline int run_error(const struct run *run)
{
	return atomic_load(&run->error);
}

uint64_t run_now_ns(void);
/* The first failure ends the run. */
void run_fail(struct run *run, int rc);

/* ---- run_setup.c ---- */
/* *run has to be all 0; run_fini is for a half-made one too. */
int run_init(struct run *run, const struct workload *workload, const struct run_options *options);
void run_fini(struct run *run);

/* ---- run_caveats.c ---- */
void run_caveat(struct result *result, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* How busy the threads are from here on, and which one was most, after so much time. */
void run_busy_begin(struct run *run);
double run_busy_end(const struct run *run, double seconds);
/* When all has come that will. */
void run_judge(const struct run *run, struct result *result);

/* ---- the threads' functions: run_produce.c, run_consume.c ---- */
void *run_produce(void *thread);
void *run_consume(void *thread);
