/* From pictures to text.
 *
 *     shard_counters, meters ─┐
 *     mesh, port             ─┴─ broker_picture ─┐
 *     groups ──────────────────── lag_picture    ├─ metrics_write ── text
 *     dedup windows ───────────── dedup_picture ─┘
 */
#include "control/http/metrics.h"

#include "base/bytes.h"
#include "control/broker_picture.h"
#include "control/http/metrics_internal.h"

#include <assert.h>
#include <string.h>

#define TRANSPORT_NAME(name) "sluice_transport_" #name "_total"
#define QUEUE_NAME(name) "sluice_port_queue_" #name "_total"

/* Those of the transport and of the port's queues follow those of metrics.def. */
static const struct metric_family families[] = {
#define METRIC(id, kind, name, labels, help) {name, METRIC_##kind, labels, help},
#define SUM(field, kind, name, help) {name, METRIC_##kind, "", help},
#define EACH(field, kind, name, help) {name, METRIC_##kind, "shard", help},
#include "control/http/metrics.def"
#undef METRIC
#undef SUM
#undef EACH
#define STATISTIC(name, help) {TRANSPORT_NAME(name), METRIC_COUNTER, "", help},
#include "dataplane/transport/statistics.def"
#undef STATISTIC
#define STATISTIC(name, help) {QUEUE_NAME(name), METRIC_COUNTER, "port shard", help},
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
};

enum {
#define STATISTIC(name, help) +1
	TRANSPORT_COUNT = 0
#include "dataplane/transport/statistics.def"
	,
	QUEUE_COUNT = 0
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
};
static_assert(sizeof(struct transport_statistics) == TRANSPORT_COUNT * sizeof(uint64_t),
	      "walked as an array");
static_assert(array_count(families) == METRIC_COUNT + TRANSPORT_COUNT + QUEUE_COUNT, "all");

/* No counter of a shard is forgotten, and none is there twice. */
enum {
#define METRIC(id, kind, name, labels, help)
#define SUM(field, kind, name, help) EXPORTED_##field,
#define EACH(field, kind, name, help) EXPORTED_##field,
#include "control/http/metrics.def"
#undef METRIC
#undef SUM
#undef EACH
	EXPORTED_COUNT
};
static_assert(EXPORTED_COUNT == sizeof(struct shard_counters) / sizeof(uint64_t),
	      "a row of metrics.def for each of counters.def");

const struct metric_family *metrics_families(size_t *ret_count)
{
	*ret_count = array_count(families);
	return families;
}

void metrics_begin_family(struct exposition *exposition, enum metric_index index)
{
	exposition_family(exposition, &families[index]);
}

struct number_text {
	char text[24];
};

static struct number_text text_of(unsigned number)
{
	struct number_text text;

	snprintf(text.text, sizeof(text.text), "%u", number);
	return text;
}

/* ---- what shards count ---- */

static void write_value(struct exposition *exposition, const struct label *labels,
			enum metric_index index, uint64_t value)
{
	if (index == METRIC_busy_ns)
		exposition_ns(exposition, labels, value);
	else
		exposition_count(exposition, labels, value);
}

static void write_each(struct exposition *exposition, const struct broker_picture *picture,
		       enum metric_index index, size_t field_offset)
{
	metrics_begin_family(exposition, index);
	for (unsigned i = 0; i < picture->shard_count; i++) {
		struct number_text shard = text_of(i);
		uint64_t value;
		memcpy(&value, (const char *)&picture->shards[i].counters + field_offset,
		       sizeof(value));
		write_value(exposition, LABELS({"shard", shard.text}), index, value);
	}
}

