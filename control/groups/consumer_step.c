/* One heartbeat of a member: who it is, what it says, what follows for the group and for it.
 *
 *     locate -> subscribe -> admit        refuses, or has found or made the member
 *     take_news -> raise_epoch            what it says is stored; the group epoch rises
 *     consumer_assign                     targets, if the group epoch has risen (here or elsewhere)
 *     reconcile                           the member goes on towards its target
 *
 * A heartbeat that has nothing to say in a group that is quiet gets through all of that without an
 * append and without memory. */
#include "control/groups/consumer_internal.h"

#include "base/arena.h"
#include "control/config.h"
#include "control/groups/consumer_classic.h"
#include "control/groups/consumer_regex.h"
#include "control/groups/groups_internal.h"
#include "kafka_messages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool joins(const struct consumer_step *step)
{
	return step->message->member_epoch == EPOCH_JOIN;
}

static int refuse(struct consumer_step *step, enum kafka_error error, const char *why)
{
	step->why = why;
	return error;
}

static bool same_text(const struct kafka_string *a, const struct kafka_string *b)
{
	return a->length < 0 ? b->length < 0 : b->length >= 0 && kafka_string_equal(a, b);
}

/* ---- locate ---- */

enum kafka_error consumer_known(const struct consumer_group *consumer,
				const struct kafka_string *member_id,
				const struct kafka_string *instance_id,
				struct consumer_member **ret, const char **ret_why)
{
	struct consumer_member *member = consumer_find(consumer, member_id);

	if (instance_id->length >= 0 &&
	    !(member && same_text(&member->details.instance_id, instance_id))) {
		if (!consumer_find_instance(consumer, instance_id)) {
			*ret_why = "The group has no member of this instance id.";
			return KAFKA_UNKNOWN_MEMBER_ID;
		}
		*ret_why = "Another member has this instance id now.";
		return KAFKA_FENCED_INSTANCE_ID;
	}
	if (!member) {
		*ret_why = "The group has no member of this id.";
		return KAFKA_UNKNOWN_MEMBER_ID;
	}
	*ret = member;
	return KAFKA_NONE;
}

/* The answer that made the epoch rise may have been lost: then the member is one epoch behind, and
 * has nothing that it should not have. */
static bool one_answer_behind(const struct consumer_step *step)
{
	const struct member_assignment *current = &step->member->current;

	return step->message->member_epoch == current->previous_epoch &&
	       step->message->topic_partitions_count >= 0 &&
	       partition_set_within(&step->owned, &current->assigned);
}

static int locate_known(struct consumer_step *step)
{
	const struct kafka_consumer_group_heartbeat_request *message = step->message;
	enum kafka_error error = consumer_known(step->consumer, &step->member_id,
						&message->instance_id, &step->member, &step->why);

	if (error)
		return error;
	if (message->member_epoch > step->member->current.epoch)
		return refuse(step, KAFKA_FENCED_MEMBER_EPOCH,
			      "The member epoch is later than the one the member has here.");
	if (message->member_epoch < step->member->current.epoch && !one_answer_behind(step))
		return refuse(step, KAFKA_FENCED_MEMBER_EPOCH,
			      "The member epoch is earlier than the one the member has here.");
	return 0;
}

static int locate_joining(struct consumer_step *step)
{
	const struct consumer_group *consumer = step->consumer;
	const struct config *config = consumer->group->groups->options.config;
	struct consumer_member *holder = NULL;

	step->member = consumer_find(consumer, &step->member_id);
	if (step->message->instance_id.length >= 0)
		holder = consumer_find_instance(consumer, &step->message->instance_id);
	if (holder && holder != step->member) {
		/* With the classic protocol static members do not say that they go away. */
		if (step->member || (holder->current.epoch != EPOCH_LEAVE_STATIC &&
				     !holder->classic && !step->classic))
			return refuse(step, KAFKA_UNRELEASED_INSTANCE_ID,
				      "Another member has this instance id and has not left.");
		step->away = holder;
	}
	if (!step->member && !step->away &&
	    consumer->member_count >= (size_t)config->group_consumer_max_size)
		return refuse(step, KAFKA_GROUP_MAX_SIZE_REACHED,
			      "The group has as many members as group.consumer.max.size allows.");
	return 0;
}

/* ---- subscribe ---- */

