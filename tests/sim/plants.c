#include "tests/sim/plants.h"

#include "tests/sim/disk.h"

#include <string.h>

/* What the disk plays: it says that it has flushed, and has not. */
static const struct lie {
	const char *name, *call, *pattern;
} lies[] = {
	{"unflushed-data", "fdatasync", "*.log"},
};

static const struct lie *planted_lie;

bool plant_set(const char *name)
{
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		if (strcmp(lies[i].name, name) == 0)
			planted_lie = &lies[i];
	}
	return planted_lie;
}

void plant_in_disk(struct disk *disk)
{
	if (planted_lie)
		disk_lie(disk, planted_lie->call, planted_lie->pattern);
}
