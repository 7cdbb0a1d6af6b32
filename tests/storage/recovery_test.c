/* What a log makes of a folder that a crash, a power cut, bit rot or an operator left: what was
 * durable is there, a torn tail is cut and stays cut, and what cannot be a log is refused and
 * nothing in the folder changes.  Damage before the tail: quarantine_test.c. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static const char first_log[] = "00000000000000000000.log";
static const char first_idx[] = "00000000000000000000.idx";

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

/* ---- files ---- */

static void remove_file(const struct rig *rig, const char *name)
{
	char path[256];

	rig_path(rig, name, path);
	assert_int_equal(unlink(path), 0);
}

static void cut(const struct rig *rig, const char *name, size_t size)
{
	char path[256];

	rig_path(rig, name, path);
	assert_int_equal(truncate(path, (off_t)size), 0);
}

static void put(const struct rig *rig, const char *name, size_t at, const void *data, size_t size)
{
	char path[256];

	rig_path(rig, name, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, (off_t)at), size);
	close(fd);
}

static bool has(const struct rig *rig, const char *name)
{
	char path[256];

	rig_path(rig, name, path);
	return file_exists(path);
}

/* Where the batches of the first segment begin, and its end. */
static unsigned positions(const struct rig *rig, size_t at[static 64])
{
	char path[256];

	rig_path(rig, first_log, path);
	return segment_positions(path, at);
}

/* A killed broker's folder: segment with `count` batches, no index. */
static unsigned make_torn_folder(struct rig *rig, unsigned count, size_t at[static 64])
{
	rig_open(rig);
	rig_fill(rig, count, 300, 1000);
	rig_kill(rig);
	if (has(rig, first_idx))
		remove_file(rig, first_idx);
	return positions(rig, at);
}

static void refused(struct rig *rig, int rc_expected, const char *part_of_why)
{
	char why[160] = "";
	int rc = rig_try_open(rig, why, sizeof(why));

	if (rc == 0 || !strstr(why, part_of_why))
		print_error("rc %d why '%s', expected '%s'\n", rc, why, part_of_why);
	assert_int_equal(rc, rc_expected);
	assert_non_null(strstr(why, part_of_why));
	rig->log = NULL;
}

/* ---- torn tails ---- */

static void a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch(void **state)
{
	struct rig *rig = *state;
	size_t at[64];
	size_t size;
	char path[256];
	unsigned count = make_torn_folder(rig, 4, at);

	assert_int_equal(count, 4);
	rig_path(rig, first_log, path);
	uint8_t *whole = load_file(path, &size);
	for (size_t length = at[3]; length <= at[4]; length++) {
		save_file(path, whole, length);
		if (has(rig, first_idx))
			remove_file(rig, first_idx);
		rig_open(rig);
		assert_int_equal(log_end_offset(rig->log), length == at[4] ? 4 : 3);
		assert_int_equal(rig_check_all(rig), length == at[4] ? 4 : 3);
		/* And it goes on from there. */
		if (length % 16 == 0) {
			rig_fill(rig, 2, 200, 5000);
			assert_int_equal(rig_check_all(rig), length == at[4] ? 6 : 5);
		}
		rig_close(rig);
	}
	free(whole);
}

static void a_tail_with_any_byte_lost_is_cut_at_the_last_whole_batch(void **state)
{
	struct rig *rig = *state;
	size_t at[64];
	size_t size;
	char path[256];

	make_torn_folder(rig, 4, at);
	rig_path(rig, first_log, path);
	uint8_t *whole = load_file(path, &size);
	for (size_t byte = at[3]; byte < at[4]; byte++) {
		uint8_t was = whole[byte];
		/* In the epoch a higher one is refused, the other bytes end the log. */
		if (byte - at[3] >= 12 && byte - at[3] < 16)
			continue;
		whole[byte] = (uint8_t)~was;
		save_file(path, whole, size);
		whole[byte] = was;
		if (has(rig, first_idx))
			remove_file(rig, first_idx);
		rig_open(rig);
		assert_int_equal(log_end_offset(rig->log), 3);
		rig_close(rig);
	}
	free(whole);
}

