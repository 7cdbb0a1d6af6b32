#include "tests/sim/workload.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ns_in_us = 1000, ns_in_ms = 1000000;

/* ---- topics ---- */

/* In place of what it has of that name. */
static void configure(struct topic *topic, const char *name, const char *value)
{
	unsigned i = 0;

	while (i < topic->config_count && strcmp(topic->configs[i].name, name) != 0)
		i++;
	check(i < TOPIC_CONFIGS_MAX);
	if (i == topic->config_count)
		topic->config_count++;
	struct topic_config *config = &topic->configs[i];
	config->name = name;
	snprintf(config->value, sizeof(config->value), "%s", value);
}

static struct topic *add_topic(struct world *world, struct random *random, const char *name)
{
	static const char *const segment_ms[] = {"1000", "2000", "10000", "604800000"};

	check(world->topic_count < TOPICS_MAX);
	struct topic *topic = &world->topics[world->topic_count++];
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	topic->partitions = (unsigned)random_between(random, 1, 3);
	configure(topic, "segment.bytes", "1048576");
	configure(topic, "segment.ms", segment_ms[random_below(random, 4)]);
	return topic;
}

static struct topic *add_compacted(struct world *world, struct random *random)
{
	struct topic *topic = add_topic(world, random, "compacted");

	topic->keyed = true;
	configure(topic, "cleanup.policy", "compact");
	configure(topic, "min.cleanable.dirty.ratio", "0.01");
	configure(topic, "delete.retention.ms", random_chance(random, 500000) ? "0" : "3000");
	return topic;
}

/* One that has more happening to it, or one of its own. */
static void draw_rotting(struct workload *workload, struct world *world, struct random *random)
{
	if (!random_chance(random, 300000))
		return;
	if (workload->compacted && random_chance(random, 600000))
		workload->rotting = workload->compacted;
	else if (workload->deleting && random_chance(random, 400000))
		workload->rotting = workload->deleting;
	else
		workload->rotting = add_topic(world, random, "rotting");
	workload->rotting->rots = true;
	configure(workload->rotting, "segment.ms", "1000"); /* only closed segments rot */
}

static void draw_topics(struct workload *workload, struct world *world, struct random *random)
{
	static const char *const windows[] = {"1000", "5000", "120000"};

	workload->plain = add_topic(world, random, "plain");
	if (random_chance(random, 400000)) {
		const char *window = windows[random_below(random, 3)];
		workload->dedup = add_topic(world, random, "dedup");
		workload->dedup->dedup_window_ms = strtoll(window, NULL, 10);
		configure(workload->dedup, "dedup.enable", "true");
		configure(workload->dedup, "dedup.window.ms", window);
	}
	if (random_chance(random, 500000)) {
		workload->sink = add_topic(world, random, "sink");
		workload->sink->sink = true;
		workload->plain->source = true;
	}
	if (random_chance(random, 300000))
		workload->deleting = add_topic(world, random, "deleting");
	if (random_chance(random, 350000))
		workload->compacted = add_compacted(world, random);
	if (random_chance(random, 200000)) {
		workload->retained = add_topic(world, random, "retained");
		workload->retained->retained = true;
		configure(workload->retained, "retention.ms",
			  random_chance(random, 500000) ? "2000" : "10000");
	}
	draw_rotting(workload, world, random);
}

/* ---- clients ---- */

static struct producer_options *add_producer(struct workload *workload, struct random *random)
{
	struct producer_options *options = &workload->producers[workload->producer_count++];

	*options = (struct producer_options){
		.acks = -1,
		.single = random_chance(random, 300000),
		.records_max = (unsigned)random_between(random, 1, 8),
		.payload_max = random_chance(random, 100000) ? 30000
							     : (unsigned)random_below(random, 400),
		.pause_max_ms = random_chance(random, 300000) ? 20 : 300,
	};
	return options;
}

static void send_to(struct producer_options *options, const struct topic *topic)
{
	if (topic && options->topic_count < PRODUCER_TOPICS_MAX)
		options->topics[options->topic_count++] = topic;
}

static void draw_producers(struct workload *workload, struct random *random)
{
	unsigned count = (unsigned)random_between(random, 1, PRODUCERS_MAX - 1);

	for (unsigned i = 0; i < count; i++) {
		struct producer_options *options = add_producer(workload, random);
		uint64_t kind = random_below(random, 100);
		options->acks = kind < 20 ? 1 : -1;
		options->idempotent = kind >= 50;
		send_to(options, workload->plain);
		send_to(options, workload->deleting);
		send_to(options, workload->retained);
		send_to(options, workload->compacted);
		if (workload->rotting != workload->compacted &&
		    workload->rotting != workload->deleting)
			send_to(options, workload->rotting);
	}
	if (workload->dedup) {
		struct producer_options *options = add_producer(workload, random);
		options->dedup = true;
		options->idempotent = random_chance(random, 300000);
		send_to(options, workload->dedup);
	}
}

