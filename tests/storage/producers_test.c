/* Producers' rules one by one, then random batches against a list of everything ever appended; and
 * snapshots. */
#include "storage/producers.h"

#include "base/errors.h"

#include <endian.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
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

/* ---- snapshots ---- */

static void begin(struct producers *producers, int64_t id, int64_t offset)
{
	struct batch batch = batch_of(id, 0, 0, 1);

	batch.attributes = BATCH_TRANSACTIONAL;
	append(producers, batch, offset, NOW);
}

static void abort_at(struct producers *producers, int64_t id, int64_t offset)
{
	const struct control_marker marker = {.type = CONTROL_ABORT, .coordinator_epoch = 5};
	struct batch batch = batch_of(id, 0, -1, 1);

	batch.attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL;
	batch.base_offset = offset;
	assert_int_equal(producers_reserve(producers, &batch), 0);
	producers_apply(producers, &batch, &marker, NOW);
	log_transactions_durable(&producers->transactions, offset + 1);
}

/* One of each kind: three silent ones, two that have something open, two aborted transactions. */
static void fill(struct producers *producers)
{
	for (int64_t id = 0; id < 3; id++)
		append(producers, batch_of(id, 0, 0, 1), id, NOW);
	begin(producers, 3, 3);
	begin(producers, 4, 4);
	begin(producers, 5, 5);
	abort_at(producers, 4, 6);
	begin(producers, 6, 7);
	abort_at(producers, 6, 8);
}
enum { FILLED_PRODUCERS = 7, FILLED_ABORTED = 2, FILLED_OFFSET = 9 };

static void transactions_go_through_a_snapshot(void **state)
{
	struct producers *producers = *state;
	struct aborted_transaction aborted[FILLED_ABORTED];

	fill(producers);
	through_a_snapshot(producers, FILLED_OFFSET);
	assert_int_equal(log_transactions_unstable_from(&producers->transactions), 3);
	assert_int_equal(log_transactions_aborted(&producers->transactions, 0, FILLED_OFFSET,
						  aborted, FILLED_ABORTED),
			 FILLED_ABORTED);
	assert_int_equal(aborted[0].producer_id, 4);
	assert_int_equal(aborted[0].first_offset, 4);
	assert_int_equal(aborted[0].last_offset, 6);
	assert_int_equal(producers_find(producers, 5)->open->first_offset, 5);
	assert_null(producers_find(producers, 4)->open);
	assert_int_equal(producers_find(producers, 4)->coordinator_epoch, 5);
	assert_int_equal(producers_find(producers, 3)->coordinator_epoch, -1);
}

/* A snapshot as the first version wrote it: one producer, two batches. */
struct first_version {
	char magic[8];
	uint32_t version, count;
	uint64_t offset, sum, id;
	uint16_t epoch, batch_count;
	uint32_t zero;
	struct {
		uint64_t offset;
		uint32_t first, last;
	} batches[5];
};
_Static_assert(sizeof(struct first_version) == 128, "32 bytes and 96");

static struct first_version first_version(void)
{
	struct first_version file = {
		.magic = {'S', 'L', 'U', 'I', 'C', 'E', 'p', 's'},
		.version = htole32(1),
		.count = htole32(1),
		.offset = htole64(20),
		.id = htole64(7),
		.epoch = htole16(3),
		.batch_count = htole16(2),
		.batches = {{htole64(10), htole32(0), htole32(1)},
			    {htole64(15), htole32(2), htole32(4)}},
	};

	file.sum =
		htole64(XXH3_64bits_withSeed(&file.id, sizeof(file) - 32, XXH3_64bits(&file, 24)));
	return file;
}

