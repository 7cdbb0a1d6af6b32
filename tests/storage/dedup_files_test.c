/* A log's window on disk: what a start reads again, what purge, truncation, changed configurations
 * and damaged files do to it, and what leaves memory. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/id_batch.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { WINDOW_MS = 160000, SHARE_MS = WINDOW_MS / DEDUP_SHARES };

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	rig->config.dedup = id_window(WINDOW_MS, 100000);
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

/* Ids from `first` on, in buckets of `each`. */
static void fill_buckets(struct rig *rig, uint64_t first, unsigned buckets, unsigned each)
{
	for (unsigned bucket = 0; bucket < buckets; bucket++) {
		for (unsigned i = 0; i < each; i++)
			rig_keep_id(rig, first++);
		rig_pass(rig, SHARE_MS);
	}
}

static unsigned list_files(const struct rig *rig, char names[][64], unsigned max)
{
	char path[256];
	unsigned count = 0;
	const struct dirent *entry;

	rig_path(rig, ".", path);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".dedup"))
			continue;
		if (count < max)
			snprintf(names[count], 64, "%.63s", entry->d_name);
		count++;
	}
	closedir(dir);
	return count;
}

static unsigned files(const struct rig *rig)
{
	return list_files(rig, NULL, 0);
}

/* Nothing of the log had to be read: files have it all. */
static bool known_from_files(const struct rig *rig)
{
	const struct dedup_window *window = &rig->log->dedup.window;

	list_foreach(node, &window->buckets) {
		const struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->to >= 0 && !bucket->filed)
			return false;
	}
	return dedup_window_open_bucket(window)->from == log_end_offset(rig->log);
}

static void a_bucket_that_ends_becomes_a_file(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	assert_int_equal(files(rig), 0);
	rig_pass(rig, SHARE_MS);
	assert_int_equal(files(rig), 1);
	assert_int_equal(store_stats(rig->store)->dedup_file_bytes, dedup_file_bytes(1));
}

