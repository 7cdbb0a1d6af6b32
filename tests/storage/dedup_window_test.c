/* A window by itself: how long ids live, by which clock, and what is forgotten early. */
#include "storage/dedup_window.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { WINDOW_MS = 16000, SHARE_MS = WINDOW_MS / DEDUP_SHARES, WALL_MS = 1000000000 };

struct world {
	struct dedup_window window;
	struct dedup_now now;
	int64_t next_offset;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct dedup_config config = {.window_ms = WINDOW_MS, .entries_max = 1000};

	*state = world;
	world->now.ns = NS_PER_SECOND;
	world->now.wall_ms = WALL_MS;
	world->now.largest_ms = WALL_MS;
	dedup_window_init(&world->window, NULL);
	return dedup_window_begin(&world->window, &config, 0, world->now.ns);
}

static int tear_down(void **state)
{
	struct world *world = *state;

	dedup_window_end(&world->window);
	free(world);
	return 0;
}

static struct dedup_id id_of(uint64_t number)
{
	return (struct dedup_id){number * UINT64_C(0x9e3779b97f4a7c15), number};
}

static int64_t find(struct world *world, uint64_t number)
{
	struct dedup_id id = id_of(number);

	return dedup_window_find(&world->window, &id);
}

static void insert(struct world *world, uint64_t number)
{
	struct dedup_id id = id_of(number);

	assert_int_equal(dedup_window_reserve(&world->window, 1), 0);
	dedup_window_insert(&world->window, &id, world->next_offset++, &world->now);
}

/* As a log does it. */
static void age(struct world *world)
{
	if (dedup_window_due(&world->window, &world->now, false))
		assert_true(dedup_window_close_bucket(&world->window, world->next_offset));
	while (dedup_window_outlived(&world->window, &world->now))
		dedup_window_drop_oldest(&world->window);
}

static void pass(struct world *world, int64_t monotonic_ms, int64_t stamps_ms)
{
	world->now.ns += (uint64_t)monotonic_ms * NS_PER_MS;
	world->now.wall_ms += stamps_ms;
	world->now.largest_ms += stamps_ms;
	age(world);
}

static void an_id_lives_for_the_window_and_a_sixteenth_longer_at_most(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	pass(world, WINDOW_MS, WINDOW_MS);
	assert_int_equal(find(world, 1), 0);
	pass(world, SHARE_MS + 1, SHARE_MS + 1);
	assert_int_equal(find(world, 1), -1);
}

static void an_id_of_a_bucket_that_filled_slowly_lives_as_long(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	pass(world, SHARE_MS - 1, SHARE_MS - 1);
	insert(world, 2);
	pass(world, 1, 1);
	insert(world, 3);
	pass(world, WINDOW_MS - 1, WINDOW_MS - 1);
	assert_int_equal(find(world, 2), 1);
	pass(world, 1, 1);
	assert_int_equal(find(world, 1), -1);
	assert_int_equal(find(world, 2), -1);
	assert_int_equal(find(world, 3), 2);
}

static void stamps_alone_forget_nothing(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	pass(world, SHARE_MS, 10 * WINDOW_MS);
	pass(world, WINDOW_MS - SHARE_MS, 0);
	assert_int_equal(find(world, 1), 0);
}

static void the_clock_alone_forgets_nothing(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	pass(world, 10 * WINDOW_MS, 0);
	assert_int_equal(find(world, 1), 0);
	pass(world, 0, WINDOW_MS + 1);
	assert_int_equal(find(world, 1), -1);
}

static void without_stamps_the_clock_decides(void **state)
{
	struct world *world = *state;

	world->now.largest_ms = -1;
	insert(world, 1);
	pass(world, WINDOW_MS, 0);
	assert_int_equal(find(world, 1), 0);
	pass(world, 1, 0);
	assert_int_equal(find(world, 1), -1);
}

static void a_wall_clock_set_back_does_not_keep_ids_for_ever(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	world->now.wall_ms -= 1000 * WINDOW_MS;
	pass(world, WINDOW_MS, 0);
	assert_int_equal(find(world, 1), 0);
	pass(world, 1, 0);
	assert_int_equal(find(world, 1), -1);
}

static void timestamps_of_the_future_count_as_now(void **state)
{
	struct world *world = *state;

	assert_int_equal(dedup_window_largest(&world->window, WALL_MS + 1, WALL_MS), WALL_MS);
	assert_int_equal(dedup_window_largest(&world->window, 5, WALL_MS), 5);
	assert_int_equal(dedup_window_largest(&world->window, -1, WALL_MS), -1);
	world->window.largest_ms = 7;
	assert_int_equal(dedup_window_largest(&world->window, 5, WALL_MS), 7);
}

