/* tests/sim/world.h: what a seed becomes: a broker, its clients, what happens to them, and what
 * must hold in the end.  sim.c runs one a process. */
#pragma once
#include <stdint.h>
#include <stdio.h>

struct world_options {
	uint64_t seed;
	const char *plant; /* a bug to play; null: none */
	FILE *history;     /* as tests/history/README.md says; null: not wanted */
};

/* Null: all that this world itself can tell was well; else a sentence about what was not. */
const char *world_run(const struct world_options *options);
