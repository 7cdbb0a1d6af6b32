/* Transactions at random.  Several producers write inside and outside of transactions, end them,
 * take over with newer epochs and are refused; the log is closed, cut off from its power, fails and
 * is repaired, loses snapshots and deletes records.  All the while it is compared with a list of
 * what was appended, walked from its beginning.
 *
 *     transactions_model_test [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUNS = 60, STEPS = 400, PRODUCERS = 6, PENDING_MAX = 32, ENTRIES_MAX = 8192 };

struct entry {
	int64_t offset;
	int64_t end;
	struct batch batch;
	struct control_marker marker;
};

struct world {
	struct chance chance;
	struct rig rig;
	struct entry entries[ENTRIES_MAX]; /* by offset, without a gap */
	size_t count;
	struct rig_append pending[PENDING_MAX];
	size_t pending_count;
	int64_t stable; /* the highest that was seen */
	bool trims;     /* else segments are small */
};

static uint64_t running_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "seed %llu: %s:%d: %s\n",                                  \
				(unsigned long long)running_seed, __FILE__, __LINE__, #x);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* ---- the model ---- */

struct known {
	bool any;
	int16_t epoch;
	int32_t next;
	int64_t open; /* -1: none */
};

struct model {
	struct known producers[PRODUCERS];
	struct aborted_transaction aborted[ENTRIES_MAX];
	size_t aborted_count;
	int64_t stable;
};

static bool is_control(const struct batch *batch)
{
	return batch->attributes & BATCH_CONTROL;
}

static void take_marker(struct model *model, struct known *known, const struct entry *entry,
			int64_t durable)
{
	if (known->open < 0)
		return;
	if (entry->marker.type == CONTROL_ABORT)
		model->aborted[model->aborted_count++] = (struct aborted_transaction){
			entry->batch.producer_id, known->open, entry->offset};
	if (entry->end > durable && known->open < model->stable)
		model->stable = known->open;
	known->open = -1;
}

static void take(struct model *model, const struct entry *entry, int64_t durable)
{
	const struct batch *batch = &entry->batch;

	if (batch->producer_id < 0)
		return;
	struct known *known = &model->producers[batch->producer_id];
	if (!known->any || known->epoch != batch->producer_epoch)
		known->next = 0;
	if (!known->any)
		known->open = -1;
	known->any = true;
	known->epoch = batch->producer_epoch;
	if (is_control(batch)) {
		take_marker(model, known, entry, durable);
		return;
	}
	known->next = batch->base_sequence + batch->record_count;
	if ((batch->attributes & BATCH_TRANSACTIONAL) && known->open < 0)
		known->open = entry->offset;
}

static const struct model *model_of(const struct world *w)
{
	static struct model model;
	const struct log *log = w->rig.log;

	memset(model.producers, 0, sizeof(model.producers));
	model.aborted_count = 0;
	model.stable = log->durable_offset;
	for (size_t i = 0; i < w->count; i++)
		take(&model, &w->entries[i], log->durable_offset);
	for (size_t i = 0; i < PRODUCERS; i++) {
		const struct known *known = &model.producers[i];
		if (known->any && known->open >= 0 && known->open < model.stable)
			model.stable = known->open;
	}
	if (model.stable < log->start_offset)
		model.stable = log->start_offset;
	return &model;
}

/* What is to be said of a batch that is none of the last five. */
static int judge(const struct model *model, const struct batch *batch)
{
	const struct known *known = &model->producers[batch->producer_id];
	bool newer = batch->producer_epoch > known->epoch;

	if (!known->any)
		return 0;
	if (batch->producer_epoch < known->epoch)
		return -ERR_PRODUCER_EPOCH;
	if (is_control(batch))
		return newer || known->open >= 0 ? 0 : 1;
	if (newer && known->open >= 0)
		return -ERR_TXN_STATE;
	if (batch->base_sequence != (newer ? 0 : known->next))
		return -ERR_SEQUENCE;
	return known->open >= 0 && !(batch->attributes & BATCH_TRANSACTIONAL) ? -ERR_TXN_STATE : 0;
}

