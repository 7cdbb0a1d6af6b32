/* Bringing the broker up, running the control plane's loop, and taking the broker down.
 *
 *     main thread = control plane, the last of the mesh
 *       start: EAL, mesh, backend, catalog, coordinator, background thread, listeners, shards; the
 *              first publish opens every log, and when it is back the broker is ready
 *       loop:  messages from shards (requests.c, publish.c); sleeps in io_turn
 *       stop:  the coordinator lets go of what it has parked, as that holds up shards; then
 *              shard_stop to every shard; when all have answered they, the coordinator and the
 *              background thread are joined */
#include "control/control_internal.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/broker_picture.h"
#include "control/counter_telemetry.h"
#include "control/data_folder.h"
#include "control/network.h"
#include "control/service.h"
#include "dataplane/background.h"
#include "dataplane/message.h"
#include "hw/cpus.h"
#include "storage/io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLEEP_NS_MAX = 1000000000,
	IO_DEPTH = 64,
	OWN_CORE_FROM = 4, /* with this many processors the control plane gets one to itself */
};

/* ---- start ---- */

/* Where threads may run: first the cores that shard.cores names, whose number is returned, then the
 * process's others; so isolated cores that only the setting names have nothing but shards.  -errno,
 * -ERR_CONFIG. */
static int find_cpus(const struct config *config, struct cpus *ret, char *why, size_t why_bytes)
{
	struct cpus others;
	int rc = cpus_allowed(&others);

	if (rc < 0)
		return rc;
	if (cpus_parse(ret, config->shard_cores) < 0) {
		snprintf(why, why_bytes,
			 "shard.cores = \"%.80s\": expected numbers and ranges, such as 2-7,10",
			 config->shard_cores);
		return -ERR_CONFIG;
	}
	if (ret->count > 0 && config->shards > ret->count) {
		snprintf(why, why_bytes, "shards = %lld: shard.cores has %d",
			 (long long)config->shards, ret->count);
		return -ERR_CONFIG;
	}
	int named = ret->count;
	cpus_keep(&others, ret, false);
	for (int i = 0; i < others.count; i++)
		ret->numbers[ret->count++] = others.numbers[i];
	return named;
}

static unsigned count_shards(const struct config *config, int named, int cpus)
{
	if (config->shards)
		return (unsigned)config->shards;
	int count = named ? named : cpus >= OWN_CORE_FROM ? cpus - 1 : cpus;
	return count > SHARDS_MAX ? SHARDS_MAX : (unsigned)count;
}

static int open_mesh(struct control *control, char *why, size_t why_bytes)
{
	const struct io_options io_options = {.depth = IO_DEPTH};
	unsigned threads = control->shard_count +
			   3; /* the background, the coordinator and this one */
	int rc = network_start(control->config, control->shard_count, why, why_bytes);

	if (rc < 0)
		return rc;
	snprintf(why, why_bytes, "rings between shards");
	rc = mesh_new(&control->mesh, threads);
	if (rc < 0)
		return rc;
	snprintf(why, why_bytes, "I/O back end of the control plane");
	rc = io_new(&control->io, control->config->io == CONFIG_IO_SYNC, &io_options);
	if (rc == 0)
		mesh_attach(control->mesh, mesh_control(control->mesh), control->io, control);
	return rc;
}

