/* What requests are refused, with which error, and where limits are; producer ids that come late;
 * what administrators see. */
#include "base/bytes.h"
#include "base/errors.h"
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

static struct producer producer_of(struct world *world, const char *id, bool version_2)
{
	struct producer producer = {.world = world, .id = id, .version_2 = version_2};

	assert_int_equal(producer_init(&producer, false), KAFKA_NONE);
	return producer;
}

/* ---- InitProducerId ---- */

static int16_t init_error(struct world *world, int16_t version, const char *id, int32_t timeout_ms,
			  int64_t producer_id, int16_t epoch)
{
	struct world_request *ask = world_ask(world, KAFKA_INIT_PRODUCER_ID, version);
	struct kafka_init_producer_id_request *init = ask->message;

	init->transactional_id = kafka_string_of(id);
	init->transaction_timeout_ms = timeout_ms;
	if (version >= 3) {
		init->producer_id = producer_id;
		init->producer_epoch = epoch;
	}
	world_send(ask);
	const struct kafka_init_producer_id_response *answer = world_answer(ask);
	assert_int_equal(answer->error_code ? -1 : 0, answer->producer_id < 0 ? -1 : 0);
	return answer->error_code;
}

static void a_producer_has_to_say_what_makes_sense(void **state)
{
	struct world *world = world_with_topics();

	assert_int_equal(init_error(world, 5, "", 1000, -1, -1), KAFKA_INVALID_REQUEST);
	assert_int_equal(init_error(world, 5, "a", 0, -1, -1), KAFKA_INVALID_TRANSACTION_TIMEOUT);
	assert_int_equal(init_error(world, 5, "a", -5, -1, -1), KAFKA_INVALID_TRANSACTION_TIMEOUT);
	assert_int_equal(init_error(world, 5, "a", 900001, -1, -1),
			 KAFKA_INVALID_TRANSACTION_TIMEOUT);
	assert_int_equal(init_error(world, 5, "a", 1000, 7, -1), KAFKA_INVALID_REQUEST);
	assert_int_equal(init_error(world, 5, "a", 1000, -1, 7), KAFKA_INVALID_REQUEST);
	assert_int_equal(world->transactions->count, 0);
	assert_int_equal(init_error(world, 0, "a", 900000, -1, -1), KAFKA_NONE);
	assert_int_equal(init_error(world, 5, "a", 1000, 7, 0), KAFKA_PRODUCER_FENCED);
	assert_int_equal(init_error(world, 4, "a", 1000, 1000, 5), KAFKA_PRODUCER_FENCED);
	assert_int_equal(init_error(world, 3, "a", 1000, 1000, 5), KAFKA_INVALID_PRODUCER_EPOCH);
	world_free(world);
}

static void there_are_so_many_ids_at_most(void **state)
{
	struct world *world = world_with_topics();

	world->config.transactional_ids_max = 2;
	assert_int_equal(init_error(world, 5, "a", 1000, -1, -1), KAFKA_NONE);
	assert_int_equal(init_error(world, 5, "b", 1000, -1, -1), KAFKA_NONE);
	assert_int_equal(init_error(world, 5, "c", 1000, -1, -1), KAFKA_POLICY_VIOLATION);
	assert_int_equal(init_error(world, 5, "a", 1000, -1, -1), KAFKA_NONE);
	/* What is stored is read all the same. */
	world->config.transactional_ids_max = 1;
	world_restart(world);
	assert_int_equal(world->transactions->count, 2);
	world_free(world);
}

static void an_id_has_so_many_bytes_at_most(void **state)
{
	struct world *world = world_with_topics();
	char id[TRANSACTIONAL_ID_BYTES_MAX + 2] = {0};

	memset(id, 'a', TRANSACTIONAL_ID_BYTES_MAX);
	assert_int_equal(init_error(world, 5, id, 1000, -1, -1), KAFKA_NONE);
	id[TRANSACTIONAL_ID_BYTES_MAX] = 'a';
	assert_int_equal(init_error(world, 5, id, 1000, -1, -1), KAFKA_POLICY_VIOLATION);
	world_free(world);
}

