/* Offsets committed in transactions: who may, what is seen of them before the end, what they
 * become, and that a restart at any moment changes none of that. */
#include "base/errors.h"
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MINUTE_MS = 60000, RETENTION_MS = 10 * MINUTE_MS };

static int set_up(void **state)
{
	struct world *world = world_new(2);

	world_topic(world, "orders", 3);
	world_topic(world, "bills", 3);
	world->config.offsets_retention_minutes = RETENTION_MS / MINUTE_MS;
	world->config.offsets_retention_check_interval_ms = MINUTE_MS;
	world_restart(world); /* the interval is read when it begins */
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_check_restart(*state);
	world_free(*state);
	return 0;
}

static int32_t home_of(const char *group)
{
	struct kafka_string id = kafka_string_of(group);

	return group_partition_of(&id, 2);
}

static int16_t stable_error(struct world *world, const char *topic, int32_t partition)
{
	return stable_one(world, 8, "g", topic, partition).error;
}

static int64_t offset_of(struct world *world, const char *topic, int32_t partition)
{
	return fetch_one(world, 8, "g", topic, partition).offset;
}

/* ---- the end ---- */

static void a_transaction_ends_in_all_groups_of_the_partition_and_in_no_other(void **state)
{
	static const char *const ids[] = {"a", "b", "c", "d", "e", "f"};
	struct world *world = *state;

	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(txn_one(world, ids[i], 7, "orders", 0, 10), KAFKA_NONE);
		assert_int_equal(txn_one(world, ids[i], 8, "orders", 1, 20), KAFKA_NONE);
	}
	assert_int_equal(txn_end(world, "c", 7, true), 0);
	for (size_t i = 0; i < 6; i++) {
		bool ended = home_of(ids[i]) == home_of("c");
		assert_int_equal(fetch_one(world, 8, ids[i], "orders", 0).offset, ended ? 10 : -1);
		assert_int_equal(stable_one(world, 8, ids[i], "orders", 0).error,
				 ended ? KAFKA_NONE : KAFKA_UNSTABLE_OFFSET_COMMIT);
		assert_int_equal(stable_one(world, 8, ids[i], "orders", 1).error,
				 KAFKA_UNSTABLE_OFFSET_COMMIT);
	}
	assert_int_not_equal(home_of("a"), home_of("b"));
}

static void an_end_is_told_when_it_is_durable(void **state)
{
	struct world *world = *state;
	struct ending ending;

	assert_int_equal(txn_end(world, "g", 7, true), 0); /* of nothing: at once */
	assert_int_equal(world_appended(world), 0);
	txn_one(world, "g", 7, "orders", 0, 6);
	world->log.hold = true;
	assert_int_equal(txn_end_begin(world, "g", 7, true, &ending), 0);
	assert_false(ending.done);
	world_flush(world, home_of("g"));
	assert_true(ending.done);
	assert_int_equal(ending.rc, 0);
	world->log.hold = false;
}

static void a_lost_end_is_told_and_leaves_the_offsets_pending(void **state)
{
	struct world *world = *state;
	struct ending ending;

	txn_one(world, "g", 7, "orders", 0, 6);
	world->log.hold = true;
	assert_int_equal(txn_end_begin(world, "g", 7, true, &ending), 0);
	world_fail(world, home_of("g"));
	world->log.hold = false;
	assert_true(ending.done);
	assert_int_equal(ending.rc, -EIO);
	assert_int_equal(offset_of(world, "orders", 0), -1);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_UNSTABLE_OFFSET_COMMIT);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), 6);
}

static void there_is_no_end_while_the_partition_is_loaded_or_after_the_stop(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 6);
	groups_begin_load(world->groups, home_of("g"));
	assert_int_equal(txn_end(world, "g", 7, true), -ERR_LOADING);
	world_restart(world);
	groups_stop(world->groups);
	assert_int_equal(txn_end(world, "g", 7, true), -ERR_LOADING);
	world_restart(world);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_UNSTABLE_OFFSET_COMMIT);
}

static void where_no_group_lives_there_is_nothing_to_end(void **state)
{
	struct world *world = *state;

	for (int32_t partition = -1; partition <= 2; partition += 3) {
		struct ending ending;
		assert_int_equal(txn_end_at(world, partition, 7, true, &ending), 0);
		assert_true(ending.done);
	}
}

static void groups_without_partitions_live_nowhere(void **state)
{
	struct world *world = *state;
	struct groups_options options = world->groups->options;
	struct kafka_string id = kafka_string_of("g");
	struct state_wait wait = {0};
	struct groups *groups;

	assert_int_equal(groups_partition_of(world->groups, &id), home_of("g"));
	assert_int_equal(groups_new(&groups, &options), 0);
	assert_int_equal(groups_partition_of(groups, &id), -1);
	assert_int_equal(groups_end_transaction(groups, 0, 7, true, &wait), -ERR_LOADING);
	groups_free(groups);
}

