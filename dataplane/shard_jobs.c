/* Work of the storage that blocks, such as sorting a closed bucket of message ids into a file: the
 * control plane's thread does it, between what clients ask of it, and the shard goes on.
 *
 *     store -> offload ──message──> control plane: run ──message──> shard: done
 *
 * It has a job of a shard at a time, the others wait here: what clients ask of it would come behind
 * hundreds of them.  A log is closed when its jobs are done, so a shard that stops waits for them
 * with its logs. */
#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/shard_internal.h"

#include <stdlib.h>

struct shard_job {
	struct message message;
	struct shard_job *next; /* waits behind it */
	struct store_job *job;
	struct mesh *mesh;
	unsigned shard_index;
};

static void send_first(struct shard *shard)
{
	shard_send(shard, mesh_control(shard->mesh), &shard->jobs_first->message);
}

static void came_back(struct message *message, void *receiver)
{
	struct shard_job *work = container_of(message, struct shard_job, message);
	struct shard *shard = receiver;

	check(shard->jobs_first == work);
	shard->jobs_first = work->next;
	if (shard->jobs_first)
		send_first(shard);
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
	if (shard->jobs_first) {
		shard->jobs_last->next = work;
		shard->jobs_last = work;
		return;
	}
	shard->jobs_first = shard->jobs_last = work;
	send_first(shard);
}
