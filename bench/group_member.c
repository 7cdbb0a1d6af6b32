/* What a member says next, whatever its protocol, and when a group has settled. */
#include "bench/group_load.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "bench/load.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

enum {
	FIND_VERSION = 4,
	COMMIT_VERSION = 9,
};
static const uint64_t again_ns = 100 * NS_PER_MS; /* where the coordinator is not ready */

/* ---- groups ---- */

void group_unsettled(struct group *group)
{
	if (!group->begun_ns)
		group->begun_ns = load_now_ns();
}

void group_generation(struct group *group, int32_t generation)
{
	if (generation <= group->generation)
		return;
	group->generation = generation;
	group->settled = 0;
	group_load.counts.generations++;
	group_unsettled(group);
}

void group_member_settled(struct member *member)
{
	struct group *group = member->group;
	uint64_t now_ns = load_now_ns();

	if (member->generation != group->generation || member->settled == member->generation)
		return;
	member->settled = member->generation;
	if (++group->settled < group_load.options.members)
		return;
	group_load.settled_groups += group_load.settled_groups < group_load.options.groups;
	group_load.counts.rebalances++;
	histogram_add(&group_load.counts.rebalance, now_ns - group->begun_ns);
	histogram_add(&group_load.counts.assembly, now_ns - group->joined_ns);
	group->begun_ns = 0;
}

void group_error(int16_t code)
{
	if (code < -1 || code + 1 >= ERROR_CODES)
		load_die("error %d", code);
	group_load.counts.errors[code + 1] += code != 0;
}

/* ---- members ---- */

bool member_waits(struct member *member, int16_t code)
{
	if (code != KAFKA_COORDINATOR_LOAD_IN_PROGRESS && code != KAFKA_COORDINATOR_NOT_AVAILABLE &&
	    code != KAFKA_NOT_COORDINATOR)
		return false;
	member->not_before_ns = load_now_ns() + again_ns;
	return true;
}

void member_ask(struct member *member, int16_t key, int16_t version, const void *message)
{
	timer_wheel_disarm(&group_load.wheel, &member->timer);
	group_line_ask(&member->line, key, version, message, &group_load.arena);
}

static void ask_for_coordinator(struct member *member)
{
	struct kafka_find_coordinator_request request;
	struct kafka_string key = kafka_string_of(member->group->id);

	kafka_find_coordinator_request_init(&request);
	request.coordinator_keys = &key;
	request.coordinator_keys_count = 1;
	member_ask(member, KAFKA_FIND_COORDINATOR, FIND_VERSION, &request);
}

static void ask_to_commit(struct member *member)
{
	struct kafka_offset_commit_request request;
	struct kafka_offset_commit_request_offset_commit_request_topic topic;
	struct kafka_offset_commit_request_offset_commit_request_partition partition;

	kafka_offset_commit_request_init(&request);
	kafka_offset_commit_request_offset_commit_request_topic_init(&topic);
	kafka_offset_commit_request_offset_commit_request_partition_init(&partition);
	partition.partition_index = (int32_t)(member->index % group_load.options.partitions);
	partition.committed_offset = ++member->offset;
	topic.name = kafka_string_of(group_load.options.topic);
	topic.partitions = &partition;
	topic.partitions_count = 1;
	request.group_id = kafka_string_of(member->group->id);
	request.generation_id_or_member_epoch = member->generation;
	request.member_id = kafka_string_of(member->id);
	request.topics = &topic;
	request.topics_count = 1;
	member_ask(member, KAFKA_OFFSET_COMMIT, COMMIT_VERSION, &request);
}

/* Members that were late together are not in step from then on. */
static uint64_t next_ns(uint64_t due_ns, uint64_t interval_ms, uint64_t now_ns)
{
	const uint64_t interval_ns = interval_ms * NS_PER_MS;

	return now_ns < due_ns ? due_ns
			       : due_ns + ((now_ns - due_ns) / interval_ns + 1) * interval_ns;
}

void member_turn(struct member *member)
{
	const struct group_options *options = &group_load.options;
	uint64_t now_ns = load_now_ns();
	uint64_t due_ns;

	if (member->line.under_way)
		return;
	if (now_ns < member->not_before_ns) {
		timer_wheel_arm(&group_load.wheel, &member->timer, member->not_before_ns);
		return;
	}
	if (member->step == MEMBER_STABLE && member->wants_to_leave) {
		member->wants_to_leave = false;
		member->step = MEMBER_LEAVE;
	}
	if (member->step == MEMBER_FIND) {
		ask_for_coordinator(member);
	} else if (member->step != MEMBER_STABLE) {
		options->protocol->ask(member);
	} else if (now_ns >= member->heartbeat_ns || member->has_news) {
		member->heartbeat_ns = next_ns(member->heartbeat_ns, options->heartbeat_ms, now_ns);
		options->protocol->ask(member);
	} else if (options->commit_ms && now_ns >= member->commit_ns) {
		member->commit_ns = next_ns(member->commit_ns, options->commit_ms, now_ns);
		ask_to_commit(member);
	} else {
		due_ns = member->heartbeat_ns;
		if (options->commit_ms && member->commit_ns < due_ns)
			due_ns = member->commit_ns;
		timer_wheel_arm(&group_load.wheel, &member->timer, due_ns);
	}
}

void member_expired(struct wheel_timer *timer)
{
	arena_reset(&group_load.arena);
	member_turn(container_of(timer, struct member, timer));
}

static void found(struct member *member, const struct kafka_find_coordinator_response *response)
{
	int16_t code = response->coordinators_count == 1 ? response->coordinators[0].error_code
							 : KAFKA_UNKNOWN_SERVER_ERROR;

	group_error(code);
	if (code == KAFKA_NONE)
		member->step = MEMBER_JOIN;
	else if (!member_waits(member, code))
		load_die("no coordinator: %s", kafka_error_name(code));
}

/* What is wrong with the member its next heartbeat will say. */
static void committed(struct member *member, const struct kafka_offset_commit_response *response)
{
	histogram_add(&group_load.counts.commit, load_now_ns() - member->line.asked_ns);
	group_load.counts.commits++;
	group_error(response->topics[0].partitions[0].error_code);
}

void member_readable(struct member *member)
{
	arena_reset(&group_load.arena);
	const void *response = group_line_read(&member->line, &group_load.arena);
	if (!response)
		return;
	switch (member->line.key) {
	case KAFKA_FIND_COORDINATOR:
		found(member, response);
		break;
	case KAFKA_OFFSET_COMMIT:
		committed(member, response);
		break;
	default:
		if (member->step == MEMBER_STABLE) {
			group_load.counts.heartbeats++;
			histogram_add(&group_load.counts.heartbeat,
				      load_now_ns() - member->line.asked_ns);
		}
		group_load.options.protocol->answered(member, response);
	}
	member_turn(member);
}

/* ---- churn ---- */

void group_churns(struct wheel_timer *timer)
{
	struct group *group = container_of(timer, struct group, churn);
	struct member *member = &group->members[group->next_leaver];
	const uint64_t interval_ns = group_load.options.churn_ms * NS_PER_MS;

	timer_wheel_arm(&group_load.wheel, timer, load_now_ns() + interval_ns);
	if (group->begun_ns) {
		group_load.counts.skipped++;
		return;
	}
	group->next_leaver = (group->next_leaver + 1) % group_load.options.members;
	member->wants_to_leave = true;
	arena_reset(&group_load.arena);
	member_turn(member);
}
