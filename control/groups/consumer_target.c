/* The target assignment: what every member is to have at the group epoch. */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "control/groups/assignors.h"

#include <errno.h>

#define ASSIGN_BYTES_MAX ((size_t)512 << 20)

const struct assignor *consumer_assignor(const struct consumer_group *consumer)
{
	size_t votes[ASSIGNOR_COUNT] = {0};
	size_t best = 0;

	for (size_t i = 0; i < consumer->member_count; i++) {
		const struct kafka_string *name = &consumer->members[i]->details.assignor;
		const struct assignor *wanted = name->length >= 0 ? assignor_find(name) : NULL;
		if (wanted)
			votes[wanted - assignors]++;
	}
	for (size_t i = 1; i < ASSIGNOR_COUNT; i++) {
		if (votes[i] > votes[best])
			best = i;
	}
	return &assignors[best];
}

static int describe(const struct consumer_group *consumer, struct arena *arena,
		    struct assignment *ret)
{
	struct assignor_member *members = arena_calloc(arena, consumer->member_count,
						       sizeof(*members));

	if (!members)
		return -ENOMEM;
	for (size_t i = 0; i < consumer->member_count; i++) {
		const struct consumer_member *member = consumer->members[i];
		const struct subscription *subscription = member->subscription;
		members[i] = (struct assignor_member){
			.instance_id = member->details.instance_id,
			.id = member->id,
			.topics = subscription->topics,
			.topic_count = subscription->topic_count,
			.current = member->target,
		};
	}
	*ret = (struct assignment){
		.topics = consumer->subscriptions.topics,
		.topic_count = consumer->subscriptions.topic_count,
		.members = members,
		.member_count = consumer->member_count,
	};
	return 0;
}

static int put_in_force(struct consumer_group *consumer, const struct assignment *assignment,
			struct arena *arena)
{
	for (size_t i = 0; i < consumer->member_count; i++) {
		struct consumer_member *member = consumer->members[i];
		const struct partition_set *assigned = &assignment->members[i].assigned;
		if (member->target_stored && partition_set_equal(assigned, &member->target))
			continue;
		int rc = consumer_set_target(member, assigned, arena);
		if (rc < 0)
			return rc;
	}
	int rc = consumer_append_assignment_epoch(consumer, consumer->epoch);
	if (rc == 0)
		consumer->assignment_epoch = consumer->epoch;
	return rc;
}

int consumer_assign(struct consumer_group *consumer)
{
	struct assignment assignment;
	struct arena arena;
	int rc;

	arena_init(&arena, ASSIGN_BYTES_MAX);
	rc = describe(consumer, &arena, &assignment);
	if (rc == 0)
		rc = consumer_assignor(consumer)->assign(&assignment, &arena);
	if (rc == 0)
		rc = put_in_force(consumer, &assignment, &arena);
	arena_fini(&arena);
	return rc;
}