/* Wherever memory runs out: each offset is pending or settled, and a second attempt settles all. */
static void an_end_that_ran_out_of_memory_goes_on_where_it_was(void **state)
{
	enum { APPENDS = 6 }; /* two records each */
	struct world *world = *state;

	for (unsigned room = 0; room <= APPENDS; room++) {
		int64_t offset = 100 + room;
		for (int32_t i = 0; i < 3; i++)
			txn_one(world, "g", 7, "orders", i, offset);
		world->log.refuse_after = room;
		assert_int_equal(txn_end(world, "g", 7, true), room < APPENDS ? -ENOMEM : 0);
		world->log.refuse_after = UINT_MAX;
		assert_int_equal(world->groups->pending_count, (APPENDS - room + 1) / 2);
		world_check_restart(world);
		/* What is committed in between is later, also than what was settled halfway. */
		if (room % 2)
			commit_one(world, 8, "g", "orders", 0, 50);
		world_restart(world);
		assert_int_equal(txn_end(world, "g", 7, true), 0);
		assert_int_equal(offset_of(world, "orders", 0), room % 2 ? 50 : offset);
		assert_int_equal(offset_of(world, "orders", 1), offset);
		assert_int_equal(offset_of(world, "orders", 2), offset);
	}
}

/* ---- which of several counts ---- */

static void of_a_transaction_and_a_plain_commit_the_later_counts(void **state)
{
	struct world *world = *state;

	for (int restart = 0; restart < 2; restart++) {
		txn_one(world, "g", 7, "orders", 0, 10);
		commit_one(world, 8, "g", "orders", 0, 20);
		commit_one(world, 8, "g", "orders", 1, 20);
		txn_one(world, "g", 7, "orders", 1, 10);
		/* Once more is later, too. */
		txn_one(world, "g", 7, "orders", 2, 10);
		commit_one(world, 8, "g", "orders", 2, 20);
		txn_one(world, "g", 7, "orders", 2, 30);
		if (restart)
			world_restart(world);
		assert_int_equal(txn_end(world, "g", 7, true), 0);
		assert_int_equal(offset_of(world, "orders", 0), 20);
		assert_int_equal(offset_of(world, "orders", 1), 10);
		assert_int_equal(offset_of(world, "orders", 2), 30);
		world_check_restart(world);
	}
}

static void of_two_transactions_the_later_commit_counts_whichever_ends_first(void **state)
{
	struct world *world = *state;

	for (int restart = 0; restart < 2; restart++) {
		for (int32_t i = 0; i < 2; i++) {
			txn_one(world, "g", 7, "orders", i, 10);
			txn_one(world, "g", 8, "orders", i, 20);
		}
		txn_one(world, "g", 7, "orders", 1, 30);
		assert_int_equal(txn_end(world, "g", 7, true), 0);
		assert_int_equal(offset_of(world, "orders", 0), 10);
		assert_int_equal(stable_error(world, "orders", 0), KAFKA_UNSTABLE_OFFSET_COMMIT);
		if (restart)
			world_restart(world);
		assert_int_equal(txn_end(world, "g", 8, true), 0);
		assert_int_equal(offset_of(world, "orders", 0), 20);
		assert_int_equal(offset_of(world, "orders", 1), 30);
		world_check_restart(world);
	}
}

/* A rewrite writes them in an order that is not that of their commits. */
static void which_one_counts_survives_a_rewrite_that_ran_out_of_memory(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 10);
	commit_one(world, 8, "g", "orders", 0, 20);
	txn_one(world, "g", 8, "orders", 0, 30);
	for (unsigned room = 0; room <= 3; room++) {
		world->log.refuse_after = room;
		assert_int_equal(groups_rewrite(world->groups, home_of("g")),
				 room < 3 ? -ENOMEM : 0);
		world->log.refuse_after = UINT_MAX;
		world_check_restart(world);
		world_restart(world);
	}
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), 20);
	assert_int_equal(txn_end(world, "g", 8, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), 30);
}

/* ---- what goes before the end ---- */

static void pending_offsets_go_with_their_topic_and_do_not_come_back(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 10);
	txn_one(world, "g", 7, "bills", 0, 10);
	txn_one(world, "h", 7, "orders", 0, 10);
	world_delete_topic(world, "orders");
	assert_int_equal(world->groups->count, 1);
	assert_int_equal(world->groups->pending_count, 1);
	world_topic(world, "orders", 3);
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), -1);
	assert_int_equal(offset_of(world, "bills", 0), 10);
}

