/* Workload files: one YAML mapping of keys to plain values, as the OpenMessaging Benchmark writes
 * them.  A key that may be repeated also takes a sequence, or a mapping of names to values:
 *
 *     topics: 1
 *     topicConfig:
 *       retention.ms: 60000
 *
 * Nothing else is taken: no aliases, no second document, no key twice.  libyaml splits the text
 * into events; what keys and values mean is workload.c's matter. */
#include "bench/suite/workload.h"

#include "base/check.h"
#include "control/param.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one at hand */
	const char *file;
	const char *text;
	size_t bytes;
	struct workload workload;
	uint64_t seen; /* keys, by index */
	char *why;
	size_t why_bytes;
};

/* "file:line: reason"; libyaml counts lines from 0. */
static int refuse_at(struct reader *reader, size_t line, const char *reason)
{
	snprintf(reader->why, reader->why_bytes, "%s:%zu: %s", reader->file, line + 1, reason);
	return -EINVAL;
}

static int refuse(struct reader *reader, const char *reason)
{
	return refuse_at(reader, reader->event.start_mark.line, reason);
}

/* The event at hand is not what it should be. */
static int refuse_event(struct reader *reader, const char *wanted)
{
	char reason[128];

	if (reader->event.type == YAML_ALIAS_EVENT)
		return refuse(reader, "an alias: write out what it stands for");
	snprintf(reason, sizeof(reason), "here should be %s", wanted);
	return refuse(reader, reason);
}

/* Bytes that are not UTF-8 have an offset and no mark. */
static size_t line_of_problem(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	size_t line = 0;

	if (parser->error != YAML_READER_ERROR)
		return parser->problem_mark.line;
	for (size_t i = 0; i < parser->problem_offset && i < reader->bytes; i++)
		line += reader->text[i] == '\n';
	return line;
}

