/* Any sequence of appends with ids, time, clock steps, purges, changed configurations, files that
 * cannot be written or are damaged, failed writes, reopenings, kills and power cuts, against what
 * of each id must be remembered, may be, and must be forgotten.
 *
 *     dedup_model_test [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/id_batch.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RUNS = 60,
	STEPS = 250,
	NUMBERS = 400,
	BATCH_MAX = 12,
	WINDOW_MS = 160000,
	/* The longest that an id may live when clocks and timestamps go together. */
	OUTLIVED_MS = WINDOW_MS + WINDOW_MS / 5,
};

struct known {
	int64_t offset; /* of the record, -1: none in this window */
	int64_t ms;     /* largest timestamp of the log then */
	uint64_t ns;
	bool sure; /* nothing has allowed the log to forget it early */
};

struct model {
	struct chance chance;
	struct rig rig;
	struct known ids[NUMBERS + 1];
	int64_t largest_ms;
	int64_t seen_ms;     /* likewise, with batches that were not stored */
	uint64_t started_ns; /* the log was opened last */
	bool stepped;        /* the wall clock has been set */
	bool blocked;        /* no file of ids can be written, ... */
	uint64_t blocked_ns; /* ... or could not be at that time, and is not tried at once again */
	uint64_t evictions;
	int32_t sequence;
	/* Of the batch at hand. */
	int64_t kept[BATCH_MAX]; /* offsets of its records that are stored, -1: not */
	int64_t base;
	unsigned count;
};

static const uint64_t RETRY_NS = 10 * NS_PER_SECOND;
static uint64_t running_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "seed %llu: %s:%d: %s\n",                                  \
				(unsigned long long)running_seed, __FILE__, __LINE__, #x);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void unsure(struct model *m, int64_t below_offset)
{
	for (unsigned i = 0; i <= NUMBERS; i++)
		m->ids[i].sure &= m->ids[i].offset >= below_offset;
}

static void note_evictions(struct model *m)
{
	uint64_t evictions = store_stats(m->rig.store)->dedup_evictions;

	if (evictions != m->evictions)
		unsure(m, INT64_MAX);
	m->evictions = evictions;
}

static int64_t within_wall(const struct model *m, int64_t ms)
{
	return ms < m->rig.now_ms ? ms : m->rig.now_ms;
}

/* `ms`: the batch's timestamp. */
static bool must_be_known(const struct model *m, const struct known *known, int64_t ms)
{
	int64_t seen_ms = within_wall(m, ms) > m->seen_ms ? within_wall(m, ms) : m->seen_ms;

	if (known->offset < 0 || !known->sure)
		return false;
	if (m->rig.now_ns - known->ns <= (uint64_t)WINDOW_MS * NS_PER_MS)
		return true;
	return !m->stepped && seen_ms - known->ms <= WINDOW_MS;
}

static bool may_be_known(const struct model *m, const struct known *known, int64_t ms)
{
	uint64_t since_ns = known->ns > m->started_ns ? known->ns : m->started_ns;

	return known->offset >= 0 &&
	       (m->stepped || m->rig.now_ns - since_ns <= (uint64_t)OUTLIVED_MS * NS_PER_MS ||
		within_wall(m, ms) - known->ms <= OUTLIVED_MS);
}

static void note_kept(void *context, int64_t offset, uint64_t number)
{
	struct model *m = context;

	(void)number;
	if (offset >= m->base && offset < m->base + m->count)
		m->kept[offset - m->base] = offset;
}

static void read_batch(struct model *m, int64_t base, unsigned count)
{
	m->base = base;
	m->count = count;
	for (unsigned i = 0; i < BATCH_MAX; i++)
		m->kept[i] = -1;
	if (log_start_offset(m->rig.log) < log_high_watermark(m->rig.log))
		rig_each_record(&m->rig, note_kept, m);
}

static void judge_record(struct model *m, uint64_t number, int64_t ms, int64_t kept)
{
	struct known *known = &m->ids[number];

	if (!number) {
		require(kept >= 0);
		return;
	}
	if (kept < 0) {
		require(may_be_known(m, known, ms));
		return;
	}
	require(!must_be_known(m, known, ms));
	known->offset = kept;
	known->ns = m->rig.now_ns;
	known->ms = within_wall(m, ms) > m->largest_ms ? within_wall(m, ms) : m->largest_ms;
	known->sure = true;
}

static void judge(struct model *m, const uint64_t *numbers, unsigned count, int64_t ms,
		  int64_t before, int64_t answered)
{
	int64_t end = log_end_offset(m->rig.log);
	int64_t first = m->ids[numbers[0]].offset;
	bool any = false;

	require(end == before || end == before + count);
	read_batch(m, before, count);
	for (unsigned i = 0; i < count; i++) {
		judge_record(m, numbers[i], ms, m->kept[i]);
		any |= m->kept[i] >= 0;
	}
	/* What was forgotten while no file could be written may come back in its place. */
	require(answered == (any ? before : first) || m->blocked_ns);
	if (any)
		m->largest_ms = m->largest_ms > within_wall(m, ms) ? m->largest_ms
								   : within_wall(m, ms);
	if (within_wall(m, ms) > m->seen_ms)
		m->seen_ms = within_wall(m, ms);
	note_evictions(m);
}

