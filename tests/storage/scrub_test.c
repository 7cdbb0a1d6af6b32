/* The scrub: what has rotted in a closed segment is found and quarantined while the log is in use,
 * at its pace, once an interval, and a start goes on where the last life was. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BATCHES = 20,
	VALUE_BYTES = 3000,
	SEGMENT_BYTES = 10000, /* three batches: six closed segments */
	CLOSED = 6,
	INTERVAL_MS = 1000000,
};

/* ---- a device that reads wrong, or not at all, so often ---- */

static unsigned wrong_reads;
static unsigned failed_reads;

ssize_t __real_pread64(int fd, void *data, size_t size, off_t at);
ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t at);

ssize_t __wrap_pread64(int fd, void *data, size_t size, off_t at)
{
	if (failed_reads) {
		failed_reads--;
		errno = EIO;
		return -1;
	}
	ssize_t got = __real_pread64(fd, data, size, at);
	if (wrong_reads && got > SEGMENT_HEADER_BYTES + 100) {
		wrong_reads--;
		((uint8_t *)data)[SEGMENT_HEADER_BYTES + 100] ^= 1;
	}
	return got;
}

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, NULL, sim_new(1), 16 << 20);
	rig->config.segment_bytes = SEGMENT_BYTES;
	rig->scrub_interval_ms = INTERVAL_MS;
	rig_restart(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct io_backend *io = rig->io;

	wrong_reads = failed_reads = 0;
	rig_fini(rig);
	io_free(io);
	free(rig);
	return 0;
}

static void pass(struct rig *rig, int64_t ms)
{
	rig->now_ms += ms;
	rig->now_ns += (uint64_t)ms * NS_PER_MS;
	rig_turn(rig); /* asks for the time again */
}

/* So long that every segment has had its turn. */
static void housekeep(struct rig *rig)
{
	for (int i = 0; i < 3 * CLOSED; i++)
		store_housekeep(rig->store);
}

/* The first interval has not yet passed. */
static void fill(struct rig *rig)
{
	rig_open(rig);
	housekeep(rig);
	rig_fill(rig, BATCHES, VALUE_BYTES, 1000);
}

static uint64_t scrubbed(const struct rig *rig)
{
	return store_stats(rig->store)->scrubbed_bytes;
}

static uint64_t closed_bytes(const struct rig *rig)
{
	return log_bytes(rig->log) - (rig->log->active->end - SEGMENT_HEADER_BYTES);
}

static void path_of(const struct rig *rig, int64_t base_offset, char path[static 256])
{
	char name[32];

	snprintf(name, sizeof(name), "%020" PRId64 ".log", base_offset);
	rig_path(rig, name, path);
}

static void flip(const struct rig *rig, int64_t base_offset, size_t byte)
{
	char path[256];

	path_of(rig, base_offset, path);
	FILE *file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)byte, SEEK_SET), 0);
	int was = fgetc(file);
	assert_int_equal(fseek(file, (long)byte, SEEK_SET), 0);
	assert_int_equal(fputc(was ^ 0x10, file), was ^ 0x10);
	fclose(file);
}

/* The second batch of the segment. */
static size_t second_batch(const struct rig *rig)
{
	return SEGMENT_HEADER_BYTES + (rig->log->active->end - SEGMENT_HEADER_BYTES) / 2;
}

static void only_lost(const struct rig *rig, int64_t from, int64_t to, enum damage_kind kind)
{
	struct damage range;

	assert_int_equal(log_quarantined(rig->log, &range, 1), 1);
	assert_int_equal(range.from, from);
	assert_int_equal(range.to, to);
	assert_int_equal(range.kind, kind);
}

static int read_rc(struct rig *rig, int64_t offset)
{
	struct rig_read got = rig_read(rig, offset, 1, true);

	free(got.data);
	return got.rc;
}

/* So that reads come from the file. */
static void forget_tail(struct rig *rig)
{
	tail_drop(rig->log);
	log_drop_ahead(rig->log);
}

/* ---- rounds ---- */

static void rot_is_found_while_the_log_is_in_use(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	flip(rig, 6, second_batch(rig) + 70);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	only_lost(rig, 7, 8, DAMAGE_BATCH);
	assert_int_equal(store_stats(rig->store)->quarantined_ranges, 1);
	forget_tail(rig);
	for (int64_t offset = 0; offset < BATCHES; offset++)
		assert_int_equal(read_rc(rig, offset), offset == 7 ? -ERR_CORRUPT : 0);
	rig_fill(rig, 2, VALUE_BYTES, 1000);
	assert_int_equal(log_high_watermark(rig->log), BATCHES + 2);
	rig_reopen(rig);
	only_lost(rig, 7, 8, DAMAGE_BATCH);
	assert_int_equal(read_rc(rig, 8), 0);
}

