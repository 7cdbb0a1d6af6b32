#include "control/broker_picture.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/control_internal.h"
#include "control/telemetry_slot.h"

#include <stdlib.h>

static struct telemetry_slot slot = {.free = free};

static void add_counters(struct shard_counters *sums, const struct shard_counters *one)
{
#define COUNTER(name, help) sums->name += counter_read(&one->name);
#include "dataplane/counters.def"
#undef COUNTER
}

static void add_meters(struct broker_picture *picture, const struct shard_meters *meters)
{
	for (size_t i = 0; i < KAFKA_API_COUNT; i++) {
		histogram_add(&picture->apis[i].answered, &meters->apis[i].answered);
		picture->apis[i].errors += counter_read(&meters->apis[i].errors);
	}
	histogram_add(&picture->commits, &meters->commits);
#define STATISTIC(name, help) picture->datagrams.name += counter_read(&meters->datagrams.name);
#include "dataplane/transport/statistics.def"
#undef STATISTIC
}

static void copy_queue(struct port_statistics *to, const struct port_statistics *from)
{
#define STATISTIC(name, help) to->name = counter_read(&from->name);
#include "dataplane/dpdk/port_statistics.def"
#undef STATISTIC
	for (size_t i = 0; i < PACKET_DROPS; i++)
		to->drops[i] = counter_read(&from->drops[i]);
}

static void draw_shard(const struct control *control, unsigned shard,
		       struct broker_picture *picture)
{
	struct shard_picture *row = &picture->shards[shard];

	add_counters(&row->counters, shard_counters(control->shards[shard]));
	add_counters(&picture->sums, &row->counters);
	add_meters(picture, shard_meters(control->shards[shard]));
	mesh_stats(control->mesh, shard, &row->mesh);
	if (control->port)
		copy_queue(&row->port, port_queue_statistics(port_queue(control->port, shard)));
}

static void draw_port(const struct control *control, struct port_picture *port)
{
	if (!control->port)
		return;
	port_device_name(control->port, port->device, sizeof(port->device));
	port->link = port_link(control->port);
	port_device_statistics(control->port, &port->all);
}

/* Null: no memory. */
static struct broker_picture *draw(const struct control *control)
{
	unsigned count = control->shards_started;
	struct broker_picture *picture =
		calloc(1, sizeof(*picture) + count * sizeof(picture->shards[0]));

	if (!picture)
		return NULL;
	picture->topics = catalog_topic_count(control->catalog);
	picture->partitions = catalog_partition_count(control->catalog);
	picture->io = shard_backend_name(control->shards[0]);
	picture->shard_count = count;
	for (unsigned i = 0; i < count; i++)
		draw_shard(control, i, picture);
	mesh_stats(control->mesh, mesh_background(control->mesh),
		   &picture->others[OTHER_BACKGROUND]);
	mesh_stats(control->mesh, mesh_coordinator(control->mesh),
		   &picture->others[OTHER_COORDINATOR]);
	mesh_stats(control->mesh, mesh_control(control->mesh), &picture->others[OTHER_CONTROL]);
	draw_port(control, &picture->port);
	return picture;
}

bool pictures_wanted(const struct config *config)
{
	return config->dpdk_telemetry || admin_wanted(config);
}

static void measure_busy(struct control *control, struct broker_picture *picture, uint64_t past_ns)
{
	for (unsigned i = 0; i < picture->shard_count; i++) {
		uint64_t busy_ns = picture->shards[i].counters.busy_ns;
		double share = (double)(busy_ns - control->busy_ns[i]) / (double)past_ns;
		if (control->busy_ns[i])
			picture->shards[i].busy_share = share < 1 ? share : 1;
		control->busy_ns[i] = busy_ns;
	}
}

void broker_picture_turn(struct control *control)
{
	uint64_t now_ns = clock_monotonic_ns(clock_system());

	if (!pictures_wanted(control->config) || now_ns < control->picture_next_ns)
		return;
	control->picture_next_ns = now_ns + NS_PER_SECOND;
	struct broker_picture *picture = draw(control);
	if (!picture)
		return;
	picture->drawn_ns = now_ns;
	measure_busy(control, picture, now_ns - control->picture_ns);
	control->picture_ns = now_ns;
	telemetry_slot_publish(&slot, picture);
}

void broker_picture_end(void)
{
	telemetry_slot_publish(&slot, NULL);
}

const struct broker_picture *broker_picture_take(void)
{
	return telemetry_slot_take(&slot);
}

void broker_picture_put_back(const struct broker_picture *picture)
{
	telemetry_slot_put_back(&slot, (void *)(uintptr_t)picture);
}
