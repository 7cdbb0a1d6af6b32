/* Transactions in a log: what holds readers of committed records back, what producers may do,
 * which are known as aborted, through restarts, kills and failures. */
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
#include <unistd.h>
#include <cmocka.h>

enum { ONE = 4711, OTHER = 4712, THIRD = 4713, PLAIN = -1 };

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	rig_open(rig);
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

/* ---- one batch of one record ---- */

static struct made_batch of_transaction(int64_t producer, int16_t epoch, int32_t sequence)
{
	return make_producer_batch(1, 50, producer, epoch, sequence, BATCH_TRANSACTIONAL);
}

static struct made_batch outside(int64_t producer, int16_t epoch, int32_t sequence)
{
	return make_producer_batch(1, 50, producer, epoch, sequence, 0);
}

static struct made_batch marker_of(int64_t producer, int16_t epoch, enum control_type type)
{
	const struct control_marker marker = {
		.type = type,
		.producer_id = producer,
		.producer_epoch = epoch,
		.coordinator_epoch = 9,
		.timestamp_ms = 5000,
	};

	return make_marker(&marker);
}

/* The rc of log_append, or of its answer. */
static int append(struct rig *rig, struct made_batch made, int64_t *ret_offset)
{
	int rc = rig_append(rig, &made, ACK_DURABLE, ret_offset);

	free(made.data);
	return rc;
}

static void stored(struct rig *rig, struct made_batch made)
{
	int64_t end = log_end_offset(rig->log);
	int64_t offset = -1;

	assert_int_equal(append(rig, made, &offset), 0);
	assert_int_equal(offset, end);
	assert_int_equal(log_end_offset(rig->log), end + 1);
}

static void refused(struct rig *rig, struct made_batch made, int rc)
{
	int64_t end = log_end_offset(rig->log);

	assert_int_equal(append(rig, made, NULL), rc);
	assert_int_equal(log_end_offset(rig->log), end);
}

/* Nothing is stored: it has been, or there is nothing to end. */
static void answered(struct rig *rig, struct made_batch made, int64_t first)
{
	int64_t end = log_end_offset(rig->log);
	int64_t offset = -2;

	assert_int_equal(append(rig, made, &offset), 0);
	assert_int_equal(offset, first);
	assert_int_equal(log_end_offset(rig->log), end);
}

static void begin(struct rig *rig, int64_t producer)
{
	stored(rig, of_transaction(producer, 0, 0));
}

static void end(struct rig *rig, int64_t producer, enum control_type type)
{
	stored(rig, marker_of(producer, 0, type));
}

static void stable_at(const struct rig *rig, int64_t offset)
{
	assert_int_equal(log_last_stable_offset(rig->log), offset);
}

static void expect_aborted(const struct rig *rig, int64_t from, int64_t below, size_t count)
{
	assert_int_equal(log_aborted(rig->log, from, below, NULL, 0), count);
}

/* ---- readers ---- */

static unsigned committed_batches(struct rig *rig, int64_t from)
{
	struct rig_read read = rig_read_committed(rig, from, 1 << 20);
	struct batch batch;
	unsigned count = 0;

	assert_int_equal(read.rc, 0);
	for (size_t at = 0; at < read.size; at += batch.size) {
		assert_int_equal(batch_parse(&batch, read.data + at, read.size - at), 0);
		count++;
	}
	free(read.data);
	return count;
}

static void an_open_transaction_holds_readers_of_committed_records_back(void **state)
{
	struct rig *rig = *state;

	rig_fill(rig, 1, 50, 1000);
	begin(rig, ONE);
	rig_fill(rig, 1, 50, 1000);
	stable_at(rig, 1);
	assert_int_equal(log_high_watermark(rig->log), 3);
	assert_int_equal(committed_batches(rig, 0), 1);
	assert_int_equal(committed_batches(rig, 1), 0);
	assert_int_equal(committed_batches(rig, 2), 0);
	assert_int_equal(rig_check_all(rig), 3);
	end(rig, ONE, CONTROL_COMMIT);
	stable_at(rig, 4);
	assert_int_equal(committed_batches(rig, 1), 3);
}

