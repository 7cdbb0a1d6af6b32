/* bench/suite/driver_nats.h: libnats, as the producer's and the consumer's half need it.
 *
 * A topic is a stream for each partition: "topic_0", "topic_1", ..., which is also its subject; the
 * first one's description says how many there are. */
#pragma once
#include "bench/suite/topics.h"

#include <nats/nats.h>

enum { NATS_SEPARATOR = '_', NATS_REQUEST_MS = 10000 };

/* What --set may say, ended by null: batch, of records a pull asks for. */
extern const char *const nats_settings[];

/* -errno, and -EPROTO for what has none. */
int nats_rc(natsStatus status);
/* Complains of what the library says that it was, and returns nats_rc. */
int nats_failed(const char *what, natsStatus status);

/* ---- a connection whose socket is ours to wait for, so that no thread lies between ---- */

struct nats_link {
	natsConnection *connection;
	int fd;
	int unsent; /* bytes that were left when it was last sent */
};

int nats_link_open(struct nats_link *link, const struct driver_target *target);
void nats_link_close(struct nats_link *link);
/* Sends what is queued, as far as the socket takes it.  -ENOTCONN. */
int nats_link_send(struct nats_link *link);
/* Waits until something can be read, or what is unsent be sent if it is `due`, and does it:
 * messages then are their subscription's. */
int nats_link_wait(struct nats_link *link, bool due, unsigned timeout_us);

/* ---- JetStream's requests, which block ---- */

struct nats_admin {
	natsConnection *connection;
	jsCtx *stream;
};

int nats_admin_open(struct nats_admin *admin, const char *url);
void nats_admin_close(struct nats_admin *admin);
/* The topic, from `topics` or from the broker.  -ENOENT. */
int nats_topic(struct nats_admin *admin, struct topics *topics, const char *name,
	       struct topic **ret);

int nats_producer_new(const struct driver_target *target, driver_delivered *delivered,
		      void *context, struct driver_producer **ret);
int nats_produce(struct driver_producer *producer, const struct driver_record *record,
		 uint64_t tag);
int nats_producer_poll(struct driver_producer *producer, unsigned timeout_us);
int nats_producer_flush(struct driver_producer *producer, unsigned timeout_ms);
void nats_producer_free(struct driver_producer *producer);

int nats_consumer_new(const struct driver_target *target,
		      const struct driver_consumer_options *options, struct driver_consumer **ret);
int nats_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us);
void nats_consumer_free(struct driver_consumer *consumer);
