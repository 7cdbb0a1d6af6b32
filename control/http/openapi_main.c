/* Prints the OpenAPI document (3.1) of what routes.def and parameters.def say, with the schemas of
 * the file that is named:
 *
 *     openapi VERSION SCHEMAS
 *
 * Run by the build, so the document cannot differ from what is served. */
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

enum { TEXT, COUNT, FLAG };

static const struct parameter {
	const char *name;
	int kind;
	long long min;
	long long max;
	const char *default_text;
	const char *help;
} parameters[] = {
#define PARAMETER(name, kind, min, max, def, help) {#name, kind, min, max, def, help},
#include "control/http/parameters.def"
#undef PARAMETER
};

static const struct route {
	const char *method;
	const char *path;
	const char *name;
	const char *parameters;
	const char *body;
	int status;
	const char *answer;
	const char *summary;
} routes[] = {
#define ROUTE(method, path, at, function, parameters, body, status, answer, summary)               \
	{#method, path, #function, parameters, body, status, answer, summary},
#include "control/http/routes.def"
#undef ROUTE
};

/* A text of the tables is never out of memory's way for long: the build fails. */
static json_t *checked(json_t *json)
{
	if (json)
		return json;
	fputs("openapi: out of memory, or text that is no UTF-8\n", stderr);
	exit(EXIT_FAILURE);
}

static json_t *default_of(const struct parameter *parameter)
{
	if (parameter->kind == COUNT)
		return json_integer(strtoll(parameter->default_text, NULL, 10));
	if (parameter->kind == FLAG)
		return json_boolean(parameter->default_text[0] == 't');
	return json_string(parameter->default_text);
}

static json_t *schema_of(const struct parameter *parameter)
{
	json_t *schema = NULL;

	if (parameter->kind == FLAG)
		schema = json_pack("{s:s}", "type", "boolean");
	else if (parameter->kind == COUNT)
		schema = json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum",
				   (json_int_t)parameter->min, "maximum",
				   (json_int_t)parameter->max);
	else
		schema = json_pack("{s:s, s:I, s:I}", "type", "string", "minLength",
				   (json_int_t)parameter->min, "maxLength",
				   (json_int_t)parameter->max);
	if (parameter->default_text)
		json_object_set_new(schema, "default", checked(default_of(parameter)));
	return checked(schema);
}

static void add_parameter(json_t *list, const char *name, size_t length, const char *where)
{
	for (size_t i = 0; i < array_count(parameters); i++) {
		const struct parameter *parameter = &parameters[i];
		if (strlen(parameter->name) != length || memcmp(parameter->name, name, length) != 0)
			continue;
		json_array_append_new(
			list, checked(json_pack("{s:s, s:s, s:b, s:s, s:o}", "name",
						parameter->name, "in", where, "required",
						strcmp(where, "path") == 0, "description",
						parameter->help, "schema", schema_of(parameter))));
	}
}

static json_t *parameters_of(const struct route *route)
{
	json_t *list = checked(json_array());

	for (const char *at = strchr(route->path, '{'); at; at = strchr(at + 1, '{'))
		add_parameter(list, at + 1, strcspn(at + 1, "}"), "path");
	for (const char *at = route->parameters; *at; at += strspn(at, " ")) {
		size_t length = strcspn(at, " ");
		add_parameter(list, at, length, "query");
		at += length;
	}
	return list;
}

static json_t *content_of(const char *type, const char *schema)
{
	char reference[128];

	snprintf(reference, sizeof(reference), "#/components/schemas/%s", schema);
	return checked(json_pack("{s:{s:{s:s}}}", type, "schema", "$ref", reference));
}

static json_t *answers_of(const struct route *route)
{
	char status[12];
	json_t *good = checked(json_pack("{s:s}", "description", route->summary));

	snprintf(status, sizeof(status), "%d", route->status);
	if (route->answer)
		json_object_set_new(good, "content", content_of("application/json", route->answer));
	return checked(json_pack("{s:o, s:{s:s, s:o}}", status, good, "default", "description",
				 "A problem", "content",
				 content_of("application/problem+json", "Problem")));
}

static void lower(char *text)
{
	for (; *text; text++)
		*text = (char)(*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text);
}

static json_t *operation_of(const struct route *route)
{
	json_t *operation = checked(json_pack(
		"{s:s, s:s, s:o, s:o}", "operationId", route->name, "summary", route->summary,
		"parameters", parameters_of(route), "responses", answers_of(route)));

	if (route->body)
		json_object_set_new(
			operation, "requestBody",
			checked(json_pack("{s:b, s:o}", "required", 1, "content",
					  content_of("application/json", route->body))));
	return operation;
}

static json_t *paths(void)
{
	json_t *all = checked(json_object());
	char method[8];

	for (size_t i = 0; i < array_count(routes); i++) {
		json_t *path = json_object_get(all, routes[i].path);
		if (!path) {
			path = checked(json_object());
			json_object_set_new(all, routes[i].path, path);
		}
		snprintf(method, sizeof(method), "%s", routes[i].method);
		lower(method);
		json_object_set_new(path, method, operation_of(&routes[i]));
	}
	return all;
}

int main(int argc, char **argv)
{
	json_error_t error;

	if (argc != 3)
		return EXIT_FAILURE;
	json_t *schemas = json_load_file(argv[2], JSON_REJECT_DUPLICATES, &error);
	if (!schemas) {
		fprintf(stderr, "%s:%d: %s\n", argv[2], error.line, error.text);
		return EXIT_FAILURE;
	}
	json_t *document = checked(json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:{s:o}}", "openapi",
					     "3.1.0", "info", "title", "Sluice admin HTTP",
					     "version", argv[1], "description",
					     "Health, metrics and administration of a broker.",
					     "paths", paths(), "components", "schemas", schemas));
	json_dumpf(document, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(document);
	return EXIT_SUCCESS;
}