/* The same from the file, where the tail holds nothing. */
static void readers_of_the_file_are_held_back_too(void **state)
{
	struct rig *rig = *state;

	rig_fill(rig, 3, 50, 1000);
	begin(rig, ONE);
	rig_fill(rig, 3, 50, 1000);
	rig_reopen(rig);
	assert_int_equal(committed_batches(rig, 0), 3);
	assert_int_equal(committed_batches(rig, 3), 0);
	end(rig, ONE, CONTROL_ABORT);
	assert_int_equal(committed_batches(rig, 0), 8);
}

static void count_change(struct log_watch *watch);
struct counted_watch {
	struct log_watch watch;
	const struct log *log;
	unsigned changes;
	int64_t stable;
};
static void count_change(struct log_watch *watch)
{
	struct counted_watch *mine = container_of(watch, struct counted_watch, watch);

	mine->changes++;
	mine->stable = log_last_stable_offset(mine->log);
}

static void readers_go_on_when_the_marker_is_durable_and_not_before(void **state)
{
	struct rig *rig = *state;
	struct made_batch marker = marker_of(ONE, 0, CONTROL_COMMIT);
	struct counted_watch watch = {.watch.changed = count_change, .log = rig->log};
	struct rig_append waits;

	begin(rig, ONE);
	log_watch(rig->log, &watch.watch);
	assert_int_equal(rig_start_append(rig, &marker, ACK_DURABLE, &waits), 0);
	stable_at(rig, 0);
	while (!waits.done)
		rig_turn(rig);
	stable_at(rig, 2);
	assert_int_equal(watch.changes, 1);
	assert_int_equal(watch.stable, 2);
	free(marker.data);
}

static void the_one_that_began_first_holds_back_though_others_end(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_COMMIT);
	stable_at(rig, 0);
	begin(rig, THIRD);
	end(rig, ONE, CONTROL_COMMIT);
	stable_at(rig, 3);
	end(rig, THIRD, CONTROL_COMMIT);
	stable_at(rig, 6);
}

static void what_is_not_durable_is_not_stable_though_readers_see_it(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 50, 1000, 1);
	struct rig_append waits;

	rig->config.read_unflushed = true;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &waits), 0);
	assert_int_equal(log_high_watermark(rig->log), 1);
	stable_at(rig, 0);
	while (!waits.done)
		rig_turn(rig);
	stable_at(rig, 1);
	free(made.data);
}

