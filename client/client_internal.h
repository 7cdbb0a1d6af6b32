/* client/client_internal.h: what the files of libsluice share: the client and its picture of the
 * cluster.
 *
 *   struct sluice_client
 *     cluster    brokers by node id, topics by name with their partitions' leaders    cluster.c
 *     producer   per partition: an open batch, batches to send, batches under way     producer.c
 *     consumer   per assigned partition: where to fetch next, what was fetched        consumer.c
 *
 * Everything is driven by client_pump: after a turn of the loop or a call of the user it asks each
 * part to send what it can.  Nothing below blocks; client_wait is where blocking calls turn. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map64.h"
#include "client/loop.h"
#include "client/options.h"
#include "client/peer.h"
#include "client/sluice.h"

enum { CLIENT_ERROR_BYTES = 512, CLIENT_NOBODY = -1 };

struct compressor;
struct produce_batch;
struct produce_request;

/* Fetches have a connection of their own: one that waits for records would hold up all behind it.
 */
enum broker_role { BROKER_MAIN, BROKER_FETCH, BROKER_ROLES };

struct broker {
	struct list link;
	int32_t id; /* CLIENT_NOBODY: an address of sluice_open, not yet a node */
	/* One shard of a node, over datagrams; 0: the node. */
	uint16_t datagram_port;
	struct peer peers[BROKER_ROLES];
	unsigned produce_in_flight;
	struct produce_request *gathering; /* within producer_pump */
	bool fetching;
};

struct partition {
	struct topic *topic;
	int32_t index;
	int32_t leader; /* node id; CLIENT_NOBODY */
	int32_t leader_epoch;
	uint16_t datagram_port; /* of the shard that owns it; 0: not told */
	/* The producer's. */
	struct list active; /* in producer.active while there are batches */
	struct produce_batch *open;
	struct list ready;  /* closed or to be sent again, in order */
	unsigned in_flight; /* batches */
	bool draining;      /* a batch failed: none is sent until all others are back */
	uint64_t not_before_ns;
	int32_t next_sequence;
	uint64_t next_number; /* of batches, for their order */
};

struct topic {
	struct topic *same_hash;
	struct list link;
	char *name;
	struct uuid id;
	int error;              /* why it is not known: -SLUICE_KAFKA(code); 0 */
	bool answered;          /* a broker has spoken of it */
	uint64_t wait_until_ns; /* for a topic that nobody knows; then its error counts */
	struct partition **partitions;
	int32_t partition_count; /* 0: not known */
	/* The producer's. */
	struct list parked; /* records until the partitions are known */
	int32_t sticky;
	int64_t sticky_bytes;
};

struct cluster {
	const struct channel_ops *transport; /* once it is started */
	struct list brokers;
	struct list bootstrap; /* struct broker too */
	struct map64 by_name;
	struct list topics;
	char *cluster_id;
	int32_t controller;
	struct timer timer; /* refresh */
	bool asking;
	bool stale; /* a refresh is wanted */
	uint64_t not_before_ns;
	uint64_t asked_ns; /* last */
	unsigned attempt;  /* failures one after the other */
};

struct producer {
	struct list active;  /* partitions with batches */
	struct list decided; /* batches to report */
	struct list doomed;  /* parked records to report: they failed before they met a partition */
	size_t memory_used;
	size_t undelivered;
	unsigned flushing; /* callers that want no lingering */
	struct timer timer;
	struct compressor *compressor; /* null: compression.type is none */
	int64_t producer_id;           /* -1: none yet */
	int16_t producer_epoch;
	bool asking_id;
	bool renew_id; /* a numbered batch was given up */
	uint64_t id_not_before_ns;
	unsigned attempts;  /* to get an id */
	unsigned in_flight; /* requests */
	uint64_t random;
	bool awake;          /* a record has left something for the pump to do */
	unsigned since_turn; /* records taken by sluice_produce_wait */
};

struct consumer {
	struct list assigned;
	struct list fetched; /* batches, oldest first */
	uint64_t changed_ns; /* when a partition last was assigned, moved or resumed */
	struct timer timer;
	struct list decompressors; /* unused ones */
	unsigned decompressor_count;
};

struct sluice_client {
	struct sluice_options options;
	struct loop loop;
	struct cluster cluster;
	struct producer producer;
	struct consumer consumer;
	unsigned depth; /* of callbacks */
	bool closing;
	char error[CLIENT_ERROR_BYTES];
};

/* ---- client.c ---- */
/* -ERR_* of ours becomes the protocol's code: what users see. */
int client_error_of(int rc);
int client_kafka_error(int16_t code); /* 0 or -SLUICE_KAFKA(code) */
bool client_retriable(int rc);
/* Notes the sentence for sluice_last_error; returns client_error_of(rc). */
int client_fail(struct sluice_client *client, int rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void client_pump(struct sluice_client *client);
/* Turns until finished(user), whose nonzero result is returned.  -ETIMEDOUT, -EINTR, -EDEADLK. */
int client_wait(struct sluice_client *client, int64_t timeout_ms,
		int (*finished)(struct sluice_client *client, void *user), void *user);
/* deadline of a timeout in ms from now; UINT64_MAX for -1 */
uint64_t client_deadline(int64_t timeout_ms);

/* ---- cluster.c ---- */
void cluster_init(struct sluice_client *client);
int cluster_bootstrap(struct sluice_client *client, const char *urls,
		      char why[static URL_WHY_BYTES]);
void cluster_close_peers(struct sluice_client *client);
void cluster_fini(struct sluice_client *client);
/* -ENOMEM, -EINVAL (name empty or too long).  A new one is asked for in the next pump. */
int cluster_topic(struct sluice_client *client, const char *name, struct topic **ret);
struct topic *cluster_topic_find(const struct sluice_client *client, const char *name);
/* Null: not known. */
struct broker *cluster_broker(const struct sluice_client *client, int32_t id);
/* Where requests for a partition go; null: not known. */
struct broker *cluster_leader(struct sluice_client *client, const struct partition *partition);
/* Where a request that any broker answers goes; `attempt` counts from 0, each another broker. */
struct broker *cluster_any(const struct sluice_client *client, unsigned attempt);
size_t cluster_address_count(const struct sluice_client *client);
/* Takes what an answer tells of one broker: it is known then, unless its host is no name.
 * -ENOMEM. */
int cluster_take_broker(struct sluice_client *client, int32_t id, const struct kafka_string *host,
			int32_t port);
/* Takes the brokers and the controller of any answer. */
struct kafka_metadata_response;
void cluster_take_brokers(struct sluice_client *client,
			  const struct kafka_metadata_response *response);
/* The picture was wrong or is incomplete: ask again; `topic`, where not null, is waited for anew.
 */
void cluster_refresh(struct sluice_client *client, struct topic *topic);
void cluster_pump(struct sluice_client *client);

/* ---- producer.c ---- */
void producer_init(struct sluice_client *client);
int producer_start(struct sluice_client *client); /* -ENOMEM */
void producer_fini(struct sluice_client *client);
void producer_pump(struct sluice_client *client);
/* The topic's partitions have become known, or will not. */
void producer_topic_changed(struct sluice_client *client, struct topic *topic);
/* Runs the callbacks of what is decided. */
void producer_deliver(struct sluice_client *client);

/* ---- consumer.c ---- */
void consumer_init(struct sluice_client *client);
void consumer_fini(struct sluice_client *client);
void consumer_pump(struct sluice_client *client);
