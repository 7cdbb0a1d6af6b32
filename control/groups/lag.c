#include "control/groups/lag.h"

#include "base/bytes.h"
#include "control/groups/groups_internal.h"
#include "dataplane/topics.h"

#include <stdlib.h>
#include <string.h>

#define PICTURE_BYTES_MAX ((size_t)1 << 30)

static int64_t lag_of(const struct lag_row *row)
{
	if (row->committed < 0 || row->high_watermark < 0)
		return -1;
	/* Beyond the end: of records that a crash took, or that are on the way. */
	return row->committed < row->high_watermark ? row->high_watermark - row->committed : 0;
}

static int by_lag(const void *a, const void *b)
{
	const struct lag_row *x = a;
	const struct lag_row *y = b;

	if (x->lag != y->lag)
		return x->lag < y->lag ? 1 : -1;
	int order = strcmp(x->topic, y->topic);
	return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct lag_group *)a)->id, ((const struct lag_group *)b)->id);
}

struct drawing {
	const struct groups *groups;
	struct lag_picture *picture;
	lag_watermark *watermark;
	const void *context;
};

static bool draw_topic(const struct drawing *drawing, const struct offset_topic *from,
		       struct lag_group *group)
{
	struct kafka_string name = {from->name, from->name_length};
	const struct topic *topic = groups_topic(drawing->groups, &name);
	const char *text = arena_strndup(&drawing->picture->memory, from->name,
					 (size_t)from->name_length);

	if (!text)
		return false;
	for (size_t i = 0; i < from->count; i++) {
		struct lag_row *row = &group->rows[group->row_count++];
		row->topic = text;
		row->partition = from->partitions[i].index;
		row->committed = from->partitions[i].committed.offset;
		row->high_watermark = topic ? drawing->watermark(drawing->context, topic->number,
								 row->partition)
					    : -1;
		row->lag = lag_of(row);
		group->lag += row->lag > 0 ? row->lag : 0;
	}
	return true;
}

static bool draw_group(const struct drawing *drawing, const struct group *from,
		       struct lag_group *group)
{
	struct arena *memory = &drawing->picture->memory;

	group->id = arena_strndup(memory, from->id, from->id_length);
	group->type = from->kind ? from->kind->type : "classic";
	group->state = from->kind ? from->kind->state(from) : "Empty";
	group->members = from->kind ? from->kind->member_count(from) : 0;
	group->rows = arena_calloc(memory, from->offsets.count, sizeof(*group->rows));
	if (!group->id || !group->rows)
		return false;
	for (size_t i = 0; i < from->offsets.topic_count; i++) {
		if (!draw_topic(drawing, from->offsets.topics[i], group))
			return false;
	}
	if (group->row_count)
		qsort(group->rows, group->row_count, sizeof(*group->rows), by_lag);
	return true;
}

static bool draw(const struct drawing *drawing)
{
	struct lag_picture *picture = drawing->picture;
	const struct groups *groups = drawing->groups;

	picture->groups = arena_calloc(&picture->memory, groups->count, sizeof(*picture->groups));
	if (!picture->groups)
		return false;
	for (int32_t i = 0; i < groups->partition_count; i++) {
		list_foreach(node, &groups->partitions[i].groups) {
			const struct group *group = container_of(node, struct group, link);
			if (!draw_group(drawing, group, &picture->groups[picture->group_count++]))
				return false;
		}
	}
	if (picture->group_count)
		qsort(picture->groups, picture->group_count, sizeof(*picture->groups), by_id);
	return true;
}

struct lag_picture *lag_picture_new(const struct groups *groups, lag_watermark *watermark,
				    const void *context)
{
	struct lag_picture *picture = calloc(1, sizeof(*picture));
	struct drawing drawing = {groups, picture, watermark, context};

	if (!picture)
		return NULL;
	arena_init(&picture->memory, PICTURE_BYTES_MAX);
	if (draw(&drawing))
		return picture;
	lag_picture_free(picture);
	return NULL;
}

void lag_picture_free(struct lag_picture *picture)
{
	if (!picture)
		return;
	arena_fini(&picture->memory);
	free(picture);
}

const struct lag_group *lag_picture_find(const struct lag_picture *picture, const char *id)
{
	struct lag_group wanted = {.id = id};

	if (!picture->group_count)
		return NULL;
	return bsearch(&wanted, picture->groups, picture->group_count, sizeof(wanted), by_id);
}
