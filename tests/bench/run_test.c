/* Runs against a broker in memory.  What the machine does meanwhile makes latencies longer, never
 * shorter: only what has to be there at least is asserted of them. */
#include "bench/suite/run.h"
#include "tests/bench/fake_driver.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static struct workload small(void)
{
	struct workload workload;

	workload_init(&workload);
	workload.message_bytes = 100;
	workload.warm_up_ms = 0;
	workload.duration_ms = 500;
	workload.producer_rate = 1000;
	return workload;
}

static int run(const struct workload *workload, struct result *result)
{
	const struct run_options options = {
		.driver = &fake_driver, .url = "fake:", .silence_ms_max = 4000};

	return run_workload(workload, &options, result);
}

/* How many took so long or longer. */
static uint64_t count_from(const struct histogram *histogram, unsigned ms)
{
	uint64_t count = 0;

	for (unsigned power = 0; power < HISTOGRAM_POWERS; power++) {
		for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
			if (histogram_step_ns(power, step) >= ms * NS_PER_MS)
				count += histogram->counts[power][step];
		}
	}
	return count;
}

/* All that was opened is closed, each by one thread at a time. */
static void assert_tidy(void)
{
	struct fake_counts counts = fake_counts();

	assert_int_equal(counts.topics, 0);
	assert_int_equal(counts.producers, 0);
	assert_int_equal(counts.consumers, 0);
	assert_int_equal(counts.overlaps, 0);
}

/* ---- no coordinated omission ---- */

/* 300 ms at 1000 a second: 300 records fall due meanwhile, of which 200 wait for 100 ms and more.
 * Who would start the clock when a record is sent saw one. */
static void all_that_fell_due_while_produce_blocked_is_charged(void **state)
{
	const struct fake_faults faults = {.blocks_at_ms = 100, .blocks_ms = 300};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(result.publish->total, 500);
	assert_true(count_from(result.publish, 100) >= 190);
	assert_true(count_from(result.delay, 100) >= 190);
	assert_true(result.publish->max_ns >= 290 * NS_PER_MS);
	assert_tidy();
	result_fini(&result);
}

static void all_that_fell_due_while_the_window_was_full_is_charged(void **state)
{
	const struct fake_faults faults = {.silent_at_ms = 100, .silent_ms = 300};
	struct workload workload = small();
	struct result result;

	workload.window = 10;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(result.publish->total, 500);
	assert_true(count_from(result.publish, 100) >= 190);
	assert_true(count_from(result.delay, 100) >= 180);
	assert_true(count_from(result.end_to_end, 100) >= 180);
	result_fini(&result);
}

/* It blocks past the end, so that most is never sent. */
static void what_could_not_be_sent_counts_with_what_it_waited(void **state)
{
	const struct fake_faults faults = {.blocks_at_ms = 100, .blocks_ms = 2000};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(result.publish->total, 500);
	assert_true(count_from(result.publish, 1500) >= 390);
	assert_non_null(strstr(result.caveats, "could not be sent"));
	assert_non_null(strstr(result.caveats, "not to be compared"));
	result_fini(&result);
}

/* All is sent, as there is room in the window, and half of it answered in time. */
static void what_was_not_stored_in_time_is_told(void **state)
{
	const struct fake_faults faults = {.silent_at_ms = 250, .silent_ms = 1000};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(result.publish->total, 500);
	assert_non_null(strstr(result.caveats, "not to be compared"));
	result_fini(&result);
}

static void more_than_can_ever_be_sent_is_charged_at_once(void **state)
{
	const struct fake_faults faults = {.blocks_at_ms = 1, .blocks_ms = 1800};
	struct workload workload = small();
	struct result result;

	workload.producer_rate = 1000000000;
	workload.window = 10;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(result.publish->total, 500000000);
	result_fini(&result);
}

static void a_machine_that_was_busy_before_is_told(void **state)
{
	struct run_options options = {.driver = &fake_driver, .url = "fake:"};
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	for (int busy = 0; busy < 2; busy++) {
		options.load_average = busy ? 1e6 : 0;
		fake_reset(&faults);
		assert_int_equal(run_workload(&workload, &options, &result), 0);
		assert_true(busy == !!strstr(result.caveats, "load average"));
		result_fini(&result);
	}
}

/* ---- counts ---- */

static void all_that_is_due_is_sent_received_and_counted_once(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.topics = 2;
	workload.producers_per_topic = 2;
	workload.subscriptions_per_topic = 2;
	workload.consumers_per_subscription = 3;
	workload.duration_ms = 1200;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(fake_counts().records, 1200);
	assert_int_equal(result.publish->total, 1200);
	assert_int_equal(result.delay->total, 1200);
	assert_int_equal(result.end_to_end->total, 2400);
	assert_int_equal(fake_counts().producers_made, 4);
	assert_int_equal(fake_counts().consumers_made, 12);
	assert_null(strstr(result.caveats, "missing"));
	assert_true(result.sample_count >= 2);
	assert_true(result.published <= 1200 && result.bytes == result.published * 100);
	assert_tidy();
	result_fini(&result);
}

