/* JetStream over libnats: connections and topics.
 *
 *     driver_nats.c          connections, streams
 *     driver_nats_producer.c publishes with an inbox of its own for the acknowledgements
 *     driver_nats_consumer.c pulls
 *
 * Records and acknowledgements go over a link: the library parses and formats, our thread waits for
 * the socket, to the microsecond and without another thread between. */
#include "bench/suite/driver_nats.h"
#include "bench/suite/driver_common.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const nats_settings[] = {"batch", NULL};

enum { IO_BYTES = 64 << 10 };

int nats_rc(natsStatus status)
{
	switch ((int)status) {
	case NATS_OK:
		return 0;
	case NATS_TIMEOUT:
		return -ETIMEDOUT;
	case NATS_NO_SERVER:
	case NATS_CONNECTION_CLOSED:
	case NATS_CONNECTION_DISCONNECTED:
	case NATS_IO_ERROR:
		return -ENOTCONN;
	case NATS_NO_MEMORY:
		return -ENOMEM;
	case NATS_NOT_FOUND:
		return -ENOENT;
	case NATS_INVALID_ARG:
		return -EINVAL;
	case NATS_MAX_PAYLOAD:
		return -EMSGSIZE;
	default:
		return -EPROTO;
	}
}

int nats_failed(const char *what, natsStatus status)
{
	natsStatus last = NATS_OK;
	const char *why = nats_GetLastError(&last);

	driver_complain(&driver_nats, "%s: %s", what,
			last == status && why ? why : natsStatus_GetText(status));
	return nats_rc(status);
}

/* ---- links ---- */

static natsStatus attach(void **ret_data, void *loop, natsConnection *connection, natsSock socket)
{
	struct nats_link *link = loop;

	link->fd = socket;
	*ret_data = link;
	return NATS_OK;
}

/* We read whenever we wait, and know ourselves when something is to be sent. */
static natsStatus events_wanted(void *data, bool add)
{
	return NATS_OK;
}

static natsStatus detach(void *data)
{
	return NATS_OK;
}

static natsStatus options_of(const char *url, natsOptions **ret)
{
	natsOptions *options = NULL;
	natsStatus status = natsOptions_Create(&options);

	if (status == NATS_OK)
		status = natsOptions_SetURL(options, url);
	if (status == NATS_OK)
		status = natsOptions_SetAllowReconnect(options, false);
	if (status == NATS_OK)
		status = natsOptions_SetTimeout(options, NATS_REQUEST_MS);
	if (status == NATS_OK)
		status = natsOptions_SetIOBufSize(options, IO_BYTES);
	if (status == NATS_OK)
		*ret = options;
	else
		natsOptions_Destroy(options);
	return status;
}

int nats_link_open(struct nats_link *link, const struct driver_target *target)
{
	natsConnection *connection = NULL;
	natsOptions *options = NULL;
	natsStatus status = options_of(target->url, &options);

	*link = (struct nats_link){.fd = -1};
	if (status == NATS_OK)
		status = natsOptions_SetEventLoop(options, link, attach, events_wanted,
						  events_wanted, detach);
	if (status == NATS_OK)
		status = natsConnection_Connect(&connection, options);
	natsOptions_Destroy(options);
	if (status != NATS_OK)
		return nats_failed(target->url, status);
	link->connection = connection;
	return 0;
}

void nats_link_close(struct nats_link *link)
{
	natsConnection_Destroy(link->connection);
	link->connection = NULL;
}

static int link_check(struct nats_link *link)
{
	if (!natsConnection_IsClosed(link->connection))
		return 0;
	driver_complain(&driver_nats, "the connection is closed");
	return -ENOTCONN;
}

int nats_link_send(struct nats_link *link)
{
	link->unsent = natsConnection_Buffered(link->connection);
	/* The library takes a write of nothing for a closed connection. */
	if (link->unsent > 0) {
		natsConnection_ProcessWriteEvent(link->connection);
		link->unsent = natsConnection_Buffered(link->connection);
	}
	return link->unsent < 0 ? link_check(link) : 0;
}

