/* control/http/http_server.h: the admin HTTP server: health, metrics, /v1 and the console.
 *
 * Threads: libmicrohttpd's one thread reads requests and answers what needs no waiting; the rest
 * goes to a few workers (workers.h).  Both reach the control plane by errands (control/errand.h).
 *
 *     control_start, http_server_start, control_run, http_server_stop, control_free
 *
 * all by the main thread; the server answers between its start and its stop. */
#pragma once
#include <stddef.h>

struct control;
struct http_server;

/* Listens at the setting admin.listen; *ret is null where that is empty.  An address that cannot be
 * had is an error when the setting was given, else a warning in the log.  -ERR_CONFIG, -errno;
 * `why` gets the sentence for the operator. */
int http_server_start(struct http_server **ret, struct control *control, char *why,
		      size_t why_bytes);
/* Requests under way are answered, 503 where they wait for what has ended.  Null is fine. */
void http_server_stop(struct http_server *server);
