#include "client/command/spots.h"

#include <stdlib.h>

#include "client/command/command.h"

enum { COMPLAINTS_MAX = 5 };

static void take_first(struct spot *spot, int64_t offset)
{
	spot->first = offset;
}

static void take_end(struct spot *spot, int64_t offset)
{
	spot->end = offset;
}

static void take_at(struct spot *spot, int64_t offset)
{
	spot->at = offset;
}

/* Of a time, SLUICE_EARLIEST or SLUICE_LATEST. */
static int look_up(const struct invocation *invocation, int64_t timestamp_ms, struct spot *spots,
		   size_t count, void (*take)(struct spot *spot, int64_t offset))
{
	struct sluice_place *places = calloc(count + 1, sizeof(*places));

	if (!places)
		return EXIT_FAILED;
	for (size_t i = 0; i < count; i++)
		places[i] = (struct sluice_place){.topic = spots[i].topic,
						  .partition = spots[i].partition,
						  .timestamp_ms = timestamp_ms};
	int rc = sluice_list_offsets(invocation->client, places, count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		take(&spots[i], places[i].offset);
		if (!spots[i].error)
			spots[i].error = places[i].error;
	}
	free(places);
	return rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
}

int spots_extend(const struct invocation *invocation, struct spot *spots, size_t count)
{
	int code = look_up(invocation, SLUICE_EARLIEST, spots, count, take_first);

	return code ? code : look_up(invocation, SLUICE_LATEST, spots, count, take_end);
}

static int64_t meant(const struct from *from, const struct spot *spot)
{
	switch (from->kind) {
	case FROM_TIME:
		return spot->at < 0 ? spot->end : spot->at;
	case FROM_BEFORE_END:
		return from->value > spot->end - spot->first ? spot->first
							     : spot->end - from->value;
	case FROM_OFFSET:
		break;
	}
	if (from->value == SLUICE_EARLIEST)
		return spot->first;
	return from->value == SLUICE_LATEST ? spot->end : from->value;
}

int spots_resolve(const struct invocation *invocation, const struct from *from, struct spot *spots,
		  size_t count)
{
	int code = spots_extend(invocation, spots, count);

	if (!code && from->kind == FROM_TIME)
		code = look_up(invocation, from->value, spots, count, take_at);
	for (size_t i = 0; !code && i < count; i++)
		spots[i].at = meant(from, &spots[i]);
	return code;
}

int spots_check(const struct spot *spots, size_t count)
{
	size_t wrong = 0;

	for (size_t i = 0; i < count; i++) {
		if (spots[i].error && wrong++ < COMPLAINTS_MAX)
			complain("%s/%d: %s", spots[i].topic, spots[i].partition,
				 sluice_error_text(spots[i].error));
	}
	if (wrong > COMPLAINTS_MAX)
		complain("and %zu more partitions", wrong - COMPLAINTS_MAX);
	return wrong ? EXIT_FAILED : EXIT_DONE;
}
