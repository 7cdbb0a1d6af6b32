/* What a log does with records whose ids it remembers: which batches, or what of them, are stored,
 * how they are answered, and that the same is known after a kill. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/store_internal.h"
#include "tests/storage/id_batch.h"
#include "tests/storage/sim.h"
#include "tests/storage/support.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { WINDOW_MS = 160000, PRODUCER = 4711 };

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

static int64_t append_all(struct rig *rig, const uint64_t *numbers, unsigned count,
			  const struct id_batch_options *options)
{
	struct made_batch made = make_id_batch(numbers, count, options);
	int64_t offset = -1;

	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, &offset), 0);
	free_id_batch(&made);
	return offset;
}

#define append_ids(rig, ...)                                                                       \
	append_all(rig, (const uint64_t[]){__VA_ARGS__},                                           \
		   array_count(((const uint64_t[]){__VA_ARGS__})),                                 \
		   &(struct id_batch_options){.first_ms = (rig)->now_ms})

struct listed {
	unsigned count;
	int64_t offsets[64];
	uint64_t numbers[64];
};

static void list_record(void *context, int64_t offset, uint64_t number)
{
	struct listed *listed = context;

	check(listed->count < array_count(listed->offsets));
	listed->offsets[listed->count] = offset;
	listed->numbers[listed->count++] = number;
}

static void expect_records(struct rig *rig, unsigned count, const int64_t *offsets,
			   const uint64_t *numbers)
{
	struct listed listed = {0};

	rig_each_record(rig, list_record, &listed);
	assert_int_equal(listed.count, count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(listed.offsets[i], offsets[i]);
		assert_int_equal(listed.numbers[i], numbers[i]);
	}
}

static void a_known_id_is_answered_with_its_offset_and_not_stored(void **state)
{
	struct rig *rig = *state;

	append_ids(rig, 1, 2, 3);
	assert_int_equal(rig_keep_id(rig, 2), 1);
	assert_int_equal(log_end_offset(rig->log), 3);
	assert_int_equal(rig_keep_id(rig, 4), 3);
	assert_int_equal(store_stats(rig->store)->dedup_hits, 1);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 4);
}

static void a_batch_of_known_ids_is_answered_with_the_offset_of_its_first(void **state)
{
	struct rig *rig = *state;

	append_ids(rig, 1, 2, 3, 4);
	assert_int_equal(append_ids(rig, 3, 1, 4), 2);
	assert_int_equal(log_end_offset(rig->log), 4);
}

static void records_without_an_id_are_always_stored(void **state)
{
	struct rig *rig = *state;

	append_ids(rig, 0, 0);
	assert_int_equal(append_ids(rig, 0), 2);
	assert_int_equal(store_stats(rig->store)->dedup_entries, 0);
}

static void known_records_among_new_ones_leave_gaps_in_every_codec(void **state)
{
	struct rig *rig = *state;

	for (enum batch_codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
		uint64_t first = 10 * (codec + 1u);
		struct id_batch_options options = {.codec = codec, .first_ms = rig->now_ms};
		const uint64_t once[] = {first, first + 1};
		const uint64_t again[] = {first, first + 2, 0, first + 1, first + 3};
		int64_t base = append_all(rig, once, 2, &options);
		assert_int_equal(append_all(rig, again, 5, &options), base + 2);
		assert_int_equal(log_end_offset(rig->log), base + 7);
		assert_int_equal(rig_keep_id(rig, first + 3), base + 6);
		struct listed listed = {0};
		rig_each_record(rig, list_record, &listed);
		assert_int_equal(listed.count, (codec + 1u) * 5);
		const int64_t *offsets = listed.offsets + listed.count - 5;
		assert_int_equal(offsets[1], base + 1);
		assert_int_equal(offsets[2], base + 3);
		assert_int_equal(offsets[3], base + 4);
		assert_int_equal(offsets[4], base + 6);
	}
}

static void the_second_of_two_equal_ids_in_a_batch_is_a_duplicate(void **state)
{
	struct rig *rig = *state;
	const int64_t offsets[] = {0, 1};
	const uint64_t numbers[] = {1, 2};

	append_ids(rig, 1, 2, 1, 2);
	expect_records(rig, 2, offsets, numbers);
	assert_int_equal(log_end_offset(rig->log), 4);
	assert_int_equal(rig_keep_id(rig, 1), 0);
}

static void of_a_producer_the_sequence_stays_in_the_log(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms, .producer_id = PRODUCER};
	const uint64_t numbers[] = {1, 2, 3};

	append_ids(rig, 1, 2, 3);
	/* All known: an empty batch, answered with the first. */
	assert_int_equal(append_all(rig, numbers, 3, &options), 0);
	assert_int_equal(log_end_offset(rig->log), 6);
	/* Sent again: the producer is known, and the answer is the same. */
	assert_int_equal(append_all(rig, numbers, 3, &options), 0);
	assert_int_equal(log_end_offset(rig->log), 6);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(append_all(rig, numbers, 3, &options), 0);
	assert_int_equal(log_end_offset(rig->log), 6);
	options.base_sequence = 3;
	assert_int_equal(append_all(rig, (const uint64_t[]){4, 1}, 2, &options), 6);
	assert_int_equal(append_all(rig, (const uint64_t[]){4, 1}, 2, &options), 6);
	options.base_sequence = 5;
	assert_int_equal(append_all(rig, (const uint64_t[]){5}, 1, &options), 8);
	expect_records(rig, 5, (const int64_t[]){0, 1, 2, 6, 8}, (const uint64_t[]){1, 2, 3, 4, 5});
	assert_int_equal(rig_check_all(rig), 4);
}

