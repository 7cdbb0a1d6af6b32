/* The classic protocol: join, and whoever is told that it leads assigns; sync; heartbeats. A member
 * gives up all that it owns before it joins again. */
#include "base/bytes.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"
#include "tests/sim/clients/asks_internal.h"
#include "tests/sim/clients/member.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	VERSION_JOIN = 5,
	VERSION_SYNC = 3,
	VERSION_HEARTBEAT = 3,
	VERSION_LEAVE = 3,
	REBALANCE_MS = 8000,
	MEMBERS_MAX = 8,
	ASSIGNMENT_BYTES = 64, /* a topic's name and PARTITIONS_MAX numbers */
};

static const uint64_t ns_in_ms = 1000000;

/* A member's bytes in the consumers' own format, version 0: topics, no more. */
static size_t write_topic(uint8_t *to, const char *name)
{
	size_t length = strlen(name);

	store_be16(to, 0);
	store_be32(to + 2, 1);
	store_be16(to + 6, (uint16_t)length);
	memcpy(to + 8, name, length);
	return 8 + length;
}

static size_t write_assignment(uint8_t *to, const struct topic *topic, unsigned index,
			       unsigned members)
{
	size_t size = write_topic(to, topic->name);
	uint8_t *count = to + size;
	uint32_t given = 0;

	size += 4;
	for (unsigned i = index; i < topic->partitions; i += members, given++) {
		store_be32(to + size, i);
		size += 4;
	}
	store_be32(count, given);
	store_be32(to + size, UINT32_MAX); /* no user data */
	return size + 4;
}

static bool read_assignment(struct member *member, const struct kafka_bytes *bytes, bool *ret)
{
	size_t head = 8 + strlen(member->topic->name);

	memset(ret, 0, PARTITIONS_MAX * sizeof(*ret));
	if (bytes->length < (int32_t)(head + 4))
		return bytes->length <= 0;
	uint32_t count = load_be32(bytes->data + head);
	if (count > PARTITIONS_MAX || (size_t)bytes->length < head + 4 + count * 4)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t partition = load_be32(bytes->data + head + 4 + 4 * (size_t)i);
		if (partition < PARTITIONS_MAX)
			ret[partition] = true;
	}
	return true;
}

/* ---- requests ---- */

static int ask_join(struct member *member, const struct kafka_join_group_response **ret)
{
	struct kafka_join_group_request request;
	struct kafka_join_group_request_join_group_request_protocol protocol;
	uint8_t metadata[ASSIGNMENT_BYTES];
	void *answer;

	kafka_join_group_request_init(&request);
	kafka_join_group_request_join_group_request_protocol_init(&protocol);
	size_t size = write_topic(metadata, member->topic->name);
	store_be32(metadata + size, UINT32_MAX);
	request.group_id = kafka_string_of(member->membership.group);
	request.session_timeout_ms = MEMBER_SESSION_MS;
	request.rebalance_timeout_ms = REBALANCE_MS;
	request.member_id = kafka_string_of(member->membership.member);
	request.protocol_type = kafka_string_of("consumer");
	request.protocols = &protocol;
	request.protocols_count = 1;
	protocol.name = kafka_string_of("range");
	protocol.metadata = (struct kafka_bytes){metadata, (int32_t)size + 4};
	/* It is answered when all have joined, or those who have not are given up. */
	int rc = peer_call(&member->client.peer, KAFKA_JOIN_GROUP, VERSION_JOIN, &request,
			   sim_now_ns() + (REBALANCE_MS + 5000) * ns_in_ms, &answer);
	if (rc < 0)
		return rc;
	*ret = answer;
	return ask_result((*ret)->error_code);
}

struct plan {
	char members[MEMBERS_MAX][64];
	unsigned count; /* 0: it does not lead */
};

static int ask_sync(struct member *member, const struct plan *plan, bool *ret_partitions)
{
	struct kafka_sync_group_request request;
	struct kafka_sync_group_request_sync_group_request_assignment rows[MEMBERS_MAX];
	uint8_t bytes[MEMBERS_MAX][ASSIGNMENT_BYTES];
	void *answer;

	kafka_sync_group_request_init(&request);
	request.group_id = kafka_string_of(member->membership.group);
	request.generation_id = member->membership.generation;
	request.member_id = kafka_string_of(member->membership.member);
	request.assignments = rows;
	request.assignments_count = (int32_t)plan->count;
	for (unsigned i = 0; i < plan->count; i++) {
		size_t size = write_assignment(bytes[i], member->topic, i, plan->count);
		rows[i].member_id = kafka_string_of(plan->members[i]);
		rows[i].assignment = (struct kafka_bytes){bytes[i], (int32_t)size};
	}
	int rc = peer_call(&member->client.peer, KAFKA_SYNC_GROUP, VERSION_SYNC, &request,
			   sim_now_ns() + (REBALANCE_MS + 5000) * ns_in_ms, &answer);
	if (rc < 0)
		return rc;
	const struct kafka_sync_group_response *response = answer;
	if (response->error_code)
		return ask_result(response->error_code);
	return read_assignment(member, &response->assignment, ret_partitions) ? 0 : -EPROTO;
}