static void a_time_is_not_found_among_what_is_not_stable(void **state)
{
	struct rig *rig = *state;
	int64_t offset = 0;
	int64_t ms;

	rig_fill(rig, 1, 50, 500);
	begin(rig, ONE);
	assert_int_equal(rig_find_committed(rig, 500, &offset), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(rig_find_committed(rig, 501, &offset), 0);
	assert_int_equal(offset, -1);
	assert_int_equal(rig_find_committed(rig, -3, &offset), 0);
	assert_int_equal(offset, -1);
	assert_int_equal(rig_find(rig, 501, &offset, &ms), 0);
	assert_int_equal(offset, 1);
}

/* ---- what producers may do ---- */

static void outside_of_its_open_transaction_a_producer_writes_nothing(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	refused(rig, outside(ONE, 0, 1), -ERR_TXN_STATE);
	stored(rig, outside(OTHER, 0, 0));
	end(rig, ONE, CONTROL_COMMIT);
	stored(rig, outside(ONE, 0, 1));
}

static void within_an_epoch_sequences_go_on_behind_a_marker(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	end(rig, ONE, CONTROL_COMMIT);
	answered(rig, of_transaction(ONE, 0, 0), 0);
	refused(rig, of_transaction(ONE, 0, 2), -ERR_SEQUENCE);
	stored(rig, of_transaction(ONE, 0, 1));
	stable_at(rig, 2);
}

static void a_marker_of_a_newer_epoch_fences_the_older_and_sequences_begin_again(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	stored(rig, marker_of(ONE, 1, CONTROL_COMMIT));
	stable_at(rig, 2);
	refused(rig, of_transaction(ONE, 0, 1), -ERR_PRODUCER_EPOCH);
	refused(rig, of_transaction(ONE, 0, 0), -ERR_PRODUCER_EPOCH);
	refused(rig, of_transaction(ONE, 1, 1), -ERR_SEQUENCE);
	stored(rig, of_transaction(ONE, 1, 0));
	stable_at(rig, 2);
}

static void a_newer_epoch_gets_into_no_transaction_of_the_older(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	refused(rig, of_transaction(ONE, 1, 0), -ERR_TXN_STATE);
	refused(rig, outside(ONE, 1, 0), -ERR_TXN_STATE);
	stored(rig, marker_of(ONE, 1, CONTROL_ABORT));
	stored(rig, of_transaction(ONE, 1, 0));
	expect_aborted(rig, 0, 3, 1);
}

static void a_marker_of_an_older_epoch_is_refused(void **state)
{
	struct rig *rig = *state;

	stored(rig, of_transaction(ONE, 3, 0));
	refused(rig, marker_of(ONE, 2, CONTROL_ABORT), -ERR_PRODUCER_EPOCH);
	stable_at(rig, 0);
}

static void a_marker_that_has_nothing_to_end_is_not_stored(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	end(rig, ONE, CONTROL_COMMIT);
	answered(rig, marker_of(ONE, 0, CONTROL_COMMIT), -1);
	answered(rig, marker_of(ONE, 0, CONTROL_ABORT), -1);
	expect_aborted(rig, 0, 2, 0);
	assert_int_equal(store_stats(rig->store)->duplicates, 0);
}

/* The one that it repeats may not be durable yet. */
static void a_marker_sent_again_waits_for_what_was_appended_before(void **state)
{
	struct rig *rig = *state;
	struct made_batch marker = marker_of(ONE, 0, CONTROL_COMMIT);
	struct rig_append first, again;

	begin(rig, ONE);
	assert_int_equal(rig_start_append(rig, &marker, ACK_DURABLE, &first), 0);
	assert_int_equal(rig_start_append(rig, &marker, ACK_DURABLE, &again), 1);
	assert_false(again.done);
	while (!again.done)
		rig_turn(rig);
	assert_true(first.done);
	assert_int_equal(again.rc, 0);
	free(marker.data);
}

static void an_unknown_producers_marker_is_stored_and_fences(void **state)
{
	struct rig *rig = *state;

	stored(rig, marker_of(ONE, 5, CONTROL_ABORT));
	answered(rig, marker_of(ONE, 5, CONTROL_ABORT), -1);
	refused(rig, of_transaction(ONE, 4, 0), -ERR_PRODUCER_EPOCH);
	expect_aborted(rig, 0, 1, 0);
	stable_at(rig, 1);
}

static void a_control_batch_that_is_no_marker_is_refused(void **state)
{
	refused(*state, make_producer_batch(1, 50, ONE, 0, -1, BATCH_TRANSACTIONAL | BATCH_CONTROL),
		-ERR_CORRUPT);
}

static void check_says(const struct rig *rig, struct made_batch made, int rc, bool open)
{
	bool got = !open;

	assert_int_equal(log_check_producer(rig->log, &made.batch, &got), rc);
	assert_int_equal(got, open);
	free(made.data);
}

static void a_check_says_what_an_append_would(void **state)
{
	struct rig *rig = *state;

	check_says(rig, of_transaction(ONE, 0, 0), 0, false);
	check_says(rig, make_batch(1, 50, 1000, 1), 0, false);
	begin(rig, ONE);
	check_says(rig, of_transaction(ONE, 0, 0), 1, true);
	check_says(rig, of_transaction(ONE, 0, 1), 0, true);
	check_says(rig, of_transaction(ONE, 0, 2), -ERR_SEQUENCE, true);
	check_says(rig, outside(ONE, 0, 1), -ERR_TXN_STATE, true);
	stored(rig, marker_of(ONE, 1, CONTROL_COMMIT));
	check_says(rig, of_transaction(ONE, 0, 1), -ERR_PRODUCER_EPOCH, false);
	check_says(rig, of_transaction(ONE, 1, 0), 0, false);
}

/* What it knew may have been lost. */
static void a_failed_log_knows_of_no_open_transaction(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	commit_fail(rig->log, -EIO, "test");
	check_says(rig, of_transaction(ONE, 0, 0), 0, false);
}

static void producers_are_described(void **state)
{
	struct rig *rig = *state;
	struct log_producer got[3];

	begin(rig, ONE);
	stored(rig, outside(OTHER, 2, 7));
	stored(rig, marker_of(THIRD, 1, CONTROL_COMMIT));
	assert_int_equal(log_producers(rig->log, got, 2), 3);
	assert_int_equal(log_producers(rig->log, got, 3), 3);
	const struct log_producer open = {ONE, 0, 0, 1000, -1, 0};
	const struct log_producer plain = {OTHER, 2, 7, 1000, -1, -1};
	const struct log_producer ended = {THIRD, 1, -1, 5000, 9, -1};
	for (int i = 0; i < 3; i++) {
		const struct log_producer *want = got[i].id == ONE     ? &open
						  : got[i].id == OTHER ? &plain
								       : &ended;
		assert_int_equal(got[i].epoch, want->epoch);
		assert_int_equal(got[i].last_sequence, want->last_sequence);
		assert_int_equal(got[i].last_timestamp_ms, want->last_timestamp_ms);
		assert_int_equal(got[i].coordinator_epoch, want->coordinator_epoch);
		assert_int_equal(got[i].open_offset, want->open_offset);
	}
}

/* ---- limits ---- */

static void who_has_a_transaction_open_is_not_forgotten_however_long_it_is_silent(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_COMMIT);
	rig->now_ns += (RIG_PRODUCER_EXPIRATION_MS + 1) * NS_PER_MS;
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->producers, 1);
	stable_at(rig, 0);
	end(rig, ONE, CONTROL_COMMIT);
	stable_at(rig, 4);
	rig->now_ns += (RIG_PRODUCER_EXPIRATION_MS + 1) * NS_PER_MS;
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->producers, 0);
}

