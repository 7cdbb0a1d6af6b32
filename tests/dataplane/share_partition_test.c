/* The rules one by one, then random calls against an array that holds every offset for ever. */
#include "dataplane/share/share_partition.h"

#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { HOLDER = 1, OTHER = 2, WINDOW = 10, DELIVERIES = 3, LOCK_NS = 100, RUNS = 32 };

static const struct share_limits limits = {
	.records_max = WINDOW, .deliveries_max = DELIVERIES, .lock_ns = LOCK_NS};

static int set_up(void **state)
{
	return share_partition_new((struct share_partition **)state, &limits, 100);
}

static int tear_down(void **state)
{
	share_partition_free(*state);
	return 0;
}

/* How many records were given. */
static int64_t acquire(struct share_partition *partition, uint32_t holder, int64_t first,
		       int64_t last, uint64_t now_ns)
{
	struct share_run out[RUNS];
	int64_t records = 0;
	int count = share_acquire(partition, holder, first, last, UINT32_MAX, now_ns, out, RUNS);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		assert_true(out[i].first >= first && out[i].last <= last);
		assert_int_equal(out[i].state, SHARE_ACQUIRED);
		records += out[i].last - out[i].first + 1;
	}
	return records;
}

static int acknowledge(struct share_partition *partition, uint32_t holder, int64_t first,
		       int64_t last, uint8_t type)
{
	return share_acknowledge(partition, holder, first, last, &type, 1);
}

static void a_record_is_given_to_one_holder_at_a_time(void **state)
{
	struct share_partition *partition = *state;

	assert_int_equal(share_next(partition), 100);
	assert_int_equal(acquire(partition, HOLDER, 100, 103, 0), 4);
	assert_int_equal(acquire(partition, OTHER, 100, 103, 0), 0);
	assert_int_equal(acquire(partition, OTHER, 102, 105, 0), 2);
	assert_int_equal(share_next(partition), 106);
}

static void what_is_accepted_is_over_and_the_start_moves_on(void **state)
{
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 104, 0);
	assert_int_equal(acknowledge(partition, HOLDER, 102, 104, SHARE_ACCEPT), 0);
	assert_int_equal(share_start(partition), 100);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 101, SHARE_ACCEPT), 0);
	assert_int_equal(share_start(partition), 105);
	assert_int_equal(share_end(partition), 105);
}

static void what_is_released_is_given_again_and_counted(void **state)
{
	struct share_partition *partition = *state;
	struct share_run run;

	acquire(partition, HOLDER, 100, 100, 0);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 100, SHARE_RELEASE), 0);
	assert_int_equal(share_next(partition), 100);
	assert_int_equal(share_acquire(partition, OTHER, 100, 100, 1, 0, &run, 1), 1);
	assert_int_equal(run.deliveries, 2);
}

static void what_was_delivered_too_often_is_archived_and_counted(void **state)
{
	struct share_partition *partition = *state;

	for (int i = 0; i < DELIVERIES; i++) {
		assert_int_equal(acquire(partition, HOLDER, 100, 100, 0), 1);
		assert_int_equal(acknowledge(partition, HOLDER, 100, 100, SHARE_RELEASE), 0);
	}
	assert_int_equal(share_start(partition), 101);
	assert_int_equal(share_dead_lettered(partition), 1);
}

static void what_is_rejected_is_not_given_again(void **state)
{
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 101, 0);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 101, SHARE_REJECT), 0);
	assert_int_equal(share_start(partition), 102);
	assert_int_equal(share_dead_lettered(partition), 0);
}

static void one_type_for_each_record(void **state)
{
	static const uint8_t types[] = {SHARE_ACCEPT, SHARE_RELEASE, SHARE_GAP};
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 102, 0);
	assert_int_equal(share_acknowledge(partition, HOLDER, 100, 102, types, 3), 0);
	assert_int_equal(share_start(partition), 101);
	assert_int_equal(acquire(partition, OTHER, 101, 102, 0), 1);
}