static void each_closed_segment_is_read_once_an_interval(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	assert_int_equal(scrubbed(rig), 0);
	pass(rig, INTERVAL_MS - 1);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), 0);
	pass(rig, 1);
	housekeep(rig);
	uint64_t round = closed_bytes(rig);
	assert_int_equal(scrubbed(rig), round);
	/* What was closed since has time until the next. */
	rig_fill(rig, 6, VALUE_BYTES, 1000);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), round);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), round + closed_bytes(rig));
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
}

static void without_an_interval_nothing_is_read(void **state)
{
	struct rig *rig = *state;

	rig->scrub_interval_ms = 0;
	rig_restart(rig);
	fill(rig);
	pass(rig, 100 * INTERVAL_MS);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), 0);
}

static void a_clock_that_is_set_back_ends_no_scrubbing(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	uint64_t round = scrubbed(rig);
	pass(rig, -5 * INTERVAL_MS);
	housekeep(rig);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), 2 * round);
}

/* ---- jobs that are out ---- */

static void start_with_jobs(struct rig *rig)
{
	rig_keep_jobs(rig);
	rig_restart(rig);
	fill(rig);
	pass(rig, INTERVAL_MS);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
}

static void a_start_goes_on_where_the_last_life_was(void **state)
{
	struct rig *rig = *state;

	start_with_jobs(rig);
	rig_run_job(rig);
	store_housekeep(rig->store);
	rig_run_job(rig);
	uint64_t two = scrubbed(rig);
	uint64_t all = closed_bytes(rig);
	store_housekeep(rig->store);
	rig->job->give_up = true;
	rig_run_job(rig); /* breaks off the third */
	assert_int_equal(scrubbed(rig), two);
	rig->offload = NULL;
	rig_close(rig);
	rig_restart(rig);
	rig_open(rig);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), all - two);
	/* And is then done until the next interval. */
	rig_close(rig);
	rig_restart(rig);
	rig_open(rig);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), 0);
}

static void it_keeps_its_pace(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 200000, 1000, 1);

	rig_keep_jobs(rig);
	rig->scrub_bytes_per_second = 1 << 20;
	rig_restart(rig);
	rig->config.segment_bytes = 4 << 20;
	fill(rig);
	for (int i = 0; i < 45; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	pass(rig, INTERVAL_MS);
	store_housekeep(rig->store);
	uint64_t paused_ns = 0;
	unsigned steps = 0;
	for (uint64_t pause; (pause = rig->job->step(rig->job)) != STORE_JOB_DONE; steps++) {
		assert_in_range(pause, NS_PER_SECOND, NS_PER_SECOND * 5 / 4);
		paused_ns += pause;
	}
	assert_in_range(steps, 3, 4);
	assert_in_range(paused_ns, 3 * NS_PER_SECOND, 4 * NS_PER_SECOND);
	rig_return_job(rig);
	free(made.data);
}

static void a_log_that_closes_does_not_wait_for_it(void **state)
{
	struct rig *rig = *state;

	start_with_jobs(rig);
	log_close(rig->log, false, (void (*)(void *))free, NULL);
	assert_true(rig->job->give_up);
	assert_int_equal(rig->job->step(rig->job), STORE_JOB_DONE);
	rig_return_job(rig);
	rig->log = NULL;
	rig->offload = NULL;
	rig_restart(rig);
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), BATCHES);
}

static void a_segment_may_be_deleted_under_it(void **state)
{
	struct rig *rig = *state;

	start_with_jobs(rig);
	flip(rig, 0, SEGMENT_HEADER_BYTES + 70);
	assert_int_equal(rig_trim(rig, 10, NULL), 0);
	rig_run_job(rig);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	store_housekeep(rig->store);
	rig_run_job(rig);
	assert_int_equal(rig_check_all(rig), BATCHES - 10);
	rig_keep_no_jobs(rig);
}

/* ---- what it finds ---- */

static void a_header_that_has_rotted_costs_its_segment(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	flip(rig, 9, 20);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	only_lost(rig, 9, 12, DAMAGE_HEADER);
	rig_reopen(rig);
	only_lost(rig, 9, 12, DAMAGE_HEADER);
}

static void a_transfer_that_went_wrong_is_no_damage(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	pass(rig, INTERVAL_MS);
	wrong_reads = 1;
	housekeep(rig);
	assert_int_equal(wrong_reads, 0);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(scrubbed(rig), closed_bytes(rig));
}