static void what_could_not_be_forgotten_is_not_taken_for_a_new_topics(void **state)
{
	struct world *world = *state;

	txn_one(world, "g", 7, "orders", 0, 10);
	world->log.refuse_after = 0;
	world_delete_topic(world, "orders");
	world_topic(world, "orders", 3);
	assert_int_equal(world->groups->pending_count, 1);
	world->log.refuse_after = UINT_MAX;
	assert_int_equal(stable_error(world, "orders", 0), KAFKA_NONE);
	commit_one(world, 8, "g", "orders", 0, 1);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(offset_of(world, "orders", 0), 1);
}

static void deleted_offsets_are_not_pending_any_more(void **state)
{
	struct world *world = *state;
	struct world_request *ask = delete_ask(world, "g");

	commit_one(world, 8, "g", "orders", 0, 5);
	for (int64_t producer = 7; producer <= 8; producer++) {
		txn_one(world, "g", producer, "orders", 0, 10);
		txn_one(world, "g", producer, "orders", 1, 10);
		txn_one(world, "g", producer, "bills", 1, 10);
	}
	delete_add(ask, "orders", 0);
	delete_add(ask, "orders", 1);
	delete_add(ask, "orders", 2);
	world_send(ask);
	for (int32_t i = 0; i < 3; i++)
		assert_int_equal(delete_error(ask, "orders", i), KAFKA_NONE);
	world_check_restart(world);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(txn_end(world, "g", 8, false), 0);
	assert_int_equal(offset_of(world, "orders", 0), -1);
	assert_int_equal(offset_of(world, "orders", 1), -1);
	assert_int_equal(offset_of(world, "bills", 1), 10);
}

static void a_group_is_deleted_with_what_is_pending_in_it(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 5);
	txn_one(world, "g", 7, "orders", 0, 10);
	txn_one(world, "g", 8, "orders", 1, 10);
	for (unsigned room = 0; room <= 3; room++) {
		struct world_request *ask = world_ask(world, KAFKA_DELETE_GROUPS, 2);
		struct kafka_delete_groups_request *message = ask->message;
		struct kafka_string id = kafka_string_of("g");
		message->groups_names = &id;
		message->groups_names_count = 1;
		world->log.refuse_after = room ? 1 : 0; /* one more is gone each time */
		world_send(ask);
		world->log.refuse_after = UINT_MAX;
		const struct kafka_delete_groups_response *answer = world_answer(ask);
		assert_int_equal(answer->results[0].error_code,
				 room < 3 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE);
		world_check_restart(world);
	}
	assert_int_equal(world->groups->count, 0);
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	assert_int_equal(world->groups->count, 0);
}

/* ---- what stays until the end ---- */

static void neither_pending_offsets_nor_those_beside_them_expire(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 5);
	commit_one(world, 8, "g", "orders", 1, 5);
	txn_one(world, "g", 7, "orders", 0, 10);
	txn_one(world, "h", 7, "orders", 0, 10);
	world_advance(world, 2 * RETENTION_MS);
	assert_int_equal(offset_of(world, "orders", 0), 5);
	assert_int_equal(offset_of(world, "orders", 1), -1);
	assert_int_equal(stable_one(world, 8, "h", "orders", 0).error,
			 KAFKA_UNSTABLE_OFFSET_COMMIT);
	assert_int_equal(txn_end(world, "g", 7, false), 0);
	assert_int_equal(txn_end(world, "h", 7, false), 0);
	world_advance(world, 2 * MINUTE_MS);
	assert_int_equal(world->groups->count, 0);
}

static void an_empty_group_with_pending_offsets_does_not_disappear(void **state)
{
	struct world *world = *state;

	fake_classic(world->groups, "g", "consumer", 0);
	txn_one(world, "g", 7, "orders", 0, 10);
	world_advance(world, 2 * RETENTION_MS);
	assert_non_null(fake_find(world->groups, "g"));
	assert_int_equal(txn_end(world, "g", 7, true), 0);
	/* It was committed when the transaction was given it. */
	world_advance(world, 2 * MINUTE_MS);
	assert_int_equal(world->groups->count, 0);
}

/* ---- anything in any order ---- */

/* The model: per partition what is committed, and what each producer has pending with the step at
 * which it came. */
enum { PRODUCERS = 3, PARTITIONS = 3, STEPS = 4000 };

struct model {
	int64_t committed[PARTITIONS], committed_at[PARTITIONS];
	int64_t pending[PRODUCERS][PARTITIONS]; /* -1: none; the offset is the step */
};

