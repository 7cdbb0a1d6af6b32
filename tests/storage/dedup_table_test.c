/* Buckets and ids one by one, then random calls against a plain list. */
#include "storage/dedup_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct dedup_id id_of(uint64_t number)
{
	uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15);

	return (struct dedup_id){mixed ^ mixed >> 29, number};
}

static int set_up(void **state)
{
	struct dedup_table *table = malloc(sizeof(*table));

	dedup_table_init(table);
	*state = table;
	return 0;
}

static int tear_down(void **state)
{
	dedup_table_fini(*state);
	free(*state);
	return 0;
}

static int64_t find(const struct dedup_table *table, uint64_t number)
{
	struct dedup_id id = id_of(number);

	return dedup_table_find(table, &id);
}

static void insert(struct dedup_table *table, uint64_t number, int64_t offset)
{
	struct dedup_id id = id_of(number);

	assert_int_equal(dedup_table_reserve(table, 1), 0);
	dedup_table_insert(table, &id, offset);
}

static void an_id_is_found_with_its_offset_and_no_other(void **state)
{
	struct dedup_table *table = *state;

	assert_int_equal(find(table, 1), -1);
	insert(table, 1, INT64_C(1) << 40 | 4711);
	assert_int_equal(find(table, 1), INT64_C(1) << 40 | 4711);
	assert_int_equal(find(table, 2), -1);
	assert_int_equal(table->count, 1);
}

static void ids_that_share_a_group_and_a_tag_are_told_apart(void **state)
{
	struct dedup_table *table = *state;

	table->secret = (struct dedup_id){0}; /* under which they do */
	for (uint64_t i = 0; i < 100; i++) {
		struct dedup_id id = {7, i << 7};
		assert_int_equal(dedup_table_reserve(table, 1), 0);
		dedup_table_insert(table, &id, (int64_t)i);
	}
	for (uint64_t i = 0; i < 100; i++) {
		struct dedup_id id = {7, i << 7};
		assert_int_equal(dedup_table_find(table, &id), i);
	}
}

/* Groups in a row of which none has an empty place, so that a probe goes on. */
static size_t longest_run(const struct dedup_table *table)
{
	enum { GROUP_BYTES = 384, PLACES = 16, TAG_EMPTY = 0x80 };
	const uint8_t *group = (const void *)table->groups.at;
	size_t longest = 0;
	size_t run = 0;

	for (size_t i = 0; i < table->groups.count; i++, group += GROUP_BYTES) {
		run = memchr(group, TAG_EMPTY, PLACES) ? 0 : run + 1;
		longest = run > longest ? run : longest;
	}
	return longest;
}

/* Ids are a client's choice, and the hash is no secret. */
static void ids_that_are_chosen_to_crowd_do_not(void **state)
{
	struct dedup_table *table = *state;

	for (uint64_t i = 0; i < 20000; i++) {
		struct dedup_id id = {7, i << 20};
		assert_int_equal(dedup_table_reserve(table, 1), 0);
		dedup_table_insert(table, &id, (int64_t)i);
	}
	assert_true(longest_run(table) < 100);
}

static void a_dropped_bucket_takes_its_ids_along_and_only_those(void **state)
{
	struct dedup_table *table = *state;

	insert(table, 1, 1);
	dedup_table_begin_bucket(table);
	insert(table, 2, 2);
	assert_int_equal(dedup_table_drop_bucket(table), 1);
	assert_int_equal(find(table, 1), -1);
	assert_int_equal(find(table, 2), 2);
	insert(table, 1, 3);
	assert_int_equal(find(table, 1), 3);
}

static void the_only_bucket_is_emptied(void **state)
{
	struct dedup_table *table = *state;

	insert(table, 1, 1);
	assert_int_equal(dedup_table_drop_bucket(table), 1);
	assert_int_equal(dedup_table_buckets(table), 1);
	assert_int_equal(find(table, 1), -1);
	assert_int_equal(table->count, 0);
}

static void a_million_ids_are_found_while_the_table_grows(void **state)
{
	struct dedup_table *table = *state;
	uint64_t count = 0;

	/* While it moves to a larger one there are two. */
	for (uint64_t i = 0; i < 1000000 || table->old.at; i++, count++) {
		insert(table, i, (int64_t)i);
		if (i % 97 == 0)
			assert_int_equal(find(table, i / 2), i / 2);
	}
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(find(table, i), i);
	for (uint64_t i = count; i < 2 * count; i++)
		assert_int_equal(find(table, i), -1);
	assert_true(dedup_table_bytes(table) <= 40 * count);
}

