/* The shard's loop.  One turn:
 *
 *     io_turn          completions: bytes from clients become requests, requests become appends;
 *                      written and flushed data becomes answers
 *     timers           long polls that ran out, housekeeping
 *     mesh_receive     parts of other shards' requests, answers to ours, the control plane's word
 *     fetches, appends those that waited for something that has now happened
 *     store_submit     what was appended in this turn goes to the disk as one batch
 *     datagrams        come in behind io_turn; what answers and acknowledgements are due leaves
 * here mesh_flush       messages leave, receivers are woken
 *
 * With nothing to do, an adaptive shard spins for a while and then sleeps in io_turn until an I/O
 * completes, a timer is due or a message wakes it; a busy one never sleeps.  Spinning pays where
 * the next thing comes sooner than a thread is put to sleep and woken, as with a client that asks
 * again at once; it is wasted where the disk is what is waited for.  So the last pauses decide:
 * while most of them were short it spins for SPIN_NS, else for SPIN_LEAST_NS. */
#include "dataplane/shard.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/partition_append.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"
#include "dataplane/tcp/conn.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_config.h>
#include <rte_lcore.h>

enum {
	SPIN_NS = 10000, /* a pause that ends within it is short */
	SPIN_LEAST_NS = 1000,
	SHORT_PAUSES_MAX = 8, /* how far the count of them goes */
	RECEIVE_BUFFERS = 256,
	RECEIVE_BUFFER_BYTES = 65536,
	RING_DEPTH = 1024,
};

static void housekeep(struct timer *timer)
{
	struct shard *shard = container_of(timer, struct shard, housekeeping);

	store_housekeep(shard->store);
	shard_show_stats(shard);
	conn_expire(shard);
	timers_arm(&shard->timers, &shard->housekeeping, shard->now_ns + NS_PER_SECOND);
}

static int open_backend(struct shard *shard)
{
	struct io_options options = {
		.depth = RING_DEPTH,
		.buffer_count = RECEIVE_BUFFERS,
		.buffer_bytes = RECEIVE_BUFFER_BYTES,
	};
	int rc = -ENOSYS;

	store_region_options(shard->region, &options);
	if (!shard->options.sync_io)
		rc = io_uring_new(&shard->io, &options);
	if (rc < 0) {
		if (!shard->options.sync_io && shard->options.index == 0)
			log_warn("shard", "io_uring refused error=\"%s\"; using plain system calls",
				 error_text(rc));
		rc = io_sync_new(&shard->io, &options);
	}
	if (rc == 0)
		__atomic_store_n(&shard->backend_name, shard->io->ops->name, __ATOMIC_RELEASE);
	return rc;
}

static int set_up(struct shard *shard)
{
	struct store_options options = {
		.directory = shard->options.topics_directory,
		.buffer_bytes_max = shard->options.buffer_bytes_max,
		.direct_io = true,
		.producers_max = shard->options.producers_per_partition_max,
		.producers_total_max = shard->options.producers_max,
		.producer_expiration_ms = shard->options.limits.producer_expiration_ms,
		.dedup_bytes_max = shard->options.dedup_bytes_max,
		.scrub_interval_ms = shard->options.scrub_interval_ms,
		.scrub_bytes_per_second = shard->options.limits.scrub_bytes_per_second,
		.compact_map_bytes = shard->options.compact_map_bytes,
		.compact_bytes_per_second = shard->options.limits.compact_bytes_per_second,
		.compact_backoff_ms = shard->options.limits.compact_backoff_ms,
		.open_files_max = shard->options.files_max,
		.index_bytes_max = shard->options.index_bytes_max,
		.offload = shard_offload,
		.hurry = shard_hurry,
		.offload_context = shard,
	};
	int rc = open_backend(shard);

	if (rc < 0)
		return rc;
	rc = store_new(&shard->store, &options, shard->region, shard->io, shard->options.clock);
	if (rc < 0)
		return rc;
	rc = decompressor_new(&shard->decompressor);
	if (rc < 0)
		return rc;
	shard->now_ns = clock_monotonic_ns(shard->options.clock);
	rc = shard_datagrams_open(shard);
	if (rc < 0)
		return rc;
	shard->housekeeping.expired = housekeep;
	return timers_arm(&shard->timers, &shard->housekeeping, shard->now_ns + NS_PER_SECOND);
}

static void tear_down(struct shard *shard)
{
	shard_datagrams_free(shard);
	request_pool_fini(shard);
	fetch_pool_fini(shard);
	frame_pool_fini(&shard->frames);
	map64_fini(&shard->partitions);
	timers_fini(&shard->timers);
	decompressor_free(shard->decompressor);
	store_free(shard->store);
	/* Senders may still want to wake us: from now on there is nobody to wake. */
	mesh_attach(shard->mesh, shard->options.index, NULL, shard);
	close(shard->options.listener);
}

/* A pause without work. */
struct pause {
	uint64_t since_ns;
	bool begun;           /* there was a turn without work */
	unsigned short_count; /* up with every short pause, down with every long one */
};

static void pause_end(struct pause *pause, uint64_t now_ns)
{
	bool is_short = now_ns - pause->since_ns < SPIN_NS;

	if (pause->begun && is_short && pause->short_count < SHORT_PAUSES_MAX)
		pause->short_count++;
	else if (pause->begun && !is_short && pause->short_count)
		pause->short_count--;
	pause->begun = false;
	pause->since_ns = now_ns;
}

static uint64_t pause_spin_ns(const struct pause *pause)
{
	return pause->short_count > SHORT_PAUSES_MAX / 2 ? SPIN_NS : SPIN_LEAST_NS;
}

