/* tests/sim/calls.h: what the simulated system calls are given before a run. */
#pragma once
#include "tests/sim/random.h"

/* What getrandom gives. */
void calls_set_random(struct random random);
