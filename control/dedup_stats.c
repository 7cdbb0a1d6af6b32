/* What the topics' dedup windows hold, asked of the shards every few seconds and shown on DPDK's
 * telemetry socket and in /metrics; only while somebody could look at it.
 *
 *     idle ──time──> a copy of the rows to every shard ──all back──> sums ──> picture, idle */
#include "control/control_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/broker_picture.h"
#include "control/dedup_telemetry.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_NS (5 * NS_PER_SECOND)

struct dedup_stats {
	uint64_t next_ns;
	unsigned asks_out;
	struct dedup_picture *picture;   /* being drawn; null: idle */
	struct shard_dedup_topic *parts; /* a row of the picture for each shard */
	struct shard_dedup asks[];       /* one a shard */
};

int dedup_stats_start(struct control *control)
{
	if (!pictures_wanted(control->config))
		return 0;
	control->dedup_stats = calloc(1, sizeof(*control->dedup_stats) +
						 control->shard_count * sizeof(struct shard_dedup));
	if (!control->dedup_stats)
		return -ENOMEM;
	dedup_telemetry_start();
	return 0;
}

void dedup_stats_free(struct control *control)
{
	if (!control->dedup_stats)
		return;
	dedup_telemetry_publish(NULL);
	free(control->dedup_stats->picture);
	free(control->dedup_stats->parts);
	free(control->dedup_stats);
}

/* Topics with a window, with nothing in it; null: no memory. */
static struct dedup_picture *picture_of(const struct topics *topics)
{
	struct dedup_picture *picture =
		calloc(1, sizeof(*picture) + topics->count * sizeof(picture->rows[0]));

	if (!picture)
		return NULL;
	for (size_t i = 0; i < topics->count; i++) {
		const struct topic *topic = topics->by_name[i];
		if (!topic->config.log.dedup.enabled)
			continue;
		struct dedup_row *row = &picture->rows[picture->count++];
		memcpy(row->topic, topic->name, sizeof(row->topic));
		row->sums.number = topic->number;
		row->sums.partition_count = topic->partition_count;
	}
	return picture;
}

static void all_back(struct dedup_stats *stats, unsigned shard_count)
{
	struct dedup_picture *picture = stats->picture;

	for (unsigned s = 0; s < shard_count; s++) {
		for (size_t i = 0; i < picture->count; i++) {
			const struct shard_dedup_topic *part = &stats->asks[s].topics[i];
			shard_dedup_add(&picture->rows[i].sums, &part->all, part->partitions);
		}
	}
	free(stats->parts);
	stats->parts = NULL;
	stats->picture = NULL;
	dedup_telemetry_publish(picture);
}

static void came_back(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	if (--control->dedup_stats->asks_out == 0)
		all_back(control->dedup_stats, control->shard_count);
}

static void ask(struct control *control, unsigned shard)
{
	struct dedup_stats *stats = control->dedup_stats;
	size_t count = stats->picture->count;
	struct shard_dedup_topic *topics = stats->parts + shard * count;

	for (size_t i = 0; i < count; i++)
		topics[i] = stats->picture->rows[i].sums;
	stats->asks[shard] = (struct shard_dedup){
		.message.handle = shard_dedup_handle,
		.done = came_back,
		.sender = mesh_control(control->mesh),
		.count = count,
		.topics = topics,
	};
	stats->asks_out++;
	mesh_send(control->mesh, mesh_control(control->mesh), shard, &stats->asks[shard].message);
}

void dedup_stats_turn(struct control *control)
{
	struct dedup_stats *stats = control->dedup_stats;
	uint64_t now_ns = clock_monotonic_ns(clock_system());

	if (!stats || stats->asks_out || now_ns < stats->next_ns)
		return;
	stats->next_ns = now_ns + EVERY_NS;
	stats->picture = picture_of(control->current);
	if (!stats->picture)
		return;
	stats->parts = calloc(control->shard_count * stats->picture->count + 1,
			      sizeof(*stats->parts));
	if (!stats->parts) {
		free(stats->picture);
		stats->picture = NULL;
		return;
	}
	for (unsigned i = 0; i < control->shard_count; i++)
		ask(control, i);
}
