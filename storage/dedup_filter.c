#include "storage/dedup_filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BITS_AN_ID = 16, BLOCK_BITS = DEDUP_FILTER_WORDS * 64 };

int dedup_filter_new(struct dedup_filter *ret, const struct dedup_entry *entries, size_t count)
{
	struct dedup_filter filter = {.count = (count * BITS_AN_ID + BLOCK_BITS - 1) / BLOCK_BITS};
	size_t bytes = dedup_filter_bytes(&filter);

	*ret = (struct dedup_filter){0};
	if (!count)
		return 0;
	filter.blocks = aligned_alloc(sizeof(*filter.blocks), bytes);
	if (!filter.blocks)
		return -ENOMEM;
	memset(filter.blocks, 0, bytes);
	for (size_t i = 0; i < count; i++) {
		uint64_t *block = dedup_filter_block(&filter, &entries[i].id);
		uint64_t bits = entries[i].id.high;
		for (unsigned word = 0; word < DEDUP_FILTER_WORDS; word++, bits >>= 6)
			block[word] |= UINT64_C(1) << (bits & 63);
	}
	*ret = filter;
	return 0;
}

void dedup_filter_free(struct dedup_filter *filter)
{
	free(filter->blocks);
	*filter = (struct dedup_filter){0};
}

size_t dedup_filter_bytes(const struct dedup_filter *filter)
{
	return filter->count * sizeof(*filter->blocks);
}
