/* Compaction beside what else goes on: readers, transactions and producers, closing, what a start
 * finds of one that was broken off, and how fast it may be. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/keyed.h"
#include "tests/storage/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS = 50, PADDING = 300, SEGMENT_BYTES = 20000 };
static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
static const struct keyed_options plain = {.first_ms = 1000, .padding = PADDING};

/* ---- folders that cannot be flushed ---- */

static bool folders_fail;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
	struct stat stat;

	if (folders_fail && fstat(fd, &stat) == 0 && S_ISDIR(stat.st_mode)) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

static int setup(void **state)
{
	*state = keyed_rig_new(SEGMENT_BYTES, day_ms, false);
	return 0;
}

static int setup_with_jobs(void **state)
{
	*state = keyed_rig_new(SEGMENT_BYTES, day_ms, true);
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct io_backend *io = rig->io;

	folders_fail = false;
	rig_fini(rig);
	io_free(io);
	free(rig);
	return 0;
}

static void fill(struct rig *rig, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rig_append_keyed(rig, &(struct keyed){i % KEYS, i}, 1, &plain);
}

static void close_active(struct rig *rig)
{
	uint64_t before = rig->config.segment_bytes;

	rig->config.segment_bytes = 500;
	log_set_config(rig->log, &rig->config);
	rig_append_keyed(rig, &(struct keyed){1000000, 0}, 1, &plain);
	rig->config.segment_bytes = before;
	log_set_config(rig->log, &rig->config);
}

static void compact(struct rig *rig)
{
	uint64_t before = store_stats(rig->store)->compactions;

	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->compactions, before + 1);
}

/* Until it is back, with all that follows it; how many came. */
static unsigned run_jobs(struct rig *rig)
{
	unsigned jobs = 0;

	for (; rig->job; jobs++)
		rig_run_job(rig);
	return jobs;
}

struct counts {
	unsigned records, markers, empties;
	int64_t last_value;
};

static void count(void *context, const struct keyed_found *found)
{
	struct counts *counts = context;

	counts->markers += found->marker;
	counts->empties += found->empty;
	if (found->marker || found->empty)
		return;
	counts->records++;
	counts->last_value = found->record.value;
}

static struct counts counts_of(struct rig *rig)
{
	struct counts counts = {0};

	rig_each_keyed(rig, count, &counts);
	return counts;
}

/* ---- transactions and producers ---- */

static void send_in_transaction(struct rig *rig, int64_t producer, int32_t sequence, int64_t key,
				int64_t value)
{
	const struct keyed_options options = {
		.first_ms = 1000,
		.padding = PADDING,
		.attributes = BATCH_TRANSACTIONAL,
		.producer_id = producer,
		.base_sequence = sequence,
	};

	rig_append_keyed(rig, &(struct keyed){key, value}, 1, &options);
}

/* So that the log remembers of it only what is in the end. */
static void forget_producers(struct rig *rig)
{
	rig_pass_time(rig, RIG_PRODUCER_EXPIRATION_MS + 1);
	store_housekeep(rig->store);
	assert_int_equal(log_producers(rig->log, NULL, 0), 0);
}

static void aborted_records_go_and_do_not_supersede(void **state)
{
	struct rig *rig = *state;
	struct aborted_transaction aborted;

	rig_append_keyed(rig, &(struct keyed){1, 10}, 1, &plain);
	send_in_transaction(rig, 5, 0, 1, 11);
	rig_append_marker(rig, 5, 0, false);
	close_active(rig);
	assert_int_equal(log_aborted(rig->log, 0, 100, &aborted, 1), 1);
	compact(rig);
	struct counts counts = counts_of(rig);
	assert_int_equal(counts.records, 2);
	/* What the log remembers of the producer, and so its marker. */
	assert_int_equal(counts.empties, 1);
	assert_int_equal(counts.markers, 1);
	assert_int_equal(log_aborted(rig->log, 0, 100, &aborted, 1), 0);
	rig_reopen(rig);
	assert_int_equal(log_aborted(rig->log, 0, 100, &aborted, 1), 0);
	assert_int_equal(log_producers(rig->log, NULL, 0), 1);
}

