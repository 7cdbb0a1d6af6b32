#include "tests/sim/clients/sluice_user.h"

#include "base/check.h"
#include "tests/sim/broker.h"
#include "tests/sim/clients/batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
	BURST_MAX = 8,
	OUTSTANDING_MAX = 60,
	IN_FLIGHT_TOLD =
		5, /* without numbers a retry may store a batch twice: no order is claimed */
	KEYS = 6,
	AWAY_MS_MIN = 100,
	AWAY_MS_MAX = 3000,
};

/* ---- the library's client ---- */

static void set_number(struct sluice_options *options, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	check(sluice_options_set(options, name, text) == 0);
}

/* Over datagrams nothing is sent again while the program is away, where a stream's kernel goes on.
 * A large request over a network that loses much takes some absences, and time-outs that are
 * shorter would end it each time. */
static uint64_t absence_ms(const struct sluice_user *user)
{
	return user->options.datagrams ? 3 * AWAY_MS_MAX : 0;
}

/* Short times: simulated brokers are down for seconds at most. */
static void open_sluice(struct sluice_user *user)
{
	struct client *client = &user->client;
	struct sluice_options *options;
	char url[64];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d", user->options.datagrams ? "udp" : "tcp",
		 user->options.datagrams ? BROKER_DATAGRAM_PORT : BROKER_PORT);
	check(sluice_options_new(&options) == 0);
	check(sluice_options_set(options, "client.id", client->name) == 0);
	check(sluice_options_set(options, "acks", user->options.acks < 0 ? "all" : "1") == 0);
	check(sluice_options_set(options, "enable.idempotence",
				 user->options.idempotent ? "true" : "false") == 0);
	check(sluice_options_set(options, "auto.offset.reset", "earliest") == 0);
	set_number(options, "max.in.flight.requests.per.connection",
		   user->options.once ? 1 : user->options.in_flight);
	if (user->options.once)
		set_number(options, "retries", 0);
	set_number(options, "request.timeout.ms",
		   absence_ms(user) + 500 + client_below(client, 3000));
	set_number(options, "socket.connection.setup.timeout.ms",
		   absence_ms(user) + 1000 + client_below(client, 3000));
	set_number(options, "linger.ms", client_below(client, 20));
	set_number(options, "batch.size", UINT64_C(1) << (8 + client_below(client, 9)));
	set_number(options, "fetch.max.wait.ms", client_below(client, 500));
	set_number(options, "max.partition.fetch.bytes",
		   UINT64_C(1) << (10 + client_below(client, 8)));
	int rc = sluice_open(&user->sluice, url, options);
	check(rc == 0);
	sluice_options_free(options);
}

/* What the library has to say, for people. */
static void tell_trouble(struct sluice_user *user)
{
	const char *trouble = sluice_last_error(user->sluice);

	if (strcmp(trouble, user->trouble) == 0)
		return;
	snprintf(user->trouble, sizeof(user->trouble), "%s", trouble);
	history_event(user->client.log, "note", "\"time_ns\":%llu,\"trouble\":\"%s\"",
		      (unsigned long long)sim_now_ns(), user->trouble);
}

/* ---- producing ---- */

struct sent {
	struct sluice_user *user;
	unsigned number;
};

static void tell_end(const struct sluice_user *user, const struct sluice_delivery *delivery)
{
	const struct kafka_string name = kafka_string_of(delivery->topic);
	struct world *world = user->client.world;

	if (user->options.acks < 0)
		world_acked(world, world_topic(world, &name), (unsigned)delivery->partition,
			    delivery->offset + 1);
}

static void delivered(void *context, const struct sluice_delivery *delivery)
{
	struct sent *sent = context;
	struct client *client = &sent->user->client;

	sent->user->has_failed |= delivery->error != 0;
	if (delivery->error) {
		history_event(client->log, "failed",
			      "\"id\":\"%s:%u\",\"definite\":false,\"why\":\"%s\"", client->name,
			      sent->number, sluice_error_name(delivery->error));
	} else {
		history_event(client->log, "acked",
			      "\"id\":\"%s:%u\",\"partition\":%d,\"offset\":%lld", client->name,
			      sent->number, delivery->partition, (long long)delivery->offset);
		tell_end(sent->user, delivery);
	}
	free(sent);
}

