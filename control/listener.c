#include "control/listener.h"

#include "base/errors.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

static int resolve(const struct listen_address *address, struct sockaddr_storage *ret,
		   socklen_t *ret_length, char *why, size_t why_bytes)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char port[8];

	snprintf(port, sizeof(port), "%u", address->port);
	int rc = getaddrinfo(address->host[0] ? address->host : NULL, port, &hints, &found);
	if (rc != 0) {
		snprintf(why, why_bytes, "listen address \"%s\": %s", address->host,
			 gai_strerror(rc));
		return -EADDRNOTAVAIL;
	}
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int bind_datagrams(const struct sockaddr_storage *address, socklen_t length)
{
	int fd = socket(address->ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)address, length) < 0) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static int bind_one(const struct sockaddr_storage *address, socklen_t length, bool shared)
{
	int one = 1;
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (shared)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	/* Accepted sockets inherit it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)address, length) < 0 ||
	    (shared && listen(fd, BACKLOG) < 0)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Without SO_REUSEPORT: fails where another process listens, even one of the same user. */
static int claim(const struct sockaddr_storage *address, socklen_t length)
{
	int fd = bind_one(address, length, false);

	if (fd < 0)
		return fd;
	int rc = listen(fd, 1) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)address)->sin_port = htons(port);
}

static int port_of(int fd, uint16_t *ret)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname has filled it. */
	*ret = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						   : ((struct sockaddr_in *)&address)->sin_port);
	return 0;
}

static int open_all(struct sockaddr_storage *address, socklen_t length, unsigned count, int fds[],
		    uint16_t *ret_port)
{
	unsigned opened = 0;
	int rc = 0;

	for (; opened < count; opened++) {
		rc = fds[opened] = bind_one(address, length, true);
		if (rc < 0)
			break;
		rc = port_of(fds[opened], ret_port);
		if (rc < 0)
			break;
		set_port(address, *ret_port);
	}
	if (opened == count)
		return 0;
	for (unsigned i = 0; i <= opened; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
	return rc;
}

int listeners_open(const struct listen_address *address, unsigned count, int fds[],
		   uint16_t *ret_port, char *why, size_t why_bytes)
{
	struct sockaddr_storage where;
	socklen_t length;
	int rc = resolve(address, &where, &length, why, why_bytes);

	if (rc < 0)
		return rc;
	rc = address->port ? claim(&where, length) : 0;
	if (rc == 0)
		rc = open_all(&where, length, count, fds, ret_port);
	if (rc == -EADDRINUSE)
		snprintf(why, why_bytes,
			 "%s:%u is in use by another program; stop it or use another --listen",
			 address->host, address->port);
	else if (rc < 0)
		snprintf(why, why_bytes, "cannot listen on %s:%u: %s", address->host, address->port,
			 error_text(rc));
	return rc;
}

int datagram_sockets_open(const struct listen_address *address, unsigned count, int fds[],
			  char *why, size_t why_bytes)
{
	struct sockaddr_storage where;
	socklen_t length;
	unsigned opened = 0;
	int rc = resolve(address, &where, &length, why, why_bytes);

	if (rc == 0 && address->port + count - 1 > UINT16_MAX)
		rc = -EADDRNOTAVAIL;
	for (; rc == 0 && opened < count; opened++) {
		set_port(&where, (uint16_t)(address->port + opened));
		rc = fds[opened] = bind_datagrams(&where, length);
		if (rc < 0)
			break;
		rc = 0;
	}
	if (rc == 0)
		return 0;
	snprintf(why, why_bytes, "cannot receive datagrams on %s:%u: %s", address->host,
		 address->port + opened, error_text(rc));
	for (unsigned i = 0; i < opened; i++) {
		close(fds[i]);
		fds[i] = -1;
	}
	return rc;
}
