/* What ports count, for dpdk-telemetry.py and whatever else speaks to DPDK's telemetry socket:
 *
 *     /sluice/ports             the ports' devices
 *     /sluice/port,<device>     what the port is, and the sum of its queues
 *     /sluice/queue,<device>,N  what shard N's queue counted
 *
 * The commands run on a thread of DPDK's.  A lock keeps a port from being stopped under them;
 * shards never take it. */
#include "dataplane/dpdk/port_internal.h"

#include <errno.h>
#include <rte_spinlock.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rte_spinlock_t lock = RTE_SPINLOCK_INITIALIZER;
static struct port *ports[RTE_MAX_ETHPORTS];
static bool registered;

/* The port that `parameters` begins with; *ret_rest is behind its name and a comma. */
static struct port *find(const char *parameters, const char **ret_rest)
{
	for (unsigned i = 0; parameters && i < RTE_MAX_ETHPORTS; i++) {
		if (!ports[i])
			continue;
		size_t length = strlen(ports[i]->device);
		if (strncmp(parameters, ports[i]->device, length) != 0)
			continue;
		if (parameters[length] == 0)
			*ret_rest = parameters + length;
		else if (parameters[length] == ',')
			*ret_rest = parameters + length + 1;
		else
			continue;
		return ports[i];
	}
	return NULL;
}

static void add_up(struct port_statistics *sum, const struct port_statistics *one)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)one;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void put_statistics(struct rte_tel_data *data, const struct port_statistics *statistics)
{
#define STATISTIC(name, help) rte_tel_data_add_dict_u64(data, #name, statistics->name);
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
#define DROP(name, help)                                                                           \
	rte_tel_data_add_dict_u64(data, "drop_" #name, statistics->drops[PACKET_DROP_##name]);
#include "dataplane/dpdk/packet_drops.def"
#undef DROP
}

static void put_port(struct rte_tel_data *data, const struct port *port)
{
	struct port_link link = port_link(port);
	struct rte_eth_stats device;

	rte_tel_data_add_dict_string(data, "driver", port->info.driver);
	rte_tel_data_add_dict_string(data, "link", link.up ? "up" : "down");
	rte_tel_data_add_dict_u64(data, "mtu", port->info.mtu);
	rte_tel_data_add_dict_u64(data, "queues", port->hardware_count);
	rte_tel_data_add_dict_u64(data, "shards", port->shard_count);
	rte_tel_data_add_dict_string(data, "steering",
				     port->info.steering ? "rte_flow"
				     : port->info.rss    ? "rss"
							 : "none");
	rte_tel_data_add_dict_string(data, "kernel", port->info.exception);
	if (rte_eth_stats_get(port->id, &device) < 0)
		return;
	rte_tel_data_add_dict_u64(data, "device_missed", device.imissed);
	rte_tel_data_add_dict_u64(data, "device_no_mbuf", device.rx_nombuf);
	rte_tel_data_add_dict_u64(data, "device_rx_errors", device.ierrors);
	rte_tel_data_add_dict_u64(data, "device_tx_errors", device.oerrors);
}

static int tell_ports(const char *command, const char *parameters, struct rte_tel_data *data)
{
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	rte_spinlock_lock(&lock);
	for (unsigned i = 0; i < RTE_MAX_ETHPORTS; i++) {
		if (ports[i])
			rte_tel_data_add_array_string(data, ports[i]->device);
	}
	rte_spinlock_unlock(&lock);
	return 0;
}

static int tell_port(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct port_statistics sum = {0};
	const char *rest;
	int rc = -EINVAL;

	rte_spinlock_lock(&lock);
	const struct port *port = find(parameters, &rest);
	if (port) {
		rte_tel_data_start_dict(data);
		put_port(data, port);
		for (unsigned i = 0; i < port->shard_count; i++)
			add_up(&sum, &port->queues[i].statistics);
		put_statistics(data, &sum);
		rc = 0;
	}
	rte_spinlock_unlock(&lock);
	return rc;
}

static int tell_queue(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct port_statistics one = {0};
	const char *rest = "";
	int rc = -EINVAL;

	rte_spinlock_lock(&lock);
	const struct port *port = find(parameters, &rest);
	char *end;
	unsigned long index = strtoul(rest, &end, 10);
	if (port && end != rest && *end == 0 && index < port->shard_count) {
		rte_tel_data_start_dict(data);
		add_up(&one, &port->queues[index].statistics);
		put_statistics(data, &one);
		rc = 0;
	}
	rte_spinlock_unlock(&lock);
	return rc;
}

void port_telemetry_add(struct port *port)
{
	if (!registered) {
		registered = true;
		rte_telemetry_register_cmd("/sluice/ports", tell_ports, "Ports' devices.");
		rte_telemetry_register_cmd("/sluice/port", tell_port,
					   "A port and what it counted.  Parameter: its device");
		rte_telemetry_register_cmd("/sluice/queue", tell_queue,
					   "What a shard's queue counted.  Parameters: the port's "
					   "device, the shard's number");
	}
	rte_spinlock_lock(&lock);
	ports[port->id] = port;
	rte_spinlock_unlock(&lock);
}

void port_telemetry_remove(struct port *port)
{
	rte_spinlock_lock(&lock);
	if (ports[port->id] == port)
		ports[port->id] = NULL;
	rte_spinlock_unlock(&lock);
}
