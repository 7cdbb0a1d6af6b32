/* A consumer over hiredis: one XREAD over all its streams waits in the broker; the next is sent
 * before the records of the last are handed out.
 *
 *     without a group:  reply -> ids -> next XREAD -> records
 *     in a group:       reply -> records -> XACKs and next XREADGROUP
 *
 * Positions are ids that have been asked for, or the group's, so nothing falls between two reads.
 */
#include "bench/suite/driver_common.h"
#include "bench/suite/driver_redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ID_BYTES = 44,          /* two numbers of 64 bits and a dash */
	RECORDS_DEFAULT = 1000, /* of one reply, of all streams */
	RECORDS_MIN = 10,       /* of each stream */
	WORDS_BEFORE_STREAMS = 10,
	WORDS_BEFORE_IDS = 3, /* of an XACK */
	LEAVE_MS = 5000,
};

struct stream {
	const char *key;   /* the topic's */
	const char *topic; /* so too */
	char id[ID_BYTES]; /* read up to here; in a group ">" */
};

struct driver_consumer {
	redisContext *connection;
	char *url;
	struct topics topics;
	struct stream *streams;
	size_t stream_count;
	const char **words; /* of the command, then of an XACK */
	size_t word_count_max;
	char group[128]; /* "": none */
	char name[32];   /* in the group */
	char count[24];
	bool noack;
	unsigned acks_under_way; /* replies that come before the read's */
	bool reading;
	long long connection_id; /* in a group: by which its waiting can be ended */
	int failure;
	driver_received *received;
	void *context;
};

/* An entry is [id, [field, value, ...]]; the record's value comes last. */
static const redisReply *value_of(const redisReply *entry)
{
	const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;

	return fields && fields->elements ? fields->element[fields->elements - 1] : NULL;
}

static const char *id_of(const redisReply *entry)
{
	const redisReply *id = entry->elements == 2 ? entry->element[0] : NULL;

	return id && id->str && id->len < ID_BYTES ? id->str : "0-0";
}

/* ---- which streams, from where ---- */

static int add_topic(struct driver_consumer *consumer, const char *name,
		     const struct driver_consumer_options *options)
{
	struct stream *streams;
	struct topic *topic;
	unsigned p;
	int rc = redis_topic(consumer->connection, &consumer->topics, name, &topic);

	if (rc < 0)
		return rc;
	streams = reallocarray(consumer->streams, consumer->stream_count + topic->partition_count,
			       sizeof(*streams));
	if (!streams)
		return -ENOMEM;
	consumer->streams = streams;
	for (p = 0; p < topic->partition_count; p++) {
		if (!options->group && p % options->share_count != options->share_index)
			continue;
		streams[consumer->stream_count++] = (struct stream){
			.key = topic->partitions[p], .topic = topic->name, .id = "0-0"};
	}
	return 0;
}

static int seek_end(struct driver_consumer *consumer, struct stream *stream)
{
	const redisReply *last;
	redisReply *reply;
	int rc;

	redisAppendCommand(consumer->connection, "XREVRANGE %s + - COUNT 1", stream->key);
	rc = redis_ask(consumer->connection, NULL, &reply);
	if (rc < 0)
		return rc;
	last = reply->elements == 1 ? reply->element[0] : NULL;
	if (last)
		snprintf(stream->id, sizeof(stream->id), "%s", id_of(last));
	freeReplyObject(reply);
	return 0;
}

/* Of all members the first one makes it; the others are told that it is there. */
static int join(struct driver_consumer *consumer, struct stream *stream, bool from_earliest)
{
	redisReply *reply;
	int rc;

	redisAppendCommand(consumer->connection, "XGROUP CREATE %s %s %s MKSTREAM", stream->key,
			   consumer->group, from_earliest ? "0" : "$");
	rc = redis_ask(consumer->connection, "BUSYGROUP", &reply);
	if (rc < 0)
		return rc;
	freeReplyObject(reply);
	memcpy(stream->id, ">", 2);
	return 0;
}

static int connection_id(struct driver_consumer *consumer)
{
	redisReply *reply;
	int rc;

	redisAppendCommand(consumer->connection, "CLIENT ID");
	rc = redis_ask(consumer->connection, NULL, &reply);
	if (rc < 0)
		return rc;
	consumer->connection_id = reply->integer;
	freeReplyObject(reply);
	return 0;
}

static int configure(struct driver_consumer *consumer, const struct driver_target *target,
		     const struct driver_consumer_options *options)
{
	const char *noack = driver_setting(target, "noack");
	int rc = driver_settings_check(&driver_redis, target->settings, redis_settings);

	if (rc < 0)
		return rc;
	consumer->received = options->received;
	consumer->context = options->context;
	consumer->noack = noack && !strcmp(noack, "true");
	if (options->group && strlen(options->group) >= sizeof(consumer->group)) {
		driver_complain(&driver_redis, "the group's name %.32s... is too long",
				options->group);
		return -ENAMETOOLONG;
	}
	snprintf(consumer->group, sizeof(consumer->group), "%s",
		 options->group ? options->group : "");
	consumer->url = strdup(target->url);
	return consumer->url ? 0 : -ENOMEM;
}

