#include "tests/sim/random.h"

#include <string.h>

#include <xxhash.h>

struct random random_split(struct random *random, const char *name)
{
	return (struct random){XXH3_64bits_withSeed(name, strlen(name), random_u64(random))};
}
