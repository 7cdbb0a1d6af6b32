/* The storage engine alone on the simulated disk: one log, appended to and read, whose process is
 * killed or loses its power anywhere: in an append, a recovery, a close.  Files, names, flushes and
 * faults are those of disk.h, for whatever storage/ does.
 *
 * Checked against a list of what was appended: nothing answered for and nothing shown to a reader
 * is lost, what is there is what was appended at that offset, whole and without a hole; a
 * producer's next batch is taken and its last one, sent again, is known.  Bits that turn in what is
 * derived of the log cost nothing, and in a closed segment what they are in.
 *
 *     storage_test [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "tests/sim/calls_internal.h"
#include "tests/sim/storage_world.h"

#include <fcntl.h>
#include <string.h>

enum { RUNS = 1000 };

/* ---- a world ---- */

static bool is_over(void *context)
{
	return !process_alive(context) || (!world.whole && schedule_turns() >= world.turns);
}

static uint32_t chance_of_fault(void)
{
	static const uint32_t chances[] = {1000, 10000, 100000};

	return world_one_in(4) ? chances[world_below(array_count(chances))] : 0;
}

static void draw_faults(bool last)
{
	world.faults = (struct disk_faults){
		.latency_ns_min = 5000,
		.latency_ns_max = 500000,
		.slow = 10000,
		.slow_ns = 200 * NS_PER_MS,
	};
	disk_set_faults(world.disk, &world.faults);
	world.faulty_recovery = !last && world_one_in(4);
	if (last || world_one_in(2))
		return;
	world.faults.read_error = world_one_in(2) ? chance_of_fault() : 0;
	world.faults.write_error = chance_of_fault();
	world.faults.flush_error = chance_of_fault();
	world.faults.short_transfer = chance_of_fault();
	world.faults.no_space = chance_of_fault();
	if (world_one_in(4))
		world.faults.room_bytes = 100000 + world_below(2 << 20);
}

static int64_t base_of(const char *name)
{
	return strlen(name) == 24 && strcmp(name + 20, ".log") == 0 ? strtoll(name, NULL, 10) : -1;
}

/* A segment that has one behind it. */
static bool choose_closed(struct inode *folder, struct rotten *ret)
{
	const char *name;

	*ret = (struct rotten){.from = -1, .to = INT64_MAX};
	for (unsigned i = 0; (name = inode_name_at(folder, i)); i++) {
		if (base_of(name) > ret->from && world_one_in(2))
			ret->from = base_of(name);
	}
	for (unsigned i = 0; (name = inode_name_at(folder, i)); i++) {
		if (base_of(name) > ret->from && base_of(name) < ret->to)
			ret->to = base_of(name);
	}
	return ret->from >= 0 && ret->to < INT64_MAX;
}

static void rot_closed(void)
{
	char pattern[80];
	struct inode *folder;
	struct rotten rotten;

	if (world.rotten_count == ROTTEN_MAX ||
	    disk_open(world.disk, disk_root(world.disk), FOLDER, O_RDONLY, &folder) < 0)
		return;
	bool chosen = choose_closed(folder, &rotten);
	inode_put(world.disk, folder);
	snprintf(pattern, sizeof(pattern), FOLDER "/%020lld.log", (long long)rotten.from);
	if (!chosen || !disk_rot(world.disk, pattern))
		return;
	struct rotten *known = model_rotten_at(rotten.from);
	if (!known) {
		known = &world.rotten[world.rotten_count++];
		*known = rotten;
	}
	known->bits++;
	world.rots++;
}

/* Between two lives. */
static void rot(void)
{
	static const char *const derived[] = {FOLDER "/*.idx", FOLDER "/*.producers"};

	if (world_one_in(4))
		world.rots += disk_rot(world.disk, derived[world_below(array_count(derived))]);
	if (world_one_in(6))
		rot_closed();
}

static void one_life(bool last)
{
	draw_faults(last);
	memset(world.pending, 0, sizeof(world.pending));
	world.closed = true;
	world.leader_epoch += world_one_in(2);
	world.whole = last || world_one_in(6);
	world.turns = schedule_turns() + world_below(world_one_in(2) ? 200 : 5000);
	world.lives++;
	struct process *process = process_new("storage");
	fiber_spawn(process, "storage", storage_live, NULL);
	require(schedule_run(is_over, process));
	if (process_alive(process))
		process_kill(process);
	disk_set_faults(world.disk, &(struct disk_faults){0});
	if (!world_one_in(3))
		disk_power_cut(world.disk);
	if (world.rots_at_all)
		rot();
}

static void make_topics(void)
{
	struct inode *root = disk_root(world.disk);

	require(disk_make_folder(world.disk, root, "topics") == 0);
	require(inode_flush(world.disk, root, false) == 0);
}

static void run(uint64_t seed)
{
	struct random random = {seed};

	world_seed = seed;
	schedule_init(random_split(&random, "schedule"));
	network_init(random_split(&random, "network"));
	world.random = random_split(&random, "world");
	world.disk = disk_new(random_split(&random, "disk"));
	sim_set_disk(world.disk);
	make_topics();
	world.count = 0;
	world.start = 0;
	world.unreadable = false;
	world.rots_at_all = world_one_in(3);
	world.rotten_count = 0;
	world.leader_epoch = 0;
	world.config = (struct log_config){
		.retention_ms = -1,
		.retention_bytes = -1,
		.segment_bytes = 40000 + world_below(60000),
		.segment_ms = INT64_MAX,
	};
	world.plain_io = world_one_in(3);
	world.direct_io = !world_one_in(3);
	for (unsigned lives = 1 + (unsigned)world_below(5); lives; lives--)
		one_life(false);
	one_life(true);
	disk_free(world.disk);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : RUNS;

	log_set_level(argc > 1 && runs == 1 ? LOG_INFO : LOG_ERROR + 1);
	for (uint64_t seed = first; seed < first + runs; seed++)
		run(seed);
	/* A test of repairs and refusals that has none tests nothing. */
	check(runs < RUNS || (world.repairs > runs / 50 && world.refused));
	printf("%llu runs, %llu lives, %llu repairs, %llu starts refused, %llu bits turned\n",
	       (unsigned long long)runs, (unsigned long long)world.lives,
	       (unsigned long long)world.repairs, (unsigned long long)world.refused,
	       (unsigned long long)world.rots);
	return 0;
}
