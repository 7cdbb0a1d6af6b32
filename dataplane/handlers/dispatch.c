#include "dataplane/handlers/handlers.h"

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <string.h>

/* The same topic is often named again by the next request. */
const struct topic *topic_named(struct shard *shard, const struct kafka_string *name)
{
	size_t length = name->length > 0 ? (size_t)name->length : 0;
	struct named_topic *last = &shard->last_named;

	if (!length)
		return NULL;
	if (last->topic && last->length == length &&
	    memcmp(last->topic->name, name->data, length) == 0)
		return last->topic;
	const struct topic *topic = topics_find(shard->topics, name->data, length);
	if (topic)
		*last = (struct named_topic){.topic = topic, .length = length};
	return topic;
}

void handle_request(struct request *request)
{
	static const struct {
		int16_t key;
		void (*handle)(struct request *request);
	} handlers[] = {
		{KAFKA_PRODUCE, handle_produce},
		{KAFKA_FETCH, handle_fetch},
		{KAFKA_LIST_OFFSETS, handle_list_offsets},
		{KAFKA_METADATA, handle_metadata},
		{KAFKA_API_VERSIONS, handle_api_versions},
		{KAFKA_DELETE_RECORDS, handle_delete_records},
		{KAFKA_OFFSET_FOR_LEADER_EPOCH, handle_offset_for_leader_epoch},
		{KAFKA_DESCRIBE_CLUSTER, handle_describe_cluster},
		{KAFKA_FIND_COORDINATOR, handle_find_coordinator},
		{KAFKA_INIT_PRODUCER_ID, handle_init_producer_id},
		{KAFKA_DESCRIBE_PRODUCERS, handle_describe_producers},
		{KAFKA_WRITE_TXN_MARKERS, handle_write_txn_markers},
		{KAFKA_SHARE_FETCH, handle_share_fetch},
		{KAFKA_SHARE_ACKNOWLEDGE, handle_share_acknowledge},
	};

	if (request->api->where == KAFKA_ON_CONTROL) {
		handle_on_control(request);
		return;
	}
	if (request->api->where == KAFKA_ON_COORDINATOR) {
		handle_on_coordinator(request);
		return;
	}
	for (size_t i = 0; i < array_count(handlers); i++) {
		if (handlers[i].key == request->api->key) {
			handlers[i].handle(request);
			return;
		}
	}
	check(!"an API is described as served on the shard but has no handler");
}
