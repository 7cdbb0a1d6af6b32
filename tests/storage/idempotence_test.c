/* What a log does with batches of idempotent producers, through restarts, kills, power cuts and
 * failures: stored once, in order, and known again afterwards. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { PRODUCER = 4711, BATCH_RECORDS = 2 };

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct io_backend *io = rig->io;

	rig_fini(rig);
	io_free(io);
	free(rig);
	return 0;
}

static struct made_batch batch_of(int64_t producer, int16_t epoch, int32_t sequence, size_t bytes)
{
	return make_producer_batch(BATCH_RECORDS, bytes, producer, epoch, sequence, 0);
}

/* The rc of log_append, or of its answer. */
static int append(struct rig *rig, int64_t producer, int32_t sequence, int64_t *ret_offset)
{
	struct made_batch made = batch_of(producer, 0, sequence, 100);
	int rc = rig_append(rig, &made, ACK_DURABLE, ret_offset);

	free(made.data);
	return rc;
}

static void append_new(struct rig *rig, int64_t producer, int32_t sequence)
{
	int64_t offset = -1;
	int64_t end = log_end_offset(rig->log);

	assert_int_equal(append(rig, producer, sequence, &offset), 0);
	assert_int_equal(offset, end);
	assert_int_equal(log_end_offset(rig->log), end + BATCH_RECORDS);
}

static void append_again(struct rig *rig, int64_t producer, int32_t sequence, int64_t first)
{
	int64_t offset = -1;
	int64_t end = log_end_offset(rig->log);

	assert_int_equal(append(rig, producer, sequence, &offset), 0);
	assert_int_equal(offset, first);
	assert_int_equal(log_end_offset(rig->log), end);
}

static unsigned snapshots(const struct rig *rig)
{
	char path[256];
	unsigned count = 0;
	const struct dirent *entry;

	rig_path(rig, ".", path);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += strstr(entry->d_name, ".producers") != NULL;
	closedir(dir);
	return count;
}

static void a_batch_sent_again_is_answered_and_not_stored(void **state)
{
	struct rig *rig = *state;
	int64_t offset;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	append_new(rig, PRODUCER, 2);
	append_again(rig, PRODUCER, 0, 0);
	append_again(rig, PRODUCER, 2, 2);
	assert_int_equal(append(rig, PRODUCER, 6, &offset), -ERR_SEQUENCE);
	append_new(rig, PRODUCER, 4);
	assert_int_equal(rig_check_all(rig), 3);
}

/* The answer to the second must not come before the first is durable. */
static void what_repeats_a_batch_in_flight_waits_for_it(void **state)
{
	struct rig *rig = *state;
	struct made_batch first = batch_of(PRODUCER, 0, 0, 100);
	struct made_batch second = batch_of(PRODUCER, 0, 2, 100);
	struct rig_append one, two, again;

	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &first, ACK_DURABLE, &one), 0);
	assert_int_equal(rig_start_append(rig, &second, ACK_DURABLE, &two), 0);
	assert_int_equal(rig_start_append(rig, &first, ACK_DURABLE, &again), 1);
	assert_int_equal(again.append.base_offset, 0);
	assert_false(again.done);
	while (!one.done || !two.done || !again.done) {
		assert_true(!again.done || one.done);
		rig_turn(rig);
	}
	assert_int_equal(again.rc, 0);
	free(first.data);
	free(second.data);
}

static void expect_answered(void *context)
{
	const struct rig_append *again = context;

	assert_true(again->done);
}

/* Its owner goes with the log. */
static void what_repeats_a_batch_is_answered_before_its_log_is_gone(void **state)
{
	struct rig *rig = *state;
	struct made_batch first = batch_of(PRODUCER, 0, 0, 100);
	struct rig_append again;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	assert_int_equal(rig_start_append(rig, &first, ACK_DURABLE, &again), 1);
	log_close(rig->log, true, expect_answered, &again);
	rig->log = NULL;
	rig_turn(rig);
	assert_true(again.done);
	free(first.data);
}

static void a_failed_append_fails_what_repeats_it(void **state)
{
	struct rig *rig = *state;
	struct made_batch batch = batch_of(PRODUCER, 0, 0, 100);
	struct rig_append one, again;

	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &batch, ACK_DURABLE, &one), 0);
	assert_int_equal(rig_start_append(rig, &batch, ACK_DURABLE, &again), 1);
	commit_fail(rig->log, -EIO, "test");
	assert_true(one.done && again.done);
	assert_int_equal(one.rc, -ERR_STORAGE);
	assert_int_equal(again.rc, -ERR_STORAGE);
	free(batch.data);
}

