/* Producers' rules one by one, then random batches against a list of everything ever appended. */
#include "storage/producers.h"

#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { NOW = 1000 };

static struct batch batch_of(int64_t id, int16_t epoch, int32_t sequence, int32_t records)
{
	return (struct batch){
		.producer_id = id,
		.producer_epoch = epoch,
		.base_sequence = sequence,
		.last_offset_delta = records - 1,
		.record_count = records,
	};
}

static int check_batch(const struct producers *producers, struct batch batch)
{
	int64_t ignored;

	return producers_check(producers, &batch, &ignored);
}

static void append(struct producers *producers, struct batch batch, int64_t offset, uint64_t now_ns)
{
	batch.base_offset = offset;
	assert_int_equal(producers_reserve(producers, &batch), 0);
	producers_apply(producers, &batch, NULL, now_ns);
}

static int set_up(void **state)
{
	struct producers *producers = malloc(sizeof(*producers));

	producers_init(producers, 100);
	*state = producers;
	return 0;
}

static int tear_down(void **state)
{
	producers_fini(*state);
	free(*state);
	return 0;
}

static void a_batch_without_a_producer_is_always_new(void **state)
{
	struct producers *producers = *state;

	append(producers, batch_of(-1, -1, -1, 3), 0, NOW);
	assert_int_equal(check_batch(producers, batch_of(-1, -1, -1, 3)), 0);
	assert_int_equal(producers_count(producers), 0);
}

static void an_unknown_producer_may_begin_anywhere(void **state)
{
	assert_int_equal(check_batch(*state, batch_of(7, 3, 4711, 1)), 0);
}

static void the_next_sequence_is_taken_and_no_other(void **state)
{
	struct producers *producers = *state;

	append(producers, batch_of(7, 0, 0, 3), 0, NOW);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 3, 1)), 0);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 4, 1)), -ERR_SEQUENCE);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 2, 1)), -ERR_SEQUENCE);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 0, 2)), -ERR_SEQUENCE);
}

static void a_batch_sent_again_names_the_offset_of_the_first(void **state)
{
	struct producers *producers = *state;
	int64_t offset = -1;

	for (int32_t i = 0; i < 5; i++)
		append(producers, batch_of(7, 0, i * 2, 2), 100 + i * 2, NOW);
	for (int32_t i = 0; i < 5; i++) {
		struct batch again = batch_of(7, 0, i * 2, 2);
		assert_int_equal(producers_check(producers, &again, &offset), 1);
		assert_int_equal(offset, 100 + i * 2);
	}
}

static void the_sixth_batch_back_is_forgotten(void **state)
{
	struct producers *producers = *state;

	for (int32_t i = 0; i < 6; i++)
		append(producers, batch_of(7, 0, i, 1), i, NOW);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 0, 1)), -ERR_SEQUENCE);
	assert_int_equal(check_batch(producers, batch_of(7, 0, 1, 1)), 1);
}

static void sequences_go_on_at_zero_behind_the_largest(void **state)
{
	struct producers *producers = *state;

	append(producers, batch_of(7, 0, INT32_MAX - 1, 4), 0, NOW); /* ends with 1 */
	assert_int_equal(check_batch(producers, batch_of(7, 0, 2, 1)), 0);
	assert_int_equal(check_batch(producers, batch_of(7, 0, INT32_MAX - 1, 4)), 1);
	append(producers, batch_of(8, 0, INT32_MAX, 1), 4, NOW);
	assert_int_equal(check_batch(producers, batch_of(8, 0, 0, 1)), 0);
}

static void a_newer_epoch_begins_with_zero_and_fences_the_older(void **state)
{
	struct producers *producers = *state;

	append(producers, batch_of(7, 1, 5, 1), 0, NOW);
	assert_int_equal(check_batch(producers, batch_of(7, 2, 6, 1)), -ERR_SEQUENCE);
	assert_int_equal(check_batch(producers, batch_of(7, 2, 0, 1)), 0);
	append(producers, batch_of(7, 2, 0, 1), 1, NOW);
	assert_int_equal(check_batch(producers, batch_of(7, 1, 6, 1)), -ERR_PRODUCER_EPOCH);
	assert_int_equal(check_batch(producers, batch_of(7, 2, 0, 1)), 1);
	assert_int_equal(check_batch(producers, batch_of(7, 2, 1, 1)), 0);
}

