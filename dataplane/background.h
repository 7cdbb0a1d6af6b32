/* dataplane/background.h: the thread that does what the storage must not do on a shard: work that
 * blocks, and work that goes on for long (store_job, storage/log.h).
 *
 * It takes a step of one job at a time, from the shards in turn, and of a shard's jobs in turn, so
 * that a short job waits for a step of each other at most.  It has no core of its own, the lowest
 * priority, and sleeps in io_turn of its back end. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "dataplane/message.h"

struct background;
struct clock;
struct cpus;
struct store_job;

/* Shard -> background with message.handle = background_take; it comes back with handle = finished
 * when the job's last step has been taken. */
struct background_job {
	struct message message;
	void (*finished)(struct message *message, void *shard);
	struct store_job *job;
	unsigned shard_index;
	/* The background's. */
	struct list link;
	uint64_t due_ns;
};
void background_take(struct message *message, void *background);

struct background_options {
	struct mesh *mesh; /* has its place, mesh_background */
	unsigned shard_count;
	bool sync_io;            /* no io_uring */
	const struct cpus *cpus; /* where it may run; null: where its maker may */
	const struct clock *clock;
};

/* Starts the thread; the options are copied but for what they point to.  -errno. */
int background_start(struct background **ret, const struct background_options *options);
/* No shard is left, so no job is: joins the thread and frees.  Null is fine. */
void background_end(struct background *background);
