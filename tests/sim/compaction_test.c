/* Compaction on the simulated disk: a log of records with keys, some of them in transactions, is
 * appended to and compacted by a background fiber; its process is killed or loses its power
 * anywhere, and what the disk does may fail.
 *
 * Checked against a list of what was appended, after each start and in between:
 *
 *     - what is there was appended at that offset; the last record of each key that counts is
 * there, or, if that is a tombstone, none of the key; nothing of an open transaction is missing
 *     - a reader of committed records, going by what the log says was aborted, is given exactly the
 *       records there that count
 *     - each producer goes on with its sequence, and its last batch is known
 *
 *     compaction_test [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/control_batch.h"
#include "storage/records.h"
#include "storage/store_internal.h"
#include "tests/sim/backend.h"
#include "tests/sim/calls_internal.h"
#include "tests/sim/compaction_world.h"
#include "tests/storage/keyed.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct world world;
uint64_t running_seed;

/* Shared with the processes that do the runs. */
struct totals {
	uint64_t lives, compactions, removed;
};
static struct totals *totals;

/* ---- the model ---- */

enum outcome outcome_of(int64_t offset, int64_t end)
{
	const struct entry *entry = &world.entries[offset];

	if (entry->producer < 2)
		return COUNTS;
	for (int64_t i = offset + 1; i < end; i++) {
		if (world.entries[i].marker && world.entries[i].producer == entry->producer)
			return world.entries[i].commit ? COUNTS : ABORTED;
	}
	return OPEN;
}

const struct entry *last_of(unsigned producer)
{
	for (int64_t i = world.count; i-- > 0;) {
		if (world.entries[i].producer == producer && !world.entries[i].marker)
			return &world.entries[i];
	}
	return NULL;
}

bool in_transaction(unsigned producer)
{
	for (int64_t i = world.count; i-- > 0;) {
		if (world.entries[i].producer == producer)
			return !world.entries[i].marker;
	}
	return false;
}

static void forget_from(int64_t offset)
{
	require(offset >= world.durable && offset <= world.count);
	world.count = offset;
}

/* ---- the background ---- */

static void offload(void *context, struct store_job *job)
{
	require(world.job_count < sizeof(world.jobs) / sizeof(world.jobs[0]));
	world.jobs[world.job_count++] = job;
	waiting_wake(&world.job_waiting);
}

static void hurry(void *context)
{
	waiting_wake(&world.job_waiting);
}

static void *take_steps(void *context)
{
	for (;;) {
		if (!world.job_count || world.job_ended) {
			waiting_block(&world.job_waiting, UINT64_MAX);
			continue;
		}
		uint64_t pause_ns = world.jobs[0]->step(world.jobs[0]);
		if (pause_ns == STORE_JOB_DONE) {
			world.job_ended = true;
			io_wake(world.io);
		} else if (pause_ns) {
			waiting_block(&world.job_waiting, sim_now_ns() + pause_ns);
		} else {
			fiber_yield();
		}
	}
	return NULL;
}

static void take_job_back(void)
{
	struct store_job *job = world.jobs[0];

	if (!world.job_ended)
		return;
	world.job_ended = false;
	world.job_count--;
	memmove(world.jobs, world.jobs + 1, world.job_count * sizeof(struct store_job *));
	waiting_wake(&world.job_waiting);
	job->done(job);
}

void turn(uint64_t wait_ns)
{
	store_submit(world.store);
	require(io_turn(world.io, wait_ns) >= 0);
	take_job_back();
	if (!world.closed && log_high_watermark(world.log) > world.durable)
		world.durable = log_high_watermark(world.log);
}

/* ---- appending ---- */

static void append_done(struct log_append *append, int rc)
{
	struct appending *appending = container_of(append, struct appending, append);

	appending->done = true;
	appending->rc = rc;
}

static void note_batch(unsigned producer, const struct keyed *records, unsigned count,
		       const struct batch *batch, int64_t base_offset)
{
	forget_from(base_offset);
	for (unsigned i = 0; i < count; i++)
		world.entries[world.count++] = (struct entry){
			.key = records ? records[i].key : NO_KEY,
			.value = records ? records[i].value : TOMBSTONE,
			.producer = producer,
			.marker = !records,
			.last_sequence = batch->base_sequence + (int32_t)count - 1,
			.base_offset = base_offset,
		};
}

/* Waited for, but with a chance.  Returns log_append's answer. */
static int submit(const struct made_batch *made, struct appending *appending)
{
	*appending = (struct appending){.append.done = append_done};
	return log_append(world.log, made->data, &made->batch, -1, ACK_DURABLE, &appending->append);
}