static void a_header_that_can_be_read_when_asked_again_is_sound(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	pass(rig, INTERVAL_MS);
	failed_reads = 3;
	housekeep(rig);
	assert_int_equal(failed_reads, 0);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	assert_int_equal(scrubbed(rig), closed_bytes(rig));
}

static void what_a_reader_meets_is_looked_at_soon(void **state)
{
	struct rig *rig = *state;

	fill(rig);
	size_t second = second_batch(rig);
	forget_tail(rig);
	flip(rig, 3, second + 70); /* a record */
	assert_int_equal(read_rc(rig, 4), -ERR_CORRUPT);
	store_housekeep(rig->store);
	only_lost(rig, 4, 5, DAMAGE_BATCH);
	assert_int_equal(read_rc(rig, 3), 0);
	assert_int_equal(read_rc(rig, 5), 0);
	flip(rig, 12, second + 3); /* its offset */
	assert_int_equal(read_rc(rig, 13), -ERR_CORRUPT);
	store_housekeep(rig->store);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 2);
	assert_int_equal(read_rc(rig, 14), 0);
	flip(rig, 9, second + 9); /* its length, beyond the file's end */
	assert_int_equal(read_rc(rig, 10), -ERR_CORRUPT);
	store_housekeep(rig->store);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 3);
	assert_int_equal(read_rc(rig, 11), 0);
	flip(rig, 6, second + 12); /* its leader's epoch */
	assert_int_equal(read_rc(rig, 7), -ERR_CORRUPT);
	store_housekeep(rig->store);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 4);
	assert_int_equal(read_rc(rig, 8), 0);
}

static void so_it_is_in_the_segment_that_is_appended_to(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 1 << 20;
	fill(rig);
	forget_tail(rig);
	flip(rig, 0, SEGMENT_HEADER_BYTES + 70);
	assert_int_equal(read_rc(rig, 0), -ERR_CORRUPT);
	store_housekeep(rig->store);
	only_lost(rig, 0, 1, DAMAGE_BATCH);
	rig_fill(rig, 1, VALUE_BYTES, 1000);
	for (int64_t offset = 0; offset < BATCHES + 1; offset++)
		assert_int_equal(read_rc(rig, offset), offset ? 0 : -ERR_CORRUPT);
	rig_reopen(rig);
	only_lost(rig, 0, 1, DAMAGE_BATCH);
	assert_int_equal(log_end_offset(rig->log), BATCHES + 1);
}

/* ---- the file ---- */

static void a_file_that_is_not_whole_begins_a_round(void **state)
{
	struct rig *rig = *state;
	struct scrub_progress read = {0};
	const struct scrub_progress written = {INT64_MAX, INT64_MAX, INT64_MAX};
	char text[SCRUB_FILE_BYTES];
	char path[256];
	size_t size;

	fill(rig);
	pass(rig, INTERVAL_MS);
	housekeep(rig);
	uint64_t round = scrubbed(rig);
	rig_close(rig);
	rig_path(rig, "scrub", path);
	char *good = (char *)load_file(path, &size);
	assert_int_equal(scrub_parse(&read, good, size), 0);
	assert_int_equal(read.begun_ms, rig->now_ms);
	for (size_t i = 0; i < size; i++) {
		assert_int_equal(scrub_parse(&read, good, i), -ERR_CORRUPT);
		good[i] ^= 1;
		assert_int_equal(scrub_parse(&read, good, size), -ERR_CORRUPT);
		good[i] ^= 1;
	}
	save_file(path, good, size - 1);
	rig_restart(rig);
	rig_open(rig);
	housekeep(rig);
	assert_int_equal(scrubbed(rig), round);
	size = scrub_format(&written, text);
	assert_int_equal(scrub_parse(&read, text, size), 0);
	assert_int_equal(read.next_offset, INT64_MAX);
	free(good);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(rot_is_found_while_the_log_is_in_use),
		TEST(each_closed_segment_is_read_once_an_interval),
		TEST(without_an_interval_nothing_is_read),
		TEST(a_clock_that_is_set_back_ends_no_scrubbing),
		TEST(a_start_goes_on_where_the_last_life_was),
		TEST(it_keeps_its_pace),
		TEST(a_log_that_closes_does_not_wait_for_it),
		TEST(a_segment_may_be_deleted_under_it),
		TEST(a_header_that_has_rotted_costs_its_segment),
		TEST(a_transfer_that_went_wrong_is_no_damage),
		TEST(a_header_that_can_be_read_when_asked_again_is_sound),
		TEST(what_a_reader_meets_is_looked_at_soon),
		TEST(so_it_is_in_the_segment_that_is_appended_to),
		TEST(a_file_that_is_not_whole_begins_a_round),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
