/* client/url.h: where a broker is, from text. */
#pragma once
#include <stddef.h>

enum { URL_HOST_BYTES = 256, URL_SCHEME_BYTES = 8, URL_WHY_BYTES = 512 };

struct url {
	char scheme[URL_SCHEME_BYTES]; /* "tcp", "udp", "dpdk" */
	char host[URL_HOST_BYTES];     /* without the brackets of an IPv6 address */
	int port;
};

/* The first URL of a comma-separated list; *at moves past it and its comma, to null at the end.
 * `scheme://host:port`, or `host:port` for tcp; the port defaults to 9092.  An IPv6 address stands
 * in brackets.  -EINVAL with a sentence in `why`. */
int url_next(const char **at, struct url *ret, char why[static URL_WHY_BYTES]);