int nats_link_wait(struct nats_link *link, bool due, unsigned timeout_us)
{
	short wanted = (short)(POLLIN | (due && link->unsent > 0 ? POLLOUT : 0));
	int events = driver_wait(link->fd, wanted, timeout_us);
	int rc = 0;

	if (events < 0)
		return events;
	if (events & POLLOUT)
		rc = nats_link_send(link);
	if (rc == 0 && (events & ~POLLOUT)) {
		natsConnection_ProcessReadEvent(link->connection);
		rc = link_check(link);
	}
	return rc;
}

/* ---- requests ---- */

int nats_admin_open(struct nats_admin *admin, const char *url)
{
	natsOptions *options = NULL;
	natsStatus status = options_of(url, &options);

	*admin = (struct nats_admin){0};
	if (status == NATS_OK)
		status = natsConnection_Connect(&admin->connection, options);
	natsOptions_Destroy(options);
	if (status == NATS_OK)
		status = natsConnection_JetStream(&admin->stream, admin->connection, NULL);
	if (status == NATS_OK)
		return 0;
	nats_admin_close(admin);
	return nats_failed(url, status);
}

void nats_admin_close(struct nats_admin *admin)
{
	jsCtx_Destroy(admin->stream);
	natsConnection_Destroy(admin->connection);
	*admin = (struct nats_admin){0};
}

int nats_topic(struct nats_admin *admin, struct topics *topics, const char *name,
	       struct topic **ret)
{
	struct topic *topic = topics_find(topics, name);
	char stream[DRIVER_PARTITION_NAME_BYTES];
	unsigned partitions = 0;
	jsStreamInfo *info = NULL;
	natsStatus status;
	int rc;

	if (topic) {
		*ret = topic;
		return 0;
	}
	rc = driver_partition_name(&driver_nats, name, NATS_SEPARATOR, 0, stream, sizeof(stream));
	if (rc < 0)
		return rc;
	status = js_GetStreamInfo(&info, admin->stream, stream, NULL, NULL);
	if (status == NATS_NOT_FOUND) {
		driver_complain(&driver_nats, "there is no topic %s", name);
		return -ENOENT;
	}
	if (status != NATS_OK)
		return nats_failed(name, status);
	if (info->Config->Description)
		partitions = (unsigned)strtoul(info->Config->Description, NULL, 10);
	jsStreamInfo_Destroy(info);
	return topics_add(topics, &driver_nats, name, NATS_SEPARATOR, partitions, ret);
}

/* ---- topics ---- */

static int configure(jsStreamConfig *config, const char *const *configs)
{
	static const char *const known[] = {"storage", "max_bytes", NULL};
	const struct driver_target as_settings = {.settings = configs};
	const char *storage = driver_setting(&as_settings, "storage");
	uint64_t bytes = 0;
	int rc = driver_settings_check(&driver_nats, configs, known);

	if (rc == 0)
		rc = driver_setting_number(&driver_nats, &as_settings, "max_bytes", 0, 1, INT64_MAX,
					   &bytes);
	if (rc == 0 && storage && strcmp(storage, "memory") != 0 && strcmp(storage, "file") != 0) {
		driver_complain(&driver_nats, "storage=%s is neither file nor memory", storage);
		rc = -EINVAL;
	}
	if (rc < 0)
		return rc;
	jsStreamConfig_Init(config);
	config->Storage = storage && *storage == 'm' ? js_MemoryStorage : js_FileStorage;
	if (bytes)
		config->MaxBytes = (int64_t)bytes;
	return 0;
}

/* A stream with the same settings would be taken for ours. */
static int refuse_existing(struct nats_admin *admin, const char *topic, const char *stream)
{
	jsStreamInfo *info = NULL;
	natsStatus status = js_GetStreamInfo(&info, admin->stream, stream, NULL, NULL);

	if (status == NATS_NOT_FOUND)
		return 0;
	if (status != NATS_OK)
		return nats_failed(topic, status);
	jsStreamInfo_Destroy(info);
	driver_complain(&driver_nats, "topic %s exists already", topic);
	return -EEXIST;
}

