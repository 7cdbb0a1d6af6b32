/* How a group with members changes its kind.
 *
 * The new state is made beside the old one, of copies; then the records are appended; then the old
 * state is forgotten.  What is appended in one call is stored whole or not at all, so a restart
 * finds the group before or after, never between.
 *
 * Upgrade: a member's generation becomes its epoch, the assignment that the leader gave it both
 * what it has and what it is to have.  So nothing moves until the group epoch rises, which it does
 * at once: no topics are known to be subscribed yet.  Whose first JoinGroup is still parked has
 * nothing and is left out: it is told REBALANCE_IN_PROGRESS and joins anew.  Who is between
 * JoinGroup and SyncGroup has what it said that it owns besides what it was assigned before.
 *
 * Downgrade: the generation is the latest epoch that a member has, so that members that were up to
 * date are told of the rebalance and not that they are lost.  The record names no leader: who reads
 * it after a restart gathers the members, as is done here (classic_records.c). */
#include "control/groups/migration.h"

#include "base/arena.h"
#include "control/config.h"
#include "control/groups/classic_internal.h"
#include "control/groups/consumer.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/consumer_internal.h"
#include "control/groups/consumer_protocol.h"
#include "control/groups/groups_internal.h"

#include <errno.h>

#define MIGRATION_BYTES_MAX ((size_t)256 << 20)

/* group.consumer.migration.policy, in the order of its choices. */
enum { POLICY_UPGRADE = 1, POLICY_DOWNGRADE = 2 }; /* bits: 0 is none, 3 both */

static bool allows(const struct group *group, unsigned what)
{
	return group->groups->options.config->group_consumer_migration_policy & what;
}

static const struct kafka_string consumer_type = {"consumer", 8};

/* ---- upgrade: the members ---- */

static int refuse(enum kafka_error error, const char *why, const char **ret_why)
{
	*ret_why = why;
	return error;
}

static int check_upgrade(const struct group *group, const char **ret_why)
{
	const struct classic *classic = group->state;
	const struct config *config = group->groups->options.config;

	if (!allows(group, POLICY_UPGRADE))
		return refuse(KAFKA_GROUP_ID_NOT_FOUND,
			      "The group is a classic one, and group.consumer.migration.policy "
			      "does not let it be upgraded while it has members.",
			      ret_why);
	if (!kafka_string_equal(&classic->protocol_type, &consumer_type))
		return refuse(KAFKA_GROUP_ID_NOT_FOUND,
			      "The group is a classic one whose members are no consumers.",
			      ret_why);
	if (classic->member_count >= (size_t)config->group_consumer_max_size)
		return refuse(KAFKA_GROUP_ID_NOT_FOUND,
			      "The group is a classic one and has more members than "
			      "group.consumer.max.size allows.",
			      ret_why);
	if (classic->generation > EPOCH_STORED_MAX)
		return refuse(KAFKA_GROUP_ID_NOT_FOUND,
			      "The group is a classic one whose generation is too late for an "
			      "epoch.",
			      ret_why);
	return 0;
}

/* For the assignor that was voted for; mostly all say the same. */
static const struct kafka_bytes *subscription_of(const struct classic_member *member)
{
	const struct kafka_bytes *voted = classic_metadata(member);

	return voted ? voted : &member->protocols->items[0].metadata;
}

static int set_details(struct consumer_member *member, const struct classic_member *from,
		       const struct consumer_protocol_subscription *read, struct arena *arena)
{
	struct subscriptions *subscriptions = &member->consumer->subscriptions;
	const struct member_details details = {
		.instance_id = from->instance_id,
		.rack_id = read->rack_id,
		.client_id = from->client_id,
		.client_host = from->client_host,
		.assignor = {.length = -1},
		.rebalance_timeout_ms = from->rebalance_timeout_ms,
	};
	const struct kafka_string no_regex = {.length = -1};
	struct subscription *subscription;
	char why[1];
	int rc = subscription_acquire(subscriptions, read->topics, (size_t)read->topic_count,
				      &no_regex, arena, &subscription, why, sizeof(why));

	if (rc < 0)
		return rc;
	rc = consumer_set_details(member, &details, subscription);
	if (rc < 0)
		subscription_release(subscriptions, subscription);
	return rc;
}

static int copy_member(struct consumer_group *consumer, const struct classic_member *from,
		       int32_t generation, struct arena *arena, bool *ret_user_data)
{
	const struct topics *topics = consumer->group->groups->topics;
	struct consumer_protocol_subscription subscription = {0};
	struct consumer_protocol_assignment assignment = {0};
	struct consumer_member *member;
	int rc = consumer_protocol_read_subscription(subscription_of(from), topics, arena,
						     &subscription);

	if (rc == 0)
		rc = consumer_protocol_read_assignment(&from->assignment, topics, arena,
						       &assignment);
	if (rc < 0)
		return rc;
	*ret_user_data = assignment.user_data;
	member = consumer_add(consumer, &from->id);
	if (!member)
		return -ENOMEM;
	const struct member_assignment current = {.epoch = generation,
						  .previous_epoch = generation,
						  .state = MEMBER_STABLE,
						  .assigned = assignment.partitions};
	rc = set_details(member, from, &subscription, arena);
	if (rc == 0)
		rc = consumer_classic_set(member, from->protocols->items, from->protocols->count,
					  from->session_timeout_ms);
	if (rc == 0)
		rc = consumer_load_target(member, &assignment.partitions);
	return rc == 0 ? consumer_load_current(member, &current) : rc;
}

