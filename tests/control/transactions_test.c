/* The course of transactions, of both versions: what producers are answered, and what partitions
 * are told. */
#include "base/bytes.h"
#include "base/errors.h"
#include "tests/control/transaction_producers.h"

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
	world_topic(world, "other", 1);
	world_topic(world, OFFSETS_TOPIC, 3);
	return world;
}

static struct producer producer_of(struct world *world, bool version_2)
{
	struct producer producer = {.world = world, .id = "app", .version_2 = version_2};

	assert_int_equal(producer_init(&producer, false), KAFKA_NONE);
	return producer;
}

/* ---- the course ---- */

static void a_transaction_ends_as_its_producer_says(bool version_2, bool commit)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, version_2);
	int64_t id = producer.producer_id;

	assert_int_equal(producer.epoch, 0);
	assert_string_equal(world_state(world, "app"), "Empty");
	assert_int_equal(producer_add(&producer, "out", 2), KAFKA_NONE);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_add(&producer, "other", 0), KAFKA_NONE);
	if (!version_2)
		assert_int_equal(producer_add_offsets(&producer, "g"), KAFKA_NONE);
	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_NONE);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	assert_int_equal(world->told_count, 0);
	assert_int_equal(producer_end(&producer, commit), KAFKA_NONE);
	assert_int_equal(producer.epoch, version_2 ? 1 : 0);
	assert_string_equal(world_state(world, "app"), commit ? "CompleteCommit" : "CompleteAbort");
	assert_int_equal(world_times_told(world, "out", 0, id, commit), 1);
	assert_int_equal(world_times_told(world, "out", 2, id, commit), 1);
	assert_int_equal(world_times_told(world, "other", 0, id, commit), 1);
	assert_int_equal(world_times_told(world, OFFSETS_TOPIC, 1, id, commit), 1);
	assert_int_equal(world->told_count, 4);
	/* And another one. */
	assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
	assert_int_equal(producer_end(&producer, !commit), KAFKA_NONE);
	assert_int_equal(world_times_told(world, "out", 1, id, !commit), 1);
	assert_int_equal(world->told_count, 5);
	world_check_rewrite(world);
	world_free(world);
}

static void partitions_are_told_of_a_commit(void **state)
{
	a_transaction_ends_as_its_producer_says(false, true);
	a_transaction_ends_as_its_producer_says(true, true);
}

static void partitions_are_told_of_an_abort(void **state)
{
	a_transaction_ends_as_its_producer_says(false, false);
	a_transaction_ends_as_its_producer_says(true, false);
}