static void a_marker_goes_a_while_after_its_records(void **state)
{
	struct rig *rig = *state;

	send_in_transaction(rig, 5, 0, 1, 11);
	rig_append_marker(rig, 5, 0, true);
	rig_append_keyed(rig, &(struct keyed){1, 12}, 1, &plain);
	forget_producers(rig);
	close_active(rig);
	compact(rig);
	assert_int_equal(counts_of(rig).markers, 1);
	assert_int_equal(counts_of(rig).empties, 0);
	rig_pass_time(rig, day_ms - 1);
	close_active(rig);
	compact(rig);
	assert_int_equal(counts_of(rig).markers, 1);
	rig_pass_time(rig, 1);
	close_active(rig);
	compact(rig);
	assert_int_equal(counts_of(rig).markers, 0);
	rig_reopen(rig);
	assert_int_equal(log_last_stable_offset(rig->log), log_end_offset(rig->log));
}

static void a_marker_stays_while_a_record_of_its_transaction_does(void **state)
{
	struct rig *rig = *state;

	send_in_transaction(rig, 5, 0, 1, 11);
	rig_append_marker(rig, 5, 0, true);
	forget_producers(rig);
	for (int i = 0; i < 3; i++) {
		close_active(rig);
		compact(rig);
		rig_pass_time(rig, 2 * day_ms);
	}
	assert_int_equal(counts_of(rig).markers, 1);
}

static void nothing_beyond_the_last_stable_offset_is_touched(void **state)
{
	struct rig *rig = *state;

	send_in_transaction(rig, 5, 0, 1, 11);
	fill(rig, 500);
	close_active(rig);
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->compactions, 0);
	rig_append_marker(rig, 5, 0, true);
	compact(rig);
	assert_true(counts_of(rig).records < 3 * KEYS);
}

static void remove_snapshots(const struct rig *rig)
{
	char path[256];
	char name[300];
	struct dirent *entry;

	rig_path(rig, ".", path);
	DIR *dir = opendir(path);
	check(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".producers"))
			continue;
		snprintf(name, sizeof(name), "%.200s/%.90s", path, entry->d_name);
		check(unlink(name) == 0);
	}
	closedir(dir);
}

/* Its last five batches are known from the log alone, though none of their records is left. */
static void a_producer_goes_on_though_its_records_and_all_snapshots_are_gone(void **state)
{
	struct rig *rig = *state;
	int64_t offset = -1;

	for (int32_t i = 0; i < 8; i++) {
		const struct keyed_options mine = {
			.first_ms = 1000,
			.padding = PADDING,
			.producer_id = 9,
			.base_sequence = i,
		};
		rig_append_keyed(rig, &(struct keyed){1, i}, 1, &mine);
	}
	rig_append_keyed(rig, &(struct keyed){1, 100}, 1, &plain);
	close_active(rig);
	compact(rig);
	assert_int_equal(counts_of(rig).empties, 5);
	rig_close(rig);
	remove_snapshots(rig);
	rig_open(rig);
	const struct keyed_options again = {.producer_id = 9, .base_sequence = 3};
	struct made_batch made = make_keyed_batch(&(struct keyed){1, 3}, 1, &again);
	struct rig_append append;
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 1);
	assert_int_equal(append.append.base_offset, 3);
	free(made.data);
	const struct keyed_options next = {.producer_id = 9, .base_sequence = 8};
	made = make_keyed_batch(&(struct keyed){1, 8}, 1, &next);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
	free(made.data);
	while (!append.done)
		rig_turn(rig);
}

/* ---- readers ---- */

