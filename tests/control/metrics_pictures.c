#include "tests/control/metrics_pictures.h"

#include "base/check.h"
#include "control/broker_picture.h"
#include "control/dedup_telemetry.h"
#include "control/groups/lag.h"
#include "control/usage_picture.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHARDS = 2 };

static void fill(void *numbers, size_t bytes, uint64_t first)
{
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)numbers)[i] = first + i;
}

static struct broker_picture *broker_new(void)
{
	struct broker_picture *picture =
		calloc(1, sizeof(*picture) + SHARDS * sizeof(picture->shards[0]));

	check(picture);
	picture->topics = 3;
	picture->partitions = 30;
	picture->io = "uring";
	fill(&picture->sums, sizeof(picture->sums), 0);
	fill(&picture->datagrams, sizeof(picture->datagrams), 0);
	histogram_observe(&picture->apis[0].answered, 1000000, 7);
	picture->apis[0].errors = 2;
	histogram_observe(&picture->commits, 1000000, 5);
	snprintf(picture->port.device, sizeof(picture->port.device), "0000:00:05.0");
	picture->port.link.up = true;
	fill(&picture->port.all, sizeof(picture->port.all), 0);
	picture->shard_count = SHARDS;
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard_picture *shard = &picture->shards[i];
		fill(&shard->counters, sizeof(shard->counters), 1000 * i);
		fill(&shard->port, sizeof(shard->port), 1000 * i);
		shard->mesh = (struct mesh_stats){10, 20, 30, 40, mesh_ring_slots()};
	}
	return picture;
}

static struct lag_picture *lag_new(size_t count)
{
	struct lag_picture *picture = calloc(1, sizeof(*picture));

	check(picture);
	arena_init(&picture->memory, 64 << 20);
	picture->group_count = count;
	picture->groups = arena_calloc(&picture->memory, count, sizeof(*picture->groups));
	check(picture->groups);
	for (size_t i = 0; i < count; i++) {
		char id[32];
		snprintf(id, sizeof(id), "group %05zu", i);
		struct lag_group *group = &picture->groups[i];
		*group = (struct lag_group){.type = "classic", .state = "Empty", .row_count = 3};
		group->id = arena_strndup(&picture->memory, id, sizeof(id));
		group->rows = arena_calloc(&picture->memory, 3, sizeof(*group->rows));
		check(group->id && group->rows);
		int64_t lag = (int64_t)i;
		group->rows[0] = (struct lag_row){"b", 1, 0, lag, lag};
		group->rows[1] = (struct lag_row){"a", 0, 5, -1, -1};
		group->rows[2] = (struct lag_row){"b", 0, 0, lag, lag};
	}
	return picture;
}

static struct dedup_picture *dedup_new(size_t count)
{
	struct dedup_picture *picture = calloc(1,
					       sizeof(*picture) + count * sizeof(picture->rows[0]));

	check(picture);
	picture->count = count;
	for (size_t i = 0; i < count; i++) {
		struct dedup_row *row = &picture->rows[i];
		snprintf(row->topic, sizeof(row->topic), "topic%05zu", i);
		row->sums.all.entries = i;
		row->sums.all.covered_ms = 1500;
	}
	return picture;
}

/* `count` topics, with 2 partitions each, the second of which no shard has. */
static struct usage_picture *usage_new(size_t count)
{
	struct usage_picture *picture = calloc(1, sizeof(*picture) +
							  2 * count * sizeof(picture->rows[0]) +
							  count * sizeof(picture->topics[0]));

	check(picture);
	picture->topic_count = count;
	picture->row_count = 2 * count;
	picture->topics = (struct usage_topic *)&picture->rows[2 * count];
	for (size_t i = 0; i < count; i++) {
		struct usage_topic *topic = &picture->topics[i];
		snprintf(topic->name, sizeof(topic->name), "topic%05zu", i);
		topic->first = 2 * i;
		topic->count = 2;
		picture->rows[2 * i] = (struct shard_usage_row){0, 0, true, 1, 2, i, 4, 5, 6};
		picture->rows[2 * i + 1] = (struct shard_usage_row){.partition = 1};
	}
	return picture;
}

struct metrics_sources pictures_new(size_t groups)
{
	return (struct metrics_sources){
		.version = "1.2.3",
		.broker = broker_new(),
		.lag = lag_new(groups),
		.dedup = dedup_new(groups),
		.usage = usage_new(groups),
	};
}

void pictures_free(struct metrics_sources *sources)
{
	free((void *)(uintptr_t)sources->broker);
	lag_picture_free((struct lag_picture *)(uintptr_t)sources->lag);
	free((void *)(uintptr_t)sources->dedup);
	free((void *)(uintptr_t)sources->usage);
}