/* Who has not got this generation's assignment may own still what it said when it joined. */
static int keep_claims(struct consumer_group *consumer, const struct classic_member *from,
		       struct arena *arena)
{
	struct consumer_member *member = consumer_find(consumer, &from->id);
	struct consumer_protocol_subscription read;
	size_t kept = 0;
	int rc = consumer_protocol_read_subscription(subscription_of(from),
						     consumer->group->groups->topics, arena, &read);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < read.owned.count; i++) {
		if (!owners_get(&consumer->owners, &read.owned.items[i]))
			read.owned.items[kept++] = read.owned.items[i];
	}
	read.owned.count = kept;
	struct member_assignment current = member->current;
	rc = partition_set_union(&member->current.assigned, &read.owned, arena, &current.assigned);
	return rc == 0 ? consumer_load_current(member, &current) : rc;
}

static int keep_all_claims(const struct classic *classic, struct arena *arena,
			   struct consumer_group *consumer)
{
	int rc = 0;

	list_foreach(link, &classic->members) {
		const struct classic_member *from = classic_member_at(link);
		if (rc == 0 && !from->fresh && from->unsynced)
			rc = keep_claims(consumer, from, arena);
	}
	return rc;
}

/* What Kafka's own assignors keep with an assignment (librdkafka's sticky one does) only says what
 * the members have, which the broker's assignors know. */
static bool needs_user_data(const struct classic *classic)
{
	static const struct kafka_string sticky = {"sticky", 6};
	static const struct kafka_string cooperative = {"cooperative-sticky", 18};

	return !kafka_string_equal(&classic->protocol, &sticky) &&
	       !kafka_string_equal(&classic->protocol, &cooperative);
}

/* The consumer group has them all, in memory alone. */
static int copy_members(const struct classic *classic, struct arena *arena,
			struct consumer_group *consumer, const char **ret_why)
{
	list_foreach(link, &classic->members) {
		const struct classic_member *from = classic_member_at(link);
		bool user_data = false;
		if (from->fresh)
			continue;
		int rc = copy_member(consumer, from, classic->generation, arena, &user_data);
		if (rc == -ENOMEM)
			return rc;
		if (rc < 0)
			return refuse(KAFKA_GROUP_ID_NOT_FOUND,
				      "The group is a classic one, and a member's subscription or "
				      "assignment can not be read.",
				      ret_why);
		if (user_data && needs_user_data(classic))
			return refuse(KAFKA_GROUP_ID_NOT_FOUND,
				      "The group is a classic one whose assignor keeps data of its "
				      "own, which an upgrade would lose.",
				      ret_why);
	}
	consumer->epoch = classic->generation;
	consumer->assignment_epoch = classic->generation;
	return keep_all_claims(classic, arena, consumer);
}

/* ---- upgrade: the group ---- */

/* Has in memory what could be stored; without the details it is no member. */
static int store_member(struct consumer_member *member, struct arena *arena)
{
	static const struct partition_set nothing;
	static const struct member_assignment just_joined;
	bool target_stored = false;
	int rc = consumer_append_details(member);

	member->details_stored = rc == 0;
	if (rc == 0) {
		rc = consumer_append_target(member, &member->target, arena);
		target_stored = rc == 0;
	}
	if (rc == 0)
		rc = consumer_append_current(member, &member->current, arena);
	if (rc < 0)
		consumer_load_current(member, &just_joined);
	if (!target_stored)
		consumer_load_target(member, &nothing);
	member->target_stored = target_stored;
	return rc;
}

/* Of whom nothing could be stored is no member. */
static int store_upgraded(struct consumer_group *consumer, struct arena *arena)
{
	const int32_t epoch = consumer->epoch;
	int rc = consumer_append_group(consumer, epoch, consumer->topics_hash);

	consumer->epoch = rc == 0 ? epoch : 0;
	consumer->assignment_epoch = 0;
	for (size_t i = 0; i < consumer->member_count && rc == 0; i++)
		rc = store_member(consumer->members[i], arena);
	if (rc == 0)
		rc = consumer_append_assignment_epoch(consumer, epoch);
	if (rc == 0)
		consumer->assignment_epoch = epoch;
	for (size_t i = consumer->member_count; i-- > 0;) {
		if (!consumer->members[i]->details_stored)
			consumer_remove(consumer->members[i]);
	}
	return rc;
}

static void put_consumer_in_force(struct group *group, struct consumer_group *consumer)
{
	group->kind->forget(group, KAFKA_REBALANCE_IN_PROGRESS);
	group->state = consumer;
	group->kind = &consumer_kind;
	group->empty_since_ms = 0;
	for (size_t i = 0; i < consumer->member_count; i++)
		consumer_seen(consumer->members[i]);
}