static void what_is_reserved_at_once_fits(void **state)
{
	struct dedup_table *table = *state;

	insert(table, 0, 0);
	for (uint64_t round = 0; round < 20; round++) {
		assert_int_equal(dedup_table_reserve(table, 5000), 0);
		for (uint64_t i = 0; i < 5000; i++) {
			struct dedup_id id = id_of(1 + round * 5000 + i);
			dedup_table_insert(table, &id, 1);
		}
	}
	assert_int_equal(table->count, 100001);
}

static void a_steady_window_needs_no_more_memory_in_time(void **state)
{
	struct dedup_table *table = *state;
	uint64_t number = 0;
	size_t bytes = 0;

	for (unsigned bucket = 0; bucket < 1000; bucket++) {
		for (unsigned i = 0; i < 500; i++, number++)
			insert(table, number, (int64_t)number);
		if (dedup_table_buckets(table) == 8)
			dedup_table_drop_bucket(table);
		dedup_table_begin_bucket(table);
		if (bucket == 100)
			bytes = dedup_table_bytes(table);
	}
	assert_true(dedup_table_bytes(table) <= bytes * 2);
	assert_int_equal(find(table, number - 1), number - 1);
	assert_int_equal(find(table, number - 8 * 500 - 1), -1);
}

struct seen {
	unsigned count;
	uint64_t sum;
};

static void note(void *context, const struct dedup_id *id, int64_t offset)
{
	struct seen *seen = context;

	seen->count++;
	seen->sum += id->high;
	assert_int_equal(offset, id->high);
}

static void the_oldest_bucket_can_be_listed(void **state)
{
	struct dedup_table *table = *state;
	struct seen seen = {0};

	for (uint64_t i = 0; i < 100; i++)
		insert(table, i, (int64_t)i);
	dedup_table_begin_bucket(table);
	for (uint64_t i = 100; i < 1000; i++)
		insert(table, i, (int64_t)i);
	dedup_table_each_oldest(table, note, &seen);
	assert_int_equal(seen.count, 100);
	assert_int_equal(seen.sum, 99 * 100 / 2);
}

/* ---- against a list ---- */

enum { STEPS = 300000, NUMBERS = 3000, BUCKETS = 12 };

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*seed >> 33) % below;
}

static void random_calls_do_what_a_list_does(void **state)
{
	static int64_t offsets[NUMBERS]; /* -1: not there */
	static unsigned buckets[NUMBERS];
	struct dedup_table *table = *state;
	unsigned oldest = 0;
	unsigned newest = 0;
	uint64_t seed = 4711;

	memset(offsets, 0xff, sizeof(offsets));
	for (int step = 0; step < STEPS; step++) {
		uint64_t number = draw(&seed, NUMBERS);
		int64_t expected = offsets[number];
		assert_int_equal(find(table, number), expected);
		if (expected < 0) {
			insert(table, number, step);
			offsets[number] = step;
			buckets[number] = newest;
		}
		if (expected >= 0 && draw(&seed, 4) == 0) {
			struct dedup_id id = id_of(number);
			dedup_table_remove(table, &id);
			offsets[number] = -1;
		}
		if (draw(&seed, 50) == 0 && newest - oldest + 1 < BUCKETS) {
			dedup_table_begin_bucket(table);
			newest++;
		}
		if (draw(&seed, 50) == 0) {
			size_t gone = 0;
			for (unsigned i = 0; i < NUMBERS; i++) {
				if (offsets[i] < 0 || buckets[i] != oldest)
					continue;
				offsets[i] = -1;
				gone++;
			}
			assert_int_equal(dedup_table_drop_bucket(table), gone);
			if (oldest == newest)
				newest++;
			oldest++;
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_id_is_found_with_its_offset_and_no_other),
		TEST(ids_that_share_a_group_and_a_tag_are_told_apart),
		TEST(ids_that_are_chosen_to_crowd_do_not),
		TEST(a_dropped_bucket_takes_its_ids_along_and_only_those),
		TEST(the_only_bucket_is_emptied),
		TEST(a_million_ids_are_found_while_the_table_grows),
		TEST(what_is_reserved_at_once_fits),
		TEST(a_steady_window_needs_no_more_memory_in_time),
		TEST(the_oldest_bucket_can_be_listed),
		TEST(random_calls_do_what_a_list_does),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