static int position(struct driver_consumer *consumer, bool from_earliest)
{
	size_t i;
	int rc = *consumer->group ? connection_id(consumer) : 0;

	for (i = 0; rc == 0 && i < consumer->stream_count; i++) {
		if (*consumer->group)
			rc = join(consumer, &consumer->streams[i], from_earliest);
		else if (!from_earliest)
			rc = seek_end(consumer, &consumer->streams[i]);
	}
	return rc;
}

/* How many records a reply may have, and room for the words of the commands. */
static int size_commands(struct driver_consumer *consumer, const struct driver_target *target)
{
	size_t streams = consumer->stream_count ? consumer->stream_count : 1;
	uint64_t fallback = RECORDS_DEFAULT / streams, count;
	size_t words = WORDS_BEFORE_STREAMS + 2 * streams;
	int rc;

	if (fallback < RECORDS_MIN)
		fallback = RECORDS_MIN;
	rc = driver_setting_number(&driver_redis, target, "count", fallback, 1, 1000000, &count);
	if (rc < 0)
		return rc;
	snprintf(consumer->count, sizeof(consumer->count), "%u", (unsigned)count);
	if (words < WORDS_BEFORE_IDS + count)
		words = WORDS_BEFORE_IDS + count;
	consumer->word_count_max = words;
	consumer->words = calloc(words, sizeof(*consumer->words));
	return consumer->words ? 0 : -ENOMEM;
}

int redis_consumer_new(const struct driver_target *target,
		       const struct driver_consumer_options *options, struct driver_consumer **ret)
{
	struct driver_consumer *consumer = calloc(1, sizeof(*consumer));
	const char *const *topic;
	int rc;

	if (!consumer)
		return -ENOMEM;
	snprintf(consumer->name, sizeof(consumer->name), "%p", (void *)consumer);
	rc = configure(consumer, target, options);
	if (rc == 0)
		rc = redis_open(target, &consumer->connection);
	for (topic = options->topics; rc == 0 && *topic; topic++)
		rc = add_topic(consumer, *topic, options);
	if (rc == 0)
		rc = position(consumer, options->from_earliest);
	if (rc == 0)
		rc = size_commands(consumer, target);
	if (rc < 0) {
		redis_consumer_free(consumer);
		return rc;
	}
	*ret = consumer;
	return 0;
}

/* ---- reading ---- */

static int queue_words(struct driver_consumer *consumer, size_t count)
{
	return redisAppendCommandArgv(consumer->connection, (int)count, consumer->words, NULL) ==
			       REDIS_OK
		       ? 0
		       : -ENOMEM;
}

/* XREAD COUNT n BLOCK 0 STREAMS key... id..., or XREADGROUP GROUP group name ... */
static int queue_read(struct driver_consumer *consumer)
{
	const char **word = consumer->words;
	size_t i;

	*word++ = *consumer->group ? "XREADGROUP" : "XREAD";
	if (*consumer->group) {
		*word++ = "GROUP";
		*word++ = consumer->group;
		*word++ = consumer->name;
	}
	*word++ = "COUNT";
	*word++ = consumer->count;
	*word++ = "BLOCK";
	*word++ = "0";
	if (*consumer->group && consumer->noack)
		*word++ = "NOACK";
	*word++ = "STREAMS";
	for (i = 0; i < consumer->stream_count; i++)
		*word++ = consumer->streams[i].key;
	for (i = 0; i < consumer->stream_count; i++)
		*word++ = consumer->streams[i].id;
	consumer->reading = true;
	return queue_words(consumer, (size_t)(word - consumer->words));
}

/* XACK key group id... */
static int queue_ack(struct driver_consumer *consumer, const struct stream *stream,
		     const redisReply *entries)
{
	size_t count = 0, i;

	consumer->words[count++] = "XACK";
	consumer->words[count++] = stream->key;
	consumer->words[count++] = consumer->group;
	for (i = 0; i < entries->elements && count < consumer->word_count_max; i++)
		consumer->words[count++] = id_of(entries->element[i]);
	consumer->acks_under_way++;
	return queue_words(consumer, count);
}

static int hand_out(struct driver_consumer *consumer, const struct stream *stream,
		    const redisReply *entries)
{
	const redisReply *value;
	int count = 0;
	size_t i;

	for (i = 0; i < entries->elements; i++) {
		value = value_of(entries->element[i]);
		if (!value || !value->str)
			continue;
		consumer->received(consumer->context, stream->topic, value->str, value->len);
		count++;
	}
	return count;
}