static void model_end(struct model *model, unsigned producer, bool commit)
{
	for (int i = 0; i < PARTITIONS; i++) {
		int64_t pending = model->pending[producer][i];
		if (commit && pending > model->committed_at[i])
			model->committed[i] = model->committed_at[i] = pending;
		model->pending[producer][i] = -1;
	}
}

static void model_forget(struct model *model, int partition)
{
	model->committed[partition] = model->committed_at[partition] = -1;
	for (int i = 0; i < PRODUCERS; i++)
		model->pending[i][partition] = -1;
}

static void check_model(struct world *world, const struct model *model)
{
	for (int32_t i = 0; i < PARTITIONS; i++) {
		bool unstable = false;
		for (int j = 0; j < PRODUCERS; j++)
			unstable |= model->pending[j][i] >= 0;
		assert_int_equal(offset_of(world, "orders", i), model->committed[i]);
		assert_int_equal(stable_error(world, "orders", i),
				 unstable ? KAFKA_UNSTABLE_OFFSET_COMMIT : KAFKA_NONE);
	}
}

static void model_step(struct world *world, struct model *model, uint64_t random, int64_t step)
{
	unsigned producer = (unsigned)(random >> 20) % PRODUCERS;
	int32_t partition = (int32_t)(random >> 30) % PARTITIONS;
	bool commit = random >> 40 & 1;
	struct world_request *ask;

	switch (random % 12) {
	case 0:
		world_restart(world);
		break;
	case 1:
		ask = delete_ask(world, "g");
		delete_add(ask, "orders", partition);
		world_send(ask);
		model_forget(model, partition);
		break;
	case 2:
		if (commit) {
			world_delete_topic(world, "orders");
			world_topic(world, "orders", PARTITIONS);
			for (int i = 0; i < PARTITIONS; i++)
				model_forget(model, i);
		}
		break;
	case 3: /* in several goes */
		world->log.refuse_after = (unsigned)(random >> 44) % 4;
		if (txn_end(world, "g", producer, commit) == 0)
			model_end(model, producer, commit);
		world->log.refuse_after = UINT_MAX;
		assert_int_equal(txn_end(world, "g", producer, commit), 0);
		model_end(model, producer, commit);
		break;
	case 4:
	case 5:
		assert_int_equal(txn_end(world, "g", producer, commit), 0);
		model_end(model, producer, commit);
		break;
	case 6:
	case 7:
		commit_one(world, 8, "g", "orders", partition, step);
		model->committed[partition] = model->committed_at[partition] = step;
		break;
	case 8: { /* lost: what was stands */
		struct ending ending;
		world->log.hold = true;
		txn_end_begin(world, "g", producer, commit, &ending);
		world_fail(world, home_of("g"));
		world->log.hold = false;
		break;
	}
	default:
		assert_int_equal(txn_one(world, "g", producer, "orders", partition, step),
				 KAFKA_NONE);
		model->pending[producer][partition] = step;
	}
}

static void pending_offsets_survive_whatever_happens(void **state)
{
	struct world *world = *state;
	struct model model;
	uint64_t seed = 42;

	memset(&model, -1, sizeof(model));
	print_message("seed %llu\n", (unsigned long long)seed);
	for (int64_t step = 1; step <= STEPS; step++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		model_step(world, &model, seed >> 16, step);
		check_model(world, &model);
		if (step % 50 == 0)
			world_check_restart(world);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_transaction_ends_in_all_groups_of_the_partition_and_in_no_other),
		TEST(an_end_is_told_when_it_is_durable),
		TEST(a_lost_end_is_told_and_leaves_the_offsets_pending),
		TEST(there_is_no_end_while_the_partition_is_loaded_or_after_the_stop),
		TEST(where_no_group_lives_there_is_nothing_to_end),
		TEST(groups_without_partitions_live_nowhere),
		TEST(an_end_that_ran_out_of_memory_goes_on_where_it_was),
		TEST(of_a_transaction_and_a_plain_commit_the_later_counts),
		TEST(of_two_transactions_the_later_commit_counts_whichever_ends_first),
		TEST(which_one_counts_survives_a_rewrite_that_ran_out_of_memory),
		TEST(pending_offsets_go_with_their_topic_and_do_not_come_back),
		TEST(what_could_not_be_forgotten_is_not_taken_for_a_new_topics),
		TEST(deleted_offsets_are_not_pending_any_more),
		TEST(a_group_is_deleted_with_what_is_pending_in_it),
		TEST(neither_pending_offsets_nor_those_beside_them_expire),
		TEST(an_empty_group_with_pending_offsets_does_not_disappear),
		TEST(pending_offsets_survive_whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