static void a_snapshot_of_the_first_version_is_read(void **state)
{
	struct first_version file = first_version();
	struct producers *producers = *state;
	struct batch again = batch_of(7, 3, 0, 2);
	int64_t offset = -1;

	assert_int_equal(
		producers_snapshot_read(producers, (uint8_t *)&file, sizeof(file), NOW, &offset),
		0);
	assert_int_equal(offset, 20);
	assert_int_equal(producers_count(producers), 1);
	assert_int_equal(producers_check(producers, &again, &offset), 1);
	assert_int_equal(offset, 10);
	assert_int_equal(check_batch(producers, batch_of(7, 3, 5, 1)), 0);
	assert_int_equal(check_batch(producers, batch_of(7, 3, 6, 1)), -ERR_SEQUENCE);
	const struct producer *producer = producers_find(producers, 7);
	assert_null(producer->open);
	assert_int_equal(producer->coordinator_epoch, -1);
	assert_int_equal(producer->last_timestamp_ms, -1);
	through_a_snapshot(producers, 20);
}

static void a_snapshot_of_a_newer_version_is_not(void **state)
{
	struct first_version file = first_version();
	int64_t offset;

	file.version = htole32(3);
	assert_int_equal(
		producers_snapshot_read(*state, (uint8_t *)&file, sizeof(file), NOW, &offset),
		-ERR_FORMAT);
}

static void no_damaged_snapshot_is_believed(void **state)
{
	struct producers *producers = *state;
	int64_t offset;

	fill(producers);
	size_t size = producers_snapshot_size(producers);
	uint8_t *good = malloc(size);
	producers_snapshot_write(producers, FILLED_OFFSET, good);
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
	assert_int_equal(producers_count(producers), FILLED_PRODUCERS);
	free(good);
}

/* With the right checksum, but what no log can have led to. */
static void no_impossible_snapshot_is_believed(void **state)
{
	enum { ROW = 112, OPEN_AT = 40 + 104, ABORTED_AT = 40 + FILLED_PRODUCERS * ROW };
	static const struct {
		size_t at;
		uint64_t value;
	} all[] = {
		{40 + ROW, 0},                         /* the first producer once more */
		{40, UINT64_MAX},                      /* no id */
		{OPEN_AT + 5 * ROW, FILLED_OFFSET},    /* begins behind the end */
		{OPEN_AT + 6 * ROW, 3},                /* where another does */
		{OPEN_AT + 5 * ROW, (uint64_t)-2},     /* nowhere */
		{ABORTED_AT, UINT64_MAX},              /* nobody's */
		{ABORTED_AT + 8, 6},                   /* begins with its marker */
		{ABORTED_AT + 16, 8},                  /* ends where the next does */
		{ABORTED_AT + 32 + 16, FILLED_OFFSET}, /* ends behind the end */
		{ABORTED_AT + 24, UINT64_MAX},
		{32, 3}, /* more than there are */
		{32, UINT64_MAX / 32 + 3},
	};
	struct producers *producers = *state;
	int64_t offset;

	fill(producers);
	size_t size = producers_snapshot_size(producers);
	uint8_t *bytes = malloc(size);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		producers_clear(producers);
		fill(producers);
		producers_snapshot_write(producers, FILLED_OFFSET, bytes);
		uint64_t value = htole64(all[i].value);
		memcpy(bytes + all[i].at, &value, sizeof(value));
		uint64_t sum = htole64(
			XXH3_64bits_withSeed(bytes + 32, size - 32, XXH3_64bits(bytes, 24)));
		memcpy(bytes + 24, &sum, sizeof(sum));
		if (producers_snapshot_read(producers, bytes, size, NOW, &offset) != -ERR_CORRUPT)
			fail_msg("case %zu", i);
		assert_int_equal(producers_count(producers), 0);
	}
	free(bytes);
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
		TEST(transactions_go_through_a_snapshot),
		TEST(a_snapshot_of_the_first_version_is_read),
		TEST(a_snapshot_of_a_newer_version_is_not),
		TEST(no_damaged_snapshot_is_believed),
		TEST(no_impossible_snapshot_is_believed),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
