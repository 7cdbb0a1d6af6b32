#include "tests/sim/clients/reader.h"

#include "dataplane/kafka/kafka_errors.h"
#include "tests/sim/clients/batches.h"

#include <errno.h>

enum { REST_MS_MIN = 300, REST_MS_MAX = 3000 };
static const uint64_t patience_ns = UINT64_C(10) * 1000 * 1000 * 1000;

struct telling {
	struct client *client;
	const struct topic *topic;
	unsigned partition;
	bool begun;
};

static void given(void *context, const struct incoming *record)
{
	struct telling *telling = context;
	struct history_log *log = telling->client->log;

	if (!telling->begun)
		history_begin(log, "fetched", "\"topic\":\"%s\",\"partition\":%u,\"records\":[",
			      telling->topic->name, telling->partition);
	history_add(log, "%s[%lld,\"%s\",%u]", telling->begun ? "," : "", (long long)record->offset,
		    record->id, record->hash);
	telling->begun = true;
}

/* Behind what the log has: either its beginning has moved, or it has lost what it gave. */
static int out_of_range(struct client *client, struct topic *topic, unsigned partition,
			int64_t *position)
{
	int64_t first, last;
	int rc = ask_offset(client, topic, partition, READ_UNCOMMITTED, LIST_EARLIEST, &first);

	if (rc == 0)
		rc = ask_offset(client, topic, partition, READ_UNCOMMITTED, LIST_LATEST, &last);
	if (rc != 0)
		return rc;
	if (last < *position)
		client_accuses(client, "%s/%u ends at %lld, and was read up to %lld", topic->name,
			       partition, (long long)last, (long long)*position);
	if (first > *position)
		*position = first;
	return 0;
}

/* For longer than the broker needs to look at what a reader has met. */
static bool is_held(struct client *client, const struct topic *topic, unsigned partition,
		    int64_t offset)
{
	uint64_t now_ns = sim_now_ns();

	if (client->held.topic != topic || client->held.partition != partition ||
	    client->held.offset != offset) {
		client->held.topic = topic;
		client->held.partition = partition;
		client->held.offset = offset;
		client->held.since_ns = now_ns;
	}
	return now_ns - client->held.since_ns > patience_ns;
}

/* An operator tells the reader how far that goes, once the broker's log does. */
static int pass_lost(struct client *client, struct topic *topic, unsigned partition,
		     int64_t *position)
{
	struct lost lost;

	bool held = is_held(client, topic, partition, *position);
	if (!world_find_lost(client->world, topic, partition, *position, held && topic->keyed,
			     &lost))
		return -EAGAIN;
	history_event(client->log, "lost",
		      "\"topic\":\"%s\",\"partition\":%u,\"offset\":%lld,\"to\":%lld", topic->name,
		      partition, (long long)lost.from, (long long)lost.to);
	*position = lost.to;
	return 0;
}

int reader_fetch(struct client *client, struct topic *topic, unsigned partition,
		 enum isolation isolation, int64_t *position, bool *ret_at_end)
{
	struct telling telling = {client, topic, partition};
	int64_t known_start = topic->starts[partition], next;
	struct fetched fetched;
	int rc = ask_fetch(client, topic, partition, *position, isolation, &fetched);

	*ret_at_end = false;
	if (rc == KAFKA_OFFSET_OUT_OF_RANGE)
		return out_of_range(client, topic, partition, position);
	if (rc == KAFKA_CORRUPT_MESSAGE && topic->rots)
		return pass_lost(client, topic, partition, position);
	if (rc != 0)
		return rc;
	if (fetched.log_start_offset < known_start)
		client_accuses(client, "%s/%u began at %lld, now at %lld", topic->name, partition,
			       (long long)known_start, (long long)fetched.log_start_offset);
	if (fetched.log_start_offset > topic->starts[partition])
		topic->starts[partition] = fetched.log_start_offset;
	if (!batches_read(&fetched, *position, isolation, given, &telling, &next))
		client_accuses(client, "%s/%u: what was read from %lld on is no batch", topic->name,
			       partition, (long long)*position);
	if (telling.begun) {
		history_add(client->log, "]");
		history_end(client->log);
	}
	int64_t end = isolation == READ_COMMITTED && client->world->phase < PHASE_FINAL
			      ? fetched.last_stable_offset
			      : fetched.high_watermark;
	*ret_at_end = next >= end;
	*position = next;
	if (telling.begun)
		world_read(client->world, topic, partition, next);
	return 0;
}

