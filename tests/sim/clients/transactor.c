/* Phases of its life, each of which may fail and then begins again with the first:
 *
 *	identity (which ends what an earlier one left open) -> positions, as committed
 *	-> read some -> begin, produce, send the offset -> end -> read some ...
 *
 * A request without an answer is asked again: each may be.  After an end whose outcome is not known
 * for certain it takes a new identity, as a client that was restarted does. */
#include "tests/sim/clients/transactor.h"

#include "dataplane/kafka/kafka_errors.h"
#include "storage/batch.h"

#include <string.h>

static const uint64_t patience_ns = UINT64_C(25) * 1000 * 1000 * 1000;

static bool goes_on(struct transactor *transactor)
{
	return client_goes_on(&transactor->client, PHASE_CALM);
}

/* ---- before a transaction ---- */

static int find_positions(struct transactor *transactor)
{
	struct membership nobody = {.group = transactor->options.group, .generation = -1};
	int64_t offsets[PARTITIONS_MAX] = {0};
	int rc;

	while ((rc = ask_committed(&transactor->client, &nobody, transactor->options.source,
				   offsets)) != 0) {
		if (!ask_again_later(&transactor->client, rc) || !goes_on(transactor))
			return rc;
	}
	client_tells_seen(&transactor->client, transactor->options.group,
			  transactor->options.source, NULL, offsets, false);
	for (unsigned i = 0; i < PARTITIONS_MAX; i++)
		transactor->positions[i] = offsets[i] > 0 ? offsets[i] : 0;
	return 0;
}

static bool take_identity(struct transactor *transactor)
{
	memset(transactor->sequences, 0, sizeof(transactor->sequences));
	while (goes_on(transactor)) {
		int rc = ask_producer_id(&transactor->client, &transactor->identity);
		if (rc == 0)
			return find_positions(transactor) == 0;
		if (!ask_again_later(&transactor->client, rc)) {
			client_accuses(&transactor->client, "InitProducerId: %s",
				       kafka_error_name((int16_t)rc));
			return false;
		}
	}
	return false;
}

static void collect(void *context, const struct incoming *record)
{
	struct transactor *transactor = context;

	if (transactor->source_count < TRANSACTION_RECORDS_MAX)
		transactor->sources[transactor->source_count++] = record->offset;
}

/* Some records of one partition, and the position behind them. */
static bool read_some(struct transactor *transactor, unsigned partition, int64_t *ret_next)
{
	struct client *client = &transactor->client;
	struct topic *source = transactor->options.source;
	struct fetched fetched;
	int64_t *position = &transactor->positions[partition], next;

	transactor->source_count = 0;
	int rc = ask_fetch(client, source, partition, *position, READ_COMMITTED, &fetched);
	if (rc != 0) {
		ask_again_later(client, rc);
		return false;
	}
	if (!batches_read(&fetched, *position, READ_COMMITTED, collect, transactor, &next))
		client_accuses(client, "%s/%u: what was read from %lld on is no batch",
			       source->name, partition, (long long)*position);
	unsigned count = transactor->source_count;
	/* With room left there was nothing behind the last. */
	*ret_next = count == TRANSACTION_RECORDS_MAX ? transactor->sources[count - 1] + 1 : next;
	return count > 0;
}

/* ---- within ---- */

/* Whether to ask again; until the transaction has become too old for it. */
static bool once_more(struct transactor *transactor, int rc, uint64_t due_ns)
{
	return rc != 0 && ask_again_later(&transactor->client, rc) && sim_now_ns() < due_ns;
}

static void add_results(struct transactor *transactor, unsigned from, unsigned sink)
{
	struct client *client = &transactor->client;
	const struct transactor_options *options = &transactor->options;

	batches_begin(&transactor->build);
	for (unsigned i = 0; i < transactor->source_count; i++) {
		if (i % options->sink->partitions != sink)
			continue;
		struct outgoing record = {
			.producer = client->name,
			.number = transactor->next_number++,
			.payload_bytes = client_below(client, 50),
		};
		uint32_t hash = batches_add(&transactor->build, &record, sim_wall_ms());
		history_event(client->log, "sent",
			      "\"id\":\"%s:%u\",\"topic\":\"%s\",\"partition\":%u,\"hash\":%u,"
			      "\"of\":[\"%s\",%u,%lld]",
			      client->name, record.number, options->sink->name, sink, hash,
			      options->source->name, from, (long long)transactor->sources[i]);
	}
}

static void tell_acked(struct transactor *transactor, unsigned sink, int64_t base_offset)
{
	unsigned count = (unsigned)transactor->build.count;

	for (unsigned i = 0; i < count; i++)
		history_event(transactor->client.log, "acked",
			      "\"id\":\"%s:%u\",\"partition\":%u,\"offset\":%lld",
			      transactor->client.name, transactor->next_number - count + i, sink,
			      (long long)base_offset + i);
	world_acked(transactor->client.world, transactor->options.sink, sink, base_offset + count);
}

