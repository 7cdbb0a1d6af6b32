/* One log on a real back end, named on the command line: append, read, find, trim, retention,
 * rolling, configuration, closing. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUFFER_BYTES = 16 << 20 };
static const char *io_kind;

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, io_kind, NULL, BUFFER_BYTES);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

static void new_log_is_empty(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	assert_int_equal(log_start_offset(rig->log), 0);
	assert_int_equal(log_end_offset(rig->log), 0);
	assert_int_equal(log_high_watermark(rig->log), 0);
	assert_int_equal(log_bytes(rig->log), 0);
	struct rig_read read = rig_read(rig, 0, 1000, true);
	assert_int_equal(read.rc, 0);
	assert_int_equal(read.size, 0);
	free(read.data);
	read = rig_read(rig, 1, 1000, true);
	assert_int_equal(read.rc, -ERR_OFFSET_RANGE);
	free(read.data);
}

static void check_stored(struct rig *rig, const struct made_batch *made, int64_t offset)
{
	struct rig_read read = rig_read(rig, offset, 1, true);

	assert_int_equal(read.rc, 0);
	assert_int_equal(read.size, made->size);
	/* As received, but for what is ours. */
	assert_memory_equal(read.data + 16, made->data + 16, made->size - 16);
	assert_int_equal(load_be64(read.data), offset);
	assert_int_equal(load_be32(read.data + 12), rig->identity.leader_epoch);
	free(read.data);
}

static void batches_are_read_back_from_memory_and_from_the_file(void **state)
{
	struct rig *rig = *state;
	struct made_batch small = make_batch(3, 100, 1000, 1);
	struct made_batch large = make_batch(2, 300000, 2000, 2);
	int64_t offset;

	rig_open(rig);
	assert_int_equal(rig_append(rig, &small, ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(rig_append(rig, &large, ACK_DURABLE, &offset), 0);
	assert_int_equal(offset, 3);
	assert_int_equal(log_high_watermark(rig->log), 5);
	check_stored(rig, &small, 0);
	check_stored(rig, &large, 3);
	assert_true(store_stats(rig->store)->tail_hits > 0);
	assert_int_equal(store_stats(rig->store)->reads, 0);
	rig_close(rig);
	rig_open(rig);
	assert_int_equal(log_end_offset(rig->log), 5);
	check_stored(rig, &small, 0);
	check_stored(rig, &large, 3);
	assert_true(store_stats(rig->store)->reads > 0);
	free(small.data);
	free(large.data);
}

static void submitted_appends_are_answered_and_become_durable(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 20000, 1000, 1);
	struct rig_append appends[40];

	rig_open(rig);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(rig_start_append(rig, &made, ACK_SUBMITTED, &appends[i]), 0);
		if (i % 3 == 0)
			store_submit(rig->store);
	}
	for (int turns = 0; log_high_watermark(rig->log) < 40; turns++) {
		assert_true(turns < 1000);
		rig_turn(rig);
	}
	for (int i = 0; i < 40; i++)
		assert_true(appends[i].done && appends[i].rc == 0);
	assert_int_equal(rig_check_all(rig), 40);
	free(made.data);
}

static void an_append_is_not_shown_before_it_is_durable(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 100, 1000, 1);
	struct rig_append append;

	rig_open(rig);
	rig_fill(rig, 1, 50, 1000);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	assert_int_equal(log_end_offset(rig->log), 2);
	assert_int_equal(log_high_watermark(rig->log), 1);
	struct rig_read read = rig_read(rig, 0, 100000, true);
	assert_int_equal(read.rc, 0);
	assert_in_range(read.size, 1, made.size); /* the first only */
	free(read.data);
	while (!append.done)
		rig_turn(rig);
	assert_int_equal(append.rc, 0);
	assert_int_equal(log_high_watermark(rig->log), 2);
	free(made.data);
}

/* The reader's buffer reaches to where the next batch is not yet written. */
static void reading_the_file_beside_unwritten_appends_is_no_damage(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 9000, 1000, 1);
	struct rig_append appends[3];

	rig_open(rig);
	rig_fill(rig, 5, 700, 1000);
	rig_reopen(rig);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &appends[i]), 0);
	struct rig_read read = rig_read(rig, 0, 1 << 20, true);
	assert_int_equal(read.rc, 0);
	assert_true(read.size >= 5 * 700);
	free(read.data);
	while (!appends[2].done)
		rig_turn(rig);
	assert_int_equal(rig_check_all(rig), 8);
	free(made.data);
}