/* ---- comparing ---- */

static void compare_producers(const struct world *w, const struct model *model)
{
	struct log_producer got[PRODUCERS];
	size_t count = log_producers(w->rig.log, got, PRODUCERS);
	size_t expected = 0;

	for (size_t i = 0; i < PRODUCERS; i++)
		expected += model->producers[i].any;
	require(count == expected);
	for (size_t i = 0; i < count; i++) {
		const struct known *known = &model->producers[got[i].id];
		require(known->any);
		require(got[i].epoch == known->epoch);
		require(got[i].last_sequence + 1 == known->next);
		require(got[i].open_offset == known->open);
	}
}

static void compare_aborted(struct world *w, const struct model *model)
{
	static struct aborted_transaction got[ENTRIES_MAX];
	int64_t start = w->rig.log->start_offset;
	int64_t room = model->stable - start + 1;
	int64_t from = start + (int64_t)chance_below(&w->chance, (uint64_t)room);
	int64_t below = from + (int64_t)chance_below(&w->chance, 100);
	size_t expected = 0;

	if (below > model->stable)
		below = model->stable;
	size_t count = log_aborted(w->rig.log, from, below, got, ENTRIES_MAX);
	for (size_t i = 0; i < model->aborted_count; i++) {
		const struct aborted_transaction *one = &model->aborted[i];
		if (one->last_offset < from || one->first_offset >= below)
			continue;
		require(expected < count);
		require(memcmp(&got[expected++], one, sizeof(*one)) == 0);
	}
	require(count == expected);
}

static void compare(struct world *w)
{
	const struct model *model = model_of(w);
	int64_t stable = log_last_stable_offset(w->rig.log);

	require(stable == model->stable);
	require(stable >= w->stable);
	w->stable = stable;
	compare_producers(w, model);
	compare_aborted(w, model);
}

static int64_t apply_read(struct world *w, int64_t offset, struct producers *producers)
{
	struct rig_read read = rig_read(&w->rig, offset, 1 << 20, true);
	struct control_marker marker;
	struct batch batch;

	require(read.rc == 0);
	for (size_t at = 0; at < read.size; at += batch.size) {
		require(batch_parse(&batch, read.data + at, read.size - at) == 0);
		bool control = is_control(&batch);
		offset = batch.base_offset + batch.last_offset_delta + 1;
		if (batch.producer_id < 0)
			continue;
		require(!control || control_batch_read(&marker, read.data + at, &batch) == 0);
		require(producers_reserve(producers, &batch) == 0);
		producers_apply(producers, &batch, control ? &marker : NULL, 0);
		log_transactions_durable(&producers->transactions, offset);
	}
	free(read.data);
	return offset;
}

/* To the last byte, what a snapshot and the batches behind it have given is what all batches give.
 */
static void compare_with_replay(struct world *w)
{
	const struct producers *got = &w->rig.log->producers;
	struct producers expected;
	int64_t end = log_end_offset(w->rig.log);

	if (log_start_offset(w->rig.log) > 0)
		return;
	producers_init(&expected, 100);
	for (int64_t offset = 0; offset < end;)
		offset = apply_read(w, offset, &expected);
	size_t size = producers_snapshot_size(&expected);
	require(producers_snapshot_size(got) == size);
	uint8_t *a = malloc(size);
	uint8_t *b = malloc(size);
	producers_snapshot_write(&expected, end, a);
	producers_snapshot_write(got, end, b);
	require(memcmp(a, b, size) == 0);
	free(a);
	free(b);
	producers_fini(&expected);
}

/* ---- steps ---- */

static void settle(struct world *w)
{
	for (size_t i = 0; i < w->pending_count;) {
		if (w->pending[i].done)
			i++;
		else
			rig_turn(&w->rig);
	}
	w->pending_count = 0;
}

