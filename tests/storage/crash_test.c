/* Power cuts.  A log on the simulated disk (sim.h) is appended to and read while operations
 * complete in any order, and some fail; then the power goes, the disk keeps an arbitrary part of
 * what was not flushed, and the next run recovers.  Several runs follow each other on one disk, so
 * that what an earlier one left behind can confuse a later one.
 *
 * Checked against a list of what was appended: nothing answered for and nothing shown to a reader
 * is lost, what is there is what was appended at that offset, whole and without a hole.
 *
 *     crash_test [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ENTRIES_MAX = 4096,
	PENDING_MAX = 512,
	RUNS = 2500,
};

/* A batch that was appended. */
struct entry {
	int64_t offset;
	int64_t end;
	uint32_t crc;
	bool durable; /* answered for, or shown */
};

struct pending {
	struct rig_append append;
	bool used;
	enum log_ack ack;
	uint32_t crc;
};

struct world {
	struct chance chance;
	struct rig rig;
	struct entry entries[ENTRIES_MAX]; /* by offset, without a gap */
	size_t count;
	struct pending pending[PENDING_MAX];
	size_t pending_count;
	uint64_t batches;      /* makes each one different */
	unsigned fault_one_in; /* 0: none */
	int64_t start;         /* records were deleted up to here, durably */
	uint64_t repairs;
	size_t uniform_bytes; /* all of one size, so that stale batches would fit; 0: any */
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

static int64_t model_end(const struct world *w)
{
	return w->count ? w->entries[w->count - 1].end : 0;
}

static void forget_from(struct world *w, int64_t offset)
{
	while (w->count && w->entries[w->count - 1].offset >= offset) {
		require(!w->entries[w->count - 1].durable);
		w->count--;
	}
	require(model_end(w) == offset);
}

static const struct entry *entry_at(const struct world *w, int64_t offset)
{
	size_t low = 0;
	size_t high = w->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->entries[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	require(low < w->count);
	return &w->entries[low];
}

static void note_durable_below(struct world *w, int64_t offset)
{
	for (size_t i = w->count; i-- > 0;) {
		if (w->entries[i].end > offset)
			continue;
		if (w->entries[i].durable)
			return;
		w->entries[i].durable = true;
	}
}

/* ---- steps ---- */

static void collect(struct world *w)
{
	struct rig *rig = &w->rig;

	for (size_t i = 0; i < w->pending_count;) {
		struct pending *pending = &w->pending[i];
		if (!pending->append.done) {
			i++;
			continue;
		}
		const struct log_append *append = &pending->append.append;
		if (pending->append.rc == 0 && pending->ack == ACK_DURABLE) {
			const struct entry *entry = entry_at(w, append->base_offset);
			require(entry->offset == append->base_offset);
			require(entry->crc == pending->crc);
			require(append->end_offset <= log_high_watermark(rig->log));
		} else {
			require(pending->append.rc == 0 || pending->append.rc == -ERR_STORAGE);
		}
		/* The array's elements are linked while they wait, so only ended ones may move. */
		pending->used = false;
		i++;
	}
	while (w->pending_count && !w->pending[w->pending_count - 1].used)
		w->pending_count--;
	if (rig->log)
		note_durable_below(w, log_high_watermark(rig->log));
}

static struct pending *free_pending(struct world *w)
{
	for (size_t i = 0; i < PENDING_MAX; i++) {
		if (w->pending[i].used)
			continue;
		if (i >= w->pending_count)
			w->pending_count = i + 1;
		return &w->pending[i];
	}
	return NULL;
}

static void append(struct world *w)
{
	struct rig *rig = &w->rig;
	struct pending *pending = free_pending(w);
	unsigned records = 1 + (unsigned)chance_below(&w->chance, 3);
	size_t value = chance_one_in(&w->chance, 3) ? chance_below(&w->chance, 12000) : 400;

	if (w->uniform_bytes) {
		records = 1;
		value = w->uniform_bytes;
	}
	if (!pending || w->count == ENTRIES_MAX)
		return;
	bool failed = rig->log->state == LOG_FAILED;
	struct made_batch made = make_batch(records, value, 1000,
					    running_seed << 20 | w->batches++);
	pending->used = true;
	pending->ack = chance_one_in(&w->chance, 3) ? ACK_SUBMITTED : ACK_DURABLE;
	pending->crc = made.batch.crc;
	int rc = rig_start_append(rig, &made, pending->ack, &pending->append);
	if (failed && rig->log->state == LOG_WRITABLE) {
		/* Verified, cut and synchronised, past the back end. */
		w->repairs++;
		sim_settle(rig->io);
	}
	if (rc == 0) {
		const struct log_append *appended = &pending->append.append;
		forget_from(w, appended->base_offset);
		w->entries[w->count++] = (struct entry){
			.offset = appended->base_offset,
			.end = appended->end_offset,
			.crc = made.batch.crc,
		};
	} else {
		require(rc == -ENOBUFS || rc == -ERR_STORAGE);
		pending->used = false;
	}
	free(made.data);
}

static void check_read(struct world *w, int64_t offset, size_t bytes_max)
{
	struct rig_read got = rig_read(&w->rig, offset, bytes_max, true);
	int64_t high_watermark = log_high_watermark(w->rig.log);
	struct batch batch;

	require(got.rc == 0);
	require(got.size > 0);
	for (size_t at = 0; at < got.size; at += batch.size) {
		require(batch_parse(&batch, got.data + at, got.size - at) == 0);
		require(batch_crc_valid(&batch, got.data + at));
		const struct entry *entry = entry_at(w, batch.base_offset);
		require(entry->offset == batch.base_offset);
		require(entry->crc == batch.crc);
		require(entry->end == batch.base_offset + batch.last_offset_delta + 1);
		require(entry->end <= high_watermark);
	}
	free(got.data);
}

static void read_somewhere(struct world *w)
{
	int64_t start = log_start_offset(w->rig.log);
	int64_t high_watermark = log_high_watermark(w->rig.log);

	if (start >= high_watermark)
		return;
	int64_t offset = start +
			 (int64_t)chance_below(&w->chance, (uint64_t)(high_watermark - start));
	check_read(w, offset, 1 + chance_below(&w->chance, 40000));
	collect(w);
}

static void trim(struct world *w)
{
	struct rig *rig = &w->rig;
	int64_t high_watermark = log_high_watermark(rig->log);
	int64_t start = w->start + (int64_t)chance_below(&w->chance, 6);

	if (rig->log->state != LOG_WRITABLE || start > high_watermark)
		return;
	require(rig_trim(rig, start, &w->start) == 0);
	require(w->start >= start);
}

static void check_everything(struct world *w)
{
	int64_t end = log_high_watermark(w->rig.log);

	for (int64_t offset = log_start_offset(w->rig.log); offset < end;) {
		const struct entry *entry = entry_at(w, offset);
		check_read(w, offset, 1);
		offset = entry->end;
	}
}

static int fault(void *context, enum io_op op, uint64_t offset, size_t length)
{
	struct world *w = context;

	(void)offset;
	if (!w->fault_one_in || !chance_one_in(&w->chance, w->fault_one_in))
		return 0;
	if (op == IO_WRITE && length > 512 && chance_one_in(&w->chance, 2))
		return 512 * (int)(1 + chance_below(&w->chance, length / 512 - 1));
	return op == IO_ALLOCATE ? -ENOSPC : -EIO;
}

static void live(struct world *w)
{
	struct rig *rig = &w->rig;
	unsigned steps = (unsigned)chance_below(&w->chance, 80);

	while (steps--) {
		switch (chance_below(&w->chance, 10)) {
		case 9:
			if (chance_one_in(&w->chance, 4))
				trim(w);
			break;
		case 8:
			if (rig->log->active && rig->log->state == LOG_WRITABLE)
				require(segment_checkpoint(rig->log->active) == 0);
			break;
		case 0:
			read_somewhere(w);
			break;
		case 1:
			rig->now_ns += chance_below(&w->chance, 3 * NS_PER_SECOND);
			break;
		case 2:
		case 3:
			store_submit(rig->store);
			check(io_turn(rig->io, 0) >= 0);
			collect(w);
			break;
		default:
			append(w);
			break;
		}
	}
	collect(w);
}

static void recover(struct world *w)
{
	struct rig *rig = &w->rig;
	char why[160];
	int rc = rig_try_open(rig, why, sizeof(why));

	if (rc < 0)
		fprintf(stderr, "not opened: %s: %s\n", error_text(rc), why);
	require(rc == 0);
	require(log_start_offset(rig->log) >= w->start);
	require(log_end_offset(rig->log) == log_high_watermark(rig->log));
	forget_from(w, log_end_offset(rig->log));
	note_durable_below(w, log_end_offset(rig->log));
	check_everything(w);
}

static void cut_power(struct world *w)
{
	struct rig *rig = &w->rig;
	char copy[128];

	make_folder(copy, true);
	sim_power_cut(rig->io, rig->folder, copy);
	sim_die(rig->io);
	rig_move(rig, copy);
	sim_settle(rig->io);
	memset(w->pending, 0, sizeof(w->pending));
	w->pending_count = 0;
}

static void stop_cleanly(struct world *w)
{
	struct rig *rig = &w->rig;
	int64_t end = log_end_offset(rig->log);
	bool failed = rig->log->state == LOG_FAILED;

	w->fault_one_in = 0;
	rig_close(rig);
	for (size_t i = 0; i < w->pending_count; i++)
		require(!w->pending[i].used || w->pending[i].append.done);
	memset(w->pending, 0, sizeof(w->pending));
	w->pending_count = 0;
	/* What was appended is there, acks or not. */
	if (!failed)
		note_durable_below(w, end);
	sim_settle(rig->io);
}

static uint64_t run(uint64_t seed)
{
	static struct world world;
	struct world *w = &world;
	struct rig *rig = &w->rig;

	running_seed = seed;
	memset(w, 0, sizeof(*w));
	w->chance.state = seed;
	rig_init(rig, NULL, sim_new(seed + 1), 16 << 20);
	rig->config.segment_bytes = 40000 + chance_below(&w->chance, 60000);
	static const size_t uniform[] = {0, 0, 100, 400, 1500, 4000};
	w->uniform_bytes = uniform[chance_below(&w->chance, array_count(uniform))];
	/* On a disk of files in written blocks, where one flush is of the device; or any other. */
	rig->flush_shared = chance_one_in(&w->chance, 2);
	rig_restart(rig);
	unsigned lives = 1 + (unsigned)chance_below(&w->chance, 5);
	while (lives--) {
		struct sim_options *options = sim_options(rig->io);
		options->slowness = 1 + (unsigned)chance_below(&w->chance, 4);
		options->fault = fault;
		options->context = w;
		options->device_fd = rig->flush_shared ? rig->store->flush_fd : 0;
		check(!rig->flush_shared || rig->store->flush_fd >= 0);
		/* Commit rounds beside one another, from any size on. */
		if (chance_one_in(&w->chance, 2))
			rig->store->second_round_bytes = 0;
		w->fault_one_in = 0;
		recover(w);
		if (chance_one_in(&w->chance, 3))
			w->fault_one_in = 5 + (unsigned)chance_below(&w->chance, 40);
		live(w);
		if (chance_one_in(&w->chance, 5))
			stop_cleanly(w);
		else
			cut_power(w);
		rig->identity.leader_epoch += chance_one_in(&w->chance, 2);
	}
	w->fault_one_in = 0;
	recover(w);
	rig_close(rig);
	struct io_backend *io = rig->io;
	rig_fini(rig);
	io_free(io);
	return w->repairs;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t runs = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : RUNS;
	uint64_t repairs = 0;

	log_set_level(LOG_ERROR + 1);
	for (uint64_t seed = first; seed < first + runs; seed++)
		repairs += run(seed);
	/* A test of repairs that has none tests nothing. */
	check(runs < 100 || repairs > runs / 20);
	printf("%llu runs, %llu repairs\n", (unsigned long long)runs, (unsigned long long)repairs);
	return 0;
}