/* A later batch arrived, an earlier one did not; what is then appended has the lost one's size.
 * Whether the append is of the same epoch (a repair) or a later one, the rest must be gone. */
static void what_lay_behind_a_lost_batch_never_comes_back(void **state)
{
	struct rig *rig = *state;
	size_t at[64];
	static const uint8_t zeros[4096];

	make_torn_folder(rig, 8, at);
	put(rig, first_log, at[3], zeros, at[4] - at[3]);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 3);
	rig_fill(rig, 1, 300, 1000);
	assert_int_equal(log_end_offset(rig->log), 4);
	for (int run = 0; run < 3; run++) {
		rig_kill(rig);
		if (has(rig, first_idx))
			remove_file(rig, first_idx);
		rig->identity.leader_epoch += run;
		rig_open(rig);
		assert_int_equal(log_end_offset(rig->log), 4);
		assert_int_equal(rig_check_all(rig), 4);
	}
}

static void what_lay_far_behind_the_tail_never_comes_back(void **state)
{
	struct rig *rig = *state;
	struct made_batch large = make_batch(1, 100000, 1000, 1);
	struct made_batch small = make_batch(1, 3000, 1000, 2);

	rig_open(rig);
	assert_int_equal(rig_append(rig, &large, ACK_DURABLE, NULL), 0);
	assert_int_equal(rig_append(rig, &small, ACK_DURABLE, NULL), 0);
	rig_kill(rig);
	if (has(rig, first_idx))
		remove_file(rig, first_idx);
	/* The first sector of the large one is lost. */
	static const uint8_t zeros[512];
	put(rig, first_log, SEGMENT_HEADER_BYTES, zeros, sizeof(zeros));
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 0);
	assert_int_equal(rig_append(rig, &large, ACK_DURABLE, NULL), 0);
	rig_kill(rig);
	if (has(rig, first_idx))
		remove_file(rig, first_idx);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 1);
	free(large.data);
	free(small.data);
}

static void batches_of_an_earlier_run_behind_the_end_are_not_taken(void **state)
{
	struct rig *rig = *state;
	size_t at[64];
	uint8_t stale[4096];

	rig->identity.leader_epoch = 5;
	make_torn_folder(rig, 4, at);
	/* A whole valid batch of the right offset, but of an older epoch. */
	struct made_batch made = make_batch(1, 300, 1000, 99);
	memcpy(stale, made.data, made.size);
	batch_set_base(stale, 4, 4);
	put(rig, first_log, at[4], stale, made.size);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 4);
	rig_close(rig);
	/* Of the right epoch, but of an offset that does not follow. */
	batch_set_base(stale, 6, 5);
	put(rig, first_log, at[4], stale, made.size);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 4);
	free(made.data);
}

/* A length that reaches far beyond the file costs nothing and ends the log. */
static void a_torn_length_is_not_believed(void **state)
{
	struct rig *rig = *state;
	size_t at[64];
	uint8_t head[BATCH_HEADER_BYTES] = {0};

	make_torn_folder(rig, 4, at);
	for (uint64_t length = 0; length <= UINT32_MAX; length = length * 3 + 1) {
		store_be64(head, 4);
		store_be32(head + 8, (uint32_t)length);
		head[16] = 2;
		put(rig, first_log, at[4], head, sizeof(head));
		rig_open(rig);
		assert_int_equal(log_end_offset(rig->log), 4);
		rig_close(rig);
	}
}

/* ---- segments ---- */

static void a_first_segment_whose_header_never_arrived_is_empty(void **state)
{
	struct rig *rig = *state;
	static const size_t sizes[] = {0, 100, 4096, 8192, 1 << 20};
	char path[256];

	rig_open(rig);
	rig_close(rig);
	for (size_t i = 0; i < 5; i++) {
		uint8_t *zeros = calloc(1, sizes[i] + 1);
		rig_path(rig, first_log, path);
		save_file(path, zeros, sizes[i]);
		free(zeros);
		rig_open(rig);
		assert_int_equal(log_end_offset(rig->log), 0);
		rig_fill(rig, 3, 100, 1000);
		rig_reopen(rig);
		assert_int_equal(rig_check_all(rig), 3);
		rig_close(rig);
	}
}