static void a_read_under_way_ends_in_the_new_segment(void **state)
{
	struct rig *rig = *state;
	struct waited_read reading = {
		.read = {.offset = 3,
			 .bytes_max = 1,
			 .oversize_first = true,
			 .done = waited_read_done},
	};
	struct batch batch;

	fill(rig, 500);
	close_active(rig);
	rig_reopen(rig);
	/* From the file, as nothing is in the tail now; it stays on its way for a while. */
	sim_options(rig->io)->slowness = 1000000;
	log_read(rig->log, &reading.read);
	assert_false(reading.done);
	compact(rig);
	sim_options(rig->io)->slowness = 1;
	while (!reading.done)
		rig_turn(rig);
	assert_int_equal(reading.rc, 0);
	assert_int_equal(batch_parse(&batch, reading.read.vectors[0].iov_base,
				     reading.read.vectors[0].iov_len),
			 0);
	assert_int_equal(batch.base_offset, 450);
	log_read_release(rig->store, &reading.read);
}

/* ---- jobs ---- */

static void a_log_that_closes_does_not_wait_for_its_compaction(void **state)
{
	struct rig *rig = *state;
	unsigned steps = 0;

	fill(rig, 500);
	close_active(rig);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
	rig->job->step(rig->job);
	rig_begin_close(rig);
	assert_false(rig->closed);
	while (rig->job->step(rig->job) != STORE_JOB_DONE)
		assert_true(steps++ < 1);
	rig_return_job(rig);
	rig_turn(rig);
	assert_true(rig->closed);
	rig_open(rig);
	assert_int_equal(counts_of(rig).records, 501);
	store_housekeep(rig->store);
	run_jobs(rig);
	assert_int_equal(counts_of(rig).records, KEYS + 1);
}

/* Quarantine speaks of bytes of the file that is there. */
static void it_is_given_up_for_damage_that_a_reader_has_met(void **state)
{
	struct rig *rig = *state;
	char path[256];

	fill(rig, 500);
	close_active(rig);
	rig_reopen(rig);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
	struct store_job *pass = rig->job;
	rig->job = NULL;
	pass->step(pass);
	rig_path(rig, "00000000000000000000.log", path);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff", 1, SEGMENT_HEADER_BYTES + 70), 1);
	close(fd);
	struct rig_read got = rig_read(rig, 0, 1, true);
	assert_int_equal(got.rc, -ERR_CORRUPT);
	free(got.data);
	store_housekeep(rig->store);
	assert_null(rig->job);
	rig->job = pass;
	rig_run_job(rig);
	assert_null(rig->store->compaction);
	store_housekeep(rig->store);
	run_jobs(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 1);
	store_housekeep(rig->store);
	assert_null(rig->store->compaction);
}

/* Nor does one begin while the scrub reads what it would replace. */
static void it_waits_for_the_scrub(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500);
	close_active(rig);
	container_of(rig->log->segments.next, struct segment, link)->suspect = true;
	store_housekeep(rig->store);
	assert_non_null(rig->store->scrub);
	assert_null(rig->store->compaction);
	run_jobs(rig);
	store_housekeep(rig->store);
	assert_non_null(rig->store->compaction);
	run_jobs(rig);
	assert_int_equal(counts_of(rig).records, KEYS + 1);
}

static void appends_and_deleted_records_go_on_beside_it(void **state)
{
	struct rig *rig = *state;
	int64_t start = -1;

	fill(rig, 500);
	close_active(rig);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
	rig->job->step(rig->job);
	fill(rig, 20);
	assert_int_equal(rig_trim(rig, 470, &start), 0);
	assert_int_equal(start, 470);
	assert_true(run_jobs(rig) > 2);
	store_housekeep(rig->store);
	run_jobs(rig);
	struct counts counts = counts_of(rig);
	assert_int_equal(counts.last_value, 19);
	assert_int_equal(log_start_offset(rig->log), 470);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 470);
	assert_int_equal(counts_of(rig).records, counts.records);
}

