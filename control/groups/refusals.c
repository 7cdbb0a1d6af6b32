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

static int refuse_list(struct control_request *request, enum kafka_error error)
{
	struct kafka_list_groups_response *response = request->response;

	/* It asks every broker for what it coordinates: none is the wrong one. */
	response->error_code = error == KAFKA_NOT_COORDINATOR ? KAFKA_COORDINATOR_NOT_AVAILABLE
							      : (int16_t)error;
	return 0;
}

/* A row for each id that was asked for.  `api` answers those in request.`ids` with rows in
 * response.`rows`, which are `row`s. */
#define REFUSE_EACH(api, ids, rows, row)                                                           \
	static int refuse_##api(struct control_request *request, enum kafka_error error)           \
	{                                                                                          \
		const struct kafka_##api##_request *asked = request->request;                      \
		struct kafka_##api##_response *response = request->response;                       \
                                                                                                   \
		response->rows = arena_calloc(request->arena, (size_t)asked->ids##_count,          \
					      sizeof(*response->rows));                            \
		if (!response->rows)                                                               \
			return -ENOMEM;                                                            \
		response->rows##_count = asked->ids##_count;                                       \
		for (int32_t i = 0; i < asked->ids##_count; i++) {                                 \
			kafka_##api##_response_##row##_init(&response->rows[i]);                   \
			response->rows[i].group_id = asked->ids[i];                                \
			response->rows[i].error_code = (int16_t)error;                             \
		}                                                                                  \
		return 0;                                                                          \
	}

REFUSE_EACH(describe_groups, groups, groups, described_group)
REFUSE_EACH(delete_groups, groups_names, results, deletable_group_result)
REFUSE_EACH(consumer_group_describe, group_ids, groups, described_group)
REFUSE_EACH(share_group_describe, group_ids, groups, described_group)

struct refusal {
	int16_t key;
	int (*fill)(struct control_request *request, enum kafka_error error);
	size_t error_code_at; /* all there is to fill in, where `fill` is null */
};

#define ERROR_CODE(api) NULL, offsetof(struct kafka_##api##_response, error_code)

static const struct refusal refusals[] = {
	{KAFKA_JOIN_GROUP, refuse_join},
	{KAFKA_SYNC_GROUP, ERROR_CODE(sync_group)},
	{KAFKA_HEARTBEAT, ERROR_CODE(heartbeat)},
	{KAFKA_LEAVE_GROUP, ERROR_CODE(leave_group)},
	{KAFKA_OFFSET_COMMIT, offset_commit_refuse},
	{KAFKA_TXN_OFFSET_COMMIT, txn_offset_commit_refuse},
	{KAFKA_OFFSET_FETCH, offset_fetch_refuse},
	{KAFKA_OFFSET_DELETE, ERROR_CODE(offset_delete)},
	{KAFKA_LIST_GROUPS, refuse_list},
	{KAFKA_DESCRIBE_GROUPS, refuse_describe_groups},
	{KAFKA_DELETE_GROUPS, refuse_delete_groups},
	{KAFKA_CONSUMER_GROUP_HEARTBEAT, ERROR_CODE(consumer_group_heartbeat)},
	{KAFKA_CONSUMER_GROUP_DESCRIBE, refuse_consumer_group_describe},
	{KAFKA_SHARE_GROUP_HEARTBEAT, ERROR_CODE(share_group_heartbeat)},
	{KAFKA_SHARE_GROUP_DESCRIBE, refuse_share_group_describe},
};

static const struct refusal *refusal_of(const struct kafka_api *api)
{
	for (size_t i = 0; i < array_count(refusals); i++) {
		if (refusals[i].key == api->key)
			return &refusals[i];
	}
	check(!"an API of the coordinator has no way to be refused");
	return NULL;
}

void refusal_fill(struct control_request *request, enum kafka_error error)
{
	const struct refusal *refusal = refusal_of(request->api);

	request->api->init_response(request->response);
	request->rc = 0;
	if (refusal->fill)
		request->rc = refusal->fill(request, error);
	else
		*(int16_t *)((char *)request->response + refusal->error_code_at) = (int16_t)error;
}