static uint32_t hash_of(const struct sluice_record *record)
{
	uLong crc = crc32(0, record->key, (uInt)record->key_length);

	return (uint32_t)crc32(crc, record->value, (uInt)record->value_length);
}

static void tell_sent(struct client *client, const struct sluice_record *record, unsigned number)
{
	char partition[12] = "null";

	if (record->partition >= 0)
		snprintf(partition, sizeof(partition), "%d", record->partition);
	history_event(client->log, "sent",
		      "\"id\":\"%s:%u\",\"topic\":\"%s\",\"partition\":%s,\"hash\":%u",
		      client->name, number, record->topic, partition, hash_of(record));
}

static size_t write_value(struct sluice_user *user, unsigned number, char *value)
{
	struct client *client = &user->client;
	size_t size = (size_t)snprintf(value, SLUICE_VALUE_BYTES_MAX, "%s:%u ", client->name,
				       number);
	size_t payload = client_below(client, user->options.payload_max + 1);

	check(size + payload <= SLUICE_VALUE_BYTES_MAX);
	for (size_t i = 0; i < payload; i++)
		value[size++] = (char)('a' + (number + i) % 26);
	return size;
}

static void produce_one(struct sluice_user *user)
{
	char *value = user->value;
	struct client *client = &user->client;
	const struct topic *topic =
		user->options.topics[client_below(client, user->options.topic_count)];
	unsigned number = user->next_number++;
	char key[16];
	struct sluice_record record = {
		.topic = topic->name,
		.partition = client_draws(client, 30)
				     ? SLUICE_PARTITION_ANY
				     : (int32_t)client_below(client, topic->partitions),
		.value = value,
		.value_length = write_value(user, number, value),
		.timestamp_ms = sim_wall_ms(),
	};

	if (topic->keyed) {
		record.key = key;
		record.key_length = (size_t)snprintf(key, sizeof(key), "key%u",
						     (unsigned)client_below(client, KEYS));
	}
	struct sent *sent = malloc(sizeof(*sent));
	check(sent);
	*sent = (struct sent){user, number};
	tell_sent(client, &record, number);
	int rc = sluice_produce(user->sluice, &record, delivered, sent);
	if (rc == 0)
		return;
	history_event(client->log, "failed", "\"id\":\"%s:%u\",\"definite\":true", client->name,
		      number);
	free(sent);
}

/* Records that may be under way. */
static size_t outstanding_max(const struct sluice_user *user)
{
	return user->options.once ? 1 : OUTSTANDING_MAX;
}

static void produce_all(struct sluice_user *user)
{
	struct client *client = &user->client;

	history_event(client->log, "start",
		      "\"client\":\"%s\",\"acks\":\"%s\",\"idempotent\":%s,\"in_flight\":%d,"
		      "\"single\":false",
		      client->name, user->options.acks < 0 ? "all" : "1",
		      user->options.idempotent || user->options.once ? "true" : "false",
		      IN_FLIGHT_TOLD);
	while (client_goes_on(client, PHASE_CALM) && !(user->options.once && user->has_failed)) {
		for (uint64_t left = 1 + client_below(client, BURST_MAX);
		     left && sluice_undelivered(user->sluice) < outstanding_max(user); left--)
			produce_one(user);
		sluice_process(user->sluice,
			       (int)client_below(client, user->options.pause_max_ms + 1));
		tell_trouble(user);
		client_pause(client, 0, 1);
		if (client_draws(client, 3))
			client_pause(client, AWAY_MS_MIN, AWAY_MS_MAX);
	}
	while (sluice_undelivered(user->sluice) && client_goes_on(client, PHASE_DRAIN))
		sluice_flush(user->sluice, 100);
}

/* ---- reading ---- */

/* The number of the topic, or -1. */
static int topic_number(const struct sluice_user *user, const char *name)
{
	for (unsigned i = 0; i < user->options.topic_count; i++) {
		if (strcmp(user->options.topics[i]->name, name) == 0)
			return (int)i;
	}
	return -1;
}

