#include "client/url.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT_DEFAULT = 9092, PORT_MAX = 65535 };

static int refuse(char *why, const char *text, size_t length, const char *what)
{
	snprintf(why, URL_WHY_BYTES, "'%.*s': %s", (int)length, text, what);
	return -EINVAL;
}

static bool copy(char *to, size_t room, const char *from, size_t length)
{
	if (length == 0 || length >= room)
		return false;
	memcpy(to, from, length);
	to[length] = 0;
	return true;
}

/* Digits up to `end`, nothing else. */
static bool parse_port(const char *at, const char *end, int *ret)
{
	int port = 0;

	if (at == end)
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		port = port * 10 + (*at - '0');
		if (port > PORT_MAX)
			return false;
	}
	*ret = port;
	return port > 0;
}

static int parse(const char *text, size_t length, struct url *url, char *why)
{
	const char *end = text + length;
	const char *host = text;
	const char *scheme_end = memmem(text, length, "://", 3);

	*url = (struct url){.scheme = "tcp", .port = PORT_DEFAULT};
	if (scheme_end) {
		if (!copy(url->scheme, sizeof(url->scheme), text, (size_t)(scheme_end - text)))
			return refuse(why, text, length, "no such scheme, use tcp:// or udp://");
		host = scheme_end + 3;
	}
	const char *host_end = NULL;
	const char *after;
	if (host < end && *host == '[') {
		host++;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return refuse(why, text, length, "a '[' without its ']'");
		after = host_end + 1;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (!host_end)
			host_end = end;
		after = host_end;
	}
	if (!copy(url->host, sizeof(url->host), host, (size_t)(host_end - host)))
		return refuse(why, text, length, "no host, write host:port");
	if (after == end)
		return 0;
	if (*after != ':' || !parse_port(after + 1, end, &url->port))
		return refuse(why, text, length,
			      "after the host comes a port from 1 to 65535; an IPv6 address stands "
			      "in brackets");
	return 0;
}

/* What the port's own code reads later. */
static int parse_dpdk(const char *text, struct url *url, char *why)
{
	const char *rest = text + strlen("dpdk:");

	*url = (struct url){.scheme = "dpdk"};
	if (copy(url->host, sizeof(url->host), rest, strlen(rest)))
		return 0;
	return refuse(why, text, strlen(text), "write dpdk:DEVARGS?peer=HOST:PORT");
}

int url_next(const char **at, struct url *ret, char why[static URL_WHY_BYTES])
{
	const char *text = *at + strspn(*at, " ");
	bool dpdk = strncmp(text, "dpdk:", strlen("dpdk:")) == 0;
	const char *comma = dpdk ? text + strlen(text) : strchrnul(text, ',');
	size_t length = (size_t)(comma - text);
	struct url url;

	while (length > 0 && text[length - 1] == ' ')
		length--;
	int rc = dpdk ? parse_dpdk(text, &url, why) : parse(text, length, &url, why);
	if (rc < 0)
		return rc;
	*ret = url;
	*at = *comma ? comma + 1 : NULL;
	return 0;
}