static void the_longest_silent_makes_room(void **state)
{
	struct producers producers;

	(void)state;
	producers_init(&producers, 2);
	append(&producers, batch_of(1, 0, 0, 1), 0, NOW);
	append(&producers, batch_of(2, 0, 0, 1), 1, NOW);
	append(&producers, batch_of(1, 0, 1, 1), 2, NOW);
	append(&producers, batch_of(3, 0, 0, 1), 3, NOW);
	assert_null(producers_find(&producers, 2));
	assert_non_null(producers_find(&producers, 1));
	assert_int_equal(producers_count(&producers), 2);
	assert_int_equal(producers.evicted, 1);
	producers_fini(&producers);
}

static void who_was_silent_too_long_is_forgotten_and_may_begin_anywhere(void **state)
{
	struct producers *producers = *state;

	append(producers, batch_of(1, 0, 0, 1), 0, 10);
	append(producers, batch_of(2, 0, 0, 1), 1, 20);
	assert_int_equal(producers_expire(producers, 20), 1);
	assert_int_equal(check_batch(producers, batch_of(1, 0, 9, 1)), 0);
	assert_int_equal(check_batch(producers, batch_of(2, 0, 9, 1)), -ERR_SEQUENCE);
}

static void a_limit_of_none_remembers_nothing(void **state)
{
	struct producers producers;

	(void)state;
	producers_init(&producers, 0);
	append(&producers, batch_of(1, 0, 0, 1), 0, NOW);
	assert_int_equal(check_batch(&producers, batch_of(1, 0, 0, 1)), 0);
	producers_fini(&producers);
}

/* ---- against a list of everything appended ---- */

enum { STEPS = 20000, IDS = 9, MODEL_MAX = 64 };

struct model {
	struct batch appended[IDS][MODEL_MAX];
	unsigned count[IDS];
};

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*seed >> 33) % below;
}

/* What the rules say, read from the list. */
static int expected(const struct model *model, const struct batch *batch, int64_t *offset)
{
	const struct batch *all = model->appended[batch->producer_id];
	unsigned count = model->count[batch->producer_id];

	if (!count)
		return 0;
	const struct batch *last = &all[count - 1];
	if (batch->producer_epoch < last->producer_epoch)
		return -ERR_PRODUCER_EPOCH;
	if (batch->producer_epoch > last->producer_epoch)
		return batch->base_sequence == 0 ? 0 : -ERR_SEQUENCE;
	for (unsigned i = count; i-- > 0 && count - i <= PRODUCER_BATCHES;) {
		if (all[i].producer_epoch != batch->producer_epoch)
			break;
		if (all[i].base_sequence == batch->base_sequence &&
		    all[i].last_offset_delta == batch->last_offset_delta) {
			*offset = all[i].base_offset;
			return 1;
		}
	}
	int64_t next = (int64_t)last->base_sequence + last->last_offset_delta + 1;
	return batch->base_sequence == next % (INT64_C(1) << 31) ? 0 : -ERR_SEQUENCE;
}

static struct batch draw_batch(const struct model *model, uint64_t *seed)
{
	int64_t id = (int64_t)draw(seed, IDS);
	unsigned count = model->count[id];
	struct batch batch = batch_of(id, 0, (int32_t)draw(seed, 3), 1 + (int32_t)draw(seed, 3));

	if (!count)
		return batch;
	const struct batch *last = &model->appended[id][count - 1];
	if (draw(seed, 4) == 0)
		return model->appended[id][draw(seed, count)];
	batch.producer_epoch = last->producer_epoch;
	if (draw(seed, 8) == 0)
		batch.producer_epoch = (int16_t)(batch.producer_epoch - 1 + (int16_t)draw(seed, 3));
	else if (draw(seed, 8))
		batch.base_sequence =
			(int32_t)(((int64_t)last->base_sequence + last->last_offset_delta + 1) %
				  (INT64_C(1) << 31));
	return batch;
}