static void only_the_holder_may_acknowledge_and_all_or_nothing_counts(void **state)
{
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 101, 0);
	acquire(partition, OTHER, 102, 103, 0);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 102, SHARE_ACCEPT), -ERR_RECORD_STATE);
	assert_int_equal(acknowledge(partition, OTHER, 100, 100, SHARE_ACCEPT), -ERR_RECORD_STATE);
	assert_int_equal(acknowledge(partition, HOLDER, 99, 101, SHARE_ACCEPT), -ERR_RECORD_STATE);
	assert_int_equal(acknowledge(partition, OTHER, 103, 104, SHARE_ACCEPT), -ERR_RECORD_STATE);
	assert_int_equal(share_start(partition), 100);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 101, SHARE_ACCEPT), 0);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 101, SHARE_ACCEPT), -ERR_RECORD_STATE);
}

static void an_acknowledgement_that_makes_no_sense_is_refused(void **state)
{
	static const uint8_t types[] = {SHARE_ACCEPT, SHARE_ACCEPT};
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 104, 0);
	assert_int_equal(acknowledge(partition, HOLDER, 101, 100, SHARE_ACCEPT), -ERR_BAD_REQUEST);
	assert_int_equal(acknowledge(partition, HOLDER, -1, 100, SHARE_ACCEPT), -ERR_BAD_REQUEST);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 100, 4), -ERR_BAD_REQUEST);
	assert_int_equal(share_acknowledge(partition, HOLDER, 100, 102, types, 2),
			 -ERR_BAD_REQUEST);
	assert_int_equal(share_acknowledge(partition, HOLDER, 100, 102, types, 0),
			 -ERR_BAD_REQUEST);
	assert_int_equal(share_acknowledge(partition, HOLDER, 0, INT64_MAX, types, 2),
			 -ERR_BAD_REQUEST);
}

static void a_lock_ends_at_its_deadline_and_not_before(void **state)
{
	struct share_partition *partition = *state;

	assert_int_equal(share_next_deadline(partition), UINT64_MAX);
	acquire(partition, HOLDER, 100, 100, 5);
	acquire(partition, OTHER, 101, 101, 50);
	assert_int_equal(share_next_deadline(partition), 5 + LOCK_NS);
	assert_int_equal(share_expire(partition, 4 + LOCK_NS), 0);
	assert_int_equal(share_expire(partition, 5 + LOCK_NS), 1);
	assert_int_equal(share_next(partition), 100);
	assert_int_equal(acknowledge(partition, HOLDER, 100, 100, SHARE_ACCEPT), -ERR_RECORD_STATE);
	assert_int_equal(share_next_deadline(partition), 50 + LOCK_NS);
}

static void a_holder_that_goes_leaves_its_records_to_others(void **state)
{
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 101, 0);
	acquire(partition, OTHER, 102, 102, 0);
	assert_int_equal(share_release(partition, HOLDER), 2);
	assert_int_equal(acquire(partition, OTHER, 100, 102, 0), 2);
}

static void the_window_is_bounded(void **state)
{
	struct share_partition *partition = *state;

	assert_int_equal(acquire(partition, HOLDER, 100, 199, 0), WINDOW);
	assert_int_equal(share_next(partition), -1);
	assert_int_equal(acquire(partition, OTHER, 110, 199, 0), 0);
	acknowledge(partition, HOLDER, 100, 100, SHARE_ACCEPT);
	assert_int_equal(share_next(partition), 110);
	assert_int_equal(acquire(partition, OTHER, 110, 199, 0), 1);
}

static void no_more_is_given_than_was_asked_for(void **state)
{
	struct share_run out[RUNS];

	assert_int_equal(share_acquire(*state, HOLDER, 100, 105, 2, 0, out, RUNS), 1);
	assert_int_equal(out[0].first, 100);
	assert_int_equal(out[0].last, 101);
}

