/* What clients, operators and bad moments can do to a dedup window: memory that no id is worth,
 * another configuration while a file is written, a log without ids, timestamps of long ago. */
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
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

enum { WINDOW_MS = 160000, SHARE_MS = WINDOW_MS / DEDUP_SHARES };

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	rig->config.dedup = id_window(WINDOW_MS, 100000000);
	rig->config.segment_bytes = 16 << 20;
	rig_open(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct io_backend *io = rig->io;

	rig->store->options.offload = NULL;
	if (rig->job)
		rig_run_job(rig);
	rig_fini(rig);
	io_free(io);
	free(rig);
	return 0;
}

static void append_id_of(struct rig *rig, uint64_t number, int64_t ms)
{
	struct made_batch made = make_id_batch(&number, 1,
					       &(struct id_batch_options){.first_ms = ms});

	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free_id_batch(&made);
}

/* `count` records, the first of them with id `first`, the others with one more each, or the same.
 */
static void append_many(struct rig *rig, uint64_t first, unsigned count, uint64_t step)
{
	uint64_t *numbers = calloc(count, sizeof(*numbers));
	struct id_batch_options options = {.first_ms = rig->now_ms};

	check(numbers);
	for (unsigned i = 0; i < count; i++)
		numbers[i] = first + i * step;
	struct made_batch made = make_id_batch(numbers, count, &options);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free_id_batch(&made);
	free(numbers);
}

static uint64_t memory_of(const struct rig *rig)
{
	return store_stats(rig->store)->dedup_memory_bytes;
}

static void records_without_ids_take_no_memory(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	uint64_t before = memory_of(rig);
	append_many(rig, 0, 50000, 0);
	rig_keep_id(rig, 2);
	assert_int_equal(memory_of(rig), before);
}

static void of_an_id_that_comes_often_memory_is_taken_once(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	uint64_t before = memory_of(rig);
	append_many(rig, 2, 50000, 0);
	assert_int_equal(memory_of(rig), before);
}

static void what_a_refused_batch_took_is_given_back(void **state)
{
	struct rig *rig = *state;
	uint64_t numbers[50000];
	struct rig_append append;

	rig_keep_id(rig, 1);
	uint64_t before = memory_of(rig);
	for (unsigned i = 0; i < array_count(numbers); i++)
		numbers[i] = 2 + i;
	struct made_batch made = make_id_batch(numbers, array_count(numbers),
					       &(struct id_batch_options){.first_ms = rig->now_ms});
	rig->config.segment_bytes = 1000;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append),
			 -ERR_BATCH_OVER_SEGMENT);
	free_id_batch(&made);
	store_housekeep(rig->store);
	store_housekeep(rig->store);
	assert_true(memory_of(rig) < before + 100000);
}

static void ids_of_an_open_bucket_count_in_the_budget_too(void **state)
{
	struct rig *rig = *state;

	rig_close(rig);
	rig->dedup_bytes_max = 1 << 20;
	rig_restart(rig);
	rig_open(rig);
	for (unsigned i = 0; i < 10; i++) {
		append_many(rig, 1 + i * 20000, 20000, 1);
		rig_pass(rig, 1);
	}
	rig_pass(rig, 1);
	assert_true(memory_of(rig) < 2 << 20);
	for (uint64_t number = 1; number <= 200000; number += 1001)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
}

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void spilled_buckets_keep_one_descriptor(void **state)
{
	struct rig *rig = *state;

	rig_close(rig);
	rig->dedup_bytes_max = 1;
	rig_restart(rig);
	rig_open(rig);
	rig_keep_id(rig, 1);
	unsigned before = descriptors();
	for (unsigned i = 0; i < 10; i++) {
		append_many(rig, 2 + i * 3000, 3000, 1);
		rig_pass(rig, SHARE_MS);
		rig_pass(rig, 0);
	}
	assert_true(rig->log->dedup.window.spill_count >= 5);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	assert_true(descriptors() <= before + 1);
}