static int produce(struct transactor *transactor, unsigned from, unsigned sink, uint64_t due_ns)
{
	struct client *client = &transactor->client;
	const struct transactional *identity = &transactor->identity;
	int64_t base_offset;
	int rc = 0;

	add_results(transactor, from, sink);
	if (transactor->build.count == 0)
		return 0;
	transactor->build.attributes = BATCH_TRANSACTIONAL;
	batch_build_seal(&transactor->build, identity->producer_id, identity->epoch,
			 transactor->sequences[sink]);
	if (!identity->implicit) {
		do
			rc = ask_add_partition(client, identity, transactor->options.sink, sink);
		while (once_more(transactor, rc, due_ns));
	}
	if (rc != 0)
		return rc;
	do
		rc = ask_produce(client, transactor->options.sink, sink, &transactor->build, -1,
				 identity->id, identity->implicit, &base_offset);
	while (once_more(transactor, rc, due_ns));
	if (rc == 0) {
		tell_acked(transactor, sink, base_offset);
		transactor->sequences[sink] += transactor->build.count;
	}
	return rc;
}

static int send_offset(struct transactor *transactor, unsigned from, int64_t next, uint64_t due_ns)
{
	struct client *client = &transactor->client;
	const struct transactor_options *options = &transactor->options;
	int rc = 0;

	history_event(client->log, "offsets",
		      "\"group\":\"%s\",\"offsets\":[[\"%s\",%u,%lld]],\"generation\":null",
		      options->group, options->source->name, from, (long long)next);
	if (!options->implicit) {
		do
			rc = ask_add_group(client, &transactor->identity, options->group);
		while (once_more(transactor, rc, due_ns));
	}
	if (rc != 0)
		return rc;
	do
		rc = ask_send_offset(client, &transactor->identity, options->group, options->source,
				     from, next);
	while (once_more(transactor, rc, due_ns));
	return rc;
}

/* ---- its end ---- */

/* 0: as asked for. */
static int end(struct transactor *transactor, bool commit, uint64_t due_ns)
{
	struct client *client = &transactor->client;
	int rc;

	history_event(client->log, "ending", "\"commit\":%s", commit ? "true" : "false");
	do
		rc = ask_end(client, &transactor->identity, commit);
	while (once_more(transactor, rc, due_ns));
	const char *result = !commit ? "aborted" : rc == 0 ? "committed" : "unknown";
	history_event(client->log, "ended", "\"result\":\"%s\"", result);
	if (rc == 0 && transactor->identity.implicit)
		memset(transactor->sequences, 0, sizeof(transactor->sequences));
	return rc;
}

/* One transaction about records of one partition.  False: a new identity is needed. */
static bool transact(struct transactor *transactor, unsigned from, int64_t next)
{
	struct client *client = &transactor->client;
	uint64_t due_ns = sim_now_ns() + patience_ns;
	int rc = 0;

	history_event(client->log, "begun", "\"client\":\"%s\"", client->name);
	for (unsigned i = 0; i < transactor->options.sink->partitions && rc == 0; i++)
		rc = produce(transactor, from, i, due_ns);
	if (rc == 0)
		rc = send_offset(transactor, from, next, due_ns);
	bool commit = rc == 0 && !client_draws(client, transactor->options.abort_percent);
	if (commit && client_draws(client, 20))
		client_pause(client, 100, 2000);
	int ended = end(transactor, commit, due_ns + patience_ns);
	if (commit && ended == 0)
		transactor->positions[from] = next;
	return rc == 0 && ended == 0;
}

static bool transact_once(struct transactor *transactor, unsigned partition)
{
	int64_t next;

	return !read_some(transactor, partition, &next) || transact(transactor, partition, next);
}

static void *run(void *context)
{
	struct transactor *transactor = context;
	struct client *client = &transactor->client;
	const struct transactor_options *options = &transactor->options;
	bool has_identity = false;

	history_event(client->log, "start",
		      "\"client\":\"%s\",\"acks\":\"all\",\"idempotent\":true,\"in_flight\":1",
		      client->name);
	for (unsigned i = options->first; goes_on(transactor); i += options->step) {
		if (i >= options->source->partitions)
			i = options->first;
		if (!has_identity)
			has_identity = take_identity(transactor);
		if (has_identity)
			has_identity = transact_once(transactor, i);
		client_pause(client, 10, 300);
	}
	batch_build_fini(&transactor->build);
	return client_end(client);
}

void transactor_start(struct transactor *transactor, struct world *world, const char *name,
		      struct random *random, const struct transactor_options *options)
{
	*transactor = (struct transactor){
		.client.must_progress = true,
		.client.produces = true,
		.options = *options,
		.identity = {.id = options->id, .implicit = options->implicit},
	};
	client_start(&transactor->client, world, name, random, run);
}