static void a_duplicate_is_answered_when_the_first_is_durable(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms};
	uint64_t number = 1;
	struct made_batch made = make_id_batch(&number, 1, &options);
	struct rig_append first, second;

	sim_options(rig->io)->slowness = 1000;
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &first), 0);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &second), 1);
	assert_int_equal(second.append.base_offset, 0);
	store_submit(rig->store);
	assert_false(second.done);
	sim_options(rig->io)->slowness = 1;
	while (!second.done)
		rig_turn(rig);
	assert_true(first.done);
	assert_int_equal(second.rc, 0);
	free_id_batch(&made);
}

static void a_refused_batch_leaves_nothing_in_the_window(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms};
	const uint64_t numbers[] = {1, 2, 3};
	struct made_batch made = make_id_batch(numbers, 3, &options);
	struct rig_append append;

	rig_keep_id(rig, 2);
	rig->config.segment_bytes = 100;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append),
			 -ERR_BATCH_OVER_SEGMENT);
	assert_int_equal(rig->log->dedup.window.entries, 1);
	rig->config.segment_bytes = 1 << 20;
	log_set_config(rig->log, &rig->config);
	assert_int_equal(rig_keep_id(rig, 3), 1);
	assert_int_equal(rig_keep_id(rig, 1), 2);
	free_id_batch(&made);
}

static void ids_of_a_transaction_are_neither_looked_for_nor_remembered(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {
		.first_ms = rig->now_ms,
		.producer_id = PRODUCER,
		.attributes = BATCH_TRANSACTIONAL,
	};
	const uint64_t numbers[] = {1, 2};

	rig_keep_id(rig, 1);
	assert_int_equal(append_all(rig, numbers, 2, &options), 1);
	assert_int_equal(rig_keep_id(rig, 2), 3);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	assert_int_equal(rig_keep_id(rig, 2), 3);
}

static void ids_are_known_after_a_kill_and_after_a_clean_stop(void **state)
{
	struct rig *rig = *state;

	append_ids(rig, 1, 2);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 2), 1);
	append_ids(rig, 3, 1, 4);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	assert_int_equal(rig_keep_id(rig, 4), 4);
	assert_int_equal(log_end_offset(rig->log), 5);
}

static void an_id_outside_the_window_is_stored_again(void **state)
{
	struct rig *rig = *state;

	rig_keep_id(rig, 1);
	rig_pass(rig, WINDOW_MS);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig_pass(rig, WINDOW_MS / 8);
	assert_int_equal(rig_keep_id(rig, 1), 1);
	rig_kill(rig);
	rig_reopen(rig);
	assert_int_equal(rig_keep_id(rig, 1), 1);
}

