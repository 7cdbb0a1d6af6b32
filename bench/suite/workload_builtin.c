/* The workloads that need no file; README.md says what each of them answers.
 *
 * A small host finishes one in twelve seconds.  Rates are such that a broker on one core keeps up;
 * what a larger host does is asked with --set producerRate=... */
#include "bench/suite/workload.h"

#include "base/bytes.h"
#include "base/nearest.h"

/* What all of them have. */
#define COMMON .topics = 1, .random_bytes_share = 1, .duration_ms = 10000, .compression = "none"

#define WARMED .warm_up_ms = 2000

/* Records of 1 KiB over partitions that spread: what most ask of a log. */
#define ORDINARY COMMON, .message_bytes = 1024, .partitions_per_topic = 16, .acks = DRIVER_ACKS_ALL

/* A record leaves when it is due: a microsecond is less than any library waits. */
#define AT_ONCE .linger_us = 1

#define ONE_READER .subscriptions_per_topic = 1, .consumers_per_subscription = 1

static const struct workload workloads[] = {
	{
		ORDINARY,
		WARMED,
		.name = "produce",
		.help = "How much can be stored: records as fast as two producers can",
		.producers_per_topic = 2,
		.consumers_per_subscription = 1,
		.window = 10000,
	},
	{
		ORDINARY,
		ONE_READER,
		.name = "consume",
		.help = "How fast a backlog is read: it is stored first, then read to its end",
		.producers_per_topic = 2,
		.backlog_bytes = 1 << 30,
		.window = 10000,
	},
	{
		ORDINARY,
		WARMED,
		AT_ONCE,
		ONE_READER,
		.name = "latency",
		.help = "How long a record takes to its reader, at a rate that leaves room",
		.producers_per_topic = 1,
		.producer_rate = 2000,
	},
	{
		ORDINARY,
		WARMED,
		.name = "mixed",
		.help = "Writing and reading at once: two producers, two subscriptions",
		.producers_per_topic = 2,
		.subscriptions_per_topic = 2,
		.consumers_per_subscription = 1,
		.producer_rate = 20000,
	},
	{
		COMMON,
		WARMED,
		ONE_READER,
		.name = "many-partitions",
		.help = "What a thousand partitions cost: records spread over all of them",
		.message_bytes = 1024,
		.partitions_per_topic = 1000,
		.acks = DRIVER_ACKS_ALL,
		.producers_per_topic = 2,
		.producer_rate = 10000,
	},
	{
		ORDINARY,
		WARMED,
		AT_ONCE,
		ONE_READER,
		.name = "many-connections",
		.help = "What connections cost that do nothing: a thousand beside a steady load",
		.producers_per_topic = 1,
		.producer_rate = 2000,
		.idle_connections = 1000,
	},
	{
		ORDINARY,
		AT_ONCE,
		ONE_READER,
		.name = "catch-up-beside-tail",
		.help = "Does one who catches up disturb those who read what comes?",
		.producers_per_topic = 1,
		.producer_rate = 2000,
		.backlog_bytes = 1 << 30,
		.tail_consumers = 1,
	},
	{
		ORDINARY,
		WARMED,
		AT_ONCE,
		.name = "rebalance",
		.help = "What readers of a group feel when a member leaves and comes back",
		.producers_per_topic = 1,
		.subscriptions_per_topic = 1,
		.consumers_per_subscription = 3,
		.producer_rate = 2000,
		.grouped = true,
		.rebalance_ms = 3000,
	},
	{
		ORDINARY,
		WARMED,
		.name = "dedup-on",
		.help = "Produce where records have ids that the topic remembers; see dedup-off",
		.producers_per_topic = 2,
		.consumers_per_subscription = 1,
		.window = 10000,
		.dedup = true,
	},
	{
		ORDINARY,
		WARMED,
		.name = "dedup-off",
		.help = "The same without ids, for comparison with dedup-on",
		.producers_per_topic = 2,
		.consumers_per_subscription = 1,
		.window = 10000,
	},
	{
		COMMON,
		WARMED,
		AT_ONCE,
		.name = "transport",
		.help = "Small records one by one: what the way there costs, by tcp://, udp://, dpdk:",
		.message_bytes = 100,
		.partitions_per_topic = 1,
		.acks = DRIVER_ACKS_ONE, /* no flush is to hide it */
		.producers_per_topic = 1,
		.consumers_per_subscription = 1,
		.producer_rate = 1000,
	},
};

const struct workload *workload_at(size_t index)
{
	return index < array_count(workloads) ? &workloads[index] : NULL;
}

const char *workload_nearest(const char *name)
{
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < array_count(workloads); i++)
		nearest_offer(&nearest, workloads[i].name);
	return nearest.name;
}