static void unflushed_records_are_shown_where_the_topic_says_so(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 100, 1000, 1);
	struct rig_append append;

	rig->config.read_unflushed = true;
	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	assert_int_equal(log_high_watermark(rig->log), 1);
	check_stored(rig, &made, 0);
	/* But not deleted up to: that must be durable. */
	int64_t start;
	if (!append.done)
		assert_int_equal(rig_trim(rig, 1, &start), append.done ? 0 : -ERR_OFFSET_RANGE);
	while (!append.done)
		rig_turn(rig);
	free(made.data);
}

static void bytes_max_bounds_a_read_but_for_the_first_batch(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 1000, 1000, 1);
	size_t size = made.size;

	rig_open(rig);
	for (int i = 0; i < 10; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	for (int pass = 0; pass < 2; pass++) {
		static const size_t wanted[] = {1, 999, 1080, 2500, 5000};
		for (size_t i = 0; i < 5; i++) {
			struct rig_read read = rig_read(rig, 2, wanted[i], true);
			size_t whole = wanted[i] / size;
			assert_int_equal(read.rc, 0);
			assert_int_equal(read.size, (whole ? whole : 1) * size);
			free(read.data);
			read = rig_read(rig, 2, wanted[i], false);
			assert_int_equal(read.size, whole * size);
			free(read.data);
		}
		rig_reopen(rig);
	}
	free(made.data);
}

static void an_offset_inside_a_batch_gives_that_batch(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(10, 100, 1000, 1);

	rig_open(rig);
	for (int i = 0; i < 5; i++)
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	for (int pass = 0; pass < 2; pass++) {
		for (int64_t offset = 0; offset < 50; offset++) {
			struct rig_read read = rig_read(rig, offset, 1, true);
			assert_int_equal(read.rc, 0);
			assert_int_equal(load_be64(read.data), offset / 10 * 10);
			free(read.data);
		}
		rig_reopen(rig);
	}
	free(made.data);
}

static void batches_larger_than_any_buffer_are_read(void **state)
{
	struct rig *rig = *state;
	struct made_batch huge = make_batch(1, 3 << 20, 1000, 1);

	rig->config.segment_bytes = 8 << 20;
	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	assert_int_equal(rig_append(rig, &huge, ACK_DURABLE, NULL), 0);
	rig_fill(rig, 3, 100, 1000);
	check_stored(rig, &huge, 3);
	rig_reopen(rig);
	struct rig_read read = rig_read(rig, 3, 1, true);
	assert_int_equal(read.rc, 0);
	assert_int_equal(read.size, huge.size);
	free(read.data);
	assert_int_equal(rig_check_all(rig), 7);
	free(huge.data);
}

static void a_batch_that_can_never_fit_is_refused(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 2 << 20, 1000, 1);
	struct made_batch huge = make_batch(1, 12 << 20, 1000, 1);
	struct rig_append append;

	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append),
			 -ERR_BATCH_OVER_SEGMENT);
	rig->config.segment_bytes = 64 << 20;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_start_append(rig, &huge, ACK_DURABLE, &append), -ERR_TOO_LARGE);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free(made.data);
	free(huge.data);
}

static unsigned segment_count(const struct rig *rig)
{
	unsigned count = 0;

	list_foreach(node, &rig->log->segments)
		count++;
	return count;
}

static void a_full_segment_is_followed_by_another(void **state)
{
	struct rig *rig = *state;
	char path[256];

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 50, 9000, 1000);
	assert_int_equal(segment_count(rig), 5);
	list_foreach(node, &rig->log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		assert_true(segment->end <= SEGMENT_HEADER_BYTES + 100000);
	}
	assert_int_equal(rig_check_all(rig), 50);
	rig_path(rig, "00000000000000000000.idx", path);
	assert_true(file_exists(path));
	rig_reopen(rig);
	assert_int_equal(segment_count(rig), 5);
	assert_int_equal(rig_check_all(rig), 50);
	rig_fill(rig, 10, 9000, 1000);
	assert_int_equal(rig_check_all(rig), 60);
}