static void restart_with_limit(struct rig *rig, size_t limit)
{
	rig_close(rig);
	rig->producers_max = limit;
	rig_restart(rig);
	rig->identity.leader_epoch++;
	rig_open(rig);
}

static void beyond_the_limit_nobody_with_an_open_transaction_is_forgotten(void **state)
{
	struct rig *rig = *state;

	restart_with_limit(rig, 2);
	stored(rig, outside(1, 0, 0));
	for (int64_t id = 2; id < 7; id++)
		begin(rig, id);
	assert_int_equal(producers_count(&rig->log->producers), 5);
	assert_null(producers_find(&rig->log->producers, 1));
	rig_reopen(rig);
	assert_int_equal(producers_count(&rig->log->producers), 5);
	for (int64_t id = 2; id < 7; id++)
		end(rig, id, CONTROL_COMMIT);
	stable_at(rig, log_end_offset(rig->log));
	stored(rig, outside(1, 0, 0));
	assert_int_equal(producers_count(&rig->log->producers), 2);
}

static void a_limit_of_none_still_knows_open_transactions(void **state)
{
	struct rig *rig = *state;

	restart_with_limit(rig, 0);
	begin(rig, ONE);
	stored(rig, outside(OTHER, 0, 0));
	assert_int_equal(producers_count(&rig->log->producers), 1);
	stable_at(rig, 0);
	rig_reopen(rig);
	stable_at(rig, 0);
	end(rig, ONE, CONTROL_COMMIT);
	stable_at(rig, 3);
}

