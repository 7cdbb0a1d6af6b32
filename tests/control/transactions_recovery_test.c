/* What becomes of transactions when the coordinator starts again, or its log fails: in every state,
 * and at every step. */
#include "base/bytes.h"
#include "base/errors.h"
#include "dataplane/shard_log.h"
#include "storage/records.h"
#include "tests/control/transaction_producers.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct world *world_with_topics(void)
{
	struct world *world = world_new(1);

	world_topic(world, "out", 3);
	world_topic(world, OFFSETS_TOPIC, 3);
	return world;
}

static struct producer producer_of(struct world *world, bool version_2)
{
	struct producer producer = {.world = world, .id = "app", .version_2 = version_2};

	assert_int_equal(producer_init(&producer, false), KAFKA_NONE);
	return producer;
}

/* ---- in every state ---- */

static void restart(struct world *world, const char *state)
{
	assert_string_equal(world_state(world, "app"), state);
	world_check_rewrite(world);
	world_restart(world);
}

static void an_empty_id_begins_after_a_restart(void **state)
{
	for (int version_2 = 0; version_2 < 2; version_2++) {
		struct world *world = world_with_topics();
		struct producer producer = producer_of(world, version_2);
		restart(world, "Empty");
		assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
		assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
		assert_int_equal(world->told_count, 1);
		world_free(world);
	}
}

static void an_ongoing_transaction_goes_on_after_a_restart(void **state)
{
	for (int version_2 = 0; version_2 < 2; version_2++) {
		struct world *world = world_with_topics();
		struct producer producer = producer_of(world, version_2);
		int64_t id = producer.producer_id;
		assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
		restart(world, "Ongoing");
		assert_int_equal(producer_question(&producer, "out", 0, false), 0);
		assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
		assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
		assert_int_equal(world_times_told(world, "out", 0, id, true), 1);
		assert_int_equal(world_times_told(world, "out", 1, id, true), 1);
		world_free(world);
	}
}

static void an_ongoing_transaction_has_the_rest_of_its_time_after_a_restart(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world_advance(world, 50000);
	world_restart(world);
	world_advance(world, 9990);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	world_advance(world, 20);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	world_free(world);
}

static void a_restart_leaves_a_producer_time_to_come_back(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->wall_ms += 86400000; /* the broker was down */
	world_restart(world);
	world_advance(world, 4900);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	world_advance(world, 200);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	world_free(world);
}

static void a_clock_that_was_set_back_gives_no_more_than_the_whole_time(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->wall_ms -= 86400000;
	world_restart(world);
	world_advance(world, 59000);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	world_advance(world, 1100);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	world_free(world);
}

static void a_prepared_end_goes_on_after_a_restart(bool commit, bool offsets_only)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);
	int64_t id = producer.producer_id;

	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_NONE);
	if (!offsets_only)
		assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
	world->hold_markers = world->hold_offsets = true;
	assert_int_equal(producer_end(&producer, commit), KAFKA_NONE);
	world->marker_rc = -ERR_STORAGE; /* what is on its way is lost */
	restart(world, commit ? "PrepareCommit" : "PrepareAbort");
	world->marker_rc = 0;
	assert_string_equal(world_state(world, "app"), commit ? "PrepareCommit" : "PrepareAbort");
	world_take_markers(world);
	world_take_offsets(world, 0);
	assert_string_equal(world_state(world, "app"), commit ? "CompleteCommit" : "CompleteAbort");
	assert_true(world_times_told(world, OFFSETS_TOPIC, 1, id, commit) >= 1);
	assert_int_equal(world_times_told(world, "out", 1, id, commit), !offsets_only);
	assert_int_equal(world_times_told(world, "out", 1, id, !commit), 0);
	assert_int_equal(world_times_told(world, OFFSETS_TOPIC, 1, id, !commit), 0);
	world->hold_offsets = world->hold_markers = false;
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world_free(world);
}

static void a_prepared_commit_goes_on_after_a_restart(void **state)
{
	a_prepared_end_goes_on_after_a_restart(true, false);
	a_prepared_end_goes_on_after_a_restart(true, true);
}