static void begin_reading(struct sluice_user *user, unsigned topic, unsigned partition,
			  int64_t offset)
{
	const char *name = user->options.topics[topic]->name;

	user->positions[topic][partition] = offset;
	history_event(user->client.log, "position",
		      "\"topic\":\"%s\",\"partition\":%u,\"offset\":%lld", name, partition,
		      (long long)offset);
	int rc = sluice_assign(user->sluice, name, (int32_t)partition, offset);
	check(rc == 0);
}

static void tell_fetched(struct sluice_user *user, struct sluice_batch *batch,
			 const struct sluice_batch_info *info)
{
	struct client *client = &user->client;
	struct sluice_message message;
	bool begun = false;
	int rc;

	while ((rc = sluice_batch_next(batch, &message)) > 0) {
		struct sluice_record record = {.key = message.key,
					       .key_length = message.key_length,
					       .value = message.value,
					       .value_length = message.value_length};
		char id[ID_BYTES];
		batches_read_id(id, message.value, message.value_length);
		if (!begun)
			history_begin(client->log, "fetched",
				      "\"topic\":\"%s\",\"partition\":%d,\"records\":[",
				      info->topic, info->partition);
		history_add(client->log, "%s[%lld,\"%s\",%u]", begun ? "," : "",
			    (long long)message.offset, id, hash_of(&record));
		begun = true;
	}
	if (begun) {
		history_add(client->log, "]");
		history_end(client->log);
	}
	if (rc < 0)
		client_accuses(client, "%s/%d: a batch at %lld is broken", info->topic,
			       info->partition, (long long)info->base_offset);
}

static void take(struct sluice_user *user, struct sluice_batch *batch)
{
	struct sluice_batch_info info;

	sluice_batch_info(batch, &info);
	int topic = topic_number(user, info.topic);
	check(topic >= 0);
	if (info.error == 0) {
		tell_fetched(user, batch, &info);
		user->positions[topic][info.partition] = info.next_offset;
		world_read(user->client.world, user->options.topics[topic],
			   (unsigned)info.partition, info.next_offset);
	}
	sluice_batch_free(batch);
}

/* Back to any offset that it has passed. */
static void go_back(struct sluice_user *user)
{
	struct client *client = &user->client;
	unsigned topic = (unsigned)client_below(client, user->options.topic_count);
	unsigned partition = (unsigned)client_below(client,
						    user->options.topics[topic]->partitions);
	uint64_t passed = (uint64_t)user->positions[topic][partition];

	begin_reading(user, topic, partition, (int64_t)client_below(client, passed + 1));
}

static void read_all(struct sluice_user *user)
{
	struct client *client = &user->client;
	struct sluice_batch *batch;

	history_event(client->log, "start", "\"client\":\"%s\",\"isolation\":\"read_uncommitted\"",
		      client->name);
	for (unsigned i = 0; i < user->options.topic_count; i++) {
		for (unsigned j = 0; j < user->options.topics[i]->partitions; j++)
			begin_reading(user, i, j, 0);
	}
	while (client_goes_on(client, PHASE_DRAIN)) {
		int timeout_ms = (int)client_below(client, user->options.pause_max_ms + 1);
		if (sluice_fetch(user->sluice, timeout_ms, &batch) == 1)
			take(user, batch);
		tell_trouble(user);
		client_pause(client, 0, 1);
		if (client_draws(client, 2))
			go_back(user);
		if (client_draws(client, 2)) /* it stops reading; what comes stays in its socket */
			client_pause(client, AWAY_MS_MIN, AWAY_MS_MAX);
	}
}

/* ---- its life ---- */

static void *run(void *context)
{
	struct sluice_user *user = context;

	open_sluice(user);
	if (user->options.produces)
		produce_all(user);
	else
		read_all(user);
	check(sluice_close(user->sluice) == 0);
	return client_end(&user->client);
}

void sluice_user_start(struct sluice_user *user, struct world *world, const char *name,
		       struct random *random, const struct sluice_user_options *options)
{
	*user = (struct sluice_user){.options = *options,
				     .client.must_progress = options->produces && !options->once,
				     .client.produces = options->produces};
	client_start(&user->client, world, name, random, run);
}
