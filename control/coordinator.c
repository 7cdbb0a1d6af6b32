/* The coordinator's loop.  One turn:
 *
 *     io_turn          sleeps until a message comes or a timer of the groups or a load is due
 *     mesh_receive     requests -> groups; pictures of the topics; the shards' answers
 *     groups_turn      sessions and rebalances that are due
 *     log turn         what was appended leaves for the shards, one batch a partition
 *     lag turn         how far the groups are behind is asked and told
 *
 * Whatever calls the groups ends with coordinator_log_call_end: its records are stored together. */
#include "control/coordinator.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/config.h"
#include "control/coordinator_log.h"
#include "control/group_lag.h"
#include "control/group_telemetry.h"
#include "control/groups/groups.h"
#include "dataplane/shard.h"
#include "dataplane/shard_log.h"
#include "dataplane/share/share_ask.h"
#include "kafka_messages.h"
#include "storage/io.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { IO_DEPTH = 8 }; /* it has no file and no socket, and is only woken */
static const uint64_t sleep_most_ns = NS_PER_SECOND;

struct coordinator {
	struct coordinator_options options;
	unsigned self; /* in the mesh */
	const struct clock *clock;
	pthread_t thread;
	bool running;
	atomic_bool ended;

	/* The thread's. */
	struct io_backend *io;
	struct groups *groups;
	struct coordinator_log *log;
	struct group_lag *lag; /* null: dpdk.telemetry is off */
	struct coordinator_wish wish;
	bool wishing;                  /* `wish` is not back */
	struct coordinator_stop *stop; /* being answered */
	uint64_t stop_ns;              /* ... at the latest */
};

/* ---- between the groups, their log and the mesh ---- */

static void answer(void *context, struct control_request *request)
{
	struct coordinator *coordinator = context;

	request->message.handle = request->answered;
	mesh_send(coordinator->options.mesh, coordinator->self, request->shard_index,
		  &request->message);
}

static void share_answer(void *context, struct share_ask *ask)
{
	struct coordinator *coordinator = context;

	ask->message.handle = ask->done;
	mesh_send(coordinator->options.mesh, coordinator->self, ask->shard_index, &ask->message);
}

static void send_to_shard(void *context, unsigned shard, struct message *message)
{
	struct coordinator *coordinator = context;

	mesh_send(coordinator->options.mesh, coordinator->self, shard, message);
}

static void ask_for_lag(void *context, unsigned shard, struct shard_log *asked)
{
	struct coordinator *coordinator = context;

	asked->sender = coordinator->self;
	send_to_shard(coordinator, shard, &asked->message);
}

static void tell_lag(void *context, struct lag_picture *picture)
{
	group_telemetry_publish(picture);
}

static void wish_granted(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	(void)message;
	coordinator->wishing = false;
	if (coordinator->wish.rc < 0)
		coordinator_log_refused(coordinator->log, coordinator->wish.rc);
}

static void wish_for_topic(void *context)
{
	struct coordinator *coordinator = context;
	struct mesh *mesh = coordinator->options.mesh;

	/* A picture that was on its way has come before: its own is still to come. */
	if (coordinator->wishing)
		return;
	coordinator->wishing = true;
	coordinator->wish = (struct coordinator_wish){
		.message.handle = coordinator->options.wish,
		.granted = wish_granted,
	};
	mesh_send(mesh, coordinator->self, mesh_control(mesh), &coordinator->wish.message);
}

static void begin_load(void *groups, int32_t partition)
{
	groups_begin_load(groups, partition);
}

static int replay(void *groups, int32_t partition, const struct record *record,
		  int64_t timestamp_ms, char *why, size_t why_bytes)
{
	return groups_replay(groups, partition, record, timestamp_ms, why, why_bytes);
}

static void end_load(void *groups, int32_t partition)
{
	groups_end_load(groups, partition);
}

static int rewrite(void *groups, int32_t partition)
{
	return groups_rewrite(groups, partition);
}

static size_t live_records(const void *groups, int32_t partition)
{
	return groups_live_records(groups, partition);
}

/* ---- messages ---- */

/* TODO(transactions): control/transactions serves these. */
static bool is_transactional(int16_t key)
{
	return key == KAFKA_ADD_PARTITIONS_TO_TXN || key == KAFKA_ADD_OFFSETS_TO_TXN ||
	       key == KAFKA_END_TXN || key == KAFKA_TXN_OFFSET_COMMIT ||
	       key == KAFKA_DESCRIBE_TRANSACTIONS || key == KAFKA_LIST_TRANSACTIONS;
}

void coordinator_request_handle(struct message *message, void *receiver)
{
	struct control_request *request = container_of(message, struct control_request, message);
	struct coordinator *coordinator = receiver;

	if (is_transactional(request->api->key)) {
		request->rc = -ENOMEM; /* the request fails */
		answer(coordinator, request);
		return;
	}
	groups_handle(coordinator->groups, request);
	coordinator_log_call_end(coordinator->log);
}

void coordinator_share_handle(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	groups_share(coordinator->groups, container_of(message, struct share_ask, message));
	coordinator_log_call_end(coordinator->log);
}