static void requests_wait_for_producer_ids(void **state)
{
	struct world *world = world_with_topics();
	struct producer a = {.world = world, .id = "a", .version_2 = true};
	struct producer b = {.world = world, .id = "b", .version_2 = true};

	world->hold_ids = true;
	struct world_request *of_a = producer_ask_init(&a, false);
	struct world_request *of_b = producer_ask_init(&b, false);
	struct world_request *again = producer_ask_init(&a, false);
	assert_false(of_a->answered || of_b->answered || again->answered);
	world_give_ids(world, 1, 0);
	assert_int_equal(producer_inited(&a, of_a), KAFKA_NONE);
	assert_int_equal(a.producer_id, 1000);
	assert_int_equal(producer_inited(&a, again), KAFKA_NONE);
	assert_int_equal(a.epoch, 1);
	assert_false(of_b->answered);
	world_give_ids(world, 1, 0);
	assert_int_equal(producer_inited(&b, of_b), KAFKA_NONE);
	assert_int_equal(b.producer_id, 1001);
	world_free(world);
}

static void no_producer_ids_are_no_coordinator(void **state)
{
	struct world *world = world_with_topics();
	struct producer a = {.world = world, .id = "a", .version_2 = true};

	world->hold_ids = true;
	struct world_request *ask = producer_ask_init(&a, false);
	world_give_ids(world, 0, -EIO);
	assert_int_equal(producer_inited(&a, ask), KAFKA_COORDINATOR_NOT_AVAILABLE);
	/* Nor is there one when it stops. */
	ask = producer_ask_init(&a, false);
	assert_false(ask->answered);
	transactions_stop(world->transactions);
	assert_int_equal(producer_inited(&a, ask), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(producer_init(&a, false), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(producer_end(&a, true), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(producer_question(&a, "out", 0, true), -ERR_NO_COORDINATOR);
	assert_int_equal(producer_commit_offsets(&a, "g"), KAFKA_COORDINATOR_NOT_AVAILABLE);
	world_free(world);
}

static void without_its_topic_there_is_no_coordinator(void **state)
{
	struct world *world = world_with_topics();
	struct producer a = {.world = world, .id = "a", .version_2 = true};
	struct transactions *own = world->transactions, *none;
	struct transactions_options options = own->options;

	assert_int_equal(transactions_new(&none, &options), 0);
	world->transactions = none;
	assert_int_equal(producer_init(&a, false), KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_int_equal(producer_question(&a, "out", 0, true), -ERR_NO_COORDINATOR);
	transactions_stop(none);
	transactions_free(none);
	world->transactions = own;
	world_free(world);
}

/* ---- who is not the producer ---- */

static int16_t end_error(struct producer producer, int16_t version)
{
	struct world_request *ask = world_ask(producer.world, KAFKA_END_TXN, version);
	struct kafka_end_txn_request *end = ask->message;

	end->transactional_id = kafka_string_of(producer.id);
	end->producer_id = producer.producer_id;
	end->producer_epoch = producer.epoch;
	world_send(ask);
	return ((struct kafka_end_txn_response *)world_answer(ask))->error_code;
}

static void fencing_has_the_error_of_the_version(void **state)
{
	struct world *world = world_with_topics();
	struct producer one = producer_of(world, "a", false);
	struct producer other = one;

	assert_int_equal(producer_init(&one, false), KAFKA_NONE);
	assert_int_equal(end_error(other, 1), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(end_error(other, 2), KAFKA_PRODUCER_FENCED);
	assert_int_equal(end_error(other, 5), KAFKA_PRODUCER_FENCED);
	assert_int_equal(producer_added(producer_ask_add(&other, "out", 0)), KAFKA_PRODUCER_FENCED);
	assert_int_equal(producer_add_offsets(&other, "g"), KAFKA_PRODUCER_FENCED);
	assert_int_equal(producer_commit_offsets(&other, "g"), KAFKA_INVALID_PRODUCER_EPOCH);
	assert_int_equal(producer_question(&other, "out", 0, false), -ERR_PRODUCER_EPOCH);
	other.producer_id = 77;
	assert_int_equal(end_error(other, 5), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(producer_commit_offsets(&other, "g"), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(producer_question(&other, "out", 0, true), -ERR_PRODUCER_ID);
	other.id = "nobody";
	assert_int_equal(end_error(other, 5), KAFKA_INVALID_PRODUCER_ID_MAPPING);
	assert_int_equal(producer_question(&other, "out", 0, true), -ERR_PRODUCER_ID);
	other.id = "";
	assert_int_equal(end_error(other, 5), KAFKA_INVALID_REQUEST);
	assert_int_equal(producer_commit_offsets(&other, "g"), KAFKA_INVALID_REQUEST);
	world_free(world);
}

/* ---- partitions ---- */

#define ADD_TOPIC struct kafka_add_partitions_to_txn_request_add_partitions_to_txn_topic

static const struct kafka_add_partitions_to_txn_response *add_both(struct producer *producer,
								   const char *first,
								   const char *second)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_ADD_PARTITIONS_TO_TXN, 0);
	struct kafka_add_partitions_to_txn_request *add = ask->message;
	const char *names[] = {first, second};

	add->transactional_id = kafka_string_of(producer->id);
	add->producer_id = producer->producer_id;
	add->producer_epoch = producer->epoch;
	add->topics = world_alloc(ask, 2, sizeof(ADD_TOPIC));
	add->topics_count = 2;
	for (int i = 0; i < 2; i++) {
		add->topics[i].name = kafka_string_of(names[i]);
		add->topics[i].partitions = world_alloc(ask, 1, sizeof(int32_t));
		add->topics[i].partitions_count = 1;
	}
	world_send(ask);
	return world_answer(ask);
}

static void one_unknown_partition_keeps_the_others_out(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", false);

	world_topic(world, "other", 1);
	const struct kafka_add_partitions_to_txn_response *answer = add_both(&producer, "out",
									     "missing");
	assert_int_equal(answer->topics[0].partitions[0].error_code, KAFKA_OPERATION_NOT_ATTEMPTED);
	assert_int_equal(answer->topics[1].partitions[0].error_code,
			 KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	answer = add_both(&producer, OFFSETS_TOPIC, "out");
	assert_int_equal(answer->topics[0].partitions[0].error_code, KAFKA_INVALID_TOPIC_EXCEPTION);
	assert_int_equal(answer->topics[1].partitions[0].error_code, KAFKA_OPERATION_NOT_ATTEMPTED);
	assert_string_equal(world_state(world, "a"), "Empty");
	answer = add_both(&producer, "out", "out");
	assert_int_equal(answer->topics[1].partitions[0].error_code, KAFKA_NONE);
	answer = add_both(&producer, "out", "other");
	assert_int_equal(answer->topics[0].partitions[0].error_code, KAFKA_NONE);
	assert_int_equal(answer->topics[1].partitions[0].error_code, KAFKA_NONE);
	assert_int_equal(producer_added(producer_ask_add(&producer, "out", 3)),
			 KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	world_free(world);
}

static void a_partition_that_is_there_is_not_stored_again(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", true);

	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	size_t stored = world_appended(world);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(world_appended(world), stored);
	world_free(world);
}

static void a_transaction_has_so_many_partitions_at_most(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", true);

	world->config.transaction_partitions_max = 2;
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_add(&producer, "out", 1), KAFKA_NONE);
	assert_int_equal(producer_question(&producer, "out", 2, true), -ERR_LIMIT);
	assert_int_equal(producer_added(producer_ask_add(&producer, "out", 2)),
			 KAFKA_POLICY_VIOLATION);
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_int_equal(world->told_count, 2);
	world_free(world);
}

static void an_owner_is_told_what_is_not_the_transactions(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", false);

	assert_int_equal(producer_question(&producer, "out", 0, false), -ERR_TXN_STATE);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	assert_int_equal(producer_question(&producer, "out", 1, false), -ERR_TXN_STATE);
	world->hold_markers = true;
	assert_int_equal(producer_end(&producer, true), KAFKA_NONE);
	assert_int_equal(producer_question(&producer, "out", 0, false), -ERR_CONCURRENT_TXNS);
	assert_int_equal(producer_question(&producer, "out", 0, true), -ERR_CONCURRENT_TXNS);
	assert_int_equal(producer_added(producer_ask_add(&producer, "out", 0)),
			 KAFKA_CONCURRENT_TRANSACTIONS);
	assert_int_equal(producer_add_offsets(&producer, "g"), KAFKA_CONCURRENT_TRANSACTIONS);
	assert_int_equal(producer_commit_offsets(&producer, "g"),
			 KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	producer.version_2 = true;
	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_CONCURRENT_TRANSACTIONS);
	world_free(world);
}

static void offsets_are_taken_of_a_transaction_that_has_the_group(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", false);

	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_TRANSACTION_ABORTABLE);
	assert_int_equal(producer_add_offsets(&producer, "gg"), KAFKA_NONE);
	assert_int_equal(producer_commit_offsets(&producer, "g"), KAFKA_TRANSACTION_ABORTABLE);
	assert_int_equal(producer_commit_offsets(&producer, "gg"), KAFKA_NONE);
	assert_int_equal(world->admitted, 1);
	/* Until its partition is stored the groups are not asked. */
	producer.version_2 = true;
	world->log.hold = true;
	struct world_request *ask = world_ask(world, KAFKA_TXN_OFFSET_COMMIT, 5);
	struct kafka_txn_offset_commit_request *commit = ask->message;
	commit->transactional_id = kafka_string_of("a");
	commit->group_id = kafka_string_of("g");
	commit->producer_id = producer.producer_id;
	commit->producer_epoch = producer.epoch;
	world_send(ask);
	assert_false(ask->admitted);
	world_flush(world, 0);
	assert_true(ask->admitted);
	world_free(world);
}

/* ---- what administrators see ---- */

static void a_transaction_is_described(void **state)
{
	struct world *world = world_with_topics();
	struct producer producer = producer_of(world, "a", true);

	assert_int_equal(producer_add(&producer, "out", 2), KAFKA_NONE);
	assert_int_equal(producer_add(&producer, "out", 0), KAFKA_NONE);
	struct world_request *ask = world_ask(world, KAFKA_DESCRIBE_TRANSACTIONS, 0);
	struct kafka_describe_transactions_request *describe = ask->message;
	describe->transactional_ids = world_alloc(ask, 3, sizeof(struct kafka_string));
	describe->transactional_ids_count = 3;
	describe->transactional_ids[0] = kafka_string_of("a");
	describe->transactional_ids[1] = kafka_string_of("b");
	describe->transactional_ids[2] = kafka_string_of("");
	world_send(ask);
	const struct kafka_describe_transactions_response *answer = world_answer(ask);
	assert_int_equal(answer->transaction_states_count, 3);
	const struct kafka_describe_transactions_response_transaction_state *row =
		&answer->transaction_states[0];
	assert_int_equal(row->error_code, KAFKA_NONE);
	assert_int_equal(row->producer_id, producer.producer_id);
	assert_int_equal(row->producer_epoch, 0);
	assert_int_equal(row->transaction_timeout_ms, 60000);
	assert_int_equal(row->transaction_start_time_ms, world->wall_ms);
	assert_int_equal(row->topics_count, 1);
	assert_int_equal(row->topics[0].partitions_count, 2);
	assert_int_equal(row->topics[0].partitions[0], 0);
	assert_int_equal(row->topics[0].partitions[1], 2);
	assert_int_equal(answer->transaction_states[1].error_code,
			 KAFKA_TRANSACTIONAL_ID_NOT_FOUND);
	assert_int_equal(answer->transaction_states[2].error_code, KAFKA_INVALID_REQUEST);
	world_free(world);
}

struct listing {
	const char *state;       /* null: any */
	int64_t producer_ids[3]; /* up to the first that is 0 */
	int64_t duration_ms;
	const char *pattern;
};

static const struct kafka_list_transactions_response *list(struct world *world,
							   struct listing listing)
{
	struct world_request *ask = world_ask(world, KAFKA_LIST_TRANSACTIONS, 2);
	struct kafka_list_transactions_request *request = ask->message;

	request->state_filters = world_alloc(ask, 1, sizeof(struct kafka_string));
	request->producer_id_filters = world_alloc(ask, 3, sizeof(int64_t));
	if (listing.state) {
		request->state_filters_count = 1;
		request->state_filters[0] = kafka_string_of(listing.state);
	}
	for (int32_t i = 0; i < 3 && listing.producer_ids[i]; i++)
		request->producer_id_filters[request->producer_id_filters_count++] =
			listing.producer_ids[i];
	request->duration_filter = listing.duration_ms ? listing.duration_ms : -1;
	request->transactional_id_pattern = kafka_string_of(listing.pattern);
	world_send(ask);
	return world_answer(ask);
}

/* The ids, one letter each. */
static const char *listed(struct world *world, struct listing listing)
{
	static char ids[16];
	const struct kafka_list_transactions_response *answer = list(world, listing);

	assert_int_equal(answer->error_code, KAFKA_NONE);
	assert_in_range(answer->transaction_states_count, 0, sizeof(ids) - 1);
	memset(ids, 0, sizeof(ids));
	for (int32_t i = 0; i < answer->transaction_states_count; i++)
		ids[i] = answer->transaction_states[i].transactional_id.data[0];
	return ids;
}

static void transactions_are_listed_by_what_they_are(void **state)
{
	struct world *world = world_with_topics();
	struct producer a = producer_of(world, "a", true);
	struct producer b = producer_of(world, "b", true);
	struct producer c = producer_of(world, "c2", true);

	assert_int_equal(producer_add(&a, "out", 0), KAFKA_NONE);
	world_advance(world, 10000);
	assert_int_equal(producer_add(&b, "out", 0), KAFKA_NONE);
	world_advance(world, 10000);
	assert_string_equal(listed(world, (struct listing){0}), "abc");
	assert_string_equal(listed(world, (struct listing){.state = "Ongoing"}), "ab");
	assert_string_equal(listed(world, (struct listing){.state = "Dead"}), "");
	assert_string_equal(listed(world, (struct listing){.producer_ids = {c.producer_id}}), "c");
	assert_string_equal(
		listed(world,
		       (struct listing){.producer_ids = {INT64_MAX, c.producer_id, b.producer_id}}),
		"bc");
	assert_string_equal(listed(world, (struct listing){.duration_ms = 15000}), "a");
	assert_string_equal(listed(world, (struct listing){.pattern = "[b-z].*"}), "bc");
	assert_string_equal(listed(world, (struct listing){.pattern = "c"}), "");
	assert_string_equal(listed(world, (struct listing){.pattern = ""}), "abc");
	const struct kafka_list_transactions_response *answer =
		list(world, (struct listing){.state = "Strange"});
	assert_int_equal(answer->transaction_states_count, 0);
	assert_int_equal(answer->unknown_state_filters_count, 1);
	answer = list(world, (struct listing){.pattern = "("});
	assert_int_equal(answer->error_code, KAFKA_INVALID_REGULAR_EXPRESSION);
	transactions_begin_load(world->transactions, 0);
	answer = list(world, (struct listing){0});
	assert_int_equal(answer->error_code, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	transactions_end_load(world->transactions, 0);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_producer_has_to_say_what_makes_sense),
		cmocka_unit_test(there_are_so_many_ids_at_most),
		cmocka_unit_test(an_id_has_so_many_bytes_at_most),
		cmocka_unit_test(requests_wait_for_producer_ids),
		cmocka_unit_test(no_producer_ids_are_no_coordinator),
		cmocka_unit_test(without_its_topic_there_is_no_coordinator),
		cmocka_unit_test(fencing_has_the_error_of_the_version),
		cmocka_unit_test(one_unknown_partition_keeps_the_others_out),
		cmocka_unit_test(a_partition_that_is_there_is_not_stored_again),
		cmocka_unit_test(a_transaction_has_so_many_partitions_at_most),
		cmocka_unit_test(an_owner_is_told_what_is_not_the_transactions),
		cmocka_unit_test(offsets_are_taken_of_a_transaction_that_has_the_group),
		cmocka_unit_test(a_transaction_is_described),
		cmocka_unit_test(transactions_are_listed_by_what_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