static void a_producer_is_known_after_a_clean_stop(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig_reopen(rig);
	assert_int_equal(snapshots(rig), 1);
	append_again(rig, PRODUCER, 0, 0);
	append_new(rig, PRODUCER, 2);
}

static void a_producer_is_known_after_a_kill(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig_reopen(rig);
	append_new(rig, PRODUCER, 2);
	rig_kill(rig);
	rig_open(rig);
	append_again(rig, PRODUCER, 0, 0);
	append_again(rig, PRODUCER, 2, 2);
	append_new(rig, PRODUCER, 4);
}

static void a_log_without_producers_has_no_snapshots(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	rig_fill(rig, 10, 100, 1000);
	rig_reopen(rig);
	assert_int_equal(snapshots(rig), 0);
	assert_false(rig->log->active->idempotent);
}

static void snapshots_do_not_pile_up(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	for (int32_t i = 0; i < 6; i++) {
		append_new(rig, PRODUCER, i * BATCH_RECORDS);
		rig_reopen(rig);
	}
	assert_int_equal(snapshots(rig), 2);
}

static void without_a_sound_snapshot_the_log_is_read(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig_reopen(rig);
	append_new(rig, PRODUCER, 2);
	rig_close(rig);
	for (int64_t offset = 2; offset <= 4; offset += 2) {
		char name[32];
		snprintf(name, sizeof(name), "%020lld.producers", (long long)offset);
		rig_path(rig, name, path);
		uint8_t *data = load_file(path, &size);
		data[size - 1] ^= 1;
		save_file(path, data, size);
		free(data);
	}
	rig_open(rig);
	append_again(rig, PRODUCER, 0, 0);
	append_again(rig, PRODUCER, 2, 2);
}

/* It speaks of batches that are no more: believed later, it would hide others at their offsets. */
static void a_snapshot_beyond_the_end_is_removed(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	append_new(rig, PRODUCER, 2);
	rig_close(rig);
	rig_path(rig, "00000000000000000000.idx", path);
	assert_int_equal(unlink(path), 0);
	rig_path(rig, "00000000000000000000.log", path);
	assert_int_equal(truncate(path, 4096 + 200), 0);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 0);
	assert_int_equal(snapshots(rig), 0);
	append_new(rig, PRODUCER, 0);
}

/* ---- retention ---- */

/* All but the last segment may be deleted.  Returns the producer's next sequence. */
static int32_t fill_segments(struct rig *rig)
{
	int32_t sequence = 0;

	rig->config.segment_bytes = 100000;
	rig->config.retention_bytes = 0;
	rig_open(rig);
	for (; sequence < 60; sequence += BATCH_RECORDS) {
		struct made_batch made = batch_of(PRODUCER, 0, sequence, 9000);
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		free(made.data);
	}
	return sequence;
}

static void retention_waits_for_a_snapshot_of_the_producers(void **state)
{
	struct rig *rig = *state;

	rig_keep_jobs(rig);
	rig_restart(rig);
	int32_t sequence = fill_segments(rig);
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 0);
	while (rig->job)
		rig_run_job(rig);
	store_housekeep(rig->store);
	assert_true(log_start_offset(rig->log) > 0);
	rig_keep_no_jobs(rig);
	rig_kill(rig);
	rig_open(rig);
	append_again(rig, PRODUCER, sequence - BATCH_RECORDS, sequence - BATCH_RECORDS);
}

static void what_is_deleted_on_request_makes_room_at_once(void **state)
{
	struct rig *rig = *state;
	int64_t start = -1;

	rig_keep_jobs(rig);
	rig_restart(rig);
	fill_segments(rig);
	unsigned long long before = log_bytes(rig->log);
	assert_int_equal(rig_trim(rig, log_high_watermark(rig->log), &start), 0);
	assert_true(log_bytes(rig->log) < before / 2);
	while (rig->job)
		rig_run_job(rig);
	rig_keep_no_jobs(rig);
}

static void a_log_is_closed_when_its_snapshot_is_written(void **state)
{
	struct rig *rig = *state;

	rig_keep_jobs(rig);
	rig_restart(rig);
	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig_begin_close(rig);
	rig_turn(rig);
	assert_false(rig->closed);
	rig_run_job(rig);
	assert_true(rig->closed);
	assert_int_equal(snapshots(rig), 1);
	rig_keep_no_jobs(rig);
}

