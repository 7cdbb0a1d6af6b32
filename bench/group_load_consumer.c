/* Members of consumer groups (KIP-848): one request, which joins, is alive, owns and leaves. */
#include "bench/group_load.h"

#include "base/uuid.h"
#include "bench/load.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

#include <stdio.h>
#include <string.h>

enum {
	VERSION = 1, /* the member chooses its id */
	EPOCH_JOINS = 0,
	EPOCH_LEAVES = -1,
};

static void choose_id(struct member *member)
{
	snprintf(member->id, sizeof(member->id), "%s-member-%u", member->group->id, member->index);
}

static void init(struct kafka_consumer_group_heartbeat_request *request,
		 const struct member *member, int32_t epoch)
{
	kafka_consumer_group_heartbeat_request_init(request);
	request->group_id = kafka_string_of(member->group->id);
	request->member_id = kafka_string_of(member->id);
	request->member_epoch = epoch;
}

static void ask(struct member *member)
{
	struct kafka_consumer_group_heartbeat_request request;
	struct kafka_consumer_group_heartbeat_request_topic_partitions owned;
	struct kafka_string topic = kafka_string_of(group_load.options.topic);

	kafka_consumer_group_heartbeat_request_topic_partitions_init(&owned);
	owned.topic_id = member->topic;
	owned.partitions = member->partitions;
	owned.partitions_count = member->partition_count;
	if (member->step == MEMBER_JOIN) {
		choose_id(member);
		group_unsettled(member->group);
		member->group->joined_ns = load_now_ns();
		init(&request, member, EPOCH_JOINS);
		request.rebalance_timeout_ms = 60000;
		request.subscribed_topic_names = &topic;
		request.subscribed_topic_names_count = 1;
		request.topic_partitions_count = 0; /* owns nothing, and says so */
	} else if (member->step == MEMBER_LEAVE) {
		group_unsettled(member->group);
		init(&request, member, EPOCH_LEAVES);
	} else {
		init(&request, member, member->generation);
		if (member->has_news) {
			request.topic_partitions = &owned;
			request.topic_partitions_count = member->partition_count > 0;
		}
		member->has_news = false;
	}
	member_ask(member, KAFKA_CONSUMER_GROUP_HEARTBEAT, VERSION, &request);
}

static void leave(struct group *group, struct group_line *line)
{
	struct kafka_consumer_group_heartbeat_request request;

	for (unsigned i = 0; i < group_load.options.members; i++) {
		if (!group->members[i].id[0])
			continue;
		init(&request, &group->members[i], EPOCH_LEAVES);
		group_line_exchange(line, KAFKA_CONSUMER_GROUP_HEARTBEAT, VERSION, &request,
				    &group_load.arena);
	}
}

static void take(struct member *member,
		 const struct kafka_consumer_group_heartbeat_response_assignment *assignment)
{
	int32_t count = 0;

	if (assignment->topic_partitions_count > 0) {
		count = assignment->topic_partitions[0].partitions_count;
		if (assignment->topic_partitions_count > 1 || count > TOPIC_PARTITIONS_MAX)
			load_die("a member of %s is given too much", member->group->id);
		member->topic = assignment->topic_partitions[0].topic_id;
		memcpy(member->partitions, assignment->topic_partitions[0].partitions,
		       (size_t)count * sizeof(member->partitions[0]));
	}
	member->partition_count = count;
	member->has_news = true;
}

static void refused(struct member *member, int16_t code)
{
	group_error(code);
	switch (code) {
	case KAFKA_UNKNOWN_MEMBER_ID:
	case KAFKA_FENCED_MEMBER_EPOCH:
		member->step = MEMBER_JOIN;
		break;
	default:
		if (!member_waits(member, code))
			load_die("the broker answers a heartbeat with %s", kafka_error_name(code));
	}
}

static void answered(struct member *member, const void *answer)
{
	const struct kafka_consumer_group_heartbeat_response *response = answer;

	if (response->error_code) {
		refused(member, response->error_code);
		return;
	}
	if (member->step == MEMBER_LEAVE) {
		group_load.counts.leaves++;
		member->step = MEMBER_JOIN;
		member->partition_count = 0;
		return;
	}
	group_load.counts.joins += member->step == MEMBER_JOIN;
	bool moved = member->step == MEMBER_JOIN || member->generation != response->member_epoch;
	member->step = MEMBER_STABLE;
	member->generation = response->member_epoch;
	if (response->has_assignment)
		take(member, &response->assignment);
	group_generation(member->group, member->generation);
	if (moved)
		group_member_settled(member);
}

const struct group_protocol group_protocol_consumer = {
	.ask = ask, .answered = answered, .leave = leave};