static void beyond_the_limit_of_all_logs_open_transactions_stay(void **state)
{
	struct rig *rig = *state;

	rig->store->options.producers_total_max = 1;
	begin(rig, ONE);
	begin(rig, OTHER);
	begin(rig, THIRD);
	assert_int_equal(producers_count(&rig->log->producers), 3);
	stable_at(rig, 0);
}

/* ---- deleting records ---- */

static void an_aborted_transaction_goes_when_its_marker_is_deleted(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	end(rig, ONE, CONTROL_ABORT);
	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_ABORT);
	assert_int_equal(rig_trim(rig, 1, NULL), 0);
	store_housekeep(rig->store);
	expect_aborted(rig, 0, 4, 2);
	assert_int_equal(rig_trim(rig, 2, NULL), 0);
	store_housekeep(rig->store);
	expect_aborted(rig, 0, 4, 1);
	rig_reopen(rig);
	expect_aborted(rig, 0, 4, 1);
}

static void a_transaction_whose_beginning_is_deleted_holds_back_from_the_start_on(void **state)
{
	struct rig *rig = *state;
	struct counted_watch watch = {.watch.changed = count_change, .log = rig->log};

	begin(rig, ONE);
	rig_fill(rig, 2, 50, 1000);
	log_watch(rig->log, &watch.watch);
	assert_int_equal(rig_trim(rig, 2, NULL), 0);
	assert_int_equal(watch.changes, 1);
	stable_at(rig, 2);
	assert_int_equal(committed_batches(rig, 2), 0);
	rig_reopen(rig);
	stable_at(rig, 2);
	end(rig, ONE, CONTROL_COMMIT);
	stable_at(rig, 4);
}

/* ---- restarts and failures ---- */

static void remove_snapshots(const struct rig *rig)
{
	char path[256];
	const struct dirent *entry;

	rig_path(rig, ".", path);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".producers"))
			continue;
		char file[256];
		rig_path(rig, entry->d_name, file);
		assert_int_equal(unlink(file), 0);
	}
	closedir(dir);
}

/* One open from 0, one aborted, [1, 2]. */
static void some_transactions(struct rig *rig)
{
	begin(rig, ONE);
	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_ABORT);
}

static void expect_some_transactions(struct rig *rig)
{
	struct aborted_transaction aborted;

	stable_at(rig, 0);
	assert_int_equal(log_aborted(rig->log, 0, 100, &aborted, 1), 1);
	assert_int_equal(aborted.producer_id, OTHER);
	assert_int_equal(aborted.first_offset, 1);
	assert_int_equal(aborted.last_offset, 2);
	check_says(rig, of_transaction(ONE, 0, 1), 0, true);
	check_says(rig, of_transaction(OTHER, 0, 1), 0, false);
}

static void transactions_are_known_after_a_clean_stop(void **state)
{
	struct rig *rig = *state;

	some_transactions(rig);
	rig_reopen(rig);
	expect_some_transactions(rig);
}

static void transactions_are_known_after_a_kill(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	rig_reopen(rig);
	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_ABORT);
	rig_kill(rig);
	rig_open(rig);
	expect_some_transactions(rig);
}

static void without_a_snapshot_markers_are_read_from_the_log(void **state)
{
	struct rig *rig = *state;

	some_transactions(rig);
	rig_close(rig);
	remove_snapshots(rig);
	rig_open(rig);
	expect_some_transactions(rig);
}

