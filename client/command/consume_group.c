#include "client/command/consume_group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client/command/command.h"
#include "client/command/group_free.h"

enum { COMMIT_EVERY_MS = 5000 };

static uint64_t next_due(void)
{
	return clock_monotonic_ns(clock_system()) + (uint64_t)COMMIT_EVERY_MS * NS_PER_MS;
}

int consume_group_open(struct consume_group *group)
{
	if (!group->id)
		return EXIT_DONE;
	int code = group_check_free(group->invocation, group->id);
	if (code)
		return code;
	int rc = sluice_group_offsets(group->invocation->client, group->id, &group->committed);
	group->due_ns = next_due();
	return rc < 0 ? complain_of(group->invocation, rc) : EXIT_DONE;
}

void consume_group_close(struct consume_group *group)
{
	sluice_group_offsets_free(group->committed);
	free(group->places);
}

int64_t consume_group_offset(const struct consume_group *group, int32_t partition)
{
	for (size_t i = 0; group->id && i < group->committed->count; i++) {
		const struct sluice_group_offset *row = &group->committed->offsets[i];
		if (row->partition == partition && strcmp(row->topic, group->topic) == 0)
			return row->offset;
	}
	return -1;
}

void consume_group_note(struct consume_group *group, int32_t partition, int64_t next)
{
	size_t i = 0;

	if (!group->id)
		return;
	while (i < group->count && group->places[i].partition != partition)
		i++;
	if (i == group->capacity) {
		size_t capacity = group->capacity ? group->capacity * 2 : 64;
		struct sluice_place *places = realloc(group->places, capacity * sizeof(*places));
		if (!places)
			return; /* it is read once more then */
		group->places = places;
		group->capacity = capacity;
	}
	group->places[i] = (struct sluice_place){
		.topic = group->topic, .partition = partition, .offset = next};
	if (i == group->count)
		group->count++;
}

int consume_group_commit(struct consume_group *group, bool now)
{
	struct sluice_client *client = group->invocation->client;

	if (group->count == 0 || (!now && clock_monotonic_ns(clock_system()) < group->due_ns))
		return EXIT_DONE;
	group->due_ns = next_due();
	int rc = sluice_group_commit(client, group->id, group->places, group->count);
	/* Interrupted: what was printed is committed all the same. */
	if (rc == -EINTR)
		rc = sluice_group_commit(client, group->id, group->places, group->count);
	if (rc < 0)
		return complain_of(group->invocation, rc);
	for (size_t i = 0; i < group->count; i++) {
		if (!group->places[i].error)
			continue;
		complain("committing %s/%d for group '%s': %s", group->topic,
			 group->places[i].partition, group->id,
			 sluice_error_text(group->places[i].error));
		return EXIT_FAILED;
	}
	group->count = 0;
	return EXIT_DONE;
}