/* ---- another configuration ---- */

static void start_with_jobs(struct rig *rig)
{
	rig_close(rig);
	rig_keep_jobs(rig);
	rig_restart(rig);
	rig_open(rig);
}

static void ids_of_two_headers_are_not_taken_for_each_other(void **state)
{
	struct rig *rig = *state;

	start_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	assert_non_null(rig->job);
	memcpy(rig->config.dedup.header, "ce_id", 6);
	rig->config.dedup.header_length = 5;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	assert_int_equal(rig_keep_id(rig, 2), 2);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig_run_job(rig);
	assert_int_equal(rig_keep_id(rig, 1), 1);
}

static void trimmed(struct log_trim *trim, int rc)
{
	assert_int_equal(rc, 0);
	trim->offset = -2; /* seen */
}

static void a_trim_that_waits_ends_with_the_window(void **state)
{
	struct rig *rig = *state;
	struct log_trim trim = {.offset = 1, .done = trimmed};
	uint64_t number = 2;
	struct made_batch made = make_id_batch(&number, 1,
					       &(struct id_batch_options){.first_ms = rig->now_ms});
	struct rig_append append;

	rig_keep_id(rig, 1);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	log_trim(rig->log, &trim);
	assert_int_equal(trim.offset, 1);
	rig->config.dedup.enabled = false;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(trim.offset, -2);
	while (!append.done)
		rig_turn(rig);
	free_id_batch(&made);
}

/* ---- what a start reads ---- */

static void stamps_of_long_ago_are_known_before_there_is_a_file(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 1 << 20;
	log_set_config(rig->log, &rig->config);
	append_id_of(rig, 1, rig->now_ms - 100 * WINDOW_MS);
	rig_fill(rig, 3, 500000, rig->now_ms - 100 * WINDOW_MS);
	rig_keep_id(rig, 2);
	assert_true(rig->log->segments.next != rig->log->segments.prev);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
}

/* One record that covers `offsets`, as if the others were known. */
static struct made_batch make_gapped(const struct rig *rig, int32_t offsets)
{
	struct made_batch made = make_batch(1, 100, rig->now_ms, 1);

	made.batch.last_offset_delta = offsets - 1;
	store_be32(made.data + 23, (uint32_t)made.batch.last_offset_delta);
	fix_batch(made.data, made.size);
	assert_int_equal(batch_parse(&made.batch, made.data, made.size), 0);
	made.ids = calloc(1, sizeof(*made.ids));
	check(made.ids);
	return made;
}

static void of_a_log_without_ids_a_start_reads_the_end(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_gapped(rig, (1 << 20) + 2);
	struct made_batch small = make_gapped(rig, 1);
	struct rig_append append, next;

	rig_pass(rig, SHARE_MS * 40);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	store_housekeep(rig->store);
	assert_int_equal(rig_start_append(rig, &small, ACK_DURABLE, &next), 0);
	while (!next.done)
		rig_turn(rig);
	rig_pass(rig, 1);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(dedup_window_open_bucket(&rig->log->dedup.window)->from, (1 << 20) + 2);
	free_id_batch(&made);
	free_id_batch(&small);
}

/* ---- files ---- */

