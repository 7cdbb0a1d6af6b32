#include "control/listen_address.h"

#include "base/errors.h"

#include <stdlib.h>
#include <string.h>

int listen_address_parse(struct listen_address *ret, const char *text)
{
	struct listen_address address = {.port = 0};
	const char *colon = strrchr(text, ':');
	const char *host = text;
	char *end;

	if (!colon || !colon[1])
		return -ERR_CONFIG;
	size_t length = (size_t)(colon - text);
	if (length >= 2 && host[0] == '[' && host[length - 1] == ']') {
		host++;
		length -= 2;
	} else if (memchr(host, ':', length)) {
		return -ERR_CONFIG; /* IPv6 without brackets: where does the port begin? */
	}
	if (length >= sizeof(address.host))
		return -ERR_CONFIG;
	memcpy(address.host, host, length);
	long port = strtol(colon + 1, &end, 10);
	if (*end || colon[1] < '0' || colon[1] > '9' || port > UINT16_MAX)
		return -ERR_CONFIG;
	address.port = (uint16_t)port;
	*ret = address;
	return 0;
}