static void append_some(struct model *m)
{
	struct rig *rig = &m->rig;
	uint64_t numbers[BATCH_MAX];
	unsigned count = 1 + (unsigned)chance_below(&m->chance, BATCH_MAX);
	uint64_t below = chance_one_in(&m->chance, 2) ? 30 : NUMBERS + 1;
	struct id_batch_options options = {
		.codec = chance_one_in(&m->chance, 2)
				 ? CODEC_NONE
				 : (enum batch_codec)chance_below(&m->chance, CODEC_COUNT),
		.first_ms = rig->now_ms - (int64_t)chance_below(&m->chance, WINDOW_MS / 4),
	};
	int64_t before = log_end_offset(rig->log);
	int64_t answered = -1;

	for (unsigned i = 0; i < count; i++)
		numbers[i] = chance_below(&m->chance, below);
	if (chance_one_in(&m->chance, 20))
		options.first_ms = rig->now_ms + (INT64_C(1) << 40);
	if (chance_one_in(&m->chance, 3)) {
		options.producer_id = 4711;
		options.base_sequence = m->sequence;
		m->sequence += (int32_t)count;
	}
	struct made_batch made = make_id_batch(numbers, count, &options);
	require(rig_append(rig, &made, ACK_DURABLE, &answered) == 0);
	judge(m, numbers, count, options.first_ms, before, answered);
	/* Sent again, it is known by the producer, and answered alike. */
	if (options.producer_id && chance_one_in(&m->chance, 2)) {
		int64_t end = log_end_offset(rig->log);
		int64_t again = -1;
		require(rig_append(rig, &made, ACK_DURABLE, &again) == 0);
		require(log_end_offset(rig->log) == end);
		require(again == answered || !rig->config.dedup.enabled);
	}
	free_id_batch(&made);
}

static void pass(struct model *m, int64_t ms)
{
	m->rig.now_ms += ms;
	m->rig.now_ns += (uint64_t)ms * NS_PER_MS;
	if (m->blocked)
		m->blocked_ns = m->rig.now_ns;
	rig_turn(&m->rig);
	store_housekeep(m->rig.store);
	note_evictions(m);
}

static void step_clock(struct model *m)
{
	int64_t ms = (int64_t)chance_below(&m->chance, 10 * WINDOW_MS);

	m->rig.now_ms += chance_one_in(&m->chance, 2) ? ms : -ms;
	m->stepped = true;
}

/* One that is damaged is made up for, as far as the log has its records. */
static void damage_file(struct model *m)
{
	char path[256];
	char name[64] = "";
	const struct dirent *entry;

	rig_path(&m->rig, ".", path);
	DIR *dir = opendir(path);
	check(dir);
	while ((entry = readdir(dir))) {
		if (strstr(entry->d_name, ".dedup") && (!name[0] || chance_one_in(&m->chance, 3)))
			snprintf(name, sizeof(name), "%.63s", entry->d_name);
	}
	closedir(dir);
	if (!name[0])
		return;
	size_t size;
	rig_path(&m->rig, name, path);
	uint8_t *data = load_file(path, &size);
	data[chance_below(&m->chance, size)] ^= (uint8_t)(1 + chance_below(&m->chance, 255));
	save_file(path, data, chance_one_in(&m->chance, 2) ? size : size / 2);
	free(data);
}

static void opened(struct model *m)
{
	m->started_ns = m->rig.now_ns;
	/* Of the future then, and read again, it counts as now. */
	if (m->rig.now_ms > m->seen_ms)
		m->seen_ms = m->rig.now_ms;
	m->evictions = store_stats(m->rig.store)->dedup_evictions;
}

static void restart(struct model *m)
{
	struct rig *rig = &m->rig;
	int64_t start = log_start_offset(rig->log);
	char cut[128];

	switch (chance_below(&m->chance, 3)) {
	case 0:
		rig_close(rig);
		break;
	case 1:
		rig_kill(rig);
		break;
	default:
		make_folder(cut, true);
		sim_power_cut(rig->io, rig->folder, cut);
		rig_move(rig, cut);
		sim_settle(rig->io);
		break;
	}
	if (chance_one_in(&m->chance, 4)) {
		damage_file(m);
		/* The ids of records that were deleted before may be gone with it. */
		unsure(m, start);
	}
	uint64_t before = store_stats(rig->store)->dedup_evictions;
	rig_reopen(rig);
	opened(m);
	if (m->evictions != before)
		unsure(m, INT64_MAX);
}