static void an_old_segment_is_followed_by_another(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_ms = 1000;
	rig_open(rig);
	rig_fill(rig, 3, 100, 1000);
	rig->now_ms += 500;
	rig_fill(rig, 3, 100, 1000);
	assert_int_equal(segment_count(rig), 1);
	rig->now_ms += 501;
	rig_fill(rig, 3, 100, 1000);
	assert_int_equal(segment_count(rig), 2);
	assert_int_equal(rig_check_all(rig), 9);
}

/* Only the last segment may be found torn, so the one before is on the disk before it is made. */
static void a_segment_is_not_followed_before_it_is_flushed(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 60000, 1000, 1);
	struct rig_append first;
	struct rig_append second;

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &made, ACK_SUBMITTED, &first), 0);
	assert_int_equal(rig_start_append(rig, &made, ACK_SUBMITTED, &second), -ENOBUFS);
	assert_int_equal(segment_count(rig), 1);
	assert_int_equal(rig_append(rig, &made, ACK_SUBMITTED, NULL), 0);
	assert_true(first.done);
	assert_int_equal(segment_count(rig), 2);
	free(made.data);
}

static void more_appends_than_buffers_wait_their_turn(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 200000, 1000, 1);
	struct rig_append appends[100];
	unsigned full = 0;

	rig->config.segment_bytes = 64 << 20;
	rig_open(rig);
	for (int i = 0; i < 100; i++) {
		int rc;
		while ((rc = rig_start_append(rig, &made, ACK_DURABLE, &appends[i])) == -ENOBUFS) {
			full++;
			rig_turn(rig);
		}
		assert_int_equal(rc, 0);
	}
	while (!appends[99].done)
		rig_turn(rig);
	for (int i = 0; i < 100; i++)
		assert_true(appends[i].done && appends[i].rc == 0);
	assert_true(full > 0);
	assert_int_equal(rig_check_all(rig), 100);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), 100);
	free(made.data);
}

/* Each log's half-filled last buffer is given up for others and read back for the next append. */
static void many_quiet_logs_share_few_buffers(void **state)
{
	struct rig *rig = *state;
	enum { LOGS = 300 }; /* there are 256 small buffers */
	struct log *logs[LOGS];
	static struct rig_append appends[LOGS];
	struct made_batch made = make_batch(1, 14000, 1000, 1);

	for (int i = 0; i < LOGS; i++) {
		rig->identity.partition = i;
		rig_open(rig);
		logs[i] = rig->log;
	}
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < LOGS; i++) {
			int rc;
			rig->log = logs[i];
			while ((rc = rig_start_append(rig, &made, ACK_DURABLE, &appends[i])) ==
			       -ENOBUFS)
				rig_turn(rig);
			assert_int_equal(rc, 0);
		}
		for (int i = 0; i < LOGS; i++) {
			while (!appends[i].done)
				rig_turn(rig);
			assert_int_equal(appends[i].rc, 0);
		}
	}
	for (int i = 0; i < LOGS; i++) {
		rig->log = logs[i];
		assert_int_equal(rig_check_all(rig), 4);
		rig->identity.partition = i;
		rig_reopen(rig);
		assert_int_equal(rig_check_all(rig), 4);
		rig_close(rig);
	}
	free(made.data);
}

static void find_by_time_gives_the_first_at_or_after(void **state)
{
	struct rig *rig = *state;
	int64_t offset;
	int64_t ms;

	rig->config.segment_bytes = 200000;
	rig_open(rig);
	/* 100 batches of 10 records, a millisecond apart from 1000 on. */
	for (int i = 0; i < 100; i++) {
		struct made_batch made = make_batch(10, 900, 1000 + i * 10, (uint64_t)i);
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		free(made.data);
	}
	for (int pass = 0; pass < 2; pass++) {
		for (int64_t wanted = 1000; wanted < 2000; wanted += 37) {
			assert_int_equal(rig_find(rig, wanted, &offset, &ms), 0);
			assert_int_equal(offset, wanted - 1000);
			assert_int_equal(ms, wanted);
		}
		assert_int_equal(rig_find(rig, 0, &offset, &ms), 0);
		assert_int_equal(offset, 0);
		assert_int_equal(rig_find(rig, 2000, &offset, &ms), 0);
		assert_int_equal(offset, -1);
		assert_int_equal(ms, -1);
		assert_int_equal(rig_find(rig, -3, &offset, &ms), 0);
		assert_int_equal(offset, 999);
		assert_int_equal(ms, 1999);
		rig_reopen(rig);
	}
}

