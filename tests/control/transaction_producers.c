#include "tests/control/transaction_producers.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { TIMEOUT_MS = 60000 };

#define ADD_TOPIC struct kafka_add_partitions_to_txn_request_add_partitions_to_txn_topic
#define COMMIT(what) struct kafka_txn_offset_commit_request_txn_offset_commit_request_##what

/* ---- InitProducerId ---- */

struct world_request *producer_ask_init(struct producer *producer, bool again)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_INIT_PRODUCER_ID,
					      producer->version_2 ? 5 : 4);
	struct kafka_init_producer_id_request *init = ask->message;

	init->transactional_id = kafka_string_of(producer->id);
	init->transaction_timeout_ms = TIMEOUT_MS;
	if (again) {
		init->producer_id = producer->producer_id;
		init->producer_epoch = producer->epoch;
	}
	world_send(ask);
	return ask;
}

int16_t producer_inited(struct producer *producer, struct world_request *ask)
{
	const struct kafka_init_producer_id_response *answer = world_answer(ask);

	if (!answer->error_code) {
		producer->producer_id = answer->producer_id;
		producer->epoch = answer->producer_epoch;
	} else {
		assert_int_equal(answer->producer_id, -1);
	}
	return answer->error_code;
}

int16_t producer_init(struct producer *producer, bool again)
{
	return producer_inited(producer, producer_ask_init(producer, again));
}

/* ---- partitions ---- */

void producer_send_question(struct producer *producer, struct world_ask *ask, const char *topic,
			    int32_t partition, bool add)
{
	*ask = (struct world_ask){.ask = {
					  .transactional_id = kafka_string_of(producer->id),
					  .producer_id = producer->producer_id,
					  .producer_epoch = producer->epoch,
					  .topic = kafka_string_of(topic),
					  .partition = partition,
					  .add = add,
				  }};
	transactions_ask(producer->world->transactions, &ask->ask);
}

int producer_question(struct producer *producer, const char *topic, int32_t partition, bool add)
{
	struct world_ask ask;

	producer_send_question(producer, &ask, topic, partition, add);
	assert_true(ask.answered);
	return ask.ask.rc;
}

struct world_request *producer_ask_add(struct producer *producer, const char *topic,
				       int32_t partition)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_ADD_PARTITIONS_TO_TXN, 3);
	struct kafka_add_partitions_to_txn_request *add = ask->message;

	add->transactional_id = kafka_string_of(producer->id);
	add->producer_id = producer->producer_id;
	add->producer_epoch = producer->epoch;
	add->topics = world_alloc(ask, 1, sizeof(ADD_TOPIC));
	add->topics_count = 1;
	add->topics[0].name = kafka_string_of(topic);
	add->topics[0].partitions = world_alloc(ask, 1, sizeof(int32_t));
	add->topics[0].partitions_count = 1;
	add->topics[0].partitions[0] = partition;
	world_send(ask);
	return ask;
}

int16_t producer_added(struct world_request *ask)
{
	const struct kafka_add_partitions_to_txn_response *answer = world_answer(ask);

	assert_int_equal(answer->topics_count, 1);
	assert_int_equal(answer->topics[0].partitions_count, 1);
	return answer->topics[0].partitions[0].error_code;
}

int16_t producer_add(struct producer *producer, const char *topic, int32_t partition)
{
	if (producer->version_2)
		return kafka_code_of(producer_question(producer, topic, partition, true));
	int16_t error = producer_added(producer_ask_add(producer, topic, partition));
	return error ? error : kafka_code_of(producer_question(producer, topic, partition, false));
}

int16_t producer_add_offsets(struct producer *producer, const char *group)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_ADD_OFFSETS_TO_TXN, 4);
	struct kafka_add_offsets_to_txn_request *add = ask->message;

	add->transactional_id = kafka_string_of(producer->id);
	add->producer_id = producer->producer_id;
	add->producer_epoch = producer->epoch;
	add->group_id = kafka_string_of(group);
	world_send(ask);
	return ((struct kafka_add_offsets_to_txn_response *)world_answer(ask))->error_code;
}

int16_t producer_commit_offsets(struct producer *producer, const char *group)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_TXN_OFFSET_COMMIT,
					      producer->version_2 ? 5 : 4);
	struct kafka_txn_offset_commit_request *commit = ask->message;

	commit->transactional_id = kafka_string_of(producer->id);
	commit->producer_id = producer->producer_id;
	commit->producer_epoch = producer->epoch;
	commit->group_id = kafka_string_of(group);
	commit->topics = world_alloc(ask, 1, sizeof(COMMIT(topic)));
	commit->topics_count = 1;
	commit->topics[0].name = kafka_string_of("in");
	commit->topics[0].partitions = world_alloc(ask, 1, sizeof(COMMIT(partition)));
	commit->topics[0].partitions_count = 1;
	world_send(ask);
	if (ask->admitted)
		return KAFKA_NONE;
	const struct kafka_txn_offset_commit_response *answer = world_answer(ask);
	assert_int_equal(answer->topics_count, 1);
	assert_int_equal(answer->topics[0].partitions_count, 1);
	return answer->topics[0].partitions[0].error_code;
}

/* ---- EndTxn ---- */

struct world_request *producer_ask_end(struct producer *producer, bool commit)
{
	struct world_request *ask = world_ask(producer->world, KAFKA_END_TXN,
					      producer->version_2 ? 5 : 4);
	struct kafka_end_txn_request *end = ask->message;

	end->transactional_id = kafka_string_of(producer->id);
	end->producer_id = producer->producer_id;
	end->producer_epoch = producer->epoch;
	end->committed = commit;
	world_send(ask);
	return ask;
}

int16_t producer_ended(struct producer *producer, struct world_request *ask)
{
	const struct kafka_end_txn_response *answer = world_answer(ask);

	if (!answer->error_code && producer->version_2) {
		producer->producer_id = answer->producer_id;
		producer->epoch = answer->producer_epoch;
	}
	return answer->error_code;
}

int16_t producer_end(struct producer *producer, bool commit)
{
	return producer_ended(producer, producer_ask_end(producer, commit));
}

/* ---- what became of it ---- */

const char *world_state(struct world *world, const char *id)
{
	struct world_request *ask = world_ask(world, KAFKA_DESCRIBE_TRANSACTIONS, 0);
	struct kafka_describe_transactions_request *describe = ask->message;

	describe->transactional_ids = world_alloc(ask, 1, sizeof(struct kafka_string));
	describe->transactional_ids_count = 1;
	describe->transactional_ids[0] = kafka_string_of(id);
	world_send(ask);
	const struct kafka_describe_transactions_response *answer = world_answer(ask);
	assert_int_equal(answer->transaction_states_count, 1);
	const struct kafka_string *state = &answer->transaction_states[0].transaction_state;
	char *text = world_alloc(ask, 1, (size_t)state->length + 1);
	bytes_copy(text, state->data, (size_t)state->length);
	return text;
}

size_t world_times_told(const struct world *world, const char *topic, int32_t partition,
			int64_t producer_id, bool commit)
{
	size_t times = 0;

	for (size_t i = 0; i < world->told_count; i++) {
		const struct world_told *told = &world->told[i];
		times += strcmp(told->topic, topic) == 0 && told->partition == partition &&
			 told->producer_id == producer_id && told->commit == commit;
	}
	return times;
}
