/* control/descriptor_shares.h: how many of the process's descriptors are for what. */
#pragma once
#include <stdint.h>

struct config;

struct descriptor_shares {
	uint64_t limit;               /* RLIMIT_NOFILE */
	unsigned files_a_shard;       /* segments and the like that its logs keep open */
	unsigned connections_a_shard; /* that it may have for want of descriptors alone */
};

/* Of `limit`, with so many shards.  What the broker needs for itself comes first, then files, then
 * connections; each gets a few even where there are too few for all. */
struct descriptor_shares descriptor_shares(const struct config *config, unsigned shard_count,
					   uint64_t limit);
/* RLIMIT_NOFILE, which is raised to what the process may have. */
uint64_t descriptor_limit_raise(void);