void coordinator_publish_handle(struct message *message, void *receiver)
{
	struct shard_publish *publish = container_of(message, struct shard_publish, message);
	struct coordinator *coordinator = receiver;
	struct mesh *mesh = coordinator->options.mesh;

	groups_set_topics(coordinator->groups, publish->topics);
	coordinator_log_call_end(coordinator->log);
	coordinator_log_set_topic(coordinator->log, topics_find(publish->topics, OFFSETS_TOPIC,
								strlen(OFFSETS_TOPIC)));
	message->handle = publish->published;
	mesh_send(mesh, coordinator->self, mesh_control(mesh), message);
}

void coordinator_stop_handle(struct message *message, void *receiver)
{
	struct coordinator *coordinator = receiver;

	coordinator->stop = container_of(message, struct coordinator_stop, message);
	coordinator->stop_ns = clock_monotonic_ns(coordinator->clock) +
			       coordinator->stop->drain_ms * NS_PER_MS;
	groups_stop(coordinator->groups);
	coordinator_log_stop(coordinator->log);
	if (coordinator->lag)
		group_lag_stop(coordinator->lag);
}

/* ---- the loop ---- */

static void stop_step(struct coordinator *coordinator)
{
	struct mesh *mesh = coordinator->options.mesh;

	if (!coordinator->stop)
		return;
	if (!coordinator_log_idle(coordinator->log)) {
		if (clock_monotonic_ns(coordinator->clock) < coordinator->stop_ns)
			return;
		log_warn("coordinator", "group state is not durable in time, members ask again");
		coordinator_log_abandon(coordinator->log);
	}
	coordinator->stop->message.handle = coordinator->stop->stopped;
	mesh_send(mesh, coordinator->self, mesh_control(mesh), &coordinator->stop->message);
	coordinator->stop = NULL;
}

/* Returns when something is due. */
static uint64_t turn(struct coordinator *coordinator)
{
	uint64_t groups_ns = groups_turn(coordinator->groups);
	uint64_t log_ns = coordinator_log_turn(coordinator->log);
	uint64_t lag_ns = coordinator->lag ? group_lag_turn(coordinator->lag) : UINT64_MAX;
	uint64_t due_ns = groups_ns < log_ns ? groups_ns : log_ns;

	if (lag_ns < due_ns)
		due_ns = lag_ns;
	stop_step(coordinator);
	if (coordinator->stop && coordinator->stop_ns < due_ns)
		due_ns = coordinator->stop_ns;
	return due_ns;
}

static uint64_t sleep_ns(const struct coordinator *coordinator, uint64_t due_ns)
{
	uint64_t now = clock_monotonic_ns(coordinator->clock);

	if (due_ns <= now)
		return 0;
	return due_ns - now < sleep_most_ns ? due_ns - now : sleep_most_ns;
}

static int open_io(struct coordinator *coordinator)
{
	const struct io_options options = {.depth = IO_DEPTH};
	int rc = -ENOSYS;

	if (coordinator->options.config->io != CONFIG_IO_SYNC)
		rc = io_uring_new(&coordinator->io, &options);
	if (rc < 0)
		rc = io_sync_new(&coordinator->io, &options);
	return rc;
}

static void *run(void *context)
{
	struct coordinator *coordinator = context;
	struct mesh *mesh = coordinator->options.mesh;
	uint64_t wait_ns = 0;
	int rc = open_io(coordinator);

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
	mesh_attach(mesh, coordinator->self, NULL, coordinator);
	return NULL;
}

/* ---- start and end ---- */

static int open_log(struct coordinator *coordinator)
{
	const struct coordinator_options *options = &coordinator->options;
	const struct coordinator_log_options log_options = {
		.clock = coordinator->clock,
		.partition_count = options->partition_count,
		.rewrite_bytes_min = (uint64_t)options->config->offsets_topic_rewrite_bytes,
		.shard_count = options->shard_count,
		.sender = coordinator->self,
		.send = send_to_shard,
		.create_topic = wish_for_topic,
		.context = coordinator,
	};
	return coordinator_log_new(&coordinator->log, &log_options);
}

static int open_groups(struct coordinator *coordinator)
{
	const struct groups_options options = {
		.config = coordinator->options.config,
		.clock = coordinator->clock,
		.log = coordinator_log_seam(coordinator->log),
		.answer = answer,
		.share_answer = share_answer,
		.context = coordinator,
	};
	int rc = groups_new(&coordinator->groups, &options);

	if (rc == 0)
		rc = groups_set_partitions(coordinator->groups,
					   coordinator->options.partition_count);
	return rc;
}

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
	/* Nobody could look at the picture. */
	if (!coordinator->options.config->dpdk_telemetry)
		return 0;
	group_telemetry_start();
	return group_lag_new(&coordinator->lag, &options);
}

static void start_log(struct coordinator *coordinator)
{
	const struct coordinator_log_state state = {
		.begin_load = begin_load,
		.replay = replay,
		.end_load = end_load,
		.rewrite = rewrite,
		.live_records = live_records,
		.context = coordinator->groups,
	};
	coordinator_log_start(coordinator->log, &state, coordinator->options.topic_exists);
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
	rc = open_log(coordinator);
	if (rc == 0)
		rc = open_groups(coordinator);
	if (rc == 0)
		rc = open_lag(coordinator);
	if (rc < 0)
		goto fail;
	start_log(coordinator);
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
	groups_free(coordinator->groups);
	coordinator_log_free(coordinator->log);
	io_free(coordinator->io);
	free(coordinator);
}
