/* control/groups/consumer_internal.h: one consumer group, its members, and what its files share.
 *
 * Every change is one record and the same in memory, in that order, and every order of records in
 * which a step makes them is one that may end anywhere: what is left to do is seen by the epochs,
 * and done by the next heartbeat.  So a step that runs out of memory breaks nothing.
 *
 *     group epoch       rises when members, subscriptions or the topics change
 *     assignment epoch  the group epoch that the members' targets were computed for
 *     member epoch      the assignment epoch that the member has come to
 *
 * Reading order: consumer_heartbeat.c, consumer_step.c, consumer_reconcile.h, consumer_target.c. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/timer_wheel.h"
#include "control/groups/consumer_owners.h"
#include "control/groups/consumer_reconcile.h"
#include "control/groups/consumer_subscriptions.h"
#include "control/groups/group.h"
#include "dataplane/kafka/wire.h"

struct arena;
struct consumer_classic;
struct consumer_group;
struct groups;

enum { /* member epochs of requests */
       EPOCH_JOIN = 0,
       EPOCH_LEAVE = -1,
       EPOCH_LEAVE_STATIC = -2, /* also of a static member that is away and expected back */
};

/* What a member says of itself, but for what it subscribes to. */
struct member_details {
	struct kafka_string instance_id; /* null: not static */
	struct kafka_string rack_id;     /* null: none */
	struct kafka_string client_id;
	struct kafka_string client_host;
	struct kafka_string assignor; /* null: any */
	int32_t rebalance_timeout_ms;
};

struct consumer_member {
	struct consumer_group *consumer;
	char *id_text;
	struct kafka_string id;
	char *details_text; /* what the strings of `details` point into */
	struct member_details details;
	struct subscription *subscription; /* null: a record of its details is still to come */
	bool details_stored;
	struct member_assignment current; /* epoch 0: just joined */
	struct partition_set target;
	bool target_stored; /* also an empty one has a record */
	struct wheel_timer session;
	struct wheel_timer rebalance;     /* armed while unrevoked */
	struct consumer_classic *classic; /* null: it speaks the protocol of these groups */
};

struct consumer_group {
	struct group *group;
	int32_t epoch;
	int32_t assignment_epoch;
	int64_t topics_hash;              /* of the subscribed topics, as of the group epoch */
	struct consumer_member **members; /* ascending by id */
	size_t member_count;
	size_t member_capacity;
	struct subscriptions subscriptions;
	struct owners owners;
};

static inline struct consumer_group *consumer_of(const struct group *group)
{
	return group->state;
}

/* ---- consumer.c ---- */
/* Not yet a group's state.  Null: out of memory. */
struct consumer_group *consumer_new(struct group *group);
void consumer_free(struct consumer_group *consumer); /* null is fine */
/* The same as consumer_adopt without a record, for replay. */
int consumer_begin(struct group *group); /* -ENOMEM */

/* ---- consumer_members.c ---- */
struct consumer_member *consumer_find(const struct consumer_group *consumer,
				      const struct kafka_string *id); /* null: none */
struct consumer_member *consumer_find_instance(const struct consumer_group *consumer,
					       const struct kafka_string *instance_id);
/* A member with nothing but an id.  Null: out of memory. */
struct consumer_member *consumer_add(struct consumer_group *consumer,
				     const struct kafka_string *id);
/* From memory alone. */
void consumer_remove(struct consumer_member *member);
int consumer_rename(struct consumer_member *member, const struct kafka_string *id); /* -ENOMEM */
/* In memory alone, to be stored; copies.  The reference to the subscription is taken over.
 * -ENOMEM: neither. */
int consumer_set_details(struct consumer_member *member, const struct member_details *details,
			 struct subscription *subscription);
/* Appended, and in force; copies.  -ENOMEM: neither. */
int consumer_set_current(struct consumer_member *member, const struct member_assignment *next,
			 struct arena *arena);
