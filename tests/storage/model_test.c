/* Any sequence of appends, reads, finds, trims, retention, rolls, reopenings and kills on a real
 * back end, named on the command line, against a plain list of what was appended.
 *
 *     model_test uring|sync [first seed] [runs]
 *
 * The seed of a failing run is printed. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCHES_MAX = 2000,
	RUNS = 6,
	STEPS = 150,
};

struct stored {
	int64_t offset;
	int64_t end;
	int64_t first_ms;
	uint32_t crc;
	size_t size;
	int32_t epoch;
};

struct model {
	struct chance chance;
	struct rig rig;
	struct stored batches[BATCHES_MAX]; /* with those that were deleted */
	size_t count;
	int64_t start; /* the log's: at least this */
	uint64_t made;
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

static int64_t end_of(const struct model *m)
{
	return m->count ? m->batches[m->count - 1].end : 0;
}

static size_t index_of(const struct model *m, int64_t offset)
{
	size_t i = 0;

	while (i < m->count && m->batches[i].end <= offset)
		i++;
	require(i < m->count);
	return i;
}

static void check_positions(struct model *m)
{
	const struct log *log = m->rig.log;

	require(log_end_offset(log) == end_of(m));
	require(log_high_watermark(log) == end_of(m));
	require(log_start_offset(log) >= m->start);
	m->start = log_start_offset(log);
	/* A log may begin inside a batch, when records were deleted up to there. */
	require(m->start <= end_of(m));
}

static void append_some(struct model *m)
{
	struct rig *rig = &m->rig;
	unsigned count = 1 + (unsigned)chance_below(&m->chance, 12);

	while (count-- && m->count < BATCHES_MAX) {
		static const size_t sizes[] = {10, 100, 1000, 16000, 70000, 300000};
		size_t value = 1 +
			       chance_below(&m->chance,
					    sizes[chance_below(&m->chance, array_count(sizes))]);
		unsigned records = 1 + (unsigned)chance_below(&m->chance, value > 5000 ? 2 : 6);
		int64_t first_ms = (int64_t)(1000 + chance_below(&m->chance, 100000));
		struct made_batch made = make_batch(records, value, first_ms,
						    running_seed << 20 | m->made++);
		int64_t offset;
		enum log_ack ack = chance_one_in(&m->chance, 3) ? ACK_SUBMITTED : ACK_DURABLE;
		require(rig_append(rig, &made, ack, &offset) == 0);
		require(offset == end_of(m));
		m->batches[m->count++] = (struct stored){
			.offset = offset,
			.end = offset + records,
			.first_ms = first_ms,
			.crc = made.batch.crc,
			.size = made.size,
			.epoch = rig->identity.leader_epoch,
		};
		free(made.data);
	}
	for (int turns = 0; log_high_watermark(rig->log) < end_of(m); turns++) {
		require(turns < 1000);
		rig_turn(rig);
	}
}

/* Exactly the batches from the one that holds the offset on, as many as fit. */
static void read_some(struct model *m)
{
	if (m->start == end_of(m))
		return;
	int64_t offset = m->start +
			 (int64_t)chance_below(&m->chance, (uint64_t)(end_of(m) - m->start));
	size_t bytes_max = 1 +
			   chance_below(&m->chance, chance_one_in(&m->chance, 2) ? 5000 : 3000000);
	bool oversize = chance_one_in(&m->chance, 2);
	/* Sequential readers too. */
	for (int reads = 0; reads < 3 && offset < end_of(m); reads++) {
		struct rig_read got = rig_read(&m->rig, offset, bytes_max, oversize);
		size_t i = index_of(m, offset);
		require(got.rc == 0);
		require(got.size <= bytes_max || (oversize && got.size == m->batches[i].size));
		require(got.size || (!oversize && m->batches[i].size > bytes_max));
		for (size_t at = 0; at < got.size; i++) {
			struct batch batch;
			require(i < m->count);
			require(batch_parse(&batch, got.data + at, got.size - at) == 0);
			require(batch_crc_valid(&batch, got.data + at));
			require(batch.base_offset == m->batches[i].offset);
			require(batch.crc == m->batches[i].crc);
			require(batch.leader_epoch == m->batches[i].epoch);
			at += batch.size;
			offset = m->batches[i].end;
		}
		free(got.data);
		if (!got.size)
			break;
	}
}