static void find_by_time_ignores_the_order_of_times(void **state)
{
	struct rig *rig = *state;
	static const int64_t times[] = {5000, 1000, 9000, 2000, 9000, 3000};
	int64_t offset;
	int64_t ms;

	rig_open(rig);
	for (size_t i = 0; i < 6; i++) {
		struct made_batch made = make_batch(1, 100, times[i], i);
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
		free(made.data);
	}
	assert_int_equal(rig_find(rig, 1, &offset, &ms), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(rig_find(rig, 5001, &offset, &ms), 0);
	assert_int_equal(offset, 2);
	assert_int_equal(rig_find(rig, -3, &offset, &ms), 0);
	assert_int_equal(offset, 2);
	assert_int_equal(ms, 9000);
}

/* Clients may get maxTimestamp wrong; it is put right when the batch is stored. */
static void the_largest_timestamp_is_stored_as_the_records_have_it(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 100, 5000, 1);
	int64_t offset;
	int64_t ms;

	store_be64(made.data + 35, 7);
	fix_batch(made.data, made.size);
	rig_open(rig);
	made.batch.max_timestamp = 5000;
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	assert_int_equal(rig_check_all(rig), 1);
	assert_int_equal(rig_find(rig, 5000, &offset, &ms), 0);
	assert_int_equal(offset, 0);
	free(made.data);
}

static void note_done(struct log_append *append, int rc)
{
	struct rig_append *mine = container_of(append, struct rig_append, append);

	mine->done = true;
	mine->rc = rc;
}

static void log_append_time_is_stamped(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(3, 100, 5000, 1);
	struct rig_append append = {.append.done = note_done};
	int64_t offset;
	int64_t ms;

	rig_open(rig);
	assert_int_equal(
		log_append(rig->log, made.data, &made.batch, 777777, ACK_DURABLE, &append.append),
		0);
	while (!append.done)
		rig_turn(rig);
	assert_int_equal(append.rc, 0);
	assert_int_equal(rig_check_all(rig), 1); /* the CRC is right */
	struct rig_read read = rig_read(rig, 0, 1, true);
	struct batch batch;
	assert_int_equal(batch_parse(&batch, read.data, read.size), 0);
	assert_int_equal(batch.attributes, BATCH_LOG_APPEND_TIME);
	assert_int_equal(batch.max_timestamp, 777777);
	free(read.data);
	assert_int_equal(rig_find(rig, 777777, &offset, &ms), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(ms, 777777);
	assert_int_equal(rig_find(rig, 777778, &offset, &ms), 0);
	assert_int_equal(offset, -1);
	free(made.data);
}

static void trimming_moves_the_start_and_deletes_segments(void **state)
{
	struct rig *rig = *state;
	int64_t start;
	char path[256];

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 50, 9000, 1000);
	assert_int_equal(rig_trim(rig, 51, &start), -ERR_OFFSET_RANGE);
	assert_int_equal(start, 0);
	assert_int_equal(rig_trim(rig, 25, &start), 0);
	assert_int_equal(start, 25);
	assert_int_equal(log_start_offset(rig->log), 25);
	assert_int_equal(segment_count(rig), 3);
	rig_path(rig, "00000000000000000000.log", path);
	assert_false(file_exists(path));
	rig_path(rig, "00000000000000000000.idx", path);
	assert_false(file_exists(path));
	struct rig_read read = rig_read(rig, 24, 1, true);
	assert_int_equal(read.rc, -ERR_OFFSET_RANGE);
	free(read.data);
	assert_int_equal(rig_trim(rig, 10, &start), 0);
	assert_int_equal(start, 25);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 25);
	assert_int_equal(rig_check_all(rig), 25);
	assert_int_equal(rig_trim(rig, -1, &start), 0);
	assert_int_equal(start, 50);
	assert_int_equal(rig_check_all(rig), 0);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 50);
	assert_int_equal(log_end_offset(rig->log), 50);
	rig_fill(rig, 2, 100, 1000);
	assert_int_equal(log_end_offset(rig->log), 52);
}