static void it_pauses_for_what_it_reads_and_writes(void **state)
{
	struct rig *rig = *state;
	uint64_t pauses_ns = 0;

	rig_close(rig);
	rig->compact_bytes_per_second = 1000;
	rig_restart(rig);
	rig_open(rig);
	fill(rig, 500);
	close_active(rig);
	store_housekeep(rig->store);
	while (rig->job) {
		uint64_t pause_ns;
		while ((pause_ns = rig->job->step(rig->job)) != STORE_JOB_DONE)
			pauses_ns += pause_ns;
		rig_return_job(rig);
	}
	const struct store_stats *stats = store_stats(rig->store);
	uint64_t bytes = stats->compact_read_bytes + stats->compact_written_bytes;
	/* Two readings of 180 KB.  The last step of a group has no pause behind it. */
	assert_true(bytes > 350000);
	assert_in_range(pauses_ns / NS_PER_MS, bytes * 3 / 4, bytes);
}

/* ---- what a broken-off one leaves ---- */

static void leftovers_of_merged_segments_are_removed_by_a_start(void **state)
{
	struct rig *rig = *state;
	char folder[256];
	char kept[128];
	char path[256];

	fill(rig, 500);
	close_active(rig);
	compact(rig);
	/* As they are before they become one. */
	make_folder(kept, true);
	rig_path(rig, ".", folder);
	copy_folder(folder, kept);
	close_active(rig);
	compact(rig);
	unsigned records = counts_of(rig).records;
	int64_t second = container_of(rig->log->segments.next, struct segment, link)->next_offset;
	rig_close(rig);
	/* A kill after the rename: those that the new one stands for are there again. */
	DIR *dir = opendir(kept);
	struct dirent *entry;
	unsigned put_back = 0;
	check(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".log") || strtoll(entry->d_name, NULL, 10) >= second ||
		    strtoll(entry->d_name, NULL, 10) == 0)
			continue;
		char from[300];
		size_t size;
		snprintf(from, sizeof(from), "%.120s/%.90s", kept, entry->d_name);
		uint8_t *data = load_file(from, &size);
		rig_path(rig, entry->d_name, path);
		save_file(path, data, size);
		free(data);
		put_back++;
	}
	closedir(dir);
	assert_true(put_back > 3);
	rig_open(rig);
	assert_false(file_exists(path));
	assert_int_equal(counts_of(rig).records, records);
	remove_folder(kept);
}

/* They come back at a start, when what stands for them is gone and the start is not noted. */
static void what_stands_for_files_that_are_there_still_goes_when_the_start_is_noted(void **state)
{
	struct rig *rig = *state;
	int64_t start;

	fill(rig, 500);
	close_active(rig);
	compact(rig);
	close_active(rig);
	folders_fail = true;
	store_housekeep(rig->store);
	assert_true(rig->log->compact_broken);
	rig->config.delete_enabled = true;
	rig->config.retention_ms = day_ms;
	log_set_config(rig->log, &rig->config);
	rig_pass_time(rig, 2 * day_ms);
	const struct keyed_options young = {.first_ms = rig->now_ms};
	rig_append_keyed(rig, &(struct keyed){1, 1}, 1, &young);
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 0);
	folders_fail = false;
	store_housekeep(rig->store);
	start = log_start_offset(rig->log);
	assert_true(start > 500);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), start);
	assert_int_equal(counts_of(rig).records, log_end_offset(rig->log) - start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define J(name) cmocka_unit_test_setup_teardown(name, setup_with_jobs, teardown)
		T(aborted_records_go_and_do_not_supersede),
		T(a_marker_goes_a_while_after_its_records),
		T(a_marker_stays_while_a_record_of_its_transaction_does),
		T(nothing_beyond_the_last_stable_offset_is_touched),
		T(a_producer_goes_on_though_its_records_and_all_snapshots_are_gone),
		T(a_read_under_way_ends_in_the_new_segment),
		J(a_log_that_closes_does_not_wait_for_its_compaction),
		J(it_is_given_up_for_damage_that_a_reader_has_met),
		J(it_waits_for_the_scrub),
		J(appends_and_deleted_records_go_on_beside_it),
		J(it_pauses_for_what_it_reads_and_writes),
		T(leftovers_of_merged_segments_are_removed_by_a_start),
		T(what_stands_for_files_that_are_there_still_goes_when_the_start_is_noted),
#undef J
#undef T
	};
	log_set_level(LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