/* A failed log is verified; what it then ends with is known. */
static void repair(void)
{
	for (unsigned tries = 0; log_failed(world.log); tries++) {
		require(tries < 1000);
		turn(NS_PER_SECOND);
		store_housekeep(world.store);
	}
	forget_from(log_end_offset(world.log));
}

static void await(struct appending *appending)
{
	while (!appending->done)
		turn(NS_PER_MS);
	require(appending->rc == 0 || world.faulty);
	if (appending->rc < 0)
		repair();
}

static void refused(int rc)
{
	require(rc == -ENOBUFS || (rc == -ERR_STORAGE && world.faulty));
	turn(NS_PER_MS);
	repair();
}

static void append_records(void)
{
	unsigned producer = (unsigned)below(PRODUCERS);
	unsigned count = 1 + (unsigned)below(BATCH_MAX);
	const struct entry *last = producer ? last_of(producer) : NULL;
	struct keyed records[BATCH_MAX];
	struct appending appending;
	const struct keyed_options options = {
		.codec = one_in(4) ? (enum batch_codec)below(CODEC_COUNT) : CODEC_NONE,
		.attributes = producer > 1 ? BATCH_TRANSACTIONAL : 0,
		.first_ms = one_in(3) ? 0 : sim_wall_ms(),
		.producer_id = producer,
		.base_sequence = last ? last->last_sequence + 1 : 0,
		.padding = one_in(3) ? below(3000) : 100,
	};

	if (world.count + BATCH_MAX + 1 > ENTRIES_MAX)
		return;
	for (unsigned i = 0; i < count; i++)
		records[i] = (struct keyed){(int64_t)below(world.keys),
					    one_in(6) ? TOMBSTONE : world.values++};
	struct made_batch made = make_keyed_batch(records, count, &options);
	int rc = submit(&made, &appending);
	if (rc == 0)
		note_batch(producer, records, count, &made.batch, appending.append.base_offset);
	free(made.data);
	if (rc == 0)
		await(&appending);
	else
		refused(rc);
}

static void end_transaction(void)
{
	unsigned producer = 2 + (unsigned)below(PRODUCERS - 2);
	const struct control_marker marker = {
		.type = one_in(2) ? CONTROL_ABORT : CONTROL_COMMIT,
		.producer_id = producer,
		.timestamp_ms = sim_wall_ms(),
	};
	struct appending appending;

	if (!in_transaction(producer) || world.count == ENTRIES_MAX)
		return;
	struct made_batch made = make_marker(&marker);
	int rc = submit(&made, &appending);
	if (rc == 0) {
		note_batch(producer, NULL, 1, &made.batch, appending.append.base_offset);
		world.entries[world.count - 1].commit = marker.type == CONTROL_COMMIT;
	}
	free(made.data);
	if (rc == 0)
		await(&appending);
	else
		refused(rc);
}

/* ---- a life ---- */

static void make_store(void)
{
	const struct store_options options = {
		.directory = "topics",
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = world.direct_io,
		.producers_max = 100,
		.producer_expiration_ms = INT64_C(24) * 3600 * 1000,
		.compact_map_bytes = world.map_bytes,
		.compact_bytes_per_second = one_in(4) ? 1 << 20 : 0,
		.offload = offload,
		.hurry = hurry,
	};
	struct io_options io_options = {.depth = 256};

	require(store_region_new(&world.region, BUFFER_BYTES) == 0);
	store_region_options(world.region, &io_options);
	require((world.plain_io ? io_sync_new : sim_backend_new)(&world.io, &io_options) == 0);
	require(store_new(&world.store, &options, world.region, world.io, sim_clock()) == 0);
}

static void recover(void)
{
	const struct log_identity identity = {
		.topic_id = {{7}},
		.leader_epoch = world.leader_epoch,
	};
	char why[WHY_BYTES] = "";
	int rc = log_open(&world.log, world.store, &identity, &world.config, why, sizeof(why));

	if (rc < 0)
		fprintf(stderr, "not opened: %s: %s\n", error_text(rc), why);
	require(rc == 0);
	world.closed = false;
	require(log_end_offset(world.log) == log_high_watermark(world.log));
	require(log_start_offset(world.log) == 0);
	forget_from(log_end_offset(world.log));
	world.durable = world.count;
	check_contents(true);
	check_producers();
}

static void step(void)
{
	switch (below(12)) {
	case 0:
		if (one_in(4))
			check_contents(!world.job_count);
		break;
	case 1:
	case 2:
		store_housekeep(world.store);
		break;
	case 3:
		turn(below(3 * NS_PER_SECOND));
		break;
	case 4:
	case 5:
		end_transaction();
		break;
	default:
		append_records();
	}
}

static void log_closed(void *context)
{
	world.closed = true;
}

