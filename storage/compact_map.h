/* storage/compact_map.h: which record of a key is the last, for compaction.
 *
 * From a key's 128-bit fingerprint (XXH3, with a secret of each map, so that nobody can choose keys
 * that meet) to the largest offset it was put with.  24 bytes a place, 7 of 8 are used at most.  It
 * is made for as many keys as are expected; with more it grows while there is room for both.  Two
 * keys with one fingerprint would lose the older's record: among 2^40 keys the odds are one in
 * 2^49.
 *
 * Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compact_place;

struct compact_map {
	struct compact_place *places; /* null: none yet */
	size_t capacity;
	size_t places_max;
	size_t count;
	uint64_t secret;
};

/* Takes `bytes_max` bytes at most, but has room for a few keys at least.  -ENOMEM. */
int compact_map_init(struct compact_map *map, size_t bytes_max, uint64_t keys_expected);
void compact_map_fini(struct compact_map *map); /* a zeroed one is fine */
/* Offsets of a key only rise.  False: the key is new and there is no room for it. */
bool compact_map_put(struct compact_map *map, const void *key, size_t length, int64_t offset);
/* -1: it was never put. */
int64_t compact_map_get(const struct compact_map *map, const void *key, size_t length);
