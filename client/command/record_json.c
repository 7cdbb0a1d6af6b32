#include "client/command/record_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "client/command/document.h"

/* ---- out ---- */

json_t *record_json_of(const struct sluice_message *message)
{
	json_t *object = json_object();
	json_t *headers = json_array();
	struct sluice_header header;
	size_t cursor = 0;

	document_set_text(object, "topic", message->topic);
	json_object_set_new(object, "partition", json_integer(message->partition));
	json_object_set_new(object, "offset", json_integer(message->offset));
	json_object_set_new(object, "timestamp", json_integer(message->timestamp_ms));
	document_set_bytes(object, "key", message->key, message->key_length);
	document_set_bytes(object, "value", message->value, message->value_length);
	while (sluice_header_next(message, &cursor, &header) > 0) {
		json_t *one = json_object();
		document_set_bytes(one, "name", header.name, header.name_length);
		document_set_bytes(one, "value", header.value, header.value_length);
		json_array_append_new(headers, one);
	}
	json_object_set_new(object, "headers", headers);
	return object;
}

/* ---- in ---- */

struct reading {
	struct record_json *to;
	char *why;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct reading *r, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, a line above */
	vsnprintf(r->why, RECORD_JSON_WHY_BYTES, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

struct bytes {
	const char *at; /* null: null */
	size_t length;
	bool given;
};

static int decode(struct reading *r, const char *field, const json_t *text, struct bytes *ret)
{
	struct record_json *to = r->to;
	size_t length = json_string_length(text);
	void **decoded = realloc(to->decoded, (to->decoded_count + 1) * sizeof(void *));
	void *memory = decoded ? malloc(length + 1) : NULL;

	to->decoded = decoded ? decoded : to->decoded;
	if (!memory)
		return -ENOMEM;
	to->decoded[to->decoded_count++] = memory;
	if (base64_read(memory, &ret->length, json_string_value(text), length) < 0)
		return wrong(r, "\"%s_base64\" is not base64", field);
	ret->at = memory;
	return 0;
}

/* "field" or "field_base64" of `object`. */
static int read_bytes(struct reading *r, const json_t *object, const char *field, struct bytes *ret)
{
	char encoded[32];

	snprintf(encoded, sizeof(encoded), "%s_base64", field);
	const json_t *plain = json_object_get(object, field);
	const json_t *base64 = json_object_get(object, encoded);
	*ret = (struct bytes){.given = plain || base64};
	if (plain && base64)
		return wrong(r, "both \"%s\" and \"%s\" are given", field, encoded);
	const json_t *given = base64 ? base64 : plain;
	bool null = given == plain && json_is_null(given);
	if (given && !null && !json_is_string(given))
		return wrong(r, "\"%s\" is no string", plain ? field : encoded);
	if (base64)
		return decode(r, field, base64, ret);
	if (json_is_string(plain)) {
		ret->at = json_string_value(plain);
		ret->length = json_string_length(plain);
	}
	return 0;
}

static int read_integer(struct reading *r, const char *field, int64_t min, int64_t max,
			int64_t otherwise, int64_t *ret)
{
	const json_t *value = json_object_get(r->to->document, field);

	*ret = otherwise;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < min ||
	    json_integer_value(value) > max)
		return wrong(r, "\"%s\" is no whole number from %lld to %lld", field,
			     (long long)min, (long long)max);
	*ret = json_integer_value(value);
	return 0;
}

static int read_header(struct reading *r, const json_t *object, struct sluice_header *ret)
{
	struct bytes name = {0};
	struct bytes value = {0};
	int rc = json_is_object(object) ? read_bytes(r, object, "name", &name)
					: wrong(r, "a header is no object");

	if (rc == 0)
		rc = read_bytes(r, object, "value", &value);
	if (rc < 0)
		return rc;
	if (!name.at)
		return wrong(r, "a header has no \"name\"");
	*ret = (struct sluice_header){.name = name.at,
				      .name_length = name.length,
				      .value = value.at,
				      .value_length = value.length};
	return 0;
}

static int read_headers(struct reading *r)
{
	const json_t *headers = json_object_get(r->to->document, "headers");
	size_t count = json_array_size(headers);
	int rc = 0;

	if (!headers || json_is_null(headers))
		return 0;
	if (!json_is_array(headers))
		return wrong(r, "\"headers\" is no array");
	r->to->has_headers = true;
	r->to->headers = calloc(count + 1, sizeof(*r->to->headers));
	if (!r->to->headers)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = read_header(r, json_array_get(headers, i), &r->to->headers[i]);
	r->to->record.headers = r->to->headers;
	r->to->record.header_count = count;
	return rc;
}

/* A misspelt "value" would make tombstones. */
static int check_fields(struct reading *r)
{
	static const char *const known[] = {"topic",     "partition",    "offset",
					    "timestamp", "key",          "key_base64",
					    "value",     "value_base64", "headers"};
	const char *field;
	json_t *value;

	json_object_foreach(r->to->document, field, value)
	{
		size_t i = 0;
		while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], field) != 0)
			i++;
		if (i == sizeof(known) / sizeof(known[0]))
			return wrong(r, "a record has no \"%.100s\"", field);
	}
	return 0;
}

static int read_record(struct reading *r)
{
	struct sluice_record *record = &r->to->record;
	struct bytes key = {0};
	struct bytes value = {0};
	int64_t partition = SLUICE_PARTITION_ANY;
	int rc = check_fields(r);

	if (rc == 0)
		rc = read_bytes(r, r->to->document, "key", &key);
	if (rc == 0)
		rc = read_bytes(r, r->to->document, "value", &value);
	if (rc == 0 && !value.given)
		rc = wrong(r, "there is no \"value\"");
	if (rc == 0)
		rc = read_integer(r, "partition", SLUICE_PARTITION_ANY, INT32_MAX,
				  SLUICE_PARTITION_ANY, &partition);
	if (rc == 0)
		rc = read_integer(r, "timestamp", -1, INT64_MAX, -1, &record->timestamp_ms);
	if (rc < 0)
		return rc;
	r->to->has_key = key.given;
	record->partition = (int32_t)partition;
	/* A record without one gets the time at which it is produced. */
	record->timestamp_ms = record->timestamp_ms < 0 ? 0 : record->timestamp_ms;
	record->key = key.at;
	record->key_length = key.length;
	record->value = value.at;
	record->value_length = value.length;
	return read_headers(r);
}

int record_json_parse(struct record_json *ret, const char *line, size_t length,
		      char why[static RECORD_JSON_WHY_BYTES]) /* NOLINT: wrong() writes to it */
{
	struct record_json record = {0};
	struct reading reading = {.to = &record, .why = why};
	json_error_t error;
	int rc;

	record.document = json_loadb(line, length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	if (!record.document)
		rc = wrong(&reading, "no JSON: %s at byte %d", error.text, error.position);
	else if (!json_is_object(record.document))
		rc = wrong(&reading, "no object of JSON");
	else
		rc = read_record(&reading);
	if (rc < 0)
		record_json_free(&record);
	else
		*ret = record;
	return rc;
}

void record_json_free(struct record_json *record)
{
	for (size_t i = 0; i < record->decoded_count; i++)
		free(record->decoded[i]);
	free(record->decoded);
	free(record->headers);
	json_decref(record->document);
	*record = (struct record_json){0};
}