static void a_last_segment_whose_header_never_arrived_keeps_its_offset(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig_open(rig);
	rig_fill(rig, 5, 100, 1000);
	rig_close(rig);
	rig_path(rig, "00000000000000000005.log", path);
	save_file(path, "", 0);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 5);
	rig_fill(rig, 5, 100, 1000);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), 10);
}

static void a_newer_format_is_refused_as_such(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;

	rig_open(rig);
	rig_fill(rig, 1, 100, 1000);
	rig_close(rig);
	rig_path(rig, "partition.meta", path);
	static const char newer[] = "sluice-partition 2\nwhatever\n";
	save_file(path, newer, strlen(newer));
	refused(rig, -ERR_FORMAT, "partition.meta");
	unlink(path);
	rig_path(rig, first_log, path);
	uint8_t *data = load_file(path, &size);
	data[8] = 4;
	uint64_t sum = XXH3_64bits(data, 56);
	memcpy(data + 56, &sum, sizeof(sum));
	save_file(path, data, size);
	free(data);
	refused(rig, -ERR_FORMAT, first_log);
}

static void unexpected_files_are_left_alone(void **state)
{
	struct rig *rig = *state;
	static const char *const names[] = {
		"0.log",
		"-0000000000000000001.log",
		" 0000000000000000001.log",
		"99999999999999999999.log",
		"00000000000000000003.log.bak",
		"notes.txt",
		"00000000000000000007.idx",
	};

	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	rig_close(rig);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(rig, names[i], 0, "what", 4);
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), 3);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(has(rig, names[i]));
}

static void a_link_in_place_of_a_segment_is_refused(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig_open(rig);
	rig_close(rig);
	rig_path(rig, first_log, path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	char why[160];
	assert_true(rig_try_open(rig, why, sizeof(why)) < 0);
	rig->log = NULL;
}

static void a_run_of_a_lower_epoch_than_the_records_is_refused(void **state)
{
	struct rig *rig = *state;

	rig->identity.leader_epoch = 9;
	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	rig_kill(rig);
	rig->identity.leader_epoch = 8;
	refused(rig, -ERR_CORRUPT, "leader epoch 9");
	rig->identity.leader_epoch = 9;
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), 3);
}

/* ---- index ---- */

static void any_wrong_index_is_made_anew(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;
	size_t again;
	int64_t offset;
	int64_t ms;

	rig->config.segment_bytes = 300000;
	rig_open(rig);
	rig_fill(rig, 60, 9000, 1000);
	rig_close(rig);
	rig_path(rig, first_idx, path);
	uint8_t *good = load_file(path, &size);
	assert_true(size >= 64 + 4 * 24 + 16);
	for (size_t i = 0; i <= size; i++) {
		uint8_t *bad = malloc(size + 8);
		memcpy(bad, good, size);
		memset(bad + size, 0, 8);
		bad[i < size ? i : 0] ^= i < size ? 0x41 : 0;
		/* Every byte changed, then cut to every length, then longer. */
		save_file(path, bad, i < size ? size : size + 8);
		rig_open(rig);
		rig_close(rig);
		uint8_t *made = load_file(path, &again);
		assert_int_equal(again, size);
		assert_memory_equal(made, good, size);
		free(made);
		save_file(path, good, i);
		rig_open(rig);
		rig_close(rig);
		made = load_file(path, &again);
		assert_int_equal(again, size);
		assert_memory_equal(made, good, size);
		free(made);
		free(bad);
	}
	unlink(path);
	rig_open(rig);
	assert_true(file_exists(path));
	assert_int_equal(rig_check_all(rig), 60);
	assert_int_equal(rig_find(rig, 1017, &offset, &ms), 0);
	assert_int_equal(offset, 17);
	free(good);
}

