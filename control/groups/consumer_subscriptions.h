/* control/groups/consumer_subscriptions.h: what the members of one consumer group subscribe to.
 *
 * Members mostly subscribe to the same: each different subscription is there once, and is matched
 * with the topics once.  Topics that do not exist (yet) are left out until they do. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "control/groups/assignors.h"
#include "dataplane/kafka/wire.h"

struct arena;
struct regex;
struct topic;
struct topics;

/* What an expression matched when that was last stored. */
struct stored_matches {
	int64_t version; /* of the topics */
	int64_t timestamp_ms;
	struct kafka_string *names; /* one block */
	size_t count;
};
void stored_matches_free(struct stored_matches *stored); /* null is fine */

/* A regular expression of one or more subscriptions; its matches are stored. */
struct subscribed_regex {
	struct list link;
	size_t references; /* of subscriptions */
	struct kafka_string text;
	struct regex *regex;          /* null: it does not compile any more; it matches nothing */
	const struct topic **matches; /* by id; of the current topics; null before the first walk */
	size_t match_count;
	bool too_costly; /* some topics could not be told in the steps it has: left out */
	struct stored_matches *stored; /* null: nothing is */
};

struct subscription {
	struct list link;
	size_t references;          /* of members */
	struct kafka_string *names; /* ascending, no doubles */
	size_t name_count;
	struct subscribed_regex *regex; /* null: none */
	uint32_t *topics;               /* that exist: indices of subscriptions.topics, ascending */
	size_t topic_count;
};

struct subscriptions {
	struct list all;     /* struct subscription.link */
	struct list regexes; /* struct subscribed_regex.link; also those that nobody needs */
	bool stale;          /* `topics` and what refers to it: resolve first */
	bool topics_changed; /* and so are the regexes' matches */
	/* Subscribed by anybody and existing; ascending by id. */
	struct assignor_topic *topics;
	size_t topic_count;
	int64_t topics_hash; /* of `topics`; 0: there are none */
};

void subscriptions_init(struct subscriptions *subscriptions);
void subscriptions_fini(struct subscriptions *subscriptions); /* no references are left */

/* The subscription to these names (in any order) and this regular expression (null or empty: none),
 * with one more reference.  -EINVAL: the expression does not compile, `why` says it; -ENOMEM. */
int subscription_acquire(struct subscriptions *subscriptions, const struct kafka_string *names,
			 size_t name_count, const struct kafka_string *regex, struct arena *scratch,
			 struct subscription **ret, char *why, size_t why_bytes);
void subscription_release(struct subscriptions *subscriptions, struct subscription *subscription);
/* Whether it has the topic's name in it, or its expression matches it. */
bool subscription_covers(const struct subscription *subscription, const struct topic *topic);

/* The same for an expression alone, as replay needs it: it is there though nobody refers to it.
 * Null: out of memory. */
struct subscribed_regex *subscriptions_regex(struct subscriptions *subscriptions,
					     const struct kafka_string *text);
void subscriptions_drop_regex(struct subscribed_regex *regex);

/* Brings `topics` and all that refers to it up to date with these topics, if anything is stale.
 * -ENOMEM: it is stale still. */
int subscriptions_resolve(struct subscriptions *subscriptions, const struct topics *topics);