/* Its first batch has no producer id, so its segment would not be looked at, were markers not. */
static void a_segment_with_nothing_but_a_marker_is_looked_at(void **state)
{
	struct rig *rig = *state;

	stored(rig, marker_of(ONE, 5, CONTROL_ABORT));
	rig_close(rig);
	remove_snapshots(rig);
	rig_open(rig);
	assert_true(rig->log->active->idempotent);
	refused(rig, of_transaction(ONE, 4, 0), -ERR_PRODUCER_EPOCH);
}

static void flip_byte(const struct rig *rig, long at)
{
	char path[256];
	size_t size;

	rig_path(rig, "00000000000000000000.log", path);
	uint8_t *data = load_file(path, &size);
	data[at] ^= 1;
	save_file(path, data, size);
	free(data);
}

/* So much that an index vouches for what lies before. */
static void fill_behind(struct rig *rig)
{
	rig_fill(rig, 3, INDEX_INTERVAL_BYTES, 1000);
}

static void one_is_quarantined(const struct rig *rig, int64_t offset, int64_t committed_from)
{
	struct damage range;

	assert_int_equal(log_quarantined(rig->log, &range, 1), 1);
	assert_int_equal(range.from, offset);
	assert_int_equal(range.to, offset + 1);
	assert_int_equal(range.committed_from, committed_from);
}

