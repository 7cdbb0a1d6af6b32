/* tests/sim/plants.h: bugs that a run plays on demand, to see that they are found; plants.def lists
 * them.  They are only here: as lies of the disk, and in place of functions of the broker's that
 * one of its files asks another for (--wrap). */
#pragma once
#include <stdbool.h>
#include <stdio.h>

struct disk;

/* False: there is none of this name.  Before anything runs. */
bool plant_set(const char *name);
void plant_in_disk(struct disk *disk);
void plants_print(FILE *file); /* their names, one a line */