int consumer_set_target(struct consumer_member *member, const struct partition_set *target,
			struct arena *arena);
/* The same in memory alone, for replay.  -ENOMEM, -ERR_CORRUPT: nothing changed. */
int consumer_load_current(struct consumer_member *member, const struct member_assignment *next);
int consumer_load_target(struct consumer_member *member, const struct partition_set *target);
/* Its session starts anew. */
void consumer_seen(struct consumer_member *member);
/* While unrevoked it has its rebalance timeout, from now on. */
void consumer_time_rebalance(struct consumer_member *member);
/* Removes it, with its records; the group epoch rises.  -ENOMEM: it is still there. */
int consumer_fence(struct consumer_member *member);
/* Of a timer of the member: it is fenced, or the timer tries again where memory ran out. */
void consumer_out_of_time(struct consumer_member *member, struct wheel_timer *timer);

/* ---- consumer_records.c: append; -ENOMEM: nothing happened ---- */
int consumer_append_group(const struct consumer_group *consumer, int32_t epoch,
			  int64_t topics_hash);
int consumer_append_assignment_epoch(const struct consumer_group *consumer, int32_t epoch);
int consumer_append_details(const struct consumer_member *member);
int consumer_append_target(const struct consumer_member *member, const struct partition_set *target,
			   struct arena *arena);
int consumer_append_current(const struct consumer_member *member,
			    const struct member_assignment *current, struct arena *arena);
/* Tombstones for all that is stored under its id. */
int consumer_erase_member(const struct consumer_member *member);
int consumer_rewrite(struct group *group);
size_t consumer_live_records(const struct group *group);
int consumer_erase(struct group *group);

/* ---- consumer_matches.c: what regular expressions match ---- */
/* Appends what they match now where that has changed, and tombstones for those not needed, which
 * are gone then.  -ENOMEM: some are not. */
int consumer_store_regexes(struct consumer_group *consumer);
int consumer_rewrite_regexes(const struct consumer_group *consumer);
int consumer_erase_regexes(const struct consumer_group *consumer);
struct record_consumer_group_regular_expression_value;
int consumer_load_regex(struct consumer_group *consumer, const struct kafka_string *text,
			const struct record_consumer_group_regular_expression_value *value);

/* ---- consumer_target.c ---- */
/* Targets of all members for the group epoch, appended and in force.  -ENOMEM: the assignment epoch
 * is as it was; some targets may be new. */
int consumer_assign(struct consumer_group *consumer);
/* The one that most members ask for; the default where none does. */
struct assignor;
const struct assignor *consumer_assignor(const struct consumer_group *consumer);

/* ---- consumer_step.c ---- */
struct kafka_consumer_group_heartbeat_request;
struct kafka_join_group_request;
struct consumer_step {
	struct consumer_group *consumer;
	const struct kafka_consumer_group_heartbeat_request *message;
	struct kafka_string member_id; /* the message's, or made by us */
	struct kafka_string client_id;
	struct kafka_string client_host;
	const struct kafka_join_group_request *classic; /* what was asked; null: the message */
	struct arena *arena;
	const char *why;                /* the sentence for the client, where it is refused */
	struct consumer_member *member; /* null: to be made */
	bool made;
	struct consumer_member *away;      /* null: none; whose place it takes */
	struct subscription *subscription; /* referenced; null: it does not change */
	struct partition_set owned;        /* as reported, if it is */
	bool reassigned;                   /* what the member has is not what it had before */
};
/* A member joins or is alive.  0: all is appended; an enum kafka_error: refused, nothing happened;
 * -ENOMEM: some of it may have happened. */
int consumer_step(struct consumer_step *step);
/* Whose instance id is said must have it.  NONE: *ret is the member; else *ret_why says why not. */
enum kafka_error consumer_known(const struct consumer_group *consumer,
				const struct kafka_string *member_id,
				const struct kafka_string *instance_id,
				struct consumer_member **ret, const char **ret_why);
