/* Consumer groups: the broker assigns the partitions, members follow by heartbeats (KIP-848).
 *
 *     Empty ---> Assigning ---> Reconciling ---> Stable
 *     nobody     the group      some member      every member has
 *     is there   epoch is       is on its way    what it is to have
 *                ahead          to its target
 *
 * The states are drawn from the epochs when somebody asks.  consumer_internal.h says what is kept
 * and where to begin reading. */
#include "control/groups/consumer.h"

#include "control/groups/consumer_internal.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_COMMIT_WITH_MEMBER_EPOCHS = 9 };

struct consumer_group *consumer_new(struct group *group)
{
	struct consumer_group *consumer = calloc(1, sizeof(*consumer));

	if (!consumer)
		return NULL;
	consumer->group = group;
	subscriptions_init(&consumer->subscriptions);
	return consumer;
}

void consumer_free(struct consumer_group *consumer)
{
	if (!consumer)
		return;
	while (consumer->member_count)
		consumer_remove(consumer->members[consumer->member_count - 1]);
	subscriptions_fini(&consumer->subscriptions);
	owners_fini(&consumer->owners);
	free(consumer->members);
	free(consumer);
}

int consumer_begin(struct group *group)
{
	struct consumer_group *consumer = consumer_new(group);

	if (!consumer)
		return -ENOMEM;
	if (group->kind)
		group->kind->forget(group, KAFKA_UNKNOWN_MEMBER_ID);
	group->state = consumer;
	group->kind = &consumer_kind;
	group->empty_since_ms = 0;
	return 0;
}

int consumer_adopt(struct group *group)
{
	if (group->kind == &consumer_kind)
		return 0;
	int rc = group->kind ? group->kind->erase(group) : 0;
	return rc < 0 ? rc : consumer_begin(group);
}

static void forget(struct group *group, enum kafka_error error)
{
	consumer_free(consumer_of(group));
	group->state = NULL;
}

/* Of who is without details a record was damaged: it is fenced, or nobody else would be given what
 * it had.  Without memory for that it is dropped all the same. */
static void drop_nameless(struct consumer_group *consumer)
{
	for (size_t i = consumer->member_count; i-- > 0;) {
		struct consumer_member *member = consumer->members[i];
		if (!member->details_stored && consumer_fence(member) < 0)
			consumer_remove(member);
	}
}

static void loaded(struct group *group)
{
	struct consumer_group *consumer = consumer_of(group);

	drop_nameless(consumer);
	for (size_t i = 0; i < consumer->member_count; i++) {
		consumer_seen(consumer->members[i]);
		consumer_time_rebalance(consumer->members[i]);
	}
}

static void topics_changed(struct group *group)
{
	consumer_of(group)->subscriptions.stale = true;
	consumer_of(group)->subscriptions.topics_changed = true;
}

/* ---- what is asked of a group ---- */

static bool has_arrived(const struct consumer_member *member)
{
	return member->current.state == MEMBER_STABLE &&
	       member->current.epoch == member->consumer->assignment_epoch;
}

static const char *state(const struct group *group)
{
	const struct consumer_group *consumer = consumer_of(group);

	if (consumer->member_count == 0)
		return "Empty";
	if (consumer->epoch > consumer->assignment_epoch)
		return "Assigning";
	for (size_t i = 0; i < consumer->member_count; i++) {
		if (!has_arrived(consumer->members[i]))
			return "Reconciling";
	}
	return "Stable";
}

static const char *protocol_type(const struct group *group)
{
	return "consumer";
}

static size_t member_count(const struct group *group)
{
	return consumer_of(group)->member_count;
}

static enum kafka_error check_epoch(const struct consumer_group *consumer,
				    const struct group_claim *claim)
{
	const struct consumer_member *member = consumer_find(consumer, &claim->member_id);

	if (!member)
		return KAFKA_UNKNOWN_MEMBER_ID;
	if (claim->epoch == member->current.epoch)
		return KAFKA_NONE;
	return member->classic ? KAFKA_ILLEGAL_GENERATION : KAFKA_STALE_MEMBER_EPOCH;
}

/* A producer need not say whose offsets it commits.  Where it does, it knows of generations alone.
 */
static enum kafka_error may_commit_in_transaction(const struct consumer_group *consumer,
						  const struct group_claim *claim)
{
	if (claim->epoch < 0 && claim->member_id.length <= 0 && claim->instance_id.length < 0)
		return KAFKA_NONE;
	enum kafka_error error = check_epoch(consumer, claim);
	return error == KAFKA_STALE_MEMBER_EPOCH ? KAFKA_ILLEGAL_GENERATION : error;
}

/* Who has no epoch is no member: an administrator, while there are no members. */
static enum kafka_error may_commit(const struct group *group, const struct group_claim *claim)
{
	const struct consumer_group *consumer = consumer_of(group);

	if (claim->epoch < 0 && consumer->member_count == 0)
		return KAFKA_NONE;
	if (claim->in_transaction)
		return may_commit_in_transaction(consumer, claim);
	const struct consumer_member *member = consumer_find(consumer, &claim->member_id);
	if (member && !member->classic && claim->version < FIRST_COMMIT_WITH_MEMBER_EPOCHS)
		return KAFKA_UNSUPPORTED_VERSION;
	return check_epoch(consumer, claim);
}

/* Members that speak the classic protocol may commit instead of saying that they are alive. */
static void seen(struct group *group, const struct group_claim *claim)
{
	struct consumer_member *member = consumer_find(consumer_of(group), &claim->member_id);

	if (member && member->classic)
		consumer_seen(member);
}

static enum kafka_error may_fetch(const struct group *group, const struct group_claim *claim)
{
	if (claim->epoch < 0 && claim->member_id.length <= 0)
		return KAFKA_NONE;
	return check_epoch(consumer_of(group), claim);
}

static bool subscribed(const struct group *group, const struct topic *topic)
{
	list_foreach(node, &consumer_of(group)->subscriptions.all) {
		const struct subscription *one = container_of(node, struct subscription, link);
		if (subscription_covers(one, topic))
			return true;
	}
	return false;
}

const struct group_kind consumer_kind = {
	.type = "consumer",
	.state = state,
	.protocol_type = protocol_type,
	.member_count = member_count,
	.may_commit = may_commit,
	.may_fetch = may_fetch,
	.subscribed = subscribed,
	.seen = seen,
	.topics_changed = topics_changed,
	.loaded = loaded,
	.rewrite = consumer_rewrite,
	.live_records = consumer_live_records,
	.erase = consumer_erase,
	.forget = forget,
};
