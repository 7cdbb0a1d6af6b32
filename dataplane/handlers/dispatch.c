#include "dataplane/handlers/handlers.h"

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

const struct topic *topic_named(const struct shard *shard, const struct kafka_string *name)
{
	return name->length > 0 ? topics_find(shard->topics, name->data, (size_t)name->length)
				: NULL;
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
	};

	if (request->api->where == KAFKA_ON_CONTROL) {
		handle_on_control(request);
		return;
	}
	if (request->api->where == KAFKA_ON_COORDINATOR) {
		request_fail(request, "no group coordinator runs");
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
