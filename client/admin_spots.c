/* Places in logs as people name them: how far each log reaches, and what is meant within. */
#include <errno.h>
#include <stdlib.h>

#include "client/sluice.h"

static void take_first(struct sluice_spot *spot, int64_t offset)
{
	spot->first = offset;
}

static void take_end(struct sluice_spot *spot, int64_t offset)
{
	spot->end = offset;
}

static void take_at(struct sluice_spot *spot, int64_t offset)
{
	spot->at = offset;
}

/* Of a time, SLUICE_EARLIEST or SLUICE_LATEST. */
static int look_up(struct sluice_client *client, int64_t timestamp_ms, struct sluice_spot *spots,
		   size_t count, void (*take)(struct sluice_spot *spot, int64_t offset))
{
	struct sluice_place *places = calloc(count + 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		places[i] = (struct sluice_place){.topic = spots[i].topic,
						  .partition = spots[i].partition,
						  .timestamp_ms = timestamp_ms};
	int rc = sluice_list_offsets(client, places, count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		take(&spots[i], places[i].offset);
		if (!spots[i].error)
			spots[i].error = places[i].error;
	}
	free(places);
	return rc;
}

int sluice_spots_extend(struct sluice_client *client, struct sluice_spot *spots, size_t count)
{
	for (size_t i = 0; i < count; i++)
		spots[i].error = 0;
	int rc = look_up(client, SLUICE_EARLIEST, spots, count, take_first);
	return rc < 0 ? rc : look_up(client, SLUICE_LATEST, spots, count, take_end);
}

static int64_t meant(const struct sluice_target *target, const struct sluice_spot *spot)
{
	switch (target->kind) {
	case SLUICE_AT_TIME:
		return spot->at < 0 ? spot->end : spot->at;
	case SLUICE_BEFORE_END:
		return target->value > spot->end - spot->first ? spot->first
							       : spot->end - target->value;
	case SLUICE_AT_OFFSET:
		break;
	}
	if (target->value == SLUICE_EARLIEST)
		return spot->first;
	return target->value == SLUICE_LATEST ? spot->end : target->value;
}

int sluice_spots_find(struct sluice_client *client, const struct sluice_target *target,
		      struct sluice_spot *spots, size_t count)
{
	int rc = sluice_spots_extend(client, spots, count);

	if (rc == 0 && target->kind == SLUICE_AT_TIME)
		rc = look_up(client, target->value, spots, count, take_at);
	for (size_t i = 0; rc == 0 && i < count; i++)
		spots[i].at = meant(target, &spots[i]);
	return rc;
}
