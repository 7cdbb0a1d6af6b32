/* For dpdk-telemetry.py and whatever else speaks to that socket:
 *
 *     /sluice/counters   every counter, of all shards together, a second old at most */
#include "control/counter_telemetry.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/control_internal.h"
#include "control/telemetry_slot.h"
#include "dataplane/shard.h"

#include <errno.h>
#include <rte_telemetry.h>
#include <stdlib.h>

static struct telemetry_slot slot = {.free = free};

static int tell(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct shard_counters *sums = telemetry_slot_take(&slot);

	(void)command;
	(void)parameters;
	if (sums) {
		rte_tel_data_start_dict(data);
#define COUNTER(name, help) rte_tel_data_add_dict_u64(data, #name, sums->name);
#include "dataplane/counters.def"
#undef COUNTER
	}
	telemetry_slot_put_back(&slot, sums);
	return sums ? 0 : -EAGAIN;
}

void counter_telemetry_start(void)
{
	rte_telemetry_register_cmd("/sluice/counters", tell,
				   "What the shards count, all of them together.  No parameters");
}

static void add(struct shard_counters *sums, const struct shard_counters *of_shard)
{
#define COUNTER(name, help) sums->name += __atomic_load_n(&of_shard->name, __ATOMIC_RELAXED);
#include "dataplane/counters.def"
#undef COUNTER
}

void counter_telemetry_turn(struct control *control)
{
	uint64_t now_ns = clock_monotonic_ns(clock_system());

	if (!control->config->dpdk_telemetry || now_ns < control->counters_next_ns)
		return;
	control->counters_next_ns = now_ns + NS_PER_SECOND;
	struct shard_counters *sums = calloc(1, sizeof(*sums));
	if (!sums)
		return;
	for (unsigned i = 0; i < control->shards_started; i++)
		add(sums, shard_counters(control->shards[i]));
	telemetry_slot_publish(&slot, sums);
}

void counter_telemetry_end(void)
{
	telemetry_slot_publish(&slot, NULL);
}
