/* One run: the broker is started, topics are made, clients set to work; accidents happen as drawn.
 * Then they end, and what was promised has to hold:
 *
 *	faults: everybody works, the accidents of the workload happen
 *	calm:   the broker is started again; everybody has to get on, within a time
 *	drain:  producers end; each group has to be given all there is, within a time
 *	final:  members and readers end; final readers read every log from end to end
 *
 * The harness is a process of its own.  Whether what the clients wrote down was right is for
 * tests/history to say. */
#include "tests/sim/world.h"

#include "base/check.h"
#include "tests/sim/accidents.h"
#include "tests/sim/calls.h"
#include "tests/sim/clients/admin.h"
#include "tests/sim/clients/member.h"
#include "tests/sim/clients/reader.h"
#include "tests/sim/clients/rude.h"
#include "tests/sim/clients/sluice_user.h"
#include "tests/sim/clients/transactor.h"
#include "tests/sim/descriptors.h"
#include "tests/sim/harness.h"
#include "tests/sim/plants.h"
#include "tests/sim/rot.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOPICS_SECONDS_MAX = 60, /* all of these simulated */
	CALM_SECONDS_MAX = 90,
	DRAIN_SECONDS_MAX = 90,
	FINAL_SECONDS_MAX = 60,
	SETTLE_MS = 3000,
	CALM_LATENCY_MS_MAX = 5,
	NAMES_MAX = 32,
	NAME_BYTES = 16,
};

static const uint64_t ns_in_ms = 1000000;

static struct {
	bool done;
	struct admin admin;
	struct producer producers[PRODUCERS_MAX];
	struct transactor transactors[TRANSACTORS_MAX];
	struct reader readers[READERS_MAX];
	struct sluice_user sluice_users[SLUICE_USERS_MAX + SLUICE_HEIRS_MAX];
	unsigned sluice_user_count;
	struct rude rude[RUDE_MAX];
	struct reader final_readers[2];
	struct member members[GROUPS_MAX][MEMBERS_MAX];
	char names[NAMES_MAX][NAME_BYTES];
	unsigned name_count;
} run;

__attribute__((format(printf, 1, 2))) static const char *name_of(const char *format, ...)
{
	char *name = run.names[run.name_count++];
	va_list arguments;

	check(run.name_count <= NAMES_MAX);
	va_start(arguments, format);
	vsnprintf(name, NAME_BYTES, format, arguments);
	va_end(arguments);
	return name;
}

/* ---- clients ---- */

static bool topics_are_made(void)
{
	return admin_has_made_topics(&harness.world);
}

static void start_admin(void)
{
	struct admin_options options = {
		.deleting = harness.workload.deleting,
		.harness = harness.log,
		.delete_records_percent = 60,
		.alter_percent = harness.workload.alters ? 30 : 0,
		.come_and_go_percent = harness.workload.comes_and_goes ? 40 : 0,
	};

	admin_start(&run.admin, &harness.world, "admin", &harness.random, &options);
}

static void add_group(const char *name, const struct topic *topic)
{
	check(harness.world.group_count < WORLD_GROUPS_MAX);
	harness.world.groups[harness.world.group_count].name = name;
	harness.world.groups[harness.world.group_count++].topic = topic;
}

static void start_groups(void)
{
	for (unsigned i = 0; i < harness.workload.group_count; i++) {
		const struct group_plan *group = &harness.workload.groups[i];
		add_group(group->name, harness.workload.plain);
		for (unsigned j = 0; j < group->members; j++)
			member_start(&run.members[i][j], &harness.world,
				     name_of("member%u-%u", i, j), &harness.random, group->name,
				     harness.workload.plain, group->consumer);
	}
}

static void start_transactors(void)
{
	static const char group[] = "transactors";

	if (harness.workload.transactors)
		add_group(group, harness.workload.plain);
	for (unsigned i = 0; i < harness.workload.transactors; i++) {
		struct transactor_options options = {
			.id = harness.workload.rivals ? group : name_of("id%u", i),
			.group = group,
			.source = harness.workload.plain,
			.first = harness.workload.rivals ? 0 : i,
			.step = harness.workload.rivals ? 1 : harness.workload.transactors,
			.sink = harness.workload.sink,
			.implicit = harness.workload.implicit,
			.abort_percent = harness.workload.abort_percent,
		};
		if (i < harness.workload.plain->partitions)
			transactor_start(&run.transactors[i], &harness.world,
					 name_of("transactor%u", i), &harness.random, &options);
	}
}

static void start_sluice_user(const struct sluice_user_options *options)
{
	unsigned number = run.sluice_user_count++;

	sluice_user_start(&run.sluice_users[number], &harness.world, name_of("sluice%u", number),
			  &harness.random, options);
}