static void after_a_clean_stop_nothing_is_read_again(void **state)
{
	struct rig *rig = *state;

	fill_buckets(rig, 1, 3, 10);
	rig_keep_id(rig, 100);
	rig_reopen(rig);
	assert_true(known_from_files(rig));
	for (uint64_t number = 1; number <= 30; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	assert_int_equal(rig_keep_id(rig, 100), 30);
}

static void what_is_in_no_file_is_read_from_the_log(void **state)
{
	struct rig *rig = *state;

	fill_buckets(rig, 1, 3, 10);
	rig_keep_id(rig, 100);
	rig_kill(rig);
	rig_reopen(rig);
	for (uint64_t number = 1; number <= 30; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	assert_int_equal(rig_keep_id(rig, 100), 30);
}

static void ages_go_on_through_a_restart(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	rig_pass(rig, WINDOW_MS / 2);
	rig_keep_id(rig, 2);
	rig_reopen(rig);
	rig_pass(rig, WINDOW_MS / 2 + SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	assert_int_equal(rig_keep_id(rig, 2), 1);
}

static void a_missing_or_damaged_file_is_made_up_for_by_the_log(void **state)
{
	struct rig *rig = *state;
	char names[8][64];
	char path[256];

	fill_buckets(rig, 1, 5, 10);
	assert_int_equal(list_files(rig, names, 8), 5);
	rig_kill(rig);
	for (unsigned i = 0; i < 5; i++) {
		rig_path(rig, names[i], path);
		if (strncmp(names[i], "00000000000000000010-", 21) == 0)
			unlink(path);
		if (strncmp(names[i], "00000000000000000000-", 21) == 0 ||
		    strncmp(names[i], "00000000000000000030-", 21) == 0)
			assert_int_equal(truncate(path, 100), 0);
	}
	rig_reopen(rig);
	for (uint64_t number = 1; number <= 50; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	rig_pass(rig, SHARE_MS);
	assert_true(files(rig) >= 4);
	rig_kill(rig);
	rig_reopen(rig);
	for (uint64_t number = 1; number <= 50; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
}

static void files_beyond_the_log_are_removed(void **state)
{
	struct rig *rig = *state;
	char kept[128];
	char names[8][64];
	char from[256];
	char to[256];

	fill_buckets(rig, 1, 1, 10);
	make_folder(kept, true);
	copy_folder(rig->folder, kept);
	fill_buckets(rig, 100, 1, 10);
	/* The log as it was before, the file as it is. */
	assert_int_equal(list_files(rig, names, 8), 2);
	const char *name = strncmp(names[0], "00000000000000000010", 20) == 0 ? names[0] : names[1];
	size_t size;
	rig_path(rig, name, from);
	uint8_t *data = load_file(from, &size);
	rig_move(rig, kept);
	rig_path(rig, name, to);
	save_file(to, data, size);
	free(data);
	rig_reopen(rig);
	assert_false(file_exists(to));
	assert_int_equal(rig_keep_id(rig, 100), 10);
	assert_int_equal(rig_keep_id(rig, 1), 0);
}

static void ids_of_deleted_records_stay_in_the_window(void **state)
{
	struct rig *rig = *state;
	int64_t start = -1;

	for (uint64_t number = 1; number <= 10; number++)
		rig_keep_id(rig, number);
	assert_int_equal(rig_trim(rig, -1, &start), 0);
	assert_int_equal(start, 10);
	assert_int_equal(files(rig), 1);
	assert_int_equal(rig_keep_id(rig, 5), 4);
	rig_kill(rig);
	rig_reopen(rig);
	assert_true(known_from_files(rig));
	assert_int_equal(rig_keep_id(rig, 5), 4);
	assert_int_equal(rig_keep_id(rig, 11), 10);
}

static void records_are_not_deleted_before_their_ids_are_filed(void **state)
{
	struct rig *rig = *state;
	char path[256];
	int64_t start = -1;

	rig_keep_id(rig, 1);
	rig_keep_id(rig, 2);
	/* No file can be made where a folder has its name. */
	rig_path(rig, "dedup.new", path);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(rig_trim(rig, -1, &start), -ERR_STORAGE);
	assert_int_equal(log_start_offset(rig->log), 0);
	assert_int_equal(rmdir(path), 0);
	rig_pass(rig, SHARE_MS * 2);
	assert_int_equal(rig_trim(rig, -1, &start), 0);
	assert_int_equal(start, 2);
}

static void ids_stay_in_memory_until_they_can_be_written(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig_path(rig, "dedup.new", path);
	assert_int_equal(mkdir(path, 0755), 0);
	fill_buckets(rig, 1, 3, 10);
	assert_int_equal(files(rig), 0);
	assert_int_equal(rig_keep_id(rig, 7), 6);
	assert_int_equal(rmdir(path), 0);
	rig_pass(rig, SHARE_MS);
	assert_int_equal(files(rig), 3);
}

static void another_header_begins_an_empty_window(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	rig->config.dedup.scope = DEDUP_KEY;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(files(rig), 1);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 0);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 1);
	assert_int_equal(rig->log->dedup.window.buckets.next,
			 &dedup_window_open_bucket(&rig->log->dedup.window)->link);
	assert_int_equal(dedup_window_open_bucket(&rig->log->dedup.window)->from, 1);
}

static void a_window_that_is_switched_off_leaves_nothing(void **state)
{
	struct rig *rig = *state;

	fill_buckets(rig, 1, 2, 5);
	rig->config.dedup.enabled = false;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(files(rig), 0);
	assert_int_equal(store_stats(rig->store)->dedup_memory_bytes, 0);
	assert_int_equal(store_stats(rig->store)->dedup_file_bytes, 0);
	assert_int_equal(rig_keep_id(rig, 1), 10);
	/* And what came meanwhile is not in the next one, even after a kill. */
	rig->config.dedup.enabled = true;
	log_set_config(rig->log, &rig->config);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 2), 11);
	assert_int_equal(rig_keep_id(rig, 1), 12);
}

static void another_window_holds_from_the_next_housekeeping_on(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	rig->config.dedup.window_ms = WINDOW_MS / 4;
	log_set_config(rig->log, &rig->config);
	rig_pass(rig, WINDOW_MS / 4 + SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig->config.dedup.window_ms = WINDOW_MS;
	log_set_config(rig->log, &rig->config);
	rig_pass(rig, WINDOW_MS / 4 + SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 1);
}

static void clock_steps_do_not_shorten_the_window(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	rig->now_ms += INT64_C(365) * 24 * 3600 * 1000;
	rig_pass(rig, SHARE_MS);
	rig_keep_id(rig, 2);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig->now_ms -= INT64_C(2) * 365 * 24 * 3600 * 1000;
	rig_pass(rig, SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	assert_int_equal(rig_keep_id(rig, 2), 1);
	/* Nor make it much longer. */
	rig_pass(rig, WINDOW_MS + SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 2);
}

static void timestamps_of_the_future_do_not_shorten_it(void **state)
{
	struct rig *rig = *state;
	uint64_t number = 2;
	struct made_batch made = make_id_batch(
		&number, 1,
		&(struct id_batch_options){.first_ms = rig->now_ms + (INT64_C(1) << 40)});

	rig_keep_id(rig, 1);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free_id_batch(&made);
	rig_pass(rig, WINDOW_MS - SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	assert_int_equal(rig_keep_id(rig, 2), 1);
}

static void old_ids_leave_memory_and_are_still_known(void **state)
{
	struct rig *rig = *state;
	enum { BUCKETS = 10, EACH = 3000 };
	uint64_t numbers[EACH];
	size_t before;

	rig_close(rig);
	rig->dedup_bytes_max = 400000;
	rig_restart(rig);
	rig_open(rig);
	for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
		for (unsigned i = 0; i < EACH; i++)
			numbers[i] = 1 + bucket * EACH + i;
		struct made_batch made = make_id_batch(
			numbers, EACH, &(struct id_batch_options){.first_ms = rig->now_ms});
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		free_id_batch(&made);
		rig_pass(rig, SHARE_MS);
		rig_pass(rig, 0);
	}
	before = store_stats(rig->store)->dedup_memory_bytes;
	assert_true(rig->log->dedup.window.spill_count >= BUCKETS / 2);
	assert_true(before < 600000);
	assert_int_equal(store_stats(rig->store)->dedup_entries, BUCKETS * EACH);
	for (uint64_t number = 1; number <= BUCKETS * EACH; number += 101)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	rig_reopen(rig);
	assert_true(rig->log->dedup.window.spill_count >= BUCKETS / 2);
	for (uint64_t number = 1; number <= BUCKETS * EACH; number += 101)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	rig_pass(rig, WINDOW_MS);
	rig_pass(rig, SHARE_MS);
	assert_int_equal(rig_keep_id(rig, 1), BUCKETS * EACH);
	assert_int_equal(rig->log->dedup.window.spill_count, 0);
	assert_true(files(rig) <= 2);
}

/* ---- work that is done elsewhere ---- */

static void restart_with_jobs(struct rig *rig)
{
	rig_close(rig);
	rig_keep_jobs(rig);
	rig_restart(rig);
	rig_open(rig);
}

static void trimmed(struct log_trim *trim, int rc)
{
	assert_int_equal(rc, 0);
	assert_int_equal(trim->start_offset, 2);
	trim->offset = -2; /* seen */
}

static void a_trim_waits_for_the_job(void **state)
{
	struct rig *rig = *state;
	struct log_trim trim = {.offset = 2, .done = trimmed};

	restart_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig_keep_id(rig, 2);
	log_trim(rig->log, &trim);
	assert_int_equal(trim.offset, 2);
	assert_int_equal(log_start_offset(rig->log), 0);
	rig_run_job(rig);
	assert_int_equal(trim.offset, -2);
	rig->offload = NULL;
}

static void closed(void *context)
{
	*(bool *)context = true;
}

static void a_log_does_not_close_while_a_job_is_out(void **state)
{
	struct rig *rig = *state;
	bool gone = false;

	restart_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	assert_non_null(rig->job);
	rig_keep_id(rig, 2);
	log_close(rig->log, false, closed, &gone);
	rig->log = NULL;
	rig_turn(rig);
	assert_false(gone);
	rig_run_job(rig);
	assert_false(gone);
	/* The open bucket. */
	rig_run_job(rig);
	assert_true(gone);
	assert_int_equal(files(rig), 2);
}

static void a_bucket_forgotten_while_it_is_written_stays_forgotten(void **state)
{
	struct rig *rig = *state;

	restart_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	assert_non_null(rig->job);
	rig_pass(rig, 2 * WINDOW_MS);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig_run_job(rig);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 1);
	rig_pass(rig, SHARE_MS);
	rig_run_job(rig);
	rig->store->options.offload = NULL;
}

static void a_window_ends_while_its_bucket_is_written(void **state)
{
	struct rig *rig = *state;

	restart_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	assert_non_null(rig->job);
	rig->config.dedup.enabled = false;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig->config.dedup.enabled = true;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	rig_run_job(rig);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	assert_int_equal(files(rig), 0);
	/* The anchor. */
	rig_run_job(rig);
	assert_int_equal(files(rig), 1);
	rig_keep_no_jobs(rig);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_bucket_that_ends_becomes_a_file),
		TEST(after_a_clean_stop_nothing_is_read_again),
		TEST(what_is_in_no_file_is_read_from_the_log),
		TEST(ages_go_on_through_a_restart),
		TEST(a_missing_or_damaged_file_is_made_up_for_by_the_log),
		TEST(files_beyond_the_log_are_removed),
		TEST(ids_of_deleted_records_stay_in_the_window),
		TEST(records_are_not_deleted_before_their_ids_are_filed),
		TEST(ids_stay_in_memory_until_they_can_be_written),
		TEST(another_header_begins_an_empty_window),
		TEST(a_window_that_is_switched_off_leaves_nothing),
		TEST(another_window_holds_from_the_next_housekeeping_on),
		TEST(clock_steps_do_not_shorten_the_window),
		TEST(timestamps_of_the_future_do_not_shorten_it),
		TEST(old_ids_leave_memory_and_are_still_known),
		TEST(a_trim_waits_for_the_job),
		TEST(a_log_does_not_close_while_a_job_is_out),
		TEST(a_window_ends_while_its_bucket_is_written),
		TEST(a_bucket_forgotten_while_it_is_written_stays_forgotten),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