/* True: it came to the end. */
static bool read_log(struct reader *reader, struct topic *topic, unsigned partition)
{
	struct client *client = &reader->client;
	enum phase last = reader->final ? PHASE_FINAL : PHASE_DRAIN;
	int64_t position = 0;
	bool at_end = false;

	history_event(client->log, "position", "\"topic\":\"%s\",\"partition\":%u,\"offset\":0",
		      topic->name, partition);
	while (!at_end && client_goes_on(client, last)) {
		int rc = reader_fetch(client, topic, partition, reader->isolation, &position,
				      &at_end);
		if (rc != 0 && !ask_again_later(client, rc)) {
			client_accuses(client, "%s/%u: %s at %lld", topic->name, partition,
				       kafka_error_name((int16_t)rc), (long long)position);
			return false;
		}
	}
	if (at_end)
		history_event(client->log, "end",
			      "\"topic\":\"%s\",\"partition\":%u,\"offset\":%lld,\"final\":%s",
			      topic->name, partition, (long long)position,
			      reader->final ? "true" : "false");
	return at_end;
}

static void tell_stable(struct reader *reader, const struct topic *topic)
{
	struct client *client = &reader->client;
	int64_t offsets[PARTITIONS_MAX];
	bool any = false;

	if (ask_stable(client, topic, offsets) != 0)
		return;
	for (unsigned i = 0; i < topic->partitions; i++) {
		if (offsets[i] < 0)
			continue;
		if (!any)
			history_begin(client->log, "stable", "\"offsets\":[");
		history_add(client->log, "%s[\"%s\",%u,%lld]", any ? "," : "", topic->name, i,
			    (long long)offsets[i]);
		any = true;
	}
	if (any) {
		history_add(client->log, "]");
		history_end(client->log);
	}
}

static void read_all(struct reader *reader)
{
	struct world *world = reader->client.world;

	for (unsigned i = 0; i < world->topic_count; i++) {
		for (unsigned j = 0; j < world->topics[i].partitions; j++)
			read_log(reader, &world->topics[i], j);
		if (reader->isolation == READ_COMMITTED && world->topics[i].sink)
			tell_stable(reader, &world->topics[i]);
	}
}

static void look_at_groups(struct reader *reader)
{
	struct client *client = &reader->client;
	struct world *world = client->world;
	int64_t offsets[PARTITIONS_MAX];

	for (unsigned i = 0; i < world->group_count; i++) {
		struct membership nobody = {.group = world->groups[i].name, .generation = -1};
		int rc;
		do
			rc = ask_committed(client, &nobody, world->groups[i].topic, offsets);
		while (rc != 0 && ask_again_later(client, rc));
		if (rc == 0)
			client_tells_seen(client, nobody.group, world->groups[i].topic, NULL,
					  offsets, true);
	}
}

static void *run(void *context)
{
	struct reader *reader = context;
	struct client *client = &reader->client;

	history_event(client->log, "start", "\"client\":\"%s\",\"isolation\":\"%s\"", client->name,
		      reader->isolation == READ_COMMITTED ? "read_committed" : "read_uncommitted");
	while (!reader->final && client_goes_on(client, PHASE_DRAIN)) {
		read_all(reader);
		client_pause(client, REST_MS_MIN, REST_MS_MAX);
	}
	if (reader->final) {
		read_all(reader);
		look_at_groups(reader);
	}
	return client_end(client);
}

void reader_start(struct reader *reader, struct world *world, const char *name,
		  struct random *random, enum isolation isolation, bool final)
{
	*reader = (struct reader){.isolation = isolation, .final = final};
	client_start(&reader->client, world, name, random, run);
}
