/* A request at a time.  What an error or silence means depends on who sends: without numbers or
 * message ids the records are given up and may be stored or not; with them the same bytes are sent
 * until they are acknowledged, and stored once. */
#include "tests/sim/clients/producer.h"

#include "dataplane/kafka/kafka_errors.h"

#include <stdio.h>
#include <string.h>

enum {
	IN_FLIGHT = 5,
	KEYS = 6,
	ECHO_PERCENT = 15,
	TOMBSTONE_PERCENT = 15,
	DEDUP_BYTES = 32,
	KEY_BYTES = 64
};

static const uint64_t ns_in_ms = 1000000;

struct request {
	unsigned topic_index;
	const struct topic *topic;
	unsigned partition;
	unsigned first, count; /* numbers */
};

static bool sends_again(const struct producer *producer)
{
	return producer->options.idempotent || producer->options.dedup;
}

static void *give_up(struct producer *producer, const struct request *request)
{
	for (unsigned i = 0; i < request->count; i++) {
		history_event(producer->client.log, "failed", "\"id\":\"%s:%u\",\"definite\":false",
			      producer->client.name, request->first + i);
	}
	return NULL;
}

/* Another record's message id every now and then: it is stored once all the same. */
static void dedup_id(struct producer *producer, unsigned number, char text[static DEDUP_BYTES])
{
	struct client *client = &producer->client;
	unsigned other = number;

	if (number && client_draws(client, ECHO_PERCENT))
		other -= (unsigned)client_below(client, number < 8 ? number : 8) + 1;
	/* Ids are one within a partition. */
	snprintf(text, DEDUP_BYTES, "%s-%u", client->name, other);
}

static void tell_uptime(struct producer *producer, const struct request *request)
{
	if (request->topic->dedup_by_uptime)
		history_add(producer->client.log, ",\"uptime_ms\":%llu",
			    (unsigned long long)(sim_now_ns() / ns_in_ms));
}

static void add_record(struct producer *producer, const struct request *request, unsigned number)
{
	struct client *client = &producer->client;
	char dedup[DEDUP_BYTES] = "", key[KEY_BYTES] = "";
	struct outgoing record = {
		.producer = client->name,
		.number = number,
		.payload_bytes = client_below(client, producer->options.payload_max + 1),
	};
	int64_t now_ms = sim_wall_ms();

	if (request->topic->keyed) {
		record.tombstone = client_draws(client, TOMBSTONE_PERCENT);
		unsigned which = (unsigned)client_below(client, KEYS);
		snprintf(key, sizeof(key), "key%u", which);
		record.key = key;
	}
	if (producer->options.dedup) {
		dedup_id(producer, number, dedup);
		record.dedup = dedup;
	}
	uint32_t hash = batches_add(&producer->build, &record, now_ms);
	history_begin(client->log, "sent",
		      "\"id\":\"%s:%u\",\"topic\":\"%s\",\"partition\":%u,\"hash\":%u",
		      client->name, number, request->topic->name, request->partition, hash);
	if (record.key)
		history_add(client->log, ",\"key\":\"%s\"%s", key,
			    record.tombstone ? ",\"tombstone\":true" : "");
	if (record.dedup)
		history_add(client->log, ",\"dedup\":\"%s\",\"timestamp\":%lld", dedup,
			    (long long)now_ms);
	tell_uptime(producer, request);
	history_end(client->log);
}

static struct request prepare(struct producer *producer)
{
	struct client *client = &producer->client;
	const struct producer_options *options = &producer->options;
	struct request request = {
		.topic_index = (unsigned)client_below(client, options->topic_count),
		.first = producer->next_number,
		.count = options->single ? 1
					 : (unsigned)client_below(client, options->records_max) + 1,
	};

	request.topic = options->topics[request.topic_index];
	request.partition = (unsigned)client_below(client, request.topic->partitions);
	producer->next_number += request.count;
	batches_begin(&producer->build);
	for (unsigned i = 0; i < request.count; i++)
		add_record(producer, &request, request.first + i);
	int32_t sequence = producer->sequences[request.topic_index][request.partition];
	bool numbered = options->idempotent;
	batch_build_seal(&producer->build, numbered ? producer->identity.producer_id : -1,
			 numbered ? producer->identity.epoch : (int16_t)-1,
			 numbered ? sequence : -1);
	return request;
}

static void acknowledge(struct producer *producer, const struct request *request,
			int64_t base_offset)
{
	for (unsigned i = 0; i < request->count; i++) {
		history_begin(producer->client.log, "acked",
			      "\"id\":\"%s:%u\",\"partition\":%u,\"offset\":%lld",
			      producer->client.name, request->first + i, request->partition,
			      (long long)base_offset + i);
		tell_uptime(producer, request);
		history_end(producer->client.log);
	}
	producer->sequences[request->topic_index][request->partition] += (int32_t)request->count;
	if (producer->options.acks < 0)
		world_acked(producer->client.world, request->topic, request->partition,
			    base_offset + request->count);
}

static void identify(struct producer *producer)
{
	struct client *client = &producer->client;

	memset(producer->sequences, 0, sizeof(producer->sequences));
	while (client_goes_on(client, PHASE_CALM) &&
	       ask_producer_id(client, &producer->identity) != 0)
		client_pause(client, 20, 200);
}

static void refused(struct producer *producer, const struct request *request, int rc)
{
	/* Its numbers are right and in order: nobody but a broker that forgot some can say so. */
	if (producer->options.idempotent && request->topic->rots &&
	    rc == KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER)
		identify(producer); /* what it sent before may be lost */
	else if (producer->options.idempotent)
		client_accuses(&producer->client, "%s/%u: %s for records from %u on",
			       request->topic->name, request->partition,
			       kafka_error_name((int16_t)rc), request->first);
	give_up(producer, request);
}

static void send(struct producer *producer)
{
	struct client *client = &producer->client;
	struct request request = prepare(producer);
	int64_t base_offset;
	int rc;

	do {
		rc = ask_produce(client, request.topic, request.partition, &producer->build,
				 producer->options.acks, NULL, false, &base_offset);
		if (rc == 0) {
			acknowledge(producer, &request, base_offset);
			return;
		}
		if (!ask_again_later(client, rc)) {
			refused(producer, &request, rc);
			return;
		}
	} while (sends_again(producer) && client_goes_on(client, PHASE_DRAIN));
	give_up(producer, &request);
}

/* What was given up may be stored behind what is sent next: no order is claimed without numbers. */
static void tell_start(struct producer *producer)
{
	const struct producer_options *options = &producer->options;

	history_event(producer->client.log, "start",
		      "\"client\":\"%s\",\"acks\":\"%s\",\"idempotent\":%s,\"in_flight\":%d,"
		      "\"single\":%s",
		      producer->client.name, options->acks < 0 ? "all" : "1",
		      options->idempotent ? "true" : "false", IN_FLIGHT,
		      options->single ? "true" : "false");
}

static void *run(void *context)
{
	struct producer *producer = context;
	struct client *client = &producer->client;

	tell_start(producer);
	if (producer->options.idempotent)
		identify(producer);
	while (client_goes_on(client, PHASE_CALM)) {
		send(producer);
		client_pause(client, 1, producer->options.pause_max_ms);
	}
	batch_build_fini(&producer->build);
	return client_end(client);
}

void producer_start(struct producer *producer, struct world *world, const char *name,
		    struct random *random, const struct producer_options *options)
{
	*producer = (struct producer){
		.options = *options, .client.must_progress = true, .client.produces = true};
	client_start(&producer->client, world, name, random, run);
}
