/* The loop with a poller: what turns, the descriptor and interrupts do while nothing has one. */
#include "client/loop.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"

enum { PATIENCE_MS = 10000 };

struct fake_poller {
	struct loop_poller poller;
	struct loop *loop;
	unsigned looks;
	unsigned event_at; /* the look that finds something; 0: none does */
	unsigned interrupt_at;
};

static unsigned look(struct loop_poller *poller)
{
	struct fake_poller *fake = container_of(poller, struct fake_poller, poller);

	fake->looks++;
	if (fake->looks == fake->interrupt_at)
		loop_interrupt(fake->loop);
	return fake->looks == fake->event_at;
}

static void start(struct loop *loop, struct fake_poller *fake, bool busy)
{
	assert_int_equal(loop_init(loop), 0);
	*fake = (struct fake_poller){.poller = {.poll = look, .busy = busy}, .loop = loop};
	loop_set_poller(loop, &fake->poller);
}

static bool readable(const struct loop *loop, int timeout_ms)
{
	struct pollfd fd = {.fd = loop->epoll_fd, .events = POLLIN};

	return poll(&fd, 1, timeout_ms) == 1;
}

static void a_turn_ends_when_the_poller_has_something(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	fake.event_at = 1000;
	assert_int_equal(loop_turn(&loop, PATIENCE_MS), 1);
	assert_int_equal(fake.looks, 1000);
	loop_fini(&loop);
}

static void silence_is_napped_through(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	loop.event_ns -= UINT64_C(1000) * LOOP_NAP_NS_MAX;
	/* The first look and twenty after a nap each; without naps they take microseconds. */
	fake.event_at = 21;
	uint64_t begin_ns = loop_now();
	assert_int_equal(loop_turn(&loop, PATIENCE_MS), 1);
	assert_true(loop_now() - begin_ns >= 15 * (uint64_t)LOOP_NAP_NS_MAX);
	loop_fini(&loop);
}

static void a_turn_lasts_as_long_as_it_may(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	for (int busy = 0; busy < 2; busy++) {
		start(&loop, &fake, busy);
		uint64_t begin_ns = loop_now();
		assert_int_equal(loop_turn(&loop, 20), 0);
		assert_true(loop_now() - begin_ns >= 20 * NS_PER_MS);
		assert_true(fake.looks > 1);
		loop_fini(&loop);
	}
}

static void no_time_is_one_look(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	assert_int_equal(loop_turn(&loop, 0), 0);
	assert_int_equal(fake.looks, 1);
	loop_fini(&loop);
}

static void the_descriptor_asks_for_looks(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	for (unsigned i = 1; i <= 50; i++) {
		assert_true(readable(&loop, PATIENCE_MS));
		assert_true(loop_turn(&loop, 0) >= 0);
		assert_int_equal(fake.looks, i);
	}
	/* Each look has to be waited for: what rang does not ring on. */
	loop.event_ns = loop_now() - UINT64_C(1000) * LOOP_NAP_NS_MAX;
	unsigned before = fake.looks;
	uint64_t begin_ns = loop_now();
	while (loop_now() - begin_ns < 100 * NS_PER_MS) {
		assert_true(readable(&loop, PATIENCE_MS));
		assert_true(loop_turn(&loop, 0) >= 0);
	}
	assert_true(fake.looks - before <= 110);
	loop_fini(&loop);
}

static void a_busy_poller_is_always_due(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, true);
	for (unsigned i = 0; i < 50; i++) {
		assert_true(readable(&loop, 0));
		assert_true(loop_turn(&loop, 0) >= 0);
	}
	assert_int_equal(fake.looks, 50);
	loop_fini(&loop);
}

static void an_interrupt_ends_spinning_and_naps(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	for (int napping = 0; napping < 2; napping++) {
		start(&loop, &fake, false);
		if (napping)
			loop.event_ns -= UINT64_C(1000) * LOOP_NAP_NS_MAX;
		fake.interrupt_at = 10;
		assert_int_equal(loop_turn(&loop, -1), -EINTR);
		assert_int_equal(loop_turn(&loop, 0), 0);
		loop_fini(&loop);
	}
}

static unsigned expiries;

static void expired(struct timer *timer)
{
	expiries++;
}

static void timers_run_beside_the_poller(void **state)
{
	struct timer timer = {.expired = expired};
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	loop.event_ns -= UINT64_C(1000) * LOOP_NAP_NS_MAX;
	uint64_t due_ns = loop_now() + 20 * NS_PER_MS;
	assert_int_equal(loop_arm(&loop, &timer, due_ns), 0);
	assert_int_equal(loop_turn(&loop, PATIENCE_MS), 1);
	assert_int_equal(expiries, 1);
	assert_true(loop_now() >= due_ns);
	loop_fini(&loop);
}

static void without_its_poller_a_loop_sleeps(void **state)
{
	struct fake_poller fake;
	struct loop loop;

	start(&loop, &fake, false);
	loop_set_poller(&loop, NULL);
	assert_int_equal(loop_turn(&loop, 20), 0);
	assert_int_equal(loop_turn(&loop, 20), 0);
	assert_int_equal(fake.looks, 0);
	assert_false(readable(&loop, 20));
	loop_fini(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_ends_when_the_poller_has_something),
		cmocka_unit_test(silence_is_napped_through),
		cmocka_unit_test(a_turn_lasts_as_long_as_it_may),
		cmocka_unit_test(no_time_is_one_look),
		cmocka_unit_test(the_descriptor_asks_for_looks),
		cmocka_unit_test(a_busy_poller_is_always_due),
		cmocka_unit_test(an_interrupt_ends_spinning_and_naps),
		cmocka_unit_test(timers_run_beside_the_poller),
		cmocka_unit_test(without_its_poller_a_loop_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
