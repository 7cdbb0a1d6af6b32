/* Settings that change while the broker runs.
 *
 *     defaults, files, environment, command line ──> said ─┐
 *     (read again on SIGHUP)                               ├──> config: what holds
 *     what clients have set: the catalog's overrides ──────┘      │
 *                    ┌──────────────┬──────────────┬──────────────┤
 *                    v              v              v              v
 *            control plane   the coordinator   each shard     the picture
 *            (reads it)      (configure)       (configure)    (publish.c)
 *
 * A struct config never changes: a new one takes the place of the former, which is freed when the
 * coordinator, the only other thread that reads it, has let go of it.  Shards get the few limits
 * that concern them by value.  Of a setting that needs a restart the value of the start stays.
 * Whatever cannot be done - a bad file, no memory - changes nothing. */
#include "control/control_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/service.h"
#include "dataplane/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_BYTES = 1024 };

/* One change on its way to the other threads. */
struct notice {
	struct control *control;
	struct config *former; /* null: not ours to free */
	unsigned out;          /* messages that are not back */
	struct coordinator_configure coordinator;
	struct shard_notice {
		struct notice *notice;
		struct shard_configure configure;
	} shards[];
};

/* ---- shards ---- */

/* A shard's part; 0: no limit. */
static uint64_t compact_rate(const struct config *config, unsigned shard_count)
{
	int64_t bytes = config->log_cleaner_io_max_bytes_per_second;

	return bytes < 0 ? 0 : (uint64_t)bytes / shard_count + 1;
}

struct shard_limits live_shard_limits(const struct control *control)
{
	const struct config *config = control->config;
	unsigned count = control->shard_count;

	return (struct shard_limits){
		.connections_max = (unsigned)((config->max_connections + count - 1) / count),
		.pipeline_max = (unsigned)config->max_requests_per_connection,
		.idle_ms_max = (uint32_t)config->connections_max_idle_ms,
		.decompressed_bytes_max = (size_t)config->decompressed_max_bytes,
		.producer_expiration_ms = config->producer_id_expiration_ms,
		.scrub_bytes_per_second = (uint64_t)config->log_scrub_bytes_per_second / count,
		.compact_bytes_per_second = compact_rate(config, count),
		.compact_backoff_ms = config->log_cleaner_backoff_ms,
	};
}

/* ---- what holds ---- */

static int set_overrides(struct config *config, const struct broker_overrides *overrides,
			 enum config_origin origin)
{
	char why[REASON_BYTES];
	int rc = 0;

	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++) {
		if (overrides->texts[i])
			rc = config_set(config, i, overrides->texts[i], origin, why, sizeof(why));
	}
	return rc;
}

/* *ret is for free_config. */
static int draw(const struct control *control, struct config **ret)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	int rc = config_copy(config, &control->said);
	if (rc == 0)
		rc = set_overrides(config, catalog_broker_overrides(control->catalog, BROKER_ALL),
				   CONFIG_BY_CLUSTER);
	if (rc == 0)
		rc = set_overrides(config, catalog_broker_overrides(control->catalog, BROKER_ONE),
				   CONFIG_BY_BROKER);
	if (rc < 0) {
		config_fini(config);
		free(config);
		return rc;
	}
	*ret = config;
	return 0;
}

static void free_config(struct config *config)
{
	if (config)
		config_fini(config);
	free(config);
}

/* ---- telling the others ---- */

static void back(struct notice *notice)
{
	if (--notice->out)
		return;
	free_config(notice->former);
	free(notice);
}

static void coordinator_configured(struct message *message, void *receiver)
{
	(void)receiver;
	back(container_of(message, struct notice, coordinator.message));
}

static void shard_configured(struct message *message, void *receiver)
{
	(void)receiver;
	back(container_of(message, struct shard_notice, configure.message)->notice);
}