static void markers_have_the_epoch_that_fences_what_comes_late(void **state)
{
	struct world *world = world_with_topics();
	struct producer one = producer_of(world, false);

	assert_int_equal(producer_add(&one, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_end(&one, true), KAFKA_NONE);
	assert_int_equal(world->told[0].producer_epoch, 0);
	one.version_2 = true;
	assert_int_equal(producer_add(&one, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_end(&one, true), KAFKA_NONE);
	assert_int_equal(world->told[1].producer_epoch, 1);
	world_free(world);
}

static void nothing_leaves_before_it_is_durable(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = {.world = world, .id = "app", .version_2 = true};
	struct world_ask question;

	world->log.hold = true;
	struct world_request *init = producer_ask_init(&producer, false);
	assert_false(init->answered);
	world_flush(world, 0);
	assert_int_equal(producer_inited(&producer, init), KAFKA_NONE);
	producer_send_question(&producer, &question, "out", 0, true);
	assert_false(question.answered);
	world_flush(world, 0);
	assert_true(question.answered);
	assert_int_equal(question.ask.rc, 0);
	struct world_request *end = producer_ask_end(&producer, true);
	assert_false(end->answered);
	assert_int_equal(world->sent_count + world->told_count, 0);
	world_flush(world, 0);
	assert_int_equal(producer_ended(&producer, end), KAFKA_NONE);
	assert_int_equal(world->told_count, 1);
	world_flush(world, 0);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_free(world);
}

/* ---- taking over ---- */

static void a_new_producer_aborts_what_the_old_one_left_open(void **state)
{
	for (int version_2 = 0; version_2 < 2; version_2++) {
		struct world *world = world_with_topics();
		struct producer old = producer_of(world, version_2);
		struct producer young = old;
		assert_int_equal(producer_add(&old, "out", 0), KAFKA_NONE);
		world->hold_markers = true;
		assert_int_equal(producer_init(&young, false), KAFKA_CONCURRENT_TRANSACTIONS);
		assert_int_equal(producer_init(&young, false), KAFKA_CONCURRENT_TRANSACTIONS);
		assert_string_equal(world_state(world, "app"), "PrepareAbort");
		world_take_markers(world);
		assert_int_equal(world_times_told(world, "out", 0, old.producer_id, false), 1);
		assert_int_equal(producer_init(&young, false), KAFKA_NONE);
		assert_int_equal(young.producer_id, old.producer_id);
		assert_int_equal(young.epoch, 2);
		assert_int_equal(producer_end(&old, true), KAFKA_PRODUCER_FENCED);
		assert_int_equal(producer_question(&old, "out", 0, true), -ERR_PRODUCER_EPOCH);
		assert_int_equal(producer_init(&old, true), KAFKA_PRODUCER_FENCED);
		assert_int_equal(producer_add(&young, "out", 0), KAFKA_NONE);
		world_free(world);
	}
}

static void a_producer_that_begins_afresh_gets_its_next_epoch(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, false);
	struct producer unheard = producer;

	assert_int_equal(producer_init(&producer, true), KAFKA_NONE);
	assert_int_equal(producer.epoch, 1);
	/* The answer was lost: the same once more. */
	assert_int_equal(producer_init(&unheard, true), KAFKA_NONE);
	assert_int_equal(unheard.epoch, 1);
	/* An old request that comes late does not abort what has begun since. */
	unheard.epoch = 0;
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_init(&unheard, true), KAFKA_PRODUCER_FENCED);
	assert_string_equal(world_state(world, "app"), "Ongoing");
	/* One that does not know how its transaction stands has it aborted, and goes on. */
	assert_int_equal(producer_init(&producer, true), KAFKA_CONCURRENT_TRANSACTIONS);
	assert_int_equal(producer_init(&producer, true), KAFKA_NONE);
	assert_int_equal(producer.epoch, 2);
	world_free(world);
}

static void used_up_epochs_bring_a_new_producer_id(void **state)
{
	struct world *world = world_with_topics();
	struct producer one = producer_of(world, false);
	int64_t first = one.producer_id;

	for (int epoch = 1; epoch <= PRODUCER_EPOCH_LAST; epoch++)
		assert_int_equal(producer_init(&one, false), KAFKA_NONE);
	assert_int_equal(one.producer_id, first);
	assert_int_equal(one.epoch, PRODUCER_EPOCH_LAST);
	struct producer unheard = one;
	assert_int_equal(producer_init(&one, true), KAFKA_NONE);
	assert_int_not_equal(one.producer_id, first);
	assert_int_equal(one.epoch, 0);
	assert_int_equal(producer_init(&unheard, true), KAFKA_NONE);
	assert_int_equal(unheard.producer_id, one.producer_id);
	assert_int_equal(unheard.epoch, 0);
	world_free(world);
}

static void an_end_that_uses_up_the_epochs_names_the_next_producer_id(void **state)
{
	struct world *world = world_with_topics();
	struct producer one = producer_of(world, true);
	int64_t first = one.producer_id;

	for (int epoch = 1; epoch <= PRODUCER_EPOCH_LAST; epoch++)
		assert_int_equal(producer_init(&one, false), KAFKA_NONE);
	assert_int_equal(producer_add(&one, "out", 0), KAFKA_NONE);
	struct producer unheard = one;
	assert_int_equal(producer_end(&one, true), KAFKA_NONE);
	assert_int_not_equal(one.producer_id, first);
	assert_int_equal(one.epoch, 0);
	assert_int_equal(world_times_told(world, "out", 0, first, true), 1);
	assert_int_equal(world->told[0].producer_epoch, INT16_MAX);
	assert_int_equal(producer_end(&unheard, true), KAFKA_NONE);
	assert_int_equal(unheard.producer_id, one.producer_id);
	assert_int_equal(unheard.epoch, 0);
	world_restart(world);
	unheard.producer_id = first;
	unheard.epoch = PRODUCER_EPOCH_LAST;
	assert_int_equal(producer_end(&unheard, true), KAFKA_NONE);
	assert_int_equal(unheard.producer_id, one.producer_id);
	assert_int_equal(producer_add(&one, "out", 1), KAFKA_NONE);
	world_free(world);
}