/* What is vouched for is not read at a start, but what a marker says must be. */
static void a_damaged_marker_is_found_when_it_is_needed(void **state)
{
	struct rig *rig = *state;

	stored(rig, marker_of(ONE, 5, CONTROL_ABORT));
	fill_behind(rig);
	rig_close(rig);
	flip_byte(rig, SEGMENT_HEADER_BYTES + 69); /* the type */
	rig_open(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	rig_close(rig);
	remove_snapshots(rig);
	rig_open(rig);
	one_is_quarantined(rig, 0, 0);
}

static void repair(struct rig *rig)
{
	rig->now_ns += 60 * NS_PER_SECOND;
	store_housekeep(rig->store);
}

static void after_a_failure_transactions_are_what_the_log_holds(void **state)
{
	struct rig *rig = *state;
	struct made_batch lost = marker_of(ONE, 0, CONTROL_ABORT);
	struct made_batch more = of_transaction(THIRD, 0, 0);
	struct rig_append first, second;

	some_transactions(rig);
	assert_int_equal(rig_start_append(rig, &lost, ACK_DURABLE, &first), 0);
	assert_int_equal(rig_start_append(rig, &more, ACK_DURABLE, &second), 0);
	commit_fail(rig->log, -EIO, "test");
	stable_at(rig, 0);
	repair(rig);
	assert_false(log_failed(rig->log));
	expect_some_transactions(rig);
	assert_null(producers_find(&rig->log->producers, THIRD));
	free(lost.data);
	free(more.data);
}

static int read_at(struct rig *rig, int64_t offset, bool committed)
{
	struct rig_read got = committed ? rig_read_committed(rig, offset, 1)
					: rig_read(rig, offset, 1, true);

	free(got.data);
	return got.rc;
}

/* How it ended is not known: its records are neither shown as committed nor left out. */
static void who_reads_committed_records_is_told_where_a_marker_is_lost(void **state)
{
	struct rig *rig = *state;

	begin(rig, OTHER);
	end(rig, OTHER, CONTROL_COMMIT);
	begin(rig, ONE);
	stored(rig, outside(PLAIN, -1, -1));
	long marker_at = (long)rig->log->active->end;
	end(rig, ONE, CONTROL_ABORT);
	fill_behind(rig);
	int64_t stable = log_end_offset(rig->log);
	stable_at(rig, stable);
	rig_close(rig);
	remove_snapshots(rig);
	flip_byte(rig, marker_at + 69);
	for (int life = 0; life < 3; life++) {
		rig_open(rig);
		one_is_quarantined(rig, 4, 2);
		stable_at(rig, stable);
		assert_int_equal(read_at(rig, 0, true), 0);
		for (int64_t offset = 2; offset < 5; offset++)
			assert_int_equal(read_at(rig, offset, true), -ERR_CORRUPT);
		assert_int_equal(read_at(rig, 3, false), 0);
		assert_int_equal(read_at(rig, 5, true), 0);
		/* The second life reads a snapshot that was taken behind the damage. */
		rig_close(rig);
	}
	rig_open(rig);
	/* The coordinator that sends it again is answered, and the producer goes on. */
	answered(rig, marker_of(ONE, 0, CONTROL_ABORT), -1);
	stored(rig, of_transaction(ONE, 0, 1));
	stored(rig, marker_of(ONE, 0, CONTROL_COMMIT));
	stable_at(rig, stable + 2);
}

static void a_marker_lost_behind_a_snapshot_bars_nobody(void **state)
{
	struct rig *rig = *state;

	begin(rig, ONE);
	long marker_at = (long)rig->log->active->end;
	end(rig, ONE, CONTROL_ABORT);
	fill_behind(rig);
	long last_byte = (long)rig->log->active->end - 1;
	rig_close(rig);
	flip_byte(rig, marker_at + 69);
	/* So that the index is not believed. */
	flip_byte(rig, last_byte);
	rig_open(rig);
	struct damage ranges[2];
	assert_int_equal(log_quarantined(rig->log, ranges, 2), 2);
	assert_int_equal(ranges[0].from, 1);
	assert_int_equal(ranges[0].committed_from, 1);
	/* The snapshot knows how it ended. */
	expect_aborted(rig, 0, 2, 1);
	assert_int_equal(read_at(rig, 0, true), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_open_transaction_holds_readers_of_committed_records_back),
		TEST(readers_of_the_file_are_held_back_too),
		TEST(readers_go_on_when_the_marker_is_durable_and_not_before),
		TEST(the_one_that_began_first_holds_back_though_others_end),
		TEST(what_is_not_durable_is_not_stable_though_readers_see_it),
		TEST(a_time_is_not_found_among_what_is_not_stable),
		TEST(outside_of_its_open_transaction_a_producer_writes_nothing),
		TEST(within_an_epoch_sequences_go_on_behind_a_marker),
		TEST(a_marker_of_a_newer_epoch_fences_the_older_and_sequences_begin_again),
		TEST(a_newer_epoch_gets_into_no_transaction_of_the_older),
		TEST(a_marker_of_an_older_epoch_is_refused),
		TEST(a_marker_that_has_nothing_to_end_is_not_stored),
		TEST(a_marker_sent_again_waits_for_what_was_appended_before),
		TEST(an_unknown_producers_marker_is_stored_and_fences),
		TEST(a_control_batch_that_is_no_marker_is_refused),
		TEST(a_check_says_what_an_append_would),
		TEST(a_failed_log_knows_of_no_open_transaction),
		TEST(producers_are_described),
		TEST(who_has_a_transaction_open_is_not_forgotten_however_long_it_is_silent),
		TEST(beyond_the_limit_nobody_with_an_open_transaction_is_forgotten),
		TEST(a_limit_of_none_still_knows_open_transactions),
		TEST(beyond_the_limit_of_all_logs_open_transactions_stay),
		TEST(an_aborted_transaction_goes_when_its_marker_is_deleted),
		TEST(a_transaction_whose_beginning_is_deleted_holds_back_from_the_start_on),
		TEST(transactions_are_known_after_a_clean_stop),
		TEST(transactions_are_known_after_a_kill),
		TEST(without_a_snapshot_markers_are_read_from_the_log),
		TEST(a_segment_with_nothing_but_a_marker_is_looked_at),
		TEST(a_damaged_marker_is_found_when_it_is_needed),
		TEST(after_a_failure_transactions_are_what_the_log_holds),
		TEST(who_reads_committed_records_is_told_where_a_marker_is_lost),
		TEST(a_marker_lost_behind_a_snapshot_bars_nobody),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