static void tell(struct control *control, struct notice *notice)
{
	unsigned self = mesh_control(control->mesh);

	notice->out = control->shard_count + 1;
	notice->coordinator = (struct coordinator_configure){
		.message.handle = coordinator_configure_handle,
		.configured = coordinator_configured,
		.config = control->config,
	};
	mesh_send(control->mesh, self, mesh_coordinator(control->mesh),
		  &notice->coordinator.message);
	for (unsigned i = 0; i < control->shard_count; i++) {
		notice->shards[i] =
			(struct shard_notice){.notice = notice,
					      .configure = {
						      .message.handle = shard_configure_handle,
						      .configured = shard_configured,
						      .limits = live_shard_limits(control),
					      }};
		mesh_send(control->mesh, self, i, &notice->shards[i].configure.message);
	}
}

static void log_changes(const struct config *from, const struct config *to)
{
	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		if (!config_same(from, to, i))
			log_info("config", "changed %s = %s (was %s)", config_params[i].key,
				 to->texts[i], from->texts[i]);
	}
}

/* Whoever calls it publishes.  -ENOMEM: all is as before. */
static int apply(struct control *control)
{
	struct notice *notice =
		calloc(1, sizeof(*notice) + control->shard_count * sizeof(struct shard_notice));
	struct config *next = NULL;
	int rc = notice ? draw(control, &next) : -ENOMEM;

	if (rc < 0) {
		free(notice);
		return rc;
	}
	log_changes(control->config, next);
	notice->former = control->live;
	control->config = control->live = next;
	config_set_log_levels(next);
	tell(control, notice);
	return 0;
}

void live_catalog_changed(struct control *control)
{
	control->redraw_wanted = apply(control) < 0;
}

/* ---- reading it again ---- */

/* What `fresh` says is taken over; but of what needs a restart, what was said at the start stays,
 * and is named.  -ENOMEM. */
static int keep_what_needs_a_restart(const struct config *said, struct config *fresh)
{
	char why[REASON_BYTES];
	int rc = 0;

	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++) {
		if (config_params[i].live || config_same(said, fresh, i))
			continue;
		log_warn("config", "%s = %s needs a restart; until then it is %s",
			 config_params[i].key, fresh->texts[i], said->texts[i]);
		rc = config_set(fresh, i, said->texts[i], said->origins[i], why, sizeof(why));
	}
	return rc;
}

static void log_overridden(const struct control *control)
{
	const struct config *config = control->config;

	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		if (config->origins[i] >= CONFIG_BY_CLUSTER && config_given(&control->said, (int)i))
			log_warn("config", "%s = %s holds, as a client has set it; not %s",
				 config_params[i].key, config->texts[i], control->said.texts[i]);
	}
}

static int take_over(struct control *control, struct config *fresh)
{
	struct config former = control->said;
	int rc = keep_what_needs_a_restart(&former, fresh);

	if (rc == 0) {
		control->said = *fresh;
		rc = apply(control);
		if (rc < 0)
			control->said = former;
	}
	config_fini(rc < 0 ? fresh : &former);
	return rc;
}

static void reload(struct control *control)
{
	struct config fresh = {0};
	char why[REASON_BYTES] = "";
	int rc = control->load(&fresh, why, sizeof(why));

	if (rc == 0)
		rc = take_over(control, &fresh);
	if (rc < 0) {
		log_error("config", "not reloaded, everything stays as it was: %s",
			  why[0] ? why : error_text(rc));
		return;
	}
	publish_changes(control);
	log_overridden(control);
	log_info("config", "reloaded");
}

void live_turn(struct control *control)
{
	if (control->redraw_wanted) {
		live_catalog_changed(control);
		publish_changes(control);
	}
	if (!control->load || !atomic_exchange(&control->reload_wanted, false))
		return;
	service_reloading(control->service);
	reload(control);
}

/* ---- life ---- */

int live_start(struct control *control)
{
	int rc = config_copy(&control->said, control->config);

	if (rc == 0)
		rc = draw(control, &control->live);
	if (rc < 0)
		return rc;
	log_changes(control->config, control->live);
	control->config = control->live;
	config_set_log_levels(control->config);
	return 0;
}

void live_free(struct control *control)
{
	config_fini(&control->said);
	free_config(control->live);
}