static void start_sluice_users(void)
{
	for (unsigned i = 0; i < harness.workload.sluice_user_count; i++)
		start_sluice_user(&harness.workload.sluice_users[i]);
}

void replace_sluice_user(void)
{
	unsigned number = run.sluice_user_count - harness.workload.sluice_user_count;

	if (!harness.workload.sluice_user_count || number == SLUICE_HEIRS_MAX ||
	    run.sluice_users[number].client.ended)
		return;
	struct client *client = &run.sluice_users[number].client;
	history_event(harness.log, "killed", "\"client\":\"%s\"", client->name);
	process_kill(client->process);
	client->ended = true;
	client->must_progress = false;
	start_sluice_user(&run.sluice_users[number].options);
}

static void start_clients(void)
{
	for (unsigned i = 0; i < harness.workload.producer_count; i++)
		producer_start(&run.producers[i], &harness.world, name_of("producer%u", i),
			       &harness.random, &harness.workload.producers[i]);
	start_sluice_users();
	for (unsigned i = 0; i < harness.workload.rude; i++)
		rude_start(&run.rude[i], &harness.world, name_of("rude%u", i), &harness.random);
	start_groups();
	start_transactors();
	for (unsigned i = 0; i < harness.workload.readers; i++)
		reader_start(&run.readers[i], &harness.world, name_of("reader%u", i),
			     &harness.random, i ? READ_COMMITTED : READ_UNCOMMITTED, false);
}

static void tell_compacted(void)
{
	const struct topic *topic = harness.workload.compacted;

	for (unsigned i = 0; topic && i < topic->partitions; i++)
		history_event(harness.log, "gaps",
			      "\"topic\":\"%s\",\"partition\":%u,\"why\":\"compaction\"",
			      topic->name, i);
}

static void tell_dedup(void)
{
	const struct topic *topic = harness.workload.dedup;

	if (topic)
		history_event(harness.log, "dedup", "\"topic\":\"%s\",\"window_ms\":%lld",
			      topic->name, (long long)topic->dedup_window_ms);
}

/* ---- the end ---- */

static bool goes_on(const struct client *client)
{
	return !client->must_progress || client->idle ||
	       history_progress(client->log) > client->progress;
}

static bool all_went_on(void)
{
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		if (!goes_on(each))
			return false;
	}
	return true;
}

static void tell_calm(void)
{
	const char *comma = "";

	history_begin(harness.log, "calm", "\"seconds\":%d,\"logs\":{",
		      CALM_SECONDS_MAX + DRAIN_SECONDS_MAX);
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		each->progress = history_progress(each->log);
		if (!each->must_progress)
			continue;
		history_add(harness.log, "%s\"%s.jsonl\":%zu", comma, each->name,
			    history_size(each->log));
		comma = ",";
	}
	history_add(harness.log, "}");
	history_end(harness.log);
}

static bool is_drained(const struct client *client)
{
	return client->drains ? client->drained : client->ended || !client->produces;
}

/* Each partition has a member that has come to its end: nobody owns one that is handed over. */
static bool group_is_drained(unsigned index)
{
	const struct group_plan *group = &harness.workload.groups[index];

	for (unsigned i = 0; i < harness.workload.plain->partitions; i++) {
		bool drained = false;
		for (unsigned j = 0; j < group->members; j++) {
			const struct member *member = &run.members[index][j];
			drained |= member->owned[i] && member->client.drained;
		}
		if (!drained)
			return false;
	}
	return true;
}

static bool all_drained(void)
{
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		if (!is_drained(each))
			return false;
	}
	for (unsigned i = 0; i < harness.workload.group_count; i++) {
		if (!group_is_drained(i))
			return false;
	}
	return true;
}

static void accuse_groups(void)
{
	for (unsigned i = 0; i < harness.workload.group_count; i++) {
		if (!group_is_drained(i))
			broken("%s has partitions without an owner in %u s",
			       harness.workload.groups[i].name, DRAIN_SECONDS_MAX);
	}
}

static bool has_ended_itself(const struct client *client)
{
	return client->ended;
}

static bool all_ended(void)
{
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		if (!each->ended)
			return false;
	}
	return true;
}

static void accuse(bool (*innocent)(const struct client *client), const char *what,
		   unsigned seconds)
{
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		if (!innocent(each))
			broken("%s %s in %u s", each->name, what, seconds);
	}
}

static bool all_producers_ended(void)
{
	for (struct client *each = harness.world.first_client; each; each = each->next) {
		if (!each->drains && !is_drained(each))
			return false;
	}
	return true;
}

