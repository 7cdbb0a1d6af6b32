/* The coordinator's loop.  One turn:
 *
 *     io_turn            sleeps until a message comes or something is due
 *     mesh_receive       requests -> groups, transactions; pictures of the topics; the shards'
 *                        answers (coordinator_machines.c)
 *     groups_turn        sessions and rebalances that are due
 *     transactions_turn  time-outs that are due, markers that are sent again
 *     topics turn        what was appended leaves for the shards, one batch a partition
 *     lag turn           how far the groups are behind is asked and told */
#include "control/coordinator_internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/broker_picture.h"
#include "control/config.h"
#include "control/group_lag.h"
#include "control/group_telemetry.h"
#include "control/groups/groups.h"
#include "control/transactions/transactions.h"
#include "dataplane/shard_log.h"
#include "storage/io.h"

#include <errno.h>
#include <stdlib.h>

enum { IO_DEPTH = 8 }; /* it has no file and no socket, and is only woken */
static const uint64_t sleep_most_ns = NS_PER_SECOND;

static void ask_for_lag(void *context, unsigned shard, struct shard_log *asked)
{
	struct coordinator *coordinator = context;

	asked->sender = coordinator->self;
	coordinator_send(coordinator, shard, &asked->message);
}

static void tell_lag(void *context, struct lag_picture *picture)
{
	group_telemetry_publish(picture);
}

/* ---- the loop ---- */

static bool is_quiet(const struct coordinator *coordinator)
{
	return coordinator_topics_idle(coordinator) && transactions_idle(coordinator->transactions);
}

static void stop_step(struct coordinator *coordinator)
{
	if (!coordinator->stop)
		return;
	if (!is_quiet(coordinator)) {
		if (clock_monotonic_ns(coordinator->clock) < coordinator->stop_ns)
			return;
		log_warn("coordinator", "state is not durable in time, clients ask again");
		coordinator_topics_abandon(coordinator);
	}
	coordinator->stop->message.handle = coordinator->stop->stopped;
	coordinator_send(coordinator, mesh_control(coordinator->options.mesh),
			 &coordinator->stop->message);
	coordinator->stop = NULL;
}

static uint64_t sooner(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* Returns when something is due. */
static uint64_t turn(struct coordinator *coordinator)
{
	uint64_t due_ns = groups_turn(coordinator->groups);

	due_ns = sooner(due_ns, transactions_turn(coordinator->transactions));
	due_ns = sooner(due_ns, coordinator_topics_turn(coordinator));
	if (coordinator->lag)
		due_ns = sooner(due_ns, group_lag_turn(coordinator->lag));
	stop_step(coordinator);
	return coordinator->stop ? sooner(due_ns, coordinator->stop_ns) : due_ns;
}

static uint64_t sleep_ns(const struct coordinator *coordinator, uint64_t due_ns)
{
	uint64_t now = clock_monotonic_ns(coordinator->clock);

	if (due_ns <= now)
		return 0;
	return due_ns - now < sleep_most_ns ? due_ns - now : sleep_most_ns;
}

static void *run(void *context)
{
	struct coordinator *coordinator = context;
	struct mesh *mesh = coordinator->options.mesh;
	const struct io_options options = {.depth = IO_DEPTH};
	uint64_t wait_ns = 0;
	int rc = io_new(&coordinator->io, coordinator->options.config->io == CONFIG_IO_SYNC,
			&options);

	pthread_setname_np(pthread_self(), "coordinator");
	if (rc < 0) {
		log_error("coordinator", "cannot start error=\"%s\"", error_text(rc));
		exit(1);
	}
	mesh_attach(mesh, coordinator->self, coordinator->io, coordinator);
	while (!atomic_load(&coordinator->ended)) {
		mesh_flush(mesh, coordinator->self);
		rc = io_turn(coordinator->io, wait_ns);
		check(rc >= 0);
		unsigned handled = mesh_receive(mesh, coordinator->self);
		uint64_t due_ns = turn(coordinator);
		wait_ns = handled ? 0 : sleep_ns(coordinator, due_ns);
	}
	/* The shards are gone; what they have sent back last is looked at still. */
	while (mesh_receive(mesh, coordinator->self) > 0)
		;
	mesh_attach(mesh, coordinator->self, NULL, coordinator);
	return NULL;
}

/* ---- start and end ---- */

static int open_lag(struct coordinator *coordinator)
{
	const struct group_lag_options options = {
		.groups = coordinator->groups,
		.clock = coordinator->clock,
		.shard_count = coordinator->options.shard_count,
		.send = ask_for_lag,
		.publish = tell_lag,
		.context = coordinator,
	};
	/* Else nobody could look at the picture. */
	if (!pictures_wanted(coordinator->options.config))
		return 0;
	group_telemetry_start();
	return group_lag_new(&coordinator->lag, &options);
}

int coordinator_start(struct coordinator **ret, const struct coordinator_options *options)
{
	struct coordinator *coordinator = calloc(1, sizeof(*coordinator));
	int rc;

	if (!coordinator)
		return -ENOMEM;
	coordinator->options = *options;
	coordinator->self = mesh_coordinator(options->mesh);
	coordinator->clock = clock_system();
	rc = coordinator_topics_open(coordinator);
	if (rc == 0)
		rc = coordinator_machines_open(coordinator);
	if (rc == 0)
		rc = open_lag(coordinator);
	if (rc < 0)
		goto fail;
	coordinator_topics_start(coordinator);
	rc = -pthread_create(&coordinator->thread, NULL, run, coordinator);
	if (rc < 0)
		goto fail;
	coordinator->running = true;
	*ret = coordinator;
	return 0;
fail:
	coordinator_end(coordinator);
	return rc;
}

void coordinator_end(struct coordinator *coordinator)
{
	if (!coordinator)
		return;
	if (coordinator->running) {
		atomic_store(&coordinator->ended, true);
		mesh_wake(coordinator->options.mesh, coordinator->self);
		pthread_join(coordinator->thread, NULL);
	}
	group_telemetry_publish(NULL);
	group_lag_free(coordinator->lag);
	transactions_free(coordinator->transactions);
	groups_free(coordinator->groups);
	coordinator_topics_free(coordinator);
	io_free(coordinator->io);
	free(coordinator);
}