static void a_prepared_abort_goes_on_after_a_restart(void **state)
{
	a_prepared_end_goes_on_after_a_restart(false, false);
	a_prepared_end_goes_on_after_a_restart(false, true);
}

static void a_fenced_producer_stays_fenced_after_a_restart(void **state)
{
	struct world *world = world_with_topics();
	struct producer old = producer_of(world, true);
	struct producer young = old;

	assert_int_equal(producer_add(&old, "out", 0), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_init(&young, false), KAFKA_CONCURRENT_TRANSACTIONS);
	world->marker_rc = -ERR_CLOSING;
	restart(world, "PrepareAbort");
	world->marker_rc = 0;
	world_take_markers(world);
	assert_int_equal(producer_end(&old, true), KAFKA_PRODUCER_FENCED);
	assert_int_equal(producer_end(&old, false), KAFKA_PRODUCER_FENCED);
	assert_int_equal(producer_init(&young, false), KAFKA_NONE);
	assert_int_equal(young.epoch, 2);
	world_free(world);
}

static void an_end_is_answered_again_after_a_restart(void **state)
{
	for (int commit = 0; commit < 2; commit++) {
		struct world *world = world_with_topics();
		struct producer producer = producer_of(world, true);
		assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
		struct producer unheard = producer;
		assert_int_equal(producer_end(&producer, commit), KAFKA_NONE);
		restart(world, commit ? "CompleteCommit" : "CompleteAbort");
		assert_int_equal(producer_end(&unheard, !commit), KAFKA_INVALID_TXN_STATE);
		assert_int_equal(producer_end(&unheard, commit), KAFKA_NONE);
		assert_int_equal(unheard.epoch, producer.epoch);
		assert_int_equal(producer_add(&unheard, "out", 1), KAFKA_NONE);
		world_free(world);
	}
}

static void the_next_producer_id_is_the_same_after_a_restart(void **state)
{
	struct world *world = world_with_topics();
	struct producer one = producer_of(world, true);

	for (int epoch = 1; epoch <= PRODUCER_EPOCH_LAST; epoch++)
		assert_int_equal(producer_init(&one, false), KAFKA_NONE);
	int64_t first = one.producer_id;
	assert_int_equal(producer_add(&one, "out", 0), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&one, true), KAFKA_NONE);
	world->marker_rc = -ERR_CLOSING;
	restart(world, "PrepareCommit");
	world->marker_rc = 0;
	world->hold_markers = false;
	world_take_markers(world);
	assert_int_equal(world_times_told(world, "out", 0, first, true), 1);
	assert_int_equal(producer_add(&one, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_end(&one, true), KAFKA_NONE);
	assert_int_equal(world_times_told(world, "out", 0, one.producer_id, true), 1);
	world_free(world);
}

/* ---- a log that fails, at every step ---- */

struct run {
	struct world *world;
	unsigned flushes;
	unsigned fail_at;   /* this flush fails instead */
	unsigned refuse_at; /* this append does */
};

/* Until nothing waits for the log. */
static void settle(struct run *run)
{
	struct world_records *records = &run->world->log.partitions[0];

	if (run->world->log.refuse_after == 0) {
		run->world->log.refuse_after = UINT_MAX;
		world_advance(run->world, 2000);
	}
	while (records->durable < records->count || !list_empty(&records->waits)) {
		if (run->flushes++ == run->fail_at)
			world_fail(run->world, 0);
		else
			world_flush(run->world, 0);
	}
}

static bool comes_again(int16_t error)
{
	return error == KAFKA_NOT_COORDINATOR || error == KAFKA_COORDINATOR_NOT_AVAILABLE ||
	       error == KAFKA_CONCURRENT_TRANSACTIONS ||
	       error == KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
}

static void init(struct run *run, struct producer *producer)
{
	int16_t error = KAFKA_NOT_COORDINATOR;

	for (int tries = 0; comes_again(error); tries++) {
		struct world_request *ask = producer_ask_init(producer, false);
		settle(run);
		assert_true(tries < 5);
		error = producer_inited(producer, ask);
	}
	assert_int_equal(error, KAFKA_NONE);
}