static void move_on(struct stream *stream, const redisReply *entries)
{
	if (entries->elements)
		snprintf(stream->id, sizeof(stream->id), "%s",
			 id_of(entries->element[entries->elements - 1]));
}

/* The streams of a reply come in the order in which they were asked for. */
static struct stream *stream_of(struct driver_consumer *consumer, const char *key, size_t *next)
{
	while (*next < consumer->stream_count)
		if (!strcmp(consumer->streams[(*next)++].key, key))
			return &consumer->streams[*next - 1];
	return NULL;
}

enum visit { VISIT_MOVE_ON, VISIT_HAND_OUT, VISIT_ACK };

/* Returns how many records were handed out. */
static int visit(struct driver_consumer *consumer, const redisReply *reply, enum visit what)
{
	const redisReply *pair, *entries;
	struct stream *stream;
	size_t next = 0, i;
	int count = 0;

	for (i = 0; i < reply->elements; i++) {
		pair = reply->element[i];
		stream = pair->elements == 2 && pair->element[0]->str
				 ? stream_of(consumer, pair->element[0]->str, &next)
				 : NULL;
		if (!stream) {
			driver_complain(&driver_redis, "a reply that is not XREAD's");
			consumer->failure = -EPROTO;
			break;
		}
		entries = pair->element[1];
		if (what == VISIT_MOVE_ON)
			move_on(stream, entries);
		else if (what == VISIT_HAND_OUT)
			count += hand_out(consumer, stream, entries);
		else
			consumer->failure = queue_ack(consumer, stream, entries);
	}
	return count;
}

static int send_read(struct driver_consumer *consumer)
{
	int rc = queue_read(consumer);

	return rc < 0 ? rc : redis_send(consumer->connection);
}

static int take(struct driver_consumer *consumer, const redisReply *reply, bool go_on)
{
	int count;

	if (reply->type == REDIS_REPLY_INTEGER && consumer->acks_under_way) {
		consumer->acks_under_way--;
		return 0;
	}
	consumer->reading = false;
	if (reply->type == REDIS_REPLY_ERROR) {
		driver_complain(&driver_redis, "%s", reply->str);
		consumer->failure = -EPROTO;
		return 0;
	}
	if (!*consumer->group) {
		visit(consumer, reply, VISIT_MOVE_ON);
		if (!consumer->failure)
			consumer->failure = send_read(consumer);
		return visit(consumer, reply, VISIT_HAND_OUT);
	}
	count = visit(consumer, reply, VISIT_HAND_OUT);
	if (!consumer->noack)
		visit(consumer, reply, VISIT_ACK);
	if (!consumer->failure)
		consumer->failure = go_on ? send_read(consumer) : redis_send(consumer->connection);
	return count;
}

/* Replies that have been read. */
static int serve(struct driver_consumer *consumer, bool go_on)
{
	redisReply *reply = NULL;
	int count = 0;

	while (!consumer->failure) {
		consumer->failure = redis_reply(consumer->connection, &reply);
		if (consumer->failure || !reply)
			break;
		count += take(consumer, reply, go_on);
		freeReplyObject(reply);
	}
	return count;
}

int redis_consumer_poll(struct driver_consumer *consumer, unsigned timeout_us)
{
	int count;

	if (!consumer->failure && !consumer->reading && consumer->stream_count)
		consumer->failure = send_read(consumer);
	count = serve(consumer, true);
	if (!count && timeout_us && !consumer->failure) {
		consumer->failure = redis_wait(consumer->connection, true, timeout_us);
		count = serve(consumer, true);
	}
	return count ? count : consumer->failure;
}

/* ---- leaving ---- */

/* What the broker has handed to this member is nobody else's: it is taken and acknowledged. */
static void leave(struct driver_consumer *consumer)
{
	uint64_t deadline_us = driver_now_us() + LEAVE_MS * UINT64_C(1000);
	struct driver_target here = {.url = consumer->url};
	redisContext *other;
	redisReply *reply;
	unsigned left_us = 1;

	if (redis_open(&here, &other) < 0)
		return;
	redisAppendCommand(other, "CLIENT UNBLOCK %lld", consumer->connection_id);
	if (redis_ask(other, NULL, &reply) == 0)
		freeReplyObject(reply);
	redisFree(other);
	serve(consumer, false);
	while (!consumer->failure && left_us && (consumer->reading || consumer->acks_under_way)) {
		left_us = driver_left_us(deadline_us);
		consumer->failure = redis_wait(consumer->connection, true, left_us);
		serve(consumer, false);
	}
}

void redis_consumer_free(struct driver_consumer *consumer)
{
	if (!consumer)
		return;
	if (consumer->reading && *consumer->group && !consumer->failure)
		leave(consumer);
	if (consumer->connection)
		redisFree(consumer->connection);
	topics_fini(&consumer->topics);
	free(consumer->streams);
	free(consumer->words);
	free(consumer->url);
	free(consumer);
}