static void *live(void *context)
{
	make_store();
	recover();
	disk_set_faults(world.disk, &world.faults);
	for (unsigned steps = (unsigned)below(300); steps; steps--)
		step();
	totals->compactions += store_stats(world.store)->compactions;
	totals->removed += store_stats(world.store)->compact_removed_records;
	log_close(world.log, false, log_closed, NULL);
	while (!world.closed)
		turn(NS_PER_MS);
	process_exit();
}

/* ---- a world ---- */

static bool is_over(void *context)
{
	return !process_alive(context) || (!world.whole && schedule_turns() >= world.turns);
}

static uint32_t chance_of_fault(void)
{
	return one_in(3) ? 3000 : 0;
}

static void draw_faults(bool last)
{
	world.faults = (struct disk_faults){.latency_ns_min = 5000, .latency_ns_max = 500000};
	disk_set_faults(world.disk, &world.faults);
	world.faulty = !last && one_in(3);
	if (!world.faulty)
		return;
	world.faults.write_error = chance_of_fault();
	world.faults.flush_error = chance_of_fault();
	world.faults.short_transfer = chance_of_fault();
	world.faults.no_space = chance_of_fault();
}

static void one_life(bool last)
{
	draw_faults(last);
	world.closed = true;
	world.job_count = 0;
	world.job_ended = false;
	world.job_waiting = (struct waiting){0};
	world.leader_epoch += one_in(2);
	world.whole = last || one_in(4);
	world.turns = schedule_turns() + below(one_in(3) ? 500 : 20000);
	totals->lives++;
	struct process *process = process_new("storage");
	fiber_spawn(process, "storage", live, NULL);
	fiber_spawn(process, "background", take_steps, NULL);
	require(schedule_run(is_over, process));
	if (process_alive(process))
		process_kill(process);
	if (one_in(3))
		return;
	disk_set_faults(world.disk, &(struct disk_faults){0});
	disk_power_cut(world.disk);
}

static void make_topics(void)
{
	struct inode *root = disk_root(world.disk);

	require(disk_make_folder(world.disk, root, "topics") == 0);
	require(inode_flush(world.disk, root, false) == 0);
}

static void draw_config(void)
{
	static const int64_t retentions_ms[] = {0, 2000, INT64_C(24) * 3600 * 1000};

	world.config = (struct log_config){
		.retention_ms = -1,
		.retention_bytes = -1,
		.segment_bytes = 12000 + below(20000),
		.segment_ms = INT64_MAX,
		.compact =
			{
				.enabled = true,
				.min_dirty_ratio = one_in(2) ? 0 : 0.4,
				.max_lag_ms = INT64_MAX,
				.delete_retention_ms =
					retentions_ms[below(array_count(retentions_ms))],
			},
	};
	/* Of the smallest map, which has room for half of them, several passes are needed. */
	world.map_bytes = one_in(3) ? 1 : 1 << 20;
	world.keys = world.map_bytes == 1 ? KEYS_MAX : 12;
}

static void run(uint64_t seed)
{
	struct random random = {seed};

	running_seed = seed;
	schedule_init(random_split(&random, "schedule"));
	network_init(random_split(&random, "network"));
	world.random = random_split(&random, "world");
	world.disk = disk_new(random_split(&random, "disk"));
	sim_set_disk(world.disk);
	make_topics();
	world.count = world.durable = 0;
	world.values = 0;
	world.leader_epoch = 0;
	world.plain_io = one_in(3);
	world.direct_io = !one_in(3);
	draw_config();
	for (unsigned lives = 2 + (unsigned)below(5); lives; lives--)
		one_life(false);
	one_life(true);
	disk_free(world.disk);
}

/* By a process of their own: what a killed life had on the heap is never freed. */
static bool run_some(uint64_t first, uint64_t runs)
{
	int status = 0;
	pid_t child = fork();

	check(child >= 0);
	if (child == 0) {
		for (uint64_t i = 0; i < runs && i < PROCESS_RUNS; i++)
			run(first + i);
		_exit(0);
	}
	check(waitpid(child, &status, 0) == child);
	return status == 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : RUNS;

	log_set_level(argc > 1 && runs == 1 ? LOG_INFO : LOG_ERROR + 1);
	totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	check(totals != MAP_FAILED);
	for (uint64_t done = 0; done < runs; done += PROCESS_RUNS) {
		if (!run_some(first + done, runs - done))
			return 1;
	}
	/* A test of compaction that has none tests nothing. */
	check(runs < 100 || (totals->compactions > runs && totals->removed > 100 * runs));
	printf("%llu runs, %llu lives, %llu compactions, %llu records removed\n",
	       (unsigned long long)runs, (unsigned long long)totals->lives,
	       (unsigned long long)totals->compactions, (unsigned long long)totals->removed);
	return 0;
}
