#include "client/places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/client_internal.h"
#include "dataplane/kafka/kafka_errors.h"

enum { REQUEST_PLACES_MAX = 5000 }; /* some 100 KiB */

int place_order(const char *topic, int32_t partition, const char *other_topic,
		int32_t other_partition)
{
	int topics = strcmp(topic, other_topic);

	return topics ? topics : (partition > other_partition) - (partition < other_partition);
}

static int compare_place(const struct sluice_place *one, const struct sluice_place *other)
{
	return place_order(one->topic, one->partition, other->topic, other->partition);
}

static int compare_routes(const void *a, const void *b)
{
	const struct place_route *one = a;
	const struct place_route *other = b;

	if (one->leader != other->leader)
		return one->leader < other->leader ? -1 : 1;
	return compare_place(one->place, other->place);
}

static void sort(struct places *places)
{
	if (places->count)
		qsort(places->routes, places->count, sizeof(*places->routes), compare_routes);
}

int places_init(struct places *ret, struct sluice_place *places, size_t count)
{
	struct places all = {.routes = calloc(count + 1, sizeof(*all.routes)), .count = count};

	if (!all.routes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		all.routes[i] = (struct place_route){.place = &places[i], .leader = CLIENT_NOBODY};
		if (!places[i].topic || !*places[i].topic) {
			places_fini(&all);
			return -EINVAL;
		}
	}
	sort(&all);
	for (size_t i = 1; i < count; i++) {
		if (compare_place(all.routes[i - 1].place, all.routes[i].place) == 0) {
			places_fini(&all);
			return -EINVAL;
		}
	}
	*ret = all;
	return 0;
}

void places_fini(struct places *places)
{
	free(places->routes);
	*places = (struct places){0};
}

/* ---- leaders ---- */

static int compare_name(const void *name, const void *topic)
{
	return strcmp(name, ((const struct sluice_topic *)topic)->name);
}

static int compare_index(const void *index, const void *partition)
{
	int32_t wanted = *(const int32_t *)index;
	int32_t found = ((const struct sluice_partition *)partition)->index;

	return (wanted > found) - (wanted < found);
}

/* The leader, or CLIENT_NOBODY and the reason in the place. */
static int32_t leader_of(const struct sluice_topic *topic, struct sluice_place *place)
{
	const struct sluice_partition *partition = NULL;

	place->error = topic ? topic->error : 0;
	if (topic && topic->partition_count)
		partition = bsearch(&place->partition, topic->partitions, topic->partition_count,
				    sizeof(*partition), compare_index);
	if (!partition) {
		if (!place->error)
			place->error = client_kafka_error(KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		return CLIENT_NOBODY;
	}
	if (partition->leader < 0)
		place->error = client_kafka_error(KAFKA_LEADER_NOT_AVAILABLE);
	return partition->leader < 0 ? CLIENT_NOBODY : partition->leader;
}

static void take_leaders(const struct sluice_metadata *metadata, struct places *places)
{
	for (size_t i = 0; i < places->count; i++) {
		struct place_route *route = &places->routes[i];
		const struct sluice_topic *topic =
			metadata->topic_count
				? bsearch(route->place->topic, metadata->topics,
					  metadata->topic_count, sizeof(*topic), compare_name)
				: NULL;
		route->leader = leader_of(topic, route->place);
	}
}

int places_route(struct sluice_client *client, struct places *places)
{
	const char **names = calloc(places->count + 1, sizeof(char *));
	struct sluice_metadata *metadata;
	size_t count = 0;

	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < places->count; i++)
		places->routes[i].leader = CLIENT_NOBODY;
	sort(places);
	for (size_t i = 0; i < places->count; i += places_topic(places, i).count)
		names[count++] = places->routes[i].place->topic;
	int rc = sluice_metadata(client, names, count, &metadata);
	free(names);
	if (rc < 0)
		return rc;
	take_leaders(metadata, places);
	sluice_metadata_free(metadata);
	sort(places);
	return 0;
}

/* ---- runs ---- */

struct places places_topic(const struct places *places, size_t from)
{
	const char *topic = places->routes[from].place->topic;
	size_t end = from + 1;

	while (end < places->count && strcmp(places->routes[end].place->topic, topic) == 0)
		end++;
	return (struct places){.routes = places->routes + from, .count = end - from};
}

struct places places_request(const struct places *places, size_t from)
{
	int32_t leader = places->routes[from].leader;
	size_t end = from + 1;

	while (end < places->count && end - from < REQUEST_PLACES_MAX &&
	       places->routes[end].leader == leader)
		end++;
	return (struct places){.routes = places->routes + from, .count = end - from};
}

size_t places_topic_count(const struct places *places)
{
	size_t count = 0;

	for (size_t i = 0; i < places->count; i += places_topic(places, i).count)
		count++;
	return count;
}

struct wanted {
	const struct kafka_string *topic;
	int32_t partition;
};

static int compare_wanted(const void *key, const void *element)
{
	const struct wanted *wanted = key;
	const struct sluice_place *place = ((const struct place_route *)element)->place;
	size_t wanted_length = (size_t)wanted->topic->length;
	size_t length = strlen(place->topic);
	int order = memcmp(wanted->topic->data, place->topic,
			   wanted_length < length ? wanted_length : length);

	if (order)
		return order;
	if (wanted_length != length)
		return wanted_length < length ? -1 : 1;
	return (wanted->partition > place->partition) - (wanted->partition < place->partition);
}

/* Null: none of them. */
static struct sluice_place *find(const struct places *places, const struct kafka_string *topic,
				 int32_t partition)
{
	const struct wanted wanted = {.topic = topic, .partition = partition};

	if (topic->length <= 0 || !places->count)
		return NULL;
	const struct place_route *route = bsearch(&wanted, places->routes, places->count,
						  sizeof(*route), compare_wanted);
	return route ? route->place : NULL;
}

struct sluice_place *places_tell(const struct places *places, const struct kafka_string *topic,
				 int32_t partition, int16_t error_code)
{
	struct sluice_place *place = find(places, topic, partition);

	if (place)
		place->error = client_kafka_error(error_code);
	return place && !place->error ? place : NULL;
}

void places_fail(const struct places *places, int error)
{
	for (size_t i = 0; i < places->count; i++)
		places->routes[i].place->error = error;
}
