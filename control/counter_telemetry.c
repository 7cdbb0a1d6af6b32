/* For dpdk-telemetry.py and whatever else speaks to that socket:
 *
 *     /sluice/counters   every counter, of all shards together, a second old at most */
#include "control/counter_telemetry.h"

#include "control/broker_picture.h"

#include <errno.h>
#include <rte_telemetry.h>

static int tell(const char *command, const char *parameters, struct rte_tel_data *data)
{
	const struct broker_picture *picture = broker_picture_take();

	(void)command;
	(void)parameters;
	if (picture) {
		rte_tel_data_start_dict(data);
#define COUNTER(name, help) rte_tel_data_add_dict_u64(data, #name, picture->sums.name);
#include "dataplane/counters.def"
#undef COUNTER
	}
	broker_picture_put_back(picture);
	return picture ? 0 : -EAGAIN;
}

void counter_telemetry_start(void)
{
	rte_telemetry_register_cmd("/sluice/counters", tell,
				   "What the shards count, all of them together.  No parameters");
}
