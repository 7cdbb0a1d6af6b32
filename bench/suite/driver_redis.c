/* Redis Streams over hiredis: connections and topics.
 *
 *     driver_redis.c          connection, topics
 *     driver_redis_producer.c pipelined XADD
 *     driver_redis_consumer.c XREAD or XREADGROUP that waits in the broker */
#include "bench/suite/driver_redis.h"
#include "bench/suite/driver_common.h"

#include <errno.h>
#include <hiredis/sds.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const redis_settings[] = {"maxlen", "count", "noack", NULL};

static int lost(const redisContext *context)
{
	driver_complain(&driver_redis, "%s:%d: %s", context->tcp.host, context->tcp.port,
			context->errstr);
	return -ENOTCONN;
}

/* ---- connection ---- */

int redis_open(const struct driver_target *target, redisContext **ret)
{
	struct driver_address address;
	redisContext *context;
	int rc = driver_address(&driver_redis, target->url, 6379, &address);

	if (rc < 0)
		return rc;
	context = redisConnectNonBlock(address.host, address.port);
	if (!context)
		return -ENOMEM;
	if (context->err) {
		driver_complain(&driver_redis, "%s: %s", target->url, context->errstr);
		redisFree(context);
		return -ENOTCONN;
	}
	*ret = context;
	return 0;
}

int redis_send(redisContext *context)
{
	int done;

	if (redis_unsent(context) && redisBufferWrite(context, &done) != REDIS_OK)
		return lost(context);
	return 0;
}

bool redis_unsent(const redisContext *context)
{
	return sdslen(context->obuf) > 0;
}

int redis_reply(redisContext *context, redisReply **ret)
{
	void *reply = NULL;

	if (redisGetReplyFromReader(context, &reply) != REDIS_OK)
		return lost(context);
	*ret = reply;
	return 0;
}

int redis_wait(redisContext *context, bool due, unsigned timeout_us)
{
	short wanted = (short)(POLLIN | (due && redis_unsent(context) ? POLLOUT : 0));
	int events = driver_wait(context->fd, wanted, timeout_us);
	int rc = 0;

	if (events < 0)
		return events;
	if (events & POLLOUT)
		rc = redis_send(context);
	if (rc == 0 && (events & ~POLLOUT) && redisBufferRead(context) != REDIS_OK)
		rc = lost(context);
	return rc;
}

int redis_ask(redisContext *context, const char *but, redisReply **ret)
{
	uint64_t deadline_us = driver_now_us() + REDIS_REQUEST_MS * UINT64_C(1000);
	redisReply *reply = NULL;
	unsigned left_us;
	int rc = 0;

	for (; rc == 0 && !reply; rc = rc ? rc : redis_reply(context, &reply)) {
		left_us = driver_left_us(deadline_us);
		if (!left_us) {
			driver_complain(&driver_redis, "no answer within %d s",
					REDIS_REQUEST_MS / 1000);
			return -ETIMEDOUT;
		}
		rc = redis_wait(context, true, left_us);
	}
	if (rc < 0)
		return rc;
	if (reply->type == REDIS_REPLY_ERROR && !(but && !strncmp(reply->str, but, strlen(but)))) {
		driver_complain(&driver_redis, "%s", reply->str);
		freeReplyObject(reply);
		return -EPROTO;
	}
	*ret = reply;
	return 0;
}

/* ---- topics ---- */

/* -ENOENT when there is none. */
static int partition_count(redisContext *context, const char *topic, unsigned *ret)
{
	redisReply *reply = NULL;
	int rc;

	redisAppendCommand(context, "HGET %s partitions", topic);
	rc = redis_ask(context, NULL, &reply);
	if (rc < 0)
		return rc;
	if (reply->type == REDIS_REPLY_STRING)
		*ret = (unsigned)strtoul(reply->str, NULL, 10);
	else
		rc = -ENOENT;
	freeReplyObject(reply);
	if (rc < 0)
		driver_complain(&driver_redis, "there is no topic %s", topic);
	return rc;
}