/* The index of a clean stop comes back after a power cut: what was appended since is there. */
static void an_old_index_does_not_hide_what_came_after(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;

	rig_open(rig);
	rig_fill(rig, 5, 300, 1000);
	rig_close(rig);
	rig_path(rig, first_idx, path);
	uint8_t *old = load_file(path, &size);
	rig_open(rig);
	rig_fill(rig, 5, 300, 1000);
	rig_kill(rig);
	rig_path(rig, first_idx, path);
	save_file(path, old, size);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 10);
	assert_int_equal(rig_check_all(rig), 10);
	free(old);
}

static void the_index_of_another_segment_is_not_believed(void **state)
{
	struct rig *rig = *state;
	char from[256];
	char to[256];
	size_t size;

	rig->config.segment_bytes = 10000;
	rig_open(rig);
	rig_fill(rig, 20, 3000, 1000);
	rig_close(rig);
	rig_path(rig, "00000000000000000003.idx", from);
	rig_path(rig, first_idx, to);
	uint8_t *data = load_file(from, &size);
	save_file(to, data, size);
	free(data);
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), 20);
}

static void a_checkpoint_shortens_recovery(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 1 << 20, 1000, 1);

	rig->config.segment_bytes = 256 << 20;
	rig_open(rig);
	for (int i = 0; i < 70; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	assert_false(has(rig, first_idx));
	store_housekeep(rig->store);
	assert_true(has(rig, first_idx));
	assert_int_equal(rig->log->active->checkpoint_end, rig->log->active->end);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	rig_kill(rig);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 75);
	free(made.data);
}

static uint64_t read_at_start(const struct rig *rig)
{
	return store_stats(rig->store)->recovered_bytes;
}

/* However large a segment is. */
static void what_a_start_reads_is_bounded(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 1 << 20, 1000, 1);

	rig->config.segment_bytes = 1 << 30;
	rig_open(rig);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		if (i % 8 == 7)
			store_housekeep(rig->store);
	}
	rig_kill(rig);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 100);
	assert_in_range(read_at_start(rig), 36 << 20, 37 << 20);
	free(made.data);
}

static void after_a_clean_stop_nothing_is_read(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 1 << 20;
	rig_open(rig);
	rig_fill(rig, 30, 100000, 1000);
	rig_close(rig);
	rig_restart(rig);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 30);
	assert_int_equal(read_at_start(rig), 0);
}

static void an_idle_log_gets_a_checkpoint(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	rig_fill(rig, 10, 30000, 1000);
	store_housekeep(rig->store);
	rig->now_ns += 9 * NS_PER_SECOND;
	store_housekeep(rig->store);
	assert_false(has(rig, first_idx));
	rig->now_ns += NS_PER_SECOND;
	store_housekeep(rig->store);
	assert_true(has(rig, first_idx));
	rig_kill(rig);
	rig_open(rig);
	assert_int_equal(read_at_start(rig), 0);
}

/* Many logs share what a store may have to read. */
static void the_more_logs_the_sooner_they_get_one(void **state)
{
	enum { LOGS = 100 };
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 1 << 20, 1000, 1);
	struct log *logs[LOGS];

	rig->config.segment_bytes = 1 << 30;
	for (int32_t i = 0; i < LOGS; i++) {
		rig->identity.partition = i;
		rig_open(rig);
		logs[i] = rig->log;
		for (int n = 0; n < 3; n++)
			assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	}
	/* 300 MiB of 256: each has more than its share. */
	store_housekeep(rig->store);
	for (int32_t i = 0; i < LOGS; i++) {
		assert_int_equal(logs[i]->active->checkpoint_end, logs[i]->active->end);
		rig->log = logs[i];
		rig_close(rig);
	}
	free(made.data);
}

