/* RabbitMQ's streams over AMQP 0-9-1, with librabbitmq: connections and topics.
 *
 *     driver_rabbitmq.c          connections, queues
 *     driver_rabbitmq_producer.c publishes with confirms
 *     driver_rabbitmq_consumer.c consumes with a prefetch
 *
 * The stream protocol, which has no C client, costs less for both sides; this is what a program in
 * C can have. */
#include "bench/suite/driver_rabbitmq.h"
#include "bench/suite/driver_common.h"

#include <amqp_tcp_socket.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const char *const rabbitmq_settings[] = {"prefetch", NULL};

enum {
	REQUEST_S = 10,
	STALL_MS = 30000, /* the library waits for a socket that takes nothing: this ends it */
	CODE_NOT_FOUND = 404,
	ARGUMENTS_MAX = 16,
};

/* ---- errors ---- */

int rabbitmq_failed(const char *what, int status)
{
	driver_complain(&driver_rabbitmq, "%s: %s", what, amqp_error_string2(status));
	switch (status) {
	case AMQP_STATUS_TIMEOUT:
		return -ETIMEDOUT;
	case AMQP_STATUS_NO_MEMORY:
		return -ENOMEM;
	case AMQP_STATUS_BAD_URL:
		return -EINVAL;
	case AMQP_STATUS_CONNECTION_CLOSED:
	case AMQP_STATUS_SOCKET_ERROR:
	case AMQP_STATUS_SOCKET_CLOSED:
	case AMQP_STATUS_TCP_ERROR:
		return -ENOTCONN;
	default:
		return -EPROTO;
	}
}

/* The two have the same members, of different types. */
static int closed(const char *what, amqp_method_t method)
{
	const amqp_connection_close_t *connection = method.decoded;
	const amqp_channel_close_t *channel = method.decoded;
	amqp_bytes_t text = amqp_empty_bytes;
	int code = 0;

	if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
		code = connection->reply_code;
		text = connection->reply_text;
	} else if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
		code = channel->reply_code;
		text = channel->reply_text;
	}
	if (code != CODE_NOT_FOUND)
		driver_complain(&driver_rabbitmq, "%s: %.*s", what, (int)text.len,
				(const char *)text.bytes);
	return code == CODE_NOT_FOUND ? -ENOENT : -EPROTO;
}

int rabbitmq_rc(const char *what, amqp_rpc_reply_t reply)
{
	switch (reply.reply_type) {
	case AMQP_RESPONSE_NORMAL:
		return 0;
	case AMQP_RESPONSE_LIBRARY_EXCEPTION:
		return rabbitmq_failed(what, reply.library_error);
	case AMQP_RESPONSE_SERVER_EXCEPTION:
		return closed(what, reply.reply);
	case AMQP_RESPONSE_NONE:
		break;
	}
	driver_complain(&driver_rabbitmq, "%s: no answer", what);
	return -ENOTCONN;
}

int rabbitmq_ended(const amqp_frame_t *frame)
{
	if (frame->frame_type == AMQP_FRAME_METHOD)
		closed("the broker ended it", frame->payload.method);
	return -EPROTO;
}

/* ---- connections ---- */

static int login(amqp_connection_state_t connection, const struct amqp_connection_info *info)
{
	enum { CHANNELS = 0, FRAME_BYTES = 131072, HEARTBEAT_S = 0 };
	int rc = rabbitmq_rc("login",
			     amqp_login(connection, info->vhost, CHANNELS, FRAME_BYTES, HEARTBEAT_S,
					AMQP_SASL_METHOD_PLAIN, info->user, info->password));

	if (rc < 0)
		return rc;
	amqp_channel_open(connection, RABBITMQ_CHANNEL);
	return rabbitmq_rc("channel", amqp_get_rpc_reply(connection));
}

static int connect_to(amqp_connection_state_t connection, const struct amqp_connection_info *info)
{
	struct timeval patience = {.tv_sec = REQUEST_S};
	amqp_socket_t *socket = amqp_tcp_socket_new(connection);
	unsigned stall_ms = STALL_MS;
	int status;

	if (!socket)
		return -ENOMEM;
	status = amqp_set_handshake_timeout(connection, &patience);
	if (status == AMQP_STATUS_OK)
		status = amqp_set_rpc_timeout(connection, &patience);
	if (status == AMQP_STATUS_OK)
		status = amqp_socket_open_noblock(socket, info->host, info->port, &patience);
	if (status != AMQP_STATUS_OK)
		return rabbitmq_failed(info->host, status);
	setsockopt(amqp_get_sockfd(connection), IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms,
		   sizeof(stall_ms));
	return login(connection, info);
}

