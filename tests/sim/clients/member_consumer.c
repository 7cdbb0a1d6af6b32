/* KIP-848: the group's coordinator assigns; a heartbeat tells what the member owns and answers with
 * what it is to own.  What it is to give up it gives up first, and says so; the rest it keeps. */
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"
#include "tests/sim/clients/asks_internal.h"
#include "tests/sim/clients/member.h"

#include <stdio.h>
#include <string.h>

enum { VERSION_HEARTBEAT = 1, JOINING = 0, LEAVING = -1, REBALANCE_MS = 8000 };

static const uint64_t ns_in_ms = 1000000;

/* What it owns goes along where it has changed or is asked for; null keeps what was told. */
static int ask_heartbeat(struct member *member, int32_t epoch,
			 const struct kafka_consumer_group_heartbeat_response **ret)
{
	struct kafka_consumer_group_heartbeat_request request;
	struct kafka_consumer_group_heartbeat_request_topic_partitions row;
	struct kafka_string name = kafka_string_of(member->topic->name);
	int32_t partitions[PARTITIONS_MAX];
	void *answer;

	kafka_consumer_group_heartbeat_request_init(&request);
	kafka_consumer_group_heartbeat_request_topic_partitions_init(&row);
	request.group_id = kafka_string_of(member->membership.group);
	request.member_id = kafka_string_of(member->membership.member);
	request.member_epoch = epoch;
	request.rebalance_timeout_ms = REBALANCE_MS;
	request.subscribed_topic_names = &name;
	request.subscribed_topic_names_count = 1;
	request.topic_partitions = &row;
	request.topic_partitions_count = 0;
	row.topic_id = member->topic->id;
	row.partitions = partitions;
	for (unsigned i = 0; i < member->topic->partitions; i++) {
		if (member->owned[i])
			partitions[row.partitions_count++] = (int32_t)i;
	}
	if (row.partitions_count)
		request.topic_partitions_count = 1;
	int rc = ask_call(&member->client, KAFKA_CONSUMER_GROUP_HEARTBEAT, VERSION_HEARTBEAT,
			  &request, &answer);
	if (rc < 0)
		return rc;
	*ret = answer;
	return ask_result((*ret)->error_code);
}

static void read_assignment(struct member *member,
			    const struct kafka_consumer_group_heartbeat_response_assignment *from,
			    bool *ret)
{
	memset(ret, 0, PARTITIONS_MAX * sizeof(*ret));
	for (int32_t i = 0; i < from->topic_partitions_count; i++) {
		const struct kafka_consumer_group_heartbeat_response_topic_partitions *row =
			&from->topic_partitions[i];
		if (!uuid_equal(&row->topic_id, &member->topic->id))
			continue;
		for (int32_t j = 0; j < row->partitions_count; j++) {
			if (row->partitions[j] >= 0 && row->partitions[j] < PARTITIONS_MAX)
				ret[row->partitions[j]] = true;
		}
	}
}

static bool same(const bool *a, const bool *b)
{
	return memcmp(a, b, PARTITIONS_MAX * sizeof(*a)) == 0;
}

/* Gives up what it is not to own any more; of what is new it finds the committed offset. */
static int reconcile(struct member *member, const bool *target, int32_t epoch)
{
	bool fresh[PARTITIONS_MAX], any = false, kept[PARTITIONS_MAX];
	bool changed = !same(member->owned, target) || epoch != member->membership.generation;

	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		kept[i] = target[i] && member->owned[i];
		fresh[i] = target[i] && !member->owned[i];
		any |= fresh[i];
	}
	member->membership.generation = epoch;
	if (!changed)
		return 0;
	member_owns(member, kept);
	member->heartbeat_due_ns = 0; /* tells of it at once */
	if (!any)
		return 0;
	member_owns(member, target);
	int rc = member_find_positions(member, fresh);
	if (rc != 0)
		member_owns(member, kept);
	return rc;
}

static int heartbeat(struct member *member, int32_t epoch)
{
	const struct kafka_consumer_group_heartbeat_response *answer;
	bool target[PARTITIONS_MAX];
	int rc = ask_heartbeat(member, epoch, &answer);

	if (rc != 0)
		return rc;
	member->heartbeat_due_ns = sim_now_ns() + MEMBER_HEARTBEAT_MS * ns_in_ms;
	if (answer->has_assignment)
		read_assignment(member, &answer->assignment, target);
	else
		memcpy(target, member->owned, sizeof(target));
	return reconcile(member, target, answer->member_epoch);
}

static bool passes(struct member *member, int rc)
{
	return rc == 0 || rc == KAFKA_STALE_MEMBER_EPOCH || ask_again_later(&member->client, rc);
}

static int work(struct member *member)
{
	int rc = 0;

	while (member_goes_on(member)) {
		if (sim_now_ns() >= member->heartbeat_due_ns)
			rc = heartbeat(member, member->membership.generation);
		if (passes(member, rc))
			rc = member_process(member);
		if (!passes(member, rc))
			return rc;
		rc = 0;
		client_pause(&member->client, 10, 200);
	}
	return 0;
}

static void start_over(struct member *member, int rc)
{
	if (rc == KAFKA_UNKNOWN_MEMBER_ID || rc == KAFKA_FENCED_MEMBER_EPOCH)
		member_fenced(member, rc);
	member_owns_nothing(member);
	member->membership.generation = -1;
}

void *member_consumer_run(void *context)
{
	struct member *member = context;
	struct client *client = &member->client;
	const struct kafka_consumer_group_heartbeat_response *answer;

	history_event(client->log, "start",
		      "\"client\":\"%s\",\"group\":\"%s\",\"topics\":[\"%s\"],\"isolation\":"
		      "\"read_committed\"",
		      client->name, member->membership.group, member->topic->name);
	snprintf(member->membership.member, sizeof(member->membership.member), "%s-id",
		 client->name);
	while (member_goes_on(member)) {
		int rc = heartbeat(member, JOINING);
		if (rc == 0)
			rc = work(member);
		if (rc != 0 && member_goes_on(member)) {
			start_over(member, rc);
			client_pause(client, 20, 200);
		}
	}
	member_owns_nothing(member);
	ask_heartbeat(member, LEAVING, &answer);
	return client_end(client);
}
