/* Work of the storage that blocks or takes long, such as sorting a closed bucket of message ids
 * into a file: the background thread does it, step by step, and the shard goes on.
 *
 *     store -> offload ──message──> background: step, step, ... ──message──> shard: done
 *
 * A log is closed when its jobs are done, so a shard that stops waits for them with its logs, which
 * have told those that take long to give up. */
#include "base/bytes.h"
#include "dataplane/background.h"
#include "dataplane/shard_internal.h"

#include <stdlib.h>

static void came_back(struct message *message, void *receiver)
{
	struct background_job *work = container_of(message, struct background_job, message);
	struct shard *shard = receiver;
	struct store_job *job = work->job;

	shard->jobs_out--;
	free(work);
	job->done(job);
}

void shard_offload(void *context, struct store_job *job)
{
	struct shard *shard = context;
	struct background_job *work = calloc(1, sizeof(*work));

	if (!work) {
		/* Short ones are done here and now, long ones are not. */
		atomic_store(&job->give_up, true);
		store_job_run(job);
		job->done(job);
		return;
	}
	work->message.handle = background_take;
	work->finished = came_back;
	work->job = job;
	work->shard_index = shard->options.index;
	shard->jobs_out++;
	shard_send(shard, mesh_background(shard->mesh), &work->message);
}

void shard_hurry(void *context)
{
	const struct shard *shard = context;

	mesh_wake(shard->mesh, mesh_background(shard->mesh));
}
