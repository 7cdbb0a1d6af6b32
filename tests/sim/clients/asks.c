#include "tests/sim/clients/asks.h"

#include "base/check.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"
#include "storage/batch_build.h"
#include "tests/sim/clients/asks_internal.h"

#include <errno.h>

enum {
	VERSION_CREATE_TOPICS = 7,
	VERSION_DELETE_TOPICS = 4,
	VERSION_ALTER = 1,
	VERSION_DELETE_RECORDS = 2,
	VERSION_PRODUCE = 11,
	VERSION_PRODUCE_IMPLICIT = 12,
	VERSION_FETCH = 12,
	VERSION_LIST_OFFSETS = 6,
	VERSION_OFFSET_FETCH = 9,
	VERSION_OFFSET_COMMIT = 9,
	RESOURCE_TOPIC = 2,
	FETCH_WAIT_MS = 200,
};

int ask_call(struct client *client, int16_t key, int16_t version, const void *request,
	     void **ret_response)
{
	return peer_call(&client->peer, key, version, request, sim_now_ns() + ASK_TIMEOUT_NS,
			 ret_response);
}

int ask_result(int16_t error_code)
{
	return error_code < 0 ? ASK_SERVER_ERROR : error_code;
}

bool ask_again_later(struct client *client, int rc)
{
	bool passes = rc < 0 || rc == ASK_SERVER_ERROR ||
		      rc == KAFKA_COORDINATOR_LOAD_IN_PROGRESS ||
		      rc == KAFKA_COORDINATOR_NOT_AVAILABLE || rc == KAFKA_NOT_COORDINATOR ||
		      rc == KAFKA_NOT_LEADER_OR_FOLLOWER || rc == KAFKA_LEADER_NOT_AVAILABLE ||
		      rc == KAFKA_REQUEST_TIMED_OUT || rc == KAFKA_CONCURRENT_TRANSACTIONS ||
		      rc == KAFKA_KAFKA_STORAGE_ERROR || rc == KAFKA_NOT_ENOUGH_REPLICAS ||
		      rc == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || rc == KAFKA_UNSTABLE_OFFSET_COMMIT;

	if (passes)
		client_pause(client, 20, 200);
	return passes;
}

/* ---- topics ---- */

