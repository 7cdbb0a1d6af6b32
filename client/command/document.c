/* Documents printed as JSON and YAML, and what verbs make them with; as tables: document_table.c.
 */
#include "client/command/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "client/command/command.h"
#include "client/command/document_internal.h"
#include "client/command/output.h"
#include "dataplane/kafka/utf8.h"

static const char *const form_names[] = {
	[OUTPUT_TABLE] = "table",
	[OUTPUT_JSON] = "json",
	[OUTPUT_JSONL] = "jsonl",
	[OUTPUT_YAML] = "yaml",
};

int output_form_parse(enum output_form *ret, const char *text)
{
	for (size_t i = 0; i < sizeof(form_names) / sizeof(form_names[0]); i++) {
		if (strcmp(text, form_names[i]) == 0) {
			*ret = (enum output_form)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void *allocate(size_t size)
{
	void *memory = malloc(size);

	if (!memory) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	return memory;
}

void document_init(void)
{
	json_set_alloc_funcs(allocate, free);
}

/* ---- printing ---- */

static void print_line(const json_t *document)
{
	json_dumpf(document, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
	putchar('\n');
}

static void print_lines(const json_t *document)
{
	const json_t *element;
	size_t i;

	if (json_is_array(document))
		json_array_foreach(document, i, element) print_line(element);
	else
		print_line(document);
}

static void print_json(const json_t *document)
{
	json_dumpf(document, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

int document_print(const struct invocation *invocation, json_t *document, const struct part *parts,
		   int code)
{
	switch (invocation->output) {
	case OUTPUT_TABLE:
		document_print_table(document, parts);
		break;
	case OUTPUT_JSON:
		print_json(document);
		break;
	case OUTPUT_JSONL:
		print_lines(document);
		break;
	case OUTPUT_YAML:
		document_print_yaml(document);
		break;
	}
	json_decref(document);
	return output_finish(code);
}

int document_print_rows(const struct invocation *invocation, json_t *rows,
			const struct column *columns, int code)
{
	const struct part parts[] = {{.columns = columns}, {0}};

	return document_print(invocation, rows, parts, code);
}

void document_print_element(const struct invocation *invocation, json_t *element)
{
	if (invocation->output == OUTPUT_YAML)
		document_print_yaml(element);
	else if (invocation->output == OUTPUT_TABLE)
		document_print_values(element);
	else
		print_line(element);
	json_decref(element);
}

/* ---- making ---- */

static void set_base64(json_t *object, const char *name, const void *bytes, size_t length)
{
	char *text = allocate(BASE64_BYTES(length));
	char *field = allocate(strlen(name) + sizeof("_base64"));

	memcpy(field, name, strlen(name));
	memcpy(field + strlen(name), "_base64", sizeof("_base64"));
	base64_write(text, bytes, length);
	json_object_set_new(object, field, json_string(text));
	free(field);
	free(text);
}

void document_set_bytes(json_t *object, const char *name, const void *bytes, size_t length)
{
	if (!bytes)
		json_object_set_new(object, name, json_null());
	else if (utf8_valid(bytes, length))
		json_object_set_new(object, name, json_stringn(bytes, length));
	else
		set_base64(object, name, bytes, length);
}

void document_set_text(json_t *object, const char *name, const char *text)
{
	document_set_bytes(object, name, text, text ? strlen(text) : 0);
}

void document_set_count(json_t *object, const char *name, int64_t count)
{
	json_object_set_new(object, name, count < 0 ? json_null() : json_integer(count));
}