static void a_full_window_forgets_the_oldest(void **state)
{
	struct rig *rig = *state;

	rig->config.dedup.entries_max = 160;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	for (uint64_t i = 1; i <= 200; i++)
		rig_keep_id(rig, i);
	assert_int_equal(rig_keep_id(rig, 100), 99);
	assert_int_equal(rig_keep_id(rig, 1), 200);
	assert_true(store_stats(rig->store)->dedup_evictions > 0);
	assert_true(store_stats(rig->store)->dedup_entries <= 160);
}

static void a_full_window_refuses_new_ids_where_it_shall(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms};
	const uint64_t numbers[] = {1, 200, 201};
	struct made_batch made = make_id_batch(numbers, 3, &options);
	struct dedup_status status;
	struct rig_append append;

	rig->config.dedup.entries_max = 160;
	rig->config.dedup.on_full = DEDUP_REJECT;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	for (uint64_t i = 1; i < 160; i++)
		rig_keep_id(rig, i);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), -ERR_WINDOW_FULL);
	assert_int_equal(rig_keep_id(rig, 1), 0);
	rig_keep_id(rig, 200);
	assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append), -ERR_WINDOW_FULL);
	log_dedup_status(rig->log, &status);
	assert_int_equal(status.rejections, 2);
	assert_int_equal(status.entries, 160);
	rig_pass(rig, WINDOW_MS * 9 / 8);
	rig_keep_id(rig, 201);
	free_id_batch(&made);
}

static void a_refused_batch_is_taken_in_time_though_its_timestamps_stay(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms};
	const uint64_t number = 1000;
	struct made_batch made = make_id_batch(&number, 1, &options);
	struct rig_append append;

	rig->config.dedup.entries_max = 160;
	rig->config.dedup.on_full = DEDUP_REJECT;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	for (uint64_t i = 1; i <= 160; i++)
		rig_keep_id(rig, i);
	for (int i = 0; i < 7; i++) {
		assert_int_equal(rig_start_append(rig, &made, ACK_DURABLE, &append),
				 -ERR_WINDOW_FULL);
		rig_pass(rig, WINDOW_MS / 8);
	}
	rig_pass(rig, WINDOW_MS / 4);
	assert_int_equal(rig_append(rig, &made, ACK_DURABLE, NULL), 0);
	free_id_batch(&made);
}

static void stored_batches_with_gaps_are_found_by_time(void **state)
{
	struct rig *rig = *state;
	struct id_batch_options options = {.first_ms = rig->now_ms + 50, .producer_id = PRODUCER};
	int64_t offset;
	int64_t ms;

	rig_keep_id(rig, 1);
	append_all(rig, (const uint64_t[]){1}, 1, &options);
	options.base_sequence = 1;
	options.first_ms += 50;
	append_all(rig, (const uint64_t[]){1, 2}, 2, &options);
	assert_int_equal(rig_find(rig, rig->now_ms + 1, &offset, &ms), 0);
	assert_int_equal(offset, 3);
	assert_int_equal(rig_find(rig, -3, &offset, &ms), 0);
	assert_int_equal(offset, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_known_id_is_answered_with_its_offset_and_not_stored),
		TEST(a_batch_of_known_ids_is_answered_with_the_offset_of_its_first),
		TEST(records_without_an_id_are_always_stored),
		TEST(known_records_among_new_ones_leave_gaps_in_every_codec),
		TEST(the_second_of_two_equal_ids_in_a_batch_is_a_duplicate),
		TEST(of_a_producer_the_sequence_stays_in_the_log),
		TEST(a_duplicate_is_answered_when_the_first_is_durable),
		TEST(a_refused_batch_leaves_nothing_in_the_window),
		TEST(ids_of_a_transaction_are_neither_looked_for_nor_remembered),
		TEST(ids_are_known_after_a_kill_and_after_a_clean_stop),
		TEST(an_id_outside_the_window_is_stored_again),
		TEST(a_full_window_forgets_the_oldest),
		TEST(a_full_window_refuses_new_ids_where_it_shall),
		TEST(a_refused_batch_is_taken_in_time_though_its_timestamps_stay),
		TEST(stored_batches_with_gaps_are_found_by_time),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
