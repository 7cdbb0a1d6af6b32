/* ListGroups, DescribeGroups, DeleteGroups. */
#include "control/groups/groups_internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define LISTED struct kafka_list_groups_response_listed_group
#define DESCRIBED struct kafka_describe_groups_response_described_group

/* A group of no kind is to Kafka a classic one without members. */
static const char *type_of(const struct group *group)
{
	return group->kind ? group->kind->type : "classic";
}

static const char *state_of(const struct group *group)
{
	return group->kind ? group->kind->state(group) : "Empty";
}

static const char *protocol_type_of(const struct group *group)
{
	return group->kind ? group->kind->protocol_type(group) : "";
}

static bool copy_text(struct arena *arena, const char *text, struct kafka_string *ret)
{
	struct kafka_string view = kafka_string_of(text);

	return groups_copy_text(arena, &view, ret) == 0;
}

static bool copy_id(struct arena *arena, const struct group *group, struct kafka_string *ret)
{
	struct kafka_string view = {group->id, (int32_t)group->id_length};

	return groups_copy_text(arena, &view, ret) == 0;
}

/* ---- ListGroups ---- */

/* No names: all. */
static bool among(const struct kafka_string *names, int32_t count, const char *wanted)
{
	size_t length = strlen(wanted);

	for (int32_t i = 0; i < count; i++) {
		if ((size_t)names[i].length == length &&
		    strncasecmp(names[i].data, wanted, length) == 0)
			return true;
	}
	return count <= 0;
}

static int list_one(const struct group *group, struct control_request *request)
{
	const struct kafka_list_groups_request *asked = request->request;
	struct kafka_list_groups_response *response = request->response;
	LISTED *row = &response->groups[response->groups_count];

	if (!among(asked->states_filter, asked->states_filter_count, state_of(group)) ||
	    !among(asked->types_filter, asked->types_filter_count, type_of(group)))
		return 0;
	kafka_list_groups_response_listed_group_init(row);
	if (!copy_id(request->arena, group, &row->group_id) ||
	    !copy_text(request->arena, protocol_type_of(group), &row->protocol_type) ||
	    !copy_text(request->arena, state_of(group), &row->group_state) ||
	    !copy_text(request->arena, type_of(group), &row->group_type))
		return -ENOMEM;
	response->groups_count++;
	return 0;
}

static int list_all(const struct groups *groups, struct control_request *request)
{
	struct kafka_list_groups_response *response = request->response;
	int rc = 0;

	response->groups = arena_calloc(request->arena, groups->count, sizeof(*response->groups));
	if (!response->groups)
		return -ENOMEM;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		list_foreach(node, &groups->partitions[i].groups) {
			if (rc == 0)
				rc = list_one(container_of(node, struct group, link), request);
		}
	}
	return rc;
}

/* An incomplete list would be taken for the whole. */
static enum kafka_error list_ready(const struct groups *groups)
{
	for (int32_t i = 0; i < groups->partition_count; i++) {
		if (groups->partitions[i].phase != GROUP_PARTITION_LOADED)
			return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
	}
	return groups->partition_count ? KAFKA_NONE : KAFKA_COORDINATOR_NOT_AVAILABLE;
}

void groups_list(struct groups *groups, struct control_request *request)
{
	enum kafka_error error = list_ready(groups);

	if (error) {
		groups_refuse(groups, request, error);
		return;
	}
	request->rc = list_all(groups, request);
	groups_answer_all(groups, request);
}

/* ---- DescribeGroups ---- */

enum { FIRST_WITH_NOT_FOUND = 6 };

static int describe_missing(const struct control_request *request, DESCRIBED *row)
{
	row->group_state = kafka_string_of("Dead");
	if (request->version < FIRST_WITH_NOT_FOUND)
		return 0;
	row->error_code = KAFKA_GROUP_ID_NOT_FOUND;
	row->error_message = kafka_string_of("There is no classic group of this id.");
	return 0;
}

static int describe_one(const struct groups *groups, struct control_request *request,
			const struct kafka_string *id, DESCRIBED *row)
{
	enum kafka_error error = groups_ready(groups, id);

	kafka_describe_groups_response_described_group_init(row);
	row->group_id = *id;
	row->error_code = (int16_t)error;
	if (error)
		return 0;
	const struct group *group = group_find(groups, id);
	if (!group || strcmp(type_of(group), "classic") != 0)
		return describe_missing(request, row);
	if (!copy_text(request->arena, state_of(group), &row->group_state) ||
	    !copy_text(request->arena, protocol_type_of(group), &row->protocol_type))
		return -ENOMEM;
	return group->kind ? classic_describe(group, request->arena, row) : 0;
}

void groups_describe(struct groups *groups, struct control_request *request)
{
	const struct kafka_describe_groups_request *asked = request->request;
	struct kafka_describe_groups_response *response = request->response;

	response->groups = arena_calloc(request->arena, (size_t)asked->groups_count,
					sizeof(*response->groups));
	request->rc = response->groups ? 0 : -ENOMEM;
	for (int32_t i = 0; request->rc == 0 && i < asked->groups_count; i++) {
		request->rc = describe_one(groups, request, &asked->groups[i],
					   &response->groups[i]);
		response->groups_count++;
	}
	groups_answer_ids(groups, asked->groups, sizeof(asked->groups[0]), asked->groups_count,
			  request);
}

/* ---- DeleteGroups ---- */

static enum kafka_error delete_one(struct groups *groups, const struct kafka_string *id)
{
	enum kafka_error error = groups_ready(groups, id);

	if (error)
		return error;
	struct group *group = group_find(groups, id);
	if (!group)
		return KAFKA_GROUP_ID_NOT_FOUND;
	if (!group_empty(group))
		return KAFKA_NON_EMPTY_GROUP;
	return group_delete(group) < 0 ? KAFKA_COORDINATOR_NOT_AVAILABLE : KAFKA_NONE;
}

void groups_delete(struct groups *groups, struct control_request *request)
{
	const struct kafka_delete_groups_request *asked = request->request;
	struct kafka_delete_groups_response *response = request->response;

	response->results = arena_calloc(request->arena, (size_t)asked->groups_names_count,
					 sizeof(*response->results));
	request->rc = response->results ? 0 : -ENOMEM;
	for (int32_t i = 0; request->rc == 0 && i < asked->groups_names_count; i++) {
		response->results[i].group_id = asked->groups_names[i];
		response->results[i].error_code = (int16_t)delete_one(groups,
								      &asked->groups_names[i]);
		response->results_count++;
	}
	groups_answer_ids(groups, asked->groups_names, sizeof(asked->groups_names[0]),
			  asked->groups_names_count, request);
}
