#include "control/groups/consumer_subscriptions.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "control/groups/consumer_names.h"
#include "control/groups/consumer_regex.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define RESOLVE_BYTES_MAX ((size_t)256 << 20)

void subscriptions_init(struct subscriptions *subscriptions)
{
	*subscriptions = (struct subscriptions){.stale = true, .topics_changed = true};
	list_init(&subscriptions->all);
	list_init(&subscriptions->regexes);
}

void subscriptions_fini(struct subscriptions *subscriptions)
{
	list_foreach_safe(node, after, &subscriptions->regexes)
		subscriptions_drop_regex(container_of(node, struct subscribed_regex, link));
	free(subscriptions->topics);
}

/* ---- regular expressions ---- */

static struct subscribed_regex *find_regex(const struct subscriptions *subscriptions,
					   const struct kafka_string *text)
{
	list_foreach(node, &subscriptions->regexes) {
		struct subscribed_regex *found = container_of(node, struct subscribed_regex, link);
		if (kafka_string_equal(&found->text, text))
			return found;
	}
	return NULL;
}

/* The text lies behind it. */
static struct subscribed_regex *add_regex(struct subscriptions *subscriptions,
					  const struct kafka_string *text, struct regex *compiled)
{
	size_t length = (size_t)text->length;
	struct subscribed_regex *made = calloc(1, sizeof(*made) + length);

	if (!made)
		return NULL;
	bytes_copy(made + 1, text->data, length);
	made->text = (struct kafka_string){(const char *)(made + 1), text->length};
	made->regex = compiled;
	list_push_back(&subscriptions->regexes, &made->link);
	return made;
}

struct subscribed_regex *subscriptions_regex(struct subscriptions *subscriptions,
					     const struct kafka_string *text)
{
	struct subscribed_regex *found = find_regex(subscriptions, text);
	struct regex *compiled = NULL;
	char why[REGEX_WHY_BYTES];

	if (found)
		return found;
	if (regex_compile(&compiled, text, why, sizeof(why)) == -ENOMEM)
		return NULL;
	found = add_regex(subscriptions, text, compiled);
	if (!found)
		regex_free(compiled);
	return found;
}

void stored_matches_free(struct stored_matches *stored)
{
	if (stored)
		free(stored->names);
	free(stored);
}

void subscriptions_drop_regex(struct subscribed_regex *regex)
{
	list_remove(&regex->link);
	regex_free(regex->regex);
	free(regex->matches);
	stored_matches_free(regex->stored);
	free(regex);
}

static int acquire_regex(struct subscriptions *subscriptions, const struct kafka_string *text,
			 struct subscribed_regex **ret, char *why, size_t why_bytes)
{
	struct subscribed_regex *regex;
	struct regex *compiled;

	*ret = NULL;
	if (text->length <= 0)
		return 0;
	regex = find_regex(subscriptions, text);
	if (!regex) {
		int rc = regex_compile(&compiled, text, why, why_bytes);
		if (rc < 0)
			return rc;
		regex = add_regex(subscriptions, text, compiled);
		if (!regex) {
			regex_free(compiled);
			return -ENOMEM;
		}
	}
	regex->references++;
	*ret = regex;
	return 0;
}

/* ---- subscriptions ---- */

/* Sorted and without doubles, in scratch memory. */
static int sorted_names(const struct kafka_string *names, size_t *count, struct arena *scratch,
			struct kafka_string **ret)
{
	struct kafka_string *sorted = arena_calloc(scratch, *count, sizeof(*sorted));
	size_t kept = 0;

	if (!sorted)
		return -ENOMEM;
	if (*count) {
		memcpy(sorted, names, *count * sizeof(*sorted));
		qsort(sorted, *count, sizeof(*sorted), name_compare_items);
	}
	for (size_t i = 0; i < *count; i++) {
		if (kept == 0 || name_compare(&sorted[kept - 1], &sorted[i]) != 0)
			sorted[kept++] = sorted[i];
	}
	*count = kept;
	*ret = sorted;
	return 0;
}

static bool has(const struct subscription *subscription, const struct kafka_string *names,
		size_t count, const struct subscribed_regex *regex)
{
	if (subscription->regex != regex || subscription->name_count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!kafka_string_equal(&subscription->names[i], &names[i]))
			return false;
	}
	return true;
}

static struct subscription *make(const struct kafka_string *names, size_t count)
{
	struct subscription *made = calloc(1, sizeof(*made));
	struct kafka_string *copied = names_copy(names, count);

	if (!made || !copied) {
		free(made);
		free(copied);
		return NULL;
	}
	made->names = copied;
	made->name_count = count;
	return made;
}