/* What is there after a crash or a repair is a part of what was appended, cut between batches. */
static void cut(struct world *w)
{
	int64_t end = log_end_offset(w->rig.log);

	while (w->count && w->entries[w->count - 1].end > end)
		w->count--;
	require((w->count ? w->entries[w->count - 1].end : 0) == end);
}

static struct made_batch draw_marker(struct world *w, int64_t id, const struct known *known)
{
	const struct control_marker marker = {
		.type = chance_one_in(&w->chance, 2) ? CONTROL_ABORT : CONTROL_COMMIT,
		.producer_id = id,
		.producer_epoch = (int16_t)(known->epoch + (int16_t)chance_below(&w->chance, 2)),
		.coordinator_epoch = (int32_t)chance_below(&w->chance, 3),
		.timestamp_ms = 1000,
	};

	return make_marker(&marker);
}

/* Mostly what a producer would send, sometimes not. */
static struct made_batch draw_batch(struct world *w, int64_t id, const struct known *known)
{
	bool inside = known->open >= 0 ? !chance_one_in(&w->chance, 10)
				       : chance_one_in(&w->chance, 2);
	unsigned records = 1 + (unsigned)chance_below(&w->chance, 3);
	int16_t epoch = known->epoch;
	int32_t sequence = known->next;

	if (chance_one_in(&w->chance, 20)) {
		epoch = (int16_t)(epoch + 1);
		sequence = 0;
	} else if (epoch > 0 && chance_one_in(&w->chance, 20)) {
		epoch = (int16_t)(epoch - 1);
	} else if (chance_one_in(&w->chance, 20)) {
		sequence += 3;
	}
	return make_producer_batch(records, chance_below(&w->chance, w->trims ? 50 : 3000), id,
				   epoch, sequence, inside ? BATCH_TRANSACTIONAL : 0);
}

static void note(struct world *w, const struct made_batch *made, int64_t offset)
{
	struct entry *entry = &w->entries[w->count++];

	require(w->count < ENTRIES_MAX);
	*entry = (struct entry){
		.offset = offset,
		.end = offset + made->batch.record_count,
		.batch = made->batch,
	};
	if (is_control(&made->batch))
		require(control_batch_read(&entry->marker, made->data, &made->batch) == 0);
}

static void append(struct world *w)
{
	const struct model *model = model_of(w);
	int64_t id = (int64_t)chance_below(&w->chance, PRODUCERS);
	const struct known *known = &model->producers[id];
	struct made_batch made = chance_one_in(&w->chance, 3) ? draw_marker(w, id, known)
							      : draw_batch(w, id, known);
	int expected = judge(model, &made.batch);
	bool open = true;

	require(log_check_producer(w->rig.log, &made.batch, &open) == expected);
	require(open == (known->any && known->open >= 0));
	if (w->pending_count == PENDING_MAX)
		settle(w);
	struct rig_append *pending = &w->pending[w->pending_count];
	int rc = rig_start_append(&w->rig, &made, ACK_DURABLE, pending);
	if (rc >= 0)
		w->pending_count++;
	require(rc == expected || rc == -ENOBUFS);
	if (rc == 0)
		note(w, &made, pending->append.base_offset);
	free(made.data);
}

static void fail_and_repair(struct world *w)
{
	commit_fail(w->rig.log, -EIO, "test");
	compare(w);
	/* What is on its way to the disk arrives, or not: it has been reported to nobody. */
	for (int i = 0; i < 100 && w->rig.log->io_count; i++)
		rig_turn(&w->rig);
	settle(w);
	w->rig.now_ns += 60 * NS_PER_SECOND;
	store_housekeep(w->rig.store);
	require(!log_failed(w->rig.log));
	sim_settle(w->rig.io);
	cut(w);
}

static void spoil_snapshots(struct world *w)
{
	char path[256];
	const struct dirent *entry;

	rig_path(&w->rig, ".", path);
	DIR *dir = opendir(path);
	require(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".producers") || chance_one_in(&w->chance, 2))
			continue;
		rig_path(&w->rig, entry->d_name, path);
		require(truncate(path, 30) == 0);
	}
	closedir(dir);
}

