/* tests/sim/random.h: the only randomness of a simulated run: everything follows from its seed.
 *
 * Each part of the world (disk, network, scheduler, each client) has a generator of its own, split
 * off at its beginning, so that a change of one does not change what the others draw. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state; /* splitmix64 */
};

static inline uint64_t random_u64(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* A generator for the part of this name. */
struct random random_split(struct random *random, const char *name);

/* 0 <= value < bound; bound is not 0. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
	return random_u64(random) % bound;
}

/* first <= value <= last. */
static inline uint64_t random_between(struct random *random, uint64_t first, uint64_t last)
{
	return first + random_below(random, last - first + 1);
}

/* True so many times in a million. */
static inline bool random_chance(struct random *random, uint32_t in_a_million)
{
	return random_below(random, 1000000) < in_a_million;
}