static void draw_groups(struct workload *workload, struct random *random)
{
	unsigned count = (unsigned)random_below(random, GROUPS_MAX + 1);

	for (unsigned i = 0; i < count; i++) {
		struct group_plan *group = &workload->groups[workload->group_count++];
		snprintf(group->name, sizeof(group->name), "group%u", i);
		group->consumer = random_chance(random, 500000);
		group->members = (unsigned)random_between(random, 1, MEMBERS_MAX);
	}
}

static void add_sluice_user(struct workload *workload, struct random *random)
{
	struct sluice_user_options *options =
		&workload->sluice_users[workload->sluice_user_count++];

	*options = (struct sluice_user_options){
		.datagrams = random_chance(random, 600000),
		.produces = random_chance(random, 600000),
		.idempotent = random_chance(random, 600000),
		.acks = -1,
		.payload_max = random_chance(random, 100000) ? 30000
							     : (unsigned)random_below(random, 400),
		.pause_max_ms = random_chance(random, 300000) ? 20 : 300,
		.topics[0] = workload->plain,
		.topic_count = 1,
	};
	if (!options->idempotent && random_chance(random, 300000))
		options->acks = 1;
	options->in_flight = (unsigned)random_between(random, 1, options->idempotent ? 5 : 3);
	options->once = options->produces && !options->idempotent && random_chance(random, 500000);
	if (options->produces && workload->deleting)
		options->topics[options->topic_count++] = workload->deleting;
	if (options->produces && workload->retained)
		options->topics[options->topic_count++] = workload->retained;
}

static uint32_t draw_rate(struct random *random)
{
	static const uint32_t in_a_million[] = {0, 0, 2000, 20000, 100000};

	return in_a_million[random_below(random, sizeof(in_a_million) / sizeof(in_a_million[0]))];
}

/* Datagrams get lost at all times: that is what they do. */
static void draw_sluice_users(struct workload *workload, struct random *random)
{
	if (random_chance(random, 500000))
		return;
	for (uint64_t left = random_between(random, 1, SLUICE_USERS_MAX); left; left--)
		add_sluice_user(workload, random);
	workload->network.drop = draw_rate(random);
	workload->network.duplicate = draw_rate(random);
	workload->network.overtake = draw_rate(random);
	workload->network.garble = draw_rate(random) / 10;
	if (random_chance(random, 300000))
		workload->network.datagram_bytes_max = random_chance(random, 500000) ? 1472 : 1232;
}

static void draw_clients(struct workload *workload, struct random *random)
{
	draw_producers(workload, random);
	draw_sluice_users(workload, random);
	draw_groups(workload, random);
	workload->readers = (unsigned)random_between(random, 1, READERS_MAX);
	if (workload->sink) {
		workload->transactors = (unsigned)random_between(random, 1, TRANSACTORS_MAX);
		workload->rivals = random_chance(random, 300000);
		workload->implicit = random_chance(random, 500000);
		workload->abort_percent = random_chance(random, 500000) ? 25 : 0;
	}
	if (random_chance(random, 300000))
		workload->rude = (unsigned)random_between(random, 1, RUDE_MAX);
	workload->alters = random_chance(random, 200000);
	workload->comes_and_goes = random_chance(random, 200000);
}

/* ---- the broker and its machine ---- */

static void draw_machine(struct workload *workload, struct random *random)
{
	static const char *const settings[] = {
		"offsets.topic.segment.bytes=8388608",
		"transaction.state.log.segment.bytes=8388608",
		"group.consumer.session.timeout.ms=6000",
		"group.consumer.heartbeat.interval.ms=1000",
		"auto.create.topics.enable=false",
		"pin.threads=false",
		"log.cleaner.backoff.ms=300",
		"datagram.listen=127.0.0.1:9192",
	};
	unsigned count = 0;

	for (; count < sizeof(settings) / sizeof(settings[0]); count++)
		workload->settings[count] = settings[count];
	if (random_chance(random, 300000)) {
		workload->settings[count++] = "offsets.topic.rewrite.bytes=1024";
		workload->settings[count++] = "transaction.state.log.rewrite.bytes=1024";
	}
	if (random_chance(random, 300000))
		workload->settings[count++] = "offsets.topic.num.partitions=3";
	if (random_chance(random, 300000))
		workload->settings[count++] = "transaction.state.log.num.partitions=3";
	if (random_chance(random, 500000))
		workload->settings[count++] = "log.scrub.interval.ms=2000";
	check(count < SETTINGS_MAX);
	workload->broker = (struct broker_options){
		.shards = (unsigned)random_between(random, 1, 4),
		.plain_io = random_chance(random, 300000),
		.settings = workload->settings,
	};
	workload->disk = (struct disk_faults){
		.latency_ns_min = 20 * ns_in_us,
		/* Slow ones leave much to be lost, and to be seen too early. */
		.latency_ns_max = random_chance(random, 200000)
					  ? random_between(random, 10, 50) * ns_in_ms
					  : random_between(random, 50, 5000) * ns_in_us,
		.slow_ns = 100 * ns_in_ms,
		.slow = random_chance(random, 300000) ? 5000 : 0,
	};
	workload->network = (struct network_faults){
		.delay_ns_min = 10 * ns_in_us,
		.delay_ns_max = random_between(random, 20, 3000) * ns_in_us,
	};
	workload->stalls = random_chance(random, 300000) ? 200 : 0;
}

