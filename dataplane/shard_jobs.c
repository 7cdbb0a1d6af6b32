/* Work of the storage that blocks, such as sorting a closed bucket of message ids into a file: the
 * control plane's thread does it, between what clients ask of it, and the shard goes on.
 *
 *     store -> offload ──message──> control plane: run ──message──> shard: done
 *
 * A log is closed when its jobs are done, so a shard that stops waits for them with its logs. */
#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/shard_internal.h"

#include <stdlib.h>

struct shard_job {
	struct message message;
	struct store_job *job;
	struct mesh *mesh;
	unsigned shard_index;
};

static void came_back(struct message *message, void *receiver)
{
	struct shard_job *work = container_of(message, struct shard_job, message);
	struct shard *shard = receiver;

	check(shard->jobs_out > 0);
	shard->jobs_out--;
	work->job->done(work->job);
	free(work);
}

/* On the control plane's thread. */
static void run(struct message *message, void *receiver)
{
	struct shard_job *work = container_of(message, struct shard_job, message);

	(void)receiver;
	work->job->run(work->job);
	message->handle = came_back;
	mesh_send(work->mesh, mesh_control(work->mesh), work->shard_index, message);
}

void shard_offload(void *context, struct store_job *job)
{
	struct shard *shard = context;
	struct shard_job *work = malloc(sizeof(*work));

	if (!work) {
		job->run(job);
		job->done(job);
		return;
	}
	*work = (struct shard_job){
		.message.handle = run,
		.job = job,
		.mesh = shard->mesh,
		.shard_index = shard->options.index,
	};
	shard->jobs_out++;
	shard_send(shard, mesh_control(shard->mesh), &work->message);
}
