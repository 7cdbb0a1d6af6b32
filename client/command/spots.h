/* client/command/spots.h: places in logs, with complaints. */
#pragma once
#include <stddef.h>

#include "client/sluice.h"

struct invocation;

/* As sluice_spots_extend and sluice_spots_find; exit code, after a complaint. */
int spots_extend(const struct invocation *invocation, struct sluice_spot *spots, size_t count);
int spots_find(const struct invocation *invocation, const struct sluice_target *target,
	       struct sluice_spot *spots, size_t count);
/* Complains of the first ones in trouble; EXIT_FAILED, or EXIT_DONE where none is. */
int spots_check(const struct sluice_spot *spots, size_t count);