static void retention_by_bytes_keeps_at_least_that_much(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 100, 9000, 1000);
	uint64_t before = log_bytes(rig->log);
	store_housekeep(rig->store);
	assert_int_equal(log_bytes(rig->log), before);
	rig->config.retention_bytes = 300000;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	assert_in_range(log_bytes(rig->log), 300000, 400000);
	int64_t start = log_start_offset(rig->log);
	assert_true(start > 0);
	rig_check_all(rig);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), start);
}

static void retention_by_time_takes_the_active_segment_too(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 100000;
	rig->config.retention_ms = 10000;
	rig_open(rig);
	rig_fill(rig, 30, 9000, rig->now_ms);
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 0);
	rig->now_ms += 10100;
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 30);
	assert_int_equal(log_bytes(rig->log), 0);
	/* Nothing is left that a later append or write could run into. */
	rig_fill(rig, 3, 9000, rig->now_ms);
	assert_int_equal(rig_check_all(rig), 3);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), 30);
	assert_int_equal(rig_check_all(rig), 3);
}

/* As a power cut may: no name's end was on the disk yet. */
static void segments_that_are_there_again_after_retention_stay_deleted(void **state)
{
	struct rig *rig = *state;
	char kept[256], path[256];

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 100, 9000, 1000);
	rig_path(rig, "00000000000000000000.log", path);
	rig_path(rig, "kept", kept);
	assert_int_equal(link(path, kept), 0);
	rig->config.retention_bytes = 300000;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	int64_t start = log_start_offset(rig->log);
	assert_true(start > 20);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rename(kept, path), 0);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(log_start_offset(rig->log), start);
	assert_int_equal(log_quarantined(rig->log, NULL, 0), 0);
	store_housekeep(rig->store);
	rig_path(rig, "00000000000000000000.log", path);
	assert_int_equal(access(path, F_OK), -1);
}

static void retention_leaves_compacted_topics_alone(void **state)
{
	struct rig *rig = *state;

	rig->config.segment_bytes = 100000;
	rig->config.retention_ms = 1;
	rig->config.retention_bytes = 1;
	rig->config.delete_enabled = false;
	rig_open(rig);
	rig_fill(rig, 30, 9000, 1);
	store_housekeep(rig->store);
	assert_int_equal(log_start_offset(rig->log), 0);
}

struct held_read {
	struct log_read read;
	int done;
	int rc;
};

static void held_done(struct log_read *read, int rc)
{
	struct held_read *held = container_of(read, struct held_read, read);

	held->done++;
	held->rc = rc;
}

static void retention_waits_for_no_reader(void **state)
{
	struct rig *rig = *state;
	struct held_read held = {.read = {.bytes_max = 1000, .oversize_first = true}};
	struct held_read late = held;

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 30, 9000, 1000);
	rig_reopen(rig);
	held.read.done = held_done;
	log_read(rig->log, &held.read);
	while (!held.done)
		rig_turn(rig);
	assert_int_equal(held.rc, 0);
	/* One read is in flight, one result is held while the segment goes. */
	late.read.offset = 5;
	late.read.done = held_done;
	log_drop_ahead(rig->log);
	log_read(rig->log, &late.read);
	assert_int_equal(rig_trim(rig, 30, NULL), 0);
	while (!late.done)
		rig_turn(rig);
	assert_int_equal(late.rc, -ERR_OFFSET_RANGE);
	assert_int_equal(load_be64(held.read.vectors[0].iov_base), 0);
	log_read_release(rig->store, &held.read);
	log_read_release(rig->store, &late.read);
}

/* Reads `offset` into `held` and returns the answer's bytes; 0 when there was no memory for it. */
static size_t hold_read(struct rig *rig, struct held_read *held, int64_t offset)
{
	*held = (struct held_read){.read = {.offset = offset, .bytes_max = 1, .done = held_done}};
	held->read.oversize_first = true;
	log_read(rig->log, &held->read);
	for (int turns = 0; !held->done; turns++) {
		assert_true(turns < 1000);
		rig_turn(rig);
	}
	assert_true(held->rc == (held->read.bytes ? 0 : -ENOBUFS));
	return held->read.bytes;
}

