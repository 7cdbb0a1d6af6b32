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
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/sim/backend.h"
#include "tests/sim/calls_internal.h"
#include "tests/storage/support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	ENTRIES_MAX = 4096,
	PENDING_MAX = 64,
	ROTTEN_MAX = 8,
	PRODUCERS = 3,
	RUNS = 1000,
	BUFFER_BYTES = 16 << 20,
	WHY_BYTES = 256,
};

/* A batch that was appended. */
struct entry {
	int64_t offset, end;
	uint32_t crc;
	bool durable; /* answered for, or shown */
	/* What it was made of. */
	int64_t producer; /* 0: none */
	int32_t sequence;
	unsigned records;
	size_t value_bytes;
};

struct pending {
	struct log_append append;
	uint32_t crc;
	bool used, done;
	int rc;
};

/* A segment of which some bits have turned. */
struct rotten {
	int64_t from, to;
	unsigned bits, lost; /* batches, as they are read now */
};

static struct world {
	struct random random;
	struct disk *disk;
	struct disk_faults faults; /* of this life, once it has recovered */
	struct entry entries[ENTRIES_MAX];
	size_t count;
	struct pending pending[PENDING_MAX];
	uint64_t batches; /* makes each one different */
	int64_t start;    /* records were deleted up to here, durably */
	int32_t leader_epoch;
	struct log_config config;
	bool plain_io, direct_io;
	struct rotten rotten[ROTTEN_MAX];
	unsigned rotten_count;
	bool unreadable;             /* a read has failed once, so there may be a quarantine */
	bool faulty_recovery, whole; /* this life's */
	uint64_t turns;              /* of the schedule, when it is killed */
	/* The life's own. */
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log *log;
	bool closed;
	bool rots_at_all;
	uint64_t lives, refused, repairs, rots;
} world;

/* The log's, as it is made of its identity. */
#define FOLDER "topics/07000000000000000000000000000000/0"

static uint64_t running_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "seed %llu: %s:%d: %s\n",                                  \
				(unsigned long long)running_seed, __FILE__, __LINE__, #x);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static uint64_t below(uint64_t bound)
{
	return random_below(&world.random, bound);
}

static bool one_in(uint64_t n)
{
	return below(n) == 0;
}

/* ---- the model ---- */

static int64_t model_end(void)
{
	return world.count ? world.entries[world.count - 1].end : 0;
}

static void forget_from(int64_t offset)
{
	while (world.count && world.entries[world.count - 1].offset >= offset) {
		require(!world.entries[world.count - 1].durable);
		world.count--;
	}
	require(model_end() == offset);
}