/* What a member asked before the last record was written is answered; it has to ask anew. */
static void forget_drained(void)
{
	sleep_ms(SETTLE_MS);
	for (struct client *each = harness.world.first_client; each; each = each->next)
		each->drained = false;
}

static void drain(void)
{
	harness.world.phase = PHASE_DRAIN;
	bool ended = wait_until(all_producers_ended, DRAIN_SECONDS_MAX);
	forget_drained();
	if (ended && wait_until(all_drained, DRAIN_SECONDS_MAX))
		return;
	accuse(is_drained, "has not come to the end", DRAIN_SECONDS_MAX);
	accuse_groups();
}

/* A slow disk is one of the accidents. */
static void use_quick_disk(void)
{
	struct disk_faults *always = &harness.workload.disk;

	if (always->latency_ns_max > CALM_LATENCY_MS_MAX * ns_in_ms)
		always->latency_ns_max = CALM_LATENCY_MS_MAX * ns_in_ms;
	always->slow = 0;
	disk_set_faults(harness.disk, always);
}

static void calm(void)
{
	use_quick_disk();
	see_to_broker();
	if (harness.workload.disk_errors) {
		kill_broker(false);
		start_broker(false);
	}
	harness.world.phase = PHASE_CALM;
	tell_calm();
	if (!wait_until(all_went_on, CALM_SECONDS_MAX))
		accuse(goes_on, "does not go on", CALM_SECONDS_MAX);
}

/* What retention took away is no loss. */
static void tell_retained(void)
{
	const struct topic *topic = harness.workload.retained;

	for (unsigned i = 0; topic && i < topic->partitions; i++) {
		if (topic->starts[i])
			history_event(harness.log, "deleted",
				      "\"topic\":\"%s\",\"partition\":%u,\"before\":%lld",
				      topic->name, i, (long long)topic->starts[i]);
	}
}

static bool nobody_is_connected(void)
{
	return !network_accepted();
}

static void read_finally(void)
{
	harness.world.phase = PHASE_FINAL;
	if (!wait_until(all_ended, FINAL_SECONDS_MAX))
		accuse(has_ended_itself, "does not end", FINAL_SECONDS_MAX);
	reader_start(&run.final_readers[0], &harness.world, "final-all", &harness.random,
		     READ_UNCOMMITTED, true);
	reader_start(&run.final_readers[1], &harness.world, "final-committed", &harness.random,
		     READ_COMMITTED, true);
	if (!wait_until(all_ended, FINAL_SECONDS_MAX))
		accuse(has_ended_itself, "does not end", FINAL_SECONDS_MAX);
	if (!wait_until(nobody_is_connected, FINAL_SECONDS_MAX))
		broken("the broker keeps %u connections of clients that have left",
		       network_accepted());
}

static void *go(void *context)
{
	start_broker(false);
	if (harness.workload.rotting)
		rot_watch();
	start_admin();
	tell_dedup();
	tell_compacted();
	if (!wait_until(topics_are_made, TOPICS_SECONDS_MAX))
		broken("topics are not made in %d s", TOPICS_SECONDS_MAX);
	start_clients();
	have_accidents();
	if (!harness.world.broken[0])
		calm();
	if (!harness.world.broken[0])
		drain();
	history_event(harness.log, "over", "\"what\":\"calm\"");
	if (!harness.world.broken[0])
		read_finally();
	if (!harness.world.broken[0])
		stop_broker();
	run.done = true;
	return context;
}

static bool done(void *context)
{
	return run.done || harness.world.broken[0];
}

const char *world_run(const struct world_options *options)
{
	harness.random = (struct random){options->seed};
	if (options->plant && !plant_set(options->plant))
		return "there is no such plant";
	workload_draw(&harness.workload, &harness.world, random_split(&harness.random, "workload"));
	schedule_init(random_split(&harness.random, "schedule"));
	schedule_set_stalls(harness.workload.stalls, 20 * ns_in_ms);
	network_init(random_split(&harness.random, "network"));
	network_set_faults(&harness.workload.network);
	calls_set_random(random_split(&harness.random, "calls"));
	harness.disk = disk_new(random_split(&harness.random, "disk"));
	disk_set_faults(harness.disk, &harness.workload.disk);
	sim_set_disk(harness.disk);
	plant_in_disk(harness.disk);
	harness.log = history_log_new("harness");
	fiber_spawn(process_new("harness"), "harness", go, NULL);
	if (!schedule_run(done, NULL))
		broken("nothing can happen any more");
	tell_retained();
	if (options->history)
		history_print(options->history);
	return harness.world.broken[0] ? harness.world.broken : NULL;
}