static void readers_that_stall_neither_stop_appends_nor_hold_without_bound(void **state)
{
	enum { READERS = 200 };
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 250000, 1000, 1);
	struct held_read *held = calloc(READERS, sizeof(*held));
	size_t bytes = 0;
	unsigned refused = 0;

	rig_open(rig);
	assert_non_null(held);
	for (int i = 0; i < READERS; i++) {
		int64_t offset;
		assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
		size_t got = hold_read(rig, &held[i], offset);
		bytes += got;
		refused += got == 0;
	}
	assert_in_range(bytes, BUFFER_BYTES / 2, BUFFER_BYTES);
	assert_true(refused > 0);
	/* What a reader was given stays as it was while others write on. */
	for (int i = 0; i < READERS; i++) {
		const struct log_read *read = &held[i].read;
		if (read->bytes)
			assert_int_equal(load_be64(read->vectors[0].iov_base), i);
		log_read_release(rig->store, &held[i].read);
	}
	/* Once they let go there is room for all again, in the tail and in the file. */
	for (int i = 0; i < READERS; i++) {
		struct held_read again;
		assert_int_equal(hold_read(rig, &again, i), made.size);
		log_read_release(rig->store, &again.read);
	}
	assert_int_equal(rig_check_all(rig), READERS);
	free(held);
	free(made.data);
}

static void epochs_end_where_the_next_begins(void **state)
{
	struct rig *rig = *state;
	int32_t epoch;
	int64_t end;

	rig->config.segment_bytes = 30000;
	rig_open(rig);
	rig_fill(rig, 10, 9000, 1000); /* epoch 1: 0..9 */
	rig_reopen(rig);
	rig_fill(rig, 10, 9000, 1000); /* epoch 2: 10..19 */
	rig_reopen(rig);               /* epoch 3: nothing */
	rig_kill(rig);
	rig_reopen(rig);
	rig_fill(rig, 1, 9000, 1000); /* epoch 4: 20 */
	rig_kill(rig);
	rig_reopen(rig); /* epoch 5 */
	log_epoch_end(rig->log, 0, &epoch, &end);
	assert_int_equal(epoch, -1);
	assert_int_equal(end, -1);
	log_epoch_end(rig->log, 1, &epoch, &end);
	assert_int_equal(epoch, 1);
	assert_int_equal(end, 10);
	log_epoch_end(rig->log, 3, &epoch, &end);
	assert_int_equal(epoch, 2);
	assert_int_equal(end, 20);
	log_epoch_end(rig->log, 4, &epoch, &end);
	assert_int_equal(epoch, 4);
	assert_int_equal(end, 21);
	log_epoch_end(rig->log, 99, &epoch, &end);
	assert_int_equal(epoch, 5);
	assert_int_equal(end, 21);
}

static void closing_writes_what_was_appended_and_answers(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 50000, 1000, 1);
	struct rig_append appends[20];

	rig->config.segment_bytes = 8 << 20;
	rig_open(rig);
	for (int i = 0; i < 20; i++)
		assert_int_equal(rig_start_append(rig, &made, i % 2 ? ACK_DURABLE : ACK_SUBMITTED,
						  &appends[i]),
				 0);
	rig_close(rig);
	for (int i = 0; i < 20; i++)
		assert_true(appends[i].done && appends[i].rc == 0);
	rig_open(rig);
	assert_int_equal(rig_check_all(rig), 20);
	free(made.data);
}

static void closed_note(void *context)
{
	*(bool *)context = true;
}

static void a_closing_log_takes_no_appends(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 50000, 1000, 1);
	struct rig_append append;
	struct rig_append late;
	struct held_read read = {.read = {.done = held_done}};
	bool closed = false;

	rig_open(rig);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), 0);
	log_close(rig->log, false, closed_note, &closed);
	assert_false(closed);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &late), -ERR_CLOSING);
	log_read(rig->log, &read.read);
	assert_int_equal(read.done, 1);
	assert_int_equal(read.rc, -ERR_CLOSING);
	while (!closed)
		rig_turn(rig);
	assert_true(append.done && append.rc == 0);
	rig->log = NULL;
	free(made.data);
}