static void purge(struct model *m)
{
	int64_t end = log_high_watermark(m->rig.log);
	int64_t start = log_start_offset(m->rig.log);
	int64_t to = start + (int64_t)chance_below(&m->chance, (uint64_t)(end - start) + 1);
	int rc = rig_trim(&m->rig, to, NULL);

	require(rc == 0 || (rc == -ERR_STORAGE && m->rig.now_ns - m->blocked_ns <= RETRY_NS));
}

static void block_files(struct model *m)
{
	char path[256];

	rig_path(&m->rig, "dedup.new", path);
	m->blocked_ns = m->rig.now_ns;
	if (m->blocked)
		rmdir(path);
	else
		mkdir(path, 0755);
	m->blocked = file_exists(path);
}

static void change_config(struct model *m)
{
	struct rig *rig = &m->rig;
	struct dedup_config *config = &rig->config.dedup;

	switch (chance_below(&m->chance, 3)) {
	case 0:
		/* Empty from here on, as a file says. */
		if (m->blocked)
			return;
		config->enabled = false;
		log_set_config(rig->log, &rig->config);
		config->enabled = true;
		m->largest_ms = -1;
		for (unsigned i = 0; i <= NUMBERS; i++)
			m->ids[i].offset = -1;
		break;
	case 1:
		config->entries_max = chance_one_in(&m->chance, 2) ? 100000 : 50;
		break;
	default:
		config->on_full = DEDUP_EVICT;
		rig->config.segment_bytes = 5000 + chance_below(&m->chance, 50000);
		break;
	}
	log_set_config(rig->log, &rig->config);
	pass(m, 1);
}

/* What was not acknowledged may be stored or not; what is, is found in the log. */
static int fail_once(void *context, enum io_op op, uint64_t offset, size_t length)
{
	bool *armed = context;

	(void)offset;
	(void)length;
	if (op != IO_WRITE || !*armed)
		return 0;
	*armed = false;
	return -EIO;
}

static void note_stored(void *context, int64_t offset, uint64_t number)
{
	struct model *m = context;

	if (offset < m->base || !number)
		return;
	m->ids[number] = (struct known){offset, m->largest_ms, m->rig.now_ns, false};
}

static void fail_a_write(struct model *m)
{
	struct rig *rig = &m->rig;
	struct sim_options *options = sim_options(rig->io);
	bool armed = true;
	uint64_t numbers[] = {1 + chance_below(&m->chance, NUMBERS), 0};
	struct made_batch made = make_id_batch(numbers, 2,
					       &(struct id_batch_options){.first_ms = rig->now_ms});
	int64_t before = log_end_offset(rig->log);

	options->fault = fail_once;
	options->context = &armed;
	require(rig_append(rig, &made, ACK_DURABLE, NULL) == -ERR_STORAGE);
	options->fault = NULL;
	for (int tries = 0; log_failed(rig->log); tries++) {
		require(tries < 100);
		pass(m, 1000);
	}
	m->base = before;
	m->started_ns = rig->now_ns;
	m->seen_ms = rig->now_ms > m->seen_ms ? rig->now_ms : m->seen_ms;
	if (log_end_offset(rig->log) > before) {
		m->largest_ms = rig->now_ms > m->largest_ms ? rig->now_ms : m->largest_ms;
		rig_each_record(rig, note_stored, m);
	}
	free_id_batch(&made);
}

static void step(struct model *m)
{
	switch (chance_below(&m->chance, 24)) {
	case 0:
		restart(m);
		break;
	case 1:
		if (chance_one_in(&m->chance, 4))
			step_clock(m);
		break;
	case 2:
		purge(m);
		break;
	case 3:
		if (chance_one_in(&m->chance, 3))
			change_config(m);
		break;
	case 4:
		if (chance_one_in(&m->chance, 3))
			block_files(m);
		break;
	case 5:
		fail_a_write(m);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
	case 10:
		pass(m, (int64_t)chance_below(&m->chance, WINDOW_MS / 5));
		break;
	default:
		append_some(m);
		break;
	}
}

static void run(uint64_t seed)
{
	static struct model model;
	struct model *m = &model;

	running_seed = seed;
	memset(m, 0, sizeof(*m));
	m->chance.state = seed;
	m->largest_ms = -1;
	for (unsigned i = 0; i <= NUMBERS; i++)
		m->ids[i].offset = -1;
	rig_init(&m->rig, NULL, sim_new(seed), 16 << 20);
	struct io_backend *io = m->rig.io;
	m->rig.config.segment_bytes = 20000;
	m->rig.config.dedup = id_window(WINDOW_MS, 100000);
	if (seed % 2) {
		m->rig.dedup_bytes_max = 12000;
		rig_restart(&m->rig);
	}
	rig_open(&m->rig);
	opened(m);
	for (int i = 0; i < STEPS; i++)
		step(m);
	if (m->blocked)
		block_files(m);
	rig_fini(&m->rig);
	io_free(io);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : RUNS;

	log_set_level(LOG_ERROR + 1);
	for (uint64_t seed = first; seed < first + runs; seed++)
		run(seed);
	printf("%llu runs\n", (unsigned long long)runs);
	return 0;
}