static uint64_t sleep_ns(struct shard *shard, const struct pause *pause)
{
	if (shard->options.busy_poll || shard->now_ns - pause->since_ns < pause_spin_ns(pause))
		return 0;
	if (!list_empty(&shard->starved) || !list_empty(&shard->blocked))
		return NS_PER_MS;
	uint64_t next_ns = timers_next_ns(&shard->timers);
	uint64_t wait_ns = next_ns > shard->now_ns ? next_ns - shard->now_ns : 0;
	return wait_ns ? shard_datagrams_sleep(shard, wait_ns) : 0;
}

/* Before its logs are open a shard hears the control plane alone: parts of the requests that other
 * shards already serve wait in their rings, in order, instead of not finding a partition. */
static unsigned receive_messages(struct shard *shard)
{
	unsigned self = shard->options.index;

	if (shard->phase == SHARD_STARTING)
		return mesh_receive_from(shard->mesh, self, mesh_control(shard->mesh));
	return mesh_receive(shard->mesh, self);
}

/* `was_busy`: the last turn was.  Returns how much was done. */
static unsigned turn(struct shard *shard, uint64_t wait_ns, bool was_busy)
{
	/* Whoever asks for the time in io_turn does so after it has slept. */
	shard->wall_ms = 0;
	shard->turn_ns = wait_ns ? 0 : shard->now_ns;
	if (wait_ns)
		shard_meter_answers(shard);
	int completed = io_turn(shard->io, wait_ns);

	check(completed >= 0);
	shard->now_ns = clock_monotonic_ns(shard->options.clock);
	shard_meter_turn(shard, completed || was_busy);
	unsigned done = (unsigned)completed;
	if (wait_ns)
		shard_datagrams_woken(shard);
	/* Before anybody is served, what comes waits where it is. */
	if (shard->phase != SHARD_STARTING)
		done += shard_datagrams_receive(shard);
	done += timers_run(&shard->timers, shard->now_ns);
	done += receive_messages(shard);
	done += fetch_run_ready(shard);
	partition_append_blocked(shard);
	conn_resume_starved(shard);
	store_submit(shard->store);
	done += shard_datagrams_turn(shard);
	if (shard->phase >= SHARD_DRAINING)
		shard_stop_step(shard);
	mesh_flush(shard->mesh, shard->options.index);
	return done;
}

static void serve(struct shard *shard)
{
	struct pause pause = {.since_ns = shard->now_ns};
	uint64_t wait_ns = 0;
	unsigned done = 0;

	while (shard->phase != SHARD_STOPPED) {
		done = turn(shard, wait_ns, done > 0);
		shard_count(shard, turns, 1);
		if (done) {
			shard_count(shard, busy_turns, 1);
			pause_end(&pause, shard->now_ns);
			wait_ns = 0;
			continue;
		}
		pause.begun = true;
		wait_ns = sleep_ns(shard, &pause);
		if (wait_ns)
			shard_count(shard, sleeps, 1);
	}
	mesh_flush(shard->mesh, shard->options.index);
}

static void pin(const struct shard *shard)
{
	cpu_set_t cpus;

	if (shard->options.cpu < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET((unsigned)shard->options.cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
		log_warn("shard", "not pinned shard=%u cpu=%d error=\"%s\"", shard->options.index,
			 shard->options.cpu, error_text(-errno));
}

static void *run(void *context)
{
	struct shard *shard = context;
	char name[16];

	snprintf(name, sizeof(name), "shard%u", shard->options.index);
	pthread_setname_np(pthread_self(), name);
	pin(shard);
	/* An lcore id of our own, for the caches of DPDK's pools. */
	rte_thread_register();
	int rc = set_up(shard);
	if (rc < 0) {
		log_error("shard", "cannot start shard=%u error=\"%s\"", shard->options.index,
			  error_text(rc));
		exit(1);
	}
	mesh_attach(shard->mesh, shard->options.index, shard->io, shard);
	serve(shard);
	tear_down(shard);
	rte_thread_unregister();
	return NULL;
}

int shard_start(struct shard **ret, struct mesh *mesh, const struct shard_options *options)
{
	struct shard *shard = calloc(1, sizeof(*shard));
	int rc;

	if (!shard)
		return -ENOMEM;
	/* Large frames come from the heap and go back to it, without a page fault each. */
	mallopt(M_MMAP_THRESHOLD, 64 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	shard->options = *options;
	shard->mesh = mesh;
	list_init(&shard->blocked);
	list_init(&shard->connections);
	list_init(&shard->starved);
	list_init(&shard->starved_frames);
	list_init(&shard->large_frames);
	list_init(&shard->free_requests);
	list_init(&shard->ready_fetches);
	list_init(&shard->free_reads);
	shard->quiet_notes = calloc(options->shard_count, sizeof(struct message));
	rc = shard->quiet_notes ? store_region_new(&shard->region, options->buffer_bytes_max)
				: -ENOMEM;
	if (rc == 0)
		rc = -pthread_create(&shard->thread, NULL, run, shard);
	if (rc < 0) {
		store_region_free(shard->region);
		free(shard->quiet_notes);
		free(shard);
		return rc;
	}
	*ret = shard;
	return 0;
}

void shard_join(struct shard *shard)
{
	pthread_join(shard->thread, NULL);
}

void shard_free(struct shard *shard)
{
	if (!shard)
		return;
	io_free(shard->io);
	store_region_free(shard->region);
	free(shard->quiet_notes);
	free(shard);
}

const struct shard_counters *shard_counters(const struct shard *shard)
{
	return &shard->counters;
}

const struct shard_meters *shard_meters(const struct shard *shard)
{
	return &shard->meters;
}

const char *shard_backend_name(const struct shard *shard)
{
	const char *name = __atomic_load_n(&shard->backend_name, __ATOMIC_ACQUIRE);
	return name ? name : "none";
}