int redis_topic(redisContext *context, struct topics *topics, const char *name, struct topic **ret)
{
	struct topic *topic = topics_find(topics, name);
	unsigned partitions = 0;
	int rc;

	if (topic) {
		*ret = topic;
		return 0;
	}
	rc = partition_count(context, name, &partitions);
	if (rc < 0)
		return rc;
	return topics_add(topics, &driver_redis, name, REDIS_SEPARATOR, partitions, ret);
}

static int redis_topic_create(const struct driver_target *target, const char *topic,
			      unsigned partitions, const char *const *configs)
{
	redisContext *context = NULL;
	redisReply *reply = NULL;
	static const char *const none[] = {NULL};
	int rc = driver_settings_check(&driver_redis, configs, none);

	if (target->dedup) {
		driver_complain(&driver_redis, "streams do not know records by their ids");
		return -EOPNOTSUPP;
	}
	if (rc == 0)
		rc = redis_open(target, &context);
	if (rc < 0)
		return rc;
	redisAppendCommand(context, "HSETNX %s partitions %u", topic, partitions);
	rc = redis_ask(context, NULL, &reply);
	if (rc == 0) {
		if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1)
			rc = -EEXIST;
		freeReplyObject(reply);
		if (rc < 0)
			driver_complain(&driver_redis, "topic %s exists already", topic);
	}
	redisFree(context);
	return rc;
}

static int redis_topic_delete(const struct driver_target *target, const char *name)
{
	struct topics topics = {0};
	struct topic *topic;
	redisContext *context;
	redisReply *reply = NULL;
	unsigned p;
	int rc = redis_open(target, &context);

	if (rc < 0)
		return rc;
	rc = redis_topic(context, &topics, name, &topic);
	/* One at a time: each may take the broker, which does one thing at once, a while. */
	for (p = 0; rc == 0 && p <= topic->partition_count; p++) {
		redisAppendCommand(context, "UNLINK %s",
				   p < topic->partition_count ? topic->partitions[p] : name);
		rc = redis_ask(context, NULL, &reply);
		if (rc == 0)
			freeReplyObject(reply);
	}
	topics_fini(&topics);
	redisFree(context);
	return rc;
}

static int redis_version(const struct driver_target *target, char *text, size_t bytes)
{
	static const char field[] = "redis_version:";
	redisContext *context;
	redisReply *reply = NULL;
	const char *found;
	int rc = redis_open(target, &context);

	if (rc < 0)
		return rc;
	redisAppendCommand(context, "INFO server");
	rc = redis_ask(context, NULL, &reply);
	if (rc == 0) {
		found = reply->str ? strstr(reply->str, field) : NULL;
		found = found ? found + sizeof(field) - 1 : "?";
		snprintf(text, bytes, "hiredis %d.%d.%d, Redis %.*s", HIREDIS_MAJOR, HIREDIS_MINOR,
			 HIREDIS_PATCH, (int)strcspn(found, "\r\n"), found);
		freeReplyObject(reply);
	}
	redisFree(context);
	return rc;
}

static const struct driver_hello hello = {.text = "PING\r\n", .bytes = 6, .default_port = 6379};

const struct driver driver_redis = {
	.name = "redis",
	.help = "Redis Streams with hiredis, a stream for each partition",
	.default_url = "127.0.0.1:6379",
	.version = redis_version,
	.topic_create = redis_topic_create,
	.topic_delete = redis_topic_delete,
	.producer_new = redis_producer_new,
	.produce = redis_produce,
	.producer_poll = redis_producer_poll,
	.producer_flush = redis_producer_flush,
	.producer_free = redis_producer_free,
	.consumer_new = redis_consumer_new,
	.consumer_poll = redis_consumer_poll,
	.consumer_free = redis_consumer_free,
	.hello = &hello,
};
