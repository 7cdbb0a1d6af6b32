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

/* HOST, HOST:PORT or [HOST]:PORT.  Null: good; else what is wrong with it. */
static const char *parse_place(const char *host, const char *end, struct url *url)
{
	const char *host_end;
	const char *after;

	url->port = PORT_DEFAULT;
	if (host < end && *host == '[') {
		host++;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return "a '[' without its ']'";
		after = host_end + 1;
	} else {
		host_end = memchr(host, ':', (size_t)(end - host));
		if (!host_end)
			host_end = end;
		after = host_end;
	}
	if (!copy(url->host, sizeof(url->host), host, (size_t)(host_end - host)))
		return "no host, write host:port";
	if (after == end)
		return NULL;
	if (*after != ':' || !parse_port(after + 1, end, &url->port))
		return "after the host comes a port from 1 to 65535; an IPv6 address stands in "
		       "brackets";
	return NULL;
}

static int parse(const char *text, size_t length, struct url *url, char *why)
{
	const char *host = text;
	const char *scheme_end = memmem(text, length, "://", 3);

	*url = (struct url){.scheme = "tcp"};
	if (scheme_end) {
		if (!copy(url->scheme, sizeof(url->scheme), text, (size_t)(scheme_end - text)))
			return refuse(why, text, length, "no such scheme, use tcp:// or udp://");
		host = scheme_end + 3;
	}
	const char *wrong = parse_place(host, text + length, url);
	return wrong ? refuse(why, text, length, wrong) : 0;
}

int url_setting_next(const char **at, struct url_setting *ret)
{
	const char *end = strchrnul(*at, '&');
	const char *equals = memchr(*at, '=', (size_t)(end - *at));

	if (!equals || !copy(ret->name, sizeof(ret->name), *at, (size_t)(equals - *at)) ||
	    !copy(ret->value, sizeof(ret->value), equals + 1, (size_t)(end - equals - 1)))
		return -EINVAL;
	*at = *end ? end + 1 : NULL;
	return 0;
}

/* The settings but `peer` are read by those who have the device. */
static const char *parse_peer(struct url *url)
{
	const char *at = url->settings;
	struct url_setting setting;

	while (at) {
		if (url_setting_next(&at, &setting) < 0)
			return "after the '?' come NAME=VALUE, with a '&' between them";
		if (strcmp(setting.name, "peer") == 0)
			return parse_place(setting.value, setting.value + strlen(setting.value),
					   url);
	}
	return "no peer, write ?peer=HOST:PORT";
}

static int parse_dpdk(const char *text, size_t length, struct url *url, char *why)
{
	const char *device = text + strlen("dpdk:");
	const char *end = text + length;
	const char *question = memrchr(device, '?', (size_t)(end - device));
	const char *wrong = "write dpdk:DEVICE?address=IP/PREFIX&peer=HOST:PORT";

	*url = (struct url){.scheme = "dpdk"};
	if (question &&
	    copy(url->device, sizeof(url->device), device, (size_t)(question - device)) &&
	    copy(url->settings, sizeof(url->settings), question + 1, (size_t)(end - question - 1)))
		wrong = parse_peer(url);
	return wrong ? refuse(why, text, length, wrong) : 0;
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
	int rc = dpdk ? parse_dpdk(text, length, &url, why) : parse(text, length, &url, why);
	if (rc < 0)
		return rc;
	*ret = url;
	*at = *comma ? comma + 1 : NULL;
	return 0;
}