static struct shard_options options_of(const struct control *control,
				       const struct data_folder *folder, unsigned index)
{
	const struct config *config = control->config;
	unsigned count = control->shard_count;

	return (struct shard_options){
		.index = index,
		.shard_count = count,
		.cpu = -1,
		.sync_io = config->io == CONFIG_IO_SYNC,
		.busy_poll = config->poll == CONFIG_POLL_BUSY,
		.topics_directory = folder->topics,
		.buffer_bytes_max = (size_t)config->log_buffer_bytes / count,
		.request_bytes_max = (size_t)config->socket_request_max_bytes,
		.inflight_bytes_max = (size_t)config->queued_max_request_bytes / count,
		.connection_descriptors_max = control->descriptors.connections_a_shard,
		.files_max = control->descriptors.files_a_shard,
		.index_bytes_max = (size_t)config->log_index_bytes / count,
		.producers_per_partition_max = (size_t)config->producer_ids_per_partition_max,
		.producers_max = (size_t)config->producer_ids_max / count + 1,
		.dedup_bytes_max = (size_t)config->dedup_memory_bytes / count,
		.scrub_interval_ms = config->log_scrub_interval_ms,
		.compact_map_bytes = (size_t)config->log_cleaner_dedupe_buffer_bytes / count,
		.limits = live_shard_limits(control),
		.clock = clock_system(),
		.control_request = requests_handle,
		.coordinator_request = coordinator_request_handle,
		.coordinator_share = coordinator_share_handle,
		.coordinator_transaction = coordinator_transaction_handle,
	};
}

/* Each shard gets a core of its own. */
static bool pins_shards(const struct control *control, const struct cpus *cpus)
{
	return control->config->pin_threads && control->shard_count <= (unsigned)cpus->count;
}

static int start_shards(struct control *control, const struct data_folder *folder,
			const struct cpus *cpus, struct sockets *sockets)
{
	bool pin = pins_shards(control, cpus);

	for (unsigned i = 0; i < control->shard_count; i++) {
		struct shard_options options = options_of(control, folder, i);
		if (pin)
			options.cpu = cpus->numbers[i];
		options.listener = sockets->listeners[i];
		options.udp_socket = sockets->datagrams[i];
		options.port = control->port;
		options.faults = control->config->datagram_faults[0] ? &control->faults : NULL;
		int rc = shard_start(&control->shards[i], control->mesh, &options);
		if (rc < 0)
			return rc;
		sockets->listeners[i] = sockets->datagrams[i] = -1;
		control->shards_started++;
	}
	return 0;
}

static int listen_and_start(struct control *control, const struct data_folder *folder,
			    const struct cpus *cpus, char *why, size_t why_bytes)
{
	struct sockets sockets;
	int rc = sockets_open(control, &sockets, why, why_bytes);

	if (rc == 0) {
		snprintf(why, why_bytes, "shard threads");
		rc = start_shards(control, folder, cpus, &sockets);
	}
	sockets_close(&sockets);
	return rc;
}

static int start_coordinator(struct control *control, char *why, size_t why_bytes)
{
	struct coordinator_options options = {
		.config = control->config,
		.mesh = control->mesh,
		.shard_count = control->shard_count,
		.wish = internal_topics_wish,
		.ids = producer_ids_give,
	};

	for (int i = 0; i < INTERNAL_TOPIC_COUNT; i++)
		options.topics[i] = internal_topic_state(control, i);
	snprintf(why, why_bytes, "coordinator");
	return coordinator_start(&control->coordinator, &options);
}

/* On the cores that no shard has, where there are such. */
static int start_background(struct control *control, const struct cpus *cpus, char *why,
			    size_t why_bytes)
{
	const struct background_options options = {
		.mesh = control->mesh,
		.shard_count = control->shard_count,
		.sync_io = control->config->io == CONFIG_IO_SYNC,
		.cpus = pins_shards(control, cpus) ? &control->spare_cpus : NULL,
		.clock = clock_system(),
	};
	struct cpus *spare = &control->spare_cpus;

	for (int i = (int)control->shard_count; i < cpus->count; i++)
		spare->numbers[spare->count++] = cpus->numbers[i];
	snprintf(why, why_bytes, "background thread");
	return background_start(&control->background, &options);
}

static void share_descriptors(struct control *control)
{
	control->descriptors = descriptor_shares(control->config, control->shard_count,
						 descriptor_limit_raise());
	const struct descriptor_shares *shares = &control->descriptors;

	log_info("control", "descriptors limit=%llu files=%llu connections=%llu",
		 (unsigned long long)shares->limit,
		 (unsigned long long)shares->files_a_shard * control->shard_count,
		 (unsigned long long)shares->connections_a_shard * control->shard_count);
}