static struct subscription *find_or_make(struct subscriptions *subscriptions,
					 const struct kafka_string *names, size_t count,
					 struct subscribed_regex *regex)
{
	list_foreach(node, &subscriptions->all) {
		struct subscription *found = container_of(node, struct subscription, link);
		if (has(found, names, count, regex))
			return found;
	}
	struct subscription *made = make(names, count);
	if (!made)
		return NULL;
	made->regex = regex;
	if (regex)
		regex->references++;
	list_push_back(&subscriptions->all, &made->link);
	subscriptions->stale = true;
	return made;
}

int subscription_acquire(struct subscriptions *subscriptions, const struct kafka_string *names,
			 size_t name_count, const struct kafka_string *regex_text,
			 struct arena *scratch, struct subscription **ret, char *why,
			 size_t why_bytes)
{
	struct subscribed_regex *regex = NULL;
	struct subscription *subscription;
	struct kafka_string *sorted = NULL;
	int rc = sorted_names(names, &name_count, scratch, &sorted);

	if (rc == 0)
		rc = acquire_regex(subscriptions, regex_text, &regex, why, why_bytes);
	if (rc < 0)
		return rc;
	subscription = find_or_make(subscriptions, sorted, name_count, regex);
	if (regex)
		regex->references--; /* the subscription has its own */
	if (!subscription)
		return -ENOMEM;
	subscription->references++;
	*ret = subscription;
	return 0;
}

void subscription_release(struct subscriptions *subscriptions, struct subscription *subscription)
{
	if (--subscription->references > 0)
		return;
	struct subscribed_regex *regex = subscription->regex;
	if (regex && --regex->references == 0 && !regex->stored)
		subscriptions_drop_regex(regex);
	subscriptions->stale = true;
	list_remove(&subscription->link);
	free(subscription->names);
	free(subscription->topics);
	free(subscription);
}

/* As regex_match. */
static int match(const struct subscribed_regex *regex, const struct topic *topic, int64_t *steps)
{
	if (!regex->regex || topic->internal)
		return 0;
	return regex_match(regex->regex, topic->name, strlen(topic->name), steps);
}

bool subscription_covers(const struct subscription *subscription, const struct topic *topic)
{
	struct kafka_string name = kafka_string_of(topic->name);
	int64_t steps = REGEX_STEPS_MAX;

	if (subscription->name_count &&
	    bsearch(&name, subscription->names, subscription->name_count, sizeof(name),
		    name_compare_items))
		return true;
	return subscription->regex && match(subscription->regex, topic, &steps) == 1;
}

/* ---- from names to topics ---- */

/* By id, as assignors want them; no doubles. */
struct topic_list {
	const struct topic **topics;
	size_t count;
};

static int compare_by_id(const void *a, const void *b)
{
	const struct topic *const *one = a;
	const struct topic *const *other = b;

	return memcmp(&(*one)->id, &(*other)->id, sizeof((*one)->id));
}

static void sort_list(struct topic_list *list)
{
	size_t kept = 0;

	if (list->count)
		qsort(list->topics, list->count, sizeof(struct topic *), compare_by_id);
	for (size_t i = 0; i < list->count; i++) {
		if (kept == 0 || list->topics[kept - 1] != list->topics[i])
			list->topics[kept++] = list->topics[i];
	}
	list->count = kept;
}

/* The picture has them by id already. */
static int match_regex(struct subscribed_regex *regex, const struct topics *topics)
{
	const struct topic **found = malloc((topics->count + 1) * sizeof(struct topic *));
	int64_t steps = REGEX_STEPS_MAX;
	size_t count = 0;

	if (!found)
		return -ENOMEM;
	regex->too_costly = false;
	for (size_t i = 0; i < topics->count; i++) {
		const struct topic *topic = topics->by_id[i];
		int rc = match(regex, topic, &steps);
		regex->too_costly |= rc < 0;
		if (rc == 1)
			found[count++] = topic;
	}
	regex->matches = found;
	regex->match_count = count;
	return 0;
}

static int list_of(const struct subscription *subscription, const struct topics *topics,
		   struct arena *arena, struct topic_list *ret)
{
	const struct subscribed_regex *regex = subscription->regex;
	size_t most = subscription->name_count + (regex ? regex->match_count : 0);
	struct topic_list list = {.topics = arena_calloc(arena, most, sizeof(struct topic *))};

