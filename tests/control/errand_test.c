/* Errands: their order, the end, and senders on several threads. */
#include "base/bytes.h"
#include "control/errand.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { THREADS = 3, A_THREAD = 20000 };

struct noted {
	struct errand errand;
	unsigned number;
	unsigned runs;
	struct control *by;
};

static unsigned next_number;

static void note(struct errand *errand, struct control *control)
{
	struct noted *noted = container_of(errand, struct noted, errand);

	noted->number = ++next_number;
	noted->runs++;
	noted->by = control;
}

/* Never looked into. */
static struct control *a_control(void)
{
	static int anything;

	return (struct control *)(void *)&anything;
}

static void errands_run_in_the_order_in_which_they_were_sent(void **state)
{
	struct errands errands = {.newest = NULL};
	struct noted noted[5] = {0};

	(void)state;
	next_number = 0;
	errands_turn(&errands, a_control());
	for (unsigned i = 0; i < array_count(noted); i++) {
		noted[i].errand.run = note;
		errands_send(&errands, &noted[i].errand);
		assert_int_equal(noted[i].runs, 0);
	}
	errands_turn(&errands, a_control());
	for (unsigned i = 0; i < array_count(noted); i++) {
		assert_int_equal(noted[i].number, i + 1);
		assert_ptr_equal(noted[i].by, a_control());
	}
	errands_turn(&errands, a_control());
	assert_int_equal(next_number, array_count(noted));
}

static void the_end_is_told_to_what_waits_and_to_what_comes_later(void **state)
{
	struct errands errands = {.newest = NULL};
	struct noted before = {.errand.run = note};
	struct noted after = {.errand.run = note};

	(void)state;
	errands_send(&errands, &before.errand);
	errands_end(&errands);
	assert_int_equal(before.runs, 1);
	assert_null(before.by);
	errands_send(&errands, &after.errand);
	assert_int_equal(after.runs, 1);
	assert_null(after.by);
}

struct sender {
	struct errands *errands;
	struct noted *noted;
};

static void *send_all(void *argument)
{
	struct sender *sender = argument;

	for (unsigned i = 0; i < A_THREAD; i++) {
		sender->noted[i].errand.run = note;
		errands_send(sender->errands, &sender->noted[i].errand);
	}
	return NULL;
}

/* Each runs once, and those of a thread in its order, whatever the others do. */
static void no_errand_of_any_thread_is_lost_or_run_twice(void **state)
{
	static struct noted noted[THREADS][A_THREAD];
	struct errands errands = {.newest = NULL};
	struct sender senders[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	next_number = 0;
	for (unsigned t = 0; t < THREADS; t++) {
		senders[t] = (struct sender){&errands, noted[t]};
		assert_int_equal(pthread_create(&threads[t], NULL, send_all, &senders[t]), 0);
	}
	while (next_number < THREADS * A_THREAD)
		errands_turn(&errands, a_control());
	for (unsigned t = 0; t < THREADS; t++) {
		pthread_join(threads[t], NULL);
		for (unsigned i = 0; i < A_THREAD; i++) {
			assert_int_equal(noted[t][i].runs, 1);
			assert_true(i == 0 || noted[t][i].number > noted[t][i - 1].number);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errands_run_in_the_order_in_which_they_were_sent),
		cmocka_unit_test(the_end_is_told_to_what_waits_and_to_what_comes_later),
		cmocka_unit_test(no_errand_of_any_thread_is_lost_or_run_twice),
	};

	return cmocka_run_group_tests_name("errands", tests, NULL, NULL);
}
