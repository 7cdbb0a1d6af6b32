#include "base/nearest.h"

#include <limits.h>
#include <string.h>

enum { LENGTH_MAX = 63 }; /* of a name; a longer one has no letter in common with any other */

static unsigned longer(size_t a_length, size_t b_length)
{
	return (unsigned)(a_length > b_length ? a_length : b_length);
}

/* Levenshtein's distance: letters to add, drop or change.  Row by row of its table, of which one is
 * kept; `diagonal` is what stood left of the letter in the row before. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[LENGTH_MAX + 1];
	size_t a_length = strlen(a);
	size_t b_length = strlen(b);

	if (a_length > LENGTH_MAX || b_length > LENGTH_MAX)
		return longer(a_length, b_length);
	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b_length];
}

void nearest_init(struct nearest *nearest, const char *written)
{
	*nearest = (struct nearest){.written = written, .edits = UINT_MAX};
}

void nearest_offer(struct nearest *nearest, const char *name)
{
	unsigned edits = distance(nearest->written, name);

	if (edits < nearest->edits) {
		nearest->name = name;
		nearest->edits = edits;
	}
}

bool nearest_likely(const struct nearest *nearest)
{
	return nearest->name &&
	       nearest->edits * 2 <= longer(strlen(nearest->written), strlen(nearest->name));
}
