/* control/listen_address.h: where to listen, as settings say it.  Any thread. */
#pragma once
#include <stdint.h>

struct listen_address {
	char host[256];
	uint16_t port;
};

/* "HOST:PORT", "[IPV6]:PORT", ":PORT" (all addresses).  -ERR_CONFIG. */
int listen_address_parse(struct listen_address *ret, const char *text);