static void threads_share_producers_and_consumers(void **state)
{
	const struct run_options options = {.driver = &fake_driver, .url = "fake:", .threads = 2};
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.producers_per_topic = 7;
	workload.consumers_per_subscription = 5;
	fake_reset(&faults);
	assert_int_equal(run_workload(&workload, &options, &result), 0);
	assert_int_equal(result.publish->total, 500);
	assert_int_equal(result.end_to_end->total, 500);
	assert_tidy();
	result_fini(&result);
}

static void a_warm_up_is_not_measured(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.warm_up_ms = 300;
	workload.duration_ms = 200;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(fake_counts().records, 500);
	assert_int_equal(result.publish->total, 200);
	assert_int_equal(result.end_to_end->total, 200);
	result_fini(&result);
}

static void as_fast_as_it_can_is_bounded_by_windows(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.producer_rate = 0;
	workload.subscriptions_per_topic = 0;
	workload.window = 100;
	workload.duration_ms = 200;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_false(result.open_loop);
	assert_true(result.published > 100);
	assert_null(result.end_to_end);
	assert_null(strstr(result.caveats, "rate"));
	result_fini(&result);
}

/* ---- what goes wrong ---- */

static void missing_records_are_told(void **state)
{
	const struct fake_faults faults = {.lose_every = 100};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_non_null(strstr(result.caveats, "495 of 500 stored records: 5 are missing"));
	result_fini(&result);
}

static void records_that_come_twice_are_told(void **state)
{
	const struct fake_faults faults = {.double_every = 100};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_non_null(strstr(result.caveats, "5 records twice"));
	result_fini(&result);
}

static void as_many_missing_as_twice_are_told(void **state)
{
	const struct fake_faults faults = {.lose_every = 100, .double_every = 99};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_non_null(strstr(result.caveats, "not the same ones"));
	result_fini(&result);
}

/* A broker without a limit, and no rate: the producer's thread never waits.  A machine that has
 * others to serve may not give it a processor; then there is nothing to see. */
static void a_client_that_is_the_limit_is_told(void **state)
{
	const struct fake_faults faults = {.lose_every = 1}; /* nobody reads */
	struct workload workload = small();
	struct result result;

	workload.producer_rate = 0;
	workload.subscriptions_per_topic = 0;
	workload.window = 200000;
	workload.duration_ms = 1000;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	bool told = strstr(result.caveats, "client may be the limit");
	double cpu = result.client.user_s + result.client.system_s;
	assert_true(told || cpu < 0.95 * result.seconds);
	result_fini(&result);
}

static void refused_records_are_counted(void **state)
{
	const struct fake_faults faults = {.refuse_every = 10};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_non_null(strstr(result.caveats, "50 records could not be published"));
	assert_int_equal(result.publish->total, 450);
	result_fini(&result);
}

static void a_broker_that_goes_away_ends_the_run(void **state)
{
	const struct fake_faults faults = {.dies_after = 50};
	struct workload workload = small();
	struct result result;

	workload.duration_ms = 60000;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), -ECONNRESET);
	assert_tidy();
}

static void a_broker_that_says_nothing_any_more_ends_the_run(void **state)
{
	const struct run_options options = {
		.driver = &fake_driver, .url = "fake:", .silence_ms_max = 300};
	const struct fake_faults faults = {.silent_at_ms = 1, .silent_ms = 60000};
	struct workload workload = small();
	struct result result;

	workload.duration_ms = 60000;
	fake_reset(&faults);
	assert_int_equal(run_workload(&workload, &options, &result), -ETIMEDOUT);
	assert_tidy();
}

/* A record a second: the second one waits for a part of the limit, after more than that without
 * anything to wait for. */
static void a_broker_that_had_nothing_to_say_was_not_silent(void **state)
{
	const struct run_options options = {
		.driver = &fake_driver, .url = "fake:", .silence_ms_max = 900};
	const struct fake_faults faults = {.silent_at_ms = 950, .silent_ms = 250};
	struct workload workload = small();
	struct result result;

	workload.producer_rate = 1;
	workload.duration_ms = 1500;
	fake_reset(&faults);
	assert_int_equal(run_workload(&workload, &options, &result), 0);
	assert_int_equal(result.publish->total, 2);
	assert_tidy();
	result_fini(&result);
}

static void topics_that_cannot_be_made_end_the_run(void **state)
{
	const struct fake_faults faults = {.topics_refused = true};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), -EPROTO);
	assert_int_equal(fake_counts().producers_made, 0);
	assert_tidy();
}

static void consumers_that_cannot_be_made_end_the_run(void **state)
{
	const struct fake_faults faults = {.consumers_refused = true};
	struct workload workload = small();
	struct result result;

	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), -EPROTO);
	assert_tidy();
	workload.producer_rate = 0;
	workload.backlog_bytes = 100 * 10;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), -EPROTO);
	assert_tidy();
}