int ask_create_topic(struct client *client, struct topic *topic)
{
	struct kafka_create_topics_request request;
	struct kafka_create_topics_request_creatable_topic row;
	struct kafka_create_topics_request_creatable_topic_config configs[TOPIC_CONFIGS_MAX];
	void *answer;

	kafka_create_topics_request_init(&request);
	kafka_create_topics_request_creatable_topic_init(&row);
	request.topics = &row;
	request.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.num_partitions = (int32_t)topic->partitions;
	row.replication_factor = 1;
	row.configs = configs;
	row.configs_count = (int32_t)topic->config_count;
	for (unsigned i = 0; i < topic->config_count; i++) {
		configs[i].name = kafka_string_of(topic->configs[i].name);
		configs[i].value = kafka_string_of(topic->configs[i].value);
	}
	int rc = ask_call(client, KAFKA_CREATE_TOPICS, VERSION_CREATE_TOPICS, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_create_topics_response *response = answer;
	return response->topics_count == 1 ? ask_result(response->topics[0].error_code) : -EPROTO;
}

int ask_delete_topic(struct client *client, const char *name)
{
	struct kafka_delete_topics_request request;
	struct kafka_string names = kafka_string_of(name);
	void *answer;

	kafka_delete_topics_request_init(&request);
	request.topic_names = &names;
	request.topic_names_count = 1;
	request.timeout_ms = 10000;
	int rc = ask_call(client, KAFKA_DELETE_TOPICS, VERSION_DELETE_TOPICS, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_delete_topics_response *response = answer;
	return response->responses_count == 1 ? ask_result(response->responses[0].error_code)
					      : -EPROTO;
}

int ask_topic_ids(struct client *client)
{
	struct kafka_metadata_request request;
	void *answer;

	kafka_metadata_request_init(&request);
	request.topics_count = -1;
	int rc = ask_call(client, KAFKA_METADATA, 12, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_metadata_response *response = answer;
	for (int32_t i = 0; i < response->topics_count; i++) {
		struct topic *topic = world_topic(client->world, &response->topics[i].name);
		if (topic && !response->topics[i].error_code)
			topic->id = response->topics[i].topic_id;
	}
	return 0;
}

int ask_alter_topic(struct client *client, const char *topic, const char *name, const char *value)
{
	struct kafka_incremental_alter_configs_request request;
	struct kafka_incremental_alter_configs_request_alter_configs_resource resource;
	struct kafka_incremental_alter_configs_request_alterable_config config;
	void *answer;

	kafka_incremental_alter_configs_request_init(&request);
	kafka_incremental_alter_configs_request_alter_configs_resource_init(&resource);
	kafka_incremental_alter_configs_request_alterable_config_init(&config);
	request.resources = &resource;
	request.resources_count = 1;
	resource.resource_type = RESOURCE_TOPIC;
	resource.resource_name = kafka_string_of(topic);
	resource.configs = &config;
	resource.configs_count = 1;
	config.name = kafka_string_of(name);
	config.value = kafka_string_of(value);
	int rc = ask_call(client, KAFKA_INCREMENTAL_ALTER_CONFIGS, VERSION_ALTER, &request,
			  &answer);
	if (rc < 0)
		return rc;
	const struct kafka_incremental_alter_configs_response *response = answer;
	return response->responses_count == 1 ? ask_result(response->responses[0].error_code)
					      : -EPROTO;
}

int ask_delete_records(struct client *client, const struct topic *topic, unsigned partition,
		       int64_t before, int64_t *ret_start)
{
	struct kafka_delete_records_request request;
	struct kafka_delete_records_request_delete_records_topic row;
	struct kafka_delete_records_request_delete_records_partition place;
	void *answer;

	kafka_delete_records_request_init(&request);
	kafka_delete_records_request_delete_records_topic_init(&row);
	request.topics = &row;
	request.topics_count = 1;
	request.timeout_ms = 10000;
	row.name = kafka_string_of(topic->name);
	row.partitions = &place;
	row.partitions_count = 1;
	place.partition_index = (int32_t)partition;
	place.offset = before;
	int rc = ask_call(client, KAFKA_DELETE_RECORDS, VERSION_DELETE_RECORDS, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_delete_records_response *response = answer;
	if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
		return -EPROTO;
	*ret_start = response->topics[0].partitions[0].low_watermark;
	return ask_result(response->topics[0].partitions[0].error_code);
}

/* ---- records ---- */

int ask_produce(struct client *client, const struct topic *topic, unsigned partition,
		const struct batch_build *build, int acks, const char *transactional_id,
		bool implicit, int64_t *ret_base_offset)
{
	struct kafka_produce_request request;
	struct kafka_produce_request_topic_produce_data row;
	struct kafka_produce_request_partition_produce_data place = {
		.index = (int32_t)partition,
		.records = {.data = build->data, .length = (int32_t)build->size},
	};
	void *answer;

	kafka_produce_request_init(&request);
	kafka_produce_request_topic_produce_data_init(&row);
	request.transactional_id = kafka_string_of(transactional_id);
	request.acks = (int16_t)acks;
	request.timeout_ms = 10000;
	request.topic_data = &row;
	request.topic_data_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partition_data = &place;
	row.partition_data_count = 1;
	int rc = ask_call(client, KAFKA_PRODUCE,
			  implicit ? VERSION_PRODUCE_IMPLICIT : VERSION_PRODUCE, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_produce_response *response = answer;
	if (response->responses_count != 1 || response->responses[0].partition_responses_count != 1)
		return -EPROTO;
	*ret_base_offset = response->responses[0].partition_responses[0].base_offset;
	return ask_result(response->responses[0].partition_responses[0].error_code);
}

static const struct kafka_fetch_response_partition_data *only_partition(
	const struct kafka_fetch_response *response)
{
	if (response->responses_count != 1 || response->responses[0].partitions_count != 1)
		return NULL;
	return &response->responses[0].partitions[0];
}

int ask_fetch(struct client *client, const struct topic *topic, unsigned partition, int64_t offset,
	      enum isolation isolation, struct fetched *ret)
{
	struct kafka_fetch_request request;
	struct kafka_fetch_request_fetch_topic row;
	struct kafka_fetch_request_fetch_partition place;
	void *answer;

	kafka_fetch_request_init(&request);
	kafka_fetch_request_fetch_topic_init(&row);
	kafka_fetch_request_fetch_partition_init(&place);
	request.max_wait_ms = FETCH_WAIT_MS;
	request.min_bytes = 1;
	request.isolation_level = (int8_t)isolation;
	request.topics = &row;
	request.topics_count = 1;
	row.topic = kafka_string_of(topic->name);
	row.partitions = &place;
	row.partitions_count = 1;
	place.partition = (int32_t)partition;
	place.fetch_offset = offset;
	place.partition_max_bytes = client_draws(client, 50) ? 1 << 20 : 500;
	int rc = ask_call(client, KAFKA_FETCH, VERSION_FETCH, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_fetch_response *response = answer;
	if (response->error_code)
		return ask_result(response->error_code);
	const struct kafka_fetch_response_partition_data *data = only_partition(response);
	if (!data)
		return -EPROTO;
	*ret = (struct fetched){
		.high_watermark = data->high_watermark,
		.last_stable_offset = data->last_stable_offset,
		.log_start_offset = data->log_start_offset,
		.records = data->records.data,
		.length = data->records.length > 0 ? (size_t)data->records.length : 0,
		.aborted = data->aborted_transactions,
		.aborted_count = data->aborted_transactions_count,
	};
	return ask_result(data->error_code);
}

static int list_offsets(struct client *client, const struct topic *topic, enum isolation isolation,
			struct kafka_list_offsets_request_list_offsets_partition *places,
			unsigned count,
			const struct kafka_list_offsets_response_list_offsets_topic_response **ret)
{
	struct kafka_list_offsets_request request;
	struct kafka_list_offsets_request_list_offsets_topic row;
	void *answer;

	kafka_list_offsets_request_init(&request);
	kafka_list_offsets_request_list_offsets_topic_init(&row);
	request.replica_id = -1;
	request.isolation_level = (int8_t)isolation;
	request.topics = &row;
	request.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partitions = places;
	row.partitions_count = (int32_t)count;
	int rc = ask_call(client, KAFKA_LIST_OFFSETS, VERSION_LIST_OFFSETS, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_list_offsets_response *response = answer;
	if (response->topics_count != 1 || response->topics[0].partitions_count != (int32_t)count)
		return -EPROTO;
	*ret = &response->topics[0];
	return 0;
}

int ask_offset(struct client *client, const struct topic *topic, unsigned partition,
	       enum isolation isolation, int64_t timestamp, int64_t *ret_offset)
{
	const struct kafka_list_offsets_response_list_offsets_topic_response *row;
	struct kafka_list_offsets_request_list_offsets_partition place;

	kafka_list_offsets_request_list_offsets_partition_init(&place);
	place.partition_index = (int32_t)partition;
	place.timestamp = timestamp;
	int rc = list_offsets(client, topic, isolation, &place, 1, &row);
	if (rc == 0)
		rc = ask_result(row->partitions[0].error_code);
	if (rc == 0)
		*ret_offset = row->partitions[0].offset;
	return rc;
}

int ask_stable(struct client *client, const struct topic *topic, int64_t *ret_offsets)
{
	const struct kafka_list_offsets_response_list_offsets_topic_response *row;
	struct kafka_list_offsets_request_list_offsets_partition places[PARTITIONS_MAX];

	for (unsigned i = 0; i < topic->partitions; i++) {
		kafka_list_offsets_request_list_offsets_partition_init(&places[i]);
		places[i].partition_index = (int32_t)i;
		places[i].timestamp = LIST_LATEST;
	}
	int rc = list_offsets(client, topic, READ_COMMITTED, places, topic->partitions, &row);
	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < topic->partitions; i++) {
		const struct kafka_list_offsets_response_list_offsets_partition_response *each =
			&row->partitions[i];
		if (each->partition_index >= 0 && each->partition_index < PARTITIONS_MAX)
			ret_offsets[each->partition_index] = each->error_code ? -1 : each->offset;
	}
	return 0;
}

/* ---- offsets of groups ---- */

static struct kafka_string member_of(const struct membership *membership)
{
	return kafka_string_of(membership->member);
}

static int committed_of(const struct kafka_offset_fetch_response_offset_fetch_response_group *group,
			unsigned partitions, int64_t *ret_offsets)
{
	if (group->error_code)
		return ask_result(group->error_code);
	if (group->topics_count != 1 || group->topics[0].partitions_count != (int32_t)partitions)
		return -EPROTO;
	for (unsigned i = 0; i < partitions; i++) {
		const struct kafka_offset_fetch_response_offset_fetch_response_partitions *each =
			&group->topics[0].partitions[i];
		if (each->error_code)
			return ask_result(each->error_code);
		if (each->partition_index < 0 || each->partition_index >= PARTITIONS_MAX)
			return -EPROTO;
		ret_offsets[each->partition_index] = each->committed_offset;
	}
	return 0;
}

int ask_committed(struct client *client, const struct membership *membership,
		  const struct topic *topic, int64_t *ret_offsets)
{
	struct kafka_offset_fetch_request request;
	struct kafka_offset_fetch_request_offset_fetch_request_group group;
	struct kafka_offset_fetch_request_offset_fetch_request_topics row;
	int32_t indexes[PARTITIONS_MAX];
	void *answer;

	kafka_offset_fetch_request_init(&request);
	kafka_offset_fetch_request_offset_fetch_request_group_init(&group);
	kafka_offset_fetch_request_offset_fetch_request_topics_init(&row);
	request.groups = &group;
	request.groups_count = 1;
	request.require_stable = true;
	group.group_id = kafka_string_of(membership->group);
	if (membership->consumer && membership->generation >= 0) {
		group.member_id = member_of(membership);
		group.member_epoch = membership->generation;
	}
	group.topics = &row;
	group.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partition_indexes = indexes;
	row.partition_indexes_count = (int32_t)topic->partitions;
	for (unsigned i = 0; i < topic->partitions; i++)
		indexes[i] = (int32_t)i;
	int rc = ask_call(client, KAFKA_OFFSET_FETCH, VERSION_OFFSET_FETCH, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_offset_fetch_response *response = answer;
	return response->groups_count == 1
		       ? committed_of(&response->groups[0], topic->partitions, ret_offsets)
		       : -EPROTO;
}

int ask_commit(struct client *client, const struct membership *membership,
	       const struct topic *topic, unsigned partition, int64_t offset)
{
	struct kafka_offset_commit_request request;
	struct kafka_offset_commit_request_offset_commit_request_topic row;
	struct kafka_offset_commit_request_offset_commit_request_partition place;
	void *answer;

	kafka_offset_commit_request_init(&request);
	kafka_offset_commit_request_offset_commit_request_topic_init(&row);
	kafka_offset_commit_request_offset_commit_request_partition_init(&place);
	request.group_id = kafka_string_of(membership->group);
	request.member_id = member_of(membership);
	request.generation_id_or_member_epoch = membership->generation;
	request.topics = &row;
	request.topics_count = 1;
	row.name = kafka_string_of(topic->name);
	row.partitions = &place;
	row.partitions_count = 1;
	place.partition_index = (int32_t)partition;
	place.committed_offset = offset;
	int rc = ask_call(client, KAFKA_OFFSET_COMMIT, VERSION_OFFSET_COMMIT, &request, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_offset_commit_response *response = answer;
	if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
		return -EPROTO;
	return ask_result(response->topics[0].partitions[0].error_code);
}