/* It tells of less than the seal would have. */
static void a_checkpoint_that_a_seal_overtakes_is_made_again(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 1 << 20, 1000, 1);

	rig_keep_jobs(rig);
	rig_restart(rig);
	rig->config.segment_bytes = 68 << 20;
	rig_open(rig);
	for (int i = 0; i < 66; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	store_housekeep(rig->store);
	assert_non_null(rig->job);
	struct segment *segment = rig->log->active;
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	assert_ptr_not_equal(rig->log->active, segment);
	assert_false(has(rig, first_idx));
	rig_run_job(rig);
	assert_int_equal(segment->checkpoint_end, segment->end);
	rig_keep_no_jobs(rig);
	rig_kill(rig);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 69);
	assert_in_range(read_at_start(rig), 1, 4 << 20);
	free(made.data);
}

/* ---- partition.meta ---- */

static void a_torn_or_changed_meta_is_refused(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;

	rig_open(rig);
	rig_fill(rig, 10, 100, 1000);
	assert_int_equal(rig_trim(rig, 5, NULL), 0);
	rig_close(rig);
	rig_path(rig, "partition.meta", path);
	uint8_t *good = load_file(path, &size);
	for (size_t i = 0; i < size; i++) {
		save_file(path, good, i);
		char why[160];
		assert_true(rig_try_open(rig, why, sizeof(why)) < 0);
		assert_non_null(strstr(why, "partition.meta"));
		good[i] ^= 1;
		save_file(path, good, size);
		good[i] ^= 1;
		assert_true(rig_try_open(rig, why, sizeof(why)) < 0);
		assert_non_null(strstr(why, "partition.meta"));
	}
	save_file(path, good, size);
	put(rig, "partition.meta.new", 0, "torn", 4);
	rig_open(rig);
	assert_int_equal(log_start_offset(rig->log), 5);
	assert_int_equal(rig_trim(rig, 6, NULL), 0);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 6);
	free(good);
}

static void a_log_that_ends_before_its_start_is_refused(void **state)
{
	struct rig *rig = *state;
	size_t at[64];

	rig_open(rig);
	rig_fill(rig, 10, 100, 1000);
	assert_int_equal(rig_trim(rig, 8, NULL), 0);
	rig_kill(rig);
	if (has(rig, first_idx))
		remove_file(rig, first_idx);
	positions(rig, at);
	cut(rig, first_log, at[7]);
	refused(rig, -ERR_CORRUPT, "ends at offset 7 but was durable up to 8");
	/* With all segments gone there is nothing to contradict it: offsets go on from there. */
	remove_file(rig, first_log);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 8);
	rig_fill(rig, 2, 100, 1000);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 8);
	assert_int_equal(log_end_offset(rig->log), 10);
	assert_int_equal(rig_check_all(rig), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_tail_torn_at_any_byte_is_cut_at_the_last_whole_batch),
		T(a_tail_with_any_byte_lost_is_cut_at_the_last_whole_batch),
		T(what_lay_behind_a_lost_batch_never_comes_back),
		T(what_lay_far_behind_the_tail_never_comes_back),
		T(batches_of_an_earlier_run_behind_the_end_are_not_taken),
		T(a_torn_length_is_not_believed),
		T(a_first_segment_whose_header_never_arrived_is_empty),
		T(a_last_segment_whose_header_never_arrived_keeps_its_offset),
		T(a_newer_format_is_refused_as_such),
		T(unexpected_files_are_left_alone),
		T(a_link_in_place_of_a_segment_is_refused),
		T(a_run_of_a_lower_epoch_than_the_records_is_refused),
		T(any_wrong_index_is_made_anew),
		T(an_old_index_does_not_hide_what_came_after),
		T(the_index_of_another_segment_is_not_believed),
		T(a_checkpoint_shortens_recovery),
		T(what_a_start_reads_is_bounded),
		T(after_a_clean_stop_nothing_is_read),
		T(an_idle_log_gets_a_checkpoint),
		T(the_more_logs_the_sooner_they_get_one),
		T(a_checkpoint_that_a_seal_overtakes_is_made_again),
		T(a_torn_or_changed_meta_is_refused),
		T(a_log_that_ends_before_its_start_is_refused),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
