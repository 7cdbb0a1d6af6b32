/* base/nearest.h: which of the names that there are somebody meant who wrote another.
 *
 *	nearest_init(&nearest, written);
 *	for each name that there is
 *		nearest_offer(&nearest, name);
 *
 * Owner: one thread. */
#pragma once
#include <stdbool.h>

struct nearest {
	const char *written;
	const char *name; /* the first with the fewest edits; null before any was offered */
	unsigned edits;
};

/* Both texts stay the caller's, and where they are. */
void nearest_init(struct nearest *nearest, const char *written);
void nearest_offer(struct nearest *nearest, const char *name);
/* Is it like what was written: at most every second letter of the longer one edited?  Who shows all
 * names anyway suggests nothing else. */
bool nearest_likely(const struct nearest *nearest);