static void removing_leaves_nothing_and_tells_waiters(void **state)
{
	struct rig *rig = *state;
	struct made_batch made = make_batch(1, 50000, 1000, 1);
	struct rig_append append;
	char path[256];
	bool closed = false;

	rig->config.segment_bytes = 100000;
	rig_open(rig);
	rig_fill(rig, 10, 40000, 1000);
	rig_trim(rig, 3, NULL);
	rig_path(rig, "index.new", path);
	save_file(path, "x", 1);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	int rc = rig_start_append(rig, &made, ACK_DURABLE, &append);
	while (rc == -ENOBUFS) {
		rig_turn(rig);
		rc = rig_start_append(rig, &made, ACK_DURABLE, &append);
	}
	assert_int_equal(rc, 0);
	log_close(rig->log, true, closed_note, &closed);
	while (!closed)
		rig_turn(rig);
	assert_true(append.done);
	assert_int_equal(append.rc, -ERR_CLOSING);
	rig->log = NULL;
	rig_path(rig, "", path);
	assert_false(file_exists(path));
	assert_int_equal(rmdir(rig->folder), 0); /* the topic's folder is gone too */
	assert_int_equal(access(rig->folder, F_OK), -1);
	make_folder(rig->folder, false);
	free(made.data);
}

struct counting_watch {
	struct log_watch watch;
	struct log *log;
	unsigned changes;
};

/* As a long poll does: looks, and watches on. */
static void watch_again(struct log_watch *watch)
{
	struct counting_watch *mine = container_of(watch, struct counting_watch, watch);

	mine->changes++;
	log_watch(mine->log, watch);
}

static void a_watcher_may_watch_on_from_inside(void **state)
{
	struct rig *rig = *state;
	struct counting_watch watch = {.watch.changed = watch_again};

	rig_open(rig);
	watch.log = rig->log;
	log_watch(rig->log, &watch.watch);
	rig_fill(rig, 3, 100, 1000);
	assert_int_equal(watch.changes, 3);
	log_unwatch(&watch.watch);
	log_unwatch(&watch.watch);
	rig_fill(rig, 1, 100, 1000);
	assert_int_equal(watch.changes, 3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(new_log_is_empty),
		T(batches_are_read_back_from_memory_and_from_the_file),
		T(submitted_appends_are_answered_and_become_durable),
		T(an_append_is_not_shown_before_it_is_durable),
		T(reading_the_file_beside_unwritten_appends_is_no_damage),
		T(unflushed_records_are_shown_where_the_topic_says_so),
		T(bytes_max_bounds_a_read_but_for_the_first_batch),
		T(an_offset_inside_a_batch_gives_that_batch),
		T(batches_larger_than_any_buffer_are_read),
		T(a_batch_that_can_never_fit_is_refused),
		T(a_full_segment_is_followed_by_another),
		T(an_old_segment_is_followed_by_another),
		T(a_segment_is_not_followed_before_it_is_flushed),
		T(more_appends_than_buffers_wait_their_turn),
		T(many_quiet_logs_share_few_buffers),
		T(find_by_time_gives_the_first_at_or_after),
		T(find_by_time_ignores_the_order_of_times),
		T(the_largest_timestamp_is_stored_as_the_records_have_it),
		T(log_append_time_is_stamped),
		T(trimming_moves_the_start_and_deletes_segments),
		T(retention_by_bytes_keeps_at_least_that_much),
		T(retention_by_time_takes_the_active_segment_too),
		T(segments_that_are_there_again_after_retention_stay_deleted),
		T(retention_leaves_compacted_topics_alone),
		T(retention_waits_for_no_reader),
		T(readers_that_stall_neither_stop_appends_nor_hold_without_bound),
		T(epochs_end_where_the_next_begins),
		T(closing_writes_what_was_appended_and_answers),
		T(a_closing_log_takes_no_appends),
		T(removing_leaves_nothing_and_tells_waiters),
		T(a_watcher_may_watch_on_from_inside),
#undef T
	};

	check(argc == 2);
	io_kind = argv[1];
	return cmocka_run_group_tests_name(io_kind, tests, NULL, NULL);
}