static void note(struct model *model, const struct batch *batch)
{
	unsigned *count = &model->count[batch->producer_id];
	struct batch *all = model->appended[batch->producer_id];

	if (*count == MODEL_MAX) {
		memmove(all, all + MODEL_MAX / 2, MODEL_MAX / 2 * sizeof(*all));
		*count = MODEL_MAX / 2;
	}
	all[(*count)++] = *batch;
}

/* The state goes through bytes and comes back the same. */
static void through_a_snapshot(struct producers *producers, int64_t offset)
{
	size_t size = producers_snapshot_size(producers);
	uint8_t *bytes = malloc(size);
	uint8_t *again = malloc(size);
	int64_t read = -1;

	producers_snapshot_write(producers, offset, bytes);
	assert_int_equal(producers_snapshot_read(producers, bytes, size, NOW, &read), 0);
	assert_int_equal(read, offset);
	assert_int_equal(producers_snapshot_size(producers), size);
	producers_snapshot_write(producers, offset, again);
	assert_memory_equal(bytes, again, size);
	free(bytes);
	free(again);
}

static void random_batches_are_judged_as_a_list_of_all_would(void **state)
{
	struct producers *producers = *state;
	static struct model model;
	uint64_t seed = 4711;
	int64_t next = 0;

	for (int step = 0; step < STEPS; step++) {
		struct batch batch = draw_batch(&model, &seed);
		int64_t want = -1;
		int64_t got = -1;
		int rc = expected(&model, &batch, &want);
		if (producers_check(producers, &batch, &got) != rc || got != want)
			fail_msg("step %d", step);
		if (rc == 0) {
			batch.base_offset = next;
			next += batch.record_count;
			append(producers, batch, batch.base_offset, (uint64_t)step);
			note(&model, &batch);
		}
		if (draw(&seed, 200) == 0)
			through_a_snapshot(producers, next);
	}
}

/* ---- damaged snapshots ---- */

static void no_damaged_snapshot_is_believed(void **state)
{
	struct producers *producers = *state;
	int64_t offset;

	for (int64_t id = 0; id < 3; id++)
		append(producers, batch_of(id, 0, 0, 1), id, NOW);
	size_t size = producers_snapshot_size(producers);
	uint8_t *good = malloc(size);
	producers_snapshot_write(producers, 3, good);
	for (size_t length = 0; length < size; length++) {
		uint8_t *cut = malloc(length ? length : 1);
		memcpy(cut, good, length);
		assert_int_equal(producers_snapshot_read(producers, cut, length, NOW, &offset),
				 -ERR_CORRUPT);
		free(cut);
	}
	for (size_t bit = 0; bit < size * 8; bit++) {
		good[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = producers_snapshot_read(producers, good, size, NOW, &offset);
		assert_true(rc == -ERR_CORRUPT || rc == -ERR_FORMAT);
		assert_int_equal(producers_count(producers), 0);
		good[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(producers_snapshot_read(producers, good, size, NOW, &offset), 0);
	assert_int_equal(producers_count(producers), 3);
	free(good);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_batch_without_a_producer_is_always_new),
		TEST(an_unknown_producer_may_begin_anywhere),
		TEST(the_next_sequence_is_taken_and_no_other),
		TEST(a_batch_sent_again_names_the_offset_of_the_first),
		TEST(the_sixth_batch_back_is_forgotten),
		TEST(sequences_go_on_at_zero_behind_the_largest),
		TEST(a_newer_epoch_begins_with_zero_and_fences_the_older),
		TEST(the_longest_silent_makes_room),
		TEST(who_was_silent_too_long_is_forgotten_and_may_begin_anywhere),
		TEST(a_limit_of_none_remembers_nothing),
		TEST(random_batches_are_judged_as_a_list_of_all_would),
		TEST(no_damaged_snapshot_is_believed),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