static void one_damaged_file_of_many_is_made_up_for(void **state)
{
	enum { FILES = 80 };
	struct rig *rig = *state;
	char name[DEDUP_FILE_NAME_BYTES];
	char path[256];

	for (uint64_t number = 1; number <= FILES; number++) {
		rig_keep_id(rig, number);
		rig_reopen(rig);
	}
	dedup_file_name(name, 1, 2);
	rig_path(rig, name, path);
	save_file(path, "damaged", 7);
	rig_reopen(rig);
	for (uint64_t number = 1; number <= FILES; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
	rig_kill(rig);
	rig_reopen(rig);
	for (uint64_t number = 1; number <= FILES; number++)
		assert_int_equal(rig_keep_id(rig, number), number - 1);
}

static void a_file_of_another_partition_is_not_believed(void **state)
{
	struct rig *rig = *state;
	char name[DEDUP_FILE_NAME_BYTES];
	char path[256];
	size_t size;

	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	dedup_file_name(name, 0, 1);
	rig_path(rig, name, path);
	uint8_t *data = load_file(path, &size);
	rig_close(rig);
	rig->identity.partition++;
	rig_open(rig);
	rig_keep_id(rig, 2);
	rig_close(rig);
	rig_path(rig, name, path);
	save_file(path, data, size);
	free(data);
	rig_open(rig);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	assert_int_equal(rig_keep_id(rig, 2), 0);
}

static void what_is_no_file_is_left_alone(void **state)
{
	struct rig *rig = *state;
	char name[DEDUP_FILE_NAME_BYTES];
	char path[256];

	rig_keep_id(rig, 1);
	rig_close(rig);
	dedup_file_name(name, 1, 1);
	rig_path(rig, name, path);
	assert_int_equal(mkfifo(path, 0644), 0);
	rig_open(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
}

static unsigned files(const struct rig *rig)
{
	char path[256];
	unsigned count = 0;
	const struct dirent *entry;

	rig_path(rig, ".", path);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += strstr(entry->d_name, ".dedup") != NULL;
	closedir(dir);
	return count;
}

static void a_window_begins_and_empties_without_a_wait_for_the_disk(void **state)
{
	struct rig *rig = *state;

	start_with_jobs(rig);
	rig_keep_id(rig, 1);
	rig->config.dedup.scope = DEDUP_KEY;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(files(rig), 0);
	rig_run_job(rig);
	assert_int_equal(files(rig), 1);
	rig_keep_id(rig, 1);
	rig_pass(rig, SHARE_MS);
	rig_run_job(rig);
	rig_pass(rig, 2 * WINDOW_MS);
	rig_keep_id(rig, 2);
	rig_run_job(rig);
	assert_int_equal(files(rig), 1);
	rig_keep_no_jobs(rig);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 1);
}

static void a_file_that_goes_before_it_is_spilled_is_no_failure(void **state)
{
	struct rig *rig = *state;
	struct log_trim trim = {.offset = 1, .done = trimmed};

	rig->dedup_bytes_max = 1;
	start_with_jobs(rig);
	append_many(rig, 1, 3000, 1);
	rig_pass(rig, SHARE_MS);
	rig_run_job(rig);
	rig_pass(rig, 0);
	assert_non_null(rig->job);
	rig->now_ms += 2 * WINDOW_MS;
	rig->now_ns += (uint64_t)(2 * WINDOW_MS) * NS_PER_MS;
	rig_keep_id(rig, 1);
	rig_run_job(rig);
	log_trim(rig->log, &trim);
	while (rig->job)
		rig_run_job(rig);
	assert_int_equal(trim.offset, -2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(records_without_ids_take_no_memory),
		TEST(of_an_id_that_comes_often_memory_is_taken_once),
		TEST(what_a_refused_batch_took_is_given_back),
		TEST(ids_of_an_open_bucket_count_in_the_budget_too),
		TEST(spilled_buckets_keep_one_descriptor),
		TEST(ids_of_two_headers_are_not_taken_for_each_other),
		TEST(a_trim_that_waits_ends_with_the_window),
		TEST(stamps_of_long_ago_are_known_before_there_is_a_file),
		TEST(of_a_log_without_ids_a_start_reads_the_end),
		TEST(one_damaged_file_of_many_is_made_up_for),
		TEST(a_file_of_another_partition_is_not_believed),
		TEST(what_is_no_file_is_left_alone),
		TEST(a_window_begins_and_empties_without_a_wait_for_the_disk),
		TEST(a_file_that_goes_before_it_is_spilled_is_no_failure),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