static int next_event(struct reader *reader)
{
	char reason[256];

	yaml_event_delete(&reader->event);
	if (yaml_parser_parse(&reader->parser, &reader->event))
		return 0;
	if (reader->parser.error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	snprintf(reason, sizeof(reason), "not YAML: %s", reader->parser.problem);
	return refuse_at(reader, line_of_problem(reader), reason);
}

static int expect(struct reader *reader, yaml_event_type_t type, const char *wanted)
{
	int rc = next_event(reader);

	if (rc < 0)
		return rc;
	return reader->event.type == type ? 0 : refuse_event(reader, wanted);
}

/* Of the scalar at hand; it lives until the next event. */
static int scalar_text(struct reader *reader, const char **ret)
{
	const yaml_event_t *event = &reader->event;

	if (event->type != YAML_SCALAR_EVENT)
		return refuse_event(reader, "a plain value");
	const char *text = (const char *)event->data.scalar.value;
	if (strlen(text) != event->data.scalar.length)
		return refuse(reader, "a NUL character");
	*ret = text;
	return 0;
}

/* YAML's ways to say nothing; the default stays. */
static bool is_null(const yaml_event_t *event, const char *text)
{
	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!text[0] || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static int set(struct reader *reader, const char *key, const char *value)
{
	char reason[256];
	int rc = workload_set(&reader->workload, key, value, reason, sizeof(reason));

	if (rc == 0 || rc == -ENOMEM)
		return rc;
	return refuse(reader, reason);
}

/* "name=value" each. */
static int read_sequence(struct reader *reader, const char *key)
{
	for (;;) {
		const char *text = NULL;
		int rc = next_event(reader);
		if (rc == 0 && reader->event.type == YAML_SEQUENCE_END_EVENT)
			return 0;
		if (rc == 0)
			rc = scalar_text(reader, &text);
		if (rc == 0)
			rc = set(reader, key, text);
		if (rc < 0)
			return rc;
	}
}

/* The name is at hand. */
static int read_setting(struct reader *reader, const char *key)
{
	char setting[WORKLOAD_SETTING_BYTES_MAX + 2]; /* so that one too long is seen to be */
	const char *text = NULL;
	int rc = scalar_text(reader, &text);

	if (rc < 0)
		return rc;
	size_t length = (size_t)snprintf(setting, sizeof(setting), "%s=", text);
	rc = next_event(reader);
	if (rc == 0)
		rc = scalar_text(reader, &text);
	if (rc < 0)
		return rc;
	if (length < sizeof(setting))
		snprintf(setting + length, sizeof(setting) - length, "%s", text);
	return set(reader, key, setting);
}

static int read_mapping(struct reader *reader, const char *key)
{
	for (;;) {
		int rc = next_event(reader);
		if (rc == 0 && reader->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (rc == 0)
			rc = read_setting(reader, key);
		if (rc < 0)
			return rc;
	}
}

/* Of the key with that index. */
static int read_value(struct reader *reader, size_t index)
{
	const char *key = workload_key_at(index)->key;
	const char *text = NULL;
	int rc = next_event(reader);

	if (rc < 0)
		return rc;
	if (workload_key_repeats(index) && reader->event.type == YAML_SEQUENCE_START_EVENT)
		return read_sequence(reader, key);
	if (workload_key_repeats(index) && reader->event.type == YAML_MAPPING_START_EVENT)
		return read_mapping(reader, key);
	rc = scalar_text(reader, &text);
	if (rc < 0 || is_null(&reader->event, text))
		return rc;
	return set(reader, key, text);
}

/* The key is at hand. */
static int find_key(struct reader *reader, size_t *ret)
{
	char reason[256];
	const char *text = NULL;
	int rc = scalar_text(reader, &text);

	if (rc < 0)
		return rc;
	rc = workload_key_find(text, ret, reason, sizeof(reason));
	if (rc < 0)
		return refuse(reader, reason);
	check(*ret < 64);
	if (reader->seen >> *ret & 1) {
		snprintf(reason, sizeof(reason), "%s for the second time", text);
		return refuse(reader, reason);
	}
	reader->seen |= UINT64_C(1) << *ret;
	return 0;
}

static int read_keys(struct reader *reader)
{
	for (;;) {
		size_t index = 0;
		int rc = next_event(reader);
		if (rc == 0 && reader->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (rc == 0)
			rc = find_key(reader, &index);
		if (rc == 0)
			rc = read_value(reader, index);
		if (rc < 0)
			return rc;
	}
}

static int read_document(struct reader *reader)
{
	static const char keys[] = "a mapping of keys to values", end[] = "the end of the file";
	int rc = expect(reader, YAML_STREAM_START_EVENT, keys);

	if (rc == 0)
		rc = expect(reader, YAML_DOCUMENT_START_EVENT, keys);
	if (rc == 0)
		rc = expect(reader, YAML_MAPPING_START_EVENT, keys);
	if (rc == 0)
		rc = read_keys(reader);
	if (rc == 0)
		rc = expect(reader, YAML_DOCUMENT_END_EVENT, end);
	if (rc == 0)
		rc = expect(reader, YAML_STREAM_END_EVENT, end);
	return rc;
}

/* The file's, without folder and ending: for one that does not say its name. */
static void name_by_file(struct workload *workload, const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *base = slash ? slash + 1 : file;
	const char *dot = strrchr(base, '.');
	int length = (int)(dot && dot > base ? (size_t)(dot - base) : strlen(base));

	snprintf(workload->name, sizeof(workload->name), "%.*s", length, base);
}

int workload_parse_yaml(const char *file, const void *text, size_t bytes, struct workload *ret,
			char *why, size_t why_bytes)
{
	struct reader reader = {.file = file, .text = text, .bytes = bytes};
	int rc;

	reader.why = why;
	reader.why_bytes = why_bytes;
	if (!yaml_parser_initialize(&reader.parser)) {
		snprintf(why, why_bytes, "%s: %s", file, strerror(ENOMEM));
		return -ENOMEM;
	}
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, text, bytes);
	workload_init(&reader.workload);
	name_by_file(&reader.workload, file);
	rc = read_document(&reader);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	if (rc == -ENOMEM)
		snprintf(why, why_bytes, "%s: %s", file, strerror(-rc));
	if (rc < 0)
		workload_fini(&reader.workload);
	else
		*ret = reader.workload;
	return rc;
}

int workload_read_yaml(const char *path, struct workload *ret, char *why, size_t why_bytes)
{
	char *text = malloc(WORKLOAD_FILE_BYTES_MAX + 1);
	FILE *file = fopen(path, "re");
	size_t bytes = 0;
	int rc = !text ? -ENOMEM : !file ? -errno : 0;

	if (rc == 0)
		bytes = fread(text, 1, WORKLOAD_FILE_BYTES_MAX + 1, file);
	if (rc == 0 && ferror(file))
		rc = -errno;
	if (rc < 0) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(-rc));
	} else if (bytes > WORKLOAD_FILE_BYTES_MAX) {
		snprintf(why, why_bytes, "%s: more than %d bytes", path, WORKLOAD_FILE_BYTES_MAX);
		rc = -EINVAL;
	} else {
		rc = workload_parse_yaml(path, text, bytes, ret, why, why_bytes);
	}
	if (file)
		fclose(file);
	free(text);
	return rc;
}
