#include "control/http/exchange.h"

#include "base/bytes.h"
#include "base/check.h"
#include "control/http/answer.h"
#include "control/http/guard.h"
#include "control/http/routes.h"
#include "control/http/static_files.h"
#include "control/http/target.h"
#include "control/http/workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_MAX = 1 << 20 };

/* The console loads what is in it and asks this server, nothing else; nobody may frame it. */
#define CONTENT_SECURITY_POLICY                                                                    \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

enum phase { NEW, READING, WORKING, ANSWERED };

struct exchange {
	const struct exchange_options *options;
	struct MHD_Connection *connection;
	enum phase phase;
	struct target target;
	int target_rc;
	struct http_request request;
	char *body;
	size_t body_bytes;
	json_t *json;
	struct http_answer answer;
	struct work work;
};

struct exchange *exchange_new(const struct exchange_options *options,
			      struct MHD_Connection *connection, const char *target)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return NULL;
	exchange->options = options;
	exchange->connection = connection;
	exchange->target_rc = target_parse(&exchange->target, target);
	return exchange;
}

void exchange_free(struct exchange *exchange)
{
	if (!exchange)
		return;
	check(exchange->phase != WORKING);
	target_free(&exchange->target);
	json_decref(exchange->json);
	answer_fini(&exchange->answer);
	free(exchange->body);
	free(exchange);
}

/* ---- the answer ---- */

static const char *field(const struct exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static bool is_known(const struct exchange *exchange)
{
	const char *known = field(exchange, MHD_HTTP_HEADER_IF_NONE_MATCH);

	return exchange->answer.etag && known && strstr(known, exchange->answer.etag);
}

static struct MHD_Response *response_new(struct exchange *exchange)
{
	struct http_answer *answer = &exchange->answer;
	bool known = is_known(exchange);
	size_t bytes = known ? 0 : answer->body_bytes;

	if (known)
		answer->status = MHD_HTTP_NOT_MODIFIED;
	/* MHD reads it only; and frees what it is given, where it comes from malloc. */
	void *body = known ? NULL : (void *)(uintptr_t)answer->body;
	enum MHD_ResponseMemoryMode mode = answer->memory ? MHD_RESPMEM_MUST_FREE
							  : MHD_RESPMEM_PERSISTENT;
	struct MHD_Response *response =
		MHD_create_response_from_buffer(bytes, body, known ? MHD_RESPMEM_PERSISTENT : mode);
	if (response && !known)
		answer->memory = NULL;
	return response;
}

static void add_fields(struct MHD_Response *response, const struct http_answer *answer)
{
	const char *fields[][2] = {
		{MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type},
		{MHD_HTTP_HEADER_ETAG, answer->etag},
		{MHD_HTTP_HEADER_CACHE_CONTROL, answer->etag ? "no-cache" : "no-store"},
		{MHD_HTTP_HEADER_ALLOW, answer->allow[0] ? answer->allow : NULL},
		{"Content-Security-Policy", CONTENT_SECURITY_POLICY},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
	};

	for (size_t i = 0; i < array_count(fields); i++) {
		if (fields[i][1])
			MHD_add_response_header(response, fields[i][0], fields[i][1]);
	}
}

static enum MHD_Result queue_answer(struct exchange *exchange)
{
	struct MHD_Response *response = response_new(exchange);

	exchange->phase = ANSWERED;
	if (!response)
		return MHD_NO;
	add_fields(response, &exchange->answer);
	enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->answer.status,
						    response);
	MHD_destroy_response(response);
	return result;
}

/* ---- the request ---- */

