/* Where a group without members shall go on: planned, looked at, committed.
 *
 *     partitions ──> what is committed ──> what the target means in each ──> the plan ──> commit
 *
 * A plan commits nothing, so that whoever made it can show it or refuse it first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "client/places.h"
#include "client/question.h"

/* ---- planning ---- */

static int compare_committed(const void *key, const void *element)
{
	const struct sluice_spot *spot = key;
	const struct sluice_group_offset *row = element;

	return place_order(spot->topic, spot->partition, row->topic, row->partition);
}

static int64_t committed_of(const struct sluice_group_offsets *committed,
			    const struct sluice_spot *spot)
{
	const struct sluice_group_offset *row = committed->count
							? bsearch(spot, committed->offsets,
								  committed->count, sizeof(*row),
								  compare_committed)
							: NULL;

	return row ? row->offset : -1;
}

static int put_spot(struct arena *arena, const char *topic, int32_t partition,
		    struct sluice_spot *ret)
{
	if (!topic)
		return -EINVAL;
	*ret = (struct sluice_spot){.topic = arena_strndup(arena, topic, strlen(topic)),
				    .partition = partition};
	return ret->topic ? 0 : -ENOMEM;
}

/* `chosen` null: all that are committed. */
static int put_spots(struct sluice_group_plan *plan, const struct sluice_group_offsets *committed,
		     const struct sluice_assigned *chosen, size_t count)
{
	struct arena *arena = answer_arena(plan);
	int rc = 0;

	plan->count = chosen ? count : committed->count;
	plan->spots = arena_calloc(arena, plan->count, sizeof(*plan->spots));
	if (!plan->spots)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < plan->count; i++) {
		struct sluice_spot *spot = &plan->spots[i];
		rc = chosen ? put_spot(arena, chosen[i].topic, chosen[i].partition, spot)
			    : put_spot(arena, committed->offsets[i].topic,
				       committed->offsets[i].partition, spot);
		if (rc == 0)
			spot->committed = committed_of(committed, spot);
	}
	return rc;
}

int sluice_group_plan(struct sluice_client *client, const char *group,
		      const struct sluice_assigned *chosen, size_t count,
		      const struct sluice_target *target, struct sluice_group_plan **ret)
{
	struct sluice_group_offsets *committed;
	int rc = sluice_group_offsets(client, group, &committed);

	if (rc < 0)
		return rc;
	struct sluice_group_plan *plan = answer_new(sizeof(*plan));
	if (plan)
		plan->group = arena_strndup(answer_arena(plan), group, strlen(group));
	rc = plan && plan->group ? put_spots(plan, committed, chosen, count) : -ENOMEM;
	sluice_group_offsets_free(committed);
	if (rc == 0)
		rc = sluice_spots_find(client, target, plan->spots, plan->count);
	if (rc < 0) {
		answer_free(plan);
		return rc;
	}
	*ret = plan;
	return 0;
}

void sluice_group_plan_free(struct sluice_group_plan *plan)
{
	answer_free(plan);
}

/* ---- committing ---- */

int sluice_group_plan_commit(struct sluice_client *client, struct sluice_group_plan *plan)
{
	struct sluice_place *places = calloc(plan->count + 1, sizeof(*places));
	size_t found = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < plan->count; i++) {
		const struct sluice_spot *spot = &plan->spots[i];
		if (!spot->error)
			places[found++] = (struct sluice_place){.topic = spot->topic,
								.partition = spot->partition,
								.offset = spot->at};
	}
	int rc = sluice_group_commit(client, plan->group, places, found);
	/* Those that were committed are the ones without an error, still in their order. */
	for (size_t i = 0, at = 0; rc == 0 && at < found; i++) {
		if (!plan->spots[i].error)
			plan->spots[i].error = places[at++].error;
	}
	free(places);
	return rc;
}
