/* What every partition holds, asked of the shards in rounds; only while somebody could look.
 *
 *     idle ──time──> a picture without values ──┬─> shard 0: 64 rows, back, the next 64, ...
 *                                               └─> shard N: likewise
 *                    all rows back ──> published, idle
 */
#include "control/usage_picture.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "control/broker_picture.h"
#include "control/control_internal.h"
#include "control/telemetry_slot.h"
#include "dataplane/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_NS (10 * NS_PER_SECOND)

struct usage_ask {
	struct shard_usage asked;
	struct shard_usage_row **end; /* of the shard's rows */
	unsigned shard;
};

struct usage_stats {
	uint64_t next_ns;
	unsigned asks_out;
	struct usage_picture *picture; /* being drawn; null: idle */
	struct shard_usage_row **rows; /* its rows, by shard */
	struct usage_ask asks[];       /* one a shard */
};

static struct telemetry_slot slot = {.free = free};

int usage_stats_start(struct control *control)
{
	if (!pictures_wanted(control->config))
		return 0;
	control->usage_stats = calloc(1, sizeof(*control->usage_stats) +
						 control->shard_count * sizeof(struct usage_ask));
	return control->usage_stats ? 0 : -ENOMEM;
}

void usage_stats_free(struct control *control)
{
	telemetry_slot_publish(&slot, NULL);
	if (!control->usage_stats)
		return;
	free(control->usage_stats->picture);
	free(control->usage_stats->rows);
	free(control->usage_stats);
}

/* ---- the picture ---- */

static void draw_topic(struct usage_picture *picture, const struct topic *topic)
{
	struct usage_topic *to = &picture->topics[picture->topic_count++];

	memcpy(to->name, topic->name, sizeof(to->name));
	to->first = picture->row_count;
	to->count = (size_t)topic->partition_count;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		struct shard_usage_row *row = &picture->rows[picture->row_count++];
		row->topic_number = topic->number;
		row->partition = i;
	}
}

/* Without values; null: no memory. */
static struct usage_picture *picture_of(const struct topics *topics)
{
	size_t rows = 0;

	for (size_t i = 0; i < topics->count; i++)
		rows += (size_t)topics->by_name[i]->partition_count;
	struct usage_picture *picture = calloc(1,
					       sizeof(*picture) + rows * sizeof(picture->rows[0]) +
						       topics->count * sizeof(picture->topics[0]));
	if (!picture)
		return NULL;
	picture->topics = (struct usage_topic *)&picture->rows[rows];
	for (size_t i = 0; i < topics->count; i++)
		draw_topic(picture, topics->by_name[i]);
	return picture;
}

static unsigned shard_of(const struct control *control, const struct shard_usage_row *row)
{
	const struct topic topic = {.number = row->topic_number};

	return partition_shard(&topic, row->partition, control->shard_count);
}

/* Each shard's rows side by side, and each ask at the first of its own. */
static void sort_rows(const struct control *control, struct usage_stats *stats)
{
	struct shard_usage_row **at = stats->rows;

	for (unsigned shard = 0; shard < control->shard_count; shard++) {
		struct usage_ask *ask = &stats->asks[shard];
		ask->shard = shard;
		ask->asked.rows = at;
		ask->asked.count = 0;
		for (size_t i = 0; i < stats->picture->row_count; i++) {
			if (shard_of(control, &stats->picture->rows[i]) == shard)
				*at++ = &stats->picture->rows[i];
		}
		ask->end = at;
	}
}

/* ---- asking ---- */

static void finish(struct usage_stats *stats)
{
	struct usage_picture *picture = stats->picture;

	free(stats->rows);
	stats->rows = NULL;
	stats->picture = NULL;
	telemetry_slot_publish(&slot, picture);
}

static void came_back(struct message *message, void *receiver);

/* The next rows; none are left, or the broker stops: the shard is done. */
static void ask_on(struct control *control, struct usage_ask *ask)
{
	struct usage_stats *stats = control->usage_stats;
	struct shard_usage_row **rows = ask->asked.rows + ask->asked.count;
	size_t left = (size_t)(ask->end - rows);

	if (!left || control->stopping) {
		if (--stats->asks_out == 0)
			finish(stats);
		return;
	}
	ask->asked = (struct shard_usage){
		.message.handle = shard_usage_handle,
		.done = came_back,
		.sender = mesh_control(control->mesh),
		.count = left < SHARD_USAGE_ROWS_MAX ? left : SHARD_USAGE_ROWS_MAX,
		.rows = rows,
	};
	mesh_send(control->mesh, mesh_control(control->mesh), ask->shard, &ask->asked.message);
}

static void came_back(struct message *message, void *receiver)
{
	struct shard_usage *asked = container_of(message, struct shard_usage, message);

	ask_on(receiver, container_of(asked, struct usage_ask, asked));
}

void usage_stats_turn(struct control *control)
{
	struct usage_stats *stats = control->usage_stats;
	uint64_t now_ns = clock_monotonic_ns(clock_system());

	if (!stats || stats->picture || now_ns < stats->next_ns)
		return;
	stats->next_ns = now_ns + EVERY_NS;
	stats->picture = picture_of(control->current);
	if (!stats->picture)
		return;
	stats->rows = calloc(stats->picture->row_count + 1, sizeof(struct shard_usage_row *));
	if (!stats->rows) {
		free(stats->picture);
		stats->picture = NULL;
		return;
	}
	sort_rows(control, stats);
	stats->asks_out = control->shard_count;
	for (unsigned i = 0; i < control->shard_count; i++)
		ask_on(control, &stats->asks[i]);
}

const struct usage_picture *usage_picture_take(void)
{
	return telemetry_slot_take(&slot);
}

void usage_picture_put_back(const struct usage_picture *picture)
{
	telemetry_slot_put_back(&slot, (void *)(uintptr_t)picture);
}
