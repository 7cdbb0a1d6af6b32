/* bench/suite/driver_redis.h: hiredis, as the producer's and the consumer's half need it.
 *
 * A topic is a hash of its name that holds the number of its partitions, and a stream for each:
 * "topic:0", "topic:1", ... */
#pragma once
#include "bench/suite/topics.h"

#include <hiredis/hiredis.h>

enum { REDIS_SEPARATOR = ':', REDIS_REQUEST_MS = 10000 };

/* What --set may say, ended by null: maxlen, of a stream when something is added; count, of records
 * of each stream that one reply may have; noack, of groups. */
extern const char *const redis_settings[];

/* A connection that never blocks.  -ENOTCONN, ... complained; so too below. */
int redis_open(const struct driver_target *target, redisContext **ret);
/* Sends what is queued, as far as the socket takes it. */
int redis_send(redisContext *context);
bool redis_unsent(const redisContext *context);
/* Takes a reply that has been read; null: there is none.  The caller's to freeReplyObject. */
int redis_reply(redisContext *context, redisReply **ret);
/* Waits until something can be read, or what is unsent be sent if it is `due`, and does it. */
int redis_wait(redisContext *context, bool due, unsigned timeout_us);
/* Sends what is queued and waits for one reply; an error is -EPROTO, unless it starts with `but`,
 * which may be null. */
int redis_ask(redisContext *context, const char *but, redisReply **ret);
/* The topic, from `topics` or from the broker.  -ENOENT. */
int redis_topic(redisContext *context, struct topics *topics, const char *name, struct topic **ret);

int redis_producer_new(const struct driver_target *target, driver_delivered *delivered,
		       void *context, struct driver_producer **ret);
int redis_produce(struct driver_producer *producer, const struct driver_record *record,
		  uint64_t tag);
int redis_producer_poll(struct driver_producer *producer, unsigned timeout_us);
int redis_producer_flush(struct driver_producer *producer, unsigned timeout_ms);
void redis_producer_free(struct driver_producer *producer);

int redis_consumer_new(const struct driver_target *target,
		       const struct driver_consumer_options *options, struct driver_consumer **ret);
int redis_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us);
void redis_consumer_free(struct driver_consumer *consumer);
