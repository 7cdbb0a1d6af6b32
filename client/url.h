/* client/url.h: where a broker is, from text. */
#pragma once
#include <stddef.h>

enum {
	URL_HOST_BYTES = 512,
	URL_SCHEME_BYTES = 8,
	URL_DEVICE_BYTES = 512,
	URL_SETTINGS_BYTES = 512,
	URL_WHY_BYTES = 512,
};

struct url {
	char scheme[URL_SCHEME_BYTES]; /* "tcp", "udp", "dpdk" */
	char host[URL_HOST_BYTES];     /* without the brackets of an IPv6 address */
	int port;
	/* Of dpdk; else "". */
	char device[URL_DEVICE_BYTES];     /* "net_memif0,role=client,...", "0000:00:05.0" */
	char settings[URL_SETTINGS_BYTES]; /* "address=...&peer=...": what followed the '?' */
};

/* The first URL of a comma-separated list; *at moves past it and its comma, to null at the end.
 * `scheme://host:port`, or `host:port` for tcp; the port defaults to 9092.  An IPv6 address stands
 * in brackets.  `dpdk:DEVICE?peer=HOST:PORT&...` has commas of its own: it is the last of its list.
 * -EINVAL with a sentence in `why`. */
int url_next(const char **at, struct url *ret, char why[static URL_WHY_BYTES]);

struct url_setting {
	char name[16];
	char value[URL_SETTINGS_BYTES];
};

/* The next one of url->settings, where *at begins; then *at moves on, to null at the end.
 * -EINVAL: not NAME=VALUE. */
int url_setting_next(const char **at, struct url_setting *ret);
