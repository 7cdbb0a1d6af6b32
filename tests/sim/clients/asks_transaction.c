#include "base/check.h"
#include "kafka_messages.h"
#include "tests/sim/clients/asks.h"
#include "tests/sim/clients/asks_internal.h"

#include <errno.h>

enum {
	VERSION_INIT = 4,
	VERSION_ADD = 3,
	VERSION_SEND = 3,
	VERSION_SEND_IMPLICIT = 5,
	VERSION_END = 4,
	VERSION_END_IMPLICIT = 5,
	TRANSACTION_TIMEOUT_MS = 30000,
};

int ask_producer_id(struct client *client, struct transactional *transactional)
{
	struct kafka_init_producer_id_request request;
	void *answer;

	kafka_init_producer_id_request_init(&request);
	request.transactional_id = kafka_string_of(transactional->id);
	request.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS;
	int rc = ask_call(client, KAFKA_INIT_PRODUCER_ID, VERSION_INIT, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_init_producer_id_response *response = answer;
	if (response->error_code == 0) {
		transactional->producer_id = response->producer_id;
		transactional->epoch = response->producer_epoch;
	}
	return ask_result(response->error_code);
}

int ask_add_partition(struct client *client, const struct transactional *transactional,
		      const struct topic *topic, unsigned partition)
{
	struct kafka_add_partitions_to_txn_request request;
	struct kafka_add_partitions_to_txn_request_add_partitions_to_txn_topic row;
	int32_t index = (int32_t)partition;
	void *answer;

	kafka_add_partitions_to_txn_request_init(&request);
	kafka_add_partitions_to_txn_request_add_partitions_to_txn_topic_init(&row);
	request.transactional_id = kafka_string_of(transactional->id);
	request.producer_id = transactional->producer_id;
	request.producer_epoch = transactional->epoch;
	request.topics = &row;
	request.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partitions = &index;
	row.partitions_count = 1;
	int rc = ask_call(client, KAFKA_ADD_PARTITIONS_TO_TXN, VERSION_ADD, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_add_partitions_to_txn_response *response = answer;
	if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
		return -EPROTO;
	return ask_result(response->topics[0].partitions[0].error_code);
}

int ask_add_group(struct client *client, const struct transactional *transactional,
		  const char *group)
{
	struct kafka_add_offsets_to_txn_request request;
	void *answer;

	kafka_add_offsets_to_txn_request_init(&request);
	request.transactional_id = kafka_string_of(transactional->id);
	request.producer_id = transactional->producer_id;
	request.producer_epoch = transactional->epoch;
	request.group_id = kafka_string_of(group);
	int rc = ask_call(client, KAFKA_ADD_OFFSETS_TO_TXN, VERSION_ADD, &request, &answer);
	return rc < 0 ? rc
		      : ask_result(
				((struct kafka_add_offsets_to_txn_response *)answer)->error_code);
}

int ask_send_offset(struct client *client, const struct transactional *transactional,
		    const char *group, const struct topic *topic, unsigned partition,
		    int64_t offset)
{
	struct kafka_txn_offset_commit_request request;
	struct kafka_txn_offset_commit_request_txn_offset_commit_request_topic row;
	struct kafka_txn_offset_commit_request_txn_offset_commit_request_partition place;
	void *answer;

	kafka_txn_offset_commit_request_init(&request);
	kafka_txn_offset_commit_request_txn_offset_commit_request_topic_init(&row);
	kafka_txn_offset_commit_request_txn_offset_commit_request_partition_init(&place);
	request.transactional_id = kafka_string_of(transactional->id);
	request.group_id = kafka_string_of(group);
	request.producer_id = transactional->producer_id;
	request.producer_epoch = transactional->epoch;
	request.topics = &row;
	request.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partitions = &place;
	row.partitions_count = 1;
	place.partition_index = (int32_t)partition;
	place.committed_offset = offset;
	int rc = ask_call(client, KAFKA_TXN_OFFSET_COMMIT,
			  transactional->implicit ? VERSION_SEND_IMPLICIT : VERSION_SEND, &request,
			  &answer);
	if (rc < 0)
		return rc;
	const struct kafka_txn_offset_commit_response *response = answer;
	if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
		return -EPROTO;
	return ask_result(response->topics[0].partitions[0].error_code);
}

int ask_end(struct client *client, struct transactional *transactional, bool commit)
{
	struct kafka_end_txn_request request;
	void *answer;

	kafka_end_txn_request_init(&request);
	request.transactional_id = kafka_string_of(transactional->id);
	request.producer_id = transactional->producer_id;
	request.producer_epoch = transactional->epoch;
	request.committed = commit;
	int rc = ask_call(client, KAFKA_END_TXN,
			  transactional->implicit ? VERSION_END_IMPLICIT : VERSION_END, &request,
			  &answer);
	if (rc < 0)
		return rc;
	const struct kafka_end_txn_response *response = answer;
	if (response->error_code == 0 && transactional->implicit) {
		transactional->producer_id = response->producer_id;
		transactional->epoch = response->producer_epoch;
	}
	return ask_result(response->error_code);
}