static int ask_heartbeat(struct member *member)
{
	struct kafka_heartbeat_request request;
	void *answer;

	kafka_heartbeat_request_init(&request);
	request.group_id = kafka_string_of(member->membership.group);
	request.generation_id = member->membership.generation;
	request.member_id = kafka_string_of(member->membership.member);
	int rc = ask_call(&member->client, KAFKA_HEARTBEAT, VERSION_HEARTBEAT, &request, &answer);
	return rc < 0 ? rc : ask_result(((struct kafka_heartbeat_response *)answer)->error_code);
}

static void leave(struct member *member)
{
	struct kafka_leave_group_request request;
	struct kafka_leave_group_request_member_identity row;
	void *answer;

	kafka_leave_group_request_init(&request);
	kafka_leave_group_request_member_identity_init(&row);
	request.group_id = kafka_string_of(member->membership.group);
	request.members = &row;
	request.members_count = 1;
	row.member_id = kafka_string_of(member->membership.member);
	ask_call(&member->client, KAFKA_LEAVE_GROUP, VERSION_LEAVE, &request, &answer);
}

/* ---- its life ---- */

/* It is no member any more, or not one of this generation. */
static void start_over(struct member *member, int rc)
{
	if (rc == KAFKA_UNKNOWN_MEMBER_ID || rc == KAFKA_ILLEGAL_GENERATION ||
	    rc == KAFKA_FENCED_INSTANCE_ID)
		member_fenced(member, rc);
	member_owns_nothing(member);
	if (rc == KAFKA_UNKNOWN_MEMBER_ID) {
		member->membership.member[0] = '\0';
		member->membership.generation = -1;
	}
}

static void take_id(struct member *member, const struct kafka_string *id)
{
	snprintf(member->membership.member, sizeof(member->membership.member), "%.*s",
		 (int)id->length, id->data);
}

static int join(struct member *member, struct plan *plan)
{
	const struct kafka_join_group_response *answer;
	int rc = ask_join(member, &answer);

	if (rc == 0 || rc == KAFKA_MEMBER_ID_REQUIRED)
		take_id(member, &answer->member_id);
	if (rc != 0)
		return rc;
	member->membership.generation = answer->generation_id;
	plan->count = 0;
	for (int32_t i = 0; i < answer->members_count && i < MEMBERS_MAX; i++)
		snprintf(plan->members[plan->count++], sizeof(plan->members[0]), "%.*s",
			 (int)answer->members[i].member_id.length,
			 answer->members[i].member_id.data);
	return 0;
}

static int join_and_sync(struct member *member)
{
	bool partitions[PARTITIONS_MAX];
	struct plan plan;
	int rc = join(member, &plan);

	if (rc == 0)
		rc = ask_sync(member, &plan, partitions);
	if (rc != 0)
		return rc;
	member_owns(member, partitions);
	member->heartbeat_due_ns = sim_now_ns() + MEMBER_HEARTBEAT_MS * ns_in_ms;
	while ((rc = member_find_positions(member, partitions)) != 0) {
		if (!ask_again_later(&member->client, rc) || !member_goes_on(member))
			return rc;
	}
	return 0;
}

static int heartbeat_in_time(struct member *member)
{
	if (sim_now_ns() < member->heartbeat_due_ns)
		return 0;
	member->heartbeat_due_ns = sim_now_ns() + MEMBER_HEARTBEAT_MS * ns_in_ms;
	int rc = ask_heartbeat(member);
	return rc != 0 && ask_again_later(&member->client, rc) ? 0 : rc;
}

/* Until something makes it join again. */
static int work(struct member *member)
{
	int rc = 0;

	while (rc == 0 && member_goes_on(member)) {
		rc = heartbeat_in_time(member);
		if (rc == 0)
			rc = member_process(member);
		client_pause(&member->client, 10, 200);
	}
	return rc;
}

void *member_classic_run(void *context)
{
	struct member *member = context;
	struct client *client = &member->client;

	history_event(client->log, "start",
		      "\"client\":\"%s\",\"group\":\"%s\",\"topics\":[\"%s\"],\"isolation\":"
		      "\"read_committed\"",
		      client->name, member->membership.group, member->topic->name);
	while (member_goes_on(member)) {
		int rc = join_and_sync(member);
		if (rc == 0)
			rc = work(member);
		else if (rc != KAFKA_MEMBER_ID_REQUIRED)
			client_pause(client, 20, 200);
		if (rc != 0)
			start_over(member, rc);
	}
	member_owns_nothing(member);
	leave(member);
	return client_end(client);
}
