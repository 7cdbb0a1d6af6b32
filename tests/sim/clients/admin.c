#include "tests/sim/clients/admin.h"

#include "dataplane/kafka/kafka_errors.h"

#include <stdio.h>

bool admin_has_made_topics(const struct world *world)
{
	for (unsigned i = 0; i < world->topic_count; i++) {
		if (!world->topics[i].created)
			return false;
	}
	return true;
}

static void make_topic(struct admin *admin, struct topic *topic)
{
	int rc;

	while ((rc = ask_create_topic(&admin->client, topic)) != 0 &&
	       rc != KAFKA_TOPIC_ALREADY_EXISTS) {
		if (!ask_again_later(&admin->client, rc)) {
			client_accuses(&admin->client, "%s cannot be made: %s", topic->name,
				       kafka_error_name((int16_t)rc));
			return;
		}
	}
	while (ask_topic_ids(&admin->client) != 0)
		client_pause(&admin->client, 20, 200);
	topic->created = true;
}

static void delete_records(struct admin *admin)
{
	struct client *client = &admin->client;
	struct topic *topic = admin->options.deleting;
	unsigned partition = (unsigned)client_below(client, topic->partitions);
	int64_t end, start;

	if (ask_offset(client, topic, partition, READ_COMMITTED, LIST_LATEST, &end) != 0 || end < 1)
		return;
	int64_t before = 1 + (int64_t)client_below(client, (uint64_t)end);
	history_event(admin->options.harness, "deleted",
		      "\"topic\":\"%s\",\"partition\":%u,\"before\":%lld", topic->name, partition,
		      (long long)before);
	if (ask_delete_records(client, topic, partition, before, &start) == 0) {
		if (start < before)
			client_accuses(client, "%s/%u begins at %lld, deleted up to %lld",
				       topic->name, partition, (long long)start, (long long)before);
		if (start > topic->starts[partition])
			topic->starts[partition] = start;
	}
}

static void alter(struct admin *admin)
{
	static const char *const values[] = {"1000", "3000", "60000", "604800000"};
	struct client *client = &admin->client;
	struct world *world = client->world;
	struct topic *topic = &world->topics[client_below(client, world->topic_count)];

	ask_alter_topic(client, topic->name, "segment.ms",
			values[client_below(client, sizeof(values) / sizeof(values[0]))]);
}

/* Until the answer says that it is there, then until one says that it is not. */
static void come_and_go(struct admin *admin)
{
	struct client *client = &admin->client;
	struct topic topic = {.partitions = (unsigned)client_below(client, PARTITIONS_MAX) + 1};
	int rc;

	snprintf(topic.name, sizeof(topic.name), "passing%u", admin->topics_made++);
	do
		rc = ask_create_topic(client, &topic);
	while (rc != 0 && ask_again_later(client, rc) && client_goes_on(client, PHASE_CALM));
	client_pause(client, 1, 1000);
	do
		rc = ask_delete_topic(client, topic.name);
	while (rc != 0 && rc != KAFKA_UNKNOWN_TOPIC_OR_PARTITION && ask_again_later(client, rc) &&
	       client_goes_on(client, PHASE_CALM));
}

static void do_something(struct admin *admin)
{
	const struct admin_options *options = &admin->options;
	struct client *client = &admin->client;

	if (options->deleting && client_draws(client, options->delete_records_percent))
		delete_records(admin);
	if (client_draws(client, options->alter_percent))
		alter(admin);
	if (client_draws(client, options->come_and_go_percent))
		come_and_go(admin);
}

static void *run(void *context)
{
	struct admin *admin = context;
	struct client *client = &admin->client;

	history_event(client->log, "start", "\"client\":\"%s\"", client->name);
	for (unsigned i = 0; i < client->world->topic_count; i++)
		make_topic(admin, &client->world->topics[i]);
	while (client_goes_on(client, PHASE_CALM)) {
		do_something(admin);
		client_pause(client, 100, 1500);
	}
	return client_end(client);
}

void admin_start(struct admin *admin, struct world *world, const char *name, struct random *random,
		 const struct admin_options *options)
{
	*admin = (struct admin){.options = *options};
	client_start(&admin->client, world, name, random, run);
}