static int upgrade(struct group *group, struct arena *scratch, const char **ret_why)
{
	struct consumer_group *consumer = consumer_new(group);
	int rc = consumer ? copy_members(group->state, scratch, consumer, ret_why) : -ENOMEM;

	if (rc == 0)
		rc = group->kind->erase(group);
	if (rc != 0) {
		consumer_free(consumer);
		return rc;
	}
	classic_log_change(group->state, "upgrade", "a member joins by the consumer protocol");
	put_consumer_in_force(group, consumer);
	return store_upgraded(consumer, scratch);
}

int migration_upgrade(struct group *group, const char **ret_why)
{
	struct arena scratch;
	int rc = check_upgrade(group, ret_why);

	if (rc != 0)
		return rc;
	arena_init(&scratch, MIGRATION_BYTES_MAX);
	rc = upgrade(group, &scratch, ret_why);
	arena_fini(&scratch);
	return rc;
}

/* ---- downgrade ---- */

bool migration_due_without(const struct consumer_member *leaving)
{
	const struct consumer_group *consumer = leaving->consumer;

	if (!allows(consumer->group, POLICY_DOWNGRADE))
		return false;
	for (size_t i = 0; i < consumer->member_count; i++) {
		if (consumer->members[i] != leaving && !consumer->members[i]->classic)
			return false;
	}
	return true;
}

/* Names of topics are needed, and the classic group has to have room. */
static bool downgrade_due(const struct group *group)
{
	const struct consumer_group *consumer = consumer_of(group);
	const struct config *config = group->groups->options.config;

	return consumer->member_count > 0 && group->groups->topics &&
	       consumer->member_count <= (size_t)config->group_max_size &&
	       consumer->members[0]->classic && migration_due_without(consumer->members[0]);
}

/* What it was told to let go of is its own until it says that it has. */
static int assign(struct classic_member *member, const struct consumer_member *from,
		  struct arena *arena)
{
	struct partition_set owned;
	struct kafka_bytes assignment;
	int rc = partition_set_union(&from->current.assigned, &from->current.revoking, arena,
				     &owned);

	if (rc == 0)
		rc = consumer_protocol_write_assignment(
			&owned,
			consumer_protocol_version(&from->classic->protocols->items[0].metadata),
			from->consumer->group->groups->topics, arena, &assignment);
	return rc == 0 ? classic_member_assign(member, &assignment) : rc;
}

static int copy_back(struct classic *classic, const struct consumer_member *from,
		     struct arena *arena)
{
	const struct classic_identity identity = {
		.id = from->id,
		.instance_id = from->details.instance_id,
		.client_id = from->details.client_id,
		.client_host = from->details.client_host,
	};
	const struct classic_protocols *protocols = from->classic->protocols;
	struct classic_member *member = classic_member_new(&identity);
	int rc = -ENOMEM;

	if (!member)
		return rc;
	member->session_timeout_ms = from->classic->session_timeout_ms;
	member->rebalance_timeout_ms = from->details.rebalance_timeout_ms;
	member->protocols = classic_protocols_of(protocols->items, protocols->count);
	if (member->protocols)
		rc = assign(member, from, arena);
	if (rc == 0)
		rc = classic_members_add(classic, member);
	if (rc < 0)
		classic_member_free(member);
	return rc;
}

/* All members, as they are in the middle of a rebalance that has just begun. */
static int copy_group_back(struct classic *classic, const struct consumer_group *consumer,
			   struct arena *arena)
{
	int rc = classic_set_text(&classic->protocol_type, &consumer_type);

	for (size_t i = 0; i < consumer->member_count && rc == 0; i++) {
		const struct consumer_member *from = consumer->members[i];
		rc = copy_back(classic, from, arena);
		if (from->current.epoch > classic->generation)
			classic->generation = from->current.epoch;
	}
	if (rc == 0)
		rc = classic_set_text(&classic->protocol, classic_members_vote(classic));
	classic->state = CLASSIC_STABLE;
	classic->rebalance_due = true;
	return rc;
}

static void put_classic_in_force(struct group *group, struct classic *classic)
{
	/* Where a tombstone is missing, what it was for lies before the record of the classic
	 * group, which replaces it. */
	group->kind->erase(group);
	group->kind->forget(group, KAFKA_UNKNOWN_MEMBER_ID);
	group->state = classic;
	group->kind = &classic_kind;
	list_foreach(link, &classic->members)
		classic_session_renew(classic_member_at(link));
	classic_rebalance(classic, "nobody speaks the consumer protocol any more");
}

void migration_settle(struct group *group)
{
	struct classic *classic;
	struct arena scratch;

	if (group->kind != &consumer_kind || !downgrade_due(group))
		return;
	classic = classic_new(group);
	if (!classic)
		return;
	arena_init(&scratch, MIGRATION_BYTES_MAX);
	int rc = copy_group_back(classic, consumer_of(group), &scratch);
	arena_fini(&scratch);
	if (rc == 0)
		rc = classic_store(classic);
	if (rc == 0)
		put_classic_in_force(group, classic);
	else
		classic_free(classic, KAFKA_UNKNOWN_MEMBER_ID);
}