static void add(struct run *run, struct producer *producer, int32_t partition)
{
	struct world_ask question;
	int rc = -ERR_LOADING;

	for (int tries = 0; rc == -ERR_LOADING || rc == -ENOMEM; tries++) {
		producer_send_question(producer, &question, "out", partition, true);
		settle(run);
		assert_true(tries < 5 && question.answered);
		rc = question.ask.rc;
	}
	assert_int_equal(rc, 0);
}

static void end(struct run *run, struct producer *producer, bool commit)
{
	int16_t error = KAFKA_NOT_COORDINATOR;

	for (int tries = 0; comes_again(error); tries++) {
		struct world_request *ask = producer_ask_end(producer, commit);
		settle(run);
		assert_true(tries < 5);
		error = producer_ended(producer, ask);
	}
	assert_int_equal(error, KAFKA_NONE);
}

static unsigned run_through(unsigned fail_at, unsigned refuse_after, bool commit)
{
	struct world *world = world_with_topics();
	struct run run = {.world = world, .fail_at = fail_at};
	struct producer producer = {.world = world, .id = "app", .version_2 = true};

	world->log.hold = true;
	world->log.refuse_after = refuse_after;
	init(&run, &producer);
	int64_t id = producer.producer_id;
	add(&run, &producer, 0);
	add(&run, &producer, 2);
	end(&run, &producer, commit);
	settle(&run);
	world_advance(world, 2000);
	settle(&run);
	assert_string_equal(world_state(world, "app"), commit ? "CompleteCommit" : "CompleteAbort");
	for (int32_t partition = 0; partition < 3; partition += 2) {
		assert_true(world_times_told(world, "out", partition, id, commit) >= 1);
		assert_int_equal(world_times_told(world, "out", partition, id, !commit), 0);
	}
	world_restart(world);
	world->log.hold = false;
	assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
	world_free(world);
	return run.flushes;
}

static void a_log_that_fails_at_any_step_loses_no_outcome(void **state)
{
	for (int commit = 0; commit < 2; commit++) {
		unsigned steps = run_through(UINT_MAX, UINT_MAX, commit);
		assert_true(steps >= 5);
		for (unsigned at = 0; at < steps; at++)
			run_through(at, UINT_MAX, commit);
	}
}

static void memory_that_ends_at_any_step_loses_no_outcome(void **state)
{
	for (unsigned at = 0; at < 6; at++) {
		run_through(UINT_MAX, at, true);
		run_through(UINT_MAX, at, false);
	}
}

static void what_time_brings_waits_for_memory(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->log.refuse_after = 0;
	world_advance(world, 61000);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	world->log.refuse_after = 1;
	world_advance(world, 1000);
	assert_string_equal(world_state(world, "app"), "PrepareAbort");
	assert_true(world->told_count >= 1);
	world->log.refuse_after = UINT_MAX;
	world_advance(world, 1000);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	world->log.refuse_after = 0;
	world_advance(world, world->config.transactional_id_expiration_ms + 1000);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	world->log.refuse_after = UINT_MAX;
	world_advance(world, 1000);
	assert_string_equal(world_state(world, "app"), "");
	world_free(world);
}

/* A failed append takes back what nobody was told of. */
static void an_end_that_was_not_stored_has_not_happened(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->log.hold = true;
	struct world_request *end = producer_ask_end(&producer, true);
	world_fail(world, 0);
	assert_int_equal(producer_ended(&producer, end), KAFKA_NOT_COORDINATOR);
	assert_int_equal(world->told_count, 0);
	world->log.hold = false;
	assert_string_equal(world_state(world, "app"), "Ongoing");
	assert_int_equal(producer_end(&producer, false), KAFKA_NONE);
	assert_int_equal(world_times_told(world, "out", 0, producer.producer_id, false), 1);
	world_free(world);
}

/* ---- loading ---- */

