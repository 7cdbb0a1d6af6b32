#include "control/http/guard.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { HOST_BYTES = 256 };

/* The host of "host", "host:port", "[address]:port", without the brackets. */
static bool split_host(const char *field, char ret[static HOST_BYTES])
{
	size_t length = strcspn(field, ":");
	const char *end = field + length;

	if (field[0] == '[') {
		const char *bracket = strchr(field, ']');
		if (!bracket)
			return false;
		field++;
		length = (size_t)(bracket - field);
		end = bracket + 1;
	}
	if (!length || length >= HOST_BYTES)
		return false;
	if (*end == ':' && end[1 + strspn(end + 1, "0123456789")])
		return false;
	if (*end && *end != ':')
		return false;
	memcpy(ret, field, length);
	ret[length] = 0;
	return true;
}

static bool is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* As hosts are compared, without regard to case. */
static bool is_listed(const char *host, const char *list)
{
	size_t length = strlen(host);

	while (*list) {
		list += strspn(list, ", ");
		size_t named = strcspn(list, ", ");
		if (named == length && strncasecmp(list, host, length) == 0)
			return true;
		list += named;
	}
	return false;
}

bool guard_host(const char *host, const char *own)
{
	char name[HOST_BYTES];

	return host && split_host(host, name) &&
	       (is_address(name) || strcasecmp(name, "localhost") == 0 || is_listed(name, own));
}

bool guard_is_json(const char *content_type)
{
	static const char json[] = "application/json";
	size_t length = sizeof(json) - 1;

	return content_type && strncasecmp(content_type, json, length) == 0 &&
	       strchr("; \t", content_type[length]);
}

/* Behind a proxy that speaks TLS the scheme differs; what counts is the host and its port. */
static bool is_same_origin(const char *origin, const char *host)
{
	const char *slashes = strstr(origin, "://");

	return slashes && host && strcasecmp(slashes + 3, host) == 0;
}

const char *guard_change(const struct guard_change *change)
{
	if (change->origin && !is_same_origin(change->origin, change->host))
		return "requests that change something are not taken from pages of other origins";
	if (change->fetch_site && strcmp(change->fetch_site, "same-origin") != 0 &&
	    strcmp(change->fetch_site, "none") != 0)
		return "requests that change something are not taken from pages of other sites";
	if (change->has_body && !guard_is_json(change->content_type))
		return "send the body with Content-Type: application/json";
	return NULL;
}
