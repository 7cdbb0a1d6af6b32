#include "tests/sim/clients/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const uint64_t ns_in_ms = 1000000;

static void died(void *context)
{
	struct client *client = context;

	peer_reset(&client->peer);
}

void client_start(struct client *client, struct world *world, const char *name,
		  struct random *random, void *(*run)(void *context))
{
	client->name = name;
	client->world = world;
	client->random = random_split(random, name);
	client->log = history_log_new(name);
	client->process = process_new(name);
	client->next = world->first_client;
	world->first_client = client;
	peer_init(&client->peer, name);
	process_on_death(client->process, died, client);
	fiber_spawn(client->process, name, run, client);
}

void *client_end(struct client *client)
{
	peer_close(&client->peer);
	history_event(client->log, "stop", "\"client\":\"%s\"", client->name);
	client->ended = true;
	return NULL;
}

void client_pause(struct client *client, unsigned min_ms, unsigned max_ms)
{
	uint64_t ns = random_between(&client->random, min_ms * ns_in_ms, max_ms * ns_in_ms);

	fiber_sleep_until(sim_now_ns() + ns);
	while (client->world->silent_until_ns > sim_now_ns())
		fiber_sleep_until(client->world->silent_until_ns);
}

bool client_draws(struct client *client, unsigned percent)
{
	return random_below(&client->random, 100) < percent;
}

uint64_t client_below(struct client *client, uint64_t bound)
{
	return random_below(&client->random, bound);
}

void client_accuses(struct client *client, const char *format, ...)
{
	struct world *world = client->world;
	va_list arguments;

	if (world->broken[0])
		return;
	int length = snprintf(world->broken, sizeof(world->broken), "%s: ", client->name);
	va_start(arguments, format);
	vsnprintf(world->broken + length, sizeof(world->broken) - (size_t)length, format,
		  arguments);
	va_end(arguments);
}

void client_tells_seen(struct client *client, const char *group, const struct topic *topic,
		       const bool *partitions, const int64_t *offsets, bool final)
{
	const char *comma = "";

	history_begin(client->log, "seen", "\"group\":\"%s\",\"final\":%s,\"offsets\":[", group,
		      final ? "true" : "false");
	for (unsigned i = 0; i < topic->partitions; i++) {
		if (partitions && !partitions[i])
			continue;
		history_add(client->log, "%s[\"%s\",%u,%lld]", comma, topic->name, i,
			    (long long)offsets[i]);
		comma = ",";
	}
	history_add(client->log, "]");
	history_end(client->log);
}

struct topic *world_topic(struct world *world, const struct kafka_string *name)
{
	for (unsigned i = 0; i < world->topic_count; i++) {
		struct kafka_string known = kafka_string_of(world->topics[i].name);
		if (kafka_string_equal(&known, name))
			return &world->topics[i];
	}
	return NULL;
}

struct topic *world_topic_of(struct world *world, const struct uuid *id)
{
	for (unsigned i = 0; i < world->topic_count; i++) {
		if (uuid_equal(&world->topics[i].id, id))
			return &world->topics[i];
	}
	return NULL;
}

static int64_t *acked_end(struct world *world, const struct topic *topic, unsigned partition)
{
	return &world->acked[topic - world->topics][partition];
}

void world_acked(struct world *world, const struct topic *topic, unsigned partition, int64_t end)
{
	int64_t *acked = acked_end(world, topic, partition);

	if (end > *acked)
		*acked = end;
}

void world_read(struct world *world, const struct topic *topic, unsigned partition, int64_t end)
{
	if (end > *acked_end(world, topic, partition))
		waiting_wake(&world->early_read);
}

/* The first that is not behind `offset`. */
static const struct lost *next_lost(const struct world *world, const struct topic *topic,
				    unsigned partition, int64_t offset)
{
	const struct lost *next = NULL;

	for (unsigned i = 0; i < world->lost_count; i++) {
		const struct lost *each = &world->lost[i];
		if (each->topic == topic && each->partition == partition && each->to > offset &&
		    (!next || each->from < next->from))
			next = each;
	}
	return next;
}

bool world_find_lost(const struct world *world, const struct topic *topic, unsigned partition,
		     int64_t offset, bool behind, struct lost *ret)
{
	const struct lost *lost = next_lost(world, topic, partition, offset);

	if (!lost || (lost->from > offset && !behind))
		return false;
	*ret = *lost;
	if (ret->from < offset)
		ret->from = offset;
	/* With what meets it. */
	while ((lost = next_lost(world, topic, partition, ret->to)) && lost->from <= ret->to)
		ret->to = lost->to;
	return true;
}