/* ---- accidents ---- */

static void draw_disk_errors(struct accident *accident, const struct disk_faults *always,
			     struct random *random)
{
	static const uint32_t rates[] = {5000, 20000, 50000, 300000};
	uint32_t rate = rates[random_below(random, sizeof(rates) / sizeof(rates[0]))];

	accident->disk = *always;
	switch (random_below(random, 6)) {
	case 0:
		accident->disk.write_error = rate;
		break;
	case 1:
		accident->disk.flush_error = rate;
		break;
	case 2:
		accident->disk.no_space = rate;
		break;
	case 3:
		accident->disk.short_transfer = rate;
		break;
	case 4:
		accident->disk.read_error = rate < 50000 ? rate : 50000;
		break;
	default:
		/* Beyond what is used when it happens. */
		accident->disk.room_bytes = random_between(random, 1, 512 << 10);
	}
}

static enum accident_kind draw_kind(struct random *random, bool disk_errors, bool power)
{
	for (;;) {
		switch (random_below(random, 9)) {
		case 0:
			return ACCIDENT_STOP;
		case 1:
			return ACCIDENT_CUTS;
		case 2:
			return ACCIDENT_CLOCK;
		case 3:
			if (disk_errors)
				return ACCIDENT_DISK;
			break;
		case 4:
			return ACCIDENT_KILL;
		case 5:
			return ACCIDENT_SLEEP;
		case 6:
			return ACCIDENT_USER;
		default:
			return power ? ACCIDENT_POWER : ACCIDENT_KILL;
		}
	}
}

/* How long ids are remembered where time passes without timestamps, or these go back, is not what
 * timestamps tell (storage/README.md, Dedup windows). */
static void keep_time(struct accident *accident)
{
	if (accident->kind == ACCIDENT_SLEEP)
		accident->kind = ACCIDENT_KILL;
	if (accident->step_ms < 0)
		accident->step_ms = -accident->step_ms;
}

static void draw_accidents(struct workload *workload, struct random *random)
{
	unsigned count = (unsigned)random_below(random, 6) + (workload->rotting != NULL);
	bool power = random_chance(random, 700000);
	bool errors = random_chance(random, 250000) && !workload->rotting;

	if (workload->dedup)
		workload->dedup->dedup_by_uptime = random_chance(random, 500000);
	workload->crashes_while_starting = random_chance(random, 300000) ? 500000 : 0;

	for (unsigned i = 0; i < count; i++) {
		struct accident *accident = &workload->accidents[workload->accident_count++];
		accident->kind = draw_kind(random, errors, power);
		if (workload->rotting && random_chance(random, 400000))
			accident->kind = ACCIDENT_ROT;
		accident->after_ms = (unsigned)random_between(random, 100, 4000);
		accident->down_ms = (unsigned)random_between(random, 1, 1500);
		accident->step_ms = (int64_t)random_between(random, 0, 20000) - 10000;
		accident->behind_read = accident->down_ms & 1;
		if (workload->dedup && !workload->dedup->dedup_by_uptime)
			keep_time(accident);
		if (accident->kind == ACCIDENT_SLEEP)
			accident->down_ms *= (unsigned)random_between(random, 5, 400);
		if (accident->kind == ACCIDENT_DISK) {
			draw_disk_errors(accident, &workload->disk, random);
			workload->disk_errors = true;
		}
	}
	workload->last_ms = (unsigned)random_between(random, 200, 3000);
}

void workload_draw(struct workload *workload, struct world *world, struct random random)
{
	memset(workload, 0, sizeof(*workload));
	draw_machine(workload, &random);
	draw_topics(workload, world, &random);
	draw_clients(workload, &random);
	draw_accidents(workload, &random);
}