static void interrupt(void *context, const struct sample *sample, unsigned done_ms,
		      unsigned total_ms, bool warming_up)
{
	raise(SIGINT);
}

static void an_interrupt_ends_it_early_with_what_was_measured(void **state)
{
	const struct run_options options = {
		.driver = &fake_driver, .url = "fake:", .progress = interrupt};
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.duration_ms = 60000;
	fake_reset(&faults);
	assert_int_equal(run_workload(&workload, &options, &result), 0);
	assert_true(result.seconds > 0.9 && result.seconds < 30);
	assert_int_equal(result.publish->total, result.end_to_end->total);
	assert_non_null(strstr(result.caveats, "Ended early"));
	assert_tidy();
	result_fini(&result);
}

/* ---- shapes ---- */

static void a_backlog_is_stored_then_read_to_its_end(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.producer_rate = 0;
	workload.backlog_bytes = 100 * 5000;
	workload.duration_ms = 60000;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_true(result.consumed >= 5000);
	assert_int_equal(result.consumed, fake_counts().records);
	assert_int_equal(result.published, 0);
	assert_true(result.seconds < 30);
	assert_null(strstr(result.caveats, "drained"));
	assert_tidy();
	result_fini(&result);
}

/* The tail's latencies are those of records that came meanwhile, never the backlog's. */
static void tail_consumers_read_beside_a_backlog(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.backlog_bytes = 100 * 200000;
	workload.tail_consumers = 1;
	workload.duration_ms = 60000;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_true(result.consumed >= 200000);
	if (result.end_to_end)
		assert_true(result.end_to_end->total <= fake_counts().records - 200000);
	assert_null(strstr(result.caveats, "missing"));
	assert_tidy();
	result_fini(&result);
}

static void what_the_tail_misses_is_told(void **state)
{
	const struct fake_faults faults = {.lose_every = 10};
	struct workload workload = small();
	struct result result;

	workload.backlog_bytes = 100 * 1000;
	workload.tail_consumers = 1;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_non_null(strstr(result.caveats, "The tail was given 450 of 500 stored records"));
	assert_tidy();
	result_fini(&result);
}

static void a_member_leaves_and_comes_back(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.grouped = true;
	workload.consumers_per_subscription = 3;
	workload.rebalance_ms = 100;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_true(fake_counts().consumers_made > 3);
	assert_int_equal(result.end_to_end->total, 500);
	assert_tidy();
	result_fini(&result);
}

static void idle_connections_are_there_beside_the_load(void **state)
{
	const struct fake_faults faults = {0};
	struct workload workload = small();
	struct result result;

	workload.idle_connections = 100;
	fake_reset(&faults);
	assert_int_equal(run(&workload, &result), 0);
	assert_int_equal(fake_counts().producers_made, 101);
	assert_tidy();
	result_fini(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_fell_due_while_produce_blocked_is_charged),
		cmocka_unit_test(all_that_fell_due_while_the_window_was_full_is_charged),
		cmocka_unit_test(what_could_not_be_sent_counts_with_what_it_waited),
		cmocka_unit_test(what_was_not_stored_in_time_is_told),
		cmocka_unit_test(more_than_can_ever_be_sent_is_charged_at_once),
		cmocka_unit_test(a_machine_that_was_busy_before_is_told),
		cmocka_unit_test(all_that_is_due_is_sent_received_and_counted_once),
		cmocka_unit_test(threads_share_producers_and_consumers),
		cmocka_unit_test(a_warm_up_is_not_measured),
		cmocka_unit_test(as_fast_as_it_can_is_bounded_by_windows),
		cmocka_unit_test(missing_records_are_told),
		cmocka_unit_test(records_that_come_twice_are_told),
		cmocka_unit_test(as_many_missing_as_twice_are_told),
		cmocka_unit_test(a_client_that_is_the_limit_is_told),
		cmocka_unit_test(refused_records_are_counted),
		cmocka_unit_test(a_broker_that_goes_away_ends_the_run),
		cmocka_unit_test(a_broker_that_says_nothing_any_more_ends_the_run),
		cmocka_unit_test(a_broker_that_had_nothing_to_say_was_not_silent),
		cmocka_unit_test(topics_that_cannot_be_made_end_the_run),
		cmocka_unit_test(consumers_that_cannot_be_made_end_the_run),
		cmocka_unit_test(an_interrupt_ends_it_early_with_what_was_measured),
		cmocka_unit_test(a_backlog_is_stored_then_read_to_its_end),
		cmocka_unit_test(tail_consumers_read_beside_a_backlog),
		cmocka_unit_test(what_the_tail_misses_is_told),
		cmocka_unit_test(a_member_leaves_and_comes_back),
		cmocka_unit_test(idle_connections_are_there_beside_the_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
