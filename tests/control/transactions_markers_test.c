/* Markers that are not taken at once, partitions that go, owners that are slow. */
#include "base/bytes.h"
#include "base/errors.h"
#include "tests/control/transaction_producers.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MANY = 300, IN_FLIGHT_MAX = 64 };

static struct world *world_with_topics(void)
{
	struct world *world = world_new(1);

	world_topic(world, "out", MANY);
	world_topic(world, "other", 1);
	world_topic(world, OFFSETS_TOPIC, 3);
	return world;
}

static struct producer producer_of(struct world *world)
{
	struct producer producer = {.world = world, .id = "app", .version_2 = true};

	assert_int_equal(producer_init(&producer, false), KAFKA_NONE);
	return producer;
}

static void a_marker_that_is_not_taken_comes_again(int rc)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);
	int64_t id = producer.producer_id;

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->marker_rc = rc;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_advance(world, 5000);
	assert_string_equal(world_state(world, "app"), "PrepareCommit");
	world->marker_rc = 0;
	world_advance(world, 1000);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	assert_int_equal(world_times_told(world, "out", 0, id, true), 1);
	world_free(world);
}

static void a_marker_waits_for_the_partition_to_be_whole(void **state)
{
	a_marker_that_is_not_taken_comes_again(-ERR_STORAGE);
	a_marker_that_is_not_taken_comes_again(-ERR_CLOSING);
	a_marker_that_is_not_taken_comes_again(-ENOMEM);
	a_marker_that_is_not_taken_comes_again(-ERR_UNKNOWN_PARTITION);
}

static void pauses_between_tries_grow(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->hold_markers = true;
	world->marker_rc = -ERR_STORAGE;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	unsigned tries = 0;
	for (int ms = 0; ms < 60000; ms += 10) {
		tries += world->sent_count > 0;
		world_take_markers(world);
		world_advance(world, 10);
	}
	/* About one a second, after the first few. */
	assert_in_range(tries, 50, 75);
	world_free(world);
}

static void an_owner_without_the_transaction_is_done(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->marker_rc = 1;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_free(world);
}

static void an_owner_that_knows_a_later_producer_is_done(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->marker_rc = -ERR_PRODUCER_EPOCH;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_free(world);
}

static void a_topic_that_is_gone_holds_nothing_up(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);
	int64_t id = producer.producer_id;

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_add(&producer, "other", 0), KAFKA_NONE);
	world_delete_topic(world, "other");
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	assert_int_equal(world->told_count, 1);
	/* Or goes while its marker is on the way. */
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_delete_topic(world, "out");
	world_take_markers(world);
	world_advance(world, 100);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	assert_int_equal(world_times_told(world, "out", 0, id, true), 1);
	world_free(world);
}

static void groups_that_are_not_loaded_are_told_later(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_NONE);
	world->offsets_rc = -ERR_LOADING;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_advance(world, 3000);
	assert_string_equal(world_state(world, "app"), "PrepareCommit");
	world->offsets_rc = 0;
	world->hold_offsets = true;
	world_advance(world, 1000);
	world_take_offsets(world, -EIO); /* their log has failed */
	assert_string_equal(world_state(world, "app"), "PrepareCommit");
	world_advance(world, 1000);
	world_take_offsets(world, 0);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	world_free(world);
}

static void markers_wait_for_the_topics_to_be_known(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	transactions_set_topics(world->transactions, NULL);
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_advance(world, 3000);
	assert_string_equal(world_state(world, "app"), "PrepareCommit");
	transactions_set_topics(world->transactions, &world->topics);
	world_advance(world, 1000);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	assert_int_equal(world->told_count, 1);
	world_free(world);
}

static void few_markers_of_a_shard_are_on_the_way_at_a_time(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);
	int64_t id = producer.producer_id;

	for (int32_t partition = 0; partition < MANY; partition++)
		assert_int_equal(producer_add(&producer, "out", partition), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, false), KAFKA_NONE);
	assert_int_equal(world->sent_count, WORLD_SHARDS * IN_FLIGHT_MAX);
	while (world->sent_count > 0)
		world_take_markers(world);
	assert_string_equal(world_state(world, "app"), "CompleteAbort");
	for (unsigned shard = 0; shard < WORLD_SHARDS; shard++)
		assert_int_equal(world->sent_most[shard], IN_FLIGHT_MAX);
	for (int32_t partition = 0; partition < MANY; partition++)
		assert_int_equal(world_times_told(world, "out", partition, id, false), 1);
	world_free(world);
}

static void markers_on_the_way_outlive_a_log_that_fails(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);
	int64_t id = producer.producer_id;

	for (int32_t partition = 0; partition < MANY; partition++)
		assert_int_equal(producer_add(&producer, "out", partition), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	world_fail(world, 0); /* nothing is lost, all is read again */
	assert_int_equal(world->sent_count, WORLD_SHARDS * IN_FLIGHT_MAX);
	while (world->sent_count > 0)
		world_take_markers(world);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	for (int32_t partition = 0; partition < MANY; partition++)
		assert_true(world_times_told(world, "out", partition, id, true) >= 1);
	world_free(world);
}

static void after_the_stop_no_marker_leaves(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	for (int32_t partition = 0; partition < MANY; partition++)
		assert_int_equal(producer_add(&producer, "out", partition), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	size_t stored = world_appended(world);
	transactions_stop(world->transactions);
	assert_false(transactions_idle(world->transactions));
	world_take_markers(world);
	assert_int_equal(world->sent_count, 0);
	assert_true(transactions_idle(world->transactions));
	assert_true(transactions_turn(world->transactions) == UINT64_MAX);
	assert_int_equal(world_appended(world), stored);
	world_free(world);
}

static void nothing_is_stored_after_the_stop(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	size_t stored = world_appended(world);
	transactions_stop(world->transactions);
	world_take_markers(world);
	assert_int_equal(world_appended(world), stored);
	world->hold_markers = false;
	world_restart(world);
	assert_string_equal(world_state(world, "app"), "CompleteCommit");
	assert_int_equal(world_times_told(world, "out", 0, producer.producer_id, true), 2);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_marker_waits_for_the_partition_to_be_whole),
		cmocka_unit_test(pauses_between_tries_grow),
		cmocka_unit_test(an_owner_without_the_transaction_is_done),
		cmocka_unit_test(an_owner_that_knows_a_later_producer_is_done),
		cmocka_unit_test(a_topic_that_is_gone_holds_nothing_up),
		cmocka_unit_test(groups_that_are_not_loaded_are_told_later),
		cmocka_unit_test(markers_wait_for_the_topics_to_be_known),
		cmocka_unit_test(few_markers_of_a_shard_are_on_the_way_at_a_time),
		cmocka_unit_test(markers_on_the_way_outlive_a_log_that_fails),
		cmocka_unit_test(after_the_stop_no_marker_leaves),
		cmocka_unit_test(nothing_is_stored_after_the_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