static int resolve(const struct consumer_step *step)
{
	return subscriptions_resolve(&step->consumer->subscriptions,
				     step->consumer->group->groups->topics);
}

static int refuse_regex(struct consumer_step *step, const char *why)
{
	static const char begin[] = "SubscribedTopicRegex is not valid: ";
	size_t size = sizeof(begin) + strlen(why) + 1;
	char *text = arena_alloc(step->arena, size);

	if (!text)
		return -ENOMEM;
	snprintf(text, size, "%s%s.", begin, why);
	return refuse(step, KAFKA_INVALID_REGULAR_EXPRESSION, text);
}

/* What does not say otherwise stays; who joins says everything. */
static int acquire(struct consumer_step *step, char *why, size_t why_bytes)
{
	const struct kafka_consumer_group_heartbeat_request *message = step->message;
	const struct subscription *now = step->member && !joins(step) ? step->member->subscription
								      : NULL;
	const struct kafka_string *names = message->subscribed_topic_names;
	int32_t count = message->subscribed_topic_names_count;
	struct kafka_string regex = message->subscribed_topic_regex;

	if (count < 0) {
		names = now ? now->names : NULL;
		count = now ? (int32_t)now->name_count : 0;
	}
	if (regex.length < 0 && now && now->regex)
		regex = now->regex->text;
	return subscription_acquire(&step->consumer->subscriptions, names, (size_t)count, &regex,
				    step->arena, &step->subscription, why, why_bytes);
}

static void give_back_subscription(struct consumer_step *step)
{
	if (step->subscription)
		subscription_release(&step->consumer->subscriptions, step->subscription);
	step->subscription = NULL;
}

static int subscribe(struct consumer_step *step)
{
	char why[REGEX_WHY_BYTES] = "";

	if (!joins(step) && step->message->subscribed_topic_names_count < 0 &&
	    step->message->subscribed_topic_regex.length < 0)
		return 0;
	int rc = acquire(step, why, sizeof(why));
	if (rc == -EINVAL)
		return refuse_regex(step, why);
	if (rc == 0 && step->subscription->regex) {
		rc = resolve(step);
		if (rc == 0 && step->subscription->regex->too_costly)
			rc = refuse_regex(step, "it takes too long to match");
	}
	if (rc == 0 && step->member && step->subscription == step->member->subscription)
		give_back_subscription(step);
	return rc;
}

/* ---- admit ---- */

/* A static member is back under another id: it has what it had, and its epoch is to come. */
static int take_place(struct consumer_step *step)
{
	struct consumer_member *member = step->away;
	int rc = consumer_erase_member(member);

	if (rc == 0)
		rc = consumer_rename(member, &step->member_id);
	if (rc < 0)
		return rc;
	member->details_stored = false;
	member->target_stored = false;
	member->current.epoch = EPOCH_JOIN;
	member->current.previous_epoch = EPOCH_JOIN;
	rc = consumer_set_target(member, &member->target, step->arena);
	if (rc == 0 && step->subscription == member->subscription)
		give_back_subscription(step);
	step->member = member;
	return rc;
}

static int admit(struct consumer_step *step)
{
	if (step->member)
		return 0;
	if (step->away)
		return take_place(step);
	step->member = consumer_add(step->consumer, &step->member_id);
	step->made = step->member;
	return step->member ? 0 : -ENOMEM;
}

/* ---- news ---- */

static void said(struct kafka_string *now, const struct kafka_string *news)
{
	if (news->length >= 0)
		*now = *news;
}

static bool same_details(const struct member_details *a, const struct member_details *b)
{
	return same_text(&a->instance_id, &b->instance_id) && same_text(&a->rack_id, &b->rack_id) &&
	       same_text(&a->client_id, &b->client_id) &&
	       same_text(&a->client_host, &b->client_host) &&
	       same_text(&a->assignor, &b->assignor) &&
	       a->rebalance_timeout_ms == b->rebalance_timeout_ms;
}

static struct member_details news_of(const struct consumer_step *step)
{
	const struct kafka_consumer_group_heartbeat_request *message = step->message;
	struct member_details details = step->member->details;