static void find_some(struct model *m)
{
	int64_t wanted = (int64_t)chance_below(&m->chance, 105000);
	int64_t expected = -1;
	int64_t offset;
	int64_t ms;

	for (size_t i = 0; i < m->count && expected < 0; i++) {
		for (int64_t o = m->batches[i].offset; o < m->batches[i].end && expected < 0; o++) {
			if (o >= m->start &&
			    m->batches[i].first_ms + o - m->batches[i].offset >= wanted)
				expected = o;
		}
	}
	require(rig_find(&m->rig, wanted, &offset, &ms) == 0);
	require(offset == expected);
	require(offset < 0 || ms >= wanted);
}

static void trim_some(struct model *m)
{
	int64_t offset = (int64_t)chance_below(&m->chance, (uint64_t)end_of(m) + 3);
	int64_t start;
	int rc = rig_trim(&m->rig, offset, &start);

	if (offset > end_of(m)) {
		require(rc == -ERR_OFFSET_RANGE);
		return;
	}
	require(rc == 0);
	require(start >= offset || start == m->start);
	if (offset > m->start)
		m->start = offset;
}

static void retain_some(struct model *m)
{
	struct rig *rig = &m->rig;
	uint64_t keep = chance_below(&m->chance, 3000000);

	rig->config.retention_bytes = (int64_t)keep;
	log_set_config(rig->log, &rig->config);
	uint64_t before = log_bytes(rig->log);
	store_housekeep(rig->store);
	uint64_t after = log_bytes(rig->log);
	require(after >= (before < keep ? before : keep) || log_start_offset(rig->log) == m->start);
	rig->config.retention_bytes = -1;
	log_set_config(rig->log, &rig->config);
}

static void check_epochs(struct model *m)
{
	for (int32_t epoch = 1; epoch < m->rig.identity.leader_epoch; epoch++) {
		int32_t found;
		int64_t end;
		int64_t expected = -1;
		log_epoch_end(m->rig.log, epoch, &found, &end);
		for (size_t i = 0; i < m->count; i++) {
			if (m->batches[i].epoch <= epoch)
				expected = m->batches[i].end;
		}
		/* What retention took may be forgotten. */
		require(found <= epoch);
		require(found < 0 || expected <= m->start || end == expected);
	}
}

static void step(struct model *m)
{
	struct rig *rig = &m->rig;

	switch (chance_below(&m->chance, 16)) {
	case 0:
		rig_reopen(rig);
		break;
	case 1:
		rig_kill(rig);
		rig_reopen(rig);
		break;
	case 2:
		trim_some(m);
		break;
	case 3:
		if (chance_one_in(&m->chance, 3))
			retain_some(m);
		break;
	case 4:
		rig->config.segment_bytes = 700000 + chance_below(&m->chance, 3000000);
		log_set_config(rig->log, &rig->config);
		break;
	case 5:
		check_epochs(m);
		break;
	case 6:
	case 7:
		find_some(m);
		break;
	case 8:
	case 9:
	case 10:
	case 11:
		read_some(m);
		break;
	default:
		append_some(m);
		break;
	}
	check_positions(m);
}

static void run(const char *kind, uint64_t seed)
{
	static struct model model;
	struct model *m = &model;

	running_seed = seed;
	memset(m, 0, sizeof(*m));
	m->chance.state = seed;
	rig_init(&m->rig, kind, NULL, 16 << 20);
	m->rig.config.segment_bytes = 1 << 20;
	if (seed % 2) {
		/* As few files open as can be, and no index of a closed segment for long. */
		m->rig.open_files_max = OPEN_FILES_KEPT;
		m->rig.index_bytes_max = 1;
		rig_restart(&m->rig);
	}
	rig_open(&m->rig);
	for (int i = 0; i < STEPS; i++)
		step(m);
	rig_check_all(&m->rig);
	rig_fini(&m->rig);
}

int main(int argc, char **argv)
{
	check(argc >= 2);
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t runs = argc > 3 ? strtoull(argv[3], NULL, 10) : argc > 2 ? 1 : RUNS;

	log_set_level(LOG_ERROR + 1);
	for (uint64_t seed = first; seed < first + runs; seed++)
		run(argv[1], seed);
	printf("%llu runs\n", (unsigned long long)runs);
	return 0;
}
