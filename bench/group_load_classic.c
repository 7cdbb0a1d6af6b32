/* Members of classic groups.  The leader gives each a partition, in turn. */
#include "bench/group_load.h"

#include "bench/load.h"
#include "base/bytes.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

#include <stdio.h>
#include <string.h>

enum {
	JOIN_VERSION = 9,
	SYNC_VERSION = 5,
	HEARTBEAT_VERSION = 4,
	LEAVE_VERSION = 5,
	TOPIC_PART_MAX = 300,
};
static const char protocol_type[] = "consumer";
static const char assignor[] = "range";

/* What consumers put into metadata and assignments: version, one topic and its name ... */
static uint8_t *put_topic(uint8_t *at)
{
	size_t length = strlen(group_load.options.topic);

	store_be16(at, 0);
	store_be32(at + 2, 1);
	store_be16(at + 6, (uint16_t)length);
	memcpy(at + 8, group_load.options.topic, length);
	return at + 8 + length;
}

/* ... and no user data. */
static struct kafka_bytes ended(const uint8_t *from, uint8_t *at)
{
	store_be32(at, UINT32_MAX);
	return (struct kafka_bytes){.data = from, .length = (int32_t)(at + 4 - from)};
}

static uint8_t *room(void)
{
	uint8_t *taken = arena_alloc(&group_load.arena, TOPIC_PART_MAX);

	if (!taken)
		load_die("no memory");
	return taken;
}

static struct kafka_bytes subscription(void)
{
	uint8_t *from = room();

	return ended(from, put_topic(from));
}

static struct kafka_bytes assignment_of(unsigned partition)
{
	uint8_t *from = room();
	uint8_t *at = put_topic(from);

	store_be32(at, 1);
	store_be32(at + 4, partition);
	return ended(from, at + 8);
}

static void ask_to_join(struct member *member)
{
	struct kafka_join_group_request request;
	struct kafka_join_group_request_join_group_request_protocol protocol;

	kafka_join_group_request_init(&request);
	kafka_join_group_request_join_group_request_protocol_init(&protocol);
	protocol.name = kafka_string_of(assignor);
	protocol.metadata = subscription();
	request.group_id = kafka_string_of(member->group->id);
	request.session_timeout_ms = (int32_t)group_load.options.session_ms;
	request.rebalance_timeout_ms = 60000;
	request.member_id = kafka_string_of(member->id);
	request.protocol_type = kafka_string_of(protocol_type);
	request.protocols = &protocol;
	request.protocols_count = 1;
	group_unsettled(member->group);
	member->group->joined_ns = load_now_ns();
	member_ask(member, KAFKA_JOIN_GROUP, JOIN_VERSION, &request);
}

static void ask_to_sync(struct member *member)
{
	const unsigned count = group_load.options.members;
	struct kafka_sync_group_request request;

	kafka_sync_group_request_init(&request);
	request.group_id = kafka_string_of(member->group->id);
	request.generation_id = member->generation;
	request.member_id = kafka_string_of(member->id);
	request.protocol_type = kafka_string_of(protocol_type);
	request.protocol_name = kafka_string_of(assignor);
	if (member->leads) {
		request.assignments = arena_alloc_array(&group_load.arena, count,
							sizeof(*request.assignments));
		if (!request.assignments)
			load_die("no memory");
		/* Who is not in this generation has no id, or one that the broker does not look at.
		 */
		for (unsigned i = 0; i < count; i++) {
			struct member *other = &member->group->members[i];
			if (!other->id[0])
				continue;
			struct kafka_sync_group_request_sync_group_request_assignment *row =
				&request.assignments[request.assignments_count++];
			kafka_sync_group_request_sync_group_request_assignment_init(row);
			row->member_id = kafka_string_of(other->id);
			row->assignment = assignment_of(i % group_load.options.partitions);
		}
	}
	member_ask(member, KAFKA_SYNC_GROUP, SYNC_VERSION, &request);
}

static void ask_heartbeat(struct member *member)
{
	struct kafka_heartbeat_request request;

	kafka_heartbeat_request_init(&request);
	request.group_id = kafka_string_of(member->group->id);
	request.generation_id = member->generation;
	request.member_id = kafka_string_of(member->id);
	member_ask(member, KAFKA_HEARTBEAT, HEARTBEAT_VERSION, &request);
}

