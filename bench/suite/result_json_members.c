#include "bench/suite/result_json_internal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct member result_members[] = {
	MEMBER(struct result, label, "label", TEXT),
	MEMBER(struct result, client_version, "clientVersion", TEXT),
	MEMBER(struct result, url, "url", TEXT),
	MEMBER(struct result, started, "started", TEXT),
	MEMBER(struct result, commit, "commit", TEXT),
	MEMBER(struct result, command, "command", TEXT),
	MEMBER(struct result, seconds, "seconds", REAL),
	MEMBER(struct result, open_loop, "openLoop", FLAG),
	MEMBER(struct result, asked_per_s, "askedRate", REAL),
	MEMBER(struct result, published_per_s, "publishedRate", REAL),
	MEMBER(struct result, consumed_per_s, "consumedRate", REAL),
	MEMBER(struct result, published, "published", COUNT),
	MEMBER(struct result, publish_errors, "publishErrors", COUNT),
	MEMBER(struct result, consumed, "consumed", COUNT),
	MEMBER(struct result, bytes, "publishedBytes", COUNT),
	MEMBER(struct result, broker_known, "brokerKnown", FLAG),
	MEMBER(struct result, caveats, "caveats", TEXT),
	{0},
};

const struct member usage_members[] = {
	MEMBER(struct usage_total, user_s, "userSeconds", REAL),
	MEMBER(struct usage_total, system_s, "systemSeconds", REAL),
	MEMBER(struct usage_total, resident_bytes_max, "residentBytesMax", COUNT),
	MEMBER(struct usage_total, read_bytes, "readBytes", COUNT),
	MEMBER(struct usage_total, written_bytes, "writtenBytes", COUNT),
	MEMBER(struct usage_total, context_switches, "contextSwitches", COUNT),
	{0},
};

const struct member host_members[] = {
	MEMBER(struct host, cpu, "cpu", TEXT),
	MEMBER(struct host, cores, "cores", UNSIGNED),
	MEMBER(struct host, kernel, "kernel", TEXT),
	MEMBER(struct host, distribution, "distribution", TEXT),
	MEMBER(struct host, memory_bytes, "memoryBytes", COUNT),
	MEMBER(struct host, governor, "governor", TEXT),
	MEMBER(struct host, disk, "disk", TEXT),
	MEMBER(struct host, nic, "nic", TEXT),
	MEMBER(struct host, load_average, "loadAverage", REAL),
	{0},
};

int refuse(const struct complaint *complaint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(complaint->why, complaint->why_bytes, format, args);
	va_end(args);
	return -EINVAL;
}

/* ---- values ---- */

int number_read(const json_t *json, const char *name, double *ret,
		const struct complaint *complaint)
{
	double number = json_is_number(json) ? json_number_value(json) : 0;
	bool none = !json || json_is_null(json) ||
		    (json_is_string(json) && strcmp(json_string_value(json), "NaN") == 0);

	if (!none && !json_is_number(json))
		return refuse(complaint, "%s: a number is expected", name);
	if (number < 0 || number > NUMBER_MAX)
		return refuse(complaint, "%s: %g is out of range", name, number);
	*ret = number;
	return 0;
}

/* Cut before a character that does not fit as a whole. */
static void text_copy(char *to, size_t bytes, const char *from)
{
	size_t length = strlen(from);

	if (length >= bytes) {
		length = bytes - 1;
		while (length && ((unsigned char)from[length] & 0xc0) == 0x80)
			length--;
	}
	for (size_t i = 0; i < length; i++)
		to[i] = iscntrl((unsigned char)from[i]) ? ' ' : from[i];
	to[length] = '\0';
}

static json_t *text_json(const char *text)
{
	json_t *json = json_string(text);
	char ascii[1024];

	if (json)
		return json;
	snprintf(ascii, sizeof(ascii), "%s", text); /* it was no UTF-8 */
	for (char *c = ascii; *c; c++)
		*c = (unsigned char)*c < 0x80 ? *c : '?';
	return json_string(ascii);
}

static json_t *member_json(const struct member *member, const void *at)
{
	double real;

	switch (member->kind) {
	case MEMBER_TEXT:
		return text_json(at);
	case MEMBER_REAL:
		real = *(const double *)at;
		return json_real(isfinite(real) ? real : 0);
	case MEMBER_COUNT:
		return json_integer((json_int_t)(*(const uint64_t *)at & INT64_MAX));
	case MEMBER_UNSIGNED:
		return json_integer(*(const unsigned *)at);
	case MEMBER_FLAG:
		break;
	}
	return json_boolean(*(const bool *)at);
}

static int member_read(const json_t *json, const struct member *member, void *at,
		       const struct complaint *complaint)
{
	double number = 0;

	if (member->kind == MEMBER_TEXT) {
		if (!json_is_string(json))
			return refuse(complaint, "%s: a text is expected", member->name);
		text_copy(at, member->bytes, json_string_value(json));
		return 0;
	}
	if (member->kind == MEMBER_FLAG) {
		if (!json_is_boolean(json))
			return refuse(complaint, "%s: true or false is expected", member->name);
		*(bool *)at = json_is_true(json);
		return 0;
	}
	int rc = number_read(json, member->name, &number, complaint);
	if (rc < 0)
		return rc;
	if (member->kind == MEMBER_REAL)
		*(double *)at = number;
	else if (member->kind == MEMBER_COUNT)
		*(uint64_t *)at = json_is_integer(json) ? (uint64_t)json_integer_value(json)
							: (uint64_t)number;
	else
		*(unsigned *)at = number < UINT32_MAX ? (unsigned)number : UINT32_MAX;
	return 0;
}

/* ---- structures ---- */

int members_write(json_t *object, const struct member *members, const void *from)
{
	for (const struct member *m = members; m->name; m++) {
		if (json_object_set_new(object, m->name,
					member_json(m, (const char *)from + m->at)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int members_read(const json_t *object, const struct member *members, void *to,
		 const struct complaint *complaint)
{
	int rc = 0;

	for (const struct member *m = members; rc == 0 && m->name; m++) {
		const json_t *json = json_object_get(object, m->name);
		if (json)
			rc = member_read(json, m, (char *)to + m->at, complaint);
	}
	return rc;
}

int object_at(const json_t *object, const char *name, json_t **ret,
	      const struct complaint *complaint)
{
	json_t *json = json_object_get(object, name);

	if (json && !json_is_object(json))
		return refuse(complaint, "%s: an object is expected", name);
	*ret = json;
	return 0;
}

int array_at(const json_t *object, const char *name, json_t **ret,
	     const struct complaint *complaint)
{
	json_t *json = json_object_get(object, name);

	if (json_is_null(json))
		json = NULL;
	if (json && !json_is_array(json))
		return refuse(complaint, "%s: an array is expected", name);
	*ret = json;
	return 0;
}
