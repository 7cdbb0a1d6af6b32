/* control/http/exchange.h: one request and its answer, from the first line to the last byte.
 *
 *     new ──headers──> reading ──whole──> (at once) answered
 *      └──refused──────────┐      └──> working, suspended ──> answered
 *                          v
 *                       answered
 *
 * Owner: the server's thread; while working, a worker. */
#pragma once
#include <microhttpd.h>

struct control;
struct exchange;
struct workers;

struct exchange_options {
	struct control *control;
	struct workers *workers;
	const char *hosts; /* names that are served besides localhost, separated by commas */
};

/* Null: no memory.  `target` as it stands in the request line. */
struct exchange *exchange_new(const struct exchange_options *options,
			      struct MHD_Connection *connection, const char *target);
/* What MHD's access handler does, but for its first arguments. */
enum MHD_Result exchange_step(struct exchange *exchange, const char *method, const char *upload,
			      size_t *upload_bytes);
void exchange_free(struct exchange *exchange); /* null is fine */
