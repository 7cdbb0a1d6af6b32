/* storage/dedup_filter.h: whether a file of ids may hold one: a Bloom filter of 16 bits an id whose
 * bits for one id lie in one cache line.  About one id in a thousand is taken for one that is
 * there.
 *
 * Immutable once made; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/dedup_table.h"

struct dedup_entry {
	struct dedup_id id;
	int64_t offset;
};

enum { DEDUP_FILTER_WORDS = 8 }; /* of a block: a cache line, with one bit of each word an id */

struct dedup_filter {
	uint64_t (*blocks)[DEDUP_FILTER_WORDS]; /* null: of no ids */
	size_t count;
};

int dedup_filter_new(struct dedup_filter *ret, const struct dedup_entry *entries, size_t count);
void dedup_filter_free(struct dedup_filter *filter);
size_t dedup_filter_bytes(const struct dedup_filter *filter);

static inline uint64_t *dedup_filter_block(const struct dedup_filter *filter,
					   const struct dedup_id *id)
{
	return filter->blocks[(size_t)((unsigned __int128)id->low * filter->count >> 64)];
}

static inline bool dedup_filter_may_have(const struct dedup_filter *filter,
					 const struct dedup_id *id)
{
	uint64_t bits = id->high;

	if (!filter->count)
		return false;
	const uint64_t *block = dedup_filter_block(filter, id);
	for (unsigned i = 0; i < DEDUP_FILTER_WORDS; i++, bits >>= 6) {
		if (!(block[i] >> (bits & 63) & 1))
			return false;
	}
	return true;
}

static inline void dedup_filter_prefetch(const struct dedup_filter *filter,
					 const struct dedup_id *id)
{
	if (filter->count)
		__builtin_prefetch(dedup_filter_block(filter, id));
}