static void deleted_records_are_not_waited_for(void **state)
{
	struct share_partition *partition = *state;

	acquire(partition, HOLDER, 100, 103, 0);
	share_trim(partition, 102);
	assert_int_equal(share_start(partition), 102);
	assert_int_equal(acknowledge(partition, HOLDER, 102, 103, SHARE_ACCEPT), 0);
	share_trim(partition, 500);
	assert_int_equal(share_next(partition), 500);
}

static void what_is_stored_comes_back_without_the_locks(void **state)
{
	struct share_partition *partition = *state;
	struct share_run runs[RUNS];

	acquire(partition, HOLDER, 100, 105, 0);
	acknowledge(partition, HOLDER, 102, 103, SHARE_ACCEPT);
	size_t count = share_store(partition, runs, RUNS);
	assert_int_equal(count, 3);
	assert_int_equal(share_load(partition, 100, runs, count), 0);
	assert_int_equal(share_end(partition), 106);
	assert_int_equal(acquire(partition, OTHER, 100, 105, 0), 4);
	assert_int_equal(acknowledge(partition, OTHER, 100, 101, SHARE_ACCEPT), 0);
	assert_int_equal(share_start(partition), 104);
}

static void stored_nonsense_is_refused(void **state)
{
	static const struct share_run wrong[][2] = {
		{{99, 100, SHARE_AVAILABLE, 1}, {101, 101, SHARE_AVAILABLE, 1}},
		{{100, 101, SHARE_AVAILABLE, 1}, {101, 102, SHARE_AVAILABLE, 1}},
		{{101, 100, SHARE_AVAILABLE, 1}, {102, 102, SHARE_AVAILABLE, 1}},
		{{100, 100, SHARE_ACQUIRED, 1}, {102, 102, SHARE_AVAILABLE, 1}},
		{{100, 100, SHARE_AVAILABLE, 1}, {102, 100 + WINDOW, SHARE_AVAILABLE, 1}},
		{{100, 100, SHARE_AVAILABLE, 1}, {102, INT64_MAX, SHARE_AVAILABLE, 1}},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(share_load(*state, 100, wrong[i], 2), -ERR_CORRUPT);
	assert_int_equal(share_load(*state, -1, NULL, 0), -ERR_CORRUPT);
}

/* ---- against an array of all offsets ---- */

enum { STEPS = 40000, OFFSETS = 20000, HOLDERS = 3 };

struct expected {
	uint8_t state;
	uint16_t deliveries;
	uint32_t holder;
	uint64_t until;
};

struct world {
	struct share_partition *partition;
	struct expected offsets[OFFSETS];
	int64_t start;
	int64_t end;
	uint64_t now;
	uint64_t seed;
};

static uint64_t draw(struct world *w, uint64_t below)
{
	w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w->seed >> 33) % below;
}

static void expect_back(struct expected *e)
{
	e->state = e->deliveries < DELIVERIES ? SHARE_AVAILABLE : SHARE_ARCHIVED;
}

static void expect_start(struct world *w)
{
	while (w->start < w->end && (w->offsets[w->start].state == SHARE_ACKNOWLEDGED ||
				     w->offsets[w->start].state == SHARE_ARCHIVED))
		w->start++;
	assert_int_equal(share_start(w->partition), w->start);
	assert_int_equal(share_end(w->partition), w->end);
}

static void step_acquire(struct world *w)
{
	int64_t first = share_next(w->partition);
	uint32_t holder = (uint32_t)draw(w, HOLDERS);
	struct share_run out[RUNS];

	if (first < 0)
		return;
	int64_t last = first + (int64_t)draw(w, 6);
	int count = share_acquire(w->partition, holder, first, last, 4, w->now, out, RUNS);
	assert_true(count > 0 && out[0].first == first);
	for (int i = 0; i < count; i++) {
		for (int64_t at = out[i].first; at <= out[i].last; at++) {
			struct expected *e = &w->offsets[at];
			assert_int_equal(e->state, SHARE_AVAILABLE);
			*e = (struct expected){SHARE_ACQUIRED, (uint16_t)(e->deliveries + 1),
					       holder, w->now + LOCK_NS};
			assert_int_equal(e->deliveries, out[i].deliveries);
		}
	}
	while (w->end <= out[count - 1].last)
		w->end++;
	/* Looked at, and maybe not given: in the window all the same. */
	if (share_end(w->partition) > w->end)
		w->end = share_end(w->partition);
	assert_true(w->end - w->start <= WINDOW);
}

