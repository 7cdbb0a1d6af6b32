/* libmicrohttpd around exchange.c: the socket, the limits, the life of the threads. */
#include "control/http/http_server.h"

#include "base/errors.h"
#include "base/log.h"
#include "control/config.h"
#include "control/http/exchange.h"
#include "control/http/workers.h"
#include "control/listener.h"
#include "control/view.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 64, /* browsers take six each, a scraper one */
	SILENCE_SECONDS_MAX = 30,
	CONNECTION_BYTES_MAX = 32 << 10, /* request line and fields, and what is read at a time */
	HOSTS_BYTES = 2048,
	URLS_BYTES = 300,
};

struct http_server {
	struct MHD_Daemon *daemon;
	struct exchange_options options;
	char hosts[HOSTS_BYTES];
	char urls[URLS_BYTES]; /* of the broker itself */
};

/* ---- what libmicrohttpd calls, on its thread ---- */

static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
	const struct http_server *server = context;

	return exchange_new(&server->options, connection, target);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
				  const char *path, const char *method, const char *version,
				  const char *upload, size_t *upload_bytes, void **ret_exchange)
{
	(void)context;
	(void)connection;
	(void)path;
	(void)version;
	return *ret_exchange ? exchange_step(*ret_exchange, method, upload, upload_bytes) : MHD_NO;
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange,
			 enum MHD_RequestTerminationCode why)
{
	(void)context;
	(void)connection;
	(void)why;
	exchange_free(*exchange);
	*exchange = NULL;
}

/* target.c decodes, after taking the text apart. */
static size_t leave_escapes(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context;
	(void)connection;
	return strlen(text);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *context, const char *format,
							 va_list arguments)
{
	char line[512];

	(void)context;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = 0;
	log_debug("http", "%s", line);
}

/* ---- start and stop ---- */

static bool is_any(const char *host)
{
	return !host[0] || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/* Where this process listens for Kafka's clients, from here. */
static int own_urls(struct http_server *server, const struct config *config, uint16_t port)
{
	struct listen_address address;
	int rc = listen_address_parse(&address, config->listen);

	if (rc < 0)
		return rc;
	const char *host = is_any(address.host) ? "localhost" : address.host;
	bool colons = strchr(host, ':');
	snprintf(server->urls, sizeof(server->urls), "tcp://%s%s%s:%u", colons ? "[" : "", host,
		 colons ? "]" : "", port);
	return 0;
}

static void name_hosts(struct http_server *server, const struct config *config, const char *host)
{
	char own[256] = "";

	if (gethostname(own, sizeof(own) - 1) < 0)
		own[0] = 0;
	snprintf(server->hosts, sizeof(server->hosts), "%s,%s,%s", host, own, config->admin_hosts);
	server->options.hosts = server->hosts;
}

static int start_daemon(struct http_server *server, int listener)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
			 MHD_USE_ERROR_LOG;

	server->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, listener, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)SILENCE_SECONDS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_BYTES_MAX, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK,
		leave_escapes, NULL, MHD_OPTION_END);
	return server->daemon ? 0 : -EIO;
}

static int start(struct http_server *server, struct control *control, int listener)
{
	int rc = own_urls(server, control_config(control), control_listen_port(control));

	server->options.control = control;
	if (rc == 0)
		rc = workers_start(&server->options.workers, server->urls);
	if (rc == 0)
		rc = start_daemon(server, listener);
	return rc;
}

/* -errno, after a warning 0 and no listener. */
static int open_listener(const struct config *config, struct listen_address *address,
			 int *ret_listener, char *why, size_t why_bytes)
{
	if (listen_address_parse(address, config->admin_listen) < 0) {
		snprintf(why, why_bytes, "admin.listen = \"%.80s\": expected HOST:PORT, or nothing",
			 config->admin_listen);
		return -ERR_CONFIG;
	}
	int rc = listeners_open(address, 1, ret_listener, &address->port, why, why_bytes);
	if (rc < 0 && !config_given(config, CONFIG_admin_listen)) {
		log_warn("http", "no admin HTTP: %s; set admin.listen", why);
		*ret_listener = -1;
		return 0;
	}
	return rc;
}

int http_server_start(struct http_server **ret, struct control *control, char *why,
		      size_t why_bytes)
{
	const struct config *config = control_config(control);
	struct listen_address address;
	int listener = -1;

	*ret = NULL;
	if (!config->admin_listen[0])
		return 0;
	int rc = open_listener(config, &address, &listener, why, why_bytes);
	if (rc < 0 || listener < 0)
		return rc;
	struct http_server *server = calloc(1, sizeof(*server));
	rc = -ENOMEM;
	if (server) {
		name_hosts(server, config, address.host);
		rc = start(server, control, listener);
	}
	if (rc < 0) {
		snprintf(why, why_bytes, "admin HTTP");
		http_server_stop(server);
		close(listener);
		return rc;
	}
	*ret = server;
	log_info("http", "listening url=http://%s:%u/",
		 is_any(address.host) ? "localhost" : address.host, address.port);
	return 0;
}

void http_server_stop(struct http_server *server)
{
	if (!server)
		return;
	if (server->options.workers)
		workers_end(server->options.workers);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	workers_free(server->options.workers);
	free(server);
}
