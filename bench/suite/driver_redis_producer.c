/* A producer over hiredis: commands are queued in its output buffer, which is sent when it is large
 * enough or its oldest record has lingered; replies come in the order of the commands. */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_redis.h"
#include "bench/suite/sending.h"

#include <errno.h>
#include <hiredis/sds.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BATCH_BYTES_DEFAULT = 64 << 10,
	UNSENT_BYTES_MAX = 1 << 20, /* what the socket does not take waits with the caller */
	ARGUMENTS_MAX = 10,
};

struct driver_producer {
	struct sending sending;
	redisContext *connection;
	size_t batch_bytes;
	char maxlen[24]; /* "": streams grow */
};

/* ---- opening ---- */

static int configure(struct driver_producer *producer, const struct driver_target *target)
{
	uint64_t maxlen = 0;
	int rc = driver_setting_number(&driver_redis, target, "maxlen", 0, 0, UINT64_MAX, &maxlen);

	if (maxlen)
		snprintf(producer->maxlen, sizeof(producer->maxlen), "%" PRIu64, maxlen);
	producer->batch_bytes = target->batch_bytes_max ? target->batch_bytes_max
							: BATCH_BYTES_DEFAULT;
	return rc;
}

/* An answer to PING says that somebody is there. */
static int greet(struct driver_producer *producer)
{
	redisReply *reply;
	int rc;

	redisAppendCommand(producer->connection, "PING");
	rc = redis_ask(producer->connection, NULL, &reply);
	if (rc < 0)
		return rc;
	freeReplyObject(reply);
	if (producer->sending.unacknowledged)
		redisAppendCommand(producer->connection, "CLIENT REPLY OFF");
	return 0;
}

int redis_producer_new(const struct driver_target *target, driver_delivered *delivered,
		       void *context, struct driver_producer **ret)
{
	struct driver_producer *producer = calloc(1, sizeof(*producer));
	int rc;

	if (!producer)
		return -ENOMEM;
	rc = sending_init(&producer->sending, &driver_redis, target, redis_settings, 0, delivered,
			  context);
	if (rc == 0)
		rc = configure(producer, target);
	if (rc == 0)
		rc = redis_open(target, &producer->connection);
	if (rc == 0)
		rc = greet(producer);
	if (rc < 0) {
		redis_producer_free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

void redis_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	if (producer->connection)
		redisFree(producer->connection);
	sending_fini(&producer->sending);
	free(producer);
}

/* ---- produce ---- */

struct command {
	const char *words[ARGUMENTS_MAX];
	size_t bytes[ARGUMENTS_MAX];
	int count;
};

static void command_add(struct command *command, const void *word, size_t bytes)
{
	command->words[command->count] = word;
	command->bytes[command->count++] = bytes;
}

static void command_word(struct command *command, const char *word)
{
	command_add(command, word, strlen(word));
}

/* XADD stream [MAXLEN ~ n] * [k key] v value */
static int queue_xadd(struct driver_producer *producer, const char *stream,
		      const struct driver_record *record)
{
	struct command command = {.count = 0};

	command_add(&command, "XADD", 4);
	command_word(&command, stream);
	if (*producer->maxlen) {
		command_add(&command, "MAXLEN", 6);
		command_add(&command, "~", 1);
		command_word(&command, producer->maxlen);
	}
	command_add(&command, "*", 1);
	if (record->key) {
		command_add(&command, "k", 1);
		command_add(&command, record->key, record->key_bytes);
	}
	command_add(&command, "v", 1);
	command_add(&command, record->value, record->value_bytes);
	return redisAppendCommandArgv(producer->connection, command.count, command.words,
				      command.bytes) == REDIS_OK
		       ? 0
		       : -ENOMEM;
}

/* How many partitions a topic has is asked on a connection of its own: this one's replies are the
 * records', or it has none. */
static int find_topic(struct driver_producer *producer, const char *name, struct topic **ret)
{
	struct driver_target here = {.url = producer->sending.url};
	struct topic *topic = topics_find(&producer->sending.topics, name);
	redisContext *connection;
	int rc;

	if (topic) {
		*ret = topic;
		return 0;
	}
	rc = redis_open(&here, &connection);
	if (rc < 0)
		return rc;
	rc = redis_topic(connection, &producer->sending.topics, name, ret);
	redisFree(connection);
	return rc;
}

int redis_produce(struct driver_producer *producer, const struct driver_record *record,
		  uint64_t tag)
{
	struct topic *topic = NULL;
	unsigned partition = 0;
	int rc = producer->sending.failure;

	if (rc < 0)
		return rc;
	if (window_full(&producer->sending.window) ||
	    sdslen(producer->connection->obuf) >= UNSENT_BYTES_MAX)
		return -EAGAIN;
	rc = find_topic(producer, record->topic, &topic);
	if (rc == 0)
		rc = topic_route(topic, record, &partition);
	if (rc < 0)
		return rc;
	if (!redis_unsent(producer->connection))
		producer->sending.due_us = producer->sending.linger_us
						   ? driver_now_us() + producer->sending.linger_us
						   : 0;
	rc = queue_xadd(producer, topic->partitions[partition], record);
	if (rc < 0)
		return rc;
	window_add(&producer->sending.window, tag);
	if (sdslen(producer->connection->obuf) >= producer->batch_bytes)
		producer->sending.failure = redis_send(producer->connection);
	return 0;
}

/* ---- what comes back ---- */

static int rc_of(struct driver_producer *producer, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR)
		return 0;
	sending_not_stored(&producer->sending, reply->str, (int)reply->len);
	return -EPROTO;
}

/* Replies that have been read; of a broker that says nothing, what has been sent. */
static int serve(struct driver_producer *producer)
{
	redisReply *reply = NULL;
	int count = 0;

	if (producer->sending.unacknowledged && !producer->sending.failure &&
	    !redis_unsent(producer->connection))
		return sending_end_all(&producer->sending, 0);
	while (!producer->sending.failure) {
		producer->sending.failure = redis_reply(producer->connection, &reply);
		if (producer->sending.failure || !reply)
			break;
		count += sending_end(&producer->sending, producer->sending.window.oldest,
				     rc_of(producer, reply));
		freeReplyObject(reply);
	}
	if (producer->sending.failure)
		count += sending_end_all(&producer->sending, producer->sending.failure);
	return count;
}

/* Sends if that is due, and waits for replies where none is there. */
static int turn(struct driver_producer *producer, unsigned timeout_us, bool hurry)
{
	unsigned linger_us = hurry ? 0 : driver_left_us(producer->sending.due_us);
	int count;

	if (!producer->sending.failure && !linger_us)
		producer->sending.failure = redis_send(producer->connection);
	count = serve(producer);
	if (count || !timeout_us || producer->sending.failure)
		return count ? count : producer->sending.failure;
	if (linger_us && linger_us < timeout_us && redis_unsent(producer->connection))
		timeout_us = linger_us;
	producer->sending.failure = redis_wait(producer->connection, !linger_us, timeout_us);
	count = serve(producer);
	return count ? count : producer->sending.failure;
}

int redis_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, false);
}

static int hurry(struct driver_producer *producer, unsigned timeout_us)
{
	return turn(producer, timeout_us, true);
}

int redis_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	return window_flush(&producer->sending.window, producer, hurry, timeout_ms);
}
