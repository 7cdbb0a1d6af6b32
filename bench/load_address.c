/* Numbers and addresses from the command line, and connections to them. */
#include "bench/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

uint64_t load_number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (end == text || *end)
		load_die("%s is not a number", text);
	return value;
}

uint16_t load_address(const char *text, char host[static 64])
{
	const char *colon = strrchr(text, ':');

	if (!colon || colon - text >= 64)
		load_die("%s is not IP:PORT", text);
	snprintf(host, 64, "%.*s", (int)(colon - text), text);
	return (uint16_t)load_number(colon + 1);
}

int load_connect(const char *host, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		load_die("%s is not an IPv4 address", host);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		load_die("%s:%u: %s", host, port, strerror(errno));
	return fd;
}
