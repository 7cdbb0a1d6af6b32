#include "control/descriptor_shares.h"

#include "control/config.h"
#include "storage/open_files.h"

#include <limits.h>
#include <sys/resource.h>

enum {
	OWN = 40,         /* libraries, the catalog, the control plane, the coordinator */
	OWN_A_SHARD = 12, /* rings, wakers, listeners, the folders and files of a moment */
	FILES_SHARE = 4,  /* a quarter is for files */
	FILES_MIN = 2 * OPEN_FILES_KEPT,
	CONNECTIONS_MIN = 4,
};

uint64_t descriptor_limit_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return INT_MAX;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
		return INT_MAX;
	return limit.rlim_cur;
}

static unsigned at_least(uint64_t number, unsigned least)
{
	return number > INT_MAX ? INT_MAX : number < least ? least : (unsigned)number;
}

struct descriptor_shares descriptor_shares(const struct config *config, unsigned shard_count,
					   uint64_t limit)
{
	uint64_t own = OWN + (uint64_t)OWN_A_SHARD * shard_count;
	uint64_t wanted = config->log_descriptors_max ? (uint64_t)config->log_descriptors_max
						      : limit / FILES_SHARE;
	struct descriptor_shares shares = {
		.limit = limit,
		.files_a_shard = at_least(wanted / shard_count, FILES_MIN),
	};
	uint64_t taken = own + (uint64_t)shares.files_a_shard * shard_count;

	shares.connections_a_shard = at_least(limit > taken ? (limit - taken) / shard_count : 0,
					      CONNECTIONS_MIN);
	return shares;
}
