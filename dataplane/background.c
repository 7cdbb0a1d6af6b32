/* The background thread.  One turn:
 *
 *     io_turn        sleeps while no job has a step to take, until it is woken
 *     mesh_receive   jobs that the shards send: each goes to the end of its shard's list
 *     resume         those whose pause is over or that are to give up, likewise
 *     take_step      of the first job of the next shard that has one; then it goes to the end
 *                    of its list, pauses, or goes home
 *
 * Priority: nice 19, not SCHED_IDLE.  Beside shards that poll busily on every core the latter would
 * get a three-hundredth of one, and a folder's lock that it held in the kernel would be held for
 * that long against a shard. */
#include "dataplane/background.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "hw/cpus.h"
#include "storage/io.h"
#include "storage/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
	IO_DEPTH = 8, /* it is only woken: steps call the kernel themselves */
	NICE = 19,
};
static const uint64_t sleep_most_ns = NS_PER_SECOND;

struct background {
	struct background_options options;
	unsigned self; /* in the mesh */
	pthread_t thread;
	atomic_bool ended;

	/* The thread's. */
	struct io_backend *io;
	struct list paused;
	unsigned next_shard;
	struct list ready[]; /* background_job, one list a shard */
};

/* ---- jobs ---- */

static void make_ready(struct background *background, struct background_job *work)
{
	list_push_back(&background->ready[work->shard_index], &work->link);
}

void background_take(struct message *message, void *receiver)
{
	make_ready(receiver, container_of(message, struct background_job, message));
}

/* Returns when the next pause is over, UINT64_MAX: there is none. */
static uint64_t resume(struct background *background, uint64_t now_ns)
{
	uint64_t due_ns = UINT64_MAX;

	list_foreach_safe(node, after, &background->paused) {
		struct background_job *work = container_of(node, struct background_job, link);
		if (work->due_ns <= now_ns || atomic_load(&work->job->give_up)) {
			list_remove(&work->link);
			make_ready(background, work);
		} else if (work->due_ns < due_ns) {
			due_ns = work->due_ns;
		}
	}
	return due_ns;
}

static struct background_job *next_ready(struct background *background)
{
	for (unsigned i = 0; i < background->options.shard_count; i++) {
		unsigned shard = background->next_shard;
		background->next_shard = (shard + 1) % background->options.shard_count;
		struct list *node = list_pop_front(&background->ready[shard]);
		if (node)
			return container_of(node, struct background_job, link);
	}
	return NULL;
}

/* False: there is none to take. */
static bool take_step(struct background *background)
{
	struct background_job *work = next_ready(background);

	if (!work)
		return false;
	uint64_t pause_ns = work->job->step(work->job);
	if (pause_ns == STORE_JOB_DONE) {
		work->message.handle = work->finished;
		mesh_send(background->options.mesh, background->self, work->shard_index,
			  &work->message);
	} else if (pause_ns == 0) {
		make_ready(background, work);
	} else {
		work->due_ns = clock_monotonic_ns(background->options.clock) + pause_ns;
		list_push_back(&background->paused, &work->link);
	}
	return true;
}

/* ---- the loop ---- */

static uint64_t sleep_ns(uint64_t due_ns, uint64_t now_ns)
{
	uint64_t most_ns = due_ns > now_ns ? due_ns - now_ns : 0;

	return most_ns < sleep_most_ns ? most_ns : sleep_most_ns;
}

/* Neither has to succeed. */
static void step_back(const struct background *background)
{
	if (background->options.cpus && background->options.cpus->count)
		cpus_allow(background->options.cpus);
	setpriority(PRIO_PROCESS, 0, NICE); /* of a thread, with Linux */
}

static void *run(void *context)
{
	struct background *background = context;
	struct mesh *mesh = background->options.mesh;
	const struct io_options options = {.depth = IO_DEPTH};
	uint64_t wait_ns = 0;
	int rc = io_new(&background->io, background->options.sync_io, &options);

	pthread_setname_np(pthread_self(), "background");
	if (rc < 0) {
		log_error("background", "cannot start error=\"%s\"", error_text(rc));
		exit(1);
	}
	step_back(background);
	mesh_attach(mesh, background->self, background->io, background);
	while (!atomic_load(&background->ended)) {
		mesh_flush(mesh, background->self);
		rc = io_turn(background->io, wait_ns);
		check(rc >= 0);
		unsigned handled = mesh_receive(mesh, background->self);
		uint64_t now_ns = clock_monotonic_ns(background->options.clock);
		uint64_t due_ns = resume(background, now_ns);
		bool busy = take_step(background);
		wait_ns = busy || handled ? 0 : sleep_ns(due_ns, now_ns);
	}
	mesh_attach(mesh, background->self, NULL, background);
	return NULL;
}

int background_start(struct background **ret, const struct background_options *options)
{
	struct background *background = calloc(
		1, sizeof(*background) + options->shard_count * sizeof(background->ready[0]));

	if (!background)
		return -ENOMEM;
	background->options = *options;
	background->self = mesh_background(options->mesh);
	list_init(&background->paused);
	for (unsigned i = 0; i < options->shard_count; i++)
		list_init(&background->ready[i]);
	int rc = -pthread_create(&background->thread, NULL, run, background);
	if (rc < 0) {
		free(background);
		return rc;
	}
	*ret = background;
	return 0;
}

void background_end(struct background *background)
{
	if (!background)
		return;
	atomic_store(&background->ended, true);
	mesh_wake(background->options.mesh, background->self);
	pthread_join(background->thread, NULL);
	check(list_empty(&background->paused));
	io_free(background->io);
	free(background);
}