static void fill_leave(struct kafka_leave_group_request *request,
		       struct kafka_leave_group_request_member_identity *rows,
		       const struct member *members, unsigned count)
{
	kafka_leave_group_request_init(request);
	request->group_id = kafka_string_of(members[0].group->id);
	request->members = rows;
	for (unsigned i = 0; i < count; i++) {
		if (!members[i].id[0])
			continue;
		kafka_leave_group_request_member_identity_init(&rows[request->members_count]);
		rows[request->members_count++].member_id = kafka_string_of(members[i].id);
	}
}

static void ask_to_leave(struct member *member)
{
	struct kafka_leave_group_request request;
	struct kafka_leave_group_request_member_identity row;

	fill_leave(&request, &row, member, 1);
	group_unsettled(member->group);
	member_ask(member, KAFKA_LEAVE_GROUP, LEAVE_VERSION, &request);
}

static void ask(struct member *member)
{
	switch (member->step) {
	case MEMBER_JOIN:
		ask_to_join(member);
		break;
	case MEMBER_SYNC:
		ask_to_sync(member);
		break;
	case MEMBER_LEAVE:
		ask_to_leave(member);
		break;
	case MEMBER_FIND:
	case MEMBER_STABLE:
		ask_heartbeat(member);
		break;
	}
}

static void leave(struct group *group, struct group_line *line)
{
	const unsigned count = group_load.options.members;
	struct kafka_leave_group_request request;
	struct kafka_leave_group_request_member_identity *rows =
		arena_alloc_array(&group_load.arena, count, sizeof(*rows));

	if (!rows)
		load_die("no memory");
	fill_leave(&request, rows, group->members, count);
	group_line_exchange(line, KAFKA_LEAVE_GROUP, LEAVE_VERSION, &request, &group_load.arena);
}

/* ---- answers ---- */

/* True: there is no error, or none that is left to look at. */
static bool goes_on(struct member *member, int16_t code)
{
	switch (code) {
	case KAFKA_NONE:
		return true;
	case KAFKA_REBALANCE_IN_PROGRESS: /* how members learn of it */
		member->step = MEMBER_JOIN;
		return false;
	case KAFKA_UNKNOWN_MEMBER_ID:
		member->id[0] = 0;
		member->step = MEMBER_JOIN;
		break;
	case KAFKA_ILLEGAL_GENERATION:
		member->step = MEMBER_JOIN;
		break;
	default:
		if (!member_waits(member, code))
			load_die("the broker answers %s with %s",
				 kafka_api_find(member->line.key)->name, kafka_error_name(code));
	}
	group_error(code);
	return false;
}

static void joined(struct member *member, const struct kafka_join_group_response *response)
{
	struct kafka_string id = response->member_id;

	group_load.counts.joins++;
	if (response->error_code != KAFKA_MEMBER_ID_REQUIRED &&
	    !goes_on(member, response->error_code))
		return;
	if (id.length <= 0 || id.length >= MEMBER_ID_BYTES)
		load_die("a member id of %d bytes", id.length);
	memcpy(member->id, id.data, (size_t)id.length);
	member->id[id.length] = 0;
	if (response->error_code)
		return; /* the same again, with the id */
	member->generation = response->generation_id;
	member->leads = kafka_string_equal(&response->leader, &id);
	member->step = MEMBER_SYNC;
	group_generation(member->group, member->generation);
}

static void answered(struct member *member, const void *response)
{
	const struct kafka_sync_group_response *synced = response;
	const struct kafka_heartbeat_response *alive = response;
	const struct kafka_leave_group_response *left = response;

	switch (member->line.key) {
	case KAFKA_JOIN_GROUP:
		joined(member, response);
		break;
	case KAFKA_SYNC_GROUP:
		group_load.counts.syncs++;
		if (!goes_on(member, synced->error_code))
			break;
		if (synced->assignment.length <= 0)
			load_die("a member of %s is given nothing", member->group->id);
		member->step = MEMBER_STABLE;
		group_member_settled(member);
		break;
	case KAFKA_LEAVE_GROUP:
		if (goes_on(member, left->error_code)) {
			group_load.counts.leaves++;
			member->id[0] = 0;
			member->step = MEMBER_JOIN;
		}
		break;
	default:
		goes_on(member, alive->error_code);
	}
}

const struct group_protocol group_protocol_classic = {
	.ask = ask, .answered = answered, .leave = leave};
