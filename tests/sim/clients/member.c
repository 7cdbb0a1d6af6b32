#include "tests/sim/clients/member.h"

#include "dataplane/kafka/kafka_errors.h"
#include "tests/sim/clients/reader.h"

#include <string.h>

enum { LOOK_PERCENT = 4 };

static void add_partitions(struct member *member, const bool *partitions)
{
	struct history_log *log = member->client.log;
	const char *comma = "";

	for (unsigned i = 0; i < member->topic->partitions; i++) {
		if (!partitions[i])
			continue;
		history_add(log, "%s[\"%s\",%u]", comma, member->topic->name, i);
		comma = ",";
	}
	history_add(log, "]");
}

void member_owns(struct member *member, const bool *partitions)
{
	history_begin(member->client.log, "owns",
		      "\"group\":\"%s\",\"member\":\"%s\",\"generation\":%d,\"partitions\":[",
		      member->membership.group, member->membership.member,
		      member->membership.generation);
	add_partitions(member, partitions);
	history_end(member->client.log);
	memmove(member->owned, partitions, sizeof(member->owned));
	member->client.drained = false;
	member->client.idle = true;
	for (unsigned i = 0; i < PARTITIONS_MAX; i++)
		member->client.idle &= !member->owned[i];
}

void member_owns_nothing(struct member *member)
{
	static const bool nothing[PARTITIONS_MAX];

	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		if (member->owned[i]) {
			member_owns(member, nothing);
			return;
		}
	}
}

int member_find_positions(struct member *member, const bool *fresh)
{
	int64_t offsets[PARTITIONS_MAX] = {0};
	int rc = ask_committed(&member->client, &member->membership, member->topic, offsets);

	if (rc != 0)
		return rc;
	client_tells_seen(&member->client, member->membership.group, member->topic, fresh, offsets,
			  false);
	for (unsigned i = 0; i < member->topic->partitions; i++) {
		if (!fresh[i])
			continue;
		member->positions[i] = offsets[i] > 0 ? offsets[i] : 0;
		member->committed[i] = member->positions[i];
	}
	return 0;
}

static void tell_committed(struct member *member, unsigned partition, const char *result)
{
	history_event(member->client.log, "committed",
		      "\"group\":\"%s\",\"offsets\":[[\"%s\",%u,%lld]],\"result\":\"%s\","
		      "\"generation\":%d",
		      member->membership.group, member->topic->name, partition,
		      (long long)member->positions[partition], result,
		      member->membership.generation);
}

static int commit(struct member *member, unsigned partition)
{
	int rc = ask_commit(&member->client, &member->membership, member->topic, partition,
			    member->positions[partition]);

	tell_committed(member, partition, rc == 0 ? "ok" : rc < 0 ? "unknown" : "refused");
	if (rc == 0)
		member->committed[partition] = member->positions[partition];
	return rc;
}

static bool passes(struct member *member, int rc)
{
	return rc == 0 || ask_again_later(&member->client, rc);
}

/* What it has committed itself is there. */
static void look_at_committed(struct member *member)
{
	int64_t offsets[PARTITIONS_MAX];

	if (ask_committed(&member->client, &member->membership, member->topic, offsets) == 0)
		client_tells_seen(&member->client, member->membership.group, member->topic,
				  member->owned, offsets, false);
}

int member_process(struct member *member)
{
	if (client_draws(&member->client, LOOK_PERCENT))
		look_at_committed(member);
	bool drained = member->client.world->phase == PHASE_DRAIN, at_end;

	for (unsigned i = 0; i < member->topic->partitions; i++) {
		if (!member->owned[i])
			continue;
		int rc = reader_fetch(&member->client, member->topic, i, READ_COMMITTED,
				      &member->positions[i], &at_end);
		if (!passes(member, rc))
			client_accuses(&member->client, "%s/%u: %s", member->topic->name, i,
				       kafka_error_name((int16_t)rc));
		if (rc == 0 && member->positions[i] != member->committed[i]) {
			rc = commit(member, i);
			if (!passes(member, rc))
				return rc;
		}
		drained = drained && rc == 0 && at_end;
	}
	member->client.drained = drained;
	return 0;
}

void member_fenced(struct member *member, int rc)
{
	if (member->membership.generation < 0)
		return;
	history_event(member->client.log, "fenced",
		      "\"group\":\"%s\",\"generation\":%d,\"error\":\"%s\"",
		      member->membership.group, member->membership.generation,
		      kafka_error_name((int16_t)rc));
}

void member_start(struct member *member, struct world *world, const char *name,
		  struct random *random, const char *group, struct topic *topic, bool consumer)
{
	*member = (struct member){
		.client.must_progress = true,
		.client.drains = true,
		.topic = topic,
		.membership = {.group = group, .generation = -1, .consumer = consumer},
	};
	client_start(&member->client, world, name, random,
		     consumer ? member_consumer_run : member_classic_run);
}