static int allocate(struct control *control)
{
	/* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): one shard at least */
	control->shards = calloc(control->shard_count, sizeof(struct shard *));
	control->publishes = calloc(control->shard_count + 1, sizeof(struct shard_publish));
	control->stops = calloc(control->shard_count, sizeof(struct shard_stop));
	control->busy_ns = calloc(control->shard_count, sizeof(uint64_t));
	return control->shards && control->publishes && control->stops && control->busy_ns
		       ? 0
		       : -ENOMEM;
}

static int open_catalog(struct control *control, const struct data_folder *folder, char *why,
			size_t why_bytes)
{
	int rc = catalog_open(&control->catalog, folder->fd, why, why_bytes);

	if (rc < 0)
		return rc;
	snprintf(why, why_bytes, "catalog");
	rc = catalog_begin_run(control->catalog, &control->epoch);
	return rc < 0 ? rc : live_start(control);
}

int control_start(struct control **ret, const struct config *config,
		  const struct data_folder *folder, char *why, size_t why_bytes)
{
	struct control *control = calloc(1, sizeof(*control));
	struct cpus cpus = {0};

	if (!control)
		return -ENOMEM;
	*ret = control; /* half-built: control_free takes it in any case */
	control->config = config;
	control->node_id = (int32_t)config->node_id;
	control->started_ns = clock_monotonic_ns(clock_system());
	atomic_init(&control->turned_ns, control->started_ns);
	list_init(&control->waiting_coming);
	list_init(&control->waiting_next);
	int rc = find_cpus(config, &cpus, why, why_bytes);
	if (rc < 0)
		return rc;
	control->shard_count = count_shards(config, rc, cpus.count);
	snprintf(why, why_bytes, "start");
	share_descriptors(control);
	rc = allocate(control);
	if (rc == 0)
		rc = open_catalog(control, folder, why, why_bytes);
	if (rc == 0)
		rc = open_mesh(control, why, why_bytes);
	if (rc == 0)
		rc = dedup_stats_start(control);
	if (rc == 0)
		rc = usage_stats_start(control);
	if (rc == 0 && config->dpdk_telemetry)
		counter_telemetry_start();
	if (rc == 0)
		rc = start_coordinator(control, why, why_bytes);
	if (rc == 0)
		rc = start_background(control, &cpus, why, why_bytes);
	if (rc == 0)
		rc = listen_and_start(control, folder, &cpus, why, why_bytes);
	if (rc == 0)
		rc = service_new(&control->service, control);
	return rc;
}

bool admin_wanted(const struct config *config)
{
	return config->admin_listen[0];
}

/* ---- run ---- */

static void shard_stopped(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	control->shards_stopped++;
}

/* What is left of shutdown.drain.ms. */
static uint32_t drain_left_ms(const struct control *control)
{
	uint64_t drain_ms = (uint64_t)control->config->shutdown_drain_ms;
	uint64_t passed_ms = (clock_monotonic_ns(clock_system()) - control->stop_ns) / NS_PER_MS;

	return passed_ms < drain_ms ? (uint32_t)(drain_ms - passed_ms) : 0;
}

static void coordinator_stopped(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	for (unsigned i = 0; i < control->shard_count; i++) {
		control->stops[i] = (struct shard_stop){
			.message.handle = shard_stop_handle,
			.stopped = shard_stopped,
			.drain_ms = drain_left_ms(control),
		};
		mesh_send(control->mesh, mesh_control(control->mesh), i,
			  &control->stops[i].message);
	}
}

