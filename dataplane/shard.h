/* dataplane/shard.h: one polled core and all it owns: its io backend, store, connections and
 * partitions.  The control plane starts and stops it and talks to it by messages. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"

struct clock;
struct faults;
struct kafka_api;
struct port;
struct shard;
struct shard_meters;

/* A request that the control plane (CreateTopics, ...) or the coordinator (JoinGroup, ...) answers.
 * The shard sends it with `message.handle` set to shard_options.control_request or
 * coordinator_request; the receiver fills `response` (from `arena`; default-initialised by the
 * shard), then sends `message` back to `shard_index` with message.handle = answered.  Everything in
 * it belongs to the receiver of the message, until then and whatever becomes of the connection. */
struct control_request {
	struct message message;
	void (*answered)(struct message *message, void *shard);
	unsigned shard_index;
	const struct kafka_api *api;
	int16_t version;
	struct kafka_string client_id;   /* null: none */
	struct kafka_string client_host; /* "192.0.2.7" */
	const void *request;             /* struct kafka_<api>_request */
	void *response;                  /* struct kafka_<api>_response */
	struct arena *arena;
	int rc; /* negative: there was no memory for the response; the request fails */
};

/* Control plane -> shard, with message.handle = shard_publish_handle: make `topics` current.  The
 * shard opens what it owns and is new, applies configs, closes and deletes what is gone, and sends
 * it back with handle = published when nothing refers to the former picture any more and every new
 * partition answers.  rc: 0, or of the first partition that could not be opened, described in
 * `why`; only topics numbered `new_from` and above are reported, as the others were known before.
 * What could not be opened is tried again by the next publish. */
struct shard_publish {
	struct message message;
	void (*published)(struct message *message, void *control);
	const struct topics *topics;
	uint32_t new_from;
	int rc;
	char why[256];
};
void shard_publish_handle(struct message *message, void *shard);

/* Control plane -> shard, with message.handle = shard_stop_handle: finish what is under way for up
 * to `drain_ms`, close connections and logs, send it back with handle = stopped, end the thread. */
struct shard_stop {
	struct message message;
	void (*stopped)(struct message *message, void *control);
	uint32_t drain_ms;
};
void shard_stop_handle(struct message *message, void *shard);

/* What may change while the shard runs. */
struct shard_limits {
	unsigned connections_max;      /* of this shard */
	unsigned pipeline_max;         /* requests under way on one connection */
	uint32_t idle_ms_max;          /* connections.max.idle.ms; 0: never */
	size_t decompressed_bytes_max; /* of one batch */
	int64_t producer_expiration_ms;
	uint64_t scrub_bytes_per_second;   /* of this shard */
	uint64_t compact_bytes_per_second; /* likewise; 0: no limit */
	int64_t compact_backoff_ms;
};

/* Control plane -> shard, with message.handle = shard_configure_handle: from now on these limits
 * hold.  Sent back with handle = configured. */
struct shard_configure {
	struct message message;
	void (*configured)(struct message *message, void *control);
	struct shard_limits limits;
};
void shard_configure_handle(struct message *message, void *shard);

/* Control plane -> shard, with message.handle = shard_ping_handle: sent back with handle = turned
 * by the next turn of the shard's loop. */
struct shard_ping {
	struct message message;
	void (*turned)(struct message *message, void *control);
};
void shard_ping_handle(struct message *message, void *shard);

/* Control plane -> shard, with message.handle = shard_remove_handle: removes the folders of these
 * topics, which are nobody's, in the background.  Sent back with handle = taken, at once. */
struct shard_remove {
	struct message message;
	void (*taken)(struct message *message, void *control);
	size_t count;
	struct uuid topic_ids[];
};
void shard_remove_handle(struct message *message, void *shard);

struct shard_options {
	unsigned index;
	unsigned shard_count;
	int cpu; /* -1: not pinned */
	bool sync_io;
	bool busy_poll;
	const char *topics_directory; /* <data>/topics, exists */
	int listener;                 /* bound, listening, SO_REUSEPORT; the shard's from now on */
	int udp_socket;               /* bound; the shard's from now on; -1: none */
	struct port *port;            /* its queue of this index is the shard's; null: none */
	const struct faults *faults;  /* of datagrams, for tests; null: none */
	size_t buffer_bytes_max;      /* tail and read buffers of this shard */
	size_t request_bytes_max;     /* socket.request.max.bytes */
	size_t inflight_bytes_max;    /* of all requests being handled or read by this shard */
	unsigned connection_descriptors_max; /* connections, for want of descriptors */
	unsigned files_max;                  /* of logs, kept open */
	size_t index_bytes_max;              /* of closed segments, in memory */
	size_t producers_per_partition_max;  /* idempotent ones that are remembered */
	size_t producers_max;                /* of this shard, about */
	size_t dedup_bytes_max;              /* memory of this shard's dedup windows */
	int64_t scrub_interval_ms;
	size_t compact_map_bytes;   /* of this shard's compaction */
	struct shard_limits limits; /* at the start */
	const struct clock *clock;
	/* Set as message.handle of a control_request; runs on the control plane. */
	void (*control_request)(struct message *message, void *control);
	void (*coordinator_request)(struct message *message, void *coordinator); /* likewise */
	void (*coordinator_share)(struct message *message, void *coordinator); /* of a share_ask */
	/* Of a transaction_ask. */
	void (*coordinator_transaction)(struct message *message, void *coordinator);
};

struct shard_counters {
#define COUNTER(name, help) uint64_t name;
#include "dataplane/counters.def"
#undef COUNTER
};

/* Starts the thread; the mesh must have its place.  Fails before the thread runs: -errno.  The
 * options are copied; strings live as long as the shard. */
int shard_start(struct shard **ret, struct mesh *mesh, const struct shard_options *options);
/* After `stopped` came back. */
void shard_join(struct shard *shard);
/* Once every thread that may send to it is joined: its last turn may be about to wake this one, or
 * to look at a message of its.  Null is fine. */
void shard_free(struct shard *shard);
/* Written by the shard with relaxed stores; any thread may read. */
const struct shard_counters *shard_counters(const struct shard *shard);
const struct shard_meters *shard_meters(const struct shard *shard); /* shard_meters.h */
const char *shard_backend_name(const struct shard *shard);          /* "uring" or "sync" */