/* ---- ends that are asked for again ---- */

static void an_end_is_answered_again_where_its_answer_was_lost(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	struct producer unheard = producer;
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_int_equal(producer_end(&unheard, true), KAFKA_CONCURRENT_TRANSACTIONS);
	assert_int_equal(producer_end(&unheard, false), KAFKA_INVALID_TXN_STATE);
	world_take_markers(world);
	assert_int_equal(producer_end(&unheard, false), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(producer_end(&unheard, true), KAFKA_NONE);
	assert_int_equal(unheard.epoch, producer.epoch);
	assert_int_equal(world->told_count, 1);
	world_free(world);
}

static void an_old_producer_may_ask_for_its_end_again(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, false);

	assert_int_equal(producer_end(&producer, true), KAFKA_INVALID_TXN_STATE);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_end(&producer, false), KAFKA_NONE);
	assert_int_equal(producer_end(&producer, false), KAFKA_NONE);
	assert_int_equal(producer_end(&producer, true), KAFKA_INVALID_TXN_STATE);
	world_free(world);
}

static void a_transaction_of_nothing_can_be_aborted(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);

	assert_int_equal(producer_end(&producer, true), KAFKA_INVALID_TXN_STATE);
	for (int16_t epoch = 1; epoch < 4; epoch++) {
		struct producer unheard = producer;
		assert_int_equal(producer_end(&producer, false), KAFKA_NONE);
		assert_int_equal(producer.epoch, epoch);
		assert_int_equal(producer_end(&unheard, false), KAFKA_NONE);
		assert_int_equal(unheard.epoch, epoch);
	}
	assert_int_equal(world->told_count, 0);
	world_free(world);
}

/* ---- time ---- */

static void a_transaction_that_runs_for_too_long_is_aborted(void **state)
{
	for (int version_2 = 0; version_2 < 2; version_2++) {
		struct world *world = world_with_topics();
		struct producer producer = producer_of(world, version_2);
		assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
		world_advance(world, 40000);
		assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
		world_advance(world, 19990);
		assert_string_equal(world_state(world, "app"), "Ongoing");
		world_advance(world, 20);
		assert_string_equal(world_state(world, "app"), "CompleteAbort");
		assert_int_equal(world->told_count, 2);
		assert_int_equal(world->told[0].producer_epoch, 1);
		assert_int_equal(producer_end(&producer, true), KAFKA_PRODUCER_FENCED);
		assert_int_equal(producer_end(&producer, false), KAFKA_PRODUCER_FENCED);
		assert_int_equal(producer_init(&producer, false), KAFKA_NONE);
		world_free(world);
	}
}

static void an_id_that_nobody_uses_is_forgotten(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, true);
	const int64_t day_ms = 86400000;

	world_advance(world, 5 * day_ms);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_advance(world, 5 * day_ms);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_restart(world);
	world_advance(world, 2 * day_ms - 1000);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_advance(world, 2000);
	assert_string_equal(world_state(world, "app"), "");
	assert_int_equal(world->transactions->count, 0);
	assert_int_equal(producer_end(&producer, true), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	world_restart(world);
	assert_int_equal(world->transactions->count, 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(partitions_are_told_of_a_commit),
		cmocka_unit_test(partitions_are_told_of_an_abort),
		cmocka_unit_test(markers_have_the_epoch_that_fences_what_comes_late),
		cmocka_unit_test(nothing_leaves_before_it_is_durable),
		cmocka_unit_test(a_new_producer_aborts_what_the_old_one_left_open),
		cmocka_unit_test(a_producer_that_begins_afresh_gets_its_next_epoch),
		cmocka_unit_test(used_up_epochs_bring_a_new_producer_id),
		cmocka_unit_test(an_end_that_uses_up_the_epochs_names_the_next_producer_id),
		cmocka_unit_test(an_end_is_answered_again_where_its_answer_was_lost),
		cmocka_unit_test(an_old_producer_may_ask_for_its_end_again),
		cmocka_unit_test(a_transaction_of_nothing_can_be_aborted),
		cmocka_unit_test(a_transaction_that_runs_for_too_long_is_aborted),
		cmocka_unit_test(an_id_that_nobody_uses_is_forgotten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