static void a_bucket_ends_with_its_share_of_the_entries_too(void **state)
{
	struct world *world = *state;

	for (uint64_t i = 0; i < 1000 / DEDUP_SHARES; i++)
		insert(world, i);
	assert_false(dedup_window_due(&world->window, &world->now, false));
	insert(world, 1000);
	assert_true(dedup_window_due(&world->window, &world->now, false));
}

static void there_is_excess_beyond_the_entries_but_not_in_the_open_bucket(void **state)
{
	struct world *world = *state;

	for (uint64_t i = 0; i < 1001; i++)
		insert(world, i);
	assert_null(dedup_window_excess(&world->window));
	age(world);
	assert_non_null(dedup_window_excess(&world->window));
	dedup_window_drop_oldest(&world->window);
	assert_null(dedup_window_excess(&world->window));
	assert_int_equal(world->window.entries, 0);
}

static void what_was_forgotten_early_is_not_covered(void **state)
{
	struct world *world = *state;

	insert(world, 1);
	pass(world, SHARE_MS, SHARE_MS);
	assert_int_equal(dedup_window_covered_ms(&world->window, world->now.ns), SHARE_MS);
	insert(world, 2);
	pass(world, SHARE_MS, SHARE_MS);
	dedup_window_drop_oldest(&world->window);
	assert_int_equal(dedup_window_covered_ms(&world->window, world->now.ns), 2 * SHARE_MS);
	dedup_window_drop_oldest(&world->window);
	assert_int_equal(dedup_window_covered_ms(&world->window, world->now.ns), SHARE_MS);
	pass(world, 10 * WINDOW_MS, 10 * WINDOW_MS);
	assert_int_equal(dedup_window_covered_ms(&world->window, world->now.ns), WINDOW_MS);
}

static void insertions_can_be_taken_back_across_chunks(void **state)
{
	struct world *world = *state;

	insert(world, 0);
	for (uint64_t i = 1; i <= 3000; i++)
		insert(world, i);
	dedup_window_undo(&world->window, 3000);
	assert_int_equal(find(world, 0), 0);
	for (uint64_t i = 1; i <= 3000; i++)
		assert_int_equal(find(world, i), -1);
	assert_int_equal(world->window.entries, 1);
	insert(world, 1);
	assert_int_equal(find(world, 1), 3001);
}

static void replayed_ids_belong_to_the_last_record_that_had_them(void **state)
{
	struct world *world = *state;
	struct dedup_id id = id_of(1);

	insert(world, 1);
	pass(world, SHARE_MS, SHARE_MS);
	insert(world, 2);
	assert_int_equal(dedup_window_reserve(&world->window, 1), 0);
	dedup_window_replay(&world->window, &id, 77, &world->now);
	assert_int_equal(find(world, 1), 77);
	assert_int_equal(world->window.entries, 2);
	pass(world, WINDOW_MS - SHARE_MS + 1, WINDOW_MS - SHARE_MS + 1);
	assert_int_equal(find(world, 1), 77);
}

static void too_many_buckets_only_let_ids_live_longer(void **state)
{
	struct world *world = *state;
	uint64_t number = 0;

	insert(world, number++);
	while (dedup_window_close_bucket(&world->window, world->next_offset))
		insert(world, number++);
	assert_true(number < DEDUP_BUCKETS_MAX);
	insert(world, number++);
	for (uint64_t i = 0; i < number; i++)
		assert_int_equal(find(world, i), i);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_id_lives_for_the_window_and_a_sixteenth_longer_at_most),
		TEST(an_id_of_a_bucket_that_filled_slowly_lives_as_long),
		TEST(stamps_alone_forget_nothing),
		TEST(the_clock_alone_forgets_nothing),
		TEST(without_stamps_the_clock_decides),
		TEST(a_wall_clock_set_back_does_not_keep_ids_for_ever),
		TEST(timestamps_of_the_future_count_as_now),
		TEST(a_bucket_ends_with_its_share_of_the_entries_too),
		TEST(there_is_excess_beyond_the_entries_but_not_in_the_open_bucket),
		TEST(what_was_forgotten_early_is_not_covered),
		TEST(insertions_can_be_taken_back_across_chunks),
		TEST(replayed_ids_belong_to_the_last_record_that_had_them),
		TEST(too_many_buckets_only_let_ids_live_longer),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
