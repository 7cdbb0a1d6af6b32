/* From settings to sockets and a port: where clients come, and where they are told to.
 *
 * The port comes before the listeners: the kernel's interface behind it may be what has their
 * address.  Sockets are the control plane's until a shard takes them over. */
#include "control/control_internal.h"

#include "base/errors.h"
#include "base/log.h"
#include "control/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void sockets_close(struct sockets *sockets)
{
	for (unsigned i = 0; i < SHARDS_MAX; i++) {
		if (sockets->listeners[i] >= 0)
			close(sockets->listeners[i]);
		if (sockets->datagrams[i] >= 0)
			close(sockets->datagrams[i]);
	}
}

/* Where clients are told to connect. */
static int set_advertised(struct control *control, const struct listen_address *listen,
			  uint16_t port, char *why, size_t why_bytes)
{
	const char *text = control->config->advertised_listen;

	if (text[0]) {
		if (listen_address_parse(&control->advertised, text) == 0 &&
		    control->advertised.host[0] && control->advertised.port)
			return 0;
		snprintf(why, why_bytes, "advertised.listen = \"%.80s\": expected HOST:PORT", text);
		return -ERR_CONFIG;
	}
	control->advertised = *listen;
	control->advertised.port = port;
	bool any = !listen->host[0] || strcmp(listen->host, "0.0.0.0") == 0 ||
		   strcmp(listen->host, "::") == 0;
	if (any && gethostname(control->advertised.host, sizeof(control->advertised.host)) < 0)
		return -errno;
	if (any)
		log_warn("control",
			 "clients are told to connect to this host's name host=%s; set "
			 "advertised.listen where they cannot resolve it",
			 control->advertised.host);
	return 0;
}

/* Where datagrams come: datagram.listen, or the TCP listener's own host and port. */
static int datagram_address(const struct control *control, const struct listen_address *listen,
			    struct listen_address *ret, char *why, size_t why_bytes)
{
	const char *text = control->config->datagram_listen;

	*ret = *listen;
	if (!text[0] || strcmp(text, "none") == 0)
		return 0;
	if (listen_address_parse(ret, text) == 0 && ret->port)
		return 0;
	snprintf(why, why_bytes, "datagram.listen = \"%.80s\": expected HOST:PORT", text);
	return -ERR_CONFIG;
}

/* The ports after the TCP port may be somebody else's; only a wish is insisted on. */
static int open_datagram_sockets(struct control *control, const struct listen_address *address,
				 struct sockets *sockets, char *why, size_t why_bytes)
{
	const char *text = control->config->datagram_listen;

	if (strcmp(text, "none") == 0)
		return 0;
	int rc = datagram_sockets_open(address, control->shard_count, sockets->datagrams, why,
				       why_bytes);
	if (rc == 0)
		control->datagram_port = address->port;
	if (rc == 0 || text[0])
		return rc;
	log_warn("control", "%s; no datagrams by the kernel's sockets", why);
	return 0;
}

static int set_faults(struct control *control, char *why, size_t why_bytes)
{
	const char *text = control->config->datagram_faults;
	char reason[256];

	if (!text[0])
		return 0;
	int rc = faults_parse(text, &control->faults, reason, sizeof(reason));
	if (rc < 0)
		snprintf(why, why_bytes, "datagram.faults: %s", reason);
	else
		log_warn("control",
			 "datagram.faults is set: datagrams are harmed on purpose "
			 "faults=\"%s\"",
			 text);
	return rc;
}

static int open_datagrams(struct control *control, const struct listen_address *listen,
			  struct sockets *sockets, char *why, size_t why_bytes)
{
	struct listen_address address;
	int rc = datagram_address(control, listen, &address, why, why_bytes);

	if (rc == 0)
		rc = set_faults(control, why, why_bytes);
	if (rc == 0)
		rc = open_datagram_sockets(control, &address, sockets, why, why_bytes);
	return rc;
}

/* Comes before the listeners: the kernel's interface behind a port may be what has their address.
 */
static int open_port(struct control *control, const struct listen_address *listen, char *why,
		     size_t why_bytes)
{
	struct listen_address address;

	if (!control->config->dpdk_port[0])
		return 0;
	int rc = datagram_address(control, listen, &address, why, why_bytes);
	if (rc < 0)
		return rc;
	if (!address.port) {
		snprintf(why, why_bytes, "a port needs a number in listen or datagram.listen");
		return -ERR_CONFIG;
	}
	rc = network_port_start(&control->port, control->config, control->shard_count, address.port,
				why, why_bytes);
	if (rc == 0)
		control->datagram_port = address.port;
	return rc;
}

int sockets_open(struct control *control, struct sockets *ret, char *why, size_t why_bytes)
{
	struct listen_address address;
	uint16_t port = 0;

	memset(ret, 0xff, sizeof(*ret));
	if (listen_address_parse(&address, control->config->listen) < 0) {
		snprintf(why, why_bytes, "listen = \"%.80s\": expected HOST:PORT",
			 control->config->listen);
		return -ERR_CONFIG;
	}
	int rc = open_port(control, &address, why, why_bytes);
	if (rc == 0)
		rc = listeners_open(&address, control->shard_count, ret->listeners, &port, why,
				    why_bytes);
	if (rc < 0)
		return rc;
	control->listen_port = port;
	address.port = port;
	rc = set_advertised(control, &address, port, why, why_bytes);
	return rc < 0 ? rc : open_datagrams(control, &address, ret, why, why_bytes);
}