	if (!list.topics)
		return -ENOMEM;
	for (size_t i = 0; i < subscription->name_count; i++) {
		const struct topic *topic = topics_find(topics, subscription->names[i].data,
							(size_t)subscription->names[i].length);
		if (topic)
			list.topics[list.count++] = topic;
	}
	for (size_t i = 0; regex && i < regex->match_count; i++)
		list.topics[list.count++] = regex->matches[i];
	sort_list(&list);
	*ret = list;
	return 0;
}

static int unite(const struct topic_list *lists, size_t count, struct arena *arena,
		 struct topic_list *ret)
{
	struct topic_list all = {0};
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += lists[i].count;
	all.topics = arena_calloc(arena, total, sizeof(struct topic *));
	if (!all.topics)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (lists[i].count)
			memcpy(&all.topics[all.count], lists[i].topics,
			       lists[i].count * sizeof(struct topic *));
		all.count += lists[i].count;
	}
	sort_list(&all);
	*ret = all;
	return 0;
}

static int64_t hash_of(const struct topic_list *all)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < all->count; i++) {
		uint8_t entry[sizeof(struct uuid) + sizeof(uint32_t)];
		memcpy(entry, &all->topics[i]->id, sizeof(struct uuid));
		store_be32(entry + sizeof(struct uuid), (uint32_t)all->topics[i]->partition_count);
		hash = XXH3_64bits_withSeed(entry, sizeof(entry), hash);
	}
	return all->count && hash == 0 ? 1 : (int64_t)hash;
}

static int set_union(struct subscriptions *subscriptions, const struct topic_list *all)
{
	struct assignor_topic *topics = malloc((all->count + 1) * sizeof(*topics));

	if (!topics)
		return -ENOMEM;
	for (size_t i = 0; i < all->count; i++)
		topics[i] = (struct assignor_topic){
			.id = all->topics[i]->id,
			.partition_count = all->topics[i]->partition_count,
		};
	free(subscriptions->topics);
	subscriptions->topics = topics;
	subscriptions->topic_count = all->count;
	subscriptions->topics_hash = hash_of(all);
	return 0;
}

/* Both are in order of the ids, and the union has all of the list's. */
static int set_indices(struct subscription *subscription, const struct topic_list *list,
		       const struct topic_list *all)
{
	uint32_t *indices = malloc((list->count + 1) * sizeof(*indices));
	uint32_t at = 0;

	if (!indices)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++) {
		while (all->topics[at] != list->topics[i])
			at++;
		indices[i] = at;
	}
	free(subscription->topics);
	subscription->topics = indices;
	subscription->topic_count = list->count;
	return 0;
}

static int resolve_lists(struct subscriptions *subscriptions, const struct topics *topics,
			 struct arena *arena)
{
	struct topic_list *lists, all;
	size_t count = 0;
	size_t next = 0;
	int rc = 0;

	list_foreach(node, &subscriptions->all)
		count++;
	lists = arena_calloc(arena, count, sizeof(*lists));
	if (!lists)
		return -ENOMEM;
	list_foreach(node, &subscriptions->all) {
		if (rc == 0)
			rc = list_of(container_of(node, struct subscription, link), topics, arena,
				     &lists[next++]);
	}
	if (rc == 0)
		rc = unite(lists, count, arena, &all);
	if (rc == 0)
		rc = set_union(subscriptions, &all);
	if (rc < 0)
		return rc;
	next = 0;
	list_foreach(node, &subscriptions->all) {
		if (rc == 0)
			rc = set_indices(container_of(node, struct subscription, link),
					 &lists[next++], &all);
	}
	return rc;
}

/* What nobody needs is not kept: the topics that it points to may go. */
static int match_regexes(struct subscriptions *subscriptions, const struct topics *topics)
{
	list_foreach(node, &subscriptions->regexes) {
		struct subscribed_regex *regex = container_of(node, struct subscribed_regex, link);
		if (subscriptions->topics_changed || !regex->references) {
			free(regex->matches);
			regex->matches = NULL;
			regex->match_count = 0;
		}
		int rc = regex->references && !regex->matches ? match_regex(regex, topics) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

int subscriptions_resolve(struct subscriptions *subscriptions, const struct topics *topics)
{
	struct arena arena = {0};
	int rc;

	if (!subscriptions->stale)
		return 0;
	rc = match_regexes(subscriptions, topics);
	if (rc < 0)
		return rc;
	arena_init(&arena, RESOLVE_BYTES_MAX);
	rc = resolve_lists(subscriptions, topics, &arena);
	arena_fini(&arena);
	if (rc < 0)
		return rc;
	subscriptions->stale = false;
	subscriptions->topics_changed = false;
	return 0;
}
