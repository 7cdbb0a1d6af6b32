/* control/control_internal.h: what the files of the control plane share. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "control/catalog.h"
#include "control/config.h"
#include "control/control.h"
#include "control/coordinator.h"
#include "control/descriptor_shares.h"
#include "control/errand.h"
#include "control/listener.h"
#include "dataplane/datagram/faulty_source.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/shard.h"
#include "hw/cpus.h"

struct background;
struct service;
struct topics;

enum { SHARDS_MAX = 126 }; /* DPDK's lcores less the main one */

struct producer_ids {
	int64_t next;
	int64_t end; /* of the block taken from the catalog */
};

struct control {
	/* Settings (live.c). */
	const struct config *config; /* what holds */
	struct config *live;         /* that, from live_start on */
	struct config said;          /* by files, environment and command line */
	int (*load)(struct config *ret, char *why, size_t why_bytes); /* them; null: cannot */
	atomic_bool reload_wanted;
	bool redraw_wanted; /* for want of memory not done yet */

	struct catalog *catalog;
	struct io_backend *io;
	struct mesh *mesh;
	struct listen_address advertised;
	uint16_t listen_port;
	uint16_t datagram_port; /* of shard 0; 0: not served */
	struct faults faults;   /* datagram.faults */
	struct port *port;      /* null: none */
	struct descriptor_shares descriptors;
	int32_t epoch; /* of this run */
	struct producer_ids producer_ids;
	uint64_t picture_next_ns;        /* when broker_picture.c draws anew */
	uint64_t picture_ns;             /* when it drew last */
	uint64_t *busy_ns;               /* of each shard, then */
	struct dedup_stats *dedup_stats; /* null: no pictures are wanted */
	struct usage_stats *usage_stats; /* likewise */

	struct shard **shards;
	struct shard_publish *publishes; /* one a shard, the last for the coordinator */
	struct shard_stop *stops;        /* one a shard */
	struct shard_remove *remove;     /* while it is out */
	int32_t node_id;
	unsigned shard_count;
	unsigned shards_started;
	struct background *background;
	struct service *service;
	struct cpus spare_cpus; /* of no shard; where the background runs */
	struct coordinator *coordinator;
	struct coordinator_stop coordinator_stop;

	/* Publishing (publish.c): one picture is current, at most one is on its way. */
	const struct topics *current;
	const struct topics *coming;
	uint64_t version;
	unsigned publishes_out;
	uint32_t published_number; /* topics numbered below were in `current` */
	bool changed;              /* since `coming` was drawn */
	bool waits_for_memory;     /* to draw it */
	bool ready;
	struct list waiting_coming; /* requests answered when `coming` is current ... */
	struct list waiting_next;   /* ... or the one after it */

	struct errands errands;
	atomic_bool serves; /* ready, and not stopping */
	uint64_t started_ns;
	_Atomic uint64_t turned_ns; /* the loop, last */
	atomic_bool stop_wanted;
	bool stopping;
	uint64_t stop_ns; /* begun */
	unsigned shards_stopped;
};

/* Whether the admin HTTP is served. */
bool admin_wanted(const struct config *config);

/* ---- publish.c ---- */
/* The catalog has changed: publishes it, now or when the publish under way is over. */
void publish_changes(struct control *control);
/* Publishes what found no memory before.  Every turn. */
void publish_turn(struct control *control);
/* Answers `request` when what has changed by now is published everywhere. */
void publish_then_answer(struct control *control, struct control_request *request);
void publish_free(struct control *control);

/* ---- sockets.c ---- */
/* That no shard has taken over yet; -1 elsewhere. */
struct sockets {
	int listeners[SHARDS_MAX];
	int datagrams[SHARDS_MAX];
};
/* Whatever it returns, *ret is to be closed.  -ERR_CONFIG, -errno with the sentence in `why`. */
int sockets_open(struct control *control, struct sockets *ret, char *why, size_t why_bytes);
void sockets_close(struct sockets *sockets);

/* ---- live.c ---- */
/* The catalog is open: what clients have set comes on top of what the process was told.  -ENOMEM.
 */
int live_start(struct control *control);
/* What clients have set has changed: draws the settings anew and tells everybody; the caller
 * publishes.  Without memory it is done in a later turn. */
void live_catalog_changed(struct control *control);
/* Reads them again when that is wanted.  Every turn while ready. */
void live_turn(struct control *control);
void live_free(struct control *control); /* no thread is left */
struct shard_limits live_shard_limits(const struct control *control);

/* ---- picture.c ---- */
/* The catalog as the shards see it; one block of memory.  Null: out of memory. */
const struct topics *picture_new(const struct control *control);
void picture_free(const struct topics *picture); /* null is fine */

/* ---- requests.c ---- */
void requests_handle(struct message *message, void *control); /* shard_options.control_request */
void requests_answer(struct control *control, struct control_request *request);

enum { WHY_BYTES = 320 };
/* Fills `why`, returns rc. */
int requests_refuse(char why[static WHY_BYTES], int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A copy in the arena; the null string when there is no room. */
struct kafka_string requests_text(struct arena *arena, const char *text);

/* What a handler leaves: an answer that can go out, or one that waits for the publish. */
enum outcome { OUTCOME_ANSWER, OUTCOME_PUBLISH };

/* ---- admin_topics.c ---- */
enum outcome admin_create_topics(struct control *control, struct control_request *request);
enum outcome admin_delete_topics(struct control *control, struct control_request *request);
enum outcome admin_create_partitions(struct control *control, struct control_request *request);
/* Some new topic could not be opened on its shard: takes back what `request` created. */
void admin_create_topics_undo(struct control *control, struct control_request *request, int rc,
			      const char *why);

/* ---- admin_configs.c ---- */
enum config_source { /* Kafka's ConfigSource */
		     SOURCE_TOPIC = 1,
		     SOURCE_BROKER = 2,
		     SOURCE_ALL_BROKERS = 3,
		     SOURCE_BROKER_FILE = 4,
		     SOURCE_DEFAULT = 5,
		     SOURCE_GROUP = 8,
};
struct config_value {
	const char *text; /* canonical, in the arena */
	enum config_source source;
};
/* What holds for a topic with these overrides.  -ENOMEM. */
int admin_topic_setting(const struct control *control, struct arena *arena,
			const struct topic_overrides *overrides, enum topic_config_index index,
			struct config_value *ret);
enum outcome admin_describe_configs(struct control *control, struct control_request *request);
enum outcome admin_alter_configs(struct control *control, struct control_request *request);
enum outcome admin_incremental_alter_configs(struct control *control,
					     struct control_request *request);

/* ---- dedup_stats.c ---- */
int dedup_stats_start(struct control *control); /* -ENOMEM */
void dedup_stats_turn(struct control *control); /* asks when it is time to; while it is ready */
void dedup_stats_free(struct control *control); /* no shard is left */

/* ---- usage_stats.c ---- */
int usage_stats_start(struct control *control); /* -ENOMEM */
void usage_stats_turn(struct control *control); /* asks when it is time to; while it is ready */
void usage_stats_free(struct control *control); /* no shard is left */

/* ---- producer_ids.c ---- */
/* InitProducerId without a transactional id. */
enum outcome producer_ids_init(struct control *control, struct control_request *request);
void producer_ids_give(struct message *message, void *control); /* coordinator_options.ids */
