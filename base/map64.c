/* Linear probing, at most 3/4 full, deletion by shifting back (no tombstones). */
#include "base/map64.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>

static size_t home_slot(const struct map64 *map, uint64_t key)
{
	/* Fibonacci hashing spreads dense keys. */
	return (size_t)((key ^ (key >> 32)) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
	       (map->capacity - 1);
}

static size_t find_slot(const struct map64 *map, uint64_t key)
{
	size_t at = home_slot(map, key);

	while (map->slots[at].value && map->slots[at].key != key)
		at = (at + 1) & (map->capacity - 1);
	return at;
}

void map64_fini(struct map64 *map)
{
	free(map->slots);
	*map = (struct map64){0};
}

static int grow(struct map64 *map)
{
	struct map64 larger = {.capacity = map->capacity ? map->capacity * 2 : 16};

	larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->capacity; i++) {
		if (map->slots[i].value)
			larger.slots[find_slot(&larger, map->slots[i].key)] = map->slots[i];
	}
	larger.count = map->count;
	free(map->slots);
	*map = larger;
	return 0;
}

int map64_reserve(struct map64 *map)
{
	return map->count + 1 > map->capacity / 4 * 3 ? grow(map) : 0;
}

int map64_put(struct map64 *map, uint64_t key, void *value)
{
	int rc = map64_reserve(map);

	check(value);
	if (rc < 0)
		return rc;
	struct map64_slot *slot = &map->slots[find_slot(map, key)];
	if (!slot->value)
		map->count++;
	*slot = (struct map64_slot){.key = key, .value = value};
	return 0;
}

void *map64_get(const struct map64 *map, uint64_t key)
{
	return map->capacity ? map->slots[find_slot(map, key)].value : NULL;
}

void *map64_remove(struct map64 *map, uint64_t key)
{
	if (!map->capacity)
		return NULL;
	size_t mask = map->capacity - 1;
	size_t hole = find_slot(map, key);
	void *value = map->slots[hole].value;

	if (!value)
		return NULL;
	for (size_t at = (hole + 1) & mask; map->slots[at].value; at = (at + 1) & mask) {
		size_t home = home_slot(map, map->slots[at].key);
		/* Move back whoever may not stay behind the hole. */
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			map->slots[hole] = map->slots[at];
			hole = at;
		}
	}
	map->slots[hole] = (struct map64_slot){0};
	map->count--;
	return value;
}

void *map64_next(const struct map64 *map, size_t *cursor)
{
	while (*cursor < map->capacity) {
		void *value = map->slots[(*cursor)++].value;
		if (value)
			return value;
	}
	return NULL;
}
