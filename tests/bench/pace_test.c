#include "bench/suite/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"

enum { BEGIN_NS = 1000000 };

/* Sends what is due at `now_ns`; returns how many. */
static unsigned send_due(struct pace *pace, uint64_t now_ns)
{
	unsigned count = 0;

	for (; pace_next_ns(pace, now_ns) <= now_ns; count++)
		pace_take(pace);
	return count;
}

static void records_are_due_evenly(void **state)
{
	struct pace pace;

	pace_init(&pace, 1000, 0, 1, BEGIN_NS);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(pace_next_ns(&pace, 0), BEGIN_NS + i * NS_PER_MS);
		pace_take(&pace);
	}
}

static void producers_share_a_rate_and_take_turns(void **state)
{
	struct pace paces[4];

	for (unsigned i = 0; i < 4; i++)
		pace_init(&paces[i], 1000, i, 4, BEGIN_NS);
	for (unsigned i = 0; i < 1000; i++) {
		struct pace *pace = &paces[i % 4];
		assert_int_equal(pace_next_ns(pace, 0), BEGIN_NS + i * NS_PER_MS);
		pace_take(pace);
	}
}

/* An hour at a rate that divides nothing. */
static void a_long_run_does_not_drift(void **state)
{
	const uint64_t rate = 333333;
	const uint64_t count = rate * 3600;
	struct pace pace;

	pace_init(&pace, rate, 0, 1, BEGIN_NS);
	assert_in_range(pace_due_at(&pace, count), BEGIN_NS + 3600 * NS_PER_SECOND - 1000,
			BEGIN_NS + 3600 * NS_PER_SECOND + 1000);
	pace.taken = count - 1;
	pace_take(&pace);
	assert_int_equal(pace_next_ns(&pace, 0), pace_due_at(&pace, count));
}

/* A simulated clock that a sleeper sees each 10 ms only, and for 300 ms not at all. */
static void a_late_sender_finds_all_that_fell_due_with_its_own_time(void **state)
{
	struct pace pace;
	uint64_t now_ns = BEGIN_NS;
	unsigned sent = 0;

	pace_init(&pace, 1000, 0, 1, BEGIN_NS);
	while (now_ns < BEGIN_NS + NS_PER_SECOND / 2) {
		sent += send_due(&pace, now_ns);
		now_ns += 10 * NS_PER_MS;
	}
	assert_int_equal(sent, 491);
	uint64_t stalled_ns = now_ns + 300 * NS_PER_MS;
	assert_int_equal(pace_next_ns(&pace, stalled_ns), BEGIN_NS + 491 * NS_PER_MS);
	assert_int_equal(send_due(&pace, stalled_ns), 310);
	assert_true(pace_next_ns(&pace, stalled_ns) > stalled_ns);
}

static void without_a_rate_a_record_is_always_due_now(void **state)
{
	struct pace pace;

	pace_init(&pace, 0, 0, 1, BEGIN_NS);
	for (uint64_t now_ns = BEGIN_NS; now_ns < BEGIN_NS + 10; now_ns++) {
		assert_int_equal(pace_next_ns(&pace, now_ns), now_ns);
		pace_take(&pace);
	}
	assert_int_equal(pace_left(&pace, UINT64_MAX), 0);
}

/* Against counting them one by one, at ends that hit a record and miss it. */
static void what_is_left_until_an_end_is_exact(void **state)
{
	static const uint64_t rates[] = {1, 3, 7, 1000, 44100, 999983};

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct pace pace;
		pace_init(&pace, rates[r], 1, 3, BEGIN_NS);
		for (unsigned taken = 0; taken < 20; taken++) {
			for (unsigned ahead = 0; ahead < 20; ahead++) {
				uint64_t due_ns = pace_due_at(&pace, pace.taken + ahead);
				assert_int_equal(pace_left(&pace, due_ns), ahead);
				assert_int_equal(pace_left(&pace, due_ns + 1), ahead + 1);
			}
			pace_take(&pace);
		}
		assert_int_equal(pace_left(&pace, BEGIN_NS), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_due_evenly),
		cmocka_unit_test(producers_share_a_rate_and_take_turns),
		cmocka_unit_test(a_long_run_does_not_drift),
		cmocka_unit_test(a_late_sender_finds_all_that_fell_due_with_its_own_time),
		cmocka_unit_test(without_a_rate_a_record_is_always_due_now),
		cmocka_unit_test(what_is_left_until_an_end_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
