/* Being a service of systemd's: sd_notify(3), sd_watchdog_enabled(3).
 *
 *     every quarter of WatchdogSec=:  a ping to every shard and the coordinator ──┐
 *     all are back:                   WATCHDOG=1                                  │
 *     one is not:                     no more of either, and a warning; systemd <─┘
 *                                     ends and restarts the broker in its time
 *
 * A ping wakes a shard that sleeps, so an idle one counts as alive, and one that hangs in a turn,
 * or spins without receiving, does not. */
#include "control/service.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/control_internal.h"
#include "dataplane/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

enum {
	PINGS_A_PERIOD = 4, /* of the watchdog's; systemd advises two or more */
	STATUS_NS_MIN = 1000000000,
	NS_A_US = 1000,
};

struct service_ping {
	struct shard_ping ping;
	struct service *service;
	bool out;
};

struct service {
	struct control *control;
	uint64_t period_ns; /* of pings; 0: nobody watches */
	uint64_t pinged_ns; /* or looked whether pings are back */
	uint64_t told_ns;   /* of the status */
	size_t topics;      /* as told */
	int64_t partitions;
	bool is_ready; /* was told */
	bool warned;   /* that pings are not back */
	unsigned out;
	unsigned count;
	struct service_ping pings[]; /* one a shard, the last for the coordinator */
};

int service_new(struct service **ret, struct control *control)
{
	unsigned count = control->shard_count + 1;
	struct service *service = calloc(1, sizeof(*service) + count * sizeof(struct service_ping));
	uint64_t watchdog_us = 0;

	if (!service)
		return -ENOMEM;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		service->period_ns = watchdog_us * NS_A_US / PINGS_A_PERIOD;
	service->control = control;
	service->count = count;
	for (unsigned i = 0; i < count; i++)
		service->pings[i].service = service;
	*ret = service;
	return 0;
}

void service_free(struct service *service)
{
	free(service);
}

/* ---- what is told ---- */

static void tell_status(struct service *service, const char *state)
{
	const struct control *control = service->control;

	service->topics = catalog_topic_count(control->catalog);
	service->partitions = catalog_partition_count(control->catalog);
	service->told_ns = clock_monotonic_ns(clock_system());
	sd_notifyf(0, "%sSTATUS=%zu topics, %" PRId64 " partitions, %u shards", state,
		   service->topics, service->partitions, control->shard_count);
}

void service_reloading(struct service *service)
{
	service->is_ready = false;
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reading its settings again",
		   clock_monotonic_ns(clock_system()) / NS_A_US);
}

void service_stopping(struct service *service)
{
	(void)service;
	sd_notify(0, "STOPPING=1\nSTATUS=answering what is under way");
}

static void status_turn(struct service *service, uint64_t now_ns)
{
	const struct control *control = service->control;

	if (!service->is_ready) {
		service->is_ready = true;
		tell_status(service, "READY=1\n");
	}
	if (now_ns - service->told_ns >= STATUS_NS_MIN &&
	    (service->topics != catalog_topic_count(control->catalog) ||
	     service->partitions != catalog_partition_count(control->catalog)))
		tell_status(service, "");
}

/* ---- the watchdog ---- */

static void turned(struct message *message, void *receiver)
{
	struct shard_ping *ping = container_of(message, struct shard_ping, message);
	struct service_ping *back = container_of(ping, struct service_ping, ping);
	struct service *service = back->service;

	(void)receiver;
	back->out = false;
	if (--service->out)
		return;
	sd_notify(0, "WATCHDOG=1");
	if (service->warned)
		log_info("service", "all threads make progress again");
	service->warned = false;
}

static void send_pings(struct service *service)
{
	struct control *control = service->control;
	unsigned self = mesh_control(control->mesh);

	service->out = service->count;
	for (unsigned i = 0; i < service->count; i++) {
		bool shard = i < control->shard_count;
		struct service_ping *ping = &service->pings[i];
		ping->out = true;
		ping->ping = (struct shard_ping){
			.message.handle = shard ? shard_ping_handle : coordinator_ping_handle,
			.turned = turned,
		};
		mesh_send(control->mesh, self, shard ? i : mesh_coordinator(control->mesh),
			  &ping->ping.message);
	}
}

static void warn(struct service *service)
{
	service->warned = true;
	for (unsigned i = 0; i < service->count; i++) {
		if (!service->pings[i].out)
			continue;
		if (i < service->control->shard_count)
			log_warn("service", "a shard makes no progress shard=%u", i);
		else
			log_warn("service", "the coordinator makes no progress");
	}
}

static void watchdog_turn(struct service *service, uint64_t now_ns)
{
	if (now_ns - service->pinged_ns < service->period_ns)
		return;
	/* Threads that end answer no more; how long that may take is TimeoutStopSec='s to say. */
	if (service->control->stopping)
		sd_notify(0, "WATCHDOG=1");
	else if (!service->out)
		send_pings(service);
	else if (!service->warned)
		warn(service);
	service->pinged_ns = now_ns;
}

void service_turn(struct service *service)
{
	const struct control *control = service->control;
	uint64_t now_ns = clock_monotonic_ns(clock_system());

	if (control->ready && !control->stopping)
		status_turn(service, now_ns);
	if (control->ready && service->period_ns)
		watchdog_turn(service, now_ns);
}

uint64_t service_sleep_ns(const struct service *service, uint64_t most_ns)
{
	return service->period_ns && service->period_ns < most_ns ? service->period_ns : most_ns;
}