static int add_streams(struct nats_admin *admin, const struct topic *topic, jsStreamConfig config)
{
	char count[16];
	natsStatus status = NATS_OK;
	unsigned p;

	snprintf(count, sizeof(count), "%u", topic->partition_count);
	config.Description = count;
	for (p = 0; p < topic->partition_count && status == NATS_OK; p++) {
		config.Name = topic->partitions[p];
		config.Subjects = &config.Name;
		config.SubjectsLen = 1;
		status = js_AddStream(NULL, admin->stream, &config, NULL, NULL);
	}
	return status == NATS_OK ? 0 : nats_failed(topic->name, status);
}

static int nats_topic_create(const struct driver_target *target, const char *name,
			     unsigned partitions, const char *const *configs)
{
	struct topics topics = {0};
	struct nats_admin admin = {0};
	struct topic *topic = NULL;
	jsStreamConfig config;
	int rc = configure(&config, configs);

	if (rc == 0)
		rc = topics_add(&topics, &driver_nats, name, NATS_SEPARATOR, partitions, &topic);
	if (rc == 0)
		rc = nats_admin_open(&admin, target->url);
	if (rc == 0)
		rc = refuse_existing(&admin, name, topic->partitions[0]);
	if (rc == 0)
		rc = add_streams(&admin, topic, config);
	nats_admin_close(&admin);
	topics_fini(&topics);
	return rc;
}

static int nats_topic_delete(const struct driver_target *target, const char *name)
{
	struct topics topics = {0};
	struct nats_admin admin;
	struct topic *topic;
	natsStatus status = NATS_OK;
	unsigned p;
	int rc = nats_admin_open(&admin, target->url);

	if (rc < 0)
		return rc;
	rc = nats_topic(&admin, &topics, name, &topic);
	/* The first one, which says how many there are, goes last. */
	for (p = rc == 0 ? topic->partition_count : 0; p > 0 && status == NATS_OK; p--)
		status = js_DeleteStream(admin.stream, topic->partitions[p - 1], NULL, NULL);
	if (status != NATS_OK)
		rc = nats_failed(name, status);
	topics_fini(&topics);
	nats_admin_close(&admin);
	return rc;
}

/* ---- version ---- */

static int connect_to(const struct driver_address *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct timeval patience = {.tv_sec = NATS_REQUEST_MS / 1000};
	char port[8];
	int fd;

	snprintf(port, sizeof(port), "%u", address->port);
	if (getaddrinfo(address->host, port, &hints, &found) != 0)
		return -EHOSTUNREACH;
	fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
			connect(fd, found->ai_addr, found->ai_addrlen) < 0)) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd < 0 ? -ENOTCONN : fd;
}

/* The server says who it is before it is asked; the library keeps that to itself. */
static int nats_version(const struct driver_target *target, char *text, size_t bytes)
{
	static const char field[] = "\"version\":\"";
	struct driver_address address;
	const char *found;
	char info[4096];
	ssize_t got;
	int fd, rc = driver_address(&driver_nats, target->url, 4222, &address);

	if (rc < 0)
		return rc;
	fd = connect_to(&address);
	if (fd < 0) {
		driver_complain(&driver_nats, "%s: %s", target->url, strerror(-fd));
		return fd;
	}
	got = recv(fd, info, sizeof(info) - 1, 0);
	close(fd);
	info[got > 0 ? got : 0] = '\0';
	found = strstr(info, field);
	found = found ? found + sizeof(field) - 1 : "?";
	snprintf(text, bytes, "libnats %s, NATS %.*s", nats_GetVersion(), (int)strcspn(found, "\""),
		 found);
	return 0;
}

static const struct driver_hello hello = {
	.text = "CONNECT {}\r\nPING\r\n",
	.bytes = 18,
	.default_port = 4222,
};

const struct driver driver_nats = {
	.name = "nats",
	.help = "NATS JetStream with libnats, a stream for each partition",
	.default_url = "nats://127.0.0.1:4222",
	.version = nats_version,
	.topic_create = nats_topic_create,
	.topic_delete = nats_topic_delete,
	.producer_new = nats_producer_new,
	.produce = nats_produce,
	.producer_poll = nats_producer_poll,
	.producer_flush = nats_producer_flush,
	.producer_free = nats_producer_free,
	.consumer_new = nats_consumer_new,
	.consumer_poll = nats_consumer_poll,
	.consumer_free = nats_consumer_free,
	.hello = &hello,
};