	if (joins(step)) {
		details.rack_id = kafka_string_of(NULL);
		details.assignor = kafka_string_of(NULL);
	}
	said(&details.instance_id, &message->instance_id);
	said(&details.rack_id, &message->rack_id);
	said(&details.assignor, &message->server_assignor);
	details.client_id = step->client_id;
	details.client_host = step->client_host;
	if (message->rebalance_timeout_ms >= 0)
		details.rebalance_timeout_ms = message->rebalance_timeout_ms;
	return details;
}

/* In memory; *ret_rises: for the group that is a change, now or in a heartbeat before that could
 * not be stored. */
static int take_news(struct consumer_step *step, bool *ret_rises)
{
	struct consumer_member *member = step->member;
	struct member_details details = news_of(step);

	*ret_rises = step->subscription || (!member->details_stored && !step->away);
	if (!step->subscription && same_details(&details, &member->details))
		return 0;
	if (!step->subscription) {
		step->subscription = member->subscription;
		step->subscription->references++;
	}
	int rc = consumer_set_details(member, &details, step->subscription);
	if (rc == 0)
		step->subscription = NULL; /* the member's */
	return rc;
}

static int raise_epoch(struct consumer_step *step, bool rises)
{
	struct consumer_group *consumer = step->consumer;
	int64_t topics_hash = consumer->subscriptions.topics_hash;

	if (!rises && topics_hash == consumer->topics_hash)
		return 0;
	int rc = consumer_append_group(consumer, consumer->epoch + 1, topics_hash);
	if (rc < 0)
		return rc;
	consumer->epoch++;
	consumer->topics_hash = topics_hash;
	return 0;
}

static int store_news(struct consumer_step *step)
{
	bool rises;
	int rc = take_news(step, &rises);

	if (rc == 0)
		rc = consumer_classic_take_news(step);
	if (rc == 0)
		rc = resolve(step);
	if (rc == 0)
		rc = raise_epoch(step, rises);
	if (rc == 0 && !step->member->details_stored) {
		rc = consumer_append_details(step->member);
		step->member->details_stored = rc == 0;
	}
	return rc == 0 ? consumer_store_regexes(step->consumer) : rc;
}

/* ---- the member goes on ---- */

static bool same_assignment(const struct member_assignment *a, const struct member_assignment *b)
{
	return a->epoch == b->epoch && a->previous_epoch == b->previous_epoch &&
	       a->state == b->state && partition_set_equal(&a->assigned, &b->assigned) &&
	       partition_set_equal(&a->revoking, &b->revoking);
}

static int reconcile(struct consumer_step *step)
{
	struct consumer_member *member = step->member;
	struct reconciliation reconciliation = {
		.member = member,
		.current = &member->current,
		.target = &member->target,
		.target_epoch = step->consumer->assignment_epoch,
		.owned = step->message->topic_partitions_count >= 0 ? &step->owned : NULL,
		.owners = &step->consumer->owners,
	};
	struct member_assignment next;
	int rc = consumer_reconcile(&reconciliation, step->arena, &next);

	if (rc < 0 || same_assignment(&next, &member->current))
		return rc;
	step->reassigned = !partition_set_equal(&next.assigned, &member->current.assigned);
	rc = consumer_set_current(member, &next, step->arena);
	if (rc == 0)
		consumer_time_rebalance(member);
	return rc;
}

static int advance(struct consumer_step *step)
{
	int rc = store_news(step);

	if (rc == 0 && step->consumer->epoch > step->consumer->assignment_epoch)
		rc = consumer_assign(step->consumer);
	if (rc == 0)
		rc = reconcile(step);
	if (rc == 0)
		consumer_seen(step->member);
	return rc;
}

static int read_owned(struct consumer_step *step)
{
	if (step->message->topic_partitions_count < 0)
		return 0;
	return partition_set_of_wire(step->message->topic_partitions,
				     step->message->topic_partitions_count, step->arena,
				     &step->owned);
}

int consumer_step(struct consumer_step *step)
{
	int rc = read_owned(step);

	if (rc == 0)
		rc = joins(step) ? locate_joining(step) : locate_known(step);
	if (rc == 0)
		rc = subscribe(step);
	if (rc == 0)
		rc = admit(step);
	if (rc == 0)
		rc = advance(step);
	give_back_subscription(step);
	/* A member of which nothing is stored has not joined; others have to come again. */
	if (rc < 0 && step->made && !step->member->details_stored)
		consumer_remove(step->member);
	else if (rc < 0 && step->made)
		consumer_seen(step->member);
	return rc;
}
