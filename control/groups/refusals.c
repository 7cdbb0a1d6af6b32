/* The answer that consists of one error, for every API and all that was asked.  Rows name what the
 * request named, as clients look their own up. */
#include "control/groups/groups_internal.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>

/* Fill a response that has just been initialised.  -ENOMEM. */

static int refuse_join(struct control_request *request, enum kafka_error error)
{
	const struct kafka_join_group_request *asked = request->request;
	struct kafka_join_group_response *response = request->response;

	response->error_code = (int16_t)error;
	response->protocol_name = kafka_string_of(NULL);
	response->member_id = asked->member_id;
	return 0;
}

static int refuse_sync(struct control_request *request, enum kafka_error error)
{
	((struct kafka_sync_group_response *)request->response)->error_code = (int16_t)error;
	return 0;
}

static int refuse_heartbeat(struct control_request *request, enum kafka_error error)
{
	((struct kafka_heartbeat_response *)request->response)->error_code = (int16_t)error;
	return 0;
}

static int refuse_leave(struct control_request *request, enum kafka_error error)
{
	((struct kafka_leave_group_response *)request->response)->error_code = (int16_t)error;
	return 0;
}

static int refuse_delete_offsets(struct control_request *request, enum kafka_error error)
{
	((struct kafka_offset_delete_response *)request->response)->error_code = (int16_t)error;
	return 0;
}

static int refuse_list(struct control_request *request, enum kafka_error error)
{
	struct kafka_list_groups_response *response = request->response;

	/* It asks every broker for what it coordinates: none is the wrong one. */
	response->error_code = error == KAFKA_NOT_COORDINATOR ? KAFKA_COORDINATOR_NOT_AVAILABLE
							      : (int16_t)error;
	return 0;
}

static int refuse_describe(struct control_request *request, enum kafka_error error)
{
	const struct kafka_describe_groups_request *asked = request->request;
	struct kafka_describe_groups_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)asked->groups_count,
					sizeof(*response->groups));
	if (!response->groups)
		return -ENOMEM;
	response->groups_count = asked->groups_count;
	for (int32_t i = 0; i < asked->groups_count; i++) {
		kafka_describe_groups_response_described_group_init(&response->groups[i]);
		response->groups[i].group_id = asked->groups[i];
		response->groups[i].error_code = (int16_t)error;
	}
	return 0;
}

static int refuse_delete(struct control_request *request, enum kafka_error error)
{
	const struct kafka_delete_groups_request *asked = request->request;
	struct kafka_delete_groups_response *response = request->response;

	response->results = arena_calloc(request->arena, (size_t)asked->groups_names_count,
					 sizeof(*response->results));
	if (!response->results)
		return -ENOMEM;
	response->results_count = asked->groups_names_count;
	for (int32_t i = 0; i < asked->groups_names_count; i++) {
		kafka_delete_groups_response_deletable_group_result_init(&response->results[i]);
		response->results[i].group_id = asked->groups_names[i];
		response->results[i].error_code = (int16_t)error;
	}
	return 0;
}

static int refuse_consumer_heartbeat(struct control_request *request, enum kafka_error error)
{
	struct kafka_consumer_group_heartbeat_response *response = request->response;

	response->error_code = (int16_t)error;
	return 0;
}

static int refuse_consumer_describe(struct control_request *request, enum kafka_error error)
{
	const struct kafka_consumer_group_describe_request *asked = request->request;
	struct kafka_consumer_group_describe_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)asked->group_ids_count,
					sizeof(*response->groups));
	if (!response->groups)
		return -ENOMEM;
	response->groups_count = asked->group_ids_count;
	for (int32_t i = 0; i < asked->group_ids_count; i++) {
		kafka_consumer_group_describe_response_described_group_init(&response->groups[i]);
		response->groups[i].group_id = asked->group_ids[i];
		response->groups[i].error_code = (int16_t)error;
	}
	return 0;
}

static int refuse_share_heartbeat(struct control_request *request, enum kafka_error error)
{
	struct kafka_share_group_heartbeat_response *response = request->response;

	response->error_code = (int16_t)error;
	return 0;
}

static int refuse_share_describe(struct control_request *request, enum kafka_error error)
{
	const struct kafka_share_group_describe_request *asked = request->request;
	struct kafka_share_group_describe_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)asked->group_ids_count,
					sizeof(*response->groups));
	if (!response->groups)
		return -ENOMEM;
	response->groups_count = asked->group_ids_count;
	for (int32_t i = 0; i < asked->group_ids_count; i++) {
		kafka_share_group_describe_response_described_group_init(&response->groups[i]);
		response->groups[i].group_id = asked->group_ids[i];
		response->groups[i].error_code = (int16_t)error;
	}
	return 0;
}

void refusal_fill(struct control_request *request, enum kafka_error error)
{
	static const struct {
		int16_t key;
		int (*fill)(struct control_request *request, enum kafka_error error);
	} refusals[] = {
		{KAFKA_JOIN_GROUP, refuse_join},
		{KAFKA_SYNC_GROUP, refuse_sync},
		{KAFKA_HEARTBEAT, refuse_heartbeat},
		{KAFKA_LEAVE_GROUP, refuse_leave},
		{KAFKA_OFFSET_COMMIT, offset_commit_refuse},
		{KAFKA_TXN_OFFSET_COMMIT, txn_offset_commit_refuse},
		{KAFKA_OFFSET_FETCH, offset_fetch_refuse},
		{KAFKA_OFFSET_DELETE, refuse_delete_offsets},
		{KAFKA_LIST_GROUPS, refuse_list},
		{KAFKA_DESCRIBE_GROUPS, refuse_describe},
		{KAFKA_DELETE_GROUPS, refuse_delete},
		{KAFKA_CONSUMER_GROUP_HEARTBEAT, refuse_consumer_heartbeat},
		{KAFKA_CONSUMER_GROUP_DESCRIBE, refuse_consumer_describe},
		{KAFKA_SHARE_GROUP_HEARTBEAT, refuse_share_heartbeat},
		{KAFKA_SHARE_GROUP_DESCRIBE, refuse_share_describe},
	};

	request->api->init_response(request->response);
	for (size_t i = 0; i < array_count(refusals); i++) {
		if (refusals[i].key == request->api->key) {
			request->rc = refusals[i].fill(request, error);
			return;
		}
	}
	check(!"an API of the coordinator has no way to be refused");
}