static void where_no_snapshot_can_be_written_retention_makes_room(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig_close(rig);
	rig_path(rig, "producers.new", path);
	assert_int_equal(mkdir(path, 0755), 0);
	fill_segments(rig);
	store_housekeep(rig->store);
	assert_true(log_start_offset(rig->log) > 0);
	assert_int_equal(rmdir(path), 0);
}

/* It says of the producer what was true before batches that are deleted. */
static void a_snapshot_that_the_log_has_outlived_is_not_used(void **state)
{
	struct rig *rig = *state;
	char path[256];

	int32_t sequence = fill_segments(rig);
	store_housekeep(rig->store);
	assert_int_equal(snapshots(rig), 2);
	int64_t start = log_start_offset(rig->log);
	rig_kill(rig);
	for (int64_t offset = start; offset <= sequence; offset++) {
		char name[32];
		snprintf(name, sizeof(name), "%020lld.producers", (long long)offset);
		rig_path(rig, name, path);
		unlink(path);
	}
	assert_int_equal(snapshots(rig), 1);
	rig_open(rig);
	append_new(rig, PRODUCER, sequence);
}

static void after_a_failure_the_state_is_what_the_log_holds(void **state)
{
	struct rig *rig = *state;
	struct made_batch lost = batch_of(PRODUCER, 0, 2, 100);
	struct rig_append one;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	assert_int_equal(rig_start_append(rig, &lost, ACK_DURABLE, &one), 0);
	commit_fail(rig->log, -EIO, "test");
	rig->now_ns += 2 * NS_PER_SECOND;
	append_again(rig, PRODUCER, 0, 0);
	append_new(rig, PRODUCER, 2);
	free(lost.data);
}

/* The first producer of each log is beyond the limit of all: it is silent in none of them. */
static void beyond_the_limit_of_all_logs_nobody_forgets_who_appends(void **state)
{
	struct rig *rig = *state;
	int64_t offset = -1;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig->store->options.producers_total_max = 1;
	rig->store->stats.producers = 2; /* the other is another log's */
	append_new(rig, PRODUCER, 2);
	append_again(rig, PRODUCER, 2, 2);
	assert_int_equal(append(rig, PRODUCER, 6, &offset), -ERR_SEQUENCE);
	append_new(rig, PRODUCER + 1, 0);
	assert_int_equal(producers_count(&rig->log->producers), 1);
	rig->store->stats.producers = 1;
}

static void a_step_of_the_wall_clock_forgets_nobody(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig->now_ms += INT64_C(10) * RIG_PRODUCER_EXPIRATION_MS;
	store_housekeep(rig->store);
	append_again(rig, PRODUCER, 0, 0);
}

static void a_silent_producer_is_forgotten_in_time(void **state)
{
	struct rig *rig = *state;
	int64_t offset;

	rig_open(rig);
	append_new(rig, PRODUCER, 0);
	rig->now_ns += (RIG_PRODUCER_EXPIRATION_MS - 1) * NS_PER_MS;
	store_housekeep(rig->store);
	assert_int_equal(append(rig, PRODUCER, 9, &offset), -ERR_SEQUENCE);
	rig->now_ns += 2 * NS_PER_MS;
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->producers, 0);
	append_new(rig, PRODUCER, 9);
}

/* ---- power cuts ---- */

enum { CUTS = 150, PRODUCERS = 5, STEPS_MAX = 60 };

/* What a read from `offset` gives; the offset behind it. */
static int64_t apply_read(struct rig *rig, int64_t offset, struct producers *producers)
{
	struct rig_read read = rig_read(rig, offset, 1 << 20, true);
	struct batch batch;

	assert_int_equal(read.rc, 0);
	for (size_t at = 0; at < read.size; at += batch.size) {
		assert_int_equal(batch_parse(&batch, read.data + at, read.size - at), 0);
		assert_int_equal(producers_reserve(producers, &batch), 0);
		producers_apply(producers, &batch, NULL, 0);
		offset = batch.base_offset + batch.last_offset_delta + 1;
	}
	free(read.data);
	return offset;
}

