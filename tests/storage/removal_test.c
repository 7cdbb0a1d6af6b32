/* What is deleted goes a few names at a time, while the shard goes on; what is left by one life is
 * removed by the next. */
#include "base/bytes.h"
#include "base/check.h"
#include "storage/store_internal.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	REGION_BYTES = 16 << 20,
	PARTITIONS = 10, /* of the topic that is deleted; the rig's log is another's */
	NAMES_A_STEP_MAX = 4,
};

static const struct uuid doomed = {{9, 9}};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	check(rig);
	rig_init(rig, "sync", NULL, REGION_BYTES);
	rig_open(rig);
	rig_fill(rig, 1, 100, 1000);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	rig_keep_no_jobs(rig);
	rig_fini(rig);
	free(rig);
	return 0;
}

/* Jobs are kept from now on, in the store that there is. */
static void keep_jobs(struct rig *rig)
{
	rig_keep_jobs(rig);
	rig->store->options.offload = rig->offload;
}

static void folder_of(const struct rig *rig, const struct uuid *topic, char path[static 256])
{
	char hex[UUID_HEX_BYTES];

	uuid_hex(topic, hex);
	snprintf(path, 256, "%s/%s", rig->folder, hex);
}

/* Names below the folder, and itself; 0: it is not there. */
static unsigned names_below(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char below[512];
	unsigned count = 1;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		count += entry->d_type == DT_DIR ? names_below(below) : 1;
	}
	closedir(dir);
	return count;
}

static unsigned names_left(const struct rig *rig)
{
	char path[256];

	folder_of(rig, &doomed, path);
	return names_below(path);
}

static void count_closed(void *context)
{
	(*(unsigned *)context)++;
}

/* A topic of PARTITIONS logs, each with a record.  The last has a leftover too. */
static void make_topic(struct rig *rig, struct log *logs[static PARTITIONS])
{
	struct log *own = rig->log;
	char path[512], topic[256], why[160];

	for (int32_t i = 0; i < PARTITIONS; i++) {
		const struct log_identity identity = {
			.topic_id = doomed,
			.partition = i,
			.leader_epoch = 1,
		};
		assert_int_equal(
			log_open(&logs[i], rig->store, &identity, &rig->config, why, sizeof(why)),
			0);
		rig->log = logs[i];
		rig_fill(rig, 1, 100, 1000);
	}
	rig->log = own;
	folder_of(rig, &doomed, topic);
	snprintf(path, sizeof(path), "%s/%d/index.new", topic, PARTITIONS - 1);
	save_file(path, "x", 1);
}

/* They are deleted, and a job is out. */
static void delete_topic(struct rig *rig)
{
	struct log *logs[PARTITIONS];
	unsigned closed = 0;

	make_topic(rig, logs);
	keep_jobs(rig);
	for (unsigned i = 0; i < PARTITIONS; i++)
		log_close(logs[i], true, count_closed, &closed);
	assert_int_equal(closed, PARTITIONS);
}

static void check_goes_on(struct rig *rig)
{
	struct made_batch made = make_batch(1, 100, 1000, 1);

	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free(made.data);
}

static void run_jobs(struct rig *rig)
{
	while (rig->job)
		rig_run_job(rig);
}

static void a_topic_is_closed_at_once_and_its_files_go_a_few_a_step(void **state)
{
	struct rig *rig = *state;
	unsigned steps = 0;

	delete_topic(rig);
	unsigned left = names_left(rig);
	assert_true(left >= 2 * PARTITIONS + 2);
	/* One that is out is all that there is, or the rig would have refused the second. */
	while (rig->job) {
		uint64_t pause = rig->job->step(rig->job);
		unsigned now = names_left(rig);
		assert_true(now <= left && left - now <= NAMES_A_STEP_MAX + 1);
		check_goes_on(rig);
		left = now;
		steps++;
		if (pause == STORE_JOB_DONE)
			rig_return_job(rig);
		else
			assert_int_equal(pause, 0);
	}
	assert_int_equal(left, 0);
	assert_true(steps >= 2 * PARTITIONS / NAMES_A_STEP_MAX);
	assert_int_equal(rig_check_all(rig), steps + 1);
}

static void what_is_left_by_one_life_is_removed_by_the_next(void **state)
{
	struct rig *rig = *state;

	delete_topic(rig);
	rig_run_job(rig); /* of the first; the others are the next */
	assert_int_equal(rig->job->step(rig->job), 0);
	store_end_removals(rig->store);
	assert_true(rig->job->step(rig->job) == STORE_JOB_DONE);
	rig_return_job(rig);
	assert_null(rig->job);
	assert_true(names_left(rig) > PARTITIONS);
	rig_keep_no_jobs(rig);
	rig_close(rig);
	rig_restart(rig);
	rig_open(rig);
	keep_jobs(rig);
	assert_int_equal(store_remove_topic(rig->store, &doomed), 0);
	unsigned left = names_left(rig);
	assert_int_equal(rig->job->step(rig->job), 0);
	assert_true(left - names_left(rig) <= NAMES_A_STEP_MAX);
	check_goes_on(rig);
	run_jobs(rig);
	assert_int_equal(names_left(rig), 0);
	assert_int_equal(rig_check_all(rig), 2);
}

static void what_is_closed_after_the_end_of_removals_stays(void **state)
{
	struct rig *rig = *state;

	store_end_removals(rig->store);
	delete_topic(rig);
	assert_null(rig->job);
	store_housekeep(rig->store);
	assert_null(rig->job);
	assert_true(names_left(rig) > PARTITIONS);
}

/* As where there is no memory to have it done elsewhere. */
static void a_removal_that_comes_back_undone_goes_on_later(void **state)
{
	struct rig *rig = *state;

	delete_topic(rig);
	store_job_give_up(rig->store, rig->job);
	rig_run_job(rig);
	assert_null(rig->job);
	assert_true(names_left(rig) > PARTITIONS);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
	run_jobs(rig);
	assert_int_equal(names_left(rig), 0);
}

static void a_topic_of_which_nothing_is_left_is_removed_like_any(void **state)
{
	struct rig *rig = *state;

	assert_int_equal(store_remove_topic(rig->store, &doomed), 0);
	assert_int_equal(names_left(rig), 0);
	check_goes_on(rig);
	assert_int_equal(rig_check_all(rig), 2);
}

/* A folder in a partition's is not ours, and what holds it stays; the rest goes. */
static void what_cannot_be_removed_is_passed_over(void **state)
{
	struct rig *rig = *state;
	struct log *logs[PARTITIONS];
	char topic[256], path[512];
	unsigned closed = 0;

	make_topic(rig, logs);
	folder_of(rig, &doomed, topic);
	snprintf(path, sizeof(path), "%s/3/foreign", topic);
	assert_int_equal(mkdir(path, 0755), 0);
	for (unsigned i = 0; i < PARTITIONS; i++)
		log_close(logs[i], true, count_closed, &closed);
	assert_int_equal(closed, PARTITIONS);
	assert_int_equal(names_left(rig), 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_topic_is_closed_at_once_and_its_files_go_a_few_a_step),
		TEST(what_is_left_by_one_life_is_removed_by_the_next),
		TEST(what_is_closed_after_the_end_of_removals_stays),
		TEST(a_removal_that_comes_back_undone_goes_on_later),
		TEST(a_topic_of_which_nothing_is_left_is_removed_like_any),
		TEST(what_cannot_be_removed_is_passed_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
