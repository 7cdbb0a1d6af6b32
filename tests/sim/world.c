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
#include "tests/sim/calls.h"
#include "tests/sim/clients/admin.h"
#include "tests/sim/clients/member.h"
#include "tests/sim/clients/reader.h"
#include "tests/sim/clients/rude.h"
#include "tests/sim/clients/sluice_user.h"
#include "tests/sim/clients/transactor.h"
#include "tests/sim/descriptors.h"
#include "tests/sim/plants.h"
#include "tests/sim/workload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	START_SECONDS_MAX = 60, /* all of these simulated */
	CALM_SECONDS_MAX = 90,
	DRAIN_SECONDS_MAX = 90,
	FINAL_SECONDS_MAX = 60,
	TURN_MS = 50,
	SETTLE_MS = 3000,
	CUT_MS = 500,
	NAMES_MAX = 32,
	NAME_BYTES = 16,
};

static const uint64_t ns_in_ms = 1000000, ns_in_second = 1000000000;

static struct {
	struct world world;
	struct workload workload;
	struct random random;
	struct history_log *log;
	struct process *process;
	struct disk *disk;
	bool done;
	uint64_t next_cut_ns;
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

__attribute__((format(printf, 1, 2))) static void broken(const char *format, ...)
{
	va_list arguments;

	if (run.world.broken[0])
		return;
	va_start(arguments, format);
	vsnprintf(run.world.broken, sizeof(run.world.broken), format, arguments);
	va_end(arguments);
}

/* ---- waiting ---- */

static void cut(void)
{
	if (!run.workload.sink || sim_now_ns() < run.next_cut_ns)
		return;
	run.next_cut_ns = sim_now_ns() + CUT_MS * ns_in_ms;
	history_begin(run.log, "cut", "\"before\":");
	history_add_sizes(run.log);
	history_add(run.log, ",\"after\":");
	history_add_sizes(run.log);
	history_end(run.log);
}

static void sleep_ms(uint64_t ms)
{
	uint64_t due_ns = sim_now_ns() + ms * ns_in_ms;

	while (sim_now_ns() < due_ns) {
		uint64_t turn_ns = sim_now_ns() + CUT_MS * ns_in_ms;
		fiber_sleep_until(turn_ns < due_ns ? turn_ns : due_ns);
		cut();
	}
}

static bool wait_until(bool (*holds)(void), unsigned seconds_max)
{
	uint64_t due_ns = sim_now_ns() + seconds_max * ns_in_second;

	while (!holds()) {
		if (sim_now_ns() >= due_ns || run.world.broken[0])
			return false;
		sleep_ms(TURN_MS);
	}
	return true;
}

/* ---- the broker ---- */

static bool has_ended(void)
{
	return !broker_running();
}

static bool is_ready_or_ended(void)
{
	return broker_ready() || !broker_running();
}

static void tell_broker(const char *what)
{
	history_event(run.log, "broker", "\"what\":\"%s\"", what);
}

static void stop(void)
{
	tell_broker("stopped");
	broker_stop();
	if (!wait_until(has_ended, START_SECONDS_MAX))
		broken("the broker does not end");
}

static void kill_it(bool power)
{
	tell_broker(power ? "power cut" : "killed");
	broker_kill();
	if (power)
		disk_power_cut(run.disk);
}

/* An error of the disk's may end the broker or keep it from starting, while there are such. */
static void start(bool may_fail)
{
	tell_broker("started");
	broker_start(&run.workload.broker);
	bool told = wait_until(is_ready_or_ended, START_SECONDS_MAX);
	if (broker_ready() || may_fail)
		return;
	if (!told)
		broken("the broker is not ready in %d s", START_SECONDS_MAX);
	else
		broken("the broker does not start: %s", broker_failure());
}

/* ---- accidents ---- */

static void start_sluice_user(const struct sluice_user_options *options)
{
	unsigned number = run.sluice_user_count++;

	sluice_user_start(&run.sluice_users[number], &run.world, name_of("sluice%u", number),
			  &run.random, options);
}

/* The oldest that lives. */
static void user_accident(void)
{
	unsigned number = run.sluice_user_count - run.workload.sluice_user_count;

	if (!run.workload.sluice_user_count || number == SLUICE_HEIRS_MAX ||
	    run.sluice_users[number].client.ended)
		return;
	struct client *client = &run.sluice_users[number].client;
	history_event(run.log, "killed", "\"client\":\"%s\"", client->name);
	process_kill(client->process);
	client->ended = true;
	client->must_progress = false;
	start_sluice_user(&run.sluice_users[number].options);
}

static void disk_accident(const struct accident *accident)
{
	struct disk_faults faults = accident->disk;

	if (faults.room_bytes)
		faults.room_bytes += disk_used_bytes(run.disk);
	disk_set_faults(run.disk, &faults);
	sleep_ms(accident->down_ms);
	if (broker_running() && !random_chance(&run.random, 500000)) {
		disk_set_faults(run.disk, &run.workload.disk);
		return;
	}
	if (broker_running())
		kill_it(random_chance(&run.random, 500000));
	start(true);
	disk_set_faults(run.disk, &run.workload.disk);
	if (!broker_ready() && broker_running())
		kill_it(false);
	if (!broker_running())
		start(false);
}

static void happen(const struct accident *accident)
{
	struct network_faults cuts = run.workload.network;

	switch (accident->kind) {
	case ACCIDENT_STOP:
		stop();
		break;
	case ACCIDENT_KILL:
	case ACCIDENT_POWER:
		kill_it(accident->kind == ACCIDENT_POWER);
		break;
	case ACCIDENT_DISK:
		disk_accident(accident);
		return;
	case ACCIDENT_CUTS:
		cuts.cut = 30000;
		cuts.drop = 1000000;
		network_set_faults(&cuts);
		sleep_ms(accident->down_ms);
		network_set_faults(&run.workload.network);
		return;
	case ACCIDENT_SLEEP:
		run.world.silent_until_ns = sim_now_ns() + accident->down_ms * ns_in_ms;
		fiber_sleep_until(run.world.silent_until_ns);
		return;
	case ACCIDENT_CLOCK:
		sim_step_wall_clock(accident->step_ms);
		return;
	case ACCIDENT_USER:
		user_accident();
		return;
	}
	sleep_ms(accident->down_ms);
	if (!run.world.broken[0])
		start(false);
}

/* A broker whose disk had errors may have ended by itself since. */
static void see_to_broker(void)
{
	if (broker_running())
		return;
	if (!run.workload.disk_errors)
		broken("the broker ended: %s", broker_failure() ? broker_failure() : "no word");
	start(false);
}

static void have_accidents(void)
{
	for (unsigned i = 0; i < run.workload.accident_count && !run.world.broken[0]; i++) {
		sleep_ms(run.workload.accidents[i].after_ms);
		see_to_broker();
		happen(&run.workload.accidents[i]);
	}
	sleep_ms(run.workload.last_ms);
}

/* ---- clients ---- */

static bool topics_are_made(void)
{
	return admin_has_made_topics(&run.world);
}

static void start_admin(void)
{
	struct admin_options options = {
		.deleting = run.workload.deleting,
		.harness = run.log,
		.delete_records_percent = 60,
		.alter_percent = run.workload.alters ? 30 : 0,
		.come_and_go_percent = run.workload.comes_and_goes ? 40 : 0,
	};

	admin_start(&run.admin, &run.world, "admin", &run.random, &options);
}

static void add_group(const char *name, const struct topic *topic)
{
	check(run.world.group_count < WORLD_GROUPS_MAX);
	run.world.groups[run.world.group_count].name = name;
	run.world.groups[run.world.group_count++].topic = topic;
}

static void start_groups(void)
{
	for (unsigned i = 0; i < run.workload.group_count; i++) {
		const struct group_plan *group = &run.workload.groups[i];
		add_group(group->name, run.workload.plain);
		for (unsigned j = 0; j < group->members; j++)
			member_start(&run.members[i][j], &run.world, name_of("member%u-%u", i, j),
				     &run.random, group->name, run.workload.plain, group->consumer);
	}
}

static void start_transactors(void)
{
	static const char group[] = "transactors";

	if (run.workload.transactors)
		add_group(group, run.workload.plain);
	for (unsigned i = 0; i < run.workload.transactors; i++) {
		struct transactor_options options = {
			.id = run.workload.rivals ? group : name_of("id%u", i),
			.group = group,
			.source = run.workload.plain,
			.first = run.workload.rivals ? 0 : i,
			.step = run.workload.rivals ? 1 : run.workload.transactors,
			.sink = run.workload.sink,
			.implicit = run.workload.implicit,
			.abort_percent = run.workload.abort_percent,
		};
		if (i < run.workload.plain->partitions)
			transactor_start(&run.transactors[i], &run.world,
					 name_of("transactor%u", i), &run.random, &options);
	}
}

static void start_sluice_users(void)
{
	for (unsigned i = 0; i < run.workload.sluice_user_count; i++)
		start_sluice_user(&run.workload.sluice_users[i]);
}

static void start_clients(void)
{
	for (unsigned i = 0; i < run.workload.producer_count; i++)
		producer_start(&run.producers[i], &run.world, name_of("producer%u", i), &run.random,
			       &run.workload.producers[i]);
	start_sluice_users();
	for (unsigned i = 0; i < run.workload.rude; i++)
		rude_start(&run.rude[i], &run.world, name_of("rude%u", i), &run.random);
	start_groups();
	start_transactors();
	for (unsigned i = 0; i < run.workload.readers; i++)
		reader_start(&run.readers[i], &run.world, name_of("reader%u", i), &run.random,
			     i ? READ_COMMITTED : READ_UNCOMMITTED, false);
}

static void tell_compacted(void)
{
	const struct topic *topic = run.workload.compacted;

	for (unsigned i = 0; topic && i < topic->partitions; i++)
		history_event(run.log, "gaps",
			      "\"topic\":\"%s\",\"partition\":%u,\"why\":\"compaction\"",
			      topic->name, i);
}

static void tell_dedup(void)
{
	const struct topic *topic = run.workload.dedup;

	if (topic)
		history_event(run.log, "dedup", "\"topic\":\"%s\",\"window_ms\":%lld", topic->name,
			      (long long)topic->dedup_window_ms);
}

/* ---- the end ---- */

static bool goes_on(const struct client *client)
{
	return !client->must_progress || client->idle ||
	       history_progress(client->log) > client->progress;
}

static bool all_went_on(void)
{
	for (struct client *each = run.world.first_client; each; each = each->next) {
		if (!goes_on(each))
			return false;
	}
	return true;
}

static void tell_calm(void)
{
	const char *comma = "";

	history_begin(run.log, "calm", "\"seconds\":%d,\"logs\":{",
		      CALM_SECONDS_MAX + DRAIN_SECONDS_MAX);
	for (struct client *each = run.world.first_client; each; each = each->next) {
		each->progress = history_progress(each->log);
		if (!each->must_progress)
			continue;
		history_add(run.log, "%s\"%s.jsonl\":%zu", comma, each->name,
			    history_size(each->log));
		comma = ",";
	}
	history_add(run.log, "}");
	history_end(run.log);
}

static bool is_drained(const struct client *client)
{
	return client->drains ? client->drained : client->ended || !client->must_progress;
}

static bool all_drained(void)
{
	for (struct client *each = run.world.first_client; each; each = each->next) {
		if (!is_drained(each))
			return false;
	}
	return true;
}

static bool has_ended_itself(const struct client *client)
{
	return client->ended;
}

static bool all_ended(void)
{
	for (struct client *each = run.world.first_client; each; each = each->next) {
		if (!each->ended)
			return false;
	}
	return true;
}

static void accuse(bool (*innocent)(const struct client *client), const char *what,
		   unsigned seconds)
{
	for (struct client *each = run.world.first_client; each; each = each->next) {
		if (!innocent(each))
			broken("%s %s in %u s", each->name, what, seconds);
	}
}

static bool all_producers_ended(void)
{
	for (struct client *each = run.world.first_client; each; each = each->next) {
		if (!each->drains && !is_drained(each))
			return false;
	}
	return true;
}

/* What a member asked before the last record was written is answered; it has to ask anew. */
static void forget_drained(void)
{
	sleep_ms(SETTLE_MS);
	for (struct client *each = run.world.first_client; each; each = each->next)
		each->drained = false;
}

static void drain(void)
{
	run.world.phase = PHASE_DRAIN;
	bool ended = wait_until(all_producers_ended, DRAIN_SECONDS_MAX);
	forget_drained();
	if (!ended || !wait_until(all_drained, DRAIN_SECONDS_MAX))
		accuse(is_drained, "has not come to the end", DRAIN_SECONDS_MAX);
}

static void calm(void)
{
	see_to_broker();
	if (run.workload.disk_errors) {
		kill_it(false);
		start(false);
	}
	run.world.phase = PHASE_CALM;
	tell_calm();
	if (!wait_until(all_went_on, CALM_SECONDS_MAX))
		accuse(goes_on, "does not go on", CALM_SECONDS_MAX);
}

/* What retention took away is no loss. */
static void tell_retained(void)
{
	const struct topic *topic = run.workload.retained;

	for (unsigned i = 0; topic && i < topic->partitions; i++) {
		if (topic->starts[i])
			history_event(run.log, "deleted",
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
	run.world.phase = PHASE_FINAL;
	if (!wait_until(all_ended, FINAL_SECONDS_MAX))
		accuse(has_ended_itself, "does not end", FINAL_SECONDS_MAX);
	reader_start(&run.final_readers[0], &run.world, "final-all", &run.random, READ_UNCOMMITTED,
		     true);
	reader_start(&run.final_readers[1], &run.world, "final-committed", &run.random,
		     READ_COMMITTED, true);
	if (!wait_until(all_ended, FINAL_SECONDS_MAX))
		accuse(has_ended_itself, "does not end", FINAL_SECONDS_MAX);
	if (!wait_until(nobody_is_connected, FINAL_SECONDS_MAX))
		broken("the broker keeps %u connections of clients that have left",
		       network_accepted());
}

static void *harness(void *context)
{
	start(false);
	start_admin();
	tell_dedup();
	tell_compacted();
	if (!wait_until(topics_are_made, START_SECONDS_MAX))
		broken("topics are not made in %d s", START_SECONDS_MAX);
	start_clients();
	have_accidents();
	if (!run.world.broken[0])
		calm();
	if (!run.world.broken[0])
		drain();
	history_event(run.log, "over", "\"what\":\"calm\"");
	if (!run.world.broken[0])
		read_finally();
	if (!run.world.broken[0])
		stop();
	run.done = true;
	return context;
}

static bool done(void *context)
{
	return run.done || run.world.broken[0];
}

const char *world_run(const struct world_options *options)
{
	run.random = (struct random){options->seed};
	if (options->plant && !plant_set(options->plant))
		return "there is no such plant";
	workload_draw(&run.workload, &run.world, random_split(&run.random, "workload"));
	schedule_init(random_split(&run.random, "schedule"));
	schedule_set_stalls(run.workload.stalls, 20 * ns_in_ms);
	network_init(random_split(&run.random, "network"));
	network_set_faults(&run.workload.network);
	calls_set_random(random_split(&run.random, "calls"));
	run.disk = disk_new(random_split(&run.random, "disk"));
	disk_set_faults(run.disk, &run.workload.disk);
	sim_set_disk(run.disk);
	plant_in_disk(run.disk);
	run.log = history_log_new("harness");
	run.process = process_new("harness");
	fiber_spawn(run.process, "harness", harness, NULL);
	if (!schedule_run(done, NULL))
		broken("nothing can happen any more");
	tell_retained();
	if (options->history)
		history_print(options->history);
	return run.world.broken[0] ? run.world.broken : NULL;
}