static void requests_wait_for_no_load(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	transactions_begin_load(world->transactions, 0);
	assert_int_equal(producer_init(&producer, false), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	assert_int_equal(producer_add_offsets(&producer, "g"), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	assert_int_equal(producer_commit_offsets(&producer, "g"),
			 KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	assert_int_equal(producer_added(producer_ask_add(&producer, "out", 0)),
			 KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	assert_int_equal(producer_end(&producer, true), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	assert_int_equal(producer_question(&producer, "out", 0, true), -ERR_LOADING);
	assert_string_equal(world_state(world, "app"), "");
	transactions_end_load(world->transactions, 0);
	world_free(world);
}

static int replay(struct world *world, const struct record *record, char *why)
{
	return transactions_replay(world->transactions, 0, record, 0, why, 256);
}

/* The record that this test's world has stored last, with one byte of its value changed. */
static int replay_changed(struct world *world, size_t at, uint8_t to)
{
	const struct world_records *records = &world->log.partitions[0];
	const struct world_record *from = &records->records[records->count - 1];
	uint8_t *value = malloc(from->value_size);
	char why[256] = "";

	memcpy(value, from->value, from->value_size);
	value[at] = to;
	struct record record = {.key = from->key,
				.key_length = from->key_size,
				.value = value,
				.value_length = from->value_size};
	int rc = replay(world, &record, why);
	assert_int_equal(rc < 0, why[0] != 0);
	free(value);
	return rc;
}

static void damaged_records_are_refused(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);
	char why[256] = "";

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	transactions_begin_load(world->transactions, 0);
	/* version (2), producer id (8), epoch (2), time-out (4), state (1) */
	assert_int_equal(replay_changed(world, 0, 9), -ERR_FORMAT);
	assert_int_equal(replay_changed(world, 2, 0xff), -ERR_CORRUPT);
	assert_int_equal(replay_changed(world, 10, 0xff), -ERR_CORRUPT);
	assert_int_equal(replay_changed(world, 12, 0xff), -ERR_CORRUPT);
	assert_int_equal(replay_changed(world, 16, TRANSACTION_DEAD), -ERR_CORRUPT);
	assert_int_equal(replay_changed(world, 16, 99), -ERR_CORRUPT);
	assert_int_equal(replay_changed(world, 16, TRANSACTION_ONGOING), 0);
	const uint8_t of_groups[] = {0, 2, 0, 1, 'g'};
	const uint8_t unnamed[] = {0, 0, 0, 0};
	struct record other = {.key = of_groups, .key_length = sizeof(of_groups)};
	assert_int_equal(replay(world, &other, why), -ERR_FORMAT);
	other = (struct record){.key = unnamed, .key_length = sizeof(unnamed)};
	assert_int_equal(replay(world, &other, why), -ERR_CORRUPT);
	transactions_end_load(world->transactions, 0);
	world_free(world);
}

static void a_record_in_another_partition_is_refused(void **state)
{
	struct world *world = world_new(3);
	const uint8_t key[] = {0, 0, 0, 1, 'a'}; /* 97 % 3 */
	struct record record = {.key = key, .key_length = sizeof(key)};
	char why[256];

	for (int32_t partition = 0; partition < 3; partition++) {
		transactions_begin_load(world->transactions, partition);
		assert_int_equal(transactions_replay(world->transactions, partition, &record, 0,
						     why, sizeof(why)),
				 partition == 97 % 3 ? 0 : -ERR_CORRUPT);
		transactions_end_load(world->transactions, partition);
	}
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_id_begins_after_a_restart),
		cmocka_unit_test(an_ongoing_transaction_goes_on_after_a_restart),
		cmocka_unit_test(an_ongoing_transaction_has_the_rest_of_its_time_after_a_restart),
		cmocka_unit_test(a_restart_leaves_a_producer_time_to_come_back),
		cmocka_unit_test(a_clock_that_was_set_back_gives_no_more_than_the_whole_time),
		cmocka_unit_test(a_prepared_commit_goes_on_after_a_restart),
		cmocka_unit_test(a_prepared_abort_goes_on_after_a_restart),
		cmocka_unit_test(a_fenced_producer_stays_fenced_after_a_restart),
		cmocka_unit_test(an_end_is_answered_again_after_a_restart),
		cmocka_unit_test(the_next_producer_id_is_the_same_after_a_restart),
		cmocka_unit_test(a_log_that_fails_at_any_step_loses_no_outcome),
		cmocka_unit_test(memory_that_ends_at_any_step_loses_no_outcome),
		cmocka_unit_test(what_time_brings_waits_for_memory),
		cmocka_unit_test(an_end_that_was_not_stored_has_not_happened),
		cmocka_unit_test(requests_wait_for_no_load),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(a_record_in_another_partition_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