static struct entry *entry_at(int64_t offset)
{
	size_t low = 0;
	size_t high = world.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (world.entries[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	require(low < world.count);
	return &world.entries[low];
}

/* Null: nothing there may be damaged. */
static struct rotten *rotten_at(int64_t offset)
{
	for (unsigned i = 0; i < world.rotten_count; i++) {
		if (offset >= world.rotten[i].from && offset < world.rotten[i].to)
			return &world.rotten[i];
	}
	return NULL;
}

static void note_durable_below(int64_t offset)
{
	for (size_t i = world.count; i-- > 0;) {
		if (world.entries[i].end > offset)
			continue;
		if (world.entries[i].durable)
			return;
		world.entries[i].durable = true;
	}
}

/* ---- steps of a life ---- */

static void collect(void)
{
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		struct pending *pending = &world.pending[i];
		if (!pending->used || !pending->done)
			continue;
		pending->used = false;
		if (pending->rc < 0) {
			require(pending->rc == -ERR_STORAGE || pending->rc == -ERR_CLOSING);
			continue;
		}
		if (pending->append.ack != ACK_DURABLE)
			continue;
		struct entry *entry = entry_at(pending->append.base_offset);
		require(entry->offset == pending->append.base_offset);
		require(entry->crc == pending->crc);
		entry->durable = true;
	}
	if (!world.closed)
		note_durable_below(log_high_watermark(world.log));
}

static void turn(uint64_t wait_ns)
{
	store_submit(world.store);
	require(io_turn(world.io, wait_ns) >= 0);
	collect();
}

static void append_done(struct log_append *append, int rc)
{
	struct pending *pending = container_of(append, struct pending, append);

	pending->done = true;
	pending->rc = rc;
}

static struct pending *free_pending(void)
{
	for (unsigned i = 0; i < PENDING_MAX; i++) {
		if (!world.pending[i].used)
			return &world.pending[i];
	}
	return NULL;
}

static const struct entry *last_of(int64_t producer)
{
	for (size_t i = world.count; i-- > 0;) {
		if (world.entries[i].producer == producer)
			return &world.entries[i];
	}
	return NULL;
}

/* What its entry says, so that a batch can be sent again. */
static struct made_batch make(const struct entry *entry)
{
	if (!entry->producer)
		return make_batch(entry->records, entry->value_bytes, 1000,
				  running_seed << 20 | world.batches++);
	return make_producer_batch(entry->records, entry->value_bytes, entry->producer, 0,
				   entry->sequence, 0);
}

static void note_appended(struct pending *pending, struct entry entry,
			  const struct made_batch *made)
{
	forget_from(pending->append.base_offset);
	entry.offset = pending->append.base_offset;
	entry.end = entry.offset + made->batch.last_offset_delta + 1;
	entry.crc = made->batch.crc;
	entry.durable = false;
	world.entries[world.count++] = entry;
}

/* `again`: the entry of the same batch, that was appended before. */
static void append_batch(struct entry entry, const struct entry *again)
{
	struct pending *pending = free_pending();
	bool damaged = world.unreadable || world.rotten_count;
	bool failed = log_failed(world.log);

	if (!pending || world.count == ENTRIES_MAX)
		return;
	struct made_batch made = make(&entry);
	*pending = (struct pending){.append.done = append_done, .crc = made.batch.crc};
	int rc = log_append(world.log, made.data, &made.batch, -1,
			    one_in(3) ? ACK_SUBMITTED : ACK_DURABLE, &pending->append);
	/* A repair may have found less than there was, or more. */
	bool repaired = failed && !log_failed(world.log);
	world.repairs += repaired;
	pending->used = rc >= 0;
	if (rc == 1)
		require(repaired || damaged ||
			(again && pending->append.base_offset == again->offset));
	else if (rc == 0)
		note_appended(pending, entry, &made);
	else
		require(rc == -ENOBUFS || rc == -ERR_STORAGE ||
			(rc == -ERR_SEQUENCE && (repaired || damaged)));
	if (rc == 0 && again)
		require(repaired || damaged);
	free(made.data);
}

static void append(void)
{
	struct entry entry = {
		.producer = one_in(2) ? (int64_t)below(PRODUCERS + 1) : 0,
		.records = 1 + (unsigned)below(3),
		.value_bytes = one_in(3) ? below(12000) : 400,
	};

	/* A repair at the last housekeeping may have found less than there was. */
	if (!log_failed(world.log))
		forget_from(log_end_offset(world.log));
	const struct entry *last = entry.producer ? last_of(entry.producer) : NULL;
	if (last && one_in(5) && last->offset >= log_start_offset(world.log)) {
		append_batch(*last, last);
		return;
	}
	if (last)
		entry.sequence = last->sequence + (int32_t)last->records;
	append_batch(entry, NULL);
}

struct reading {
	struct log_read read; /* first */
	bool done;
	int rc;
};

static void reading_done(struct log_read *read, int rc)
{
	struct reading *reading = container_of(read, struct reading, read);

	reading->done = true;
	reading->rc = rc;
}

static void check_batches(const struct log_read *read, int64_t high_watermark)
{
	uint8_t *data = malloc(read->bytes);
	size_t filled = 0;
	struct batch batch;

	require(data);
	for (unsigned i = 0; i < read->vector_count; i++) {
		memcpy(data + filled, read->vectors[i].iov_base, read->vectors[i].iov_len);
		filled += read->vectors[i].iov_len;
	}
	require(filled == read->bytes);
	for (size_t at = 0; at < filled; at += batch.size) {
		require(batch_parse(&batch, data + at, filled - at) == 0);
		require(batch_crc_valid(&batch, data + at));
		const struct entry *entry = entry_at(batch.base_offset);
		require(entry->offset == batch.base_offset);
		require(entry->crc == batch.crc);
		require(entry->end <= high_watermark);
	}
	free(data);
}

/* Whole batches from there on, or why not. */
static int read_at(int64_t offset, size_t bytes_max)
{
	struct reading reading = {
		.read = {.offset = offset,
			 .bytes_max = bytes_max,
			 .oversize_first = true,
			 .done = reading_done},
	};
	int64_t high_watermark = log_high_watermark(world.log);

	log_read(world.log, &reading.read);
	while (!reading.done)
		turn(NS_PER_MS);
	if (reading.rc == 0) {
		require(reading.read.bytes > 0);
		if (log_high_watermark(world.log) > high_watermark)
			high_watermark = log_high_watermark(world.log);
		check_batches(&reading.read, high_watermark);
	}
	log_read_release(world.store, &reading.read);
	return reading.rc;
}

static void read_somewhere(void)
{
	int64_t start = log_start_offset(world.log);
	int64_t high_watermark = log_high_watermark(world.log);

	if (start >= high_watermark)
		return;
	int64_t offset = start + (int64_t)below((uint64_t)(high_watermark - start));
	int rc = read_at(offset, 1 + below(40000));
	if (rc == -ERR_CORRUPT)
		require(world.unreadable || rotten_at(offset));
	else /* a log may fail, and be verified, meanwhile */
		require(rc == 0 || world.faults.read_error || world.faults.flush_error);
}

static bool trim_ended;

static void trim_done(struct log_trim *trim, int rc)
{
	require(rc == 0 || rc == -ERR_STORAGE || rc == -ERR_OFFSET_RANGE || rc == -EIO ||
		rc == -ENOSPC);
	if (rc == 0 && trim->start_offset > world.start)
		world.start = trim->start_offset;
	trim_ended = true;
}

static void trim(void)
{
	static struct log_trim asked;

	asked = (struct log_trim){
		.offset = log_start_offset(world.log) + (int64_t)below(6),
		.done = trim_done,
	};
	if (asked.offset > log_high_watermark(world.log))
		return;
	trim_ended = false;
	log_trim(world.log, &asked);
	while (!trim_ended)
		turn(NS_PER_MS);
}

static void step(void)
{
	switch (below(12)) {
	case 0:
		read_somewhere();
		break;
	case 1:
		if (one_in(4))
			trim();
		break;
	case 2:
		store_housekeep(world.store);
		break;
	case 3:
		turn(below(3 * NS_PER_SECOND));
		break;
	case 4:
	case 5:
	case 6:
		turn(below(50000));
		break;
	default:
		append();
	}
}

/* ---- a life ---- */

static uint64_t monotonic_ns(const struct clock *clock)
{
	return sim_now_ns();
}

static int64_t wall_ms(const struct clock *clock)
{
	return sim_wall_ms();
}

static const struct clock sim_clock = {.monotonic_ns = monotonic_ns, .wall_ms = wall_ms};

static void make_store(void)
{
	const struct store_options options = {
		.directory = "topics",
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = world.direct_io,
		.producers_max = 100,
		.producer_expiration_ms = INT64_MAX / NS_PER_SECOND,
	};
	struct io_options io_options = {.depth = 256};

	require(store_region_new(&world.region, BUFFER_BYTES) == 0);
	store_region_options(world.region, &io_options);
	require((world.plain_io ? io_sync_new : sim_backend_new)(&world.io, &io_options) == 0);
	require(store_new(&world.store, &options, world.region, world.io, &sim_clock) == 0);
	/* Commit rounds beside one another, from any size on. */
	if (one_in(2))
		world.store->second_round_bytes = 0;
}

/* Up to `offset` of it was read: each bit costs a batch, but one in the header all. */
static void check_rotten(struct rotten *rotten, int64_t offset)
{
	unsigned batches = 0;

	if (offset < rotten->to && offset < log_high_watermark(world.log))
		return;
	for (size_t i = 0; i < world.count; i++)
		batches += world.entries[i].offset >= rotten->from &&
			   world.entries[i].offset < rotten->to &&
			   world.entries[i].offset >= log_start_offset(world.log);
	require(world.unreadable || rotten->lost <= rotten->bits || rotten->lost == batches);
}

static void check_everything(void)
{
	int64_t end = log_high_watermark(world.log);

	for (unsigned i = 0; i < world.rotten_count; i++)
		world.rotten[i].lost = 0;
	for (int64_t offset = log_start_offset(world.log); offset < end;) {
		int rc = read_at(offset, 1);
		struct rotten *rotten = rotten_at(offset);
		require(rc == 0 || (rc == -ERR_CORRUPT && (world.unreadable || rotten)));
		if (rotten)
			rotten->lost += rc < 0;
		offset = entry_at(offset)->end;
		if (rotten)
			check_rotten(rotten, offset);
	}
}

/* False: an error of the disk was in the way. */
static bool recover(void)
{
	const struct log_identity identity = {
		.topic_id = {{7}},
		.leader_epoch = world.leader_epoch,
	};
	char why[WHY_BYTES] = "";

	if (world.faulty_recovery)
		disk_set_faults(world.disk, &world.faults);
	int rc = log_open(&world.log, world.store, &identity, &world.config, why, sizeof(why));
	if (rc < 0 && (!world.faulty_recovery || (rc != -EIO && rc != -ENOSPC)))
		fprintf(stderr, "not opened: %s: %s\n", error_text(rc), why);
	require(rc == 0 || world.faulty_recovery);
	require(rc == 0 || rc == -EIO || rc == -ENOSPC);
	if (rc < 0)
		return false;
	world.closed = false;
	require(log_start_offset(world.log) >= world.start);
	require(log_end_offset(world.log) == log_high_watermark(world.log));
	forget_from(log_end_offset(world.log));
	note_durable_below(log_end_offset(world.log));
	return true;
}

static void log_closed(void *context)
{
	world.closed = true;
}

static void close_cleanly(void)
{
	bool failed = log_failed(world.log);
	bool faults = world.faults.write_error || world.faults.flush_error ||
		      world.faults.no_space || world.faults.room_bytes ||
		      world.faults.short_transfer;
	int64_t end = log_end_offset(world.log);

	log_close(world.log, false, log_closed, NULL);
	while (!world.closed)
		turn(NS_PER_MS);
	collect();
	/* What was appended is there, asked for or not. */
	if (!failed && !faults)
		note_durable_below(end);
}

static void *live(void *context)
{
	make_store();
	if (!recover()) {
		world.refused++;
		process_exit();
	}
	if (!world.faulty_recovery)
		check_everything();
	disk_set_faults(world.disk, &world.faults);
	for (unsigned steps = (unsigned)below(150); steps; steps--)
		step();
	close_cleanly();
	process_exit();
}

/* ---- a world ---- */

static bool is_over(void *context)
{
	return !process_alive(context) || (!world.whole && schedule_turns() >= world.turns);
}

static uint32_t chance_of_fault(void)
{
	static const uint32_t chances[] = {1000, 10000, 100000};

	return one_in(4) ? chances[below(array_count(chances))] : 0;
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
	world.faulty_recovery = !last && one_in(4);
	if (last || one_in(2))
		return;
	world.faults.read_error = one_in(2) ? chance_of_fault() : 0;
	world.unreadable |= world.faults.read_error != 0;
	world.faults.write_error = chance_of_fault();
	world.faults.flush_error = chance_of_fault();
	world.faults.short_transfer = chance_of_fault();
	world.faults.no_space = chance_of_fault();
	if (one_in(4))
		world.faults.room_bytes = 100000 + below(2 << 20);
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
		if (base_of(name) > ret->from && one_in(2))
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
	struct rotten *known = rotten_at(rotten.from);
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

	if (one_in(4))
		world.rots += disk_rot(world.disk, derived[below(array_count(derived))]);
	if (one_in(6))
		rot_closed();
}

static void one_life(bool last)
{
	draw_faults(last);
	memset(world.pending, 0, sizeof(world.pending));
	world.closed = true;
	world.leader_epoch += one_in(2);
	world.whole = last || one_in(6);
	world.turns = schedule_turns() + below(one_in(2) ? 200 : 5000);
	world.lives++;
	struct process *process = process_new("storage");
	fiber_spawn(process, "storage", live, NULL);
	require(schedule_run(is_over, process));
	if (process_alive(process))
		process_kill(process);
	disk_set_faults(world.disk, &(struct disk_faults){0});
	if (!one_in(3))
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

	running_seed = seed;
	schedule_init(random_split(&random, "schedule"));
	network_init(random_split(&random, "network"));
	world.random = random_split(&random, "world");
	world.disk = disk_new(random_split(&random, "disk"));
	sim_set_disk(world.disk);
	make_topics();
	world.count = 0;
	world.start = 0;
	world.unreadable = false;
	world.rots_at_all = one_in(3);
	world.rotten_count = 0;
	world.leader_epoch = 0;
	world.config = (struct log_config){
		.retention_ms = -1,
		.retention_bytes = -1,
		.segment_bytes = 40000 + below(60000),
		.segment_ms = INT64_MAX,
	};
	world.plain_io = one_in(3);
	world.direct_io = !one_in(3);
	for (unsigned lives = 1 + (unsigned)below(5); lives; lives--)
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
	check(runs < 100 || (world.repairs > runs / 50 && world.refused));
	printf("%llu runs, %llu lives, %llu repairs, %llu starts refused, %llu bits turned\n",
	       (unsigned long long)runs, (unsigned long long)world.lives,
	       (unsigned long long)world.repairs, (unsigned long long)world.refused,
	       (unsigned long long)world.rots);
	return 0;
}