static void step_acknowledge(struct world *w)
{
	int64_t first = w->start + (int64_t)draw(w, WINDOW);
	int64_t last = first + (int64_t)draw(w, 3);
	uint32_t holder = (uint32_t)draw(w, HOLDERS);
	uint8_t type = (uint8_t)draw(w, 4);
	bool held = true;

	for (int64_t at = first; at <= last; at++)
		held = held && at < w->end && w->offsets[at].state == SHARE_ACQUIRED &&
		       w->offsets[at].holder == holder;
	assert_int_equal(acknowledge(w->partition, holder, first, last, type),
			 held ? 0 : -ERR_RECORD_STATE);
	for (int64_t at = first; held && at <= last; at++) {
		struct expected *e = &w->offsets[at];
		if (type == SHARE_RELEASE)
			expect_back(e);
		else
			e->state = type == SHARE_REJECT ? SHARE_ARCHIVED : SHARE_ACKNOWLEDGED;
	}
}

static void step_end_locks(struct world *w)
{
	bool by_time = draw(w, 2);
	uint32_t holder = (uint32_t)draw(w, HOLDERS);
	uint32_t ended = 0;

	for (int64_t at = w->start; at < w->end; at++) {
		struct expected *e = &w->offsets[at];
		if (e->state != SHARE_ACQUIRED ||
		    (by_time ? e->until > w->now : e->holder != holder))
			continue;
		expect_back(e);
		ended++;
	}
	assert_int_equal(by_time ? share_expire(w->partition, w->now)
				 : share_release(w->partition, holder),
			 ended);
}

static void step_restart(struct world *w)
{
	struct share_run runs[WINDOW];
	size_t count = share_store(w->partition, runs, WINDOW);

	assert_true(count <= WINDOW);
	assert_int_equal(share_load(w->partition, w->start, runs, count), 0);
	for (int64_t at = w->start; at < w->end; at++) {
		if (w->offsets[at].state == SHARE_ACQUIRED)
			w->offsets[at].state = SHARE_AVAILABLE;
	}
}

static void random_calls_do_what_an_array_of_all_offsets_says(void **state)
{
	static struct world w;

	(void)state;
	w.seed = 4711;
	assert_int_equal(share_partition_new(&w.partition, &limits, 0), 0);
	for (int step = 0; step < STEPS && w.end + 10 < OFFSETS; step++) {
		w.now += draw(&w, 20);
		switch (draw(&w, 12)) {
		case 0:
			step_end_locks(&w);
			break;
		case 1:
			step_restart(&w);
			break;
		case 2:
		case 3:
		case 4:
		case 5:
			step_acquire(&w);
			break;
		default:
			step_acknowledge(&w);
			break;
		}
		expect_start(&w);
	}
	share_partition_free(w.partition);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_given_to_one_holder_at_a_time),
		TEST(what_is_accepted_is_over_and_the_start_moves_on),
		TEST(what_is_released_is_given_again_and_counted),
		TEST(what_was_delivered_too_often_is_archived_and_counted),
		TEST(what_is_rejected_is_not_given_again),
		TEST(one_type_for_each_record),
		TEST(only_the_holder_may_acknowledge_and_all_or_nothing_counts),
		TEST(an_acknowledgement_that_makes_no_sense_is_refused),
		TEST(a_lock_ends_at_its_deadline_and_not_before),
		TEST(a_holder_that_goes_leaves_its_records_to_others),
		TEST(the_window_is_bounded),
		TEST(no_more_is_given_than_was_asked_for),
		TEST(deleted_records_are_not_waited_for),
		TEST(what_is_stored_comes_back_without_the_locks),
		TEST(stored_nonsense_is_refused),
		cmocka_unit_test(random_calls_do_what_an_array_of_all_offsets_says),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
