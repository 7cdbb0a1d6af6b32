#include "tests/sim/accidents.h"

#include "tests/sim/harness.h"
#include "tests/sim/rot.h"

enum {
	START_SECONDS_MAX = 60, /* simulated */
	START_MS = 120,         /* about what it takes */
	READ_MS_MAX = 500,
};

static const uint64_t ns_in_ms = 1000000;

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
	history_event(harness.log, "broker", "\"what\":\"%s\"", what);
}

void stop_broker(void)
{
	tell_broker("stopped");
	broker_stop();
	if (!wait_until(has_ended, START_SECONDS_MAX))
		broken("the broker does not end");
}

void kill_broker(bool power)
{
	tell_broker(power ? "power cut" : "killed");
	broker_kill();
	if (power)
		disk_power_cut(harness.disk);
}

void start_broker(bool may_fail)
{
	tell_broker("started");
	broker_start(&harness.workload.broker);
	bool told = wait_until(is_ready_or_ended, START_SECONDS_MAX);
	if (broker_ready() || may_fail)
		return;
	if (!told)
		broken("the broker is not ready in %d s", START_SECONDS_MAX);
	else
		broken("the broker does not start: %s", broker_failure());
}

/* ---- accidents ---- */

static void disk_accident(const struct accident *accident)
{
	struct disk_faults faults = accident->disk;

	if (faults.room_bytes)
		faults.room_bytes += disk_used_bytes(harness.disk);
	disk_set_faults(harness.disk, &faults);
	sleep_ms(accident->down_ms);
	if (broker_running() && !random_chance(&harness.random, 500000)) {
		disk_set_faults(harness.disk, &harness.workload.disk);
		return;
	}
	if (broker_running())
		kill_broker(random_chance(&harness.random, 500000));
	start_broker(true);
	disk_set_faults(harness.disk, &harness.workload.disk);
	if (!broker_ready() && broker_running())
		kill_broker(false);
	if (!broker_running())
		start_broker(false);
}

/* Wherever it is: it may not even have opened its folder, or be ready already. */
static void crash_while_it_starts(bool power)
{
	tell_broker("started");
	broker_start(&harness.workload.broker);
	sleep_ms(random_below(&harness.random, START_MS));
	kill_broker(power);
}

/* What is read before it is flushed is lost in the next moment, or never. */
static void wait_for_read(void)
{
	waiting_block(&harness.world.early_read, sim_now_ns() + READ_MS_MAX * ns_in_ms);
}

static void happen(const struct accident *accident)
{
	struct network_faults cuts = harness.workload.network;

	switch (accident->kind) {
	case ACCIDENT_STOP:
		stop_broker();
		break;
	case ACCIDENT_KILL:
	case ACCIDENT_POWER:
		if (accident->behind_read)
			wait_for_read();
		kill_broker(accident->kind == ACCIDENT_POWER);
		break;
	case ACCIDENT_DISK:
		disk_accident(accident);
		return;
	case ACCIDENT_CUTS:
		cuts.cut = 30000;
		cuts.drop = 1000000;
		network_set_faults(&cuts);
		sleep_ms(accident->down_ms);
		network_set_faults(&harness.workload.network);
		return;
	case ACCIDENT_SLEEP:
		harness.world.silent_until_ns = sim_now_ns() + accident->down_ms * ns_in_ms;
		fiber_sleep_until(harness.world.silent_until_ns);
		return;
	case ACCIDENT_CLOCK:
		sim_step_wall_clock(accident->step_ms);
		return;
	case ACCIDENT_ROT:
		rot_some();
		return;
	case ACCIDENT_USER:
		replace_sluice_user();
		return;
	}
	sleep_ms(accident->down_ms);
	if (harness.workload.rotting && random_chance(&harness.random, 300000))
		rot_some();
	while (random_chance(&harness.random, harness.workload.crashes_while_starting))
		crash_while_it_starts(accident->kind == ACCIDENT_POWER);
	if (!harness.world.broken[0])
		start_broker(false);
}

void see_to_broker(void)
{
	if (broker_running())
		return;
	if (!harness.workload.disk_errors)
		broken("the broker ended: %s", broker_failure() ? broker_failure() : "no word");
	start_broker(false);
}

void have_accidents(void)
{
	for (unsigned i = 0; i < harness.workload.accident_count && !harness.world.broken[0]; i++) {
		sleep_ms(harness.workload.accidents[i].after_ms);
		see_to_broker();
		happen(&harness.workload.accidents[i]);
	}
	sleep_ms(harness.workload.last_ms);
}
