/* A document as YAML 1.1, through libyaml's events. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "client/command/command.h"
#include "client/command/document_internal.h"

/* Emitting fails when memory or standard output does, which output_finish tells. */
static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int made)
{
	if (made)
		yaml_emitter_emit(emitter, event);
}

/* Would a reader take it for a string though it has no quotes?  Words of letters that are no other
 * type's; rather too few than too many. */
static bool plain(const char *text, size_t length)
{
	static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
					    "off", "true", "false", "null"};

	if (!length || !isalpha((unsigned char)*text) || memchr(text, 0, length))
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("_-./", text[i]))
			return false;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0)
			return false;
	}
	return true;
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, size_t length, bool is_plain)
{
	yaml_scalar_style_t style = is_plain ? YAML_PLAIN_SCALAR_STYLE
					     : YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	yaml_event_t event;

	emit(emitter, &event,
	     yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
					  (int)length, 1, 1, style));
}

static void emit_text(yaml_emitter_t *emitter, const char *text, size_t length)
{
	emit_scalar(emitter, text, length, plain(text, length));
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value);

static void emit_object(yaml_emitter_t *emitter, const json_t *object)
{
	yaml_event_t event;
	const char *name;
	json_t *value;

	emit(emitter, &event,
	     yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
	/* Only read, but the macro wants it so. */
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		emit_text(emitter, name, strlen(name));
		emit_value(emitter, value);
	}
	emit(emitter, &event, yaml_mapping_end_event_initialize(&event));
}

static void emit_array(yaml_emitter_t *emitter, const json_t *array)
{
	yaml_event_t event;
	const json_t *value;
	size_t i;

	emit(emitter, &event,
	     yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						  YAML_BLOCK_SEQUENCE_STYLE));
	json_array_foreach(array, i, value) emit_value(emitter, value);
	emit(emitter, &event, yaml_sequence_end_event_initialize(&event));
}

/* Numbers, true, false and null are the same in both. */
static void emit_other(yaml_emitter_t *emitter, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY);

	if (text)
		emit_scalar(emitter, text, strlen(text), true);
	free(text);
}

static void emit_value(yaml_emitter_t *emitter, const json_t *value)
{
	if (json_is_object(value))
		emit_object(emitter, value);
	else if (json_is_array(value))
		emit_array(emitter, value);
	else if (json_is_string(value))
		emit_text(emitter, json_string_value(value), json_string_length(value));
	else
		emit_other(emitter, value);
}

void document_print_yaml(const json_t *document)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter)) {
		complain("out of memory");
		return;
	}
	yaml_emitter_set_output_file(&emitter, stdout);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	emit(&emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
	emit(&emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0));
	emit_value(&emitter, document);
	emit(&emitter, &event, yaml_document_end_event_initialize(&event, 1));
	emit(&emitter, &event, yaml_stream_end_event_initialize(&event));
	yaml_emitter_delete(&emitter);
}
