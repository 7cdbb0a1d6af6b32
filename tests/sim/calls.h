/* tests/sim/calls.h: what the simulated system calls are given before a run. */
#pragma once
#include "tests/sim/random.h"

/* For what getrandom gives, and where a thread loses its processor. */
void calls_set_random(struct random random);
