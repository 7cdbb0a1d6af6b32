/* client/url.h: where a broker is, from text. */
#pragma once
#include <stddef.h>

enum { URL_HOST_BYTES = 512, URL_SCHEME_BYTES = 8, URL_WHY_BYTES = 512 };

struct url {
	char scheme[URL_SCHEME_BYTES]; /* "tcp", "udp", "dpdk" */
	char host[URL_HOST_BYTES]; /* without the brackets of an IPv6 address; of dpdk all the rest
				    */
	int port;                  /* of dpdk 0 */
};

/* The first URL of a comma-separated list; *at moves past it and its comma, to null at the end.
 * `scheme://host:port`, or `host:port` for tcp; the port defaults to 9092.  An IPv6 address stands
 * in brackets.  `dpdk:DEVARGS?peer=HOST:PORT` has commas of its own: it is the last of its list.
 * -EINVAL with a sentence in `why`. */
int url_next(const char **at, struct url *ret, char why[static URL_WHY_BYTES]);