/* The state is the one that the log's own batches give, read from its beginning. */
static void expect_state(struct rig *rig)
{
	struct producers expected;

	producers_init(&expected, 100);
	for (int64_t offset = 0; offset < log_end_offset(rig->log);)
		offset = apply_read(rig, offset, &expected);
	assert_int_equal(producers_count(&rig->log->producers), producers_count(&expected));
	for (int64_t id = 0; id < PRODUCERS; id++) {
		const struct producer *want = producers_find(&expected, id);
		const struct producer *got = producers_find(&rig->log->producers, id);
		assert_true(!want == !got);
		if (!want)
			continue;
		assert_int_equal(got->epoch, want->epoch);
		assert_int_equal(got->batch_count, want->batch_count);
		for (unsigned i = 0; i < want->batch_count; i++) {
			unsigned back = PRODUCER_BATCHES - i;
			assert_memory_equal(
				&got->batches[(got->newest + back) % PRODUCER_BATCHES],
				&want->batches[(want->newest + back) % PRODUCER_BATCHES],
				sizeof(want->batches[0]));
		}
	}
	producers_fini(&expected);
}

struct life {
	struct chance chance;
	int32_t next[PRODUCERS];
	int16_t epoch[PRODUCERS];
};

static void step(struct rig *rig, struct life *life)
{
	int64_t id = (int64_t)chance_below(&life->chance, PRODUCERS);
	int64_t offset;

	if (chance_one_in(&life->chance, 10)) {
		life->epoch[id]++;
		life->next[id] = 0;
	}
	struct made_batch made = batch_of(id, life->epoch[id], life->next[id],
					  (size_t)chance_below(&life->chance, 20000));
	int rc = rig_append(rig, &made, ACK_DURABLE, &offset);
	free(made.data);
	assert_int_equal(rc, 0);
	life->next[id] += BATCH_RECORDS;
	if (chance_one_in(&life->chance, 8))
		store_housekeep(rig->store);
}

/* What a producer goes on with after a crash: what the log holds, as its client would retry. */
static void take_over(struct rig *rig, struct life *life)
{
	for (int64_t id = 0; id < PRODUCERS; id++) {
		const struct producer *producer = producers_find(&rig->log->producers, id);
		life->epoch[id] = producer ? producer->epoch : 0;
		life->next[id] = producer ? producer->batches[producer->newest].last_sequence + 1
					  : 0;
	}
}

static void after_any_power_cut_the_state_is_what_the_log_holds(void **state)
{
	struct life life = {.chance = {4711}};
	char folder[128];

	(void)state;
	for (unsigned cut = 0; cut < CUTS; cut++) {
		struct rig rig;
		struct io_backend *io = sim_new(cut + 1);
		rig_init(&rig, NULL, io, 16 << 20);
		sim_options(io)->slowness = 1 + cut % 3;
		rig.config.segment_bytes = 64 << 10;
		rig_open(&rig);
		memset(life.next, 0, sizeof(life.next));
		memset(life.epoch, 0, sizeof(life.epoch));
		for (unsigned lives = 0; lives < 3; lives++) {
			unsigned steps = (unsigned)chance_below(&life.chance, STEPS_MAX);
			for (unsigned i = 0; i < steps; i++)
				step(&rig, &life);
			make_folder(folder, true);
			sim_power_cut(io, rig.folder, folder);
			rig_move(&rig, folder);
			rig.identity.leader_epoch++;
			rig_open(&rig);
			expect_state(&rig);
			take_over(&rig, &life);
		}
		rig_fini(&rig);
		io_free(io);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_batch_sent_again_is_answered_and_not_stored),
		TEST(what_repeats_a_batch_in_flight_waits_for_it),
		TEST(what_repeats_a_batch_is_answered_before_its_log_is_gone),
		TEST(a_failed_append_fails_what_repeats_it),
		TEST(a_producer_is_known_after_a_clean_stop),
		TEST(a_producer_is_known_after_a_kill),
		TEST(a_log_without_producers_has_no_snapshots),
		TEST(snapshots_do_not_pile_up),
		TEST(without_a_sound_snapshot_the_log_is_read),
		TEST(a_snapshot_beyond_the_end_is_removed),
		TEST(retention_waits_for_a_snapshot_of_the_producers),
		TEST(what_is_deleted_on_request_makes_room_at_once),
		TEST(a_log_is_closed_when_its_snapshot_is_written),
		TEST(where_no_snapshot_can_be_written_retention_makes_room),
		TEST(a_snapshot_that_the_log_has_outlived_is_not_used),
		TEST(after_a_failure_the_state_is_what_the_log_holds),
		TEST(beyond_the_limit_of_all_logs_nobody_forgets_who_appends),
		TEST(a_step_of_the_wall_clock_forgets_nobody),
		TEST(a_silent_producer_is_forgotten_in_time),
		cmocka_unit_test(after_any_power_cut_the_state_is_what_the_log_holds),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