static void reopen(struct world *w)
{
	if (chance_one_in(&w->chance, 3))
		spoil_snapshots(w);
	w->rig.identity.leader_epoch++;
	rig_open(&w->rig);
	cut(w);
	compare_with_replay(w);
}

static void lose_power(struct world *w)
{
	char folder[128];

	make_folder(folder, true);
	sim_power_cut(w->rig.io, w->rig.folder, folder);
	rig_move(&w->rig, folder);
	w->pending_count = 0;
	reopen(w);
}

static void stop_and_start(struct world *w)
{
	settle(w);
	rig_close(&w->rig);
	reopen(w);
}

static void trim(struct world *w)
{
	int64_t to = w->rig.log->start_offset + (int64_t)chance_below(&w->chance, 10);

	if (w->trims && to <= w->rig.log->durable_offset)
		require(rig_trim(&w->rig, to, NULL) == 0);
}

static void step(struct world *w)
{
	uint64_t drawn = chance_below(&w->chance, 100);

	if (drawn < 75)
		append(w);
	else if (drawn < 90)
		rig_turn(&w->rig);
	else if (drawn < 94)
		store_housekeep(w->rig.store);
	else if (drawn < 97)
		trim(w);
	else if (drawn < 98)
		fail_and_repair(w);
	else if (drawn < 99)
		lose_power(w);
	else
		stop_and_start(w);
	compare(w);
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	check(w);
	w->chance.state = seed;
	w->trims = seed % 2;
	rig_init(&w->rig, NULL, sim_new(seed), 16 << 20);
	sim_options(w->rig.io)->slowness = 1 + (unsigned)(seed % 3);
	w->rig.config.segment_bytes = w->trims ? 1 << 20 : 64 << 10;
	rig_open(&w->rig);
	return w;
}

static void world_free(struct world *w)
{
	struct io_backend *io = w->rig.io;

	rig_fini(&w->rig);
	io_free(io);
	free(w);
}

static void run(uint64_t seed)
{
	struct world *w = world_new(seed);

	for (int i = 0; i < STEPS; i++)
		step(w);
	settle(w);
	world_free(w);
}

/* ---- a log that ends anywhere ---- */

enum { CUT_APPENDS = 30 };
static const char segment_name[] = "00000000000000000000.log";
static const char index_name[] = "00000000000000000000.idx";

/* The folder `from` with the log cut off at `length` and without what would vouch for more. */
static void open_cut(struct world *w, const char *from, long length)
{
	char folder[128];
	char path[256];

	make_folder(folder, true);
	copy_folder(from, folder);
	rig_move(&w->rig, folder);
	rig_path(&w->rig, index_name, path);
	unlink(path);
	rig_path(&w->rig, segment_name, path);
	require(truncate(path, length) == 0);
	w->rig.identity.leader_epoch++;
	rig_open(&w->rig);
}

/* Ended at every byte: snapshots before the end serve, those beyond it are not believed. */
static void cut_anywhere(uint64_t seed)
{
	struct world *w = world_new(seed | 1);
	char whole[128];
	size_t count;

	for (int i = 0; i < CUT_APPENDS; i++) {
		append(w);
		settle(w);
		if (i % (CUT_APPENDS / 3) == 0)
			stop_and_start(w);
	}
	count = w->count;
	long end = (long)w->rig.log->active->end;
	make_folder(whole, true);
	copy_folder(w->rig.folder, whole);
	for (long length = SEGMENT_HEADER_BYTES; length <= end; length += 1 + length % 3) {
		w->count = count;
		w->stable = 0;
		open_cut(w, whole, length);
		cut(w);
		compare(w);
		compare_with_replay(w);
	}
	remove_folder(whole);
	world_free(w);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : RUNS;

	log_set_level(LOG_ERROR + 1);
	for (uint64_t seed = first; seed < first + runs; seed++) {
		running_seed = seed;
		run(seed);
		if (seed == first)
			cut_anywhere(seed);
	}
	printf("%llu runs\n", (unsigned long long)runs);
	return 0;
}
