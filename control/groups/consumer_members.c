/* Members of a consumer group in memory: a table by id, their timers, and the end of one. */
#include "control/groups/consumer_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/config.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/consumer_names.h"
#include "control/groups/groups_internal.h"
#include "control/groups/migration.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Memory ran out in a timer: how soon it is tried again. */
#define RETRY_NS NS_PER_SECOND

static struct groups *groups_of(const struct consumer_member *member)
{
	return member->consumer->group->groups;
}

/* ---- the table ---- */

/* Where the id is, or has to be. */
static size_t position(const struct consumer_group *consumer, const struct kafka_string *id)
{
	size_t low = 0, high = consumer->member_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (name_compare(&consumer->members[middle]->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct consumer_member *consumer_find(const struct consumer_group *consumer,
				      const struct kafka_string *id)
{
	if (id->length <= 0) /* nobody's; null where a request has none */
		return NULL;
	size_t at = position(consumer, id);
	return at < consumer->member_count && kafka_string_equal(&consumer->members[at]->id, id)
		       ? consumer->members[at]
		       : NULL;
}

struct consumer_member *consumer_find_instance(const struct consumer_group *consumer,
					       const struct kafka_string *instance_id)
{
	for (size_t i = 0; i < consumer->member_count; i++) {
		const struct kafka_string *held = &consumer->members[i]->details.instance_id;
		if (held->length >= 0 && kafka_string_equal(held, instance_id))
			return consumer->members[i];
	}
	return NULL;
}

static int make_room(struct consumer_group *consumer)
{
	size_t capacity = consumer->member_capacity ? 2 * consumer->member_capacity : 4;
	struct consumer_member **members;

	if (consumer->member_count < consumer->member_capacity)
		return 0;
	members = realloc(consumer->members, capacity * sizeof(struct consumer_member *));
	if (!members)
		return -ENOMEM;
	consumer->members = members;
	consumer->member_capacity = capacity;
	return 0;
}

static void insert(struct consumer_group *consumer, struct consumer_member *member)
{
	size_t at = position(consumer, &member->id);

	memmove(&consumer->members[at + 1], &consumer->members[at],
		(consumer->member_count - at) * sizeof(struct consumer_member *));
	consumer->members[at] = member;
	consumer->member_count++;
}

static void take_out(struct consumer_member *member)
{
	struct consumer_group *consumer = member->consumer;
	size_t at = position(consumer, &member->id);

	consumer->member_count--;
	memmove(&consumer->members[at], &consumer->members[at + 1],
		(consumer->member_count - at) * sizeof(struct consumer_member *));
}

static int set_id(struct consumer_member *member, const struct kafka_string *id)
{
	char *text = malloc((size_t)id->length + 1);

	if (!text)
		return -ENOMEM;
	bytes_copy(text, id->data, (size_t)id->length);
	free(member->id_text);
	member->id_text = text;
	member->id = (struct kafka_string){text, id->length};
	return 0;
}

int consumer_rename(struct consumer_member *member, const struct kafka_string *id)
{
	struct consumer_group *consumer = member->consumer;

	take_out(member);
	int rc = set_id(member, id);
	insert(consumer, member);
	return rc;
}

/* ---- timers ---- */

static uint64_t after_ms(const struct consumer_member *member, int64_t delay_ms)
{
	return groups_now_ns(groups_of(member)) + (uint64_t)delay_ms * NS_PER_MS;
}

void consumer_out_of_time(struct consumer_member *member, struct wheel_timer *timer)
{
	struct group *group = member->consumer->group;

	if (consumer_fence(member) < 0)
		timer_wheel_arm(&group->groups->wheel, timer,
				groups_now_ns(group->groups) + RETRY_NS);
	else
		migration_settle(group);
}

static void session_expired(struct wheel_timer *timer)
{
	consumer_out_of_time(container_of(timer, struct consumer_member, session), timer);
}

static void rebalance_expired(struct wheel_timer *timer)
{
	consumer_out_of_time(container_of(timer, struct consumer_member, rebalance), timer);
}

void consumer_seen(struct consumer_member *member)
{
	struct groups *groups = groups_of(member);
	const int64_t timeout_ms =
		member->classic ? member->classic->session_timeout_ms
				: groups->options.config->group_consumer_session_timeout_ms;

	timer_wheel_arm(&groups->wheel, &member->session, after_ms(member, timeout_ms));
}

void consumer_time_rebalance(struct consumer_member *member)
{
	struct timer_wheel *wheel = &groups_of(member)->wheel;

	if (member->current.state == MEMBER_UNREVOKED_PARTITIONS)
		timer_wheel_arm(wheel, &member->rebalance,
				after_ms(member, member->details.rebalance_timeout_ms));
	else
		timer_wheel_disarm(wheel, &member->rebalance);
}

/* ---- one member ---- */

struct consumer_member *consumer_add(struct consumer_group *consumer, const struct kafka_string *id)
{
	struct consumer_member *member;

	if (make_room(consumer) < 0)
		return NULL;
	member = calloc(1, sizeof(*member));
	if (!member)
		return NULL;
	if (set_id(member, id) < 0) {
		free(member);
		return NULL;
	}
	member->consumer = consumer;
	member->session.expired = session_expired;
	member->rebalance.expired = rebalance_expired;
	member->details.instance_id = kafka_string_of(NULL);
	member->details.rack_id = kafka_string_of(NULL);
	member->details.assignor = kafka_string_of(NULL);
	insert(consumer, member);
	return member;
}

void consumer_remove(struct consumer_member *member)
{
	struct consumer_group *consumer = member->consumer;
	struct timer_wheel *wheel = &groups_of(member)->wheel;

	timer_wheel_disarm(wheel, &member->session);
	timer_wheel_disarm(wheel, &member->rebalance);
	consumer_classic_clear(member);
	take_out(member);
	owners_release(&consumer->owners, &member->current.assigned, member);
	owners_release(&consumer->owners, &member->current.revoking, member);
	if (member->subscription)
		subscription_release(&consumer->subscriptions, member->subscription);
	partition_set_fini(&member->current.assigned);
	partition_set_fini(&member->current.revoking);
	partition_set_fini(&member->target);
	free(member->details_text);
	free(member->id_text);
	free(member);
}

static struct kafka_string put_text(const struct kafka_string *from, char **at)
{
	struct kafka_string put = {.length = from->length};

	if (from->length >= 0) {
		bytes_copy(*at, from->data, (size_t)from->length);
		put.data = *at;
		*at += from->length;
	}
	return put;
}

static size_t length_of(const struct kafka_string *text)
{
	return text->length > 0 ? (size_t)text->length : 0;
}

int consumer_set_details(struct consumer_member *member, const struct member_details *details,
			 struct subscription *subscription)
{
	size_t bytes = length_of(&details->instance_id) + length_of(&details->rack_id) +
		       length_of(&details->client_id) + length_of(&details->client_host) +
		       length_of(&details->assignor);
	char *text = malloc(bytes + 1);
	char *at = text;

	if (!text)
		return -ENOMEM;
	/* The new ones may point into the old text. */
	struct member_details copied = {
		.instance_id = put_text(&details->instance_id, &at),
		.rack_id = put_text(&details->rack_id, &at),
		.client_id = put_text(&details->client_id, &at),
		.client_host = put_text(&details->client_host, &at),
		.assignor = put_text(&details->assignor, &at),
		.rebalance_timeout_ms = details->rebalance_timeout_ms,
	};
	free(member->details_text);
	member->details_text = text;
	member->details = copied;
	if (member->subscription)
		subscription_release(&member->consumer->subscriptions, member->subscription);
	member->subscription = subscription;
	member->details_stored = false;
	return 0;
}

/* Room for what `next` has, and its sets on the heap. */
static int prepare(struct consumer_member *member, const struct member_assignment *next,
		   struct member_assignment *ret)
{
	struct owners *owners = &member->consumer->owners;
	struct member_assignment copied = *next;
	int rc = owners_reserve(owners, &next->assigned);

	if (rc == 0)
		rc = owners_reserve(owners, &next->revoking);
	if (rc == 0)
		rc = partition_set_copy(&next->assigned, &copied.assigned);
	if (rc < 0)
		return rc;
	rc = partition_set_copy(&next->revoking, &copied.revoking);
	if (rc < 0)
		partition_set_fini(&copied.assigned);
	else
		*ret = copied;
	return rc;
}

static void put_in_force(struct consumer_member *member, const struct member_assignment *prepared)
{
	struct owners *owners = &member->consumer->owners;
	struct member_assignment *current = &member->current;

	owners_release(owners, &current->assigned, member);
	owners_release(owners, &current->revoking, member);
	owners_take(owners, &prepared->assigned, member);
	owners_take(owners, &prepared->revoking, member);
	partition_set_fini(&current->assigned);
	partition_set_fini(&current->revoking);
	*current = *prepared;
}

int consumer_load_current(struct consumer_member *member, const struct member_assignment *next)
{
	struct member_assignment prepared;
	int rc = prepare(member, next, &prepared);

	if (rc == 0)
		put_in_force(member, &prepared);
	return rc;
}

int consumer_set_current(struct consumer_member *member, const struct member_assignment *next,
			 struct arena *arena)
{
	struct member_assignment prepared;
	int rc = prepare(member, next, &prepared);

	if (rc < 0)
		return rc;
	rc = consumer_append_current(member, &prepared, arena);
	if (rc < 0) {
		partition_set_fini(&prepared.assigned);
		partition_set_fini(&prepared.revoking);
		return rc;
	}
	put_in_force(member, &prepared);
	return 0;
}

int consumer_load_target(struct consumer_member *member, const struct partition_set *target)
{
	struct partition_set copied;
	int rc = partition_set_copy(target, &copied);

	if (rc < 0)
		return rc;
	partition_set_fini(&member->target);
	member->target = copied;
	member->target_stored = true;
	return 0;
}

int consumer_set_target(struct consumer_member *member, const struct partition_set *target,
			struct arena *arena)
{
	struct partition_set copied;
	int rc = partition_set_copy(target, &copied);

	if (rc < 0)
		return rc;
	rc = consumer_append_target(member, &copied, arena);
	if (rc < 0) {
		partition_set_fini(&copied);
		return rc;
	}
	partition_set_fini(&member->target);
	member->target = copied;
	member->target_stored = true;
	return 0;
}

int consumer_fence(struct consumer_member *member)
{
	struct consumer_group *consumer = member->consumer;
	int rc = consumer_append_group(consumer, consumer->epoch + 1, consumer->topics_hash);

	if (rc < 0)
		return rc;
	consumer->epoch++;
	rc = consumer_erase_member(member);
	if (rc == 0)
		consumer_remove(member);
	return rc;
}