int rabbitmq_open(const char *url, amqp_connection_state_t *ret)
{
	char text[512]; /* which the parts point into */
	struct amqp_connection_info info;
	amqp_connection_state_t connection;
	int status, rc;

	snprintf(text, sizeof(text), "%s%s", strstr(url, "://") ? "" : "amqp://", url);
	status = amqp_parse_url(text, &info);
	if (status != AMQP_STATUS_OK)
		return rabbitmq_failed(url, status);
	connection = amqp_new_connection();
	if (!connection)
		return -ENOMEM;
	rc = connect_to(connection, &info);
	if (rc < 0) {
		amqp_destroy_connection(connection);
		return rc;
	}
	*ret = connection;
	return 0;
}

void rabbitmq_close(amqp_connection_state_t connection)
{
	if (!connection)
		return;
	amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
	amqp_destroy_connection(connection);
}

/* ---- queues ---- */

/* An error has closed the channel. */
static int reopen_channel(amqp_connection_state_t connection)
{
	amqp_channel_close_ok_t ok = {0};
	int status = amqp_send_method(connection, RABBITMQ_CHANNEL, AMQP_CHANNEL_CLOSE_OK_METHOD,
				      &ok);

	if (status != AMQP_STATUS_OK)
		return rabbitmq_failed("channel", status);
	amqp_channel_open(connection, RABBITMQ_CHANNEL);
	return rabbitmq_rc("channel", amqp_get_rpc_reply(connection));
}

/* 1, or 0 when it is not there. */
static int queue_is_there(amqp_connection_state_t connection, const char *queue)
{
	int rc;

	amqp_queue_declare(connection, RABBITMQ_CHANNEL, amqp_cstring_bytes(queue), 1, 0, 0, 0,
			   amqp_empty_table);
	rc = rabbitmq_rc(queue, amqp_get_rpc_reply(connection));
	if (rc == -ENOENT)
		return reopen_channel(connection);
	return rc < 0 ? rc : 1;
}

int rabbitmq_topic(amqp_connection_state_t connection, struct topics *topics, const char *name,
		   struct topic **ret)
{
	struct topic *topic = topics_find(topics, name);
	char queue[DRIVER_PARTITION_NAME_BYTES];
	unsigned partitions = 0;
	int rc;

	if (topic) {
		*ret = topic;
		return 0;
	}
	for (;; partitions++) {
		rc = driver_partition_name(&driver_rabbitmq, name, RABBITMQ_SEPARATOR, partitions,
					   queue, sizeof(queue));
		if (rc == 0)
			rc = queue_is_there(connection, queue);
		if (rc <= 0)
			break;
	}
	if (rc == 0 && !partitions) {
		driver_complain(&driver_rabbitmq, "there is no topic %s", name);
		rc = -ENOENT;
	}
	if (rc < 0)
		return rc;
	return topics_add(topics, &driver_rabbitmq, name, RABBITMQ_SEPARATOR, partitions, ret);
}

/* ---- topics ---- */

struct arguments {
	amqp_table_entry_t entries[ARGUMENTS_MAX];
	char keys[ARGUMENTS_MAX][64];
	int count;
};

/* As the broker wants them: what looks like a number is one. */
static void argument_add(struct arguments *arguments, const char *key, const char *value)
{
	amqp_table_entry_t *entry = &arguments->entries[arguments->count++];
	long long number;
	char *end;

	entry->key = amqp_cstring_bytes(key);
	errno = 0;
	number = strtoll(value, &end, 10);
	if (*value && !*end && !errno) {
		entry->value.kind = AMQP_FIELD_KIND_I64;
		entry->value.value.i64 = number;
	} else {
		entry->value.kind = AMQP_FIELD_KIND_UTF8;
		entry->value.value.bytes = amqp_cstring_bytes(value);
	}
}

static int arguments_of(struct arguments *arguments, const char *const *configs)
{
	const char *value;
	int rc = 0;

	arguments->count = 0;
	argument_add(arguments, "x-queue-type", "stream");
	for (; rc == 0 && configs && *configs; configs++) {
		char *key = arguments->keys[arguments->count];

		rc = driver_setting_split(&driver_rabbitmq, *configs, key,
					  sizeof(arguments->keys[0]), &value);
		if (rc < 0)
			break;
		/* It takes others without a word. */
		if (strncmp(key, "x-", 2) != 0 || arguments->count == ARGUMENTS_MAX) {
			driver_complain(&driver_rabbitmq,
					"there is no queue argument %s; write x-... and up to %d",
					key, ARGUMENTS_MAX - 1);
			return -EINVAL;
		}
		argument_add(arguments, key, value);
	}
	return rc;
}

