/* tests/sim/plants.h: bugs that a run plays, to see that they are found; only here, never in the
 * broker's code. */
#pragma once
#include <stdbool.h>

struct disk;

/* False: there is none of this name.  Before anything runs. */
bool plant_set(const char *name);
void plant_in_disk(struct disk *disk);
