/* bench/suite/driver_rabbitmq.h: librabbitmq, as the producer's and the consumer's half need it.
 *
 * A topic is a stream queue for each partition: "topic-0", "topic-1", ...; there are as many as can
 * be found by counting. */
#pragma once
#include "bench/suite/topics.h"

#include <amqp.h>

enum { RABBITMQ_SEPARATOR = '-', RABBITMQ_CHANNEL = 1 };

/* What --set may say, ended by null: prefetch, of records a consumer may have unacknowledged. */
extern const char *const rabbitmq_settings[];

/* With its channel open.  -ENOTCONN, ... complained; so too below. */
int rabbitmq_open(const char *url, amqp_connection_state_t *ret);
/* Null is fine. */
void rabbitmq_close(amqp_connection_state_t connection);
/* Complains, unless all is well, of what a call has answered; -ENOENT: no such queue. */
int rabbitmq_rc(const char *what, amqp_rpc_reply_t reply);
/* The library's own status. */
int rabbitmq_failed(const char *what, int status);
/* What a frame that nobody asked for says: why channel or connection end, or -EPROTO. */
int rabbitmq_ended(const amqp_frame_t *frame);
/* The topic, from `topics` or from the broker.  -ENOENT. */
int rabbitmq_topic(amqp_connection_state_t connection, struct topics *topics, const char *name,
		   struct topic **ret);

int rabbitmq_producer_new(const struct driver_target *target, driver_delivered *delivered,
			  void *context, struct driver_producer **ret);
int rabbitmq_produce(struct driver_producer *producer, const struct driver_record *record,
		     uint64_t tag);
int rabbitmq_producer_poll(struct driver_producer *producer, unsigned timeout_us);
int rabbitmq_producer_flush(struct driver_producer *producer, unsigned timeout_ms);
void rabbitmq_producer_free(struct driver_producer *producer);

int rabbitmq_consumer_new(const struct driver_target *target,
			  const struct driver_consumer_options *options,
			  struct driver_consumer **ret);
int rabbitmq_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us);
void rabbitmq_consumer_free(struct driver_consumer *consumer);
