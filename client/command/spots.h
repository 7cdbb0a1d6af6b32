/* client/command/spots.h: places in logs, as a command line names them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "client/command/from.h"

struct invocation;

struct spot {
	const char *topic; /* the caller's */
	int32_t partition;
	int64_t first; /* of the log */
	int64_t end;   /* of the log: the next record's */
	int64_t at;    /* what is meant */
	int error;     /* why the others are not known; 0 */
};

/* Fills `first` and `end` of them all.  Exit code, after a complaint. */
int spots_extend(const struct invocation *invocation, struct spot *spots, size_t count);
/* The same, and `at`: a time is the first record of then or later, else the end; so many before the
 * end no more than there are; an offset is what it is, also outside the log. */
int spots_resolve(const struct invocation *invocation, const struct from *from, struct spot *spots,
		  size_t count);
/* Complains of the first ones in trouble; EXIT_FAILED, or EXIT_DONE where none is. */
int spots_check(const struct spot *spots, size_t count);
