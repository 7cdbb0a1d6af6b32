#include "client/command/spots.h"

#include "client/command/command.h"

enum { COMPLAINTS_MAX = 5 };

int spots_extend(const struct invocation *invocation, struct sluice_spot *spots, size_t count)
{
	int rc = sluice_spots_extend(invocation->client, spots, count);

	return rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
}

int spots_find(const struct invocation *invocation, const struct sluice_target *target,
	       struct sluice_spot *spots, size_t count)
{
	int rc = sluice_spots_find(invocation->client, target, spots, count);

	return rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
}

int spots_check(const struct sluice_spot *spots, size_t count)
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
