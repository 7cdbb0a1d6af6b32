/* Answers of JoinGroup and SyncGroup, at once or to parked requests.
 *
 * An answer leaves when what it rests on is durable, and a shard encodes it: everything in it is
 * copied, because the member may be gone by then. */
#include "control/groups/classic_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>

static const struct kafka_string no_string = {.length = -1};

struct kafka_string classic_copy_string(struct classic_copies *copies,
					const struct kafka_string *text)
{
	if (text->length < 0)
		return no_string;
	char *copy = arena_strndup(copies->arena, text->data, (size_t)text->length);
	if (!copy) {
		copies->rc = -ENOMEM;
		return no_string;
	}
	return (struct kafka_string){copy, text->length};
}

struct kafka_bytes classic_copy_bytes(struct classic_copies *copies,
				      const struct kafka_bytes *bytes)
{
	static const struct kafka_bytes nothing = {(const uint8_t *)"", 0};

	if (!bytes || bytes->length <= 0)
		return nothing;
	uint8_t *copy = arena_alloc(copies->arena, (size_t)bytes->length);
	if (!copy) {
		copies->rc = -ENOMEM;
		return nothing;
	}
	bytes_copy(copy, bytes->data, (size_t)bytes->length);
	return (struct kafka_bytes){copy, bytes->length};
}

static void answer(const struct classic *classic, struct control_request *request)
{
	groups_answer(classic->group->groups, classic->group->partition, request);
}

/* A client that asks again does not wait for the answer to its former request. */
void classic_park_join(struct classic_member *member, struct control_request *request)
{
	classic_refuse_join(member, KAFKA_REBALANCE_IN_PROGRESS, &member->id);
	member->join = request;
	member->classic->joining_count++;
}

void classic_park_sync(struct classic_member *member, struct control_request *request)
{
	classic_refuse_sync(member, KAFKA_REBALANCE_IN_PROGRESS);
	member->sync = request;
}

static struct control_request *unpark_join(struct classic_member *member)
{
	struct control_request *request = member->join;

	if (!request)
		return NULL;
	check(member->classic->joining_count > 0);
	member->classic->joining_count--;
	member->join = NULL;
	return request;
}

void classic_fill_join_error(struct control_request *request, enum kafka_error error,
			     const struct kafka_string *member_id)
{
	struct kafka_join_group_response *response = request->response;
	struct classic_copies copies = {.arena = request->arena};

	response->error_code = (int16_t)error;
	response->member_id = classic_copy_string(&copies, member_id);
	response->protocol_name = no_string;
	request->rc = copies.rc;
}

void classic_refuse_join(struct classic_member *member, enum kafka_error error,
			 const struct kafka_string *member_id)
{
	struct control_request *request = unpark_join(member);

	if (!request)
		return;
	classic_fill_join_error(request, error, member_id);
	answer(member->classic, request);
}

void classic_refuse_sync(struct classic_member *member, enum kafka_error error)
{
	struct control_request *request = member->sync;

	if (!request)
		return;
	struct kafka_sync_group_response *response = request->response;
	member->sync = NULL;
	response->error_code = (int16_t)error;
	answer(member->classic, request);
}

const struct kafka_bytes *classic_metadata(const struct classic_member *member)
{
	const struct classic_protocol *protocol =
		classic_protocols_find(member->protocols, &member->classic->protocol);

	return protocol ? &protocol->metadata : NULL;
}

static void fill_members(const struct classic *classic, struct classic_copies *copies,
			 struct kafka_join_group_response *response)
{
	response->members = arena_calloc(copies->arena, classic->member_count,
					 sizeof(*response->members));
	if (!response->members) {
		copies->rc = -ENOMEM;
		return;
	}
	list_foreach(link, &classic->members) {
		const struct classic_member *member = classic_member_at(link);

		response->members[response->members_count++] =
			(struct kafka_join_group_response_join_group_response_member){
				.member_id = classic_copy_string(copies, &member->id),
				.group_instance_id = classic_copy_string(copies,
									 &member->instance_id),
				.metadata = classic_copy_bytes(copies, classic_metadata(member)),
			};
	}
}

void classic_fill_join(const struct classic_member *member, struct control_request *request)
{
	const struct classic *classic = member->classic;
	struct kafka_join_group_response *response = request->response;
	struct classic_copies copies = {.arena = request->arena};

	response->generation_id = classic->generation;
	response->protocol_type = classic_copy_string(&copies, &classic->protocol_type);
	response->protocol_name = classic_copy_string(&copies, &classic->protocol);
	response->leader = classic_copy_string(&copies, &classic->leader->id);
	response->member_id = classic_copy_string(&copies, &member->id);
	if (classic->leader == member)
		fill_members(classic, &copies, response);
	request->rc = copies.rc;
}

void classic_answer_join(struct classic_member *member)
{
	struct control_request *request = unpark_join(member);

	if (!request)
		return;
	classic_fill_join(member, request);
	answer(member->classic, request);
}

void classic_fill_sync(const struct classic_member *member, struct control_request *request)
{
	const struct classic *classic = member->classic;
	struct kafka_sync_group_response *response = request->response;
	struct classic_copies copies = {.arena = request->arena};

	response->protocol_type = classic_copy_string(&copies, &classic->protocol_type);
	response->protocol_name = classic_copy_string(&copies, &classic->protocol);
	response->assignment = classic_copy_bytes(&copies, &member->assignment);
	request->rc = copies.rc;
}

void classic_answer_sync(struct classic_member *member)
{
	struct control_request *request = member->sync;

	if (!request)
		return;
	member->sync = NULL;
	classic_fill_sync(member, request);
	answer(member->classic, request);
}