static bool has_body(const struct exchange *exchange)
{
	const char *length = field(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return field(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
	       (length && strcmp(length, "0") != 0);
}

static bool too_long(struct exchange *exchange, unsigned long long bytes)
{
	if (bytes <= BODY_BYTES_MAX)
		return false;
	answer_problem(&exchange->answer, MHD_HTTP_CONTENT_TOO_LARGE, "a body has %d bytes at most",
		       BODY_BYTES_MAX);
	return true;
}

static bool may_change(struct exchange *exchange)
{
	const char *length = field(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
	const struct guard_change change = {
		.host = field(exchange, MHD_HTTP_HEADER_HOST),
		.origin = field(exchange, MHD_HTTP_HEADER_ORIGIN),
		.fetch_site = field(exchange, "Sec-Fetch-Site"),
		.content_type = field(exchange, MHD_HTTP_HEADER_CONTENT_TYPE),
		.has_body = has_body(exchange),
	};
	const char *why = guard_change(&change);

	if (why) {
		answer_problem(&exchange->answer,
			       change.has_body && !guard_is_json(change.content_type)
				       ? MHD_HTTP_UNSUPPORTED_MEDIA_TYPE
				       : MHD_HTTP_FORBIDDEN,
			       "%s", why);
		return false;
	}
	return !length || !too_long(exchange, strtoull(length, NULL, 10));
}

static bool target_good(struct exchange *exchange)
{
	const char *host = field(exchange, MHD_HTTP_HEADER_HOST);

	if (!guard_host(host, exchange->options->hosts)) {
		answer_problem(&exchange->answer, MHD_HTTP_MISDIRECTED_REQUEST,
			       "this server is not called %.100s; the setting admin.hosts has its "
			       "names",
			       host ? host : "nothing");
		return false;
	}
	if (exchange->target_rc == -ENAMETOOLONG)
		answer_problem(&exchange->answer, MHD_HTTP_URI_TOO_LONG,
			       "path and query have %d bytes at most, %d segments and %d "
			       "parameters",
			       TARGET_BYTES_MAX, TARGET_SEGMENTS_MAX, TARGET_QUERIES_MAX);
	else if (exchange->target_rc < 0)
		answer_problem(&exchange->answer, MHD_HTTP_BAD_REQUEST,
			       "path or query is not percent-encoded UTF-8");
	return exchange->target_rc == 0;
}

static bool is_reading(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

/* False: answered already. */
static bool begin(struct exchange *exchange, const char *method)
{
	if (!target_good(exchange))
		return false;
	const struct static_file *file = static_file_find(exchange->target.path);
	if (file && is_reading(method)) {
		answer_static(&exchange->answer, file->content_type, file->content, file->bytes,
			      file->etag);
		return false;
	}
	if (!route_request(method, &exchange->target, &exchange->request, &exchange->answer))
		return false;
	if (exchange->request.route->body || !has_body(exchange))
		return exchange->request.route->method == HTTP_GET || may_change(exchange);
	answer_problem(&exchange->answer, MHD_HTTP_BAD_REQUEST, "nothing is taken as a body here");
	return false;
}

static bool keep_upload(struct exchange *exchange, const char *upload, size_t bytes)
{
	if (too_long(exchange, exchange->body_bytes + bytes))
		return false;
	char *body = realloc(exchange->body, exchange->body_bytes + bytes);
	if (!body) {
		answer_json(&exchange->answer, 0, NULL);
		return false;
	}
	memcpy(body + exchange->body_bytes, upload, bytes);
	exchange->body = body;
	exchange->body_bytes += bytes;
	return true;
}

static bool parse_body(struct exchange *exchange)
{
	json_error_t error;

	if (!exchange->request.route->body)
		return true;
	exchange->json = json_loadb(exchange->body ? exchange->body : "", exchange->body_bytes,
				    JSON_REJECT_DUPLICATES, &error);
	if (!exchange->json)
		answer_problem(&exchange->answer, MHD_HTTP_BAD_REQUEST,
			       "the body is not JSON: line %d, column %d: %s", error.line,
			       error.column, error.text);
	else if (!json_is_object(exchange->json))
		answer_problem(&exchange->answer, MHD_HTTP_BAD_REQUEST,
			       "the body is not an object");
	exchange->request.body = exchange->json;
	return json_is_object(exchange->json);
}

/* ---- who answers ---- */

static void handle(struct exchange *exchange, struct admin_client *client)
{
	exchange->request.control = exchange->options->control;
	exchange->request.client = client;
	exchange->request.route->handler(&exchange->request, &exchange->answer);
}

static void work_run(struct work *work, struct admin_client *client)
{
	struct exchange *exchange = container_of(work, struct exchange, work);

	if (client)
		handle(exchange, client);
	else
		answer_problem(&exchange->answer, MHD_HTTP_SERVICE_UNAVAILABLE,
			       "the broker is stopping");
	exchange->phase = ANSWERED;
	MHD_resume_connection(exchange->connection);
}

static enum MHD_Result finish(struct exchange *exchange)
{
	struct workers *workers = exchange->options->workers;

	if (exchange->answer.status || !parse_body(exchange))
		return queue_answer(exchange);
	if (exchange->request.route->at == AT_ONCE) {
		handle(exchange, NULL);
		return queue_answer(exchange);
	}
	if (workers_full(workers)) {
		answer_problem(&exchange->answer, MHD_HTTP_SERVICE_UNAVAILABLE,
			       "too many requests are waiting; try again");
		return queue_answer(exchange);
	}
	exchange->phase = WORKING;
	exchange->work.run = work_run;
	MHD_suspend_connection(exchange->connection);
	workers_send(workers, &exchange->work);
	return MHD_YES;
}

enum MHD_Result exchange_step(struct exchange *exchange, const char *method, const char *upload,
			      size_t *upload_bytes)
{
	if (exchange->phase == NEW) {
		exchange->phase = READING;
		return begin(exchange, method) ? MHD_YES : queue_answer(exchange);
	}
	if (exchange->phase == ANSWERED)
		return queue_answer(exchange);
	if (!*upload_bytes)
		return finish(exchange);
	/* Nothing can be answered before all of a body was read; what is too much is dropped. */
	if (!exchange->answer.status && !keep_upload(exchange, upload, *upload_bytes)) {
		free(exchange->body);
		exchange->body = NULL;
	}
	*upload_bytes = 0;
	return MHD_YES;
}
