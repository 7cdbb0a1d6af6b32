/* control/group_lag.h: asks the shards every few seconds how far the partitions are whose offsets
 * groups have committed, and draws how far the groups are behind (groups/lag.h).
 *
 * Phases: idle -> asking (messages are out) -> idle.  Owner: the coordinator's thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct clock;
struct group_lag;
struct groups;
struct lag_picture;
struct shard_log;

struct group_lag_options {
	const struct groups *groups;
	const struct clock *clock;
	unsigned shard_count;
	/* Sends `asked` (a struct shard_watermarks without its sender) to `shard`. */
	void (*send)(void *context, unsigned shard, struct shard_log *asked);
	/* A new picture, the receiver's from now on. */
	void (*publish)(void *context, struct lag_picture *picture);
	void *context;
};

int group_lag_new(struct group_lag **ret, const struct group_lag_options *options); /* -ENOMEM */
/* Idle, or nobody will look at what is out any more; null is fine. */
void group_lag_free(struct group_lag *lag);
/* Asks when it is time to.  Returns when to call again, on the monotonic clock. */
uint64_t group_lag_turn(struct group_lag *lag);
/* Asks no more: idle once all messages are back, whose `done` runs on this thread. */
void group_lag_stop(struct group_lag *lag);
bool group_lag_idle(const struct group_lag *lag);