static void write_counters(struct exposition *exposition, const struct broker_picture *picture)
{
#define METRIC(id, kind, name, labels, help)
#define SUM(field, kind, name, help)                                                               \
	metrics_begin_family(exposition, METRIC_##field);                                          \
	write_value(exposition, NO_LABELS, METRIC_##field, picture->sums.field);
#define EACH(field, kind, name, help)                                                              \
	write_each(exposition, picture, METRIC_##field, offsetof(struct shard_counters, field));
#include "control/http/metrics.def"
#undef METRIC
#undef SUM
#undef EACH
}

/* ---- requests ---- */

static void write_apis(struct exposition *exposition, const struct broker_picture *picture)
{
	metrics_begin_family(exposition, METRIC_DURATION);
	for (size_t i = 0; i < KAFKA_API_COUNT; i++) {
		const struct histogram *answered = &picture->apis[i].answered;
		if (histogram_count(answered))
			exposition_histogram(exposition, LABELS({"api", kafka_apis[i].name}),
					     answered);
	}
	metrics_begin_family(exposition, METRIC_ERRORS);
	for (size_t i = 0; i < KAFKA_API_COUNT; i++) {
		if (histogram_count(&picture->apis[i].answered))
			exposition_count(exposition, LABELS({"api", kafka_apis[i].name}),
					 picture->apis[i].errors);
	}
}

/* ---- the mesh ---- */

struct thread_name {
	char text[24];
};

static unsigned thread_count(const struct broker_picture *picture)
{
	return picture->shard_count + OTHER_THREADS;
}

static const struct mesh_stats *mesh_of(const struct broker_picture *picture, unsigned thread)
{
	return thread < picture->shard_count ? &picture->shards[thread].mesh
					     : &picture->others[thread - picture->shard_count];
}

static struct thread_name name_of(const struct broker_picture *picture, unsigned thread)
{
	static const char *const others[] = {"background", "coordinator", "control"};
	struct thread_name name;

	if (thread < picture->shard_count)
		snprintf(name.text, sizeof(name.text), "shard%u", thread);
	else
		snprintf(name.text, sizeof(name.text), "%s", others[thread - picture->shard_count]);
	return name;
}

static double mesh_value(const struct mesh_stats *stats, enum metric_index index)
{
	switch ((int)index) {
	case METRIC_MESH_SENT:
		return (double)stats->sent;
	case METRIC_MESH_RECEIVED:
		return (double)stats->received;
	case METRIC_MESH_FULL:
		return (double)stats->full;
	case METRIC_MESH_WAITING:
		return stats->waiting;
	default:
		return (double)stats->fullest / mesh_ring_slots();
	}
}

static void write_mesh(struct exposition *exposition, const struct broker_picture *picture)
{
	static const enum metric_index indices[] = {METRIC_MESH_SENT, METRIC_MESH_RECEIVED,
						    METRIC_MESH_FULL, METRIC_MESH_WAITING,
						    METRIC_MESH_FULLEST};

	for (size_t i = 0; i < array_count(indices); i++) {
		metrics_begin_family(exposition, indices[i]);
		for (unsigned thread = 0; thread < thread_count(picture); thread++) {
			struct thread_name name = name_of(picture, thread);
			exposition_number(exposition, LABELS({"thread", name.text}),
					  mesh_value(mesh_of(picture, thread), indices[i]));
		}
	}
}

/* ---- datagrams ---- */

static void write_transport(struct exposition *exposition, const struct broker_picture *picture)
{
	const uint64_t *values = (const uint64_t *)&picture->datagrams;

	for (size_t i = 0; i < TRANSPORT_COUNT; i++) {
		exposition_family(exposition, &families[METRIC_COUNT + i]);
		exposition_count(exposition, NO_LABELS, values[i]);
	}
}

static void write_device(struct exposition *exposition, const struct port_picture *port)
{
	const struct {
		enum metric_index index;
		uint64_t value;
	} rows[] = {
		{METRIC_PORT_UP, port->link.up},
		{METRIC_PORT_RECEIVED, port->all.received},
		{METRIC_PORT_RECEIVED_BYTES, port->all.received_bytes},
		{METRIC_PORT_SENT, port->all.sent},
		{METRIC_PORT_SENT_BYTES, port->all.sent_bytes},
		{METRIC_PORT_MISSED, port->all.missed},
		{METRIC_PORT_NO_MBUF, port->all.no_mbuf},
		{METRIC_PORT_RECEIVE_ERRORS, port->all.receive_errors},
		{METRIC_PORT_SEND_ERRORS, port->all.send_errors},
	};

	for (size_t i = 0; i < array_count(rows); i++) {
		metrics_begin_family(exposition, rows[i].index);
		exposition_count(exposition, LABELS({"port", port->device}), rows[i].value);
	}
}

static void write_drops(struct exposition *exposition, const struct broker_picture *picture)
{
	static const char *const reasons[] = {
#define DROP(name, help) [PACKET_DROP_##name] = #name,
#include "dataplane/dpdk/packet_drops.def"
#undef DROP
	};

	metrics_begin_family(exposition, METRIC_PORT_DROPS);
	for (size_t i = 0; i < array_count(reasons); i++) {
		uint64_t sum = 0;
		for (unsigned shard = 0; shard < picture->shard_count; shard++)
			sum += picture->shards[shard].port.drops[i];
		if (reasons[i])
			exposition_count(
				exposition,
				LABELS({"port", picture->port.device}, {"reason", reasons[i]}),
				sum);
	}
}

static void write_queues(struct exposition *exposition, const struct broker_picture *picture)
{
	for (size_t i = 0; i < QUEUE_COUNT; i++) {
		exposition_family(exposition, &families[METRIC_COUNT + TRANSPORT_COUNT + i]);
		for (unsigned shard = 0; shard < picture->shard_count; shard++) {
			const uint64_t *values = (const uint64_t *)&picture->shards[shard].port;
			struct number_text number = text_of(shard);
			exposition_count(
				exposition,
				LABELS({"port", picture->port.device}, {"shard", number.text}),
				values[i]);
		}
	}
}

/* ---- all of it ---- */

static void write_broker(struct exposition *exposition, const struct broker_picture *picture)
{
	metrics_begin_family(exposition, METRIC_TOPICS);
	exposition_count(exposition, NO_LABELS, picture->topics);
	metrics_begin_family(exposition, METRIC_PARTITIONS);
	exposition_count(exposition, NO_LABELS, (uint64_t)picture->partitions);
	metrics_begin_family(exposition, METRIC_SHARDS);
	exposition_count(exposition, NO_LABELS, picture->shard_count);
	write_apis(exposition, picture);
	write_counters(exposition, picture);
	metrics_begin_family(exposition, METRIC_COMMITS);
	exposition_histogram(exposition, NO_LABELS, &picture->commits);
	write_mesh(exposition, picture);
	write_transport(exposition, picture);
	if (picture->port.device[0]) {
		write_device(exposition, &picture->port);
		write_drops(exposition, picture);
		write_queues(exposition, picture);
	}
}

int metrics_write(const struct metrics_sources *sources, char **ret, size_t *ret_bytes)
{
	struct exposition exposition;
	int rc = exposition_begin(&exposition);

	if (rc < 0)
		return rc;
	metrics_begin_family(&exposition, METRIC_BUILD);
	exposition_count(&exposition,
			 LABELS({"version", sources->version},
				{"io", sources->broker ? sources->broker->io : "none"}),
			 1);
	metrics_write_process(&exposition);
	if (sources->broker)
		write_broker(&exposition, sources->broker);
	if (sources->lag)
		metrics_write_lag(&exposition, sources->lag);
	if (sources->dedup)
		metrics_write_dedup(&exposition, sources->dedup);
	return exposition_end(&exposition, ret, ret_bytes);
}