static void begin_stop(struct control *control)
{
	control->stopping = true;
	atomic_store_explicit(&control->serves, false, memory_order_relaxed);
	control->stop_ns = clock_monotonic_ns(clock_system());
	service_stopping(control->service);
	log_milestone("control", "stopping drain_ms=%lld",
		      (long long)control->config->shutdown_drain_ms);
	control->coordinator_stop = (struct coordinator_stop){
		.message.handle = coordinator_stop_handle,
		.stopped = coordinator_stopped,
		.drain_ms = (uint32_t)control->config->shutdown_drain_ms,
	};
	mesh_send(control->mesh, mesh_control(control->mesh), mesh_coordinator(control->mesh),
		  &control->coordinator_stop.message);
}

static void removal_taken(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	free(control->remove);
	control->remove = NULL;
}

/* What an earlier run had no time for.  Which shard does it does not matter. */
static void remove_deleted(struct control *control)
{
	const struct uuid *ids;
	size_t count = catalog_deleted(control->catalog, &ids);

	if (!count)
		return;
	control->remove = calloc(1, sizeof(*control->remove) + count * sizeof(*ids));
	if (!control->remove)
		return;
	log_info("control", "deleted topics are still to be removed topics=%zu", count);
	control->remove->message.handle = shard_remove_handle;
	control->remove->taken = removal_taken;
	control->remove->count = count;
	memcpy(control->remove->topic_ids, ids, count * sizeof(*ids));
	mesh_send(control->mesh, mesh_control(control->mesh), 0, &control->remove->message);
}

static void end_threads(struct control *control)
{
	for (unsigned i = 0; i < control->shards_started; i++)
		shard_join(control->shards[i]);
	coordinator_end(control->coordinator);
	control->coordinator = NULL;
	background_end(control->background);
	control->background = NULL;
	for (unsigned i = 0; i < control->shards_started; i++) {
		shard_free(control->shards[i]);
		control->shards[i] = NULL;
	}
}

int control_run(struct control *control)
{
	unsigned self = mesh_control(control->mesh);
	unsigned handled = 0;

	control->published_number = catalog_next_number(control->catalog);
	publish_changes(control);
	remove_deleted(control);
	while (control->shards_stopped < control->shard_count) {
		mesh_flush(control->mesh, self);
		/* A burst may have left some behind, of which nobody tells again. */
		int rc = io_turn(control->io,
				 handled ? 0 : service_sleep_ns(control->service, SLEEP_NS_MAX));
		if (rc < 0) {
			errands_end(&control->errands);
			return rc;
		}
		handled = mesh_receive(control->mesh, self);
		atomic_store_explicit(&control->turned_ns, clock_monotonic_ns(clock_system()),
				      memory_order_relaxed);
		errands_turn(&control->errands, control);
		publish_turn(control);
		service_turn(control->service);
		if (control->ready && !control->stopping) {
			live_turn(control);
			dedup_stats_turn(control);
			usage_stats_turn(control);
			broker_picture_turn(control);
		}
		if (!control->stopping && atomic_load(&control->stop_wanted))
			begin_stop(control);
	}
	errands_end(&control->errands);
	end_threads(control);
	log_milestone("control", "stopped");
	return 0;
}

void control_stop(struct control *control)
{
	atomic_store(&control->stop_wanted, true);
	io_wake(control->io);
}

void control_reloads_with(struct control *control,
			  int (*load)(struct config *ret, char *why, size_t why_bytes))
{
	control->load = load;
}

void control_reload(struct control *control)
{
	atomic_store(&control->reload_wanted, true);
	io_wake(control->io);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	network_port_stop(control->port, control->config, control->shard_count);
	dedup_stats_free(control);
	usage_stats_free(control);
	broker_picture_end();
	publish_free(control);
	service_free(control->service);
	live_free(control);
	catalog_close(control->catalog);
	mesh_free(control->mesh);
	io_free(control->io);
	free(control->shards);
	free(control->publishes);
	free(control->stops);
	free(control->busy_ns);
	free(control->remove);
	free(control);
}
