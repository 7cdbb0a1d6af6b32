/* What the regular expressions of a group match, as it is stored: for those who read the topic, and
 * so that it can be told when it changes.  The groups themselves match anew after a restart. */
#include "control/groups/consumer_internal.h"

#include "base/bytes.h"
#include "control/groups/consumer_names.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct stored_matches *copy_matches(const struct kafka_string *names, size_t count)
{
	struct stored_matches *made = calloc(1, sizeof(*made));

	if (!made)
		return NULL;
	made->names = names_copy(names, count);
	made->count = count;
	if (!made->names) {
		free(made);
		return NULL;
	}
	return made;
}

static int append(const struct consumer_group *consumer, const struct kafka_string *text,
		  const struct stored_matches *matches)
{
	struct record_consumer_group_regular_expression_key key = {
		.group_id = group_id(consumer->group),
		.regular_expression = *text,
	};
	struct record_consumer_group_regular_expression_value value;

	if (!matches)
		return groups_append(consumer->group, RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION,
				     &key, NULL);
	value = (struct record_consumer_group_regular_expression_value){
		.topics = matches->names,
		.topics_count = (int32_t)matches->count,
		.version = matches->version,
		.timestamp = matches->timestamp_ms,
	};
	return groups_append(consumer->group, RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION, &key,
			     &value);
}

/* ---- what has changed ---- */

static bool up_to_date(const struct subscribed_regex *regex)
{
	const struct stored_matches *stored = regex->stored;

	if (!stored || stored->count != regex->match_count)
		return false;
	for (size_t i = 0; i < stored->count; i++) {
		struct kafka_string name = kafka_string_of(regex->matches[i]->name);
		if (!kafka_string_equal(&stored->names[i], &name))
			return false;
	}
	return true;
}

static struct stored_matches *matches_now(const struct groups *groups,
					  const struct subscribed_regex *regex)
{
	struct kafka_string *names = calloc(regex->match_count + 1, sizeof(*names));
	struct stored_matches *made;

	if (!names)
		return NULL;
	for (size_t i = 0; i < regex->match_count; i++)
		names[i] = kafka_string_of(regex->matches[i]->name);
	made = copy_matches(names, regex->match_count);
	free(names);
	if (made) {
		made->version = (int64_t)groups->topics->version;
		made->timestamp_ms = groups_wall_ms(groups);
	}
	return made;
}

static int store(const struct consumer_group *consumer, struct subscribed_regex *regex)
{
	struct stored_matches *matches = matches_now(consumer->group->groups, regex);

	if (!matches)
		return -ENOMEM;
	int rc = append(consumer, &regex->text, matches);
	if (rc < 0) {
		stored_matches_free(matches);
		return rc;
	}
	stored_matches_free(regex->stored);
	regex->stored = matches;
	return 0;
}

static int drop(const struct consumer_group *consumer, struct subscribed_regex *regex)
{
	int rc = regex->stored ? append(consumer, &regex->text, NULL) : 0;

	if (rc == 0)
		subscriptions_drop_regex(regex);
	return rc;
}

int consumer_store_regexes(struct consumer_group *consumer)
{
	/* Else they are of topics that may be gone; who resolves them stores them. */
	const bool current = !consumer->subscriptions.topics_changed;
	int rc = 0;

	list_foreach_safe(node, after, &consumer->subscriptions.regexes) {
		struct subscribed_regex *regex = container_of(node, struct subscribed_regex, link);
		if (rc == 0 && !regex->references)
			rc = drop(consumer, regex);
		else if (rc == 0 && current && regex->matches && !up_to_date(regex))
			rc = store(consumer, regex);
	}
	return rc;
}

/* ---- all of them ---- */

int consumer_rewrite_regexes(const struct consumer_group *consumer)
{
	int rc = 0;

	list_foreach(node, &consumer->subscriptions.regexes) {
		const struct subscribed_regex *regex = container_of(node, struct subscribed_regex,
								    link);
		if (rc == 0 && regex->stored)
			rc = append(consumer, &regex->text, regex->stored);
	}
	return rc;
}

int consumer_erase_regexes(const struct consumer_group *consumer)
{
	int rc = 0;

	list_foreach(node, &consumer->subscriptions.regexes) {
		const struct subscribed_regex *regex = container_of(node, struct subscribed_regex,
								    link);
		if (rc == 0 && regex->stored)
			rc = append(consumer, &regex->text, NULL);
	}
	return rc;
}

int consumer_load_regex(struct consumer_group *consumer, const struct kafka_string *text,
			const struct record_consumer_group_regular_expression_value *value)
{
	struct subscribed_regex *regex = subscriptions_regex(&consumer->subscriptions, text);
	struct stored_matches *stored = NULL;

	if (!regex)
		return -ENOMEM;
	if (value) {
		stored = copy_matches(value->topics, (size_t)value->topics_count);
		if (!stored)
			return -ENOMEM;
		stored->version = value->version;
		stored->timestamp_ms = value->timestamp;
	}
	stored_matches_free(regex->stored);
	regex->stored = stored;
	if (!stored && !regex->references)
		subscriptions_drop_regex(regex);
	return 0;
}
