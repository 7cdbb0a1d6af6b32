/* Open addressing with linear probing: nothing is ever removed, and what is looked for next is
 * mostly in the same cache line. */
#include "storage/compact_map.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

enum { PLACES_MIN = 64, LOAD_EIGHTHS = 7 };

struct compact_place {
	uint64_t low, high;
	int64_t next; /* offset + 1; 0: the place is empty */
};
_Static_assert(sizeof(struct compact_place) == 24, "a place of the map");

int compact_map_init(struct compact_map *map, size_t bytes_max, uint64_t keys_expected)
{
	size_t most = bytes_max / sizeof(struct compact_place);
	uint64_t wanted = keys_expected / LOAD_EIGHTHS * 8;
	size_t capacity = wanted < most ? (size_t)wanted : most;

	if (capacity < PLACES_MIN)
		capacity = PLACES_MIN;
	*map = (struct compact_map){.capacity = capacity, .places_max = most};
	check(getrandom(&map->secret, sizeof(map->secret), 0) == sizeof(map->secret));
	/* Zeros from the kernel: what is not touched takes no memory. */
	map->places = calloc(capacity, sizeof(*map->places));
	return map->places ? 0 : -ENOMEM;
}

void compact_map_fini(struct compact_map *map)
{
	free(map->places);
	*map = (struct compact_map){0};
}

/* The key's place, or the empty one where it would go. */
static struct compact_place *find(const struct compact_map *map, XXH128_hash_t print)
{
	size_t i = (size_t)(((__uint128_t)print.high64 * map->capacity) >> 64);

	for (;;) {
		struct compact_place *place = &map->places[i];
		if (!place->next || (place->low == print.low64 && place->high == print.high64))
			return place;
		if (++i == map->capacity)
			i = 0;
	}
}

static XXH128_hash_t print_of(const struct compact_map *map, const void *key, size_t length)
{
	return XXH3_128bits_withSeed(key, length, map->secret);
}

/* To twice as many places, or as many as there may be beside the old ones. */
static bool grow(struct compact_map *map)
{
	struct compact_map larger = *map;

	larger.capacity = map->capacity * 2;
	if (map->capacity + larger.capacity > map->places_max)
		larger.capacity = map->places_max > map->capacity ? map->places_max - map->capacity
								  : 0;
	if (larger.capacity <= map->capacity)
		return false;
	larger.places = calloc(larger.capacity, sizeof(*larger.places));
	if (!larger.places)
		return false;
	for (size_t i = 0; i < map->capacity; i++) {
		const struct compact_place *place = &map->places[i];
		if (place->next)
			*find(&larger, (XXH128_hash_t){place->low, place->high}) = *place;
	}
	free(map->places);
	*map = larger;
	return true;
}

bool compact_map_put(struct compact_map *map, const void *key, size_t length, int64_t offset)
{
	XXH128_hash_t print = print_of(map, key, length);
	struct compact_place *place = find(map, print);

	if (!place->next) {
		if (map->count >= map->capacity / 8 * LOAD_EIGHTHS) {
			if (!grow(map))
				return false;
			place = find(map, print);
		}
		map->count++;
		place->low = print.low64;
		place->high = print.high64;
	}
	place->next = offset + 1;
	return true;
}

int64_t compact_map_get(const struct compact_map *map, const void *key, size_t length)
{
	return find(map, print_of(map, key, length))->next - 1;
}
