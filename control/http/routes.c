#include "control/http/routes.h"

#include "base/bytes.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const http_method_names[HTTP_METHOD_COUNT] = {"GET", "POST", "PATCH", "DELETE"};

const struct parameter parameters[PARAMETERS] = {
#define PARAMETER(name, kind, min, max, def, help) {#name, PARAMETER_##kind, min, max, def, help},
#include "control/http/parameters.def"
#undef PARAMETER
};

const struct route routes[] = {
#define ROUTE(method, path, at, function, parameters, body, status, answer, summary)               \
	{HTTP_##method, path, at, function, parameters, body, answer, summary},
#include "control/http/routes.def"
#undef ROUTE
};
const size_t route_count = array_count(routes);

bool route_names(const char *words, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = words; *at;) {
		size_t here = strcspn(at, " ");
		if (here == length && memcmp(at, word, length) == 0)
			return true;
		at += here + strspn(at + here, " ");
	}
	return false;
}

/* ---- values ---- */

static int find_parameter(const char *name, size_t length)
{
	for (int i = 0; i < PARAMETERS; i++) {
		if (strlen(parameters[i].name) == length &&
		    memcmp(parameters[i].name, name, length) == 0)
			return i;
	}
	return -1;
}

static bool parse_count(const struct parameter *parameter, const char *text, int64_t *ret)
{
	char *end;

	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (text[strspn(text, "-0123456789")] || end == text || *end || errno)
		return false;
	if (value < parameter->min || value > parameter->max)
		return false;
	*ret = value;
	return true;
}

static bool parse_flag(const char *text, int64_t *ret)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return false;
	*ret = text[0] == 't';
	return true;
}

static bool set_value(struct http_request *request, int index, const char *text,
		      struct http_answer *answer)
{
	const struct parameter *parameter = &parameters[index];
	int64_t length = (int64_t)strlen(text);
	bool good = false;

	switch (parameter->kind) {
	case PARAMETER_TEXT:
		good = length >= parameter->min && length <= parameter->max;
		break;
	case PARAMETER_COUNT:
		good = parse_count(parameter, text, &request->counts[index]);
		break;
	case PARAMETER_FLAG:
		good = parse_flag(text, &request->counts[index]);
		break;
	}
	request->texts[index] = text;
	if (good)
		return true;
	if (parameter->kind == PARAMETER_FLAG)
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "%s takes true or false",
			       parameter->name);
	else
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "%s takes %s%lld to %lld%s",
			       parameter->name,
			       parameter->kind == PARAMETER_COUNT ? "a number, " : "",
			       (long long)parameter->min, (long long)parameter->max,
			       parameter->kind == PARAMETER_TEXT ? " bytes of text" : "");
	return false;
}

static bool set_queries(struct http_request *request, const struct target *target,
			struct http_answer *answer)
{
	const char *known = request->route->parameters;

	for (size_t i = 0; i < target->query_count; i++) {
		const struct target_query *query = &target->queries[i];
		int index = find_parameter(query->name, strlen(query->name));
		if (index < 0 || !route_names(known, query->name)) {
			answer_problem(answer, MHD_HTTP_BAD_REQUEST,
				       "no parameter here is called %s; there are: %s", query->name,
				       known[0] ? known : "none");
			return false;
		}
		if (request->texts[index]) {
			answer_problem(answer, MHD_HTTP_BAD_REQUEST, "%s is given twice",
				       query->name);
			return false;
		}
		if (!set_value(request, index, query->value, answer))
			return false;
	}
	return true;
}

static void set_defaults(struct http_request *request)
{
	struct http_answer unused = {0};

	for (int i = 0; i < PARAMETERS; i++) {
		if (!request->texts[i] && parameters[i].default_text)
			set_value(request, i, parameters[i].default_text, &unused);
	}
	answer_fini(&unused);
}

/* ---- paths ---- */

static bool set_path(struct http_request *request, const struct target *target,
		     struct http_answer *answer)
{
	const char *at = request->route->path;

	for (size_t i = 0; i < target->segment_count; i++) {
		at++; /* the slash */
		size_t length = strcspn(at, "/");
		if (at[0] == '{' && !set_value(request, find_parameter(at + 1, length - 2),
					       target->segments[i], answer))
			return false;
		at += length;
	}
	return true;
}

static bool matches(const char *path, const struct target *target)
{
	for (size_t i = 0; i < target->segment_count; i++) {
		if (*path++ != '/')
			return false;
		size_t length = strcspn(path, "/");
		const char *segment = target->segments[i];
		if (path[0] != '{' &&
		    (strlen(segment) != length || memcmp(path, segment, length) != 0))
			return false;
		path += length;
	}
	return !*path && target->segment_count;
}

static const struct route *find_route(const char *method, const struct target *target,
				      char allow[static 48])
{
	for (size_t i = 0; i < route_count; i++) {
		if (!matches(routes[i].path, target))
			continue;
		const char *name = http_method_names[routes[i].method];
		if (strcmp(method, name) == 0)
			return &routes[i];
		size_t length = strlen(allow);
		snprintf(allow + length, 48 - length, "%s%s", length ? ", " : "", name);
	}
	return NULL;
}

bool route_request(const char *method, const struct target *target, struct http_request *request,
		   struct http_answer *answer)
{
	char allow[sizeof(answer->allow)] = "";

	if (strcmp(method, "HEAD") == 0)
		method = http_method_names[HTTP_GET];
	for (int i = 0; i < PARAMETERS; i++)
		request->counts[i] = -1;
	request->route = find_route(method, target, allow);
	if (!request->route && allow[0]) {
		answer_problem(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "%s is not for %s; there is %s",
			       method, target->path, allow);
		memcpy(answer->allow, allow, sizeof(allow));
		return false;
	}
	if (!request->route) {
		answer_problem(answer, MHD_HTTP_NOT_FOUND,
			       "nothing is at %.200s; /v1/openapi.json says what there is",
			       target->path);
		return false;
	}
	if (!set_path(request, target, answer) || !set_queries(request, target, answer))
		return false;
	set_defaults(request);
	return true;
}