static int declare(amqp_connection_state_t connection, const struct topic *topic,
		   struct arguments *arguments)
{
	amqp_table_t table = {.num_entries = arguments->count, .entries = arguments->entries};
	unsigned p;
	int rc = queue_is_there(connection, topic->partitions[0]);

	if (rc > 0) {
		driver_complain(&driver_rabbitmq, "topic %s exists already", topic->name);
		return -EEXIST;
	}
	for (p = 0; rc == 0 && p < topic->partition_count; p++) {
		amqp_queue_declare(connection, RABBITMQ_CHANNEL,
				   amqp_cstring_bytes(topic->partitions[p]), 0, 1, 0, 0, table);
		rc = rabbitmq_rc(topic->partitions[p], amqp_get_rpc_reply(connection));
	}
	return rc;
}

static int rabbitmq_topic_create(const struct driver_target *target, const char *name,
				 unsigned partitions, const char *const *configs)
{
	amqp_connection_state_t connection = NULL;
	struct topics topics = {0};
	struct arguments arguments;
	struct topic *topic;
	int rc = arguments_of(&arguments, configs);

	if (rc == 0 && target->dedup) {
		driver_complain(&driver_rabbitmq,
				"only the stream protocol has ids of records, AMQP has not");
		rc = -EOPNOTSUPP;
	}
	if (rc == 0)
		rc = topics_add(&topics, &driver_rabbitmq, name, RABBITMQ_SEPARATOR, partitions,
				&topic);
	if (rc == 0)
		rc = rabbitmq_open(target->url, &connection);
	if (rc == 0)
		rc = declare(connection, topic, &arguments);
	rabbitmq_close(connection);
	topics_fini(&topics);
	return rc;
}

static int rabbitmq_topic_delete(const struct driver_target *target, const char *name)
{
	amqp_connection_state_t connection;
	struct topics topics = {0};
	struct topic *topic;
	unsigned p;
	int rc = rabbitmq_open(target->url, &connection);

	if (rc < 0)
		return rc;
	rc = rabbitmq_topic(connection, &topics, name, &topic);
	/* The last one first: those that are left can still be counted. */
	for (p = rc == 0 ? topic->partition_count : 0; rc == 0 && p > 0; p--) {
		amqp_queue_delete(connection, RABBITMQ_CHANNEL,
				  amqp_cstring_bytes(topic->partitions[p - 1]), 0, 0);
		rc = rabbitmq_rc(topic->partitions[p - 1], amqp_get_rpc_reply(connection));
	}
	topics_fini(&topics);
	rabbitmq_close(connection);
	return rc;
}

static int rabbitmq_version(const struct driver_target *target, char *text, size_t bytes)
{
	amqp_connection_state_t connection;
	amqp_bytes_t version = amqp_cstring_bytes("?");
	const amqp_table_t *properties;
	const amqp_table_entry_t *entry;
	int i, rc = rabbitmq_open(target->url, &connection);

	if (rc < 0)
		return rc;
	properties = amqp_get_server_properties(connection);
	for (i = 0; i < properties->num_entries; i++) {
		entry = &properties->entries[i];
		if (entry->key.len == 7 && !memcmp(entry->key.bytes, "version", 7) &&
		    entry->value.kind == AMQP_FIELD_KIND_UTF8)
			version = entry->value.value.bytes;
	}
	snprintf(text, bytes, "librabbitmq %s, RabbitMQ %.*s", amqp_version(), (int)version.len,
		 (const char *)version.bytes);
	rabbitmq_close(connection);
	return 0;
}

const struct driver driver_rabbitmq = {
	.name = "rabbitmq",
	.help = "RabbitMQ streams over AMQP 0-9-1 with librabbitmq, a queue for each partition",
	.default_url = "amqp://guest:guest@127.0.0.1:5672",
	.version = rabbitmq_version,
	.topic_create = rabbitmq_topic_create,
	.topic_delete = rabbitmq_topic_delete,
	.producer_new = rabbitmq_producer_new,
	.produce = rabbitmq_produce,
	.producer_poll = rabbitmq_producer_poll,
	.producer_flush = rabbitmq_producer_flush,
	.producer_free = rabbitmq_producer_free,
	.consumer_new = rabbitmq_consumer_new,
	.consumer_poll = rabbitmq_consumer_poll,
	.consumer_free = rabbitmq_consumer_free,
};
