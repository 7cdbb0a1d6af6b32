/* base/map64.h: hash map from a 64-bit key to a pointer; open addressing, owner thread only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct map64_slot {
	uint64_t key;
	void *value; /* null: the slot is free */
};

struct map64 {
	struct map64_slot *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
};

void map64_fini(struct map64 *map); /* a zeroed map is fine; values are the caller's */
/* value not null; an existing key is replaced.  -ENOMEM. */
int map64_put(struct map64 *map, uint64_t key, void *value);
/* The next map64_put of a new key cannot fail.  -ENOMEM. */
int map64_reserve(struct map64 *map);
void *map64_get(const struct map64 *map, uint64_t key);
void *map64_remove(struct map64 *map, uint64_t key); /* null when absent */
/* Iterates in no order: start with *cursor = 0; null at the end.  No put or remove meanwhile. */
void *map64_next(const struct map64 *map, size_t *cursor);
