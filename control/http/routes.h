/* control/http/routes.h: from a request's method and target to who answers it.
 *
 * The tables are static; all functions are pure, for any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "control/http/answer.h"
#include "control/http/target.h"

struct admin_client;
struct control;

enum http_method { HTTP_GET, HTTP_POST, HTTP_PATCH, HTTP_DELETE, HTTP_METHOD_COUNT };
extern const char *const http_method_names[HTTP_METHOD_COUNT];

enum parameter_kind { PARAMETER_TEXT, PARAMETER_COUNT, PARAMETER_FLAG };

enum parameter_index {
#define PARAMETER(name, kind, min, max, def, help) OF_##name,
#include "control/http/parameters.def"
#undef PARAMETER
	PARAMETERS
};

struct parameter {
	const char *name;
	enum parameter_kind kind;
	int64_t min;
	int64_t max;
	const char *default_text; /* null: none */
	const char *help;
};
extern const struct parameter parameters[PARAMETERS];

struct http_request {
	const struct route *route;
	const char *texts[PARAMETERS]; /* null: neither given nor a default */
	int64_t counts[PARAMETERS];    /* of counts and flags; -1: likewise */
	const json_t *body;            /* null: the route takes none */
	struct control *control;
	struct admin_client *client; /* of the worker; null AT_ONCE */
};

/* Fills `answer`, which is zeroed. */
typedef void http_handler(const struct http_request *request, struct http_answer *answer);

enum route_at { AT_ONCE, BY_WORKER };

struct route {
	enum http_method method;
	const char *path; /* "/v1/topics/{topic}" */
	enum route_at at;
	http_handler *handler;
	const char *parameters; /* of the query: names with spaces between */
	const char *body;       /* schemas, for the OpenAPI document; null: none */
	const char *answer;
	const char *summary;
};
extern const struct route routes[];
extern const size_t route_count;

#define ROUTE(method, path, at, function, parameters, body, status, answer, summary)               \
	http_handler function;
#include "control/http/routes.def"
#undef ROUTE

/* Whether `word` is one of `words`, which have spaces between. */
bool route_names(const char *words, const char *word);
/* Fills route, texts and counts of `request`, whose texts lie in `target`; or answers with the
 * problem (404, 405, 400) and returns false.  HEAD is GET. */
bool route_request(const char *method, const struct target *target, struct http_request *request,
		   struct http_answer *answer);
