/* control/http/guard.h: which requests are refused for where they come from.
 *
 * A browser on the operator's machine reaches what listens on loopback, so any page may send
 * requests here.  Two rules keep pages of others out, without passwords:
 *   - Host names this server: an address, localhost, this host's name, the host of admin.listen or
 *     one of admin.hosts.  A page that turns a name of its own to our address (DNS rebinding) sends
 *     that name.
 *   - What changes something says "Content-Type: application/json", or has no body, and comes from
 *     no other origin.  Without our consent, which we never give, browsers send no such request
 *     from one origin to another (the Fetch standard's CORS protocol).
 * Pure functions; any thread. */
#pragma once
#include <stdbool.h>

/* `own`: names that are served, separated by commas; "" none.  `host` is the field's value. */
bool guard_host(const char *host, const char *own);
/* Null where the request has no such field. */
struct guard_change {
	const char *host;
	const char *origin;
	const char *fetch_site; /* Sec-Fetch-Site */
	const char *content_type;
	bool has_body;
};
/* Null: let it in; else the sentence of why not. */
const char *guard_change(const struct guard_change *change);
/* "application/json", with parameters or without. */
bool guard_is_json(const char *content_type);
